"""Event files hold what was written, in TensorBoard's format: read back by a parser of our own, and by TensorBoard."""

import math
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

WRITER = os.path.join(sys.argv.pop(1), "tests", "rundir_event_file_writer")


def crc32c(data):
    """Bit by bit: remainder modulo the Castagnoli polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(content):
    """The records of a TFRecord file; fails where a checksum is wrong."""
    at = 0
    while at < len(content):
        length, crc = struct.unpack_from("<QI", content, at)
        assert crc == masked(content[at:at + 8]), at
        data = content[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", content, at + 12 + length)[0] == masked(data), at
        yield data
        at += 16 + length


def fields(message):
    """Numbers and values of a protobuf message's fields."""
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            shift += 7
            at += 1
            if message[at - 1] < 128:
                return value, at

    at, found = 0, []
    while at < len(message):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
        elif key & 7 == 2:
            length, at = varint(at)
            value, at = message[at:at + length], at + length
        else:
            form = {1: "<d", 5: "<f"}[key & 7]
            value, = struct.unpack_from(form, message, at)
            at += struct.calcsize(form)
        found.append((key >> 3, value))
    return found


def write(folder, restored, first, last):
    """The new file's content."""
    before = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    subprocess.run([WRITER, folder, str(restored), str(first), str(last)], check=True, timeout=50)
    name, = set(os.listdir(folder)) - before
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


class EventFileTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "made", "tensorboard")

    def test_checksum_of_the_standard(self):
        # The check value of CRC-32C, and a vector of RFC 3720.
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)

    def test_holds_what_was_written(self):
        before = time.time()
        events = [dict(fields(record)) for record in records(write(self.folder, 20, 21, 23))]
        self.assertEqual(len(events), 5)
        # Event: 1 wall time, 2 step, 3 file version, 5 summary, 7 session log.
        self.assertEqual(events[0][3], b"brain.Event:2")
        self.assertEqual((events[1][2], fields(events[1][7])), (21, [(1, 1)]))
        for event, update in zip(events[2:], (21, 22, 23)):
            self.assertEqual(event[2], update)
            # 1 the values: 1 tag, 2 number.
            (_, loss), (_, none) = fields(event[5])
            self.assertEqual(dict(fields(loss))[1], b"update/loss")
            self.assertAlmostEqual(dict(fields(loss))[2], 1 / update, places=7)
            self.assertTrue(math.isnan(dict(fields(none))[2]))
        for event in events:
            self.assertTrue(before - 1 < event[1] < time.time() + 1)

    def test_files_are_read_in_the_order_of_their_starts(self):
        first = write(self.folder, 0, 1, 2)
        write(self.folder, 2, 3, 4)
        with open(os.path.join(self.folder, sorted(os.listdir(self.folder))[0]), "rb") as file:
            self.assertEqual(file.read(), first)

    def test_tensorboard_reads_it(self):
        try:
            from tensorboard.backend.event_processing import event_accumulator
        except ImportError:
            self.skipTest("tensorboard is not installed")
        write(self.folder, 0, 1, 30)
        # Gone on with from update 20: 21 to 30 were lost, 21 to 25 made again.
        write(self.folder, 20, 21, 25)
        accumulator = event_accumulator.EventAccumulator(self.folder)
        accumulator.Reload()
        scalars = accumulator.Scalars("update/loss")
        self.assertEqual([scalar.step for scalar in scalars], list(range(1, 26)))
        for scalar in scalars:
            self.assertAlmostEqual(scalar.value, 1 / scalar.step, places=6)


if __name__ == "__main__":
    unittest.main()

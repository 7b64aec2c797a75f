#!/usr/bin/env python3
"""Clients that send far more than a server takes do not make it hold that much. Usage: flood_test.py SAMPLE_ROLE"""

import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from needs import needs
from processes import free_ports

needs("grpc")
import grpc

ROLE = sys.argv.pop(1)
TIMEOUT = 60
MIB = 2**20
CALLS, CALL_BYTES = 8, 100 * MIB
# ServerOptions::max_buffered_bytes is 128 MiB.
MOST_BYTES = 300 * MIB


def peak_bytes(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


class FloodTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        with open(pathlib.Path(folder.name, "log"), "wb") as log:
            self.server = subprocess.Popen([ROLE, "--listen", self.address], stderr=log)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.check(b"", wait_for_ready=True)

    def check(self, request, **options):
        """A call of the health service, on a connection of its own, with anything as its request."""
        with grpc.insecure_channel(self.address, [("grpc.max_send_message_length", -1),
                                                  ("grpc.use_local_subchannel_pool", 1)]) as channel:
            return channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=TIMEOUT, **options)

    def test_memory_for_what_has_come_in_is_bounded(self):
        request = bytes(CALL_BYTES)
        codes = []

        def flood():
            try:
                self.check(request)
                codes.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.append(error.code())

        before = peak_bytes(self.server)
        threads = [threading.Thread(target=flood) for _ in range(CALLS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(codes), CALLS)
        self.assertNotIn(grpc.StatusCode.OK, codes)
        self.assertLess(peak_bytes(self.server) - before, MOST_BYTES, codes)
        self.check(b"")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Requests that are malformed, far too large or endlessly slow, and 10,000 connections on which nobody speaks, leave every
server serving. The real programs on loopback ports, without certificates: whoever is there may try.
Usage: hostile_test.py FOLDER_OF_BINARIES [SEED]."""

import os
import pathlib
import random
import re
import resource
import select
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from needs import needs
import access
from processes import DIRECT, Process, free_ports

needs("grpc")
import grpc

BINARIES = pathlib.Path()
SEED = random.SystemRandom().randrange(2**32)
CALL_SECONDS = 30
START_SECONDS = 60
IDLE_CONNECTIONS = 10000
DRIPPING_STREAMS = 64
MOST_MESSAGE_BYTES = 2 << 20  # kMaxRequestBytes in common/rpc/message_size.h
GIB = 2**30
# Beyond what a server holds of requests that it has not read: ServerOptions::max_buffered_bytes is 128 MiB.
MOST_GROWTH_BYTES = 300 << 20
STALL_SECONDS = 5
SERVICES = {"replay": ("ReplayService",), "planner": ("PlannerService",),
            "learner": ("RunService", "ParameterService", "RankService")}
HEALTH = "/grpc.health.v1.Health/Check"


def frame(kind, flags, stream, payload=b""):
    """Of HTTP/2 (RFC 9113)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def begin_call(path):
    """What a client sends before the first message of a call: preface, settings, and the head of stream 1 (RFC 7541,
    without compression)."""
    text = lambda value: bytes([len(value)]) + value.encode()
    head = (b"\x83\x86" + b"\x04" + text(path) + b"\x01" + text("x") + b"\x0f\x10" + text("application/grpc")
            + b"\x00" + text("te") + text("trailers"))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, head)


def message_head(size):
    """The head of a message of so many bytes."""
    return b"\0" + struct.pack(">I", size)


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        logs = pathlib.Path(folder.name)
        replay, planner, learner = (f"127.0.0.1:{port}" for port in free_ports(3))
        cls.addresses = {"replay": replay, "planner": planner, "learner": learner}
        cls.processes = {
            "replay": Process("replay", logs, BINARIES / "pompc-replay", "--listen", replay),
            "planner": Process("planner", logs, BINARIES / "pompc-planner", "--listen", planner, "--learner", learner),
            "learner": Process("learner", logs, BINARIES / "pompc-learner", "--listen", learner, "--replay", replay,
                               "--run-dir", str(logs / "run"), "--preset", "quickstart")}
        for process in cls.processes.values():
            cls.addClassCleanup(process.kill)
        deadline = time.monotonic() + START_SECONDS
        for name in SERVICES:
            while cls.health(name) != "OK":
                log = cls.processes[name].log.read_text()
                assert time.monotonic() < deadline and cls.processes[name].popen.poll() is None, log
                threading.Event().wait(0.2)
        # Before the learner has opened it, the shard answers everything alike.
        while cls.processes["replay"].total("pompc_replay_capacity_rows") == 0:
            assert time.monotonic() < deadline, cls.processes["learner"].log.read_text()
            threading.Event().wait(0.2)

    def tearDown(self):
        for name, process in self.processes.items():
            self.assertIsNone(process.popen.poll(), f"{name} has ended:\n{process.log.read_text()[-3000:]}")
            self.assertEqual(self.health(name), "OK", process.log.read_text()[-3000:])

    @classmethod
    def health(cls, name):
        """Whether a new client is served: an empty request is the question about the server as a whole."""
        return cls.call(name, HEALTH, b"")

    @classmethod
    def call(cls, name, path, body):
        with grpc.insecure_channel(cls.addresses[name], [("grpc.use_local_subchannel_pool", 1),
                                                         ("grpc.enable_http_proxy", 0)]) as channel:
            try:
                channel.unary_unary(path)(body, timeout=CALL_SECONDS)
                return "OK"
            except grpc.RpcError as error:
                return error.code().name

    def connect(self, name):
        host, port = self.addresses[name].split(":")
        connection = socket.create_connection((host, int(port)), timeout=CALL_SECONDS)
        self.addCleanup(connection.close)
        return connection

    def methods(self, name):
        return [f"/pompc.proto.{service}/{method}" for service, method in access.declared()
                if service in SERVICES[name]]

    def test_malformed_requests(self):
        noise = random.Random(SEED)
        # Fields 1 and 4 with lengths that go beyond the message, groups that never end, numbers that are too long.
        crafted = [b"\x0a\xff\xff\xff\xff\x0f", b"\x22\x7f", b"\x0b" * 200, b"\xff" * 11, b"\x0a\x80", b"\x08"]
        for name in SERVICES:
            with grpc.insecure_channel(self.addresses[name]) as channel:
                for path in self.methods(name):
                    bodies = crafted + [noise.randbytes(noise.randrange(1, 300)) for _ in range(20)]
                    for body in bodies:
                        try:
                            channel.unary_unary(path)(body, timeout=CALL_SECONDS)
                            # To a stream, what cannot be read is its end.
                            self.assertTrue(path.endswith("/Append"), f"{path} took {body.hex()} (seed {SEED})")
                        except grpc.RpcError as error:
                            self.assertNotIn(error.code().name, ("UNAVAILABLE", "DEADLINE_EXCEEDED"),
                                             f"{path} {body.hex()} (seed {SEED}): {error}")

    def test_noise_in_place_of_http(self):
        noise = random.Random(SEED)
        for name in SERVICES:
            for _ in range(20):
                connection = self.connect(name)
                start = begin_call(HEALTH)[:noise.randrange(120)] if noise.randrange(2) else b""
                try:
                    connection.sendall(start + noise.randbytes(noise.randrange(1, 2000)))
                except OSError:
                    pass  # the server has seen enough

    def test_a_message_of_a_gibibyte(self):
        for name in SERVICES:
            before = self.peak_bytes(name)
            connection = self.connect(name)
            path = self.methods(name)[0]
            connection.sendall(begin_call(path))
            sent, refused = self.send_message(connection, GIB)
            grown = self.peak_bytes(name) - before
            print(f"{path}: {sent >> 20} MiB were sent, refused: {refused}, the server grew by {grown >> 20} MiB")
            self.assertLess(grown, MOST_GROWTH_BYTES, path)
            self.assertEqual(self.health(name), "OK", "while the rest of it is to come")
            connection.close()

    def peak_bytes(self, name):
        status = pathlib.Path(f"/proc/{self.processes[name].popen.pid}/status").read_text()
        return int(re.search(r"(?m)^VmHWM:\s+(\d+)", status)[1]) * 1024

    def send_message(self, connection, size):
        """As fast as the server lets (RFC 9113, 5.2). The bytes that were sent, and whether it has ended the call."""
        data, sent = b"", -5
        windows = {0: 65535, 1: 65535}
        while sent < size:
            may_send = min(windows[0], windows[1], 16384, size - sent)
            readable, writable, _ = select.select([connection], [connection] if may_send > 0 else [], [], STALL_SECONDS)
            if not readable and not writable:
                return sent, False
            try:
                if readable:
                    more = connection.recv(65536)
                    if not more:
                        return sent, True
                    data += more
                elif sent < 0:
                    connection.sendall(frame(0, 0, 1, message_head(size)))
                    sent, windows = 0, {stream: left - 5 for stream, left in windows.items()}
                else:
                    connection.sendall(frame(0, 0, 1, bytes(may_send)))
                    sent, windows = sent + may_send, {stream: left - may_send for stream, left in windows.items()}
            except OSError:
                return sent, True
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                end = 9 + int.from_bytes(data[:3], "big")
                kind, flags, stream, payload = data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]
                data = data[end:]
                if kind == 8:
                    windows[stream] += int.from_bytes(payload, "big")
                elif kind == 4 and not flags & 1:
                    for at in range(0, len(payload), 6):
                        setting, value = struct.unpack(">HI", payload[at:at + 6])
                        windows[1] += value - 65535 if setting == 4 else 0
                    connection.sendall(frame(4, 1, 0))
                elif kind == 7 or (stream == 1 and (kind == 3 or (kind == 1 and flags & 1))):
                    return sent, True
        return sent, False

    def test_streams_that_drip(self):
        for name in SERVICES:
            paths = self.methods(name)
            streams = []
            for index in range(DRIPPING_STREAMS):
                connection = self.connect(name)
                connection.sendall(begin_call(paths[index % len(paths)]) +
                                   frame(0, 0, 1, message_head(MOST_MESSAGE_BYTES - 1)))
                streams.append(connection)
            for _ in range(5):
                for connection in streams:
                    try:
                        connection.sendall(frame(0, 0, 1, b"\x0a"))
                    except OSError:
                        pass  # the server has ended it
                self.assertEqual(self.health(name), "OK", "while others drip")

    def test_connections_on_which_nobody_speaks(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        count = min(IDLE_CONNECTIONS, most - 500)
        if count < IDLE_CONNECTIONS:
            print(f"only {count} connections: the system allows {most} descriptors")
        for name in SERVICES:
            idle = []
            try:
                host, port = self.addresses[name].split(":")
                for index in range(count):
                    connection = socket.create_connection((host, int(port)), timeout=CALL_SECONDS)
                    idle.append(connection)
                    # Half of them say who they are and then nothing more.
                    if index % 2:
                        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
                self.assertEqual(self.health(name), "OK", "among idle connections")
                with DIRECT.open(self.processes[name].metrics_url, timeout=CALL_SECONDS) as page:
                    self.assertEqual(page.status, 200)
            finally:
                for connection in idle:
                    connection.close()


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    if len(sys.argv) > 1 and sys.argv[1].isdecimal():
        SEED = int(sys.argv.pop(1))
    print(f"seed {SEED}")
    unittest.main()

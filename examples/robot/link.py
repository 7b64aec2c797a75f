"""Datagrams between a robot and its actor, over a link that delays and loses them as it is told to."""

import argparse
import heapq
import itertools
import json
import random
import re
import socket
import threading
import time


def integer(text):
    """A `type` for argparse, where int takes 010, 1_0 and -5."""
    if not re.fullmatch("0|[1-9][0-9]{0,17}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


LARGEST_BYTES = 65507  # of a UDP datagram's content


class Link:
    """A UDP socket on loopback. What is sent may be lost (with probability `loss`) and is held back for up to `jitter`
    seconds, so that it may overtake. Thread-safe; close() sends the rest and ends its thread."""

    def __init__(self, port=0, jitter=0.0, loss=0.0, seed=0):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._jitter, self._loss, self._random = jitter, loss, random.Random(seed)
        self._held = []  # (when it goes, order, bytes, address)
        self._order, self._changed, self._open = itertools.count(), threading.Condition(), True
        self.sent = self.lost = 0
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._thread.start()

    def send(self, message, port):
        """ValueError if the message is too large for a datagram."""
        data = json.dumps(message).encode()
        if len(data) > LARGEST_BYTES:
            raise ValueError(f"a message of {len(data)} bytes is too large for a datagram ({LARGEST_BYTES}): "
                             "it needs actions for fewer ticks (--reach)")
        with self._changed:
            self.sent += 1
            if self._random.random() < self._loss:
                self.lost += 1
                return
            due = time.monotonic() + self._random.uniform(0, self._jitter)
            heapq.heappush(self._held, (due, next(self._order), data, port))
            self._changed.notify()

    def _deliver(self):
        with self._changed:
            while self._open:
                wait = self._held[0][0] - time.monotonic() if self._held else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, data, port = heapq.heappop(self._held)
                self._socket.sendto(data, ("127.0.0.1", port))

    def receive(self, seconds):
        """(message, port of its sender); None if nothing came in that time, or something that is no message."""
        self._socket.settimeout(max(seconds, 1e-4))
        try:
            data, (_, port) = self._socket.recvfrom(65536)
            message = json.loads(data)
        except (TimeoutError, socket.timeout, ValueError):
            return None
        return (message, port) if isinstance(message, dict) else None

    def close(self):
        with self._changed:
            while self._held:  # the rest goes out
                self._changed.wait(0.01)
            self._open = False
            self._changed.notify()
        self._thread.join()
        self._socket.close()

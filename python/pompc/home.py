"""The thread in which an environment lives. Much may only be used in the thread that made it: database connections,
event loops, graphics contexts. So one thread makes an environment, tries it out, steps it under every lease, and closes
it."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pompc.errors import Failed

T = TypeVar("T")

# Homes in one process that have an event loop each: it takes three file descriptors.
MAX_EVENT_LOOPS = 64


class Home:
    """Runs what it is told in a thread of its own, one thing after the other. To be told by one thread at a time."""

    def __init__(self, event_loop: bool = False):
        """`event_loop`: asyncio.get_event_loop() finds one there, as it does in a program's main thread."""
        self._event_loop = event_loop
        self._tasks: queue.SimpleQueue[tuple[concurrent.futures.Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, function: Callable[[], T]) -> "concurrent.futures.Future[T]":
        """Has it called in the thread. Returns a Future of the result, which can be cancelled until then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                raise Failed(f"cannot start a thread for another environment: {error}") from error
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._tasks.put((future, function))
        return future

    def call(self, function: Callable[[], T]) -> T:
        """Likewise; returns what it returned, raises what it raised."""
        return self.begin(function).result()

    def _live(self) -> None:
        if self._event_loop:
            with contextlib.suppress(OSError):  # no file descriptors are left; few environments want one
                loop = asyncio.new_event_loop()
                asyncio.set_event_loop(loop)
                atexit.register(_close, loop)
        while True:
            _run(*self._tasks.get())


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """When Python ends: one that is open would say so on stderr. One that runs cannot be closed, and says nothing."""
    with contextlib.suppress(RuntimeError):
        loop.close()


def _run(future: "concurrent.futures.Future[Any]", function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            result = function()
        except BaseException as error:  # pylint: disable=broad-except
            future.set_exception(error)
        else:
            future.set_result(result)

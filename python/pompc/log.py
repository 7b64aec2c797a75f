"""Lines for whoever runs the process, and what it waits for."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import TextIO

from pompc import limits


class Log:
    """Lines on a stream. Not of the package logging, whose settings are the environment's: it may silence what is there
    already. Thread-safe."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None  # nothing is written before it is set
        self._lock = threading.Lock()

    def info(self, text: str) -> None:
        now = time.time()
        self.say(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03} {text}")

    def say(self, line: str) -> None:
        """A log that cannot be written stops nobody."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self.stream is not None:
                self.stream.write(line + "\n")


log = Log()


class Waits:
    """What the process waits for just now, for its log and the run's status. Thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._lock = threading.Lock()
        self._reasons: dict[Hashable, str] = {}  # by who waits
        self._logged: dict[str, float] = {}      # text -> when it was logged last

    def set(self, who: Hashable, why: str) -> None:
        """`who` waits for a reason; "" means that it has resumed. A reason is logged when it comes up, and each
        LOG_SECONDS."""
        with self._lock:
            if why:
                self._reasons[who] = why
                self._log(why)
            elif self._reasons.pop(who, None) and not self._reasons:
                self._log("waits no longer")

    def text(self) -> str:
        """The reasons in words, empty if nothing waits."""
        with self._lock:
            return "; ".join(dict.fromkeys(self._reasons.values()))

    def tell(self, text: str) -> None:
        """Logs something that may come up often, unless it was logged just now."""
        with self._lock:
            self._log(text)

    def _log(self, text: str) -> None:
        now = self._now()
        self._logged = {old: at for old, at in self._logged.items() if now - at < limits.LOG_SECONDS}
        if text not in self._logged:
            self._logged[text] = now
            log.info(text)

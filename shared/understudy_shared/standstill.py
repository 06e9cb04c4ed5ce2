"""Threads that can be held still for a moment, whatever they have to do.

A thread says when it works and when it only waits (`Standstill.work`, `Standstill.wait`); `Standstill.hold` lets none
go on that waits, once none works. Some programs that Python is embedded in need that: see `threads`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

_SETTLE = 1e-3
"""Seconds for a thread that has just said that it waits to begin to."""


class Standstill:
    """All methods may be called from any thread; none holds itself up: `hold` is not for threads inside `work`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._working = self._holds = 0

    @contextmanager
    def work(self) -> Iterator[None]:
        """Inside it, or a function decorated with it, the calling thread works; entering waits while somebody holds."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Inside `work`: meanwhile the thread waits in a system call, and runs no Python."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    @contextmanager
    def hold(self, patience: float = 2.0) -> Iterator[bool]:
        """Inside it no thread works. Gives whether that is so: a thread that works on for longer is not waited for.

        Args:
            patience: seconds.
        """
        with self._changed:
            self._holds += 1
            still = self._changed.wait_for(lambda: not self._working, patience)
        try:
            time.sleep(_SETTLE)
            yield still
        finally:
            with self._changed:
                self._holds -= 1
                self._changed.notify_all()

    def _begin(self) -> None:
        with self._changed:
            while self._holds:
                self._changed.wait()
            self._working += 1

    def _end(self) -> None:
        with self._changed:
            self._working -= 1
            self._changed.notify_all()


threads = Standstill()
"""Of the threads that serve a client in this process. Blender up to 5.0 looks into Python's objects without Python's
lock while an operator runs in an overridden context, and crashes if a thread runs Python just then."""


class Writer(ThreadPoolExecutor):
    """One thread that does what it is given in turn, and stands still with `threads`."""

    def __init__(self, name: str) -> None:
        super().__init__(1, name)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As of any executor."""
        return super().submit(threads.work()(fn), *args, **kwargs)

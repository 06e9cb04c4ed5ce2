# SPDX-License-Identifier: GPL-3.0-or-later
"""Work for Blender's main thread, given from the thread of a render.

In a window Blender renders in a thread of its own, where the scene may be read but nothing made; timers go on in the
main thread meanwhile. Without a window there is only the main thread, and the work is done at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import bpy

Done = TypeVar("Done")

INTERVAL = 0.05
PATIENCE = 20.0
"""Seconds after which a main thread that has not begun is taken for one that never will: it may itself be waiting for
the render to end."""


@dataclass
class _Task:
    function: Callable[[], Any]
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None
    withdrawn: bool = False


class MainThread:
    """`attach` and `detach` in register and unregister; `call` from anywhere."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._timer: Callable[[], float] | None = None

    def attach(self) -> None:
        """Registers the timer."""

        def timer() -> float:
            self.work()
            return INTERVAL

        self._timer = timer
        bpy.app.timers.register(timer, persistent=True)

    def detach(self) -> None:
        """Takes the timer away; who waits is told."""
        if self._timer is not None and bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        self._timer = None
        while (task := self._next()) is not None:
            task.error = RuntimeError("Understudy was switched off")
            task.begun.set()
            task.ended.set()

    def call(self, function: Callable[[], Done], patience: float = PATIENCE) -> Done:
        """Calls `function` in the main thread and gives what it returns, or raises what it raises.

        Raises:
            RuntimeError: the main thread does not come to it within `patience` seconds.
        """
        if threading.current_thread() is threading.main_thread():
            return function()
        task = _Task(function)
        self._tasks.put(task)
        if not task.begun.wait(patience):
            task.withdrawn = True
            raise RuntimeError("Blender's window is busy: wait until it is free, and render again")
        task.ended.wait()
        if task.error is not None:
            raise task.error
        return task.result

    def work(self) -> None:
        """Does what waits. In the main thread."""
        while (task := self._next()) is not None:
            if task.withdrawn:
                continue
            task.begun.set()
            try:
                task.result = task.function()
            except BaseException as error:  # it belongs to who asked
                task.error = error
            task.ended.set()

    def _next(self) -> _Task | None:
        try:
            return self._tasks.get_nowait()
        except queue.Empty:
            return None

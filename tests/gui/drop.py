"""Drops a file onto the window under the pointer, as a file manager does: `drop.py X Y FILE`.

X11's drag-and-drop protocol (XDND) as its source speaks it, since no tool that sends keys and clicks can do that. The
libX11 of the machine is called directly.
"""

from __future__ import annotations

import ctypes
import sys
import time
from ctypes import POINTER, Structure, Union, byref, c_char_p, c_int, c_long, c_ubyte, c_uint, c_ulong, c_void_p
from pathlib import Path

PATIENCE = 20.0
"""Seconds that Blender has to take the file."""

CLIENT_MESSAGE, SELECTION_REQUEST, SELECTION_NOTIFY = 33, 30, 31


class _Message(Structure):
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("window", c_ulong),
        ("message_type", c_ulong),
        ("format", c_int),
        ("data", c_long * 5),
    )


class _Request(Structure):
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("owner", c_ulong),
        ("requestor", c_ulong),
        ("selection", c_ulong),
        ("target", c_ulong),
        ("property", c_ulong),
        ("time", c_ulong),
    )


class _Notify(Structure):
    _fields_ = (
        ("type", c_int),
        ("serial", c_ulong),
        ("send_event", c_int),
        ("display", c_void_p),
        ("requestor", c_ulong),
        ("selection", c_ulong),
        ("target", c_ulong),
        ("property", c_ulong),
        ("time", c_ulong),
    )


class _Event(Union):
    _fields_ = (
        ("type", c_int),
        ("message", _Message),
        ("request", _Request),
        ("notify", _Notify),
        ("room", c_long * 24),
    )


def _library() -> ctypes.CDLL:
    x11 = ctypes.CDLL("libX11.so.6")
    for name, result, arguments in (
        ("XOpenDisplay", c_void_p, (c_char_p,)),
        ("XDefaultRootWindow", c_ulong, (c_void_p,)),
        ("XInternAtom", c_ulong, (c_void_p, c_char_p, c_int)),
        ("XCreateSimpleWindow", c_ulong, (c_void_p, c_ulong, *[c_int] * 2, *[c_uint] * 3, *[c_ulong] * 2)),
        ("XSetSelectionOwner", c_int, (c_void_p, c_ulong, c_ulong, c_ulong)),
        ("XWarpPointer", c_int, (c_void_p, c_ulong, c_ulong, *[c_int] * 2, *[c_uint] * 2, *[c_int] * 2)),
        (
            "XQueryPointer",
            c_int,
            (c_void_p, c_ulong, *[POINTER(c_ulong)] * 2, *[POINTER(c_int)] * 4, POINTER(c_uint)),
        ),
        ("XSendEvent", c_int, (c_void_p, c_ulong, c_int, c_long, POINTER(_Event))),
        (
            "XChangeProperty",
            c_int,
            (c_void_p, c_ulong, c_ulong, c_ulong, c_int, c_int, POINTER(c_ubyte), c_int),
        ),
        ("XFlush", c_int, (c_void_p,)),
        ("XPending", c_int, (c_void_p,)),
        ("XNextEvent", c_int, (c_void_p, POINTER(_Event))),
    ):
        function = getattr(x11, name)
        function.restype, function.argtypes = result, arguments
    return x11


class Source:
    """The side of the protocol that has the file.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._x = _library()
        self._display = self._x.XOpenDisplay(None)
        self._root = self._x.XDefaultRootWindow(self._display)
        self._window = self._x.XCreateSimpleWindow(self._display, self._root, 0, 0, 1, 1, 0, 0, 0)
        self._content = f"{path.as_uri()}\r\n".encode()

    def drop(self, x: int, y: int) -> None:
        """Drags the file to a place of the screen, and lets it go there.

        Raises:
            TimeoutError: the window there does not take it.
        """
        self._x.XWarpPointer(self._display, 0, self._root, 0, 0, 0, 0, x, y)
        target = self._under_pointer()
        self._x.XSetSelectionOwner(self._display, self._atom("XdndSelection"), self._window, 0)
        self._send(target, "XdndEnter", 5 << 24, self._atom("text/uri-list"), 0, 0)
        for _ in range(3):  # Blender asks for the file at the first, and knows what it is at the next
            self._send(target, "XdndPosition", 0, x << 16 | y, 0, self._atom("XdndActionCopy"))
            self._answer("XdndStatus")
            time.sleep(0.3)
        self._send(target, "XdndDrop", 0, 0, 0, 0)
        self._answer("XdndFinished")

    def _under_pointer(self) -> int:
        root, child, mask = c_ulong(), c_ulong(), c_uint()
        at = [c_int() for _ in range(4)]
        self._x.XQueryPointer(self._display, self._root, byref(root), byref(child), *map(byref, at), byref(mask))
        return child.value

    def _atom(self, name: str) -> int:
        return self._x.XInternAtom(self._display, name.encode(), 0)

    def _send(self, target: int, kind: str, *data: int) -> None:
        event = _Event()
        message = event.message
        message.type, message.window, message.format = CLIENT_MESSAGE, target, 32
        message.message_type = self._atom(kind)
        message.data = (c_long * 5)(self._window, *data)
        self._x.XSendEvent(self._display, target, 0, 0, byref(event))
        self._x.XFlush(self._display)

    def _answer(self, kind: str) -> None:
        """Waits for an answer, and hands the file's address over meanwhile."""
        end, event = time.monotonic() + PATIENCE, _Event()
        while time.monotonic() < end:
            if not self._x.XPending(self._display):
                time.sleep(0.02)
                continue
            self._x.XNextEvent(self._display, byref(event))
            if event.type == SELECTION_REQUEST:
                self._hand_over(event.request)
            elif event.type == CLIENT_MESSAGE and event.message.message_type == self._atom(kind):
                return
        raise TimeoutError(f"no {kind} from the window")

    def _hand_over(self, asked: _Request) -> None:
        content = (c_ubyte * len(self._content))(*self._content)
        self._x.XChangeProperty(
            self._display, asked.requestor, asked.property, asked.target, 8, 0, content, len(content)
        )
        event = _Event()
        notify = event.notify
        notify.type, notify.requestor, notify.selection = SELECTION_NOTIFY, asked.requestor, asked.selection
        notify.target, notify.property, notify.time = asked.target, asked.property, asked.time
        self._x.XSendEvent(self._display, asked.requestor, 0, 0, byref(event))
        self._x.XFlush(self._display)


if __name__ == "__main__":
    Source(Path(sys.argv[3])).drop(int(sys.argv[1]), int(sys.argv[2]))

"""Mouse and eyes for a test in Blender's window: runs inside Blender, moves the real pointer, and takes pictures.

A test is a generator: it yields the seconds (or a condition) to wait, and Blender lives on meanwhile. A button is found
the way an artist could check it: the pointer goes over it, Ctrl-C copies its command, and that names the operator.
Nothing is pressed by Python: all that happens, happens because of a click.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import bpy

Wait = float | Callable[[], object]
Steps = Generator[Wait, None, None]

ROW = 12
"""Pixels between two looks for a button: less than the height of one."""


class Driver:
    """Runs the steps of a test, and keeps what they found out.

    Args:
        out: folder for pictures and `result.json`.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.result: dict[str, object] = {"steps": [], "error": ""}
        self.found: tuple[int, int] | None = None
        """Where the last `find` has found its button, in pixels of the screen."""
        self._count = 0

    def run(self, steps: Steps) -> None:
        """Plays the steps, writes `result.json` and quits Blender."""
        waiting: list[Wait] = [2.0]
        deadline = [time.monotonic() + 2.0]

        def timer() -> float | None:
            try:
                if callable(waiting[0]):
                    if not waiting[0]() and time.monotonic() < deadline[0]:
                        return 0.1
                    if time.monotonic() >= deadline[0]:
                        raise TimeoutError(f"waited in vain after {self.result['steps']}")
                waiting[0] = next(steps)
                if callable(waiting[0]):
                    deadline[0] = time.monotonic() + 300
                    return 0.1
                return float(waiting[0])
            except StopIteration:
                pass
            except Exception as error:
                self.result["error"] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
                self.shot("error")
            (self.out / "result.json").write_text(json.dumps(self.result, indent=1))
            bpy.ops.wm.quit_blender()
            return None

        bpy.app.timers.register(timer, first_interval=6.0, persistent=True)

    def shot(self, name: str) -> None:
        """A picture of the whole window, numbered in the order of the steps."""
        self._count += 1
        subprocess.run(["import", "-window", "root", str(self.out / f"{self._count:02d}_{name}.png")], check=True)
        self.result["steps"].append(name)

    def click(self, x: int, y: int, button: int = 1) -> Steps:
        """Comes near, goes there, presses and lets go, no quicker than a hand: Blender shall see each."""
        _xdotool("mousemove", x - 4, y)
        yield 0.15
        _xdotool("mousemove", x, y)
        yield 0.15
        _xdotool("mousedown", button)
        yield 0.1
        _xdotool("mouseup", button)
        yield 0.3

    def key(self, *names: str) -> Steps:
        """Keys, as X11 calls them, one after the other, at the place of the pointer."""
        for name in names:
            _xdotool("key", name)
            yield 0.3

    def enter(self, text: str) -> Steps:
        """Into the text field that was clicked, in place of what is there."""
        yield from self.key("ctrl+a")
        _xdotool("type", "--delay", 20, text)
        yield 0.4
        yield from self.key("Return")

    def choose(self, operator: str, x: int, y: int, most: int = 300) -> Steps:
        """Opens the menu whose button is there, and clicks the entry that does it.

        Args:
            operator: as for `press`.
            x, y: of the button that opens the menu, in pixels of the screen.
            most: height in which the entry must be, in pixels.
        """
        yield from self.click(x, y)
        yield 0.7
        yield from self.pick(operator, x, y, range(ROW, most, ROW))

    def pick(self, operator: str, x: int, y: int, places: Iterable[int]) -> Steps:
        """Clicks the entry of an open menu that does it; it is looked for at these distances below a point."""
        for down in places:
            yield from self.look(operator, x - 4, y + down)
            if self.found:
                yield from self.click(*self.found)
                return
        raise LookupError(f"no entry of the menu does {operator}")

    def drag(self, start: tuple[int, int], right: int) -> Steps:
        """A stroke to the right, with the left button held."""
        x, y = start
        _xdotool("mousemove", x - 4, y)
        yield 0.3
        _xdotool("mousemove", x, y)
        yield 0.3
        _xdotool("mousedown", 1)
        for moved in range(0, right + 1, 10):
            _xdotool("mousemove", x + moved, y)
            yield 0.1
        _xdotool("mouseup", 1)
        yield 1.0

    def switch_editor(self, area: bpy.types.Area, letter: str, wanted: str) -> Steps:
        """Another editor in the place of this one, from the menu at the left of its header.

        Args:
            letter: that is underlined in the menu; "1" is its first entry, the 3D view.
            wanted: the editor's `ui_type`.
        """
        header = region_of(area, "HEADER")
        for _ in range(3):
            yield from self.click(*screen(header.x + 24, header.y + header.height // 2))
            yield 1.0
            yield from self.key(letter)
            yield 1.5
            if area.ui_type == wanted:
                return
            yield from self.key("Escape")
        raise LookupError(f"the editor does not become {wanted}")

    def next_entry(self, x: int, y: int, times: int = 1) -> Steps:
        """Ctrl and the wheel over a closed menu: its later entries, one by one."""
        _xdotool("mousemove", x - 4, y)
        yield 0.3
        _xdotool("mousemove", x, y, "keydown", "ctrl")
        for _ in range(times):
            yield 0.3
            _xdotool("click", 5)
        yield 0.3
        _xdotool("keyup", "ctrl")

    def drop(self, path: Path, area: bpy.types.Area) -> Steps:
        """Drags a file from a file manager onto an editor."""
        x, y = self.middle(area, "WINDOW")
        command = [sys.executable, str(Path(__file__).with_name("drop.py")), str(x), str(y), str(path)]
        dropping = subprocess.Popen(command)
        yield lambda: dropping.poll() is not None
        if dropping.returncode:
            raise RuntimeError(f"{path.name} could not be dropped")
        yield 1.0

    def key_over(self, area: bpy.types.Area, *names: str) -> Steps:
        """Keys with the pointer over an editor."""
        x, y = self.middle(area, "WINDOW")
        _xdotool("mousemove", x - 40, y)
        yield 0.3
        _xdotool("mousemove", x - 60, y)
        yield 0.3
        yield from self.key(*names)

    def frame_all(self, area: bpy.types.Area) -> Steps:
        """The Home key over an editor: all that is in it comes into view."""
        yield from self.key_over(area, "Home")
        yield 3.0

    def open_sidebar(self, area: bpy.types.Area, tab: str) -> Steps:
        """The N key over an editor, then clicks down the tabs until ours is in front."""
        if region_of(area, "UI").width <= 1:
            yield from self.key_over(area, "n")
            yield 1.5
        region = region_of(area, "UI")
        if region.width <= 1:
            raise LookupError("the sidebar does not open")
        for down in range(10, region.height, 20):
            if region.active_panel_category == tab:
                return
            yield from self.click(*screen(region.x + region.width - 9, region.y + region.height - down))
        raise LookupError(f"there is no tab {tab}")

    def scroll_to_top(self, area: bpy.types.Area) -> Steps:
        x, y = self.middle(area)
        _xdotool("mousemove", x, y, "click", "--repeat", 40, "--delay", 8, 4)
        yield 0.6

    def middle(self, area: bpy.types.Area, kind: str = "UI") -> tuple[int, int]:
        region = region_of(area, kind)
        return screen(region.x + region.width // 2, region.y + region.height // 2)

    def press(self, operator: str, area: bpy.types.Area, right: float = 0.45) -> Steps:
        """Finds the button of an operator in the sidebar and clicks it.

        Args:
            operator: as `understudy.load_photo`, or more of its command.
            area: whose sidebar.
            right: where in the width of the sidebar to look, from 0 to 1.
        """
        yield from self.find(operator, area, right)
        assert self.found is not None
        yield from self.click(*self.found)
        yield 0.3

    def find(self, operator: str, area: bpy.types.Area, right: float = 0.45) -> Steps:
        """Looks down the sidebar, then scrolls, and looks again."""
        yield from self.scroll_to_top(area)
        for _ in range(5):
            region = region_of(area, "UI")
            x = region.x + int(region.width * right)
            for y in range(region.y + region.height - 4, region.y + 4, -ROW):
                yield from self.look(operator, *screen(x, y))
                if self.found:
                    return
            _xdotool("mousemove", *self.middle(area), "click", "--repeat", 8, "--delay", 8, 5)
            yield 0.6
        raise LookupError(f"there is no button that does {operator}")

    def look(self, operator: str, x: int, y: int) -> Steps:
        """Whether the button under a point does this; `found` is the point then."""
        bpy.context.window_manager.clipboard = ""
        _xdotool("mousemove", x, y)
        yield 0.04
        _xdotool("key", "ctrl+c")
        yield 0.05
        self.found = (x, y) if operator in bpy.context.window_manager.clipboard else None

    def choose_file(self, name: str, folder: Path | None = None) -> Steps:
        """In the file browser that is open: clicks at files until the one is marked, then the button that takes it.

        Args:
            folder: typed into the field at the top first; default: the one that is shown.
        """
        yield lambda: _browser() is not None
        yield 1.5
        window, area = _browser()
        space = area.spaces.active
        if folder is not None:
            top = region_of(area, "UI")
            yield from self.click(*screen(top.x + top.width // 3, top.y + top.height // 2, window))
            yield from self.enter(f"{folder}/")
            yield 1.0
        list_ = region_of(area, "WINDOW")
        for row in range(12):
            for column in range(1, 8):
                x, y = list_.x + column * list_.width // 8, list_.y + list_.height - 12 - row * 20
                yield from self.click(*screen(x, y, window))
                if space.params.filename == name:
                    yield 0.5
                    self.shot(f"file_{Path(name).stem}")
                    run = region_of(area, "EXECUTE")
                    # The button that takes the file is the last in the row at the bottom.
                    x, y = screen(run.x + int(run.width * 0.91), run.y + run.height // 2, window)
                    yield from self.click(x, y)
                    yield 1.5
                    if _browser() is not None:
                        raise LookupError("the file browser did not take the file")
                    return
        raise LookupError(f"{name} is not in the file browser, which shows {space.params.directory}")


def area_of(kind: str) -> bpy.types.Area:
    """The first editor of a kind."""
    manager = bpy.context.window_manager
    return next(area for window in manager.windows for area in window.screen.areas if area.type == kind)


def _browser() -> tuple[bpy.types.Window, bpy.types.Area] | None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "FILE_BROWSER":
                return window, area
    return None


def region_of(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(region for region in area.regions if region.type == kind)


def screen(x: int, y: int, window: bpy.types.Window | None = None) -> tuple[int, int]:
    """From a window's pixels (origin at its bottom left) to the screen's (top left). The first window fills the screen,
    and there is no window manager, so that no window has a frame."""
    first = bpy.context.window_manager.windows[0]
    window = window or first
    return window.x + int(x), first.height - window.y - int(y)


def _xdotool(*arguments: object) -> None:
    subprocess.run(["xdotool", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

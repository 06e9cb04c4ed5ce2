"""How an artist installs the extension: by Preferences, Get Extensions, Install from Disk."""

from __future__ import annotations

from pathlib import Path

import bpy
from driver import Driver, Steps, region_of, screen

MODULE = "bl_ext.user_default.understudy"


def install(driver: Driver, zipped: Path) -> Steps:
    """From Blender's first window to the enabled extension, with mouse and keyboard; closes the preferences."""
    yield from driver.click(500, 700)  # the splash screen
    yield from driver.choose("screen.userpref_show", 80, 14)  # the menu Edit
    yield lambda: len(bpy.context.window_manager.windows) > 1
    yield 2.0
    window = bpy.context.window_manager.windows[1]
    area = window.screen.areas[0]
    tabs = region_of(area, "UI")
    for down in range(40, tabs.height, 20):
        yield from driver.click(*screen(tabs.x + 50, tabs.y + tabs.height - down, window))
        if bpy.context.preferences.active_section == "EXTENSIONS":
            break
    yield 1.0
    page = region_of(area, "WINDOW")
    menu = screen(page.x + page.width - 20, page.y + page.height - 20, window)
    yield from driver.choose("extensions.package_install_files", *menu)
    yield from driver.choose_file(zipped.name, zipped.parent)
    yield lambda: MODULE in bpy.context.preferences.addons
    yield 2.0
    driver.shot("installed")
    # There is no window manager here, whose cross would close the window.
    with bpy.context.temp_override(window=window):
        bpy.ops.wm.window_close()
    yield 1.0


def connect(driver: Driver, view: bpy.types.Area, address: str) -> Steps:
    """In the welcome: opens On Another Computer, types the address, and presses the button that appears."""
    yield from driver.find("understudy.find_backend", view)
    x, y = driver.found
    yield from driver.click(x - 40, y + 111)  # past On This Computer and its two rows
    yield 1.0
    yield from driver.find("understudy.show_preferences(page='SYSTEM')", view)
    x, y = driver.found
    yield from driver.click(x + 60, y - 71)  # above it the sentence, the keys, the address
    yield from driver.enter(address)
    yield 1.0
    yield from driver.press("understudy.connect", view)

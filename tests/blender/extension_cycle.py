"""Installs the extension's zip as Blender does, and switches it on and off: a script for a `bpy` of its own.

    python extension_cycle.py ZIP [TIMES]      with BLENDER_USER_RESOURCES naming an empty folder

The last line it prints is JSON: where the modules came from, what the extension added while it was on, and what was
left of it, category by category, after the first time off and after the last.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path

import bpy

import addon_utils  # isort: skip - Blender's own, to be had once bpy is there

MODULE = "bl_ext.user_default.understudy"
OWNERS = ("Scene", "Object", "WindowManager", "ViewLayer", "Image", "Material", "Strip", "Camera", "Armature", "Mesh")
OWNERS += ("Preferences", "Screen", "WorkSpace", "Collection", "World", "Text", "Action", "Node", "ID")
DATA = ("texts", "images", "scenes", "objects", "node_groups")
KINDS = ("Operator", "Panel", "Menu", "UIList", "Header", "PropertyGroup", "AddonPreferences", "RenderEngine")
KINDS += ("KeyingSetInfo", "NodeTree", "Node", "NodeSocket", "Gizmo", "GizmoGroup", "FileHandler", "AssetShelf")


def state() -> dict[str, set[str]]:
    """Everything that an extension can leave behind, by category. Names alone, so that nothing is kept alive."""
    gc.collect()
    found: dict[str, set[str]] = {}
    handlers = bpy.app.handlers
    for name in dir(handlers):
        functions = getattr(handlers, name)
        if isinstance(functions, list):
            found[f"handlers.{name}"] = {f"{i} {f.__module__}.{f.__qualname__}" for i, f in enumerate(functions)}
    found["threads"] = {thread.name for thread in threading.enumerate()}
    found["types"] = set(dir(bpy.types))
    for kind in KINDS:
        base = getattr(bpy.types, kind, None)
        if base is not None:
            # Blender makes classes of its own when somebody first looks for them, so only ours are counted
            found[f"subclasses.{kind}"] = {c.__name__ for c in every_subclass(base) if ours(c) and c.is_registered}
    for name in OWNERS:
        owner = getattr(bpy.types, name, None)
        if owner is not None:
            found[f"properties.{name}"] = set(owner.bl_rna.properties.keys())
            found[f"attributes.{name}"] = set(vars(owner))
    found["operators"] = {f"{m}.{n}" for m in dir(bpy.ops) for n in dir(getattr(bpy.ops, m))}
    found["engines"] = {
        f"{cls.__name__} {engine}"
        for cls in every_subclass(bpy.types.Panel)
        for engine in getattr(cls, "COMPAT_ENGINES", ())
        if not ours(cls)
    }
    for name in dir(bpy.types):
        drawn = getattr(getattr(getattr(bpy.types, name, None), "draw", None), "_draw_funcs", None)
        if drawn:
            found[f"draw.{name}"] = {f"{i} {f.__module__}.{f.__qualname__}" for i, f in enumerate(drawn)}
    configs = bpy.context.window_manager.keyconfigs
    for config in configs:
        for keymap in config.keymaps:
            items = {f"{item.idname} {item.type}" for item in keymap.keymap_items}
            found[f"keymap.{config.name}.{keymap.name}"] = items
    found["presets"] = set(bpy.utils.preset_paths("understudy"))
    found["modules"] = {name for name in sys.modules if name.startswith(f"{MODULE}.")}
    found["datablocks"] = {f"{kind} {len(getattr(bpy.data, kind))}" for kind in DATA}
    found["translations"] = {MODULE} if translated() else set()
    return found


def translated() -> bool:
    """Whether the extension's words are registered: Blender takes no second ones under the same name. Never in a `bpy`
    that was built without translations."""
    try:
        bpy.app.translations.register(f"{MODULE}.translations", {})
    except ValueError:
        return True
    bpy.app.translations.unregister(f"{MODULE}.translations")
    return False


def ours(cls: type) -> bool:
    return cls.__module__.startswith(MODULE)


def on() -> bool:
    return MODULE in bpy.context.preferences.addons


def every_subclass(base: type) -> list[type]:
    found = []
    for cls in base.__subclasses__():
        found += [cls, *every_subclass(cls)]
    return found


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, list[list[str]]]:
    """What came and what went, where anything did."""
    out = {}
    for name in sorted({*before, *after}):
        then, now = before.get(name, set()), after.get(name, set())
        if then != now:
            out[name] = [sorted(now - then)[:20], sorted(then - now)[:20]]
    return out


def switch_on() -> None:
    addon_utils.enable(MODULE, default_set=True, handle_error=fail)
    if not on():
        raise SystemExit("the extension cannot be switched on")


def fail(error: BaseException) -> None:
    raise error


def timers_left(timers: list) -> list[str]:
    """Names of the timers that still run. Blender has no list of them: they were noted when they were registered."""
    return [f"{timer.__module__}.{timer.__qualname__}" for timer in timers if bpy.app.timers.is_registered(timer)]


def main() -> None:
    path, times = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    bpy.ops.wm.read_factory_settings(use_empty=True)

    timers, commands = [], []
    spy(bpy.app.timers, "register", lambda given, _: timers.append(given[0]))
    spy(bpy.utils, "register_cli_command", lambda given, made: commands.append(made))
    spy(bpy.utils, "unregister_cli_command", lambda given, _: given[0] in commands and commands.remove(given[0]))

    bpy.ops.extensions.package_install_files(filepath=path, repo="user_default", enable_on_install=False)
    before = state()
    switch_on()
    import msgspec
    import understudy_shared
    import zmq
    from bl_ext.user_default import understudy
    from bl_ext.user_default.understudy.link.session import current

    files = {module.__name__: module.__file__ for module in (understudy, understudy_shared, zmq, msgspec)}
    # Blender unpacks wheels when an extension is switched on, and removes them when it is switched off
    site = Path(bpy.utils.user_resource("EXTENSIONS")).glob(".local/lib/*/site-packages/*")
    unpacked = sorted(path.name for path in site)
    current().connect("tcp://127.0.0.1:9", None)  # nobody there: the link's thread tries, and must end too
    added = difference(before, state())
    running = len(timers_left(timers)), len(commands)
    addon_utils.disable(MODULE, default_set=True, handle_error=fail)
    first = difference(before, state())
    once_off = state()
    for _ in range(times - 1):
        switch_on()
        current().connect("tcp://127.0.0.1:9", None)
        addon_utils.disable(MODULE, default_set=True, handle_error=fail)
    result = {
        "translates": bpy.app.build_options.international,
        "files": files,
        "unpacked": unpacked,
        "added": added,
        "running": running,
        "first": first,
        "since": difference(once_off, state()),
        "timers": timers_left(timers),
        "registered_timers": len(timers),
        "commands": len(commands),
    }
    print(json.dumps(result))


def spy(owner, name: str, told) -> None:
    """Calls `told(arguments, result)` after each call of a function of Blender's, which goes on as before."""
    real = getattr(owner, name)

    def watched(*arguments, **options):
        result = real(*arguments, **options)
        told(arguments, result)
        return result

    setattr(owner, name, watched)


if __name__ == "__main__":
    main()

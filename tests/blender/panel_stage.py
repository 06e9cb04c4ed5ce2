"""Panels drawn without a window, onto a layout that remembers what it is given."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

bpy = pytest.importorskip("bpy")


class Layout:
    """Records what is drawn. As strict as Blender where it matters: icons, menus and properties must exist.

    The log has tuples: what it is, its name, its text; of an operator also its properties, None where they are left as
    they are, and whether its row is enabled.
    """

    def __init__(self, log: list, enabled: bool = True) -> None:
        self.log, self.enabled, self.active = log, enabled, True
        self.alignment, self.scale_y = "EXPAND", 1.0
        self.use_property_split = self.use_property_decorate = False

    def _part(self, **_):
        return Layout(self.log, self.enabled)

    row = column = box = split = column_flow = _part

    def panel(self, idname, default_closed=False):
        self.log.append(("panel", idname, default_closed))
        return self._part(), self._part()

    def label(self, text="", icon="NONE", translate=True):
        assert icon in ICONS, icon
        self.log.append(("label", text))

    def operator(self, idname, text=None, icon="NONE"):
        assert icon in ICONS, icon
        category, name = idname.split(".")
        kind = getattr(bpy.types, f"{category.upper()}_OT_{name}", None) or getattr(bpy.ops, category)
        assert kind is not None
        properties = getattr(getattr(bpy.ops, category), name).get_rna_type().properties
        made = SimpleNamespace(**dict.fromkeys(properties.keys()))
        self.log.append(("operator", idname, text, made, self.enabled))
        return made

    def operator_menu_enum(self, idname, prop, text="", icon="NONE"):
        assert icon in ICONS, icon
        category, name = idname.split(".")
        for item in getattr(getattr(bpy.ops, category), name).get_rna_type().properties[prop].enum_items:
            self.log.append(("operator", idname, item.name, SimpleNamespace(**{prop: item.identifier}), self.enabled))

    def menu(self, idname, text=None, icon="NONE"):
        assert hasattr(bpy.types, idname) and icon in ICONS
        self.log.append(("menu", idname, text))

    def prop(self, owner, path, text=None, icon="NONE", **_):
        owner.path_resolve(path)
        self.log.append(("prop", path, text))

    def prop_enum(self, owner, path, value, text=None, icon="NONE"):
        assert value in owner.bl_rna.properties[path].enum_items and icon in ICONS
        self.log.append(("prop", path, text))

    def progress(self, factor=0.0, text="", type="BAR"):
        assert 0 <= factor <= 1
        self.log.append(("progress", factor, text))

    def separator(self, **_):
        pass


ICONS = set(bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items.keys())


def drawn(*names: str) -> list:
    """What the panels of these names draw (default: all that Blender would show)."""
    log: list = []
    from blender_addon.panels import CLASSES

    for cls in CLASSES:
        if not issubclass(cls, bpy.types.Panel) or (names and cls.__name__ not in names):
            continue
        if not names and hasattr(cls, "poll") and not cls.poll(bpy.context):
            continue
        panel = SimpleNamespace(layout=Layout(log))
        log.append(("section", cls.__name__))
        if hasattr(cls, "draw_header_preset"):
            cls.draw_header_preset(panel, bpy.context)
        cls.draw(panel, bpy.context)
    return log


def operators(log) -> list[str]:
    return [entry[1] for entry in log if entry[0] == "operator"]


def texts(log) -> str:
    return " ".join(str(entry[-1]) for entry in log if entry[0] in ("label", "progress"))

"""Writes the tables in docs/ that come from the code: settings of methods, and file formats.

    python packaging/docs_tables.py            brings the tables up to date
    python packaging/docs_tables.py --check    names the pages that are not, and ends with 1

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the text around it is written by hand. NAME is
`settings METHOD`, `motion formats` or `camera formats`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from understudy_backend.methods.catalogue import METHODS, make_method
from understudy_shared.formats.detect import CAMERA_FORMATS, MOTION_FORMATS
from understudy_shared.protocol.description import MethodDescription, ParamDescription

DOCS = Path(__file__).resolve().parents[1] / "docs"
_MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_UNSAID = {"size": "size of the pictures", "fov": "lens", "fps": "frame rate"}
_NO_FILE = {"": "a folder"}


def descriptions() -> dict[str, MethodDescription]:
    """What each method of the catalogue says of itself, by name."""
    made = [make_method(dotted).description for dotted in METHODS]
    return {description.name: description for description in made}


def settings_table(description: MethodDescription) -> str:
    """A method's settings, one line each, in the panel's order and words."""
    rows = [
        (f"**{param.label}**", f"`{param.name}`", _default(param), _values(param), param.help)
        for param in description.params
    ]
    return _table(("Setting", "In Python", "Default", "Values", "What it does"), rows)


def motion_table() -> str:
    """The kinds of motion files."""
    rows = [(known.label, _endings(known.extensions), f"`{known.key}`") for known in MOTION_FORMATS]
    return _table(("Motion from", "Files", "Key"), rows)


def camera_table() -> str:
    """The kinds of camera files."""
    rows = [
        (
            known.label,
            _endings(known.extensions),
            "yes" if known.can_save else "no",
            ", ".join(_UNSAID[need] for need in known.needs) or "–",
            f"`{known.key}`",
        )
        for known in CAMERA_FORMATS
    ]
    return _table(("Camera from", "Files", "Written too", "What the file does not say", "Key"), rows)


def filled(text: str) -> str:
    """A page with its tables up to date.

    Raises:
        KeyError: there is no table or method of that name.
    """
    return _MARKED.sub(lambda match: f"{match[1]}{table(match[2])}{match[3]}", text)


def table(name: str) -> str:
    """A table by the name that pages call it.

    Raises:
        KeyError: there is none.
    """
    kind, _, what = name.partition(" ")
    if kind == "settings":
        return settings_table(descriptions()[what])
    return {"motion formats": motion_table, "camera formats": camera_table}[name]()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _endings(extensions: Sequence[str]) -> str:
    return ", ".join(_NO_FILE.get(ending, f"`{ending}`") for ending in extensions)


def _default(param: ParamDescription) -> str:
    if isinstance(param.default, bool):
        return "on" if param.default else "off"
    return f"{param.default}{f' {param.unit}' if param.unit else ''}"


def _values(param: ParamDescription) -> str:
    if param.kind == "bool":
        return "on, off"
    if param.choices:
        return ", ".join(param.choices)
    if param.minimum is None or param.maximum is None:
        return "any text" if param.kind == "text" else "any number"
    return f"{param.minimum:g} to {param.maximum:g}{f' {param.unit}' if param.unit else ''}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    stale = []
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            stale.append(page)
            if not options.check:
                page.write_text(new, "utf-8")
    for page in stale:
        print(f"{page.relative_to(DOCS.parent)} {'is out of date' if options.check else 'is written'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Settings of trainings: published ones by name, and files of them, which every run writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from understudy_backend.atomic import write_atomically

Setting = TypeVar("Setting")


def read_setting(name: str, published: Mapping[str, Setting], kind: type[Setting]) -> Setting:
    """A published setting by its name, or a file of one: the `config.json` that every run writes, edited or not.

    Raises:
        ValueError: neither a setting nor a file of one, in one line.
    """
    if name in published:
        return published[name]
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"no setting '{name}': give {', '.join(published)}, or a JSON file like a run's config.json")
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{path} is no setting: {error}") from None


def write_setting(setting: object, path: Path) -> None:
    """Writes what `read_setting` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(setting), indent=1) + b"\n"
    write_atomically(path, lambda file: file.write(text))

"""Where weights lie: a set is a folder, and its name is all that a client may say of it."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path

from understudy_backend.methods.contract import MethodError

SHIPPED = "small"
"""Name of the set that comes with Understudy."""
ENVIRONMENT = "UNDERSTUDY_WEIGHTS"
"""Names the folder in which the user keeps weight sets of their own."""


def weights_root() -> Path:
    """The user's folder of weight sets."""
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".understudy" / "weights").expanduser()


def weights_folder(name: str, stage: str) -> Path:
    """The folder of one stage of a set, for example `small`, `infill`: the user's own before the shipped one.

    Raises:
        MethodError: there is none of that name, or the name is a path.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise MethodError(f"'{name}' is no name of a weight set", code="bad_params", fix="Give a name, not a path.")
    for root in (weights_root(), shipped_root()):
        folder = root / f"threedhm-{name}" / stage
        if folder.is_dir():
            return folder
    raise MethodError(
        f"weights are missing: no set '{name}' for {stage}",
        code="missing_weights",
        fix=f"Put it into {weights_root() / f'threedhm-{name}' / stage}"
        + (f", or choose the set '{SHIPPED}'." if name != SHIPPED else ", or install the backend again."),
    )


def shipped_root() -> Path:
    """The folder of the sets that come with the package."""
    return Path(str(files("understudy_backend") / "assets" / "weights"))

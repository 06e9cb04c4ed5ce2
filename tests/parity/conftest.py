"""Goldens: what the published code of a model gives for weights and inputs that a recipe draws.

`pytest tests/parity --goldens DIR` compares with DIR/MODEL/golden_*.npz, for the models that DIR has; without the
option, and for the others, with the copies beside this file. A test module says `MODEL = "name"`; those of its tests
that take `golden` run once for each file, and those that take `golden` and `group` once for each group of its keys
(what stands before the first slash).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--goldens", type=Path, default=None, help="folder with MODEL/golden_*.npz")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden" not in metafunc.fixturenames or metafunc.module is None:
        return
    # asked for so because pytest does not know the option yet when it is started above this folder
    files = golden_files(metafunc.module.MODEL, metafunc.config.getoption("--goldens", default=None))
    if "group" not in metafunc.fixturenames:
        metafunc.parametrize("golden", files, ids=[path.stem for path in files])
        return
    cases = [(path, group) for path in files for group in groups(path)]
    metafunc.parametrize(("golden", "group"), cases, ids=[f"{path.stem}-{group}" for path, group in cases])


def golden_files(model: str, folder: Path | None) -> list[Path]:
    """The goldens of a model, from a folder if that has the model, else our copies."""
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"--goldens: there is no folder {folder}")
    if folder is not None and (folder / model).is_dir():
        found = sorted((folder / model).glob("golden_*.npz"))
        if not found:
            raise pytest.UsageError(f"--goldens: {folder / model} has no golden_*.npz")
        return found
    return sorted((HERE / model).glob("golden_*.npz"))


def groups(path: Path) -> list[str]:
    """The groups of a golden's keys, in the file's order."""
    with np.load(path, allow_pickle=False) as content:
        return list(dict.fromkeys(key.split("/")[0] for key in content.files))

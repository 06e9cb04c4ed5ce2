"""The arrows of the design: who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDARD = set(sys.stdlib_module_names)
RULES = {
    "shared/understudy_shared": {"allowed": STANDARD | {"numpy", "zmq", "msgspec", "understudy_shared"}},
    # `pxr` comes with Blender; it is used where it is there
    "blender_addon": {
        "allowed": STANDARD
        | {"bpy", "bpy_extras", "gpu", "gpu_extras", "mathutils", "pxr"}
        | {"numpy", "msgspec", "understudy_shared"}
    },
    "backend/understudy_backend": {"forbidden": {"bpy", "bpy_extras", "mathutils", "pickle5", "understudy"}},
}


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a file imports absolutely, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("part", RULES)
def test_parts_import_only_what_they_may(part: str) -> None:
    files = sorted((ROOT / part).rglob("*.py"))
    assert len(files) > 5
    rule = RULES[part]
    for path in files:
        names = imported(path)
        if "allowed" in rule:
            assert names <= rule["allowed"], f"{path.relative_to(ROOT)} imports {names - rule['allowed']}"
        else:
            assert not names & rule["forbidden"], f"{path.relative_to(ROOT)} imports {names & rule['forbidden']}"


def test_the_server_lives_without_torch() -> None:
    """`understudy serve` owns sockets and the spool; a crash of the GPU's process must not reach it."""
    import subprocess

    code = "import understudy_backend.server, understudy_backend.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("word", ["pickle.load", "send_pyobj", "recv_pyobj", "allow_pickle=True", "weights_only=False"])
def test_nothing_unsafe_is_loaded(word: str) -> None:
    for part in RULES:
        for path in (ROOT / part).rglob("*.py"):
            assert word not in path.read_text(), f"{path.relative_to(ROOT)} uses {word}"

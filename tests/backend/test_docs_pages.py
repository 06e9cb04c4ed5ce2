"""The documentation: links lead somewhere, tables are those of the code, messages that artists meet are explained."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ADDON, BACKEND = ROOT / "blender_addon", ROOT / "backend/understudy_backend"


def load_tables():
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "packaging/docs_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load_tables()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in LINK.findall(without_code(page.read_text("utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}; there are {sorted(anchors(found))}"


def test_the_index_leads_to_every_page():
    reached, waiting = set(), [ROOT / "docs/README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in LINK.findall(without_code(page.read_text("utf-8"))):
            found = (page.parent / target.partition("#")[0]).resolve()
            waiting += [found] if found.suffix == ".md" and found.is_file() else []
    assert set(PAGES[1:]) <= reached


def test_tables_are_those_of_the_code():
    stale = [page.name for page in PAGES[1:] if tables.filled(text := page.read_text("utf-8")) != text]
    assert not stale, f"run `python packaging/docs_tables.py`: {stale} are out of date"


@pytest.mark.parametrize("name", sorted(tables.descriptions()))
def test_every_setting_of_every_method_is_explained(name):
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs/methods").glob("*.md"))
    start = pages.index(f"<!-- table: settings {name} -->")
    table = pages[start : pages.index("<!-- end -->", start)]
    for param in tables.descriptions()[name].params:
        (line,) = [line for line in table.splitlines() if f"| `{param.name}` |" in line]
        assert f"**{param.label}**" in line and param.help in line
        assert all(choice in line for choice in param.choices)


def test_a_table_that_is_not_is_an_error():
    with pytest.raises(KeyError):
        tables.filled("<!-- table: settings nonsense -->\n<!-- end -->")


def test_every_obstacle_and_finding_is_in_troubleshooting():
    sentences = [*calls(ADDON / "panels/readiness.py", "Obstacle", 0), *calls(ADDON / "link/checkup.py", "Found", 2)]
    assert len(sentences) > 20
    missing = [text for text in sentences if not explained(text) and text != "The backend is installed"]
    assert not missing


def test_what_can_stop_a_job_is_in_troubleshooting():
    found: dict[str, str] = {}
    for folder in ("methods", "photo", "weights", "executors"):
        for path in (BACKEND / folder).rglob("*.py"):
            found.update(dict.fromkeys(calls(path, "MethodError", 0), path.name))
    assert len(found) > 25
    missing = {text: where for text, where in found.items() if text and not explained(text)}
    assert not missing


def explained(text: str) -> bool:
    """Whether the page has all fixed words of a message, in a row of one table."""
    parts = [part.strip(" :;,.'\"") for part in text.split("…")]
    wanted = [part.lower() for part in parts if len(part) > 4]
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8").lower()
    return any(all(part in line for part in wanted) for line in page.splitlines())


def calls(path: Path, name: str, position: int) -> list[str]:
    """The texts that a file gives to a function, `…` in place of what is filled in."""
    given = [
        literal(node.args[position])
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name and len(node.args) > position
    ]
    found = [re.sub(r"…+", "…", text.replace("{}", "…")) for text in given]
    return [text for text in found if text.strip(" …")]


def literal(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return "…"


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, as forges make it."""
    heads = re.findall(r"^#+ (.+)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

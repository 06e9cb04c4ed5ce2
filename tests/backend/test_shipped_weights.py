"""The weights that ship, on people that training never saw: clearly better than doing nothing."""

from pathlib import Path

import pytest
from understudy_backend.evaluation import report
from understudy_backend.evaluation.measure import FRAMES, TEXTURE, Angles, Learned, measure
from understudy_backend.evaluation.subject import Subject
from understudy_backend.evaluation.ways import BODY, OURS, our_ways, textures
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.threedhm import load_infill, load_render

SEED = 77
"""Not the seed of the figures in the model card."""
PEOPLE = 4


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, report.Row]]:
    """Means over a few people; the metrics that are networks are not needed here."""
    infill, render = load_infill(weights_folder("small", "infill")), load_render(weights_folder("small", "render"))
    ways = [way for way in our_ways(render, seed=0, steps=0, detail=1.0) if way.name in (OURS, BODY)]
    learned = Learned.load(tmp_path_factory.mktemp("no weights"))
    angles = Angles(frames=(0, 96, 180, 264), back=(180,))
    people = []
    for index in range(PEOPLE):
        subject = Subject(index, SEED)
        known = textures(infill, subject, seed=0, steps=0)
        people.append(measure(subject, known, ways, learned, (FRAMES, TEXTURE), angles))
    return report.tables(people)


def test_infilling_beats_what_needs_no_learning(tables: dict[str, dict[str, report.Row]]) -> None:
    scores = {name: row["psnr_unseen"] for name, row in tables[TEXTURE].items()}
    for name in ("Telea", "mirror symmetry", "mean colour"):
        assert scores[OURS] >= scores[name] + 1.5, scores


def test_rendering_beats_the_intermediate_frame(tables: dict[str, dict[str, report.Row]]) -> None:
    ours, nothing = tables[FRAMES][OURS], tables[FRAMES][BODY]
    assert ours["psnr"] > nothing["psnr"], tables
    assert ours["iou"] > nothing["iou"], tables
    assert ours["ssim"] > nothing["ssim"], tables


def test_the_shipped_set_is_small_and_has_its_card() -> None:
    folder: Path = weights_folder("small", "infill").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 45e6
    card = (folder / "README.md").read_text()
    for word in ("seed", "steps", "PSNR", "Limits"):
        assert word in card

"""The weights that ship, on people that training never saw: clearly better than doing nothing."""

from pathlib import Path

import pytest
from understudy_backend.evaluation.threedhm import evaluate_infill, evaluate_render
from understudy_backend.training.dataset import Plan, create
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.threedhm import load_infill, load_render

CLIPS = tuple(sorted((Path(__file__).parents[2] / "packaging/demo/samples/motions").glob("*.npz")))
SEED = 77
"""Not the seed of the figures in the model card."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    create(Plan("texture", folder / "texture", 24, "test", SEED, ()), workers=1)
    create(Plan("frames", folder / "frames", 24, "test", SEED, CLIPS), workers=1)
    return folder


def test_infilling_beats_what_needs_no_learning(people: Path) -> None:
    scores = evaluate_infill(load_infill(weights_folder("small", "infill")), people / "texture")
    for name in ("Telea", "mirror symmetry", "mean colour"):
        assert scores["ours"] >= scores[name] + 1.5, scores


def test_rendering_beats_the_intermediate_frame(people: Path) -> None:
    scores = evaluate_render(load_render(weights_folder("small", "render")), people / "frames")
    ours, nothing = scores["ours"], scores["intermediate frame"]
    assert ours.psnr_inside > nothing.psnr_inside, scores
    assert ours.silhouette_iou > nothing.silhouette_iou, scores


def test_the_shipped_set_is_small_and_has_its_card() -> None:
    folder = weights_folder("small", "infill").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 45e6
    card = (folder / "README.md").read_text()
    for word in ("seed", "steps", "PSNR", "Limits"):
        assert word in card

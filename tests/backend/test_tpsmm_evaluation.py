"""TPSMM's evaluation: its metrics against what is known by construction, its report, and its row beside 3DHM's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from understudy_backend.evaluation import tpsmm as evaluation
from understudy_backend.evaluation.measure import Angles
from understudy_backend.evaluation.pictures import over_grey
from understudy_backend.evaluation.run import Plan, evaluate
from understudy_backend.evaluation.subject import Subject
from understudy_backend.evaluation.tpsmm import COPY, Tools, clip_scores, reconstruct
from understudy_backend.evaluation.tpsmm_detectors import BodyLandmarks, FaceLandmarks, identity
from understudy_backend.evaluation.tpsmm_ways import Moved, body_sets, missing_set
from understudy_backend.evaluation.ways import COMPLETE, Scene
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.framing import person_crop, straight
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.training.tpsmm import made
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.tpsmm import save_tpsmm
from understudy_shared.frames import Channel

pytestmark = pytest.mark.timeout(900)  # on a busy machine

SMALL = TPSMMConfig(
    image_size=64,
    splines=2,
    encoder_width=4,
    motion_width=4,
    motion_limit=8,
    motion_levels=2,
    inpainting_width=4,
    inpainting_limit=8,
    inpainting_levels=2,
    avd_widths=(8,),
    avd_code=4,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weight sets with one of random weights."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("weights")
    save_tpsmm(TPSMM(SMALL), root / "tpsmm" / "mine.safetensors")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test clips of one made person."""
    root = tmp_path_factory.mktemp("clips")
    made.write(root, "test", 1, 2, 5, 64, 0)
    (root / "test" / "torn.mp4").write_bytes(b"")
    return root


class BrightestPixel:
    """Three landmarks: where each channel is brightest; one that is dark everywhere is not found."""

    name = "brightest pixel"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        found = np.full((3, 2), np.nan)
        for channel in range(3):
            if image[..., channel].max() > 0:
                row, column = np.unravel_index(image[..., channel].argmax(), image.shape[:2])
                found[channel] = column, row
        return found


def dots(*places: tuple[int, int] | None) -> np.ndarray:
    image = np.zeros((32, 32, 3), np.uint8)
    for channel, place in enumerate(places):
        if place is not None:
            image[place[1], place[0], channel] = 255
    return image


def test_metrics_of_known_pictures():
    truths = [dots((10, 10), (5, 5), (20, 20)), dots((10, 10), None, (20, 20))]
    results = [dots((13, 14), (5, 5), None), dots((10, 10), (1, 1), (20, 20))]
    scores = clip_scores(results, truths, Tools(BrightestPixel(), None))
    # found in both: red 3, 4 off and green in the first, red and blue in the second; missed: blue of the first
    assert sorted(scores["akd"]) == pytest.approx([0, 0, 0, 5])
    assert sorted(scores["akd_axis"]) == pytest.approx([0, 0, 0, 3.5])
    assert sorted(scores["mkr"]) == [0, 0, 0, 0, 1]
    assert scores["l1"] == pytest.approx([3 / (3 * 32 * 32), 1 / (3 * 32 * 32)])
    assert "aed" not in scores
    assert set(clip_scores(results, truths, Tools(None, None))) == {"l1"}


def onnx_mean_of_channels(path: Path) -> None:
    """An ONNX network, written byte by byte: the mean over the picture of each channel."""

    def number(value: int) -> bytes:
        out = b""
        while True:
            value, low = value >> 7, value & 127
            out += bytes([low | (128 if value else 0)])
            if not value:
                return out

    def field(tag: int, value: bytes | int) -> bytes:
        if isinstance(value, int):
            return number(tag << 3) + number(value)
        return number(tag << 3 | 2) + number(len(value)) + value

    def tensor_type(name: str, shape: tuple[int, ...]) -> bytes:
        dims = b"".join(field(1, field(1, side)) for side in shape)
        return field(1, name.encode()) + field(2, field(1, field(1, 1) + field(2, dims)))

    node = field(1, b"x") + field(2, b"y") + field(3, b"mean") + field(4, b"GlobalAveragePool")
    graph = field(1, node) + field(2, b"g") + field(11, tensor_type("x", (1, 3, 256, 128)))
    graph += field(12, tensor_type("y", (1, 3, 1, 1)))
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(2, 13)))


def test_identity_features_of_the_users_network(tmp_path: Path):
    onnx_mean_of_channels(tmp_path / "mean.onnx")
    network = identity(tmp_path / "mean.onnx", "person")
    picture = np.full((40, 40, 3), (200, 100, 50), np.uint8)
    want = (np.array([200, 100, 50]) - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    got = network(picture)
    assert got is not None and np.allclose(got, want / np.linalg.norm(want), atol=1e-4)
    other = picture[..., ::-1].copy()
    scores = clip_scores([picture, other], [picture, picture], Tools(None, network))
    reversed_want = (np.array([50, 100, 200]) - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    apart = want / np.linalg.norm(want) - reversed_want / np.linalg.norm(reversed_want)
    assert scores["aed"] == pytest.approx([0, np.linalg.norm(apart)], abs=1e-3)
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    for name in ("torn.onnx", "none.onnx"):
        with pytest.raises(MethodError) as caught:
            identity(tmp_path / name, "face")
        assert "\n" not in str(caught.value)


def test_our_detectors_find_a_person_where_one_is():
    subject = Subject(3)
    picture = over_grey(subject.truth(subject.turntable((0,)))[0])
    body, nobody = BodyLandmarks(), np.full((256, 256, 3), 128, np.uint8)
    found = body(picture)
    assert found.shape == (33, 2) and np.isfinite(found).all(1).mean() > 0.8
    shoulders, ankles = found[[11, 12]].mean(0), found[[27, 28]].mean(0)
    assert ankles[1] - shoulders[1] > 80
    shifted = np.roll(picture, 6, 1)
    both = np.stack([found, body(shifted)])
    moved = (both[1] - both[0])[np.isfinite(both).all((0, 2))]
    assert np.abs(np.median(moved, 0) - [6, 0]).max() < 2
    assert np.isnan(body(nobody)).all() and np.isnan(FaceLandmarks()(nobody)).all()


def test_reconstruction_does_not_depend_on_the_batch(weights: Path):
    torch.manual_seed(1)
    model = TPSMM(SMALL).eval()
    frames = list(np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3)).astype(np.uint8))
    made_of = reconstruct(model, frames)
    alone = reconstruct(model, [frames[0], frames[9]])[1]
    assert len(made_of) == 11 and np.abs(made_of[9].astype(int) - alone).max() <= 1


def test_the_report(data: Path, weights: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(weights))
    out = tmp_path / "report"
    line = ["--data", str(data), "--weights", "mine", "--out", str(out), "--most", "4"]
    evaluation.main([*line, "--detector", "body"])
    report = json.loads((out / "report.json").read_text())
    rows = report["rows"]
    assert set(rows) == {"TPSMM mine", COPY} and rows["TPSMM mine"]["l1"] > rows[COPY]["l1"] > 0
    said = " ".join(report["notes"])
    for words in ("AKD and MKR by BlazePose", "ours", "AED is left out", "torn.mp4: no frame", "1 things left out"):
        assert words in said, words
    assert "| TPSMM mine |" in (out / "report.md").read_text()
    assert len(list((out / "sheets").glob("*.png"))) == 2
    evaluation.main(line)
    assert "AKD and MKR are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--weights", "nobody"], "no set 'nobody'"),
        (["--weights", "mine", "--data", "nowhere"], "no folder"),
        (["--weights", "mine", "--identity", "none.onnx"], "there is no file"),
    ],
)
def test_bad_use_is_one_line(data: Path, weights: Path, tmp_path: Path, monkeypatch, capsys, more, said):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(weights))
    with pytest.raises(SystemExit) as caught:
        evaluation.main(["--data", str(data), "--out", str(tmp_path / "out"), *more])
    printed = capsys.readouterr().err
    assert caught.value.code == 1 and said in printed and printed.count("\n") == 1


class Centre(torch.nn.Module):
    """In the keypoint detector's place: a fixed pattern about the centre of what is not grey."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shown = ((image - 0.5).abs().amax(1) > 0.02).float()
        at = torch.linspace(-1, 1, image.shape[-1])
        total = shown.sum((1, 2))
        centre = torch.stack([(shown.sum(1) @ at) / total, (shown.sum(2) @ at) / total], 1)
        pattern = torch.tensor([[-0.4, -0.4], [0.4, -0.4], [0.0, 0.0], [-0.4, 0.4], [0.4, 0.4]]).repeat(2, 1)
        return centre[:, None] + pattern


def test_the_row_moves_the_photo_to_where_the_body_is():
    """A model that can only shift the photo, by as much as the bodies' centre moved from where the photo's is."""
    subject = Subject(3)
    views = subject.turntable((0, 0))
    k = views[1].intrinsics.copy()
    k[0, 2] += 30
    views[1] = replace(views[1], intrinsics=k)
    scene = Scene(subject, views, {COMPLETE: np.full_like(subject.texture, 250)})
    model = TPSMM(replace(SMALL, image_size=128)).eval()
    model.kp_detector = Centre()  # pyright: ignore[reportAttributeAccessIssue]
    with torch.no_grad():
        model.dense_motion_network.maps.weight.zero_()
        model.dense_motion_network.maps.bias.copy_(torch.tensor([-20.0, 20, -20]))  # the first spline alone
    pictures = Moved("TPSMM test", model).frames(scene)
    assert all(picture.shape == (256, 256, 4) and picture.dtype == np.uint8 for picture in pictures)
    centres = [centre_of(picture[..., 3:] / 255) for picture in pictures]
    photo = straight(subject.photo)
    crop = person_crop(photo[..., 3])
    posed = subject.dressed.body_raster(subject.shot.pose, subject.shot.view).mask[..., None].astype(np.float32)
    begin, end = centre_of(crop.take(photo[..., 3:], (256, 256))), centre_of(crop.take(posed, (256, 256)))
    for centre, body in zip(centres, scene.bodies(COMPLETE), strict=True):
        expected = begin + centre_of(body[Channel.RGBA][..., 3:] / 255) - end
        assert np.abs(centre - expected).max() < 2
    assert np.abs(centres[1] - centres[0] - [30, 0]).max() < 2


def centre_of(mask: np.ndarray) -> np.ndarray:
    """(x, y)."""
    return np.argwhere(mask[..., 0] > 0.5).mean(0)[::-1]


def test_the_row_stands_in_the_tables_only_with_weights(weights: Path, tmp_path: Path, monkeypatch):
    plan = Plan(
        out=tmp_path / "with",
        infill=weights_folder("small", "infill"),
        render=weights_folder("small", "render"),
        metrics=tmp_path / "none",
        people=1,
        tables=("a",),
        angles=Angles(frames=(0,), clip=(150,), back=(180,)),
    )
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(weights))
    assert list(body_sets()) == ["mine"]
    evaluate(plan, lambda line: None)
    rows = json.loads((plan.out / "report.json").read_text())["tables"]["a"]
    assert set(rows["TPSMM mine"]) == set(rows["3DHM"])
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="other weights"):
        evaluate(plan, lambda line: None)
    assert body_sets() == {} and "TPSMM is left out" in missing_set()

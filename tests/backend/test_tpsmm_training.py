"""TPSMM's training: its clips, its augmentation, its schedules, and runs that are stopped, resumed and looked at."""

from __future__ import annotations

import colorsys
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from safetensors.torch import load_file, save_file
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.config import PUBLISHED, TPSMMConfig
from understudy_backend.models.tpsmm.losses import RandomWarp, training_step
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.vgg import VGG19
from understudy_backend.training import draws
from understudy_backend.training.checkpoints import TrainingError, checkpoints
from understudy_backend.training.configs import explanations
from understudy_backend.training.tpsmm import __main__ as command
from understudy_backend.training.tpsmm import colours
from understudy_backend.training.tpsmm.clips import ClipError, Frames, find_clips
from understudy_backend.training.tpsmm.pairs import Pairs, augmented, cut
from understudy_backend.training.tpsmm.perceptual import PixelLoss, load_vgg
from understudy_backend.training.tpsmm.runs import networks_of
from understudy_backend.training.tpsmm.settings import (
    SETTINGS,
    Augmentation,
    Dropout,
    Schedule,
    Setting,
    read_setting,
    write_setting,
)
from understudy_backend.training.tpsmm.stages import Reconstruction
from understudy_backend.weights.tpsmm import load_tpsmm, save_tpsmm

pytestmark = pytest.mark.timeout(1500)  # on a busy machine

SIDE = 64
NETWORKS = TPSMMConfig(
    image_size=SIDE,
    splines=4,
    encoder_width=8,
    motion_width=8,
    motion_limit=24,
    motion_levels=3,
    inpainting_width=8,
    inpainting_limit=24,
    inpainting_levels=2,
    avd_widths=(64,),
    avd_code=16,
)
PLAIN = Augmentation(flips=False, brightness=0, contrast=0, saturation=0, hue=0)


def colour(number: int) -> tuple[int, int, int]:
    """Far from its neighbours', so that a lossy codec cannot confuse frames."""
    return (number * 40 % 256, 255 - number * 40 % 256, 128)


def frames(count: int, width: int = 48, height: int = 32) -> list[np.ndarray]:
    """RGB."""
    return [np.full((height, width, 3), colour(i), np.uint8) for i in range(count)]


def write_png(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def write_mp4(path: Path, count: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (48, 32))
    for image in frames(count):
        writer.write(image[..., ::-1])
    writer.release()


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """One clip of each kind of five frames, and much that is broken."""
    folder = tmp_path / "train"
    folder.mkdir()
    write_mp4(folder / "a.mp4", 5)
    gif = [Image.fromarray(image) for image in frames(5)]
    gif[0].save(folder / "b.gif", save_all=True, append_images=gif[1:], duration=100)
    write_png(folder / "c.png", np.concatenate(frames(5, 32, 32), 1))
    for i, image in enumerate(frames(5)):
        write_png(folder / "d" / f"{i:03}.png", image)
    (folder / "d" / "003.png").write_bytes(b"torn")
    (folder / "e.mp4").write_bytes((folder / "a.mp4").read_bytes()[:200])
    (folder / "f.gif").write_bytes(b"GIF89a nonsense")
    write_png(folder / "g.png", np.zeros((32, 50, 3), np.uint8))
    write_png(folder / "h.png", np.zeros((32, 32, 3), np.uint8))
    (folder / "i").mkdir()
    (folder / "notes.txt").write_text("no clip")
    return folder


@pytest.mark.parametrize("megabytes", [100.0, 0.0])
def test_every_kind_of_clip_is_read_frame_by_frame(zoo: Path, megabytes: float):
    found = find_clips(zoo)
    assert [(clip.name, clip.count) for clip in found.clips] == [("a.mp4", 5), ("b.gif", 5), ("c.png", 5), ("d", 4)]
    reader = Frames(found, 16, megabytes)
    for clip in range(4):
        numbers = [0, 1, 3] if clip < 3 else [0, 1, 2]
        shown = [0, 1, 3] if clip < 3 else [0, 1, 2]
        for image, number in zip(reader.take(clip, numbers), shown, strict=True):
            assert image.shape == (16, 16, 3) and image.dtype == np.uint8
            assert np.abs(image.astype(int) - colour(number)).max() < 12, (clip, number)
    assert np.abs(reader.take(3, [3])[0].astype(int) - colour(4)).max() < 12, "the torn frame is passed over"


def test_what_is_broken_is_told_and_counted(zoo: Path):
    found = find_clips(zoo)
    told = {problem.split(":")[0] for problem in found.problems}
    assert told == {"d", "e.mp4", "f.gif", "g.png", "h.png", "i"}
    assert all("\n" not in problem for problem in found.problems)
    assert found.said() == "train: 4 clips, 19 frames; 6 things left out"
    assert any("003.png" in problem for problem in found.problems)


def test_the_index_saves_reading_and_notices_changes(zoo: Path, tmp_path: Path):
    index = tmp_path / "run" / "index.json"
    first = find_clips(zoo, index)
    before = index.stat().st_mtime_ns
    assert find_clips(zoo, index) == first and index.stat().st_mtime_ns == before
    write_mp4(zoo / "a.mp4", 3)
    assert find_clips(zoo, index).clips[0].count == 3
    index.write_bytes(b"torn")
    assert find_clips(zoo, index).clips[0].count == 3


def test_no_clips_is_one_line(tmp_path: Path):
    with pytest.raises(ClipError, match="no folder"):
        find_clips(tmp_path / "train")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "x.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match="no clip of at least two frames") as caught:
        find_clips(tmp_path / "train")
    assert "x.mp4" in str(caught.value) and "\n" not in str(caught.value)


def test_a_clip_that_vanishes_is_one_line(zoo: Path):
    found = find_clips(zoo)
    reader = Frames(found, 16, 0.0)
    (zoo / "a.mp4").unlink()
    with pytest.raises(ClipError, match="changed while"):
        reader.take(0, [0, 1])


def test_transparency_lies_over_grey(tmp_path: Path):
    rgba = np.zeros((8, 16, 4), np.uint8)
    rgba[:, 8:] = (200, 100, 0, 255)
    write_png(tmp_path / "train" / "x.png", rgba)
    first, second = Frames(find_clips(tmp_path / "train"), 8, 1).take(0, [0, 1])
    assert np.abs(first.astype(int) - 128).max() <= 1 and (second == (200, 100, 0)).all()


def test_pairs_are_of_one_clip_in_time_order_and_identities_take_turns(tmp_path: Path):
    for name in ("anna#1", "anna#2", "ben#1"):
        person = 0 if name.startswith("anna") else 128
        strip = [np.full((8, 8, 3), (person + 4 * i, 0, 64 * (name[-1] == "2")), np.uint8) for i in range(6)]
        write_png(tmp_path / "train" / f"{name}.png", np.concatenate(strip, 1))
    found = find_clips(tmp_path / "train")
    counts = [clip.count for clip in found.clips]
    pairs = Pairs(Frames(found, 8, 1), counts, found.groups(True), PLAIN, 8)
    assert len(pairs) == 2 and len(found.groups(False)) == 3
    source, driving = pairs.take(draws.draw(0, 0, range(64), 64, 2))
    assert source.shape == (64, 3, 8, 8)
    numbers = [(x[:, 0, 0, 0] * 255).round() for x in (source, driving)]
    assert torch.equal(numbers[0] >= 128, numbers[1] >= 128) and int((numbers[0] >= 128).sum()) == 32
    assert torch.equal(source[:, 2], driving[:, 2]) and len(source[:, 2].unique()) == 2, "one clip; both are used"
    assert (numbers[0] <= numbers[1]).all() and (numbers[0] < numbers[1]).any()
    again = pairs.take(draws.draw(0, 0, range(64), 64, 2))
    assert torch.equal(again[0], source) and torch.equal(again[1], driving)


def test_colours_change_as_pillow_changes_them():
    rng = np.random.default_rng(0)
    image = rng.integers(40, 200, (16, 16, 3)).astype(np.uint8)
    unit = image.astype(np.float32) / 255
    for change, enhancer in (
        (colours.brighter, ImageEnhance.Brightness),
        (colours.contrasted, ImageEnhance.Contrast),
        (colours.saturated, ImageEnhance.Color),
    ):
        want = np.asarray(enhancer(Image.fromarray(image)).enhance(1.2), np.float32)
        assert np.abs(np.clip(change(unit, 1.2), 0, 1) * 255 - want).max() < 2.1
    h, s, v = colorsys.rgb_to_hsv(*unit[3, 5])
    want = colorsys.hsv_to_rgb((h + 0.3) % 1, s, v)
    assert np.allclose(colours.turned(unit, 0.3)[3, 5], want, atol=1e-3)


def test_both_frames_are_changed_alike():
    rng = np.random.default_rng(0)
    image = np.asarray(rng.random((16, 16, 3)), np.float32)
    strong = Augmentation(resize=(0.8, 1.2), brightness=0.3, contrast=0.3, saturation=0.3, hue=0.4)
    results = [augmented(np.random.default_rng(i), image, image, strong) for i in range(6)]
    for source, driving in results:
        assert source.shape == (16, 16, 3) and np.array_equal(source, driving)
        assert source.min() >= 0 and source.max() <= 1
    assert len({source.tobytes() for source, _ in results}) == 6


def test_half_of_the_pairs_run_backwards_and_a_quarter_is_mirrored():
    first, second = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    first[:, 0] = second[:, 0] = 0.5
    how = dataclasses.replace(PLAIN, flips=True)
    kinds = []
    for i in range(800):
        source, driving = augmented(np.random.default_rng(i), first, second, how)
        kinds.append((source[0, 1, 0] == 1, source[0, 3, 0] == 0.5))
        assert np.array_equal(source == 0.5, driving == 0.5)
    shares = [np.mean([k == kind for k in kinds]) for kind in ((True, False), (False, True), (False, False))]
    assert np.allclose(shares, [0.5, 0.25, 0.25], atol=0.06)


def test_what_is_cut_is_as_large_as_before():
    ramp = np.tile(np.linspace(0, 1, 20, dtype=np.float32)[None, :, None], (20, 1, 3))
    for factor in (0.9, 1.0, 1.1, 1.5):
        out = cut(np.random.default_rng(1), np.stack([ramp, ramp]), factor)
        assert out.shape == (2, 20, 20, 3)
        assert (np.diff(out[0, 5, :, 0]) >= -1e-6).all()
    assert np.allclose(cut(np.random.default_rng(1), np.stack([ramp, ramp]), 1.0)[0], ramp)


def test_the_published_schedules():
    # (batch, repeats, background, [P(0), P(5), P(10), P(34)], AVD: epochs, repeats, milestones)
    wanted = {
        "vox": (28, 75, 10, [0.1, 0.25, 0.3, 0.3], (200, 300, (140, 180))),
        "taichi": (28, 150, 0, [0.0, 0.35, 0.7, 0.7], (100, 150, (70, 90))),
        "ted": (12, 150, 0, [0.0, 0.25, 0.5, 0.5], (30, 500, (20, 25))),
        "mgif": (28, 50, None, [0.2, 0.45, 0.5, 0.5], (100, 50, (70, 90))),
    }
    for name, (batch, repeats, background, chances, avd) in wanted.items():
        setting = SETTINGS[name]
        assert setting.networks == PUBLISHED[name] and setting.background_from == background
        assert (setting.train.batch, setting.train.repeats, setting.train.epochs) == (batch, repeats, 100)
        assert [setting.dropout.probability(e) for e in (0, 5, 10, 34)] == pytest.approx(chances)
        assert setting.dropout.probability(35) is None
        assert [setting.train.rate(e) for e in (0, 69, 70, 89, 90, 99)] == pytest.approx(
            [2e-4, 2e-4, 2e-5, 2e-5, 2e-6, 2e-6]
        )
        assert (setting.avd.epochs, setting.avd.repeats, setting.avd.milestones) == avd
        assert (setting.avd.batch, setting.avd.learning_rate) == (256, 1e-3)
        assert setting.by_identity == (name != "mgif") and setting.reconstruction == "vgg"
    assert SETTINGS["mgif"].augmentation == Augmentation(True, (0.9, 1.1), 0, 0, 0, 0.5)
    assert SETTINGS["vox"].train.steps_per_epoch(420) == 1125


def test_the_small_setting_makes_a_file_below_twelve_megabytes():
    model = TPSMM(SETTINGS["small"].networks)
    assert 2 * sum(tensor.numel() for tensor in model.state_dict().values()) < 12e6
    assert 256 % model.config.size_multiple == 0


def test_settings_are_read_back_and_explained(tmp_path: Path):
    for setting in SETTINGS.values():
        write_setting(setting, tmp_path / "config.json")
        assert read_setting(str(tmp_path / "config.json")) == setting
    for kind in (Setting, Schedule, Augmentation, Dropout):
        assert explanations(kind).keys() == {f.name for f in dataclasses.fields(kind)}
    with pytest.raises(ValueError, match="no setting 'huge'"):
        read_setting("huge")


def test_the_epoch_decides_on_background_and_dropout():
    torch.manual_seed(0)
    setting = dataclasses.replace(
        SETTINGS["vox"], networks=NETWORKS, background_from=2, dropout=Dropout(0.0, 0.9, until=20)
    )
    model = TPSMM(NETWORKS, avd=False).train()
    learner = Reconstruction(model, setting, PixelLoss())
    source, driving = torch.rand(2, 2, 3, SIDE, SIDE)
    noise, uniform = torch.randn(2, 31), torch.full((2, 5), 0.4)
    batch = {"source": source, "driving": driving, "noise": noise, "uniform": uniform}
    names = [set(learner(batch, epoch)) for epoch in (1, 2)]
    assert names[1] - names[0] == {"background"}
    for epoch, keep in (
        (0, torch.ones(2, 5, dtype=torch.bool)),
        (10, torch.tensor([[True] + 4 * [False]] * 2)),
        (20, None),
    ):
        want = training_step(
            model, PixelLoss(), source, driving, RandomWarp.of(noise), keep=keep, background=epoch >= 2
        )
        got = learner(batch, epoch)
        assert all(torch.allclose(got[name], want.losses[name], rtol=1e-4) for name in want.losses), epoch


def test_vgg_comes_from_a_file_or_is_missed_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with pytest.raises(TrainingError, match=r"VGG-19's weights are missing.*--reconstruction pixels") as caught:
        load_vgg(None)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match="no file"):
        load_vgg(str(tmp_path / "nowhere.pth"))
    torch.manual_seed(0)
    weights = VGG19().state_dict()
    torch.save(weights | {"classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg19-dcbb9e9d.pth")
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    loaded = load_vgg(None).state_dict()
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)
    save_file(
        {key: value for key, value in weights.items() if key != "features.28.bias"}, tmp_path / "torn.safetensors"
    )
    with pytest.raises(TrainingError, match=r"lacks features\.28\.bias"):
        load_vgg(str(tmp_path / "torn.safetensors"))


def test_pixels_compare_colours_and_edges():
    loss = PixelLoss()
    image = torch.rand(1, 3, SIDE, SIDE)
    assert loss(image, image) == 0
    other = image.clone().requires_grad_()
    worse = [float(loss(other * (1 - share), image)) for share in (0.1, 0.3)]
    assert 0 < worse[0] < worse[1]


QUICK = Schedule(epochs=4, repeats=6, batch=4, learning_rate=1e-3, milestones=(3,), save_every=3, log_every=3,
                 validation_samples=2, validation_pictures=2)  # fmt: skip
TINY = Setting(
    "tiny", dataclasses.replace(NETWORKS, splines=2), True, 1, Dropout(0.2, 0.5, until=3), QUICK,
    Schedule(epochs=4, repeats=60, batch=8, learning_rate=3e-3, milestones=(3,), weight_decay=0.0, save_every=15,
             log_every=15, validation_samples=4, validation_pictures=2),
    reconstruction="pixels",
)  # fmt: skip
"""4 epochs of 3 steps: the background predictor starts in the second, the dropout ends before the last."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made people with a clip each, before a grey ground, and settings."""
    root = tmp_path_factory.mktemp("tpsmm")
    command.main(
        ["made", "--data", str(root / "data"), "--people", "2", "--clips", "2", "--frames", "10", "--size", "64"]
    )
    write_setting(TINY, root / "tiny.json")
    return root


def arguments(root: Path, what: str, run: str, *more: str) -> list[str]:
    return [what, "--data", str(root / "data"), "--out", str(root / run), "--config", str(root / "tiny.json"),
            "--threads", "1", "--cpu", *more]  # fmt: skip


def final(stage: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints(stage / "checkpoints")[-1])


@pytest.fixture(scope="module")
def unbroken(root: Path) -> Path:
    command.main(arguments(root, "train", "unbroken"))
    return root / "unbroken"


def test_made_people_move_in_front_of_grey(root: Path):
    found = find_clips(root / "data" / "train")
    assert [(c.identity, c.count) for c in found.clips] == [("p0000", 10)] * 2 + [("p0001", 10)] * 2
    clip = Frames(found, SIDE, 10).take(0, range(10))
    moved = np.abs(clip[0].astype(int) - clip[5]).max(-1) > 12
    assert moved.mean() > 0.05 and (np.abs(np.array(clip)[:, 0, 0].astype(int) - 128) <= 1).all()
    assert len(find_clips(root / "data" / "test").clips) == 2


def test_a_killed_and_resumed_run_ends_at_the_same_weights(root: Path, unbroken: Path):
    stage = root / "killed" / "train"
    line = [sys.executable, "-m", "understudy_backend.training.tpsmm", *arguments(root, "train", "killed")]
    child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 600
        while len(checkpoints(stage / "checkpoints")) < 2 and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()[-500:]
    assert checkpoints(stage / "checkpoints")[-1].name < "step-00000012"
    command.main(arguments(root, "train", "killed"))
    one, other = final(unbroken / "train"), final(stage)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one), "weights, statistics and moments, to the last bit"
    logs = [(s / "log.jsonl").read_text().splitlines() for s in (unbroken / "train", stage)]
    losses = [[(x["step"], x["loss"], x["warp"]) for x in map(json.loads, log) if "loss" in x] for log in logs]
    assert losses[0] == losses[1] and [step for step, *_ in losses[0]] == [3, 6, 9, 12]


def test_a_run_follows_its_schedule_and_leaves_pictures(unbroken: Path):
    lines = [json.loads(x) for x in (unbroken / "train" / "log.jsonl").read_text().splitlines()]
    losses = [x for x in lines if "loss" in x]
    assert [x["learning_rate"] for x in losses] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    assert ["background" in x for x in losses] == [False, True, True, True]
    for x in losses:
        parts = sum(x.get(name, 0) for name in ("perceptual", "equivariance", "warp", "background"))
        assert parts == pytest.approx(x["loss"], rel=1e-4)
    state = final(unbroken / "train")
    steps = {name: int(value) for name, value in state.items() if name.startswith("steps/")}
    assert set(steps.values()) == {9, 12}
    assert all((value == 9) == name.startswith("steps/bg_predictor.") for name, value in steps.items())
    assert any(name.endswith("running_mean") and value.abs().sum() > 0 for name, value in state.items())
    picture = cv2.imread(str(unbroken / "train" / "grids" / "step-00000012.png"))
    assert picture is not None and picture.shape == (2 * (SIDE + 2), 4 * (SIDE + 2), 3) and picture.std() > 5
    assert {"l1", "l1_copy"} <= lines[-1].keys()
    assert list((unbroken / "train" / "tensorboard").glob("events*"))


def test_gradients_are_limited_network_by_network(root: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[list[float]] = []
    step = torch.optim.Adam.step

    def spy(self, *rest, **more):
        model = watched[0]
        seen.append([
            max(float(p.grad.abs().max()) for p in module.parameters() if p.grad is not None)
            for module in (model.kp_detector, model.dense_motion_network, model.inpainting_network)
        ])  # fmt: skip
        return step(self, *rest, **more)

    watched: list[TPSMM] = []
    made_of = TPSMM.__init__

    def remember(self, *rest, **more):
        made_of(self, *rest, **more)
        watched.append(self)

    monkeypatch.setattr(TPSMM, "__init__", remember)
    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    command.main(arguments(root, "train", "clipped", "--clip", "0.001", "--epochs", "1", "--repeats", "2"))
    assert seen and all(d == pytest.approx(1e-3, rel=1e-2) and m == pytest.approx(1e-3, rel=1e-2) for d, m, _ in seen)
    assert all(i > 2e-3 for *_, i in seen)


def test_it_learns_to_move_people(root: Path):
    """The bar: less than two thirds of the error of the source as it is, on the clips that it learns."""
    quick = Schedule(epochs=10, repeats=STEPS // 10, batch=4, learning_rate=3e-3, milestones=(7, 9), save_every=10_000,
                     log_every=50, validation_samples=16)  # fmt: skip
    setting = dataclasses.replace(
        TINY, networks=NETWORKS, by_identity=False, background_from=None, dropout=Dropout(0, 0.2, until=1), train=quick,
        augmentation=PLAIN,
    )  # fmt: skip
    write_setting(setting, root / "learns.json")
    (root / "known").mkdir()
    (root / "known" / "train").symlink_to(root / "data" / "train")
    command.main(["train", "--data", str(root / "known"), "--out", str(root / "learns"), "--config",
                  str(root / "learns.json"), "--threads", "1", "--cpu"])  # fmt: skip
    lines = [json.loads(x) for x in (root / "learns" / "train" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["l1"] < 0.67 * lines[-1]["l1_copy"], lines[-1]


STEPS = 200


def test_avd_learns_shapes_and_all_is_exported(root: Path, unbroken: Path, tmp_path: Path):
    command.main(arguments(root, "avd", "unbroken"))
    lines = [json.loads(x) for x in (unbroken / "avd" / "log.jsonl").read_text().splitlines()]
    figures = [x for x in lines if "avd_error" in x]
    assert figures[-1]["avd_error"] < 0.5 * figures[0]["avd_error"]
    command.main(["export", "--out", str(unbroken), "--to", str(tmp_path / "mine.safetensors")])
    model = load_tpsmm(tmp_path / "mine.safetensors", training=True)
    assert model.config == TINY.networks and model.avd_network is not None and model.bg_predictor is not None
    trained = networks_of(unbroken, None)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in trained.state_dict().items())
    avd = final(unbroken / "avd")
    assert torch.equal(model.avd_network.state_dict()["decoder.0.weight"], avd["now/decoder.0.weight"])
    command.main(["export", "--out", str(unbroken), "--to", str(tmp_path / "small.safetensors"), "--compact"])
    small = load_tpsmm(tmp_path / "small.safetensors", training=True)
    assert small.bg_predictor is None
    assert (tmp_path / "small.safetensors").stat().st_size < 0.6 * (tmp_path / "mine.safetensors").stat().st_size
    image = torch.rand(1, 3, SIDE, SIDE)
    assert torch.allclose(small.kp_detector(image), model.kp_detector(image), atol=1e-2)


def test_weights_of_others_are_a_start(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(3)
    other = TPSMM(TINY.networks)
    save_tpsmm(other, tmp_path / "other.safetensors")
    more = ("--weights", str(tmp_path / "other.safetensors"), "--epochs", "1", "--repeats", "2", "--learning-rate", "0")
    command.main(arguments(root, "train", "after", *more))
    now = final(root / "after" / "train")
    assert all(torch.equal(now[f"now/{n}"], p) for n, p in other.named_parameters() if not n.startswith("avd"))
    save_tpsmm(TPSMM(NETWORKS), tmp_path / "other.safetensors")
    with pytest.raises(SystemExit):
        command.main(arguments(root, "train", "misfit", *more))
    assert "does not fit the setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["train", "--data", "nowhere", "--out", "OUT", "--reconstruction", "pixels"], "there is no folder"),
        (["train", "--out", "OUT"], "--data"),
        (["train", "--data", "DATA"], "--out"),
        (["train", "--data", "DATA", "--out", "OUT", "--config", "vox"], "VGG-19's weights are missing"),
        (["train", "--data", "DATA", "--out", "OUT", "--batch", "1"], "at least 2"),
        (["train", "--data", "DATA", "--out", "OUT", "--accumulate", "4"], "cannot be shared"),
        (
            ["train", "--data", "DATA", "--out", "OUT", "--vgg", "nowhere.pth", "--reconstruction", "vgg"],
            "no file nowhere",
        ),
        (["avd", "--data", "DATA", "--out", "OUT"], "train first"),
        (["avd", "--data", "DATA", "--out", "OUT", "--weights", "nowhere.pth"], "there is no file"),
        (["export", "--out", "OUT"], "--to"),
        (["export", "--out", "OUT", "--to", "x.safetensors"], "train first"),
        (["made", "--data", "OUT", "--frames", "1"], "two frames"),
    ],
)
def test_bad_use_is_one_line(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: list[str],
    said: str,
):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    places = {"DATA": str(root / "data"), "OUT": str(tmp_path / "out")}
    given = [places.get(part, part) for part in line]
    if line[0] != "made" and "--config" not in line:
        given += ["--config", str(root / "tiny.json")]
    with pytest.raises(SystemExit) as caught:
        command.main([*given, "--cpu"])
    printed = capsys.readouterr().err
    assert caught.value.code == 1 and said in printed and printed.count("\n") == 1, printed


def test_a_damaged_checkpoint_is_one_line(root: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]):
    import shutil

    shutil.copytree(unbroken / "train", root / "damaged" / "train")
    newest = checkpoints(root / "damaged" / "train" / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(SystemExit):
        command.main(arguments(root, "train", "damaged"))
    said = capsys.readouterr().err
    assert "is damaged" in said and said.count("\n") == 1
    with pytest.raises(TrainingError):
        networks_of(root / "damaged", None)
    with pytest.raises(MethodError):
        networks_of(root / "damaged", root / "none.pth")

"""The training loop: what a killed run, more devices, or a smaller memory must not change; checkpoints; settings."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from understudy_backend.models.threedhm.networks import NetworkConfig
from understudy_backend.training import draws, stage1, threedhm
from understudy_backend.training.arrays import Samples
from understudy_backend.training.bases import base_of
from understudy_backend.training.checkpoints import TrainingError, checkpoints
from understudy_backend.training.configs import SETTINGS, Setting, Training, explanations, read_setting
from understudy_backend.training.loop import learning_rate, start
from understudy_backend.training.setting_files import write_setting
from understudy_backend.weights.threedhm import load_render

pytestmark = pytest.mark.timeout(600)  # on a busy machine

SIDE, COUNT = 64, 10
QUICK = Training(steps=24, batch=4, accumulate=2, learning_rate=2e-3, warmup=2, ema=0.9, save_every=6, log_every=6,
                 validation_samples=2)  # fmt: skip
TINY = Setting(
    "tiny", SIDE, 1, True, NetworkConfig(8, (8, 16), 1, 8, 8, SIDE), QUICK, QUICK,
    dataclasses.replace(QUICK, last_step_share=0.3, picture_loss=True, mirror=True, background_weight=0.3),
    window=(48, SIDE),
)  # fmt: skip


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    blobs = rng.random((shape[0], 4, 4, shape[-1])).astype(np.float32)
    return np.stack([cv2.resize(b, (SIDE, SIDE)).reshape(SIDE, SIDE, -1) * 255 for b in blobs]).astype(np.uint8)


def write(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "dataset.json").write_text(json.dumps({"count": COUNT}))


def textures(rng: np.random.Generator) -> dict[str, np.ndarray]:
    body = np.zeros((SIDE, SIDE), bool)
    body[8:56, 8:56] = True
    visible = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    visible[:, :, :32] = 255
    target = smooth(rng, COUNT, 3)
    return {"target": target, "partial": target.copy(), "visible": visible, "body_mask": body}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of no meaning, a setting, and a fitted autoencoder."""
    root, rng = tmp_path_factory.mktemp("loop"), np.random.default_rng(0)
    write(root / "data" / "texture" / "train", **textures(rng))
    write(root / "data" / "frames" / "train", **{n: smooth(rng, COUNT, 4) for n in ("target", "body", "photo")})
    write_setting(TINY, root / "tiny.json")
    train(root, "vae", "start")
    return root


def arguments(root: Path, what: str, run: str, *more: str) -> list[str]:
    return [what, "--data", str(root / "data"), "--out", str(root / run), "--config", str(root / "tiny.json"),
            "--threads", "1", "--cpu", *more]  # fmt: skip


def train(root: Path, what: str, run: str, *more: str) -> Path:
    if what != "vae":
        (root / run / "vae").mkdir(parents=True, exist_ok=True)
        if not (root / run / "vae" / "weights").exists():
            (root / run / "vae" / "weights").symlink_to(root / "start" / "vae" / "weights")
    threedhm.main(arguments(root, what, run, *more))
    return root / run / what


def final(stage: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints(stage / "checkpoints")[-1])


@pytest.fixture(scope="module")
def unbroken(root: Path) -> Path:
    return train(root, "render", "unbroken")


def test_a_killed_and_resumed_run_ends_at_the_same_weights(root: Path, unbroken: Path) -> None:
    stage = root / "killed" / "render"
    (root / "killed" / "vae").mkdir(parents=True)
    (root / "killed" / "vae" / "weights").symlink_to(root / "start" / "vae" / "weights")
    command = [sys.executable, "-m", "understudy_backend.training.threedhm", *arguments(root, "render", "killed")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 200
        while not checkpoints(stage / "checkpoints") and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.005)
    finally:
        child.send_signal(signal.SIGKILL)
        _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()[-500:]
    reached = [p.name for p in checkpoints(stage / "checkpoints")]
    assert reached and f"step-{QUICK.steps:08d}.safetensors" not in reached
    train(root, "render", "killed")
    one, other = final(unbroken), final(stage)
    assert one.keys() == other.keys() and any(n.startswith("second/unet.") for n in one)
    assert all(torch.equal(one[n], other[n]) for n in one), "weights, averages and moments, to the last bit"
    lines = [[json.loads(line) for line in (s / "log.jsonl").read_text().splitlines()] for s in (unbroken, stage)]
    losses = [[(line["step"], line["loss"]) for line in part if "loss" in line] for part in lines]
    assert losses[0] == losses[1] and [step for step, _ in losses[0]] == [6, 12, 18, 24]


def test_two_processes_and_one_learn_the_same(root: Path, unbroken: Path) -> None:
    (root / "two" / "vae").mkdir(parents=True)
    (root / "two" / "vae" / "weights").symlink_to(root / "start" / "vae" / "weights")
    # 24 steps amplify rounding; the first 6 tell whether both see the same batch
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "understudy_backend.training.threedhm", *arguments(root, "render", "two", "--accumulate", "1",
               "--steps", "6", "--schedule", "constant")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    alone = train(root, "render", "alone", "--steps", "6", "--schedule", "constant")
    one, other = final(alone), final(root / "two" / "render")
    begin = dict(base_of("render", TINY, root / "start", None).unet.named_parameters())
    names = [n for n in one if n.startswith("now/unet.")]
    moved = torch.cat([(one[n] - begin[n.removeprefix("now/unet.")].detach()).flatten() for n in names])
    apart = torch.cat([(one[n] - other[n]).flatten() for n in names])
    assert moved.norm() > 0.1 and apart.norm() < 0.02 * moved.norm()


def test_the_kept_weights_are_the_moving_average(root: Path) -> None:
    stage = train(root, "infill", "average", "--steps", "3", "--save-every", "1", "--keep", "3")
    states = [load_file(p) for p in checkpoints(stage / "checkpoints")]
    name = "unet.conv_in.weight"
    expected = states[0][f"now/{name}"].double()
    for step, state in enumerate(states[1:], start=1):
        decay = min(QUICK.ema, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * state[f"now/{name}"].double()
    assert torch.allclose(states[-1][f"mean/{name}"].double(), expected, atol=1e-7)
    assert not torch.equal(states[-1][f"mean/{name}"], states[-1][f"now/{name}"])


def test_a_run_leaves_log_pictures_and_the_last_checkpoints(unbroken: Path) -> None:
    assert [p.name for p in checkpoints(unbroken / "checkpoints")] == [
        "step-00000018.safetensors", "step-00000024.safetensors",
    ]  # fmt: skip
    picture = cv2.imread(str(unbroken / "grids" / "step-00000024.png"))
    assert picture is not None and picture.shape == (2 * (SIDE + 2), 4 * (48 + 2), 3) and picture.std() > 10
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = events.EventAccumulator(str(unbroken / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    log.Reload()
    assert {"loss", "psnr_inside", "iou"} <= set(log.Tags()["scalars"]) and log.Tags()["images"] == ["validation"]
    lines = [json.loads(line) for line in (unbroken / "log.jsonl").read_text().splitlines()]
    assert [e.value for e in log.Scalars("loss")] == pytest.approx([x["loss"] for x in lines if "loss" in x])


def test_a_damaged_checkpoint_is_one_line(
    root: Path, unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(unbroken, root / "damaged" / "render")
    newest = checkpoints(root / "damaged" / "render" / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    with pytest.raises(SystemExit) as caught:
        train(root, "render", "damaged")
    said = capsys.readouterr().err
    assert caught.value.code == 1 and said.count("\n") == 1
    assert "is damaged" in said and "step-00000018" in said and "Traceback" not in said
    newest.unlink()
    train(root, "render", "damaged")
    one, other = final(unbroken), final(root / "damaged" / "render")
    assert all(torch.equal(one[n], other[n]) for n in one)


def test_weights_of_another_run_are_a_start(root: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = root / "exported"
    threedhm.main(["export", "--out", str(root / "unbroken"), "--to", str(export)])
    newest = load_file(checkpoints(unbroken / "checkpoints")[-1])
    assert load_render(export / "render").window == TINY.window
    for source, tolerance in ((export / "render", 1e-3), (checkpoints(unbroken / "checkpoints")[-1], 1e-7)):
        run = f"after-{tolerance}"
        stage = train(root, "render", run, "--steps", "1", "--learning-rate", "0", "--start-from", str(source))
        now = final(stage)
        for name, value in newest.items():
            if name.startswith("mean/"):
                assert torch.allclose(now["now/" + name.removeprefix("mean/")], value, atol=tolerance)
    with pytest.raises(SystemExit):
        train(root, "infill", "wrong", "--start-from", str(export / "render"))
    assert "does not fit" in capsys.readouterr().err


@pytest.mark.parametrize("pictures", [False, True])
def test_texels_that_no_video_frame_showed_count_for_nothing(root: Path, tmp_path: Path, pictures: bool) -> None:
    infill = dataclasses.replace(TINY.infill, picture_loss=pictures, last_step_share=0.6)
    setting = dataclasses.replace(TINY, infill=infill)
    data = textures(np.random.default_rng(3))
    known = np.full((COUNT, SIDE, SIDE), 255, np.uint8)
    known[:, 24:40, 40:] = 0
    at_unknown, at_known = data["target"].copy(), data["target"].copy()
    unknown = (known == 0) & data["body_mask"]
    at_unknown[unknown] = 255 - at_unknown[unknown]
    at_known[:, 40:48, 40:48] = 255 - at_known[:, 40:48, 40:48]
    accelerator, losses = start(infill, tmp_path, cpu=True), []
    for number, target in enumerate((data["target"], at_unknown, at_known)):
        write(tmp_path / str(number), **{**data, "target": target}, known=known)
        base = base_of("infill", setting, root / "start", None)
        read = stage1.read(Samples([tmp_path / str(number)]), setting, base, tmp_path / "cache", accelerator)
        lesson = stage1.lesson(setting, base, read, None)
        batch = lesson.prepare(draws.draw(0, 0, range(4), 4, COUNT))
        losses.append(lesson.loss(lesson.trained, batch).item())
    assert losses[0] == losses[1] != losses[2]


def test_every_sample_comes_once_before_any_comes_again() -> None:
    seen = np.concatenate([draws.draw(1, step, range(4), 4, 10).indices for step in range(10)])
    epochs = seen.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_is_the_same_however_it_is_divided() -> None:
    whole = draws.draw(1, 7, range(6), 6, 100)
    parts = [draws.draw(1, 7, range(i, i + 2), 6, 100) for i in (0, 2, 4)]
    assert np.array_equal(whole.indices, np.concatenate([p.indices for p in parts]))
    noise = whole.normal(3, 5)
    assert torch.equal(noise, torch.cat([p.normal(3, 5) for p in parts]))
    assert torch.equal(whole.below(1000), torch.cat([p.below(1000) for p in parts]))
    many = draws.draw(0, 0, range(4000), 4000, 4000)
    assert abs(many.normal(4).mean()) < 0.03 and abs(many.normal(4).std() - 1) < 0.03
    assert abs(many.uniform().mean() - 0.5) < 0.03 and not torch.equal(
        noise, draws.draw(2, 7, range(6), 6, 100).normal(3, 5)
    )


def test_the_learning_rate_rises_and_falls() -> None:
    training = Training(steps=100, warmup=10, learning_rate=1.0, final_rate=0.1)
    rates = [learning_rate(training, step, step / 100) for step in range(101)]
    assert rates[0] < 0.11 and max(rates) == pytest.approx(0.98, abs=0.03) and rates[100] == pytest.approx(0.1)
    flat = dataclasses.replace(training, schedule="constant")
    assert [learning_rate(flat, step, step / 100) for step in (4, 50, 99)] == [0.5, 1.0, 1.0]


def test_settings_are_read_back_and_explained(tmp_path: Path) -> None:
    for setting in SETTINGS.values():
        write_setting(setting, tmp_path / "config.json")
        assert read_setting(str(tmp_path / "config.json")) == setting
        for kind in (Setting, Training):
            assert explanations(kind).keys() == {f.name for f in dataclasses.fields(kind)}
    (tmp_path / "config.json").write_text('{"name": 3}')
    with pytest.raises(ValueError, match="is no setting") as caught:
        read_setting(str(tmp_path / "config.json"))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no setting 'huge'"):
        read_setting("huge")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["infill", "--config", "sd15"], "--weights"),
        (["vae", "--config", "sd15"], "stays as it is"),
        (["outline", "--config", "sd15"], "no outline network"),
        (["outline"], "no checkpoint of render"),
        (["infill", "--config", "sd15", "--weights", "no such model"], "neither a folder nor"),
        (["infill", "--batch", "5"], "a batch of 5 cannot be shared"),
        (["infill", "--batch", "0"], "at least 1"),
        (["infill", "--mixed-precision", "fp16"], "mixed-precision"),
        (["render", "--data", "nowhere"], "no samples"),
        (["export"], "--to"),
        (["export", "--to", "x"], "no checkpoints"),
    ],
)
def test_bad_input_is_one_line(root: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = root / "start" if more[0] != "export" else root / "none"
    setting = [] if "--config" in more else ["--config", str(root / "tiny.json")]
    data = [] if "--data" in more else ["--data", str(root / "data")]
    with pytest.raises(SystemExit) as caught:
        threedhm.main([*more, "--out", str(run), "--cpu", *setting, *data])
    printed = capsys.readouterr().err
    assert caught.value.code == 1 and said in printed and printed.count("\n") == 1, printed


def test_a_run_that_diverges_stops(root: Path) -> None:
    with pytest.raises(SystemExit):
        train(root, "infill", "diverges", "--learning-rate", "1e18", "--log-every", "2", "--clip", "1e30")
    assert not checkpoints(root / "diverges" / "infill" / "checkpoints")
    assert issubclass(TrainingError, ValueError)

"""Both stages, and the outline after them, trained from nothing at tiny size for some hundred steps, learn 8 people by
heart."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from understudy_backend.models.threedhm import denoising
from understudy_backend.models.threedhm.infilling import generate, shrink
from understudy_backend.models.threedhm.latents import compose, decode, decompose, encode
from understudy_backend.models.threedhm.networks import NetworkConfig
from understudy_backend.training import dataset, threedhm
from understudy_backend.training.arrays import Samples
from understudy_backend.training.cells import windows
from understudy_backend.training.configs import Setting, Training
from understudy_backend.training.outline import known
from understudy_backend.training.setting_files import write_setting
from understudy_backend.weights.threedhm import load_infill, load_render

pytestmark = pytest.mark.timeout(1200)  # on a busy machine

SIDE, PEOPLE = 64, 8
QUICK = Training(steps=300, batch=8, learning_rate=2e-3, warmup=20, ema=0.98, save_every=300, last_step_share=0.95,
                 background_weight=0.1, validation_samples=8)  # fmt: skip
NETWORKS = NetworkConfig(latent_channels=32, unet_channels=(32, 64), prompt_width=16, groups=8, image_size=SIDE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made people, the setting and the autoencoder."""
    run = tmp_path_factory.mktemp("overfit")
    count = PEOPLE * dataset.SAMPLES_PER_PERSON
    for kind in ("texture", "frames"):
        dataset.main(["--kind", kind, "--out", str(run / kind / "train"), "--count", str(count), "--seed", "5",
                      "--workers", "1"])  # fmt: skip
    refine = dataclasses.replace(QUICK, learning_rate=1e-3)
    render = dataclasses.replace(QUICK, steps=400)
    write_setting(Setting("tiny", SIDE, 1, True, NETWORKS, refine, QUICK, render), run / "tiny.json")
    few, outline = dataclasses.replace(QUICK, steps=80), dataclasses.replace(QUICK, steps=200, mirror=True)
    cropped = Setting("tiny", SIDE, 1, True, NETWORKS, refine, QUICK, few, (80, 128), outline=outline)
    write_setting(cropped, run / "windows.json")
    command(run, "vae")
    return run


def command(run: Path, what: str, out: str = ".", setting: str = "tiny") -> None:
    config = str(run / f"{setting}.json")
    threedhm.main([what, "--data", str(run), "--out", str(run / out), "--config", config, "--cpu"])


def rows(run: Path, kind: str, name: str) -> np.ndarray:
    shards = sorted((run / kind / "train").glob(f"shard-*/{name}.npy"))
    return np.concatenate([np.load(path) for path in shards])


def shrunk(images: np.ndarray) -> np.ndarray:
    """(N, SIDE, SIDE, C) in [0, 1]."""
    return np.stack([cv2.resize(i, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for i in images]) / 255


def psnr(result: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((result[where] - truth[where]) ** 2)))


def test_stage_1_learns_the_unseen_texels(run: Path) -> None:
    command(run, "infill")
    threedhm.main(["export", "--out", str(run), "--to", str(run / "weights1")])
    model = load_infill(run / "weights1" / "infill")
    body = np.load(run / "texture" / "train" / "body_mask.npy") > 0
    visible = (rows(run, "texture", "visible") > 127) & body
    truth = shrunk(rows(run, "texture", "target"))
    pairs = [shrink(c, v, SIDE) for c, v in zip(rows(run, "texture", "partial"), visible, strict=True)]
    partial, seen = np.stack([p for p, _ in pairs]), np.stack([s for _, s in pairs])
    result = generate(model, partial, seen, seed=1, steps=model.steps)
    unseen = shrunk((body & ~visible).astype(np.uint8) * 255) > 0.99
    mean, nearest = partial.copy(), partial.copy()
    for m, n, s in zip(mean, nearest, seen, strict=True):
        m[:] = m[s].mean(0)
        n[:] = n[tuple(distance_transform_edt(~s, return_distances=False, return_indices=True))]
    figures = [psnr(x, truth, unseen) for x in (result, mean, nearest)]
    assert figures[0] > max(figures[1:]) + 5, figures


def test_stage_2_learns_what_leaves_the_body(run: Path) -> None:
    command(run, "render")
    threedhm.main(["export", "--out", str(run), "--to", str(run / "weights2")])
    model = load_render(run / "weights2" / "render")
    body, photo, truth = (
        compose(torch.from_numpy(shrunk(rows(run, "frames", name))).permute(0, 3, 1, 2).float())
        for name in ("body", "photo", "target")
    )
    with torch.no_grad():
        condition = torch.cat([encode(model.vae, body), encode(model.vae, photo)], 1)
        noise = denoising.seeded_noise(1, tuple(encode(model.vae, body).shape))
        latents = denoising.sample(
            lambda x, t: denoising.predict_render(model.unet, model.branch, x, t, condition, model.prompt),
            model.scheduler, noise, model.steps,
        )  # fmt: skip
        result = decode(model.vae, latents)
    inside = truth[:, 3] > 0
    shown = [decompose(x)[:, 3] > 0.5 for x in (result, body)]
    learnt, before = (float((s & inside).sum() / (s | inside).sum()) for s in shown)
    assert learnt > before + 0.05, (learnt, before)
    where = inside.numpy()
    figures = [psnr(x[:, :3].permute(0, 2, 3, 1).numpy() / 2, truth[:, :3].permute(0, 2, 3, 1).numpy() / 2, where)
               for x in (result, body)]  # fmt: skip
    assert figures[0] > figures[1] + 2, figures


def test_the_outline_is_learnt_from_the_frames_of_stage_2(run: Path, capsys: pytest.CaptureFixture) -> None:
    out = run / "windows"
    shutil.copytree(run / "vae", out / "vae")
    with pytest.raises(SystemExit):
        command(run, "outline", "windows", "windows")
    assert "train that first" in capsys.readouterr().err
    command(run, "render", "windows", "windows")
    threedhm.main(["export", "--out", str(out), "--to", str(out / "weights")])
    assert load_render(out / "weights" / "render").outline is None
    command(run, "outline", "windows", "windows")
    threedhm.main(["export", "--out", str(out), "--to", str(out / "weights")])
    network = load_render(out / "weights" / "render").outline
    assert network is not None
    samples = Samples([run / "frames" / "train"])
    every = np.arange(len(samples))
    body, truth = (windows(samples, name, every, (80, 128)) for name in ("body", "target"))
    told = known(samples, every, (80, 128))
    inside, cover = truth[:, 3:] > 0, body[:, 3:] > 0
    with torch.no_grad():  # of stage 2 it gets the body again: all that it can know is from the photo
        found = (network(body, body, told) > 0) | cover
    learnt, before = (float((f & inside).sum() / (f | inside).sum()) for f in (found, cover))
    assert learnt > before + 0.05, (learnt, before)

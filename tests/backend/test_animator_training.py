"""Training of Animate Anyone and Champ at tiny size: it learns, goes on where it stopped, stage 2 changes time only.

And what each stage trains at full size, driving pictures, and what a device with too little memory gets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from understudy_backend.guidance.picture_skeleton import PictureSkeleton
from understudy_backend.methods import animate_anyone
from understudy_backend.methods.animator import picture_of
from understudy_backend.methods.clips import GREEN, ClipParams
from understudy_backend.methods.contract import MethodError, Task
from understudy_backend.models.animate_anyone import animation
from understudy_backend.models.animate_anyone.animation import Clip, ClipSettings
from understudy_backend.models.animate_anyone.networks import (
    PUBLISHED,
    NetworkConfig,
    build_denoiser,
    build_image_denoiser,
    build_reference_net,
)
from understudy_backend.models.animate_anyone.windows import Windows
from understudy_backend.photo.result import Estimate
from understudy_backend.training import objective
from understudy_backend.training.animator import people_clips, video_clips
from understudy_backend.training.animator.__main__ import main
from understudy_backend.training.animator.batches import batch_of, clip_frames, over, random_part, single_frame
from understudy_backend.training.animator.run import clips_of
from understudy_backend.training.animator.settings import SETTINGS, AnimatorSetting
from understudy_backend.training.animator.start import Sources, add_time, begin, build_guider
from understudy_backend.training.animator.trainee import Trainee, choose_trained, trained_parameters
from understudy_backend.training.checkpoints import TrainingError, checkpoints
from understudy_backend.training.configs import Training
from understudy_backend.training.draws import draw
from understudy_backend.training.people import render
from understudy_backend.training.people.person import generator, random_person
from understudy_backend.training.people.poses import standing
from understudy_backend.training.people.stage import DressedPerson
from understudy_backend.training.setting_files import write_setting
from understudy_backend.training.video.clip import find_clips
from understudy_backend.training.video.track import from_estimates
from understudy_backend.weights.animate_anyone import load_animator
from understudy_shared.body import Y_UP_TO_Z_UP, free_body
from understudy_shared.camera import CameraTrajectory
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec

pytestmark = pytest.mark.timeout(900)  # on a busy machine

FRAMES, SIDE = 4, 64
NET = NetworkConfig(
    channels=(32, 48), layers=1, heads=2, token_width=16, groups=16, latent_channels=24, motion_heads=2,
    guider_channels=(8, 16, 16, 32),
)  # fmt: skip
QUICK = Training(
    steps=160, batch=4, learning_rate=3e-3, warmup=10, final_rate=0.1, last_step_share=0.9, ema=0.97, save_every=160,
    log_every=10, validation_samples=1, validation_pictures=1,
)  # fmt: skip
TINY = AnimatorSetting(
    "tiny", NET, True, ((SIDE, SIDE), (SIDE, SIDE)), QUICK, dataclasses.replace(QUICK, steps=8, batch=1, save_every=8),
    clip_frames=FRAMES, clip_rate=1, margin=0, crop=1.0, colours=0.0, dropped_token="zero", betas="linear",
    sampling_steps=1, guidance=1.0,
)  # fmt: skip
PHOTOS = Path(__file__).parents[2] / "packaging" / "demo" / "samples" / "photos"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animator")
    main(["people", "--out", str(folder / "clips" / "train"), "--people", "2", "--frames", str(FRAMES),
          "--size", f"{SIDE}x{SIDE}", "--workers", "1"])  # fmt: skip
    write_setting(TINY, folder / "tiny.json")
    return folder


def train(data: Path, stage: str, run: Path, kind: str = "animate_anyone", *more: str) -> None:
    main([stage, "--kind", kind, "--data", str(data), "--out", str(run), "--config", str(data / "tiny.json"), "--cpu",
          "--threads", "1", *more])  # fmt: skip


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A run of both stages, its sets `first` and `second` beside it."""
    run = data / "run"
    train(data, "stage1", run)
    main(["export", "--kind", "animate_anyone", "--out", str(run), "--to", str(run / "first")])
    train(data, "stage2", run)
    main(["export", "--kind", "animate_anyone", "--out", str(run), "--to", str(run / "second")])
    return run


def test_a_short_training_learns_people_and_poses(data: Path, trained: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (trained / "stage1" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-3:]) < 0.45 * losses[0], losses  # 0.31 measured
    parts, clips, errors = load_animator(trained / "second", "animate_anyone"), clips_of([data], "train"), []
    everything = np.arange(FRAMES)
    for number in range(len(clips)):
        pictures = [over(p, GREEN) for p in clips.rows("picture", number, everything)]
        settings = ClipSettings((SIDE, SIDE), FRAMES, steps=1, guidance=1.0, windows=Windows(frames=FRAMES, overlap=0))
        clip = Clip(parts, pictures[0], settings, tmp_path / str(number))
        for place, skeleton in enumerate(clips.rows("skeleton", number, everything)):
            clip.guide(place, {"pose": skeleton})
        clip.denoise()
        for place, result in enumerate(clip.frames()):
            if place:  # the first is the photo itself
                truth = pictures[place].astype(float)
                errors.append([((image - truth) ** 2).mean() for image in (result, pictures[0])])
    made, copied = (-10 * np.log10(np.mean(e) / 255**2) for e in np.transpose(errors))
    assert made > copied + 2, (made, copied)  # 24.7 and 21.5 dB measured


def test_stage_2_changes_temporal_layers_alone(trained: Path) -> None:
    for name in ("denoising_unet", "reference_unet", "pose_guider"):
        one, other = (load_file(trained / half / f"{name}.safetensors") for half in ("first", "second"))
        assert one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one), name
    one, other = (load_file(trained / half / "motion_module.safetensors") for half in ("first", "second"))
    learnt = [n for n in one if not n.endswith(".pe")]
    assert sum(not torch.equal(one[n], other[n]) for n in learnt) > 0.5 * len(learnt)
    assert all(not one[n].any() for n in learnt if ".proj_out." in n)  # before stage 2 they change nothing


@pytest.mark.parametrize(("kind", "stage"), [("champ", "stage1"), ("animate_anyone", "stage2")])
def test_a_run_that_was_killed_ends_with_the_same_bits(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str
) -> None:
    calls, real = 0, objective.add_noise
    limit = None

    def counted(*given):
        nonlocal calls
        calls += 1
        if limit is not None and calls > limit:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(objective, "add_noise", counted)
    options = ["--steps", "4", "--save-every", "2", "--batch", "2", "--accumulate", "2", "--ema", "0.5"]
    ends = []
    for name, stops in (("unbroken", []), ("killed", [5])):
        run = tmp_path / name
        if stage == "stage2":
            (run / "stage1").mkdir(parents=True)
            for part in ("stand_ins", "stage1/checkpoints", "stage1/config.json", "sources.json"):
                (run / part).symlink_to(trained / part)
        for limit in [*stops, None]:
            calls = 0
            if limit is not None:
                with pytest.raises(KeyboardInterrupt):
                    train(data, stage, run, kind, *options)
                assert [p.name for p in checkpoints(run / stage / "checkpoints")] == ["step-00000002.safetensors"]
            else:
                train(data, stage, run, kind, *options)
        assert calls == (4 if stops else 8)  # four steps of two parts
        ends.append(load_file(checkpoints(run / stage / "checkpoints")[-1]))
    assert ends[0].keys() == ends[1].keys() and any(n.startswith("second/") for n in ends[0])
    assert all(torch.equal(ends[0][n], ends[1][n]) for n in ends[0])
    if stage == "stage2":
        assert all(".motion_modules." in n for n in ends[0])


@pytest.mark.parametrize("kind", ["animate_anyone", "champ"])
def test_full_size_trains_what_is_published(kind) -> None:
    setting = SETTINGS[kind]["full"]
    with torch.device("meta"):
        guider = build_guider(kind, PUBLISHED)
        first = Trainee(build_image_denoiser(PUBLISHED), build_reference_net(PUBLISHED), guider)
        second = Trainee(build_denoiser(PUBLISHED), first.reference_net, guider)
    assert setting.networks == PUBLISHED and setting.sizes == ((768, 768), (512, 512)) and setting.clip_frames == 24
    choose_trained(first, "stage1")
    frozen = {n: p.numel() for n, p in first.named_parameters() if not p.requires_grad}
    last = sum(count for n, count in frozen.items() if n.startswith("reference_net.up_blocks.3."))
    rest = [n for n in frozen if not n.startswith("reference_net.up_blocks.3.")]
    assert last == 18_810_560  # what the published code freezes
    assert all(".attn2.to_q" in n or ".attn2.to_k" in n or ".norm2." in n for n in rest)
    assert sum(p.numel() for p in first.denoiser.parameters()) == 859_520_964
    assert sum(p.numel() for p in first.reference_net.parameters()) == 859_508_800
    choose_trained(second, "stage2")
    assert sum(p.numel() for p in trained_parameters(second).values()) == 453_209_280


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_all_that_is_trained_gets_a_gradient_and_checkpointing_changes_none(data: Path, stage) -> None:
    torch.manual_seed(0)
    start = begin(TINY, Sources("champ"), data / "stand_in_only", clips_of([data], "train"))
    if stage == "stage2":
        start = add_time(start, Sources("champ"))
    trainee, frames = start.trainee, 1 if stage == "stage1" else 2
    choose_trained(trainee, stage)
    with torch.no_grad():
        for p in trainee.parameters():
            if not p.any():
                p.normal_(0, 0.02)  # a layer of zeros lets no gradient through
    noisy, photo = torch.randn(2, 24, frames, 8, 8), torch.randn(2, 24, 8, 8)
    pictures = {kind: torch.rand(2, 3, frames, SIDE, SIDE) for kind in trainee.guider.kinds}

    def gradients(unseen: int) -> dict[str, torch.Tensor]:
        trainee.zero_grad(set_to_none=True)
        said = trainee(noisy, torch.tensor([5, 900]), torch.ones(2, 1, 16), photo, pictures, unseen)
        said.square().mean().backward()
        found = {name: p.grad for name, p in trained_parameters(trainee).items()}
        assert all(g is not None for g in found.values()), [n for n, g in found.items() if g is None]
        return {name: g.clone() for name, g in found.items() if g is not None}

    trainee.train()
    for unseen in (0, 1, 2):
        found = gradients(unseen)
        from_photo = [g.abs().max() for n, g in found.items() if n.startswith("reference_net.")]
        assert (max(from_photo, default=torch.tensor(0.0)) > 0) == (stage == "stage1" and unseen < 2)
    plain = gradients(1)
    trainee.enable_gradient_checkpointing()
    assert all(torch.allclose(g, plain[n], rtol=1e-3, atol=1e-6) for n, g in gradients(1).items())


def test_frames_are_chosen_as_published() -> None:
    some = [(a, b) for a in np.linspace(0, 0.999, 23) for b in (0, 0.5, 0.999)]
    for count in (200, 40, 20):
        pairs = [single_frame(count, 30, u) for u in some]
        assert all(0 <= a < count and 0 <= b < count for a, b in pairs)
        for photo, target in pairs:
            if photo + 30 < count:
                assert target >= photo + 30
            elif photo > 30:
                assert target < photo - 30 + 1
    photo, frames = clip_frames(300, 24, 4, (0.999, 0.999))
    assert photo == 299 and frames[0] == 300 - 93 and frames[-1] == 299 and set(np.diff(frames)) == {4}
    assert clip_frames(10, 24, 4, (0, 0.7))[1].tolist() == np.linspace(0, 9, 24).astype(int).tolist()
    for u in ((0, 0, 0, 0), (1, 1, 1, 1), (0.3, 0.9, 0.2, 0.5)):
        left, top, width, height = random_part(0.9, u)
        assert left >= 0 and top >= 0 and left + width <= 1 + 1e-9 and top + height <= 1 + 1e-9
        assert width * height >= 0.9**1.5 - 1e-9


def test_a_batch_follows_from_its_draw(data: Path) -> None:
    clips = clips_of([data], "train")
    setting = dataclasses.replace(TINY, dropout=0.5, colours=1.0)
    one, other = (batch_of(clips, ("pose",), setting, "stage2", 24, draw(3, 7, range(4), 4, len(clips))) for _ in "12")
    assert all(torch.equal(one[n], other[n]) for n in one)
    assert one["target"].shape == (4, 3, FRAMES, SIDE, SIDE) and one["guide/pose"].shape == (4, 3, FRAMES, SIDE, SIDE)
    parts = [batch_of(clips, ("pose",), setting, "stage2", 24, draw(3, 7, range(i, i + 1), 4, len(clips)))
             for i in range(4)]  # fmt: skip
    both = {tuple(t.tolist()) for t in (one["t"].unsqueeze(1))}
    assert both == {tuple(p["t"].tolist()) for p in parts}
    dropped = one["dropped"].tolist()
    assert dropped == sorted(dropped, reverse=True)  # the network takes those without a photo first
    offset = one["noise"].mean((2, 3, 4))
    assert offset.std() > 0.03  # chance alone leaves 1 / sqrt(4 * 64) of unit noise: 0.0625, and 0.05 on top
    assert float(one["target"][:, :, :, 0, 0].std()) > 0.05  # backgrounds differ


def test_stable_diffusions_weights_are_taken_over(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = NetworkConfig(channels=(32, 48), layers=1, heads=2, token_width=16, groups=16, latent_channels=4)
    unet = build_image_denoiser(net)
    unet.save_pretrained(tmp_path / "unet")
    AutoencoderKL(block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=8,
                  up_block_types=("UpDecoderBlock2D",) * 4).save_pretrained(tmp_path / "vae")  # fmt: skip
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(hidden_size=16, intermediate_size=16, projection_dim=16, num_hidden_layers=1,
                         num_attention_heads=2, patch_size=56)
    ).save_pretrained(tmp_path / "image_encoder")  # fmt: skip
    setting = dataclasses.replace(TINY, networks=net, from_nothing=False)
    with pytest.raises(TrainingError, match="--weights"):
        begin(setting, Sources("champ"), tmp_path / "run", None)
    start = begin(setting, Sources("champ", weights=str(tmp_path)), tmp_path / "run", None)
    for module in (start.trainee.denoiser, start.trainee.reference_net):
        state = module.state_dict()
        assert all(torch.equal(t, state[n]) for n, t in unet.state_dict().items() if n in state)
    assert len(start.trainee.denoiser.state_dict()) - len(start.trainee.reference_net.state_dict()) == 4
    motion = {n: t for n, t in build_denoiser(net).state_dict().items() if ".motion_modules." in n and "pos_" not in n}
    torch.save(motion, tmp_path / "mm.ckpt")
    denoiser = add_time(start, Sources("champ", motion=str(tmp_path / "mm.ckpt"))).trainee.denoiser.state_dict()
    assert all(torch.equal(t, denoiser[n]) for n, t in (*motion.items(), *unet.state_dict().items()))
    with pytest.raises(TrainingError, match="does not fit"):
        begin(dataclasses.replace(setting, networks=NET), Sources("champ", weights=str(tmp_path)), tmp_path / "r", None)


def test_what_is_wrong_is_told_in_one_line(data: Path, trained: Path, tmp_path: Path, capsys) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 1
        text = capsys.readouterr().err
        assert text.count("\n") == 1 and text.startswith("error: ")
        return text

    tiny = ["--config", str(data / "tiny.json"), "--cpu"]
    assert "no clips" in said("stage1", "--kind", "champ", "--data", str(tmp_path), "--out", str(tmp_path / "r"), *tiny)
    assert "train it first" in said(
        "stage2", "--kind", "champ", "--data", str(data), "--out", str(tmp_path / "r"), *tiny
    )
    assert "began with --kind" in said("export", "--kind", "champ", "--out", str(trained), "--to", str(tmp_path / "s"))
    assert "no checkpoints" in said(
        "export", "--kind", "champ", "--out", str(tmp_path / "x"), "--to", str(tmp_path / "s")
    )
    assert "no setting" in said("stage1", "--kind", "champ", "--out", str(tmp_path / "r"), "--config", "huge")
    other = ["people", "--out", str(data / "clips" / "train"), "--people", "2", "--frames", "9", "--size", "64x64"]
    assert "another data set" in said(*other)


def test_clips_are_the_same_bytes_whenever_they_are_made(data: Path, tmp_path: Path) -> None:
    people_clips.create(people_clips.Plan(tmp_path, 2, FRAMES, (SIDE, SIDE)))
    for path in sorted(tmp_path.glob("*/*.npy")):
        same = data / "clips" / "train" / path.relative_to(tmp_path)
        assert path.read_bytes() == same.read_bytes(), path.name
    rows = np.load(tmp_path / "shard-00000" / "picture.npy")[..., 3] > 127
    bodies = np.load(tmp_path / "shard-00000" / "semantic_map.npy").any(-1)
    assert (rows & bodies).sum() > 0.97 * bodies.sum()  # clothes reach further than the body, never less


def test_video_and_its_track_become_a_clip(tmp_path: Path) -> None:
    rng, size, body = generator("train", 0), (120, 160), free_body()
    dressed = DressedPerson(random_person(rng))
    pose, turn = standing(rng), cv2.Rodrigues(Y_UP_TO_Z_UP.astype(np.float64))[0][:, 0].astype(np.float32)
    view = render.frame(dressed.vertices(pose), 0.0, 0.05, 1.5, 0.6, np.array([0.1, 0.05]), size)
    pelvis = body.joints(dressed.person.betas)[0]
    still = (Y_UP_TO_Z_UP @ pelvis - pelvis).astype(np.float32)
    camera = CameraTrajectory(view.extrinsics[None], view.intrinsics[None], *size)
    alone = dressed.target(pose, view)
    fit = Estimate(dressed.person.betas, turn[None], pose[None, 1:], still[None], camera)
    (tmp_path / "anna").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "anna" / f"{number}.png"), over(alone, (255, 0, 0))[..., ::-1])
    from_estimates([0, 1, 2], [fit] * 3, size, [1.0] * 3).save(tmp_path / "anna.npz")
    (clip,) = find_clips(tmp_path / "anna")
    folder = video_clips.add_video(clip, tmp_path / "anna.npz", tmp_path / "out", (64, 96))
    assert folder == video_clips.add_video(clip, tmp_path / "anna.npz", tmp_path / "out", (64, 96))
    picture, map_ = np.load(folder / "picture.npy"), np.load(folder / "semantic_map.npy")
    assert picture.shape == (3, 96, 64, 4) and picture[..., 3].min() == 255
    person, there = np.abs(picture[0, ..., :3].astype(int) - (255, 0, 0)).sum(-1) > 60, map_[0].any(-1)
    assert (person & there).sum() > 0.95 * there.sum() and there.sum() > 0.6 * person.sum()
    assert 0.75 < np.ptp(np.nonzero(there)[0]) / 96 < 0.95  # the person fills the window


def test_a_driving_picture_gives_the_skeleton(monkeypatch: pytest.MonkeyPatch) -> None:
    image = cv2.imread(str(PHOTOS / "openpeople_P005.jpg"))
    assert image is not None
    found = PictureSkeleton().find(np.ascontiguousarray(image[..., ::-1]))
    assert found is not None
    points, scores = found
    # places read off the photo by eye; OpenPose's nose, left wrist and left ankle
    for index, place, tolerance in ((0, (318, 135), 12), (7, (455, 535), 20), (13, (423, 905), 20)):
        assert np.linalg.norm(points[index] - place) < tolerance and scores[index] > 0.3
    assert np.allclose(points[1], (points[2] + points[5]) / 2) and scores[1] == 1
    assert not scores[18:].any()
    method = animate_anyone.AnimateAnyone()
    empty = Frame(7, {Channel.RGBA: np.full((64, 48, 4), 200, np.uint8)})
    with pytest.raises(MethodError, match="frame 7 shows no person") as told:
        method._of_picture(empty, (48, 64))
    assert told.value.code == "no_person"
    with pytest.raises(MethodError, match="48 x 64"):
        picture_of(empty, (64, 64))
    linear = Frame(1, {Channel.RGBA: np.full((64, 48, 4), 0.5, np.float32)})
    assert picture_of(linear, (48, 64))[0, 0].tolist() == [188, 188, 188, 128]  # IEC 61966-2-1


def test_too_little_memory_for_both_halves_makes_them_one_by_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = load_animator(trained / "second", "animate_anyone")
    photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    sizes, real, most = [], animation.predict, 2

    def small(unet, noisy, *rest):
        sizes.append(len(noisy))
        if len(noisy) > most:
            raise torch.OutOfMemoryError
        return real(unet, noisy, *rest)

    monkeypatch.setattr(animation, "predict", small)

    def finished(name: str, batched: bool) -> torch.Tensor:
        sizes.clear()
        clip = Clip(parts, photo, ClipSettings((SIDE, SIDE), 2, steps=2), tmp_path / name, batched=batched)
        for index in range(2):
            clip.guide(index, {"pose": photo})
        clip.denoise()
        return clip.latents(range(2))

    finished("together", True)
    assert sizes == [2, 2]
    apart = finished("apart", False)
    most = 1
    assert torch.equal(finished("fallen_back", True), apart)
    assert sizes == [2, 1, 1, 1, 1]  # tried once
    most = 0
    with pytest.raises(MethodError, match="too little memory"):
        finished("nothing", True)


def test_a_video_drives_the_method(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "animate_anyone-tiny").symlink_to(trained / "second")
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    image = cv2.imread(str(PHOTOS / "openpeople_P005.jpg"))
    assert image is not None
    size = (256, 256 * image.shape[0] // image.shape[1] // 8 * 8)
    person = np.dstack([cv2.resize(image[..., ::-1], size), np.full(size[::-1], 255, np.uint8)])
    params = ClipParams(steps=1, guidance=1.0, weights="tiny")
    numbers = FrameRange(1, 2)
    task = Task(JobSpec("animate_anyone", numbers, size, 1, {}, {}), params, {"photo": person})
    method = animate_anyone.AnimateAnyone()
    frames = [Frame(1, {Channel.RGBA: person}), Frame(2, {Channel.RGBA: np.ascontiguousarray(person[:, ::-1])})]
    results = list(method.run(task, frames))
    assert [r.index for r in results] == [1, 2] and not any(r.meta for r in results)
    assert not np.array_equal(*(r.arrays["rgba"] for r in results))

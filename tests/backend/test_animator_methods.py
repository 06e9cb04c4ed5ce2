"""Animate Anyone and Champ as methods: from a photo and the scene's body to frames, interrupted and resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_animators import KINDS, write_weights
from understudy_backend.methods.animate_anyone import AnimateAnyone
from understudy_backend.methods.champ import Champ
from understudy_backend.methods.clips import GREEN, ClipParams, finished, framed_photo, own_seeds, previewed
from understudy_backend.methods.contract import Cancelled, MethodError, Task
from understudy_backend.models.animate_anyone.noise import SeedRange
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms, skin
from understudy_shared.camera_paths import orbit
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec

SIZE, NUMBERS = (64, 96), FrameRange(3, 9, 1)
METHODS = {"animate_anyone": AnimateAnyone, "champ": Champ}
FEW = {"steps": 2, "window": 4, "overlap": 1, "weights": "tiny"}


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    for kind in KINDS:
        write_weights(folder, kind)
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(folder))
    return folder


def frames(turn: float = 0.3) -> list[Frame]:
    body, camera = free_body(), orbit(frames=7, size=SIZE)
    betas, pose = np.zeros(body.num_betas, np.float32), np.zeros((1, 23, 3), np.float32)
    out = []
    for place, number in enumerate(NUMBERS.numbers()):
        pose[0, 15, 2] = turn * place
        still = np.zeros((1, 3), np.float32)
        vertices = skin(body, betas, still, pose, still)[0] @ Y_UP_TO_Z_UP.T
        joints = joint_transforms(body, betas, still, pose, still)[0, :, :3, 3] @ Y_UP_TO_Z_UP.T
        channels = {
            Channel.VERTICES: vertices.astype(np.float32),
            Channel.JOINTS: joints.astype(np.float32),
            Channel.EXTRINSICS: camera.extrinsics[place],
            Channel.INTRINSICS: camera.intrinsics[place],
        }
        out.append(Frame(number, channels))
    return out


def photo() -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (96, 80, 4), np.uint8)
    image[..., 3] = 255
    return image


def task(kind: str, folder: Path | None = None, progress=lambda fraction, stage: None, **params) -> Task:
    spec = JobSpec(kind, NUMBERS, SIZE, 5, {**FEW, **params}, {})
    mask = np.zeros((96, 80), np.uint8)
    mask[20:80, 30:50] = 255
    made = METHODS[kind].params_type(**{**FEW, **params})
    return Task(spec, made, {"photo": photo(), "photo_mask": mask}, folder=folder, progress=progress)


def run(kind: str, given: list[Frame] | None = None, **more) -> dict[int, np.ndarray]:
    method = METHODS[kind]()
    method.load("cpu")
    return {r.index: r.arrays["rgba"] for r in method.run(task(kind, **more), given or frames())}


@pytest.mark.parametrize("kind", METHODS)
def test_a_job_that_was_interrupted_ends_with_the_same_frames(kind: str, tmp_path: Path) -> None:
    whole = run(kind)
    assert list(whole) == list(NUMBERS.numbers())
    assert all(image.shape == (96, 64, 4) and image.dtype == np.uint8 for image in whole.values())
    calls = 0

    def stop(fraction: float, stage: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:  # the seven bodies are drawn, and the first window is made
            raise Cancelled

    with pytest.raises(Cancelled):
        run(kind, folder=tmp_path / "job", progress=stop)
    # Three frames were finished before, so the backend gives the others only: the guidance of all is kept.
    rest = run(kind, frames()[3:], folder=tmp_path / "job")
    assert list(rest) == list(NUMBERS.numbers())[3:]
    for number, image in rest.items():
        assert np.array_equal(image, whole[number])


@pytest.mark.parametrize("kind", METHODS)
def test_frames_follow_the_body(kind: str) -> None:
    still, moved = run(kind), run(kind, frames(turn=-0.4))
    assert np.array_equal(still[3], still[3]) and any(not np.array_equal(still[n], moved[n]) for n in still)


def test_other_weights_do_not_take_over_what_is_half_done(tmp_path: Path, weights: Path) -> None:
    run("animate_anyone", folder=tmp_path / "job")
    guider = weights / "animate_anyone-tiny" / "pose_guider.safetensors"
    save_file({name: t + 0.05 for name, t in load_file(guider).items()}, guider)
    with pytest.raises(ValueError, match="have no guidance"):  # the backend gives all of them after such a change
        run("animate_anyone", frames()[3:], folder=tmp_path / "job")


def test_what_is_missing_is_told_in_one_line(weights: Path) -> None:
    for kind, method in METHODS.items():
        described = method().description
        assert not described.independent_frames
        assert [w.available for w in described.weights] == [False, True]
        with pytest.raises(MethodError, match="has no set 'published'") as told:
            run(kind, weights="published")
        assert f"{kind}-published" in told.value.fix
    (weights / "champ-tiny" / "guidance_encoder_depth.safetensors").unlink()
    with pytest.raises(MethodError, match=r"guidance_encoder_depth\.pth"):
        run("champ")
    given = frames()
    del given[2].channels[Channel.JOINTS]
    with pytest.raises(MethodError, match="frame 5 has no joints"):
        run("animate_anyone", given)
    with pytest.raises(MethodError, match="overlap below its length"):
        run("animate_anyone", window=3, overlap=3)
    broken = task("animate_anyone")
    broken.inputs["photo_mask"][:] = 0  # type: ignore[index]
    with pytest.raises(MethodError, match="no person"):
        list(AnimateAnyone().run(broken, frames()))


def test_a_body_outside_the_picture_is_told(tmp_path: Path) -> None:
    given = frames()
    given[1].channels[Channel.EXTRINSICS] = given[1].channels[Channel.EXTRINSICS].copy()
    given[1].channels[Channel.EXTRINSICS][0, 3] += 50
    results = {r.index: r.meta for r in AnimateAnyone().run(task("animate_anyone"), given)}
    assert "outside" in results[4]["warnings"][0] and not results[3]


def test_the_photo_is_framed_around_the_person() -> None:
    inputs = task("champ").inputs
    person = framed_photo(inputs, ClipParams(), SIZE)
    assert abs(person.shape[1] / person.shape[0] - 64 / 96) < 0.03
    assert np.array_equal(person[4:-4, person.shape[1] // 2], inputs["photo"][20:80, 40, :3][: person.shape[0] - 8])
    green = framed_photo(inputs, ClipParams(background="green"), SIZE)
    assert tuple(green[0, 0]) == GREEN
    assert np.array_equal(framed_photo(inputs, ClipParams(framing="whole"), SIZE), inputs["photo"][..., :3])
    with pytest.raises(MethodError, match="where the person is"):
        framed_photo({"photo": photo()}, ClipParams(background="none"), SIZE)


@pytest.mark.parametrize("background", ["photo", "none"])
def test_frames_are_shown_while_they_are_made(background: str) -> None:
    """At each step the same frame, as the finished ones are; at the last step it is the finished one."""
    shown: list[tuple[int, np.ndarray]] = []
    asked = task("animate_anyone", background=background, window=7)
    asked = dataclasses.replace(asked, preview=lambda index, rgba: shown.append((index, rgba)))
    made = {r.index: r.arrays["rgba"] for r in AnimateAnyone().run(asked, frames())}
    assert [index for index, _ in shown] == [6, 6]
    assert (shown[0][1] != made[6]).any() and np.array_equal(shown[-1][1], made[6])


def test_long_clips_are_shown_at_several_places() -> None:
    assert [previewed(n, 24) for n in (1, 24, 48)] == [(0,), (12,), (12, 36)]
    assert previewed(960, 24) == (120, 360, 600, 840)


def test_a_range_with_a_seed_of_its_own() -> None:
    """With the clip's own seed nothing changes; another one changes its frames most, and their neighbours."""
    base = run("animate_anyone")
    same = run("animate_anyone", seeds="5-6: 5")
    other = run("animate_anyone", seeds="5 to 6: 9, 99: 1")
    assert all(np.array_equal(same[n], base[n]) for n in base)
    change = {n: np.abs(other[n].astype(int) - base[n]).mean() for n in base}
    assert set(sorted(change, key=change.__getitem__)[-2:]) == {5, 6}
    assert own_seeds("-4 to -2: 7,3:1", range(-5, 5)) == (SeedRange(1, 3, 7), SeedRange(8, 8, 1))
    with pytest.raises(MethodError, match="'7-' gives no frames a seed"):
        own_seeds("7-", range(9))


def test_green_is_keyed_out_and_people_stay() -> None:
    row = np.array([[GREEN, (200, 150, 120), (20, 20, 25), (60, 90, 200), (110, 164, 92)]], np.uint8)
    keyed = finished(row, "none")[0]
    assert keyed[:, 3].tolist()[:4] == [0, 255, 255, 255]
    assert 0 < keyed[4, 3] < 255  # half skin, half green
    assert (keyed[..., 1] <= keyed[..., [0, 2]].max(-1)).all()
    assert finished(row, "green")[0, :, 3].min() == 255


def test_params_of_both_are_described() -> None:
    described = [{p.name: p for p in method().description.params} for method in METHODS.values()]
    assert [params["steps"].default for params in described] == [30, 20]
    assert all(p.help and p.label for params in described for p in params.values())

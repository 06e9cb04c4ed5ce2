"""What an artist's corrections and several photos of one person do to fit and texture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from understudy_backend.methods.contract import MethodError, Task
from understudy_backend.methods.fit import FitParams, FitPhoto
from understudy_backend.methods.threedhm_texture import TextureParams, ThreeDHMTexture
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.render import render_body
from understudy_shared.body import free_body, joint_transforms, skin
from understudy_shared.camera import project
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.frames import Channel
from understudy_shared.job import FrameRange, JobSpec

PHOTO = Path(__file__).parents[2] / "packaging" / "demo" / "samples" / "photos" / "openpeople_P001.jpg"
SIDE = 512


def run(method, params, inputs):
    spec = JobSpec(method.description.name, FrameRange(0, 0), (1, 1))
    (result,) = method.run(Task(spec, params, inputs, lambda fraction, stage: None), ())
    return result.arrays


# -- the fit


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    image = cv2.imread(str(PHOTO))
    return np.ascontiguousarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[..., ::-1])


@pytest.fixture(scope="module")
def fitted(photo: np.ndarray) -> dict[str, np.ndarray]:
    return run(FitPhoto(), FitParams(iterations=120), {"photo": photo})


def start(fitted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"start_{name}": fitted[name] for name in FIT_ARRAYS}


def ankles(fit: dict[str, np.ndarray]) -> np.ndarray:
    pose = (fit[name] for name in ("global_orient", "body_pose", "transl"))
    joints = joint_transforms(free_body(), fit["betas"], *pose)[0, :, :3, 3]
    return project(joints[[7, 8]], fit["extrinsics"], fit["intrinsics"])[0]


def test_a_kept_pose_stays_bit_by_bit_while_the_body_finds_its_place(photo, fitted) -> None:
    inputs = start(fitted)
    inputs["start_body_pose"] = fitted["body_pose"].copy()
    inputs["start_body_pose"][0, 17, 1] += 0.4  # an elbow, as the artist wants it
    inputs["start_transl"] = fitted["transl"] + np.float32([0.08, 0, 0])
    again = run(FitPhoto(), FitParams(iterations=60, keep_pose=True), {"photo": photo, **inputs})
    np.testing.assert_array_equal(again["body_pose"], inputs["start_body_pose"])
    moved = {**fitted, "transl": inputs["start_transl"]}
    off = np.linalg.norm(ankles(moved) - ankles(fitted), axis=1).mean()
    assert np.linalg.norm(ankles(again) - ankles(fitted), axis=1).mean() < 0.4 * off
    free = run(FitPhoto(), FitParams(iterations=60), {"photo": photo, **inputs})
    assert np.abs(free["body_pose"] - inputs["start_body_pose"]).max() > 0.01


def test_a_kept_shape_stays_bit_by_bit(photo, fitted) -> None:
    inputs = start(fitted)
    inputs["start_betas"] = fitted["betas"] + np.float32(0.5)
    again = run(FitPhoto(), FitParams(iterations=20, keep_shape=True), {"photo": photo, **inputs})
    np.testing.assert_array_equal(again["betas"], inputs["start_betas"])


def test_a_known_shape_is_that_of_the_person_in_another_photo(photo, fitted) -> None:
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    found = run(FitPhoto(), FitParams(iterations=120), {"photo": mirrored, "betas": fitted["betas"]})
    np.testing.assert_array_equal(found["betas"], fitted["betas"])
    # The right ankle of the mirrored person is where the left one was.
    wanted = ankles(fitted)[::-1] * [-1, 1] + [photo.shape[1], 0]
    assert np.linalg.norm(ankles(found) - wanted, axis=1).max() < 0.02 * photo.shape[0]


@pytest.mark.parametrize("betas", [np.zeros(3), np.full(10, np.nan)])
def test_a_shape_that_is_none_is_refused(photo, betas) -> None:
    with pytest.raises(MethodError, match="betas is not 10 finite numbers"):
        run(FitPhoto(), FitParams(), {"photo": photo, "betas": betas})


# -- the texture


def view(azimuth: float) -> tuple[np.ndarray, np.ndarray]:
    a = np.radians(azimuth)
    forward = np.array([-np.sin(a), np.cos(a), 0])
    right = np.cross(forward, [0, 0, 1])
    rotation = np.stack([right, np.cross(forward, right), forward])
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, -rotation @ (-forward * 3.0 + [0, 0, -0.05])
    return extrinsics, np.array([[700.0, 0, 256], [0, 700, 256], [0, 0, 1]])


def shot(azimuth: float, arm: float, texture: np.ndarray) -> dict[str, np.ndarray]:
    """Photo, mask and fit of a person with a known texture."""
    body = free_body()
    pose = np.zeros((23, 3), np.float32)
    pose[15], pose[16] = (0, 0, -arm), (0, 0, arm)
    fit = {
        "betas": np.zeros(10, np.float32),
        "global_orient": np.array([np.pi / 2, 0, 0], np.float32),
        "body_pose": pose,
        "transl": np.zeros(3, np.float32),
    }
    vertices = skin(body, fit["betas"], *(fit[n][None] for n in ("global_orient", "body_pose", "transl")))[0]
    extrinsics, k = view(azimuth)
    frame = render_body(vertices, body, texture, k, extrinsics, (512, 512))
    mask = np.rint(frame[Channel.MASK] * 255).astype(np.uint8)
    photo = frame[Channel.RGBA]
    return {"photo": photo, "photo_mask": mask, **fit, "extrinsics": extrinsics, "intrinsics": k}


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (SIDE // 32, SIDE // 32, 3))
    smooth = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return texel_map(free_body(), SIDE).fill_gutter(smooth)


ONLY_SEEN = TextureParams(texture_size="512", fill_in=False)


def test_the_photos_are_seen_without_weights_and_without_filling_in(texture) -> None:
    front, back = shot(0, 0.9, texture), shot(180, 0.5, texture)
    one = run(ThreeDHMTexture(), ONLY_SEEN, front)
    assert set(one) == {"partial", "visibility"}
    both = run(ThreeDHMTexture(), ONLY_SEEN, {**front, **{f"{name}_2": a for name, a in back.items()}})
    texels = texel_map(free_body(), SIDE)
    seen = [arrays["partial"][texels.mask, 3].mean() / 255 for arrays in (one, both)]
    assert seen[0] < 0.45 and seen[1] > 1.6 * seen[0]
    away = cv2.erode(texels.mask.astype(np.uint8), np.ones((5, 5))) > 0
    where = (both["partial"][..., 3] > 0) & away
    error = both["partial"][where][:, :3].astype(float) - texture[where]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 30


def test_of_two_photos_the_squarer_view_counts(texture) -> None:
    """From the side, the second photo is red all over: where the first looks straight at the body, none of it shows."""
    front, side = shot(0, 0.9, texture), shot(60, 0.9, texture)
    side["photo"][..., :3] = (255, 0, 0)
    both = run(ThreeDHMTexture(), ONLY_SEEN, {**front, **{f"{name}_2": a for name, a in side.items()}})
    one = run(ThreeDHMTexture(), ONLY_SEEN, front)
    straight = one["visibility"] > 0.95
    difference = np.abs(both["partial"][straight][:, :3].astype(int) - one["partial"][straight][:, :3])
    assert straight.sum() > 1000 and np.median(difference) <= 8  # an average would be about 60


def test_what_was_painted_counts_as_seen(texture) -> None:
    front = shot(0, 0.9, texture)
    plain = run(ThreeDHMTexture(), ONLY_SEEN, front)
    texels = texel_map(free_body(), SIDE).mask
    unseen = texels & (plain["partial"][..., 3] == 0)
    painted = np.zeros((SIDE, SIDE, 4), np.uint8)
    painted[unseen] = (10, 200, 30, 255)
    half = np.argwhere(plain["partial"][..., 3] > 0)[::7]
    painted[half[:, 0], half[:, 1]] = (250, 0, 0, 51)  # a soft stroke over the photo
    got = run(ThreeDHMTexture(), ONLY_SEEN, {**front, "painted": painted})
    assert (got["partial"][unseen] == (10, 200, 30, 255)).all() and (got["visibility"][unseen] == 1).all()
    rows = (half[:, 0], half[:, 1])
    mixed = plain["partial"][rows][:, :3] * 0.8 + np.array([250, 0, 0]) * 0.2
    np.testing.assert_allclose(got["partial"][rows][:, :3], mixed, atol=1)
    untouched = texels & (painted[..., 3] == 0)
    np.testing.assert_array_equal(got["partial"][untouched], plain["partial"][untouched])


def test_painted_texels_survive_the_filling_in_exactly(texture) -> None:
    front = shot(0, 0.9, texture)
    back = texel_map(free_body(), SIDE)
    behind = back.mask & (back.normal[..., 2] < -0.8)
    painted = np.zeros((SIDE, SIDE, 4), np.uint8)
    painted[behind] = (200, 40, 160, 255)
    got = run(ThreeDHMTexture(), TextureParams(texture_size="512", steps=1), {**front, "painted": painted})
    assert behind.sum() > 2000 and (got["texture"][behind] == (200, 40, 160, 255)).all()
    assert (got["texture"][..., 3] == 255).all()


def test_painted_at_another_size_is_taken_without_its_surroundings(texture) -> None:
    front = shot(0, 0.9, texture)
    painted = np.zeros((1024, 1024, 4), np.uint8)
    painted[..., :3] = (255, 255, 0)  # what is transparent must not bleed in
    painted[300:700, 300:700] = (0, 0, 255, 255)
    got = run(ThreeDHMTexture(), ONLY_SEEN, {**front, "painted": painted})
    inner = texel_map(free_body(), SIDE).mask[152:348, 152:348]
    assert inner.sum() > 3000 and (got["partial"][152:348, 152:348][inner] == (0, 0, 255, 255)).all()


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 32, 4), (64, 64)])
def test_what_is_no_painting_is_refused(texture, shape) -> None:
    with pytest.raises(MethodError, match="what was painted"):
        run(ThreeDHMTexture(), ONLY_SEEN, {**shot(0, 0.9, texture), "painted": np.zeros(shape, np.uint8)})

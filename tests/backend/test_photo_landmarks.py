"""Landmarks and mask of the sample photos, and the answer where there is no person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.blazepose import SWAP, Region
from understudy_backend.photo.landmarks import LANDMARK_NAMES, Landmarks, detect
from understudy_backend.photo.matte import clean_mask, guided_filter

PHOTOS = Path(__file__).parents[2] / "packaging" / "demo" / "samples" / "photos"


def sample(name: str) -> np.ndarray:
    image = cv2.imread(str(PHOTOS / name))
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sample("openpeople_P005.jpg")


@pytest.fixture(scope="module")
def found(photo: np.ndarray) -> Landmarks:
    return detect(photo)


def at(landmarks: Landmarks, name: str) -> np.ndarray:
    return landmarks.points[LANDMARK_NAMES.index(name)]


def test_landmarks_lie_where_a_person_sees_them(found: Landmarks) -> None:
    """Places read off the photo by eye, in pixels."""
    for name, place, tolerance in (
        ("left_eye_outer", (346, 109), 3),
        ("right_eye_outer", (288, 110), 3),
        ("nose", (318, 135), 4),
        ("left_wrist", (455, 535), 15),
        ("left_ankle", (423, 905), 15),
    ):
        assert np.linalg.norm(at(found, name) - place) < tolerance, (name, at(found, name))
    assert found.score > 0.9
    assert found.visibility.min() > 0.5


def test_world_is_metres_with_the_head_up(found: Landmarks) -> None:
    ankle, nose = (found.world[LANDMARK_NAMES.index(n)] for n in ("left_ankle", "nose"))
    assert 1.1 < ankle[1] - nose[1] < 1.9


def test_mirror_image_swaps_sides(photo: np.ndarray, found: Landmarks) -> None:
    mirrored = detect(np.ascontiguousarray(photo[:, ::-1]))
    back = mirrored.points * [-1, 1] + [photo.shape[1], 0]
    assert np.linalg.norm(back[SWAP[:33]] - found.points, axis=1).mean() < 4


def test_size_of_the_photo_does_not_matter(photo: np.ndarray, found: Landmarks) -> None:
    double = detect(cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).astype(np.uint8))
    assert np.linalg.norm(double.points / 2 - found.points, axis=1).mean() < 3
    assert double.mask.shape == (photo.shape[0] * 2, photo.shape[1] * 2)


def test_mask_covers_the_person_and_nothing_else(photo: np.ndarray, found: Landmarks) -> None:
    mask = found.mask > 0.5
    assert mask.shape == photo.shape[:2]
    assert 0.2 < mask.mean() < 0.3
    count, _ = cv2.connectedComponents(mask.astype(np.uint8))
    assert count == 2
    for name in LANDMARK_NAMES[11:17]:
        x, y = at(found, name).astype(int)
        assert mask[y, x], name
    assert not mask[:, :100].any()


@pytest.mark.parametrize("kind", ["noise", "flat", "gradient"])
def test_no_person_is_said_with_what_to_do(kind: str) -> None:
    rng = np.random.default_rng(0)
    images = {
        "noise": rng.integers(0, 256, (300, 200, 3), dtype=np.uint8),
        "flat": np.full((300, 200, 3), 120, np.uint8),
        "gradient": np.repeat(np.linspace(0, 255, 300)[:, None, None], 200, 1).repeat(3, 2).astype(np.uint8),
    }
    with pytest.raises(MethodError, match="no person") as caught:
        detect(images[kind])
    assert caught.value.code == "no_person"
    assert "whole person" in caught.value.fix


def test_region_maps_its_centre_and_corners() -> None:
    region = Region(np.array([40.0, 70.0]), 32.0, 0.3)
    to_crop = region.to_crop()
    assert np.allclose(to_crop @ [40, 70, 1], [128, 128])
    top = region.centre + 32 * np.array([np.sin(0.3), -np.cos(0.3)])
    assert np.allclose(to_crop @ [*top, 1], [128, 0])


def test_guided_filter_with_a_flat_guide_is_a_double_mean() -> None:
    """Without edges in the guide the filter is the mean of means, by its definition."""
    value = np.random.default_rng(2).random((40, 50)).astype(np.float32)
    flat = np.full((40, 50, 3), 0.4, np.float32)
    expected = cv2.blur(cv2.blur(value, (7, 7)), (7, 7))
    assert np.abs(guided_filter(flat, value, 3, 1e-3) - expected).max() < 1e-4


def test_cleaning_moves_the_border_onto_the_edge() -> None:
    """A disc, of which the coarse mask is blurred and four pixels too large, with a stray blob."""
    y, x = np.mgrid[:768, :768]
    radius = np.hypot(x - 384, y - 384)
    disc = radius < 180
    image = np.where(disc[..., None], (200, 60, 40), (40, 90, 60)).astype(np.uint8)
    coarse = cv2.GaussianBlur((radius < 184).astype(np.float32), (0, 0), 5)
    coarse[5:25, 5:25] = 1
    clean = clean_mask(image, coarse.astype(np.float32), np.array([[384.0, 384.0]])) > 0.5

    def off(mask: np.ndarray) -> int:
        return int((mask ^ disc)[40:].sum())

    assert off(clean) < 0.5 * off(coarse > 0.5)
    assert not clean[:40].any()

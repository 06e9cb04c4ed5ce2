"""The fit, on the sample photos and on a person whose pose, shape and camera are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from understudy_backend.methods.contract import MethodError, Task
from understudy_backend.methods.fit import FitParams, FitPhoto
from understudy_backend.photo.correspondence import correspondence
from understudy_backend.photo.fit import fit, level_camera
from understudy_backend.photo.landmarks import Landmarks, detect
from understudy_backend.photo.result import Estimate, FitResult
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.raster import rasterize
from understudy_backend.texture.visibility import visible_texels
from understudy_shared.body import free_body, joint_transforms, skin
from understudy_shared.camera import project
from understudy_shared.job import FrameRange, JobSpec

PHOTOS = Path(__file__).parents[2] / "packaging" / "demo" / "samples" / "photos"


def sample(name: str) -> np.ndarray:
    image = cv2.imread(str(PHOTOS / name))
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


def joints(estimate: Estimate) -> np.ndarray:
    arguments = (estimate.betas, estimate.global_orient, estimate.body_pose, estimate.transl)
    return joint_transforms(free_body(), *arguments)[0, :, :3, 3]


def vertices(estimate: Estimate) -> np.ndarray:
    arguments = (estimate.betas, estimate.global_orient, estimate.body_pose, estimate.transl)
    return skin(free_body(), *arguments)[0]


@pytest.fixture(scope="module")
def first() -> tuple[np.ndarray, Landmarks, FitResult]:
    image = sample("openpeople_P001.jpg")
    landmarks = detect(image)
    return image, landmarks, fit(image, landmarks)


def test_sample_photo_meets_the_bars(first: tuple[np.ndarray, Landmarks, FitResult]) -> None:
    image, landmarks, result = first
    assert result.keypoint_error_px <= 3
    assert result.silhouette_iou >= 0.8
    assert result.overlay.shape == image.shape
    assert np.abs(result.overlay.astype(int) - image).max() > 50
    # the report's figures again, from the estimate alone
    matches = correspondence(free_body())
    camera, v = result.camera, vertices(result)
    points, _ = project(matches.regressor @ v[matches.vertices], camera.extrinsics[0], camera.intrinsics[0])
    distance = np.linalg.norm(points - landmarks.points[matches.landmarks], axis=1)[matches.reported]
    assert abs(distance.mean() * 1024 / max(image.shape) - result.keypoint_error_px) < 1e-2
    visible = visible_texels(
        v, free_body(), camera.intrinsics[0], camera.extrinsics[0], (camera.width, camera.height), 256, result.mask
    )
    assert visible.share(texel_map(free_body(), 256)) >= 0.35


def test_person_stands_on_the_floor_and_faces_the_camera(first: tuple[np.ndarray, Landmarks, FitResult]) -> None:
    result = first[2]
    v, j = vertices(result), joints(result)
    assert abs(v[:, 2].min()) < 1e-4
    assert np.abs(j[0, :2]).max() < 1e-4
    assert 1.3 < v[:, 2].max() < 2.1
    heels = v[free_body().weights.argmax(1) == 7, 2].min(), v[free_body().weights.argmax(1) == 8, 2].min()
    assert max(heels) < 0.06
    place = result.camera.camera_to_world[0]
    assert place[1, 3] < -1.5  # the camera is on the side that the body faces
    assert 0.3 < place[2, 3] < 2.2
    assert abs(place[2, 0]) < 1e-6  # no roll


def test_correction_is_kept_near_to(first: tuple[np.ndarray, Landmarks, FitResult]) -> None:
    image, landmarks, result = first
    pose = result.body_pose.copy()
    pose[0, 15, 2] += 0.25  # the artist lowers an arm wrongly: the photo pulls it back, the rest stays
    moved = Estimate(result.betas, result.global_orient, pose, result.transl, result.camera)
    again = fit(image, landmarks, start=moved, iterations=60)
    assert again.keypoint_error_px < 4
    assert np.array_equal(again.camera.extrinsics, result.camera.extrinsics)
    assert np.linalg.norm(joints(again) - joints(result), axis=1).mean() < 0.04
    assert np.linalg.norm(joints(again) - joints(moved), axis=1).max() > 0.02
    assert vertices(again)[:, 2].min() > -0.01


def known_person() -> tuple[Estimate, Landmarks, np.ndarray]:
    """A body before a level camera, with the landmarks and mask that perfect networks would give."""
    body = free_body()
    rng = np.random.default_rng(4)
    camera = level_camera(480, 640)
    pose = rng.normal(0, 0.06, (1, 23, 3)).astype(np.float32)
    pose[0, 15] += (0, -0.4, -0.8)
    pose[0, 16] += (0, 0.3, 1.0)
    pose[0, 17, 1] -= 0.7
    pose[0, 0, 0] -= 0.15
    truth = Estimate(
        betas=rng.normal(0, 0.7, 10).astype(np.float32),
        global_orient=np.array([[np.pi / 2, 0, 0.25]], np.float32),
        body_pose=pose,
        transl=np.array([[0.1, 2.9, 0.4]], np.float32),
        camera=camera,
    )
    v = vertices(truth)
    extrinsics, k = camera.extrinsics[0], camera.intrinsics[0]
    points, depth = project(v, extrinsics, k)
    mask = rasterize(points, depth, body.faces, (480, 640)).mask.astype(np.float32)
    matches = correspondence(body)
    keypoints = matches.regressor @ v[matches.vertices]
    seen, world = np.zeros((33, 2)), np.zeros((33, 3))
    seen[matches.landmarks], _ = project(keypoints, extrinsics, k)
    world[matches.landmarks] = (keypoints - joints(truth)[0]) @ extrinsics[:3, :3].T
    return truth, Landmarks(seen, np.ones(33), world, mask, 1.0), np.zeros((640, 480, 3), np.uint8)


def test_known_person_is_found_again() -> None:
    truth, landmarks, image = known_person()
    result = fit(image, landmarks)
    assert result.keypoint_error_px < 1.5
    assert result.silhouette_iou > 0.95

    def seen_joints(estimate: Estimate) -> np.ndarray:
        """In camera axes, about the pelvis, in units of the distance from ankle to neck (scale cannot be seen)."""
        j = joints(estimate).astype(np.float64) @ estimate.camera.extrinsics[0, :3, :3].T
        return (j - j[0]) / np.linalg.norm(j[12] - j[7])

    off = np.linalg.norm(seen_joints(result) - seen_joints(truth), axis=1)[:22]
    assert off.mean() < 0.03
    assert off.max() < 0.09


def task(inputs: dict[str, np.ndarray], **params: float) -> Task:
    settings = FitParams(**params)  # type: ignore[arg-type]
    return Task(JobSpec("fit", FrameRange(0, 0), (64, 64)), settings, inputs)


def test_method_gives_what_it_says_and_gives_it_again() -> None:
    photo = sample("openpeople_P005.jpg")
    inputs = {"photo": np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])}
    method = FitPhoto()
    (one,) = method.run(task(inputs, iterations=40), [])
    (two,) = method.run(task(inputs, iterations=40), [])
    assert one.index == 0
    assert set(one.arrays) == set(FitPhoto.description.gives)
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    assert one.arrays["mask"].dtype == np.uint8
    assert {"keypoint_error_px", "silhouette_iou", "seconds", "warnings"} <= set(one.meta)
    start = {f"start_{name}": one.arrays[name] for name in one.arrays if name not in ("mask", "overlay")}
    (more,) = method.run(task({**inputs, **start}, iterations=20), [])
    assert np.array_equal(more.arrays["extrinsics"], one.arrays["extrinsics"])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "no photo"),
        ({"photo": np.zeros((300, 300), np.uint8)}, "8-bit colour"),
        ({"photo": np.zeros((30, 300, 4), np.uint8)}, "only 300 x 30"),
        ({"photo": np.zeros((300, 300, 4), np.uint8)}, "no person"),
        ({"photo": np.zeros((300, 300, 4), np.uint8), "start_betas": np.zeros(10)}, "lacks start_global_orient"),
        (
            {
                "photo": np.zeros((300, 300, 4), np.uint8),
                "start_betas": np.full(10, np.nan),
                "start_global_orient": np.zeros((1, 3)),
                "start_body_pose": np.zeros((1, 23, 3)),
                "start_transl": np.zeros((1, 3)),
                "start_extrinsics": np.eye(4),
                "start_intrinsics": np.eye(3),
            },
            "start_betas",
        ),
    ],
)
def test_bad_input_is_one_sentence_with_what_to_do(inputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(MethodError, match=words) as caught:
        list(FitPhoto().run(task(inputs), []))
    assert "\n" not in str(caught.value)
    assert caught.value.fix

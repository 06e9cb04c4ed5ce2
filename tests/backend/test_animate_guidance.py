"""The pictures that guide the animators, of the body that ships: where its points are, and what is hidden."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from understudy_backend.guidance.body_maps import depth_picture, normal_picture, part_colours, render_maps
from understudy_backend.guidance.body_skeleton import body_skeleton
from understudy_backend.guidance.skeleton import FACE, LEFT_HAND, annotate, detection_size, draw_skeleton
from understudy_backend.texture.raster import rasterize
from understudy_shared.body import free_body, joint_transforms, skin
from understudy_shared.camera import project

SIZE, FOCAL = (256, 384), 550.0
K = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1.0]])
OPENPOSE_OF_COCO = {
    "nose": 0, "left_eye": 15, "right_eye": 14, "left_ear": 17, "right_ear": 16, "left_shoulder": 5,
    "right_shoulder": 2, "left_elbow": 6, "right_elbow": 3, "left_wrist": 7, "right_wrist": 4, "left_hip": 11,
    "right_hip": 8, "left_knee": 12, "right_knee": 9, "left_ankle": 13, "right_ankle": 10,
}  # fmt: skip


def posed(turn: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vertices and joints of the body, arms lowered, turned about the vertical by `turn` radians."""
    body = free_body()
    upright = cv2.Rodrigues(np.array([np.pi / 2, 0, 0]))[0]
    orient = cv2.Rodrigues(upright @ cv2.Rodrigues(np.array([0, turn, 0]))[0])[0].reshape(1, 3).astype(np.float32)
    pose = np.zeros((1, 23, 3), np.float32)
    pose[0, 15, 2], pose[0, 16, 2] = -0.8, 0.8
    rest = (np.zeros(body.num_betas, np.float32), orient, pose, np.zeros((1, 3), np.float32))
    return skin(body, *rest)[0], joint_transforms(body, *rest)[0, :, :3, 3]


def camera(vertices: NDArray[np.floating]) -> NDArray[np.float64]:
    """In front of the body, at its height."""
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    extrinsics[:3, 3] = -extrinsics[:3, :3] @ (vertices.mean(0) - np.array([0, 3.2, 0]))
    return extrinsics


def skeleton(turn: float, shift: float = 0.0) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    vertices, joints = posed(turn)
    extrinsics = camera(vertices)
    extrinsics[0, 3] += shift
    points, depth = project(vertices.astype(np.float64), extrinsics, K)
    raster = rasterize(points, depth, free_body().faces, SIZE)
    return *body_skeleton(vertices, joints, K, extrinsics, raster), vertices, extrinsics


def test_points_are_where_the_bodys_own_keypoints_are() -> None:
    """Against the regressor that came with the body, which the skeleton does not use; a pixel is 6 mm."""
    points, scores, vertices, extrinsics = skeleton(0.0)
    body = free_body()
    assert body.keypoint_regressor is not None
    known, _ = project((body.keypoint_regressor @ vertices).astype(np.float64), extrinsics, K)
    for name, index in OPENPOSE_OF_COCO.items():
        assert scores[index] == 1, name
        limit = 4 if name.endswith(("eye", "nose")) else 8
        assert np.linalg.norm(points[index] - known[body.keypoint_names.index(name)]) < limit, name
    assert scores[LEFT_HAND].all() and not scores[FACE].any()


def test_a_face_that_looks_away_is_hidden() -> None:
    _, front, *_ = skeleton(0.0)
    _, back, *_ = skeleton(np.pi)
    assert front[[0, 14, 15]].all() and not back[[0, 14, 15]].any()
    assert back[1:14].all()


def test_a_body_outside_the_picture_gives_a_black_one() -> None:
    points, scores, *_ = skeleton(0.0, shift=10.0)
    assert not scores.any()
    assert not draw_skeleton(points, scores, SIZE).any()


def test_maps_of_the_body() -> None:
    vertices, _ = posed(0.0)
    body = free_body()
    maps = render_maps(vertices, body.faces, part_colours(body), K, camera(vertices), SIZE)
    assert maps.depth[maps.mask].max() == 255 and maps.depth[maps.mask].min() == 0
    assert maps.normal[..., 2][maps.mask].mean() > 180  # towards the camera
    left, right = maps.normal[:, : SIZE[0] // 2], maps.normal[:, SIZE[0] // 2 :]
    assert left[..., 0][left.any(-1)].mean() < 120
    assert right[..., 0][right.any(-1)].mean() > 135
    head = maps.semantic_map[np.nonzero(maps.mask.any(1))[0][5]]
    assert (np.abs(head[head.any(-1)].astype(int) - (33, 165, 133)) <= 1).all()


def test_parts_have_the_published_colours() -> None:
    body = free_body()
    colours = part_colours(body)
    known = {0: (68, 1, 84), 3: (71, 42, 122), 12: (35, 137, 142), 15: (33, 165, 133), 23: (189, 223, 38)}
    for part, colour in known.items():
        assert (colours[body.weights.argmax(1) == part] == colour).all()


def test_frames_without_a_body_are_black() -> None:
    nothing = np.full((4, 5), np.inf)
    assert not depth_picture(nothing).any()
    assert not normal_picture(np.zeros((4, 5, 3)), np.isfinite(nothing)).any()


@pytest.mark.parametrize(
    ("size", "wanted"), [((512, 784), (512, 768)), ((1080, 1920), (512, 896)), ((640, 480), (704, 512))]
)
def test_size_at_which_people_are_looked_for(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert detection_size(size) == wanted


def test_annotations_have_the_pictures_size() -> None:
    points, scores, *_ = skeleton(0.0)
    picture = annotate(points, scores, SIZE)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    drawn = draw_skeleton(points, scores, SIZE).any(-1)
    covered = picture.any(-1)[drawn].mean()
    assert covered > 0.5  # thinner lines, at the same places

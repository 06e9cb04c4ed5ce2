"""Distances between poses, and the fitter on a picture whose pose is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_backend.evaluation.pictures import over_grey
from understudy_backend.evaluation.pose_error import Posed, pose_errors, procrustes, refit
from understudy_backend.evaluation.subject import Subject

RNG = np.random.default_rng(3)


def body() -> Posed:
    return Posed(RNG.normal(size=(24, 3)), RNG.normal(size=(100, 3)))


def test_the_pelvis_is_put_in_place() -> None:
    truth = body()
    shift = np.array([1.0, 2, 3])
    moved = Posed(truth.joints + shift, truth.vertices + shift)
    assert pose_errors(moved, truth) == pytest.approx({"mpjpe": 0, "pa_mpjpe": 0, "mpvpe": 0}, abs=1e-6)


def test_distances_are_means_in_millimetres() -> None:
    truth = body()
    joints, vertices = truth.joints.copy(), truth.vertices.copy()
    joints[5] += [0, 0.24, 0]
    vertices[:50] += [0.02, 0, 0]
    errors = pose_errors(Posed(joints, vertices), truth)
    assert errors["mpjpe"] == pytest.approx(10)
    assert errors["mpvpe"] == pytest.approx(10)


def test_procrustes_takes_out_a_similarity_and_nothing_else() -> None:
    points = RNG.normal(size=(24, 3))
    turn = Rotation.from_rotvec([0.3, -1.2, 0.8])
    np.testing.assert_allclose(procrustes(1.7 * turn.apply(points) + 3, points), points, atol=1e-9)
    mirrored = points * [-1, 1, 1]
    assert np.abs(procrustes(mirrored, points) - points).max() > 0.1
    target = turn.apply(points) + RNG.normal(0, 0.05, points.shape)
    found, _ = Rotation.align_vectors(target - target.mean(0), points - points.mean(0))
    ours = procrustes(points, target) - target.mean(0)
    theirs = found.apply(points - points.mean(0))
    np.testing.assert_allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-9)


def test_the_fitter_finds_a_rendered_person_about_where_they_are() -> None:
    subject = Subject(1)
    view = subject.turntable((24,))[0]
    truth = Posed.seen(subject.joints, subject.body, view.extrinsics)
    found = refit(over_grey(subject.truth([view])[0]), view)
    assert found is not None
    errors = pose_errors(found, truth)
    assert errors["pa_mpjpe"] < 90
    assert errors["mpjpe"] < 200
    wrong = Posed.seen(subject.joints[:, [1, 0, 2]], subject.body[:, [1, 0, 2]], view.extrinsics)
    assert pose_errors(found, wrong)["mpjpe"] > 2 * errors["mpjpe"]


def test_an_empty_picture_shows_nobody() -> None:
    view = Subject(1).turntable((0,))[0]
    assert refit(np.full((256, 256, 3), 128, np.uint8), view) is None

"""Flicker of a plane whose motion is known in closed form."""

import numpy as np
import pytest
from understudy_backend.evaluation.flicker import Moment, flicker, step
from understudy_backend.texture.raster import rasterize
from understudy_backend.training.people.render import View
from understudy_shared.camera import project

SIZE = (64, 48)
K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
BOTH = np.concatenate([FACES, FACES + 4]).astype(np.int32)


def square(x: float, half: float, depth: float) -> np.ndarray:
    return np.array(
        [[x - half, -half, depth], [x + half, -half, depth], [x + half, half, depth], [x - half, half, depth]]
    )


def moment(vertices: np.ndarray, faces: np.ndarray) -> Moment:
    view = View(np.eye(4), K, SIZE)
    points, depth = project(vertices, view.extrinsics, view.intrinsics)
    return Moment(vertices, view, rasterize(points, depth, faces, SIZE))


def painted(centre: float, bright: float = 0.0) -> np.ndarray:
    """A picture of a ramp that is fixed to a plane 2 m away whose middle is at x = `centre` metres."""
    x = (np.arange(SIZE[0]) + 0.5 - 32) / 60 * 2 - centre
    row = 120 + 60 * x + bright
    return np.repeat(np.tile(row, (SIZE[1], 1))[..., None], 3, 2)


def test_a_pattern_that_moves_with_its_surface_does_not_flicker() -> None:
    ways = [step(moment(square(0.0, 0.5, 2), FACES), moment(square(0.21, 0.5, 2), FACES), FACES)]
    assert len(ways[0].rows) > 400
    still = flicker([painted(0.0), painted(0.21)], ways)  # type: ignore[list-item]
    assert still < 1e-3
    brighter = flicker([painted(0.0), painted(0.21, 7.0)], ways)  # type: ignore[list-item]
    assert brighter == pytest.approx(7, abs=1e-3)
    stuck = flicker([painted(0.0), painted(0.0)], ways)  # type: ignore[list-item]
    assert stuck == pytest.approx(0.21 * 60, rel=1e-3)  # the ramp's slope times the way that it did not go


def test_points_that_were_hidden_do_not_count() -> None:
    """A near square covers the middle of the far one in the first frame and leaves before the second."""
    far = square(0.0, 0.6, 2)
    covered = moment(np.concatenate([far, square(0.0, 0.15, 1)]), BOTH)
    free = moment(np.concatenate([far, square(50.0, 0.15, 1)]), BOTH)
    found = step(covered, free, BOTH)
    assert len(found.rows) > 300
    near = (np.abs(found.columns + 0.5 - 32) < 9) & (np.abs(found.rows + 0.5 - 24) < 9)
    assert not near.any()
    assert ((np.abs(found.columns + 0.5 - 32) < 15) & (np.abs(found.rows + 0.5 - 24) < 15)).any()


def test_what_was_outside_the_picture_does_not_count() -> None:
    found = step(moment(square(-0.9, 0.5, 2), FACES), moment(square(0.0, 0.5, 2), FACES), FACES)
    assert len(found.rows) > 50
    assert found.before.min() >= 0.5


def test_a_clip_needs_its_steps() -> None:
    with pytest.raises(ValueError, match="no clip"):
        flicker([np.zeros((4, 4, 3), np.uint8)] * 3, [])

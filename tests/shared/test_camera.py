import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from understudy_shared.camera import CameraTrajectory, blender_lens, intrinsics_from_blender, project, rigid_inverse
from understudy_shared.camera_paths import look_at, orbit


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (512, 512)])
def test_lens_and_back(fit, size):
    rng = np.random.default_rng(0)
    for _ in range(20):
        k = np.diag([*rng.uniform(100, 2000, 2), 1.0])
        k[:2, 2] = rng.uniform(-100, 800, 2)
        lens = blender_lens(k, *size, fit, sensor_width=30, sensor_height=17)
        assert min(lens.pixel_aspect) == 1  # Blender takes nothing less
        back = intrinsics_from_blender(
            lens.lens,
            *size,
            fit,
            sensor_width=30,
            sensor_height=17,
            shift_x=lens.shift_x,
            shift_y=lens.shift_y,
            pixel_aspect=lens.pixel_aspect,
        )
        assert np.abs(back - k).max() < 1e-9


def test_lens_of_a_known_camera():
    lens = blender_lens(np.array([[1000.0, 0, 960], [0, 1000, 540], [0, 0, 1]]), 1920, 1080)
    assert lens == (1000 * 36 / 1920, 0, 0, (1, 1))


@pytest.mark.parametrize("k", [np.diag([-5.0, 5, 1]), np.array([[9.0, 1, 0], [0, 9, 0], [0, 0, 1]])])
def test_cameras_that_blender_has_not(k):
    with pytest.raises(ValueError, match="camera"):
        blender_lens(k, 64, 64)


def test_orbit_looks_at_its_center():
    camera = orbit(center=(0.5, -1, 0.9), radius=3.2, height=0.2, frames=48, sway=0.2, size=(320, 256))
    for extrinsics, k in zip(camera.extrinsics, camera.intrinsics, strict=True):
        pixels, depth = project(np.array([[0.5, -1, 0.9], [0.5, -1, 1.2]]), extrinsics, k)
        assert np.allclose(pixels[0], [160, 128], atol=1e-9)
        assert pixels[1, 1] < 128 and np.isclose(pixels[1, 0], 160)  # what is higher is higher in the picture
        assert 3.2 <= depth[0] < 3.25
    places = camera.camera_to_world[:, :3, 3] - [0.5, -1, 0.9]
    assert np.allclose(places[0], [0, -3.2, 0.2]) and np.allclose(places[12], [3.2, 0, 0.4])
    steps = np.linalg.norm(np.diff(places[:, :2], axis=0, append=places[:1, :2]), axis=1)
    assert np.ptp(steps) < 1e-9  # the step from the last frame to the first is one like all others


def test_part_of_an_orbit_reaches_its_end():
    places = orbit(center=(0, 0, 0), radius=2, height=0, frames=10, degrees=-90).camera_to_world[:, :3, 3]
    assert np.allclose(places[[0, -1]], [[0, -2, 0], [-2, 0, 0]], atol=1e-12)


def test_look_at_refuses_the_zenith():
    with pytest.raises(ValueError, match="above or below"):
        look_at((0, 0, 3), (0, 0, 0))


@pytest.mark.parametrize(
    ("extrinsics", "k"),
    [
        (np.zeros((0, 4, 4)), np.zeros((0, 3, 3))),
        (np.zeros((2, 4, 4)), np.zeros((1, 3, 3))),
        (np.full((1, 4, 4), np.nan), np.zeros((1, 3, 3))),
    ],
)
def test_trajectories_that_are_none(extrinsics, k):
    with pytest.raises(ValueError, match="camera"):
        CameraTrajectory(extrinsics, k, 10, 10)


def test_framing_squeezes_nothing() -> None:
    k = np.array([[300.0, 0, 330], [0, 300, 170], [0, 0, 1]])
    wide = CameraTrajectory(np.eye(4)[None], k[None], 640, 360)
    square = wide.framed(256, 256)
    scale = 256 / 360
    points = np.array([[0.1, 0.2, 2.0], [-0.3, 0.1, 3.0]])
    before, _ = project(points, wide.extrinsics[0], wide.intrinsics[0])
    after, _ = project(points, square.extrinsics[0], square.intrinsics[0])
    # distances from the picture's centre grow alike in both directions
    assert np.allclose(after - [128, 128], (before - [320, 180]) * scale)


def tumbling(frames: int = 9, fps: float = 25.0) -> CameraTrajectory:
    """A camera that turns by up to 2 radians from frame to frame, moves and zooms."""
    rng = np.random.default_rng(4)
    extrinsics = np.tile(np.eye(4), (frames, 1, 1))
    extrinsics[:, :3, :3] = Rotation.from_rotvec(rng.uniform(-1.2, 1.2, (frames, 3))).as_matrix()
    extrinsics[:, :3, 3] = rng.normal(size=(frames, 3))
    k = np.tile(np.array([[500.0, 0, 310], [0, 510, 190], [0, 0, 1]]), (frames, 1, 1))
    k[:, 0, 0] += np.arange(frames) * 10
    return CameraTrajectory(extrinsics, k, 640, 360, fps, notes=("a note",))


def test_between_frames_as_scipy_has_it() -> None:
    camera = tumbling()
    times = np.linspace(0, 8, 101)
    found = camera.at(times)
    to_world = camera.camera_to_world
    expected = Slerp(np.arange(9), Rotation.from_matrix(to_world[:, :3, :3]))(times)
    turned = Rotation.from_matrix(found.camera_to_world[:, :3, :3])
    assert (expected * turned.inv()).magnitude().max() < 1e-7
    for axis in range(3):
        along = np.interp(times, np.arange(9), to_world[:, axis, 3])
        assert np.abs(found.camera_to_world[:, axis, 3] - along).max() < 1e-12
    assert np.abs(found.intrinsics[:, 0, 0] - (500 + 10 * times)).max() < 1e-9
    assert (found.width, found.height, found.fps, found.notes) == (640, 360, 25.0, ("a note",))


def test_frames_that_are_there_come_back_to_the_bit() -> None:
    camera = tumbling()
    found = camera.at([3, 0, 8, 20, -5], fps=12)
    assert (found.extrinsics == camera.extrinsics[[3, 0, 8, 8, 0]]).all()
    assert (found.intrinsics == camera.intrinsics[[3, 0, 8, 8, 0]]).all()
    assert found.fps == 12 and found.start == 3 / 25
    alone = CameraTrajectory(camera.extrinsics[:1], camera.intrinsics[:1], 640, 360).at([0.5])
    assert (alone.extrinsics == camera.extrinsics[:1]).all()


@pytest.mark.parametrize("times", [[], [np.nan], [[1.0, 2.0]]])
def test_times_that_are_none(times) -> None:
    with pytest.raises(ValueError, match="times"):
        tumbling().at(times)


@pytest.mark.parametrize("change", [{"fps": np.inf}, {"fps": np.nan}, {"start": np.nan}])
def test_rates_that_are_none(change) -> None:
    with pytest.raises(ValueError, match="camera needs"):
        CameraTrajectory(np.eye(4)[None], np.eye(3)[None], 4, 4, **change)


def test_rigid_inverse_as_numpy_has_it() -> None:
    matrices = tumbling().extrinsics
    assert np.abs(rigid_inverse(matrices) - np.linalg.inv(matrices)).max() < 1e-12

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from understudy_shared import rotations
from understudy_shared.body import rotation_matrices

RNG = np.random.default_rng(0)
AXIS_ANGLES = np.concatenate(
    [
        RNG.normal(size=(200, 3)),
        1e-9 * RNG.normal(size=(20, 3)),
        np.zeros((1, 3)),
        np.pi * np.eye(3),
        -np.pi * np.eye(3),
    ]
)


def test_conversions_agree_with_scipy():
    reference = Rotation.from_rotvec(AXIS_ANGLES)
    quaternions = rotations.quaternion_from_axis_angle(AXIS_ANGLES)
    assert np.abs(rotations.matrix_from_axis_angle(AXIS_ANGLES) - reference.as_matrix()).max() < 1e-12
    assert np.abs(rotation_matrices(AXIS_ANGLES) - reference.as_matrix()).max() < 1e-6
    back = rotations.axis_angle_from_matrix(reference.as_matrix())
    assert np.abs(Rotation.from_rotvec(back).as_matrix() - reference.as_matrix()).max() < 1e-12
    assert np.linalg.norm(back, axis=-1).max() <= np.pi + 1e-12
    back = rotations.axis_angle_from_quaternion(-quaternions)
    assert np.abs(Rotation.from_rotvec(back).as_matrix() - reference.as_matrix()).max() < 1e-12


def test_tiny_rotations_keep_their_digits():
    tiny = np.array([[1e-13, -2e-13, 3e-13]])
    back = rotations.axis_angle_from_quaternion(rotations.quaternion_from_axis_angle(tiny))
    assert np.abs(back - tiny).max() < 1e-25


def test_slerp_agrees_with_scipy():
    a, b = Rotation.random(50, rng=RNG), Rotation.random(50, rng=RNG)
    fractions = RNG.uniform(size=50)
    ours = rotations.slerp(
        rotations.quaternion_from_matrix(a.as_matrix()), rotations.quaternion_from_matrix(b.as_matrix()), fractions
    )
    for i, t in enumerate(fractions):
        expected = Slerp([0, 1], Rotation.concatenate([a[i], b[i]]))(t).as_matrix()
        assert np.abs(rotations.matrix_from_quaternion(ours[i]) - expected).max() < 1e-12


def test_slerp_of_equal_ends():
    q = rotations.quaternion_from_axis_angle([0.3, 0.2, 0.1])
    assert np.allclose(rotations.slerp(q, -q, 0.4), q, atol=1e-15)


def test_full_orbit_keeps_its_sign():
    angles = np.radians(np.arange(0, 721, 5))
    matrices = Rotation.from_rotvec(angles[:, None] * [0, 0, 1]).as_matrix()
    raw = rotations.quaternion_from_matrix(matrices)
    assert ((raw[1:] * raw[:-1]).sum(-1) < 0).any()  # the test would show nothing otherwise
    steady = rotations.sign_continuous(raw)
    assert ((steady[1:] * steady[:-1]).sum(-1) > 0.99).all()
    assert np.abs(rotations.matrix_from_quaternion(steady) - matrices).max() < 1e-12


@pytest.mark.parametrize("b", [(1, 0, 0), (0, 2, 0), (-3, 0, 0), (0.1, -4, 2)])
def test_rotation_between(b):
    matrix = rotations.rotation_between((2, 0, 0), b)
    assert np.allclose(matrix @ [1, 0, 0], np.array(b) / np.linalg.norm(b), atol=1e-12)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(matrix), 1)

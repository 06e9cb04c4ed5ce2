from importlib.resources import files

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import JOINT_NAMES, PARENTS, Y_UP_TO_Z_UP, free_body, from_arrays, joint_transforms, skin

FRAMES = 3


@pytest.fixture(scope="module")
def arrays():
    """The shipped file."""
    with np.load(str(files("understudy_shared") / "assets/body.npz"), allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


@pytest.fixture(scope="module")
def posed():
    """Betas, root, pose, translation: large turns, an odd shape."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=10).astype(np.float32),
        rng.normal(size=(FRAMES, 3)).astype(np.float32),
        rng.normal(scale=0.5, size=(FRAMES, 23, 3)).astype(np.float32),
        rng.normal(size=(FRAMES, 3)).astype(np.float32),
    )


def with_correctives(arrays, seed=1):
    """The file's body, but with pose correctives of about a millimetre, and joints by the regressor alone."""
    rng = np.random.default_rng(seed)
    kept = {name: a for name, a in arrays.items() if name not in ("J_template", "J_shapedirs")}
    return {**kept, "posedirs": rng.normal(scale=1e-3, size=arrays["posedirs"].shape).astype(np.float32)}


def written_out(body, betas, root, pose, transl):
    """The formula of the paper of SMPL in doubles: joint by joint a chain of rotations, then blended."""
    shape = np.asarray(betas, np.float64)
    rest = body.j_template.astype(np.float64) + body.j_shapedirs @ shape
    out = []
    for t in range(len(root)):
        turns = Rotation.from_rotvec(np.concatenate([root[t][None], pose[t]]))
        vertices = body.v_template.astype(np.float64) + body.shapedirs @ shape
        if body.posedirs is not None:
            vertices = vertices + body.posedirs @ (turns[1:].as_matrix() - np.eye(3)).reshape(-1)
        blended = np.zeros_like(vertices)
        for joint in range(24):
            moved, at = vertices, joint
            while at >= 0:
                moved = turns[at].apply(moved - rest[at]) + rest[at]
                at = PARENTS[at]
            blended += body.weights[:, joint, None] * moved
        out.append(blended + transl[t])
    return np.array(out)


def test_skinning_is_the_papers_formula(arrays, posed):
    body = free_body()
    assert np.abs(skin(body, *posed) - written_out(body, *posed)).max() < 1e-5
    body = from_arrays(with_correctives(arrays))
    assert body.posedirs is not None
    assert np.abs(skin(body, *posed) - written_out(body, *posed)).max() < 1e-5


@pytest.mark.parametrize("correctives", [False, True])
def test_skinning_is_that_of_smplx(arrays, posed, correctives):
    smplx = pytest.importorskip("smplx")
    torch = pytest.importorskip("torch")
    kept = with_correctives(arrays)
    if not correctives:
        kept["posedirs"] = arrays["posedirs"]
    theirs = smplx.SMPL("", data_struct=smplx.utils.Struct(**kept), num_betas=10, batch_size=FRAMES)
    betas, root, pose, transl = (torch.as_tensor(a) for a in posed)
    with torch.no_grad():
        out = theirs(
            betas=betas.expand(FRAMES, 10), global_orient=root, body_pose=pose.reshape(FRAMES, 69), transl=transl
        )
    body = from_arrays(kept)
    assert (body.posedirs is not None) == correctives
    assert np.abs(skin(body, *posed) - out.vertices.numpy()).max() < 1e-5
    found = joint_transforms(body, *posed)[..., :3, 3]
    assert np.abs(found - out.joints.numpy()[:, :24]).max() < 1e-5


def test_free_body_is_sound(arrays):
    body = free_body()
    assert not arrays["posedirs"].any() and body.posedirs is None
    assert tuple(arrays["joint_names"]) == JOINT_NAMES and body.parents == PARENTS
    assert np.abs(body.weights.sum(1) - 1).max() < 1e-5 and body.weights.min() >= 0
    assert body.faces.max() == len(body.v_template) - 1 and body.face_uvs.max() < len(body.uvs)
    assert body.uvs.min() >= 0 and body.uvs.max() <= 1
    assert body.keypoint_regressor is not None
    assert np.abs(body.keypoint_regressor.sum(1) - 1).max() < 1e-3
    corners = body.v_template[body.faces]
    volume = np.einsum("fa,fa->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.03 < volume < 0.12  # positive: triangles look outwards


def test_rest_body_stands_as_the_world_says():
    body = free_body()
    assert 1.6 < np.ptp(body.v_template[:, 1]) < 1.8
    stood = body.v_template @ Y_UP_TO_Z_UP.T
    places = dict(zip(JOINT_NAMES, body.j_template @ Y_UP_TO_Z_UP.T, strict=True))
    assert places["head"][2] > places["pelvis"][2] > places["left_foot"][2]
    assert places["left_wrist"][0] > 0.5 and places["right_wrist"][0] < -0.5
    assert stood[332, 1] == stood[:, 1][body.weights[:, 15] > 0.9].min()  # the nose leads, towards -Y


def test_quads_are_the_same_surface():
    body = free_body()
    assert body.quads is not None and body.quad_uvs is not None
    pairs = body.faces.reshape(-1, 2, 3)
    assert all(set(pair.ravel()) == set(quad) for pair, quad in zip(pairs, body.quads, strict=True))
    # a corner has the same texture coordinate in its triangle and in its quad
    triangles, quads = body.uvs[body.face_uvs].reshape(-1, 6, 2), body.uvs[body.quad_uvs]
    for corner in range(4):
        same = (pairs.reshape(-1, 6) == body.quads[:, corner, None])[..., None]
        differs = np.abs(triangles - quads[:, corner, None]).max(-1, keepdims=True)
        assert differs[same].max() == 0


def test_exact_joints_follow_the_shape(arrays):
    """The joints by the file's regressor, which is an approximation, stay near the exact ones for any usual shape."""
    body, rng = free_body(), np.random.default_rng(0)
    for betas in rng.normal(size=(10, 10)).astype(np.float32):
        rough = arrays["J_regressor"] @ body.shaped(betas)
        assert np.linalg.norm(rough - body.joints(betas), axis=1).max() < 0.06


def test_sliders_make_tall_and_small():
    body = free_body()
    assert body.phenotype_to_betas is not None

    def height(value):
        phenotype = np.full(len(body.phenotype_labels), 0.5)
        phenotype[body.phenotype_labels.index("age")] = 0.667
        phenotype[body.phenotype_labels.index("height")] = value
        return np.ptp(body.shaped(np.r_[phenotype, 1] @ body.phenotype_to_betas)[:, 1])

    assert height(0.15) + 0.15 < height(0.36) < height(0.6) - 0.15


@pytest.mark.parametrize("count", [0, 3, 10, 300])
def test_any_number_of_betas(count):
    body = free_body()
    betas = np.full(count, 0.5, np.float32)
    full = np.zeros(10, np.float32)
    full[: min(count, 10)] = 0.5
    assert np.array_equal(body.shaped(betas), body.shaped(full))

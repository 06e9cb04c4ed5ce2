import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
from scipy.sparse import csc_matrix
from understudy_backend.inert_pickle import read_pickled_arrays
from understudy_backend.methods.contract import MethodError
from understudy_backend.smpl_files import load_body
from understudy_shared.body import PARENTS, skin

VERTICES, FRAMES = 60, 3
HANDS = {24: 2, 52: 30, 55: 33}
"""Joints after the 22 of the body."""


def tree(count):
    """The kinematic trees of SMPL, SMPL-H and SMPL-X."""
    if count == 24:
        return list(PARENTS)
    parents = list(PARENTS[:22]) + ([15, 15, 15] if count == 55 else [])
    for wrist in (20, 21):
        for _ in range(5):
            first = len(parents)
            parents += [wrist, first, first + 1]
    return parents


def model(count=24, betas=12, seed=0):
    """The arrays of a body that nobody has: as large as is needed to tell every joint apart."""
    rng = np.random.default_rng(seed)
    regressor = rng.uniform(size=(count, VERTICES)) * (rng.uniform(size=(count, VERTICES)) < 0.2) + 1e-6
    weights = rng.uniform(size=(VERTICES, count)) ** 8
    parents = np.array([2**32 - 1, *tree(count)[1:]], np.int64)
    return {
        "v_template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": rng.normal(scale=0.05, size=(VERTICES, 3, betas)),
        "posedirs": rng.normal(scale=0.01, size=(VERTICES, 3, 9 * (count - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(count)]),
        "f": rng.integers(0, VERTICES, (40, 3)).astype(np.uint32),
    }


def npz(path, data):
    np.savez(path, **data)
    return path


def pickled(path, data, protocol=2):
    path.write_bytes(pickle.dumps(data, protocol))
    return path


@pytest.fixture
def posed():
    rng = np.random.default_rng(5)
    pose = rng.normal(scale=0.5, size=(FRAMES, 23, 3)).astype(np.float32)
    pose[:, 21:] = 0  # hands at rest
    root, transl = rng.normal(size=(2, FRAMES, 3)).astype(np.float32)
    return rng.normal(size=10).astype(np.float32), root, pose, transl


def same(a, b):
    names = ("v_template", "shapedirs", "posedirs", "j_template", "j_shapedirs", "weights", "faces")
    return all(np.allclose(getattr(a, name), getattr(b, name), atol=1e-6) for name in names)


@pytest.mark.parametrize("count", [24, 52, 55])
def test_skinned_as_smplx_does(tmp_path, posed, count):
    """smplx's own skinning of the whole model, hands and face at rest, against our 24 joints."""
    lbs, torch = pytest.importorskip("smplx.lbs"), pytest.importorskip("torch")
    data = model(count)
    data["weights"] = data["weights"].astype(np.float32)
    body = load_body(npz(tmp_path / "m.npz", data))
    betas, root, pose, transl = posed
    full = np.zeros((FRAMES, count, 3), np.float32)
    full[:, 0], full[:, 1:22] = root, pose[:, :21]
    tensor = {name: torch.as_tensor(np.asarray(data[name], np.float64)) for name in data if name != "kintree_table"}
    vertices, _ = lbs.lbs(
        torch.as_tensor(betas, dtype=torch.float64).expand(FRAMES, 10),
        torch.as_tensor(full, dtype=torch.float64).reshape(FRAMES, -1),
        tensor["v_template"],
        tensor["shapedirs"][..., :10],
        tensor["posedirs"].reshape(VERTICES * 3, -1).T,
        tensor["J_regressor"],
        torch.as_tensor(tree(count)),
        tensor["weights"],
    )
    assert np.abs(skin(body, betas, root, pose, transl) - (vertices.numpy() + transl[:, None])).max() < 1e-5


@pytest.mark.parametrize("count", [52, 55])
def test_the_hand_joint_lies_between_the_knuckles(tmp_path, count):
    data = model(count)
    body = load_body(npz(tmp_path / "m.npz", data))
    joints = data["J_regressor"] @ data["v_template"]
    first = count - 30
    for hand, start in ((22, first), (23, first + 15)):
        assert np.allclose(body.j_template[hand], joints[[start, start + 3, start + 6, start + 9]].mean(0), atol=1e-6)
    assert np.allclose(body.weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_of_arrays(tmp_path, protocol):
    data = model()
    data["J_regressor"] = csc_matrix(data["J_regressor"])
    data["posedirs"] = np.asfortranarray(data["posedirs"])
    data["extras"] = {"gender": "neutral", "scale": np.float64(1), "seen": {1, 2}, "rest": OrderedDict(a=np.ones(2))}
    body = load_body(pickled(tmp_path / "m.pkl", data, protocol))
    assert same(body, load_body(npz(tmp_path / "m.npz", model())))


@pytest.fixture
def chumpy(monkeypatch):
    """What a pickle of chumpy looks like, without chumpy: classes of its names whose state is their dictionary."""
    modules = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for home, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        kind = type(name, (), {"__module__": home, "__qualname__": name})
        setattr(modules[home], name, kind)

    def make(home, name, **state):
        thing = getattr(modules[home], name)()
        thing.__dict__.update(state, _dirty_vars={"x"}, _itr=None)
        return thing

    return make


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_pickles(tmp_path, chumpy, protocol):
    data, whole = model(betas=10), model(betas=12)["shapedirs"]
    chosen = np.arange(whole.size).reshape(whole.shape)[..., :10].ravel()
    data["v_template"] = chumpy("chumpy.ch", "Ch", x=data["v_template"])
    variable = chumpy("chumpy.ch", "Ch", x=whole)
    data["shapedirs"] = chumpy(
        "chumpy.reordering", "Select", a=variable, idxs=chosen, preferred_shape=(VERTICES, 3, 10)
    )
    path = pickled(tmp_path / "m.pkl", data, protocol)
    expected = {**model(betas=10), "shapedirs": whole[..., :10]}
    assert same(load_body(path), load_body(npz(tmp_path / "m.npz", expected)))


def test_pickles_of_python_2(tmp_path):
    """There, bytes are text: the raw data of an array comes as a string in latin1."""
    state = b"(I1\n(I2\nI2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'%s'\ntb"
    values = np.array([[1.5, -2], [3, 1e-7]])
    text = "".join(f"\\x{byte:02x}" for byte in values.tobytes()).encode()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state % text
    (tmp_path / "m.pkl").write_bytes(b"(dS'v_template'\n" + array + b"s.")
    with pytest.raises(MethodError, match="has no 'shapedirs'"):  # so v_template was read
        load_body(tmp_path / "m.pkl")
    assert np.array_equal(read_pickled_arrays(tmp_path / "m.pkl", ["v_template"])["v_template"], values)


class Attack:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "attack",
    [
        lambda mark: Attack(os.system, f"touch {mark}"),
        lambda mark: Attack(eval, f"open({mark!r}, 'w')"),
        lambda mark: Attack(open, mark, "w"),
        lambda mark: Attack(getattr, "", "join"),
        lambda mark: Attack(np.save, mark, 3),
        lambda mark: Attack(np.array, [Attack(open, mark, "w")]),
    ],
)
def test_malicious_pickles_are_refused(tmp_path, attack, protocol):
    mark = str(tmp_path / "ran.npy")
    path = pickled(tmp_path / "m.pkl", {**model(), "v_template": attack(mark)}, protocol)
    with pytest.raises(MethodError, match="it was not run") as caught:
        load_body(path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.pkl"]
    assert "\n" not in str(caught.value) and caught.value.code == "bad_body_file" and caught.value.fix


def test_what_stands_for_classes_cannot_be_misused(tmp_path):
    """A hand-written pickle that builds on the allowed names alone, in ways that numpy would not like."""
    for program in (
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I99999999999\ntS'b'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"ccopyreg\n_reconstructor\n(c_codecs\nencode\nc_codecs\nencode\nNtR.",
        b"cnumpy\nndarray\n(I99999999999\ntR.",
        b"cnumpy\ndtype\n)\x81(dS'__class__'\nI3\nsb.",
    ):
        (tmp_path / "m.pkl").write_bytes(program)
        with pytest.raises(MethodError):
            load_body(tmp_path / "m.pkl")


def test_damaged_pickles(tmp_path):
    whole, rng = pickle.dumps(model(), 2), np.random.default_rng(0)
    for cut in (0, 1, 50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "m.pkl").write_bytes(whole[:cut])
        with pytest.raises(MethodError):
            load_body(tmp_path / "m.pkl")
    for _ in range(200):  # in the first part, where the structure is
        broken = bytearray(whole)
        broken[rng.integers(0, 300)] ^= int(rng.integers(1, 256))
        (tmp_path / "m.pkl").write_bytes(broken)
        try:
            load_body(tmp_path / "m.pkl")
        except MethodError as error:
            assert "\n" not in str(error)


def test_pickled_objects_in_an_npz(tmp_path):
    data = {**model(), "part2num": np.array({"head": 1}, object)}  # SMPL-X files carry such, and nobody needs it
    assert same(load_body(npz(tmp_path / "m.npz", data)), load_body(npz(tmp_path / "n.npz", model())))
    data["v_template"] = np.array([None], object)
    with pytest.raises(MethodError, match="pickled objects"):
        load_body(npz(tmp_path / "m.npz", data))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("weights"), "has no 'weights'"),
        (lambda d: d.update(weights=d["weights"][:, :20]), "neither the 24"),
        (lambda d: d.update(weights=d["weights"][:-1]), "'weights' has shape"),
        (lambda d: d.update(posedirs=d["posedirs"][..., :9]), "'posedirs' has shape"),
        (lambda d: d.update(v_template=np.float64(3)), "shape"),
        (lambda d: d["v_template"].__setitem__((0, 0), np.nan), "finite"),
        (lambda d: d["f"].__setitem__((0, 0), VERTICES), "faces"),
        (lambda d: d.update(f=d["f"][:0]), "faces"),
        (lambda d: d["kintree_table"].__setitem__((0, 5), 0), "hang together"),
        (lambda d: d.update(f=np.full((40, 3), "a")), "numbers"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    data = model()
    change(data)
    with pytest.raises(MethodError, match=says) as caught:
        load_body(npz(tmp_path / "m.npz", data))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("m.npz: ")


def test_no_file(tmp_path):
    with pytest.raises(MethodError, match="does not exist"):
        load_body(tmp_path / "SMPL_NEUTRAL.pkl")

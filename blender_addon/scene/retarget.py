# SPDX-License-Identifier: GPL-3.0-or-later
"""Any animated armature as a performance that the body can follow.

Which bone is which is told by name: Mixamo, Rigify, Unreal, VRM, BVH, 3ds Max and SMPL are understood. Where a name
says nothing, the artist gives the bone a custom property `understudy_joint` with the joint, such as "left_knee".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from bpy.types import FCurve, Object, Scene
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, BodyModel
from understudy_shared.motion import MotionClip
from understudy_shared.retarget import Performance, RetargetError, Skeleton, find_joints, retarget

from . import compat
from .evaluation import at_frame
from .key_reading import even_times, rate_of

JOINT = "understudy_joint"
"""Custom property of a bone: which joint of the body it is."""
_RIGIFY = re.compile(r"^(DEF|ORG|MCH)-")


def read_armature(
    armature: Object,
    aside: Scene,
    times: NDArray[np.floating],
    body: BodyModel,
    betas: NDArray[np.floating],
    names: Mapping[str, str] | None = None,
) -> MotionClip:
    """What an armature does, put onto the body.

    Args:
        armature: with a skeleton of a human.
        aside: a scene that is ours and holds the armature, see `evaluation`.
        times: (T,) frames of that scene, evenly spaced.
        body: who follows.
        betas: (B,) their shape.
        names: joints of the body to bones; they go before the bones' own custom properties, and these before tables.

    Raises:
        ValueError: joints are missing; the sentence names them.
    """
    given = {**_by_property(armature), **(names or {})}
    skeleton, bones = _skeleton(armature)
    try:
        found = find_joints(skeleton, given)
        skeleton, bones, found = _needed(skeleton, bones, found)
        fps = rate_of(np.asarray(times, np.float64), aside.render.fps / aside.render.fps_base)
        performance, base = _perform(armature, aside, times, skeleton, bones)
        # paths are scaled about the place where they begin
        hips = performance.positions[0, [found["left_hip"], found["right_hip"]]].mean(0)
        begin = np.array([hips[0], hips[1], base])
        performance = replace(performance, positions=performance.positions - begin)
        said = {ours: skeleton.names[index] for ours, index in found.items()}
        clip = retarget(performance, body, fps, up="z", names=said, betas=betas)
        return replace(clip, transl=(clip.transl + begin).astype(np.float32))
    except RetargetError as error:
        raise ValueError(_in_words(armature.name, error)) from None


def keyed_times(armature: Object) -> NDArray[np.float64] | None:
    """Frames of the samples in an armature's action, None where it has none."""
    curves: list[FCurve] = [c for c in compat.fcurves(armature) if len(c.keyframe_points)]
    return even_times(curves) if curves else None


def _in_words(name: str, error: RetargetError) -> str:
    if not error.missing:
        return f'"{name}": {error}'
    missing = ", ".join(joint.replace("_", " ") for joint in error.missing)
    return (
        f'"{name}" has no bones with a name that is understood for: {missing}. Give each of these bones the custom '
        f'property "{JOINT}" with the value {error.missing[0]} and so on'
    )


def _by_property(armature: Object) -> dict[str, str]:
    found = {}
    for bone in armature.data.bones:
        joint = bone.get(JOINT) or armature.pose.bones[bone.name].get(JOINT)
        if joint:
            if joint not in JOINT_NAMES:
                raise ValueError(f'The bone "{bone.name}" says that it is "{joint}": use {", ".join(JOINT_NAMES)}')
            found[str(joint)] = bone.name
    return found


def _skeleton(armature: Object) -> tuple[Skeleton, NDArray[np.int64]]:
    """Joints at rest in the armature's own axes, and the index of each one's bone.

    Of a generated Rigify rig only the original bones, which carry the pose: its controls have the same names but turn
    in their own ways, and the bones that deform share a twist among them.
    """
    bones = list(armature.data.bones)
    layer = next((p for p in ("ORG-", "DEF-") if sum(b.name.startswith(p) for b in bones) >= 15), "")
    chosen = [i for i, bone in enumerate(bones) if bone.name.startswith(layer)]

    def plain(name: str) -> str:
        return _RIGIFY.sub("", name) if layer else name

    known = {plain(bones[i].name): bones[i].name for i in chosen}
    above: dict[str, str | None] = {}
    for i in chosen:  # the layers hang in each other: a deforming shoulder in the original one, and that in the chest
        own = plain(bones[i].name)
        lines = (plain(parent.name) for parent in bones[i].parent_recursive)
        above[bones[i].name] = next((known[name] for name in lines if name in known and name != own), None)
    depths = {bones[i].name: _depth(bones[i].name, above) for i in chosen}
    chosen.sort(key=lambda i: depths[bones[i].name])
    names = [bones[i].name for i in chosen]
    place = {name: row for row, name in enumerate(names)}
    parents = tuple(place.get(above[name] or "", -1) for name in names)
    rest = np.array([bones[i].head_local for i in chosen], np.float64).reshape(-1, 3)
    return Skeleton(tuple(names), parents, rest), np.array(chosen, np.int64)


def _depth(name: str, above: Mapping[str, str | None]) -> int:
    depth, parent = 0, above[name]
    while parent is not None and depth <= len(above):
        depth, parent = depth + 1, above[parent]
    return depth


def _needed(
    skeleton: Skeleton, bones: NDArray[np.int64], found: dict[str, int]
) -> tuple[Skeleton, NDArray[np.int64], dict[str, int]]:
    """Only the joints that are followed and those above them: no fingers, faces, skirts."""
    keep: set[int] = set()
    for index in found.values():
        while index >= 0 and index not in keep:
            keep.add(index)
            index = skeleton.parents[index]
    order = sorted(keep)
    place = {old: new for new, old in enumerate(order)}
    smaller = Skeleton(
        tuple(skeleton.names[i] for i in order),
        tuple(place.get(skeleton.parents[i], -1) for i in order),
        skeleton.rest[order],
    )
    return smaller, bones[order], {ours: place[index] for ours, index in found.items()}


def _perform(
    armature: Object, aside: Scene, times: NDArray[np.floating], skeleton: Skeleton, bones: NDArray[np.int64]
) -> tuple[Performance, float]:
    """The bones at those times, in metres, and the height of the armature's own origin."""
    data = armature.data.bones
    resting = np.array([np.array(data[name].matrix_local.to_3x3()) for name in skeleton.names], np.float64)
    frames = np.empty((len(times), len(bones), 4, 4))
    buffer = np.empty(len(data) * 16, np.float32)
    for t, time in enumerate(times):
        posed = armature.evaluated_get(at_frame(aside, float(time)))
        posed.pose.bones.foreach_get("matrix", buffer)
        # Blender lays a matrix out column by column
        frames[t] = np.array(posed.matrix_world) @ np.swapaxes(buffer.reshape(-1, 4, 4)[bones], -1, -2)
    place = np.array(armature.evaluated_get(at_frame(aside, float(times[0]))).matrix_world)
    scale = float(np.cbrt(np.linalg.det(place[:3, :3])))
    if not scale > 0:
        raise ValueError(f'"{armature.name}" is mirrored or has no size: apply its scale')
    u, _, vt = np.linalg.svd(frames[..., :3, :3])
    rotations = u @ vt @ np.swapaxes(resting, -1, -2)
    scaled = Skeleton(skeleton.names, skeleton.parents, skeleton.rest * scale)
    return Performance(scaled, rotations, frames[..., :3, 3]), float(place[2, 3])

# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion in files that only Blender itself can read: FBX and glTF, and VRM, which is glTF.

The file is imported into a scene of our own, its armatures are followed, and everything that came with it is removed:
the artist's scene, selection and time line are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Action, Object, Scene
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.motion import MotionClip

from .import_aside import for_now_only, import_scene
from .overriding import overridden
from .retarget import keyed_times, read_armature

EXTENSIONS = (".fbx", ".glb", ".gltf", ".vrm")


def load_people(
    path: Path,
    body: BodyModel,
    betas: NDArray[np.floating],
    scene_fps: float,
    names: Mapping[str, str] | None = None,
) -> list[MotionClip]:
    """Everybody in the file, one clip for each armature and each of its actions.

    Args:
        path: of an existing file with one of `EXTENSIONS`.
        body: who wears the motion.
        betas: (B,) their shape.
        scene_fps: frames per second at which motion is read whose keys are spaced unevenly.
        names: as in `read_armature`.

    Raises:
        ValueError: Blender cannot read it, it holds no armature that moves, or none that is a human.
    """
    with for_now_only(), import_scene(scene_fps) as aside:
        _import(path, aside)
        armatures = [obj for obj in aside.objects if obj.type == "ARMATURE"]
        if not armatures:
            raise ValueError(f"{path.name} holds no armature: export it with its skeleton and animation")
        for obj in [o for o in aside.objects if o.type not in ("ARMATURE", "EMPTY")]:
            bpy.data.objects.remove(obj)  # nothing to see here, and it would be evaluated at every frame
        people: list[MotionClip] = []
        problem: ValueError | None = None
        moving = False
        for armature in armatures:
            actions = _actions_of(armature)
            for action in actions:
                _play(armature, action)
                times = keyed_times(armature)
                if times is None:
                    continue
                moving = True
                called = ((armature, len(armatures)), (action, len(actions)))
                who = " ".join(_own_name(block.name) for block, several in called if several > 1)
                same = sum(clip.track_id == who or clip.track_id.startswith(f"{who} #") for clip in people)
                try:
                    clip = read_armature(armature, aside, times, body, betas, names)
                    people.append(replace(clip, track_id=f"{who} #{same + 1}" if same else who))
                except ValueError as error:
                    problem = problem or error
        if not moving:
            raise ValueError(f"{path.name} holds no motion: export it with its animation")
        if not people and problem is not None:
            raise problem
        return sorted(people, key=lambda clip: -len(clip))


def _import(path: Path, aside: Scene) -> None:
    fbx = path.suffix.lower() == ".fbx"
    if fbx and "fbx_import" in dir(bpy.ops.wm):
        importer, options = bpy.ops.wm.fbx_import, {"use_anim": True, "anim_offset": 0.0}
    elif fbx and "fbx" in dir(bpy.ops.import_scene):
        importer, options = bpy.ops.import_scene.fbx, {"anim_offset": 0.0}
    elif not fbx and "gltf" in dir(bpy.ops.import_scene):
        importer, options = bpy.ops.import_scene.gltf, {"disable_bone_shape": True, "import_pack_images": False}
    else:
        kind = "FBX" if fbx else "glTF"
        raise ValueError(f"This Blender cannot import {kind}: switch on the add-on that does in the preferences")
    try:
        with overridden(scene=aside, view_layer=aside.view_layers[0], collection=aside.collection):
            importer(filepath=str(path), **options)
    except RuntimeError as error:
        raise ValueError(f"Blender cannot import {path.name}: {_reason(str(error))}") from None


def _own_name(name: str) -> str:
    """The file's own name: Blender adds .001 where the artist has something of that name already."""
    return re.sub(r"\.\d{3,}$", "", name)


def _reason(message: str) -> str:
    """What Blender reported, without a traceback of its add-on."""
    lines = [line.strip() for line in message.removeprefix("Error: ").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Location:")] or ["it does not say why"]
    return lines[-1] if "Traceback" in message else " ".join(lines)


def _actions_of(armature: Object) -> list[Action]:
    """Its actions, whether the importer has assigned them or laid them into the NLA."""
    animation = armature.animation_data
    if animation is None:
        return []
    found = [animation.action, *(strip.action for track in animation.nla_tracks for strip in track.strips)]
    return list(dict.fromkeys(action for action in found if action is not None))


def _play(armature: Object, action: Action) -> None:
    animation = armature.animation_data
    for track in list(animation.nla_tracks):
        animation.nla_tracks.remove(track)
    if animation.action != action:
        animation.action = action
    if animation.action_slot is None and action.slots:
        animation.action_slot = next((s for s in action.slots if s.target_id_type == "OBJECT"), action.slots[0])

# SPDX-License-Identifier: GPL-3.0-or-later
"""The actor: the body and its motion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import bpy
import numpy as np
from understudy_shared.body import free_body
from understudy_shared.cleaning.ground import snap_to_ground
from understudy_shared.motion import MotionClip, exact_rate

from ..scene import motion_files
from ..scene.body import create_body as _create_body
from ..scene.body_parts import armature_of, betas_of, mesh_of
from ..scene.cleaning import Repairs, repair
from ..scene.evaluation import scene_aside
from ..scene.gaps import show_gaps
from ..scene.key_reading import read_keys
from ..scene.motion import apply_motion, sample_times, write_motion
from ..scene.retarget import keyed_times, read_armature

Ground = Literal["mark", "floor", "file"]
"""Where a motion is put. "mark": over the origin where the scene begins, the lowest point of the body on the floor.
"floor": only up or down, so that it stands on the floor. "file": as the file has it."""


@dataclass(frozen=True)
class Track:
    """One person in a motion file."""

    id: str
    """What `import_motion` takes as `track`; empty where the file holds one person."""
    frames: int
    """Samples from their first to their last."""
    seconds: float
    """How long that is."""
    missing: int
    """Samples in between in which they were not seen."""


def create_body(scene: bpy.types.Scene | None = None, name: str = "Body") -> bpy.types.Object:
    """A body of mean shape in its rest pose; it becomes the scene's body."""
    scene = scene or bpy.context.scene
    body = free_body()
    obj = _create_body(scene, body, np.zeros(body.num_betas, np.float32), name)
    scene.understudy.body = obj
    return obj


def tracks(path: str | Path, scene: bpy.types.Scene | None = None) -> list[Track]:
    """Who is in a motion file, those who are seen longest first.

    Raises:
        ValueError: the file is not a motion, with what to do.
    """
    scene = scene or bpy.context.scene
    people = motion_files.read_people(path, _betas(_present_body(scene)), _fps(scene))
    return [Track(c.track_id, len(c), len(c) / exact_rate(c.fps), int((~c.seen).sum())) for c in people]


def import_motion(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    body: bpy.types.Object | None = None,
    start: float | None = None,
    *,
    track: str = "",
    keep_time: bool = True,
    fill_gaps: bool = False,
    longest_gap: float = 1.0,
    smooth: float = 0.0,
    foot_lock: bool = False,
    ground: Ground = "mark",
    fps: float | None = None,
    up: Literal["auto", "y", "z"] = "auto",
    set_range: bool = False,
    set_rate: bool = False,
) -> bpy.types.Action:
    """A motion file as an action of the body; one is made where the scene has none.

    Read are AMASS, SMPL parameters, Meshcapade .smpl, PHALP and 4D-Humans, WHAM, GVHMR, TRAM and BVH; FBX, glTF and VRM
    through Blender's own importers. Every sample of the file becomes keys at its true time, on whole frames or between
    them. An earlier action of the body is let go; Blender keeps it in the file until that is saved and closed.

    Args:
        path: of the file.
        scene: default: the current one.
        body: default: the scene's body.
        start: scene frame at which the file begins; default: the scene's first frame.
        track: whose motion, of those that `tracks` lists; default: theirs who are seen longest.
        keep_time: somebody who comes into the file later comes in later here; else their first sample is at `start`.
        fill_gaps: bridge frames in which the source did not see the person. Without it they hold the nearest pose.
            Either way a marker shows them, and the keys have a colour of their own.
        longest_gap: seconds; longer gaps are not filled.
        smooth: 0 to 1.
        foot_lock: feet that stand do not slide.
        ground: see `Ground`.
        fps: frames per second of the file, where it does not say (estimators from video: 30 is assumed) or is wrong.
        up: the file's up axis, where its format does not define it.
        set_range: the scene's first and last frame become the motion's.
        set_rate: the scene's frame rate becomes the file's. Before anything else is animated: other keys stay at their
            frames.

    Raises:
        ValueError: the file is not a motion, or has no such track, with what to do.
    """
    scene = scene or bpy.context.scene
    body = body or _present_body(scene)
    people = motion_files.read_people(path, _betas(body), _fps(scene), fps, up)
    clip = next((c for c in people if not track or c.track_id == track), None)
    if clip is None:
        there = ", ".join(f'"{c.track_id}"' for c in people[:12])
        raise ValueError(f'{Path(path).name} has no track "{track}"; it has {there}')
    repairs = Repairs(fill_gaps, longest_gap, smooth, foot_lock)
    wearers = _wear(scene, [clip], [body], Path(path).stem, start, keep_time, repairs, ground, set_range, set_rate)
    return armature_of(wearers[0]).animation_data.action


def import_people(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    start: float | None = None,
    *,
    fill_gaps: bool = False,
    longest_gap: float = 1.0,
    smooth: float = 0.0,
    foot_lock: bool = False,
    ground: Ground = "mark",
    fps: float | None = None,
    up: Literal["auto", "y", "z"] = "auto",
    set_range: bool = False,
    set_rate: bool = False,
) -> list[bpy.types.Object]:
    """Everybody in a motion file, each as a body of their own, at their own times and places to each other.

    The first, who is seen longest, wears the scene's body if there is one, and stays the scene's body.

    Args:
        path: of the file.
        scene: default: the current one.
        start: scene frame at which the file begins; default: the scene's first frame.
        fill_gaps: as in `import_motion`, like all that follow.
        longest_gap: seconds.
        smooth: 0 to 1.
        foot_lock: feet that stand do not slide.
        ground: with "mark", the first person is over the origin and the others where they are to them.
        fps: frames per second.
        up: axis.
        set_range: the scene's range becomes that of all of them.
        set_rate: the scene's frame rate becomes the file's.

    Returns:
        The bodies, those who are seen longest first.

    Raises:
        ValueError: the file is not a motion, with what to do.
    """
    scene = scene or bpy.context.scene
    first = _present_body(scene)
    people = motion_files.read_people(path, _betas(first), _fps(scene), fps, up)
    repairs = Repairs(fill_gaps, longest_gap, smooth, foot_lock)
    wanted = [first, *[None] * (len(people) - 1)]
    return _wear(scene, people, wanted, Path(path).stem, start, True, repairs, ground, set_range, set_rate)


def retarget(
    armature: bpy.types.Object,
    scene: bpy.types.Scene | None = None,
    body: bpy.types.Object | None = None,
    frames: Sequence[float] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    smooth: float = 0.0,
    foot_lock: bool = False,
    ground: Ground = "file",
    set_range: bool = False,
) -> bpy.types.Action:
    """The motion of an armature that is in the scene, on the body: Mixamo, Rigify, Unreal, BVH and others.

    Constraints, drivers and parents of the armature count. The path is scaled by the length of the legs, about the
    place where it begins.

    Args:
        armature: with the skeleton of a human.
        scene: default: the current one.
        body: default: the scene's body; one is made where there is none.
        frames: scene frames, evenly spaced; default: the keys of its action, or without one the scene's frames.
        names: joints of the body to bones, where their names say nothing: {"left_knee": "Bone.003"}. A bone may carry
            that itself, in a custom property `understudy_joint`.
        smooth: 0 to 1.
        foot_lock: feet that stand do not slide.
        ground: see `Ground`; "file" is where the armature is.
        set_range: the scene's first and last frame become the motion's.

    Raises:
        ValueError: no armature, the body itself, or bones that are not found; the sentence names them.
    """
    scene = scene or bpy.context.scene
    if armature.type != "ARMATURE":
        raise ValueError(f'"{armature.name}" is not an armature')
    body = body or _present_body(scene)
    if body is not None and armature == armature_of(body):
        raise ValueError(f'"{armature.name}" is the body itself: choose the armature that it shall follow')
    times = np.asarray(frames, np.float64) if frames is not None else keyed_times(armature)
    if times is None:
        times = np.arange(scene.frame_start, scene.frame_end + 1, dtype=np.float64)
    if not len(times):
        raise ValueError("There are no frames to read")
    betas = np.array(_betas(body), np.float32)
    with scene_aside(scene, [armature]) as aside:
        clip = read_armature(armature, aside, times, free_body(), betas, names)
    repairs = Repairs(smooth=smooth, foot_lock=foot_lock)
    start = float(times[0])
    wearers = _wear(scene, [clip], [body], armature.name, start, False, repairs, ground, set_range, False)
    return armature_of(wearers[0]).animation_data.action


def clean_motion(
    body: bpy.types.Object | None = None,
    scene: bpy.types.Scene | None = None,
    *,
    fill_gaps: bool = False,
    longest_gap: float = 1.0,
    smooth: float = 0.0,
    foot_lock: bool = False,
    on_floor: bool = False,
) -> bpy.types.Action:
    """Repairs the motion that the body has now, also after its keys were edited; each repair only where asked for.

    The keys are read at their own times and written again there; curves of anything else in the action stay.

    Args:
        body: default: the scene's body.
        scene: default: the current one.
        fill_gaps: bridge the frames in which the source did not see the person and that only hold the nearest pose.
        longest_gap: seconds; longer gaps stay.
        smooth: 0 to 1.
        foot_lock: feet that stand do not slide.
        on_floor: the whole motion moves up or down, so that the lowest point of the body touches the floor.

    Raises:
        ValueError: there is no body, it has no keys, or an amount is out of its range.
    """
    scene = scene or bpy.context.scene
    body = body or _present_body(scene)
    if body is None:
        raise ValueError("There is no body: import a motion first")
    armature = armature_of(body)
    keyed = read_keys(armature, _fps(scene))
    betas = betas_of(body)
    clip, filled = repair(keyed.clip, free_body(), betas, Repairs(fill_gaps, longest_gap, smooth, foot_lock))
    if on_floor:
        clip = snap_to_ground(clip, free_body(), betas)
    filled |= keyed.filled
    action = armature.animation_data.action
    if action.users - action.use_fake_user > 1:  # somebody else moves by it too
        action = action.copy()
    write_motion(armature, action, clip, keyed.times, filled)
    show_gaps(scene, armature, clip, keyed.times, filled)
    return action


def _wear(
    scene: bpy.types.Scene,
    clips: Sequence[MotionClip],
    bodies: Sequence[bpy.types.Object | None],
    title: str,
    start: float | None,
    keep_time: bool,
    repairs: Repairs,
    ground: Ground,
    set_range: bool,
    set_rate: bool,
) -> list[bpy.types.Object]:
    """Puts clips onto bodies, and makes those that are None. Nothing is changed before everything is computed."""
    fps = exact_rate(clips[0].fps) if set_rate else _fps(scene)
    begin = float(scene.frame_start if start is None else start)
    firsts = [begin + (clip.start * fps if keep_time else 0.0) for clip in clips]
    repaired = [
        repair(c, free_body(), np.array(_betas(b), np.float32), repairs) for c, b in zip(clips, bodies, strict=True)
    ]
    shown = round((scene.frame_start - firsts[0]) / fps * clips[0].fps)  # the sample that the scene begins with
    staged = _staged([clip for clip, _ in repaired], [_betas(b) for b in bodies], ground, shown)
    before = _present_body(scene)
    wearers = [
        b or create_body(scene, f"Body {c.track_id}" if len(clips) > 1 else "Body")
        for b, c in zip(bodies, clips, strict=True)
    ]
    scene.understudy.body = before or wearers[0]
    if set_rate:
        scene.render.fps = max(1, round(fps))
        scene.render.fps_base = scene.render.fps / fps
    lasts = []
    for obj, clip, (_, filled), first in zip(wearers, staged, repaired, firsts, strict=True):
        action = apply_motion(obj, clip, first, fps, filled)
        action.name = f"{title} {clip.track_id}".strip()
        times = sample_times(len(clip), clip.fps, first, fps)
        show_gaps(scene, armature_of(obj), clip, times, filled)
        lasts.append(times[-1])
    if set_range:
        scene.frame_start = math.ceil(min(firsts) - 1e-3)
        scene.frame_end = max(scene.frame_start, math.floor(max(lasts) + 1e-3))
    return wearers


def _staged(
    clips: Sequence[MotionClip], betas: Sequence[tuple[float, ...]], ground: Ground, shown: int
) -> list[MotionClip]:
    """The clips on the floor, and with "mark" moved together, so that the first is over the origin at `shown`."""
    if ground not in ("mark", "floor", "file"):
        raise ValueError(f'"{ground}" is no place to put a motion: choose mark, floor or file')
    shapes = [np.array(b, np.float32) for b in betas]
    out = [replace(clip, betas=shape) for clip, shape in zip(clips, shapes, strict=True)]
    if ground != "file":
        out = [snap_to_ground(clip, free_body(), clip.betas) for clip in out]
    if ground == "mark":
        at = min(max(shown, 0), len(out[0]) - 1)
        away = (free_body().joints(shapes[0])[0] + out[0].transl[at]) * np.array([1, 1, 0], np.float32)
        out = [replace(clip, transl=clip.transl - away) for clip in out]
    return out


def _present_body(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's body, unless it was deleted: Blender keeps what a setting points to."""
    body = scene.understudy.body
    return body if body is not None and body.name in scene.objects else None


def _betas(body: bpy.types.Object | None) -> tuple[float, ...]:
    """The shape of a body; None stands for one that is yet to be made."""
    return (0.0,) * free_body().num_betas if body is None else tuple(float(b) for b in betas_of(mesh_of(body)))


def _fps(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base

# SPDX-License-Identifier: GPL-3.0-or-later
"""Camera moves around a body on one click. What comes out is a camera with a key on every frame, and nothing else.

All angles are seen from above, counter-clockwise, and start at the direction in which the body faces. Without
`Rig.follow` a rig stands on the floor of the scene, and turns about the middle of the room that the body takes up over
the whole move. With it, keys are relative to the hips on the ground, and a Copy Location constraint carries the camera
along: it stays right when another motion is put on the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray
from understudy_shared.camera import OPENGL_TO_OPENCV, intrinsics_from_blender, rigid_inverse
from understudy_shared.camera_paths import look_at
from understudy_shared.rotations import matrix_from_axis_angle

from .body_parts import armature_of
from .camera import new_camera, picture_size
from .camera_keys import drop_if_empty, key_poses
from .rig_subject import Subject, look_at_body

Doubles = NDArray[np.float64]
Kind = Literal["ORBIT", "DOLLY", "CRANE", "SPIRAL", "HANDHELD", "TURNTABLE"]
Ease = Literal["NONE", "IN", "OUT", "BOTH"]

FULL_FRAME = 36.0
"""Millimetres of the longer side of a full-frame sensor."""

NAMES: dict[str, str] = {
    "ORBIT": "Orbit",
    "DOLLY": "Dolly",
    "CRANE": "Crane",
    "SPIRAL": "Spiral",
    "HANDHELD": "Hand-Held",
    "TURNTABLE": "Turntable",
}


@dataclass(frozen=True)
class Rig:
    """The options of a move. Lengths in metres, angles in degrees."""

    kind: Kind = "ORBIT"
    start: int = 1
    """Scene frame of the first key."""
    frames: int = 48
    """Length of the move. A turntable has `views` frames instead."""
    distance: float = 0.0
    """From the body's middle to the camera, along the floor; 0: as close as shows the whole body in every frame."""
    height: float = 0.0
    """Of the camera over the body's middle, at the beginning."""
    angle: float = 0.0
    """Where the camera begins: 0 is in front of the body, 90 at its left."""
    sweep: float = 360.0
    """ORBIT and SPIRAL: how far around; negative goes the other way."""
    rise: float = 1.2
    """CRANE and SPIRAL: how much higher the camera ends."""
    travel: float = 1.5
    """DOLLY: how much closer the camera ends, which is at `distance`; negative moves away from there."""
    views: int = 8
    """TURNTABLE: how many, evenly around."""
    shake: float = 1.0
    """HANDHELD: 1 is a steady operator: a centimetre and a third of a degree."""
    seed: int = 0
    """HANDHELD: another seed, other movements."""
    ease: Ease = "NONE"
    """Whether the move gathers speed at its beginning and loses it at its end."""
    margin: float = 0.06
    """Of the picture that stays free on each side when the distance is found."""
    lens: float = 50.0
    """Focal length in mm, on a full-frame sensor."""
    follow: bool = False
    """Go along with the body."""

    @property
    def length(self) -> int:
        """How many frames have a key."""
        return self.views if self.kind == "TURNTABLE" else self.frames


def add_rig(scene: Scene, body: Object, rig: Rig, sizes: tuple[tuple[int, int], ...] = ()) -> Object:
    """Makes the camera, keyed, and the scene's.

    Args:
        scene: where it is linked.
        body: what the camera looks at, either of its two objects.
        rig: the move.
        sizes: (width, height) of further pictures, besides the scene's, in which the body must be whole. The lens is
            that of the first; the others see as much from top to bottom, where a person needs the room.

    Raises:
        ValueError: options that make no move, or not a body.
    """
    if rig.kind not in NAMES:
        raise ValueError(f'There is no camera move "{rig.kind}": choose one of {", ".join(NAMES)}')
    if rig.length < 1:
        raise ValueError("A camera move needs at least one frame")
    frames = rig.start + np.arange(rig.length)
    subject = look_at_body(body, scene, frames.tolist(), hips=rig.follow)
    sizes = *sizes, picture_size(scene)
    high = _sensor_height(scene, sizes[0])
    open_to = _half_views(scene, rig.lens, high, sizes)
    fps = scene.render.fps / scene.render.fps_base
    distance = rig.distance or _closest(rig, subject, fps, open_to)
    poses = camera_poses(rig, subject, distance, fps)
    if subject.pelvis is not None:
        poses[:, :2, 3] -= subject.pelvis[:, :2]
    camera = new_camera(scene, f"{NAMES[rig.kind]} Camera", (FULL_FRAME, high), "VERTICAL")
    camera.data.lens = rig.lens
    action = bpy.data.actions.new(camera.name)
    key_poses(camera, action, frames.astype(np.float64), poses, stepped=rig.kind == "TURNTABLE")
    drop_if_empty(action)
    if rig.follow:
        hips = camera.constraints.new("COPY_LOCATION")
        hips.name = "Follow"
        hips.target, hips.subtarget = armature_of(body), "pelvis"
        hips.use_z, hips.use_offset = False, True
    scene.camera = camera
    return camera


def camera_poses(rig: Rig, subject: Subject, distance: float, fps: float) -> Doubles:
    """Camera to world (T, 4, 4), Blender's axes, of a move at a distance; `fps` gives the shaking its speed."""
    centre = subject.centre
    target = np.tile(centre, (rig.length, 1))
    if subject.pelvis is not None:
        target[:, :2] = subject.pelvis[:, :2]
    pace = _pace(rig)
    turning, rising = rig.kind in ("ORBIT", "SPIRAL"), rig.kind in ("CRANE", "SPIRAL")
    angle = subject.facing + np.radians(rig.angle + pace * (rig.sweep if turning else 0))
    if rig.kind == "TURNTABLE":
        angle = subject.facing + np.radians(rig.angle + 360 * np.arange(rig.views) / rig.views)
    closing = rig.travel * (1 - pace) if rig.kind == "DOLLY" else np.zeros(rig.length)
    radius = np.maximum(distance + closing, 0.05)  # in the middle is no direction to look in
    climb = rig.height + pace * (rig.rise if rising else 0)
    eye = target + np.stack([radius * np.cos(angle), radius * np.sin(angle), climb], -1)
    poses = rigid_inverse(look_at(eye, target)) @ OPENGL_TO_OPENCV
    return poses @ _shake(rig, fps) if rig.kind == "HANDHELD" else poses


def _pace(rig: Rig) -> Doubles:
    """(T,) how much of the move is done at each frame, 0 to 1.

    A whole turn at even speed leaves out its last frame, which would repeat the first: played in a loop, it turns
    evenly.
    """
    whole = rig.kind == "ORBIT" and rig.ease == "NONE" and rig.sweep != 0 and rig.sweep % 360 == 0
    t = np.arange(rig.length) / max(rig.length - (0 if whole else 1), 1)
    if rig.ease == "IN":
        return t * t
    if rig.ease == "OUT":
        return t * (2 - t)
    return t * t * (3 - 2 * t) if rig.ease == "BOTH" else t


_SWAYS = np.array([0.23, 0.41, 0.67, 1.1, 1.7, 2.6])
"""Hertz: breathing, shifting of weight, and the tremor of arms. Slower ones are stronger, as 1/f."""
_REACH = np.array([0.010, 0.010, 0.006]), np.radians([0.33, 0.33, 0.2])
"""Standard deviations of the place (metres) and of the direction (radians) along and about the camera's axes."""


def _shake(rig: Rig, fps: float) -> Doubles:
    """(T, 4, 4) small movements in the camera's axes: sums of slow waves, which no key can make jump."""
    phases = np.random.default_rng(rig.seed).uniform(0, 2 * np.pi, (2, 3, len(_SWAYS)))
    detune = 1 + 0.15 * np.sin(phases)  # so that no two axes repeat together
    seconds = np.arange(rig.length) / fps
    waves = np.sin(2 * np.pi * _SWAYS * detune * seconds[:, None, None, None] + phases)  # (T, 2, 3, waves)
    strength = 1 / _SWAYS / np.sqrt((1 / _SWAYS**2).sum() / 2)
    sway = rig.shake * (waves @ strength)
    out = np.tile(np.eye(4), (rig.length, 1, 1))
    out[:, :3, :3] = matrix_from_axis_angle(sway[:, 1] * _REACH[1])
    out[:, :3, 3] = sway[:, 0] * _REACH[0]
    return out


def _sensor_height(scene: Scene, size: tuple[int, int]) -> float:
    """Millimetres of a full-frame sensor that a picture of `size` takes from top to bottom."""
    render = scene.render
    return FULL_FRAME * min(1.0, size[1] * render.pixel_aspect_y / (size[0] * render.pixel_aspect_x))


def _half_views(scene: Scene, lens: float, high: float, sizes: tuple[tuple[int, int], ...]) -> Doubles:
    """(2,) tangents of half the angle of view, across and down, that every picture size has at least on a sensor of
    `high` millimetres."""
    aspect = scene.render.pixel_aspect_x, scene.render.pixel_aspect_y
    tangents = []
    for width, height in sizes:
        k = intrinsics_from_blender(lens, width, height, "VERTICAL", sensor_height=high, pixel_aspect=aspect)
        tangents.append((width / 2 / k[0, 0], height / 2 / k[1, 1]))
    return np.min(tangents, axis=0)


def _closest(rig: Rig, subject: Subject, fps: float, open_to: Doubles) -> float:
    """The smallest distance from which the whole body is in every frame, to a hundredth."""
    limit = open_to * (1 - 2 * min(max(rig.margin, 0.0), 0.45))

    def fits(distance: float) -> bool:
        views = rigid_inverse(camera_poses(rig, subject, distance, fps)[subject.looks] @ OPENGL_TO_OPENCV)
        seen = subject.outline @ np.swapaxes(views[:, :3, :3], 1, 2) + views[:, None, :3, 3]
        ahead = seen[..., 2]
        return bool((ahead > 0.05).all() and (np.abs(seen[..., :2]) <= limit * ahead[..., None]).all())

    near, far = 0.0, 1.0
    while not fits(far):
        if far > 1e5:
            raise ValueError("No distance shows the whole body: use a wider lens or a smaller margin")
        near, far = far, far * 1.5
    while far - near > 0.005 * far:
        middle = (near + far) / 2
        near, far = (near, middle) if fits(middle) else (middle, far)
    return far

# SPDX-License-Identifier: GPL-3.0-or-later
"""The driving frame that a method compares all others with, where it wants one: the first of the take, or of the clip
(see `driving.picture`)."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel
from understudy_shared.protocol.description import MethodDescription

from ..render.choose import lights, occluders
from ..render.passes import render_passes

REFERENCE = "reference"
"""Name of the input."""


def wants_reference(method: MethodDescription | None) -> bool:
    """Whether a method takes a reference frame."""
    return method is not None and any(need.name == REFERENCE and not need.per_frame for need in method.needs)


def reference_frame(
    scene: bpy.types.Scene, body: bpy.types.Object, camera: bpy.types.Object, number: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The body as Blender renders it at a scene frame, (H, W, 4) sRGB with straight alpha, `size` (width, height)."""
    include = [*occluders(scene, body), *lights(scene)]
    frame = render_passes(scene, body, camera, number, size, include=include)
    return np.asarray(frame.channels[Channel.RGBA], np.uint8)

# SPDX-License-Identifier: GPL-3.0-or-later
"""From our frames (straight sRGB, origin at the top left) to Blender's passes (linear, multiplied by alpha, bottom up).

Saved as 8-bit files under the Standard view transform, without dithering, a picture has the very numbers again that it
came with: single precision suffices for that, and Blender's own conversions are exact to half a step.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame, srgb_to_linear

COMBINED, DEPTH, NORMAL, UV = "Combined", "Depth", "Normal", "UV"
MASK, BODY = "Mask", "Body"
"""Passes of our own: where the body is, and the textured body that the person was made from."""

FAR = 1e10
"""Blender's depth where there is nothing."""

_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


def premultiplied(rgba: NDArray) -> NDArray[np.float32]:
    """Colour as the frame contract has it (uint8 sRGB or linear float, straight alpha) as Blender's: (H, W, 4)."""
    out = np.empty(rgba.shape, np.float32)
    if rgba.dtype == np.uint8:
        out[..., :3], out[..., 3] = _LINEAR[rgba[..., :3]], rgba[..., 3].astype(np.float32) / 255
    else:
        out[:] = rgba
    out[..., :3] *= out[..., 3:]
    return out


def body_passes(frame: Frame) -> dict[str, NDArray[np.float32]]:
    """Blender's passes (H, W, C) of a frame of `render.passes`, by name: metres along the camera's axis, normals in the
    world, (u, v, 1)."""
    channels = frame.channels
    depth, uv = channels[Channel.DEPTH], channels[Channel.UV]
    seen = np.isfinite(depth)
    to_world = np.asarray(channels[Channel.EXTRINSICS])[:3, :3]
    return {
        DEPTH: np.where(seen, depth, FAR).astype(np.float32)[..., None],
        NORMAL: (channels[Channel.NORMAL] @ to_world).astype(np.float32),
        UV: np.dstack([uv, seen]).astype(np.float32),
        MASK: channels[Channel.MASK].astype(np.float32)[..., None],
        BODY: premultiplied(channels[Channel.RGBA]),
    }


def put(
    result: bpy.types.RenderResult, images: dict[str, NDArray[np.float32]], corner: tuple[int, int] = (0, 0)
) -> None:
    """Writes images into the passes of their names; passes without an image stay as they are.

    Args:
        result: of `begin_result`; as large as the images, or a part of them.
        images: (H, W, C) by name of the pass, top row first.
        corner: (x, y) in pixels, of the part's lower left corner.
    """
    x, y = corner
    for render_pass in result.layers[0].passes:
        image = images.get(render_pass.name)
        if image is not None:
            part = image[::-1][y : y + result.resolution_y, x : x + result.resolution_x]
            render_pass.rect.foreach_set(np.ascontiguousarray(part, np.float32).reshape(-1))

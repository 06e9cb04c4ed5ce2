# SPDX-License-Identifier: GPL-3.0-or-later
"""Intermediate frames that Blender renders itself: for bodies with modifiers, edited materials, or things before them.

Cycles renders on the CPU in a scene of our own (see `scene.evaluation`), so the artist's settings are never written.
Depth, normal and UV come from one sample at the centre of each pixel (a filter of a hundredth of a pixel), so each is
that of one surface point, never a blend over an edge. Colour and mask are averaged over the pixel in linear light, by a
box filter. The results are read from uncompressed float EXR files, past any view transform.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame, linear_to_srgb

from ..scene.body_parts import mesh_of
from ..scene.camera import camera_matrices, require_perspective, still_camera
from ..scene.compat import PASS_NAMES, set_float_layers
from ..scene.evaluation import at_frame, scene_aside
from .exr import read_exr
from .still import render_still

SAMPLES = 16
"""Per pixel, for colour and mask: the mask comes in sixteenths, and a fine texture does not flicker."""


_RIM = 4
"""Pixels around the body that are rendered too: what is too thin for the centres of pixels may reach there."""


class BlenderBusy(RuntimeError):
    """Blender is rendering something else; the same call will work later."""


def render_passes(
    scene: Scene,
    body_obj: Object,
    camera: Object,
    frame: int,
    size: tuple[int, int],
    *,
    include: Sequence[Object] = (),
    samples: int = SAMPLES,
    while_rendering: bool = False,
) -> Frame:
    """Renders the body at one frame of the scene, which is left as it is.

    Args:
        scene: gives frame rate, pixel aspect and world light.
        body_obj: the body, either of its two objects, shown with its own material and modifiers.
        camera: a perspective camera; its depth of field is ignored.
        frame: scene frame.
        size: (width, height) in pixels.
        include: lights that shine on the body, and objects that hide parts of it without being seen themselves.
        samples: per pixel, for colour and mask. With 1 they too are taken at the pixel's centre: the mask is 0 or 1,
            and an unlit colour that of the texture exactly.
        while_rendering: also while Blender renders something else, which is known to wait for this.

    Returns:
        RGBA (H, W, 4) uint8 sRGB, straight alpha; DEPTH metres along the camera axis; NORMAL camera space, OpenCV axes;
        UV; MASK; and EXTRINSICS and INTRINSICS of the camera. Types and backgrounds as in `understudy_shared.frames`.

    Raises:
        ValueError: not a body, or not a perspective camera.
        BlenderBusy: another render is running.
        RuntimeError: Cycles is switched off, or the render failed.
    """
    require_perspective(camera)
    mesh = mesh_of(body_obj)
    if bpy.app.is_job_running("RENDER") and not while_rendering:
        raise BlenderBusy("Blender is rendering: wait for it, or cancel it")
    lights = [obj for obj in include if obj.type == "LIGHT"]
    occluders = [obj for obj in include if obj.type != "LIGHT" and obj not in (mesh, camera)]
    with (
        scene_aside(scene, [mesh, camera, *lights], occluders) as aside,
        _seen(mesh),
        tempfile.TemporaryDirectory(prefix="understudy-") as folder,
    ):
        aside.world = scene.world
        _settings(aside, size)
        extrinsics, k = camera_matrices(camera, at_frame(aside, frame), scene, size)
        eye = still_camera(extrinsics, k, aside)
        try:
            centre = _render(aside, Path(folder) / "centre.exr", 1, data=True)
            if samples > 1:
                _frame_body(aside, _layer(centre, "combined", "RGBA")[..., 3] > 0)
            pixel = _render(aside, Path(folder) / "pixel.exr", samples, data=False) if samples > 1 else centre
        finally:
            bpy.data.cameras.remove(eye.data)
    combined = _layer(pixel, "combined", "RGBA")
    channels = _geometry(centre, np.asarray(extrinsics[:3, :3]))
    if samples > 1:
        _reach(channels, combined[..., 3] > 0)
    mask = np.clip(combined[..., 3], 0, 1) * np.isfinite(channels[Channel.DEPTH])
    channels |= {Channel.RGBA: _colour(combined, mask), Channel.MASK: mask}
    return Frame(frame, channels | {Channel.EXTRINSICS: extrinsics, Channel.INTRINSICS: k})


@contextmanager
def _seen(mesh: Object) -> Iterator[None]:
    """Shows the body to the camera while it lasts: a compositing may have hidden it there (see `scene.compositor`)."""
    before = mesh.visible_camera, mesh.is_holdout, mesh.is_shadow_catcher
    if before == (True, False, False):  # writing would tag the mesh for another update
        yield
        return
    try:
        mesh.visible_camera, mesh.is_holdout, mesh.is_shadow_catcher = True, False, False
        yield
    finally:
        mesh.visible_camera, mesh.is_holdout, mesh.is_shadow_catcher = before


def _settings(aside: Scene, size: tuple[int, int]) -> None:
    render = aside.render
    render.engine = "CYCLES"
    cycles = getattr(aside, "cycles", None)
    if cycles is None:
        raise RuntimeError("Cycles is switched off: enable it in the preferences, under Add-ons")
    cycles.device, cycles.seed = "CPU", 0
    cycles.use_adaptive_sampling = cycles.use_denoising = cycles.use_auto_tile = False
    cycles.use_light_tree = False  # building one over every emitting face takes ten times as long as the render
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.film_transparent = True
    render.use_compositing = render.use_sequencer = False
    set_float_layers(render.image_settings)
    render.use_file_extension = render.use_overwrite = True


def _render(aside: Scene, path: Path, samples: int, *, data: bool) -> dict[str, NDArray[np.float32]]:
    """Renders either `samples` over each pixel, or with the data passes a single one at its centre."""
    cycles, layer = aside.cycles, aside.view_layers[0]
    cycles.samples = samples
    # Cycles fixes the width of a box at one pixel; a Gaussian may be as narrow as a point
    cycles.pixel_filter_type, cycles.filter_width = ("GAUSSIAN", 0.01) if data else ("BOX", 1.0)
    layer.use_pass_combined = True
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_uv = data
    render_still(aside, path)
    if not path.exists():
        raise RuntimeError("Blender could not render the body: see its console, and the space left for temporary files")
    return read_exr(path)


def _frame_body(aside: Scene, seen: NDArray[np.bool_]) -> None:
    """Leaves the rest of the picture out of the render: there is nothing, and nothing takes its time too."""
    rows, columns = np.nonzero(seen.any(1))[0], np.nonzero(seen.any(0))[0]
    if not len(rows):
        return
    height, width = seen.shape
    render = aside.render
    render.use_border, render.use_crop_to_border = True, False
    render.border_min_x, render.border_max_x = (columns[0] - _RIM) / width, (columns[-1] + 1 + _RIM) / width
    render.border_min_y, render.border_max_y = 1 - (rows[-1] + 1 + _RIM) / height, 1 - (rows[0] - _RIM) / height


def _colour(combined: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Straight sRGB of linear colour that is multiplied by its coverage."""
    straight = np.divide(
        combined[..., :3], mask[..., None], out=np.zeros_like(combined[..., :3]), where=mask[..., None] > 0
    )
    return np.rint(np.concatenate([linear_to_srgb(straight), mask[..., None]], -1) * 255).astype(np.uint8)


def _geometry(centre: dict[str, NDArray[np.float32]], world_to_camera: NDArray[np.floating]) -> dict[Channel, NDArray]:
    seen = _layer(centre, "combined", "RGBA")[..., 3] > 0  # false behind occluders, whose depth Cycles writes too
    normal = _layer(centre, "normal", "XYZ") @ world_to_camera.T
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return {
        Channel.DEPTH: np.where(seen, _layer(centre, "depth", "Z")[..., 0], np.inf).astype(np.float32),
        Channel.NORMAL: (normal * seen[..., None]).astype(np.float32),
        Channel.UV: _layer(centre, "uv", "UV") * seen[..., None],
    }


def _reach(channels: dict[Channel, NDArray], covered: NDArray[np.bool_]) -> None:
    """Gives covered pixels whose centre the body misses the geometry of their nearest neighbour that has some.

    So every pixel of the mask has geometry. What is so thin that no centre hits it keeps none, and leaves the mask.
    """
    before = {channel: channels[channel].copy() for channel in (Channel.DEPTH, Channel.NORMAL, Channel.UV)}
    depth = before[Channel.DEPTH]
    for y, x in np.argwhere(covered & np.isinf(depth)):
        rows, columns = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
        window = depth[rows, columns]
        j, i = np.unravel_index(np.argmin(window), window.shape)
        if np.isfinite(window[j, i]):
            for channel, values in before.items():
                channels[channel][y, x] = values[rows.start + j, columns.start + i]


def _layer(layers: dict[str, NDArray[np.float32]], what: str, components: str) -> NDArray[np.float32]:
    """A pass as (H, W, C), by whatever name this version of Blender gives it and its components."""
    for name in PASS_NAMES[what]:
        planes = {key.rsplit(".", 2)[2]: value for key, value in layers.items() if key.rsplit(".", 2)[-2:-1] == [name]}
        if len(components) == 1 and len(planes) == 1:
            return next(iter(planes.values()))[..., None]
        if planes and all(c in planes for c in components):
            return np.stack([planes[c] for c in components], -1)
    raise RuntimeError(f"Blender's render has no {what} pass: it has {', '.join(sorted(layers))}")

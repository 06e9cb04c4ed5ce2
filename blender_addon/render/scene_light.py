# SPDX-License-Identifier: GPL-3.0-or-later
"""How bright and of what colour a scene's light is where the body stands.

A white body in the place of the person's is rendered small, in the scene's light, and its mean colour taken: a person
whose texture shows them in plain white light is multiplied by it. Blender's own light does the measuring, with lamps,
world, shining things and shadows; the scene is left as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Object, Scene

from ..scene.body_parts import mesh_of
from ..scene.camera import camera_matrices, still_camera
from ..scene.compat import set_float_layers
from ..scene.evaluation import at_frame, scene_aside
from .exr import read_exr
from .passes import BlenderBusy
from .still import render_still

_SIZE = 64
_SAMPLES = 16
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_DARKEST = 0.02
"""In a scene without light the person would be black: nobody wants that."""


def gain(
    scene: Scene, body: Object, camera: Object, frame: int, size: tuple[int, int], around: Sequence[Object]
) -> tuple[float, float, float]:
    """The mean light on a white body, linear red, green and blue; 1 is that of a white world of strength 1.

    Args:
        scene: its light is measured.
        body: either of its two objects.
        camera: a perspective camera.
        frame: scene frame.
        size: (width, height) in pixels of the shot.
        around: lights, and objects that light or shade the body.

    Raises:
        BlenderBusy: another render is running. RuntimeError: Cycles is switched off, or the body is not in the picture.
    """
    pixels = _lit(scene, mesh_of(body), camera, frame, size, around)
    alpha = pixels[..., 3]
    if alpha.sum() < 1:
        raise RuntimeError("The body is not in the picture: its light cannot be measured")
    colour = pixels[..., :3].reshape(-1, 3).sum(0) / alpha.sum()
    red, green, blue = (float(max(value, _DARKEST)) for value in colour)
    return red, green, blue


def brightness(
    scene: Scene, ground: Object, camera: Object, frame: int, size: tuple[int, int], around: Sequence[Object]
) -> float:
    """How bright a white ground is where nothing shades it; 1 where it is not in the picture. See `gain`."""
    pixels = _lit(scene, ground, camera, frame, size, around)
    lit = pixels[pixels[..., 3] > 0.99]
    return float(max(np.percentile(lit[:, :3] @ _LUMINANCE, 90), _DARKEST)) if len(lit) else 1.0


def _lit(
    scene: Scene, obj: Object, camera: Object, frame: int, size: tuple[int, int], around: Sequence[Object]
) -> np.ndarray:
    """(H, W, 4) linear, multiplied by alpha: a white object in the place of `obj`."""
    if bpy.app.is_job_running("RENDER"):
        raise BlenderBusy("Blender is rendering: wait for it, or cancel it")
    lights = [other for other in around if other.type == "LIGHT"]
    things = [other for other in around if other.type != "LIGHT" and other not in (obj, camera)]
    width, height = (max(round(side * _SIZE / max(size)), 8) for side in size)
    small = width, height
    with (
        scene_aside(scene, [obj, camera, *lights], things) as aside,
        tempfile.TemporaryDirectory(prefix="understudy-") as folder,
    ):
        _settings(scene, aside, small)
        depsgraph = at_frame(aside, frame)
        evaluated = obj.evaluated_get(depsgraph)
        white = bpy.data.meshes.new_from_object(evaluated, depsgraph=depsgraph)
        place = evaluated.matrix_world.copy()
        extrinsics, k = camera_matrices(camera, depsgraph, scene, small)
        eye = still_camera(extrinsics, k, aside)
        probe = bpy.data.objects.new(".understudy", white)
        material = _white()
        try:
            white.materials.clear()
            white.materials.append(material)
            probe.matrix_world = place
            aside.collection.objects.unlink(obj)
            aside.collection.objects.link(probe)
            if things:  # they light and shade, but are not in the way
                part = aside.view_layers[0].layer_collection.children[0]
                part.holdout, part.indirect_only = False, True
            return _render(aside, Path(folder) / "light.exr")
        finally:
            bpy.data.cameras.remove(eye.data)
            bpy.data.objects.remove(probe)
            bpy.data.meshes.remove(white)
            bpy.data.materials.remove(material)


def _settings(scene: Scene, aside: Scene, size: Sequence[int]) -> None:
    render = aside.render
    render.engine = "CYCLES"
    cycles = getattr(aside, "cycles", None)
    if cycles is None:
        raise RuntimeError("Cycles is switched off: enable it in the preferences, under Add-ons")
    aside.world = scene.world
    cycles.device, cycles.seed, cycles.samples = "CPU", 0, _SAMPLES
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    cycles.max_bounces = 2
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.film_transparent = True
    render.use_compositing = render.use_sequencer = False
    set_float_layers(render.image_settings)


def _render(aside: Scene, path: Path) -> np.ndarray:
    """(H, W, 4) linear, multiplied by alpha."""
    render_still(aside, path)
    if not path.exists():
        raise RuntimeError("Blender could not measure the light: see its console")
    planes = read_exr(path)
    return np.stack([next(v for k, v in planes.items() if k.endswith(f"Combined.{c}")) for c in "RGBA"], -1)


def _white() -> bpy.types.Material:
    material = bpy.data.materials.new(".understudy")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    assert tree is not None
    tree.nodes.clear()
    shader, output = tree.nodes.new("ShaderNodeBsdfDiffuse"), tree.nodes.new("ShaderNodeOutputMaterial")
    shader.inputs["Color"].default_value = (1, 1, 1, 1)
    tree.links.new(shader.outputs[0], output.inputs["Surface"])
    return material

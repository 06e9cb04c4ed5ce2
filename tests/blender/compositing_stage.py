"""What the tests of compositing share: a take whose frames and depth are known, and pixels of Blender's own render."""

from __future__ import annotations

import warnings
from pathlib import Path

import bpy
import numpy as np
import pytest

SIZE = (48, 64)
COLOUR = (200, 120, 40)
"""sRGB of every person, 5 pixels wider than the body on every side."""
WALL = (0.1, 0.3, 0.6)
CUBE = (0.5, 0.05, 0.05)


class Shot:
    """A body that stands 4 m before the camera, with a wall 8 m away, and a take of it.

    Its person is the body's mask, widened by `grow` pixels, of one colour.
    """

    def __init__(self, scene, folder: Path, size=SIZE, start=1, end=3, step=1) -> None:
        from understudy_shared.job import FrameRange, JobSpec

        from blender_addon import api
        from blender_addon.link.jobs import Job, Record, State
        from blender_addon.link.refs import ref
        from blender_addon.link.session import current

        self.scene, self.size = scene, size
        self.body = api.create_body(scene)
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(camera)
        camera.location, camera.rotation_euler = (0, -4, 0), (np.pi / 2, 0, 0)
        scene.camera = camera
        self.camera = camera
        self.wall = card("Wall", 4.0, 12.0, WALL)
        settings = scene.render
        settings.engine, settings.dither_intensity = "CYCLES", 0
        settings.resolution_x, settings.resolution_y = size
        scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.pixel_filter_type = 1, False, "BOX"
        scene.cycles.max_bounces = 0
        scene.view_settings.view_transform = "Standard"
        scene.frame_start, scene.frame_end = start, end
        folder.mkdir(parents=True, exist_ok=True)
        spec = JobSpec("test", FrameRange(start, end, step), size)
        scenes = ref("scenes", scene)
        objects = ref("objects", self.body), ref("objects", camera)
        record = Record("t1", "Shot take 1", spec, "frames", str(folder), scenes, scenes, *objects)
        record.state, record.placed, record.shot = State.DONE, True, "t1"
        self.job = Job(record)
        current().jobs.add(self.job)
        bpy.context.view_layer.update()

    def mask(self, frame: int = 1) -> np.ndarray:
        """(H, W) bool: where the body is."""
        from understudy_shared.frames import Channel

        from blender_addon.render.passes import render_passes

        got = render_passes(self.scene, self.body, self.camera, frame, self.size, samples=1).channels
        return got[Channel.MASK] > 0

    def picture(self, grow: int = 0, alpha: int = 255) -> np.ndarray:
        mask = widened(self.mask(), grow)
        return (np.dstack([np.full((*mask.shape, 3), COLOUR, np.uint8), np.full(mask.shape, alpha, np.uint8)])) * mask[
            ..., None
        ].astype(np.uint8)

    def finish(self, *numbers: int, picture: np.ndarray | None = None) -> None:
        from blender_addon.link import png

        picture = self.picture() if picture is None else picture
        for number in numbers or self.job.numbers:
            png.write_atomically(self.job.file_of(number), png.encode(picture))
        self.job.scan()

    def build(self, **options):
        from blender_addon import api

        options.setdefault("match_light", False)
        options.setdefault("shadow", "SCENE")
        done = api.build_compositor(self.job, **options)
        done.saving.wait()
        return done


def widened(mask: np.ndarray, by: int) -> np.ndarray:
    out = mask.copy()
    for _ in range(by):
        grown = out.copy()
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            grown |= np.roll(out, shift, axis)
        out = grown
    return out


def card(name: str, y: float, side: float, colour) -> bpy.types.Object:
    """A shining square across the view."""
    mesh = bpy.data.meshes.new(name)
    h = side / 2
    mesh.from_pydata([(-h, 0, -h), (h, 0, -h), (h, 0, h), (-h, 0, h)], [], [(0, 1, 2, 3)])
    material = bpy.data.materials.new(name)
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    emission, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (*colour, 1)
    tree.links.new(emission.outputs[0], output.inputs[0])
    mesh.materials.append(material)
    obj = bpy.data.objects.new(name, mesh)
    obj.location.y = y
    bpy.context.scene.collection.objects.link(obj)
    return obj


def rendered(scene, frame: int, path: Path, linear: bool = True) -> np.ndarray:
    """(H, W, 4) of Blender's render through the compositor: linear, or as a PNG shows it."""
    from blender_addon.render.exr import read_exr
    from blender_addon.render.still import render_still
    from blender_addon.scene.compat import set_file_format

    settings = scene.render.image_settings
    set_file_format(settings, "OPEN_EXR" if linear else "PNG")
    settings.color_mode = "RGBA"
    if linear:
        settings.color_depth, settings.exr_codec = "32", "NONE"
    else:
        settings.color_depth = "8"
    scene.frame_set(frame)
    render_still(scene, path.with_suffix(".exr" if linear else ".png"))
    if linear:
        planes = read_exr(Path(scene.render.filepath))
        return np.stack([next(v for k, v in planes.items() if k.rpartition(".")[2] == c) for c in "RGBA"], -1)
    image = bpy.data.images.load(scene.render.filepath, check_existing=False)
    flat = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(flat)
    found = flat.reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return found


@pytest.fixture(name="shot")
def the_shot(scene, addon, tmp_path):
    warnings.simplefilter("ignore", DeprecationWarning)
    return Shot(bpy.context.scene, tmp_path / "take")

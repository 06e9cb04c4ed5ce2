# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras in Alembic, USD and FBX files, through Blender's own importers and exporters.

They work on a temporary scene: only the camera, at whole frames, comes out of a file into the artist's scene, and only
the chosen camera gets into one. Such files say frames and lenses, but not how many pixels a picture has; angles of view
are those across the picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import bpy
import numpy as np
from bpy.types import Object, Scene
from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, Doubles, rigid_inverse

from . import alembic_camera, compat
from .camera import import_camera, read_camera
from .import_aside import for_now_only, import_scene
from .overriding import overridden

_NAME = ".understudy file"


@dataclass(frozen=True)
class SceneFormat:
    """A kind of file that holds whole scenes."""

    key: str
    label: str
    extensions: tuple[str, ...]


SCENE_FORMATS = (
    SceneFormat("alembic", "Alembic", (".abc",)),
    SceneFormat("usd", "USD", (".usdc", ".usda", ".usd", ".usdz")),
    SceneFormat("fbx", "FBX", (".fbx",)),
)


def scene_format(path: Path | str) -> SceneFormat | None:
    """Which of these kinds a file is, by its name; None: none of them."""
    suffix = Path(path).suffix.lower()
    return next((each for each in SCENE_FORMATS if suffix in each.extensions), None)


def load(
    path: Path | str, kind: str, size: tuple[int, int], fps: float, name: str = ""
) -> tuple[CameraTrajectory, int, list[str]]:
    """Reads one camera.

    Args:
        path: the file.
        kind: key of a `SceneFormat`.
        size: (width, height) in pixels of its pictures.
        fps: frame rate, where the file does not say: USD does, and Alembic where the camera has several samples.
        name: of the camera, where there are several; by default the first.

    Returns:
        The camera, the number of its first frame in the file, and the names of all cameras of the file.

    Raises:
        ValueError: no such file or camera, or Blender cannot read it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path.name} does not exist in {path.parent}")
    with for_now_only(), import_scene(_frame_rate(path) or fps if kind == "usd" else fps) as aside:
        _import(path, kind, aside)
        cameras = [obj for obj in aside.objects if obj.type == "CAMERA" and obj.data.type == "PERSP"]
        names = [re.sub(r"\.\d{3,}$", "", obj.name) for obj in cameras]  # .001: the artist's file has that name too
        chosen = next((obj for obj, its in zip(cameras, names, strict=True) if name in ("", its)), None)
        if chosen is None:
            there = f"it has {', '.join(names)}" if names else "export it with its camera"
            raise ValueError(f"{path.name} has no perspective camera{f' called {name}' if name else ''}: {there}")
        upright = chosen.data.sensor_fit == "VERTICAL"
        if not upright:
            chosen.data.sensor_fit = "HORIZONTAL"
        own = _own_samples(path, chosen) if kind == "alembic" else None
        if own is None:
            first, last = _range(aside, kind, chosen)
            trajectory = read_camera(chosen, aside, range(first, last + 1), size)
        else:
            trajectory, first = _completed(chosen, aside, size, *own)
        if upright:
            trajectory = _fitted_across(trajectory, chosen.data.sensor_height / chosen.data.sensor_width)
    still = not np.ptp(trajectory.extrinsics, 0).max() and not np.ptp(trajectory.intrinsics, 0).max()
    return (trajectory.at([0]) if still else trajectory), first, names


def save(path: Path | str, kind: str, trajectory: CameraTrajectory, start_frame: int, name: str) -> None:
    """Writes a camera with the frame numbers from `start_frame` on.

    Raises:
        ValueError: oblong pixels, which these files do not know.
        OSError: Blender could not write the file.
    """
    k = trajectory.intrinsics
    if np.abs(k[:, 0, 0] / k[:, 1, 1] - 1).max() > 1e-6:
        raise ValueError("Alembic, USD and FBX hold no oblong pixels: set the scene's pixel aspect to 1")
    path = Path(path)
    with _name_free(name), for_now_only(), import_scene(trajectory.fps) as aside:
        camera = import_camera(aside, trajectory, start_frame, name, sensor_fit="HORIZONTAL")
        # the film has the shape of the picture: then every program, however it fits film to pictures, sees the same
        camera.data.sensor_height = camera.data.sensor_width * trajectory.height / trajectory.width
        _hold_keys(camera)
        with TemporaryDirectory(dir=path.parent, prefix=".understudy-") as folder:  # a file whole, or none
            part = Path(folder) / path.name
            _export(part, kind, aside)
            if not part.is_file():
                raise OSError(f"{path.name} could not be written: look whether there is room on the disk")
            if kind == "alembic":
                alembic_camera.put_back(part, f"/{camera.name}", trajectory.camera_to_world @ OPENGL_TO_OPENCV)
            part.replace(path)


def _import(path: Path, kind: str, aside: Scene) -> None:
    try:
        with overridden(**_context(aside)):
            if kind == "alembic":
                bpy.ops.wm.alembic_import(filepath=str(path), set_frame_range=True)
            elif kind == "usd":
                bpy.ops.wm.usd_import(
                    filepath=str(path), set_frame_range=True, import_cameras=True, import_materials=False,
                    import_meshes=False, import_lights=False, import_volumes=False, import_curves=False,
                    import_points=False, create_world_material=False,
                )  # fmt: skip
            else:
                bpy.ops.wm.fbx_import(filepath=str(path), use_anim=True, anim_offset=0.0)
    except RuntimeError:
        raise ValueError(f"{path.name} is damaged, or of a kind that this Blender cannot read") from None


def _export(path: Path, kind: str, aside: Scene) -> None:
    with overridden(**_context(aside)):
        if kind == "alembic":
            bpy.ops.wm.alembic_export(filepath=str(path), start=aside.frame_start, end=aside.frame_end)
        elif kind == "usd":
            bpy.ops.wm.usd_export(filepath=str(path), export_animation=True, export_materials=False)
        elif "EXPORT_SCENE_OT_fbx" in dir(bpy.types):
            bpy.ops.export_scene.fbx(
                filepath=str(path), object_types={"CAMERA"}, bake_anim=True, bake_anim_use_nla_strips=False,
                bake_anim_use_all_actions=False, bake_anim_simplify_factor=0.0,
            )  # fmt: skip
        else:
            raise ValueError("Blender's FBX add-on is switched off: enable it in the preferences, under Add-ons")


def _hold_keys(camera: Object) -> None:
    """Makes every key hold from a quarter of a frame before its own frame on.

    Exporters turn frames into seconds and back, and so may look a moment before or after a frame, where moving keys
    have moved on already.
    """
    constant = compat.INTERPOLATION["CONSTANT"]
    for curve in [*compat.fcurves(camera), *compat.fcurves(camera.data)]:
        points = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", points)
        points[::2] -= 0.25
        curve.keyframe_points.foreach_set("co", points)
        curve.keyframe_points.foreach_set("interpolation", np.full(len(points) // 2, constant, np.int32))
        curve.update()


def _context(aside: Scene) -> dict[str, object]:
    return {"scene": aside, "view_layer": aside.view_layers[0], "collection": aside.collection}


def _fitted_across(camera: CameraTrajectory, film: float) -> CameraTrajectory:
    """A camera read with the film's height on the picture's, turned into one with width on width.

    The importer of USD fits an upright film by its height, and counts shifts in it too, so its settings stay as they
    are; `film` is the film's height over its width. It makes a difference where the picture has another shape.
    """
    middle = np.array([camera.width / 2, camera.height / 2])
    k = camera.intrinsics.copy()
    scale = film * camera.width / camera.height
    k[:, (0, 1), (0, 1)] *= scale
    k[:, :2, 2] = middle + (k[:, :2, 2] - middle) * scale
    return replace(camera, intrinsics=k)


def _own_samples(path: Path, camera: Object) -> tuple[Doubles, Doubles, Doubles] | None:
    """Times, poses and zoom from an Alembic file itself, if it has several samples, evenly spaced in time."""
    cache = next((c for c in camera.constraints if c.type == "TRANSFORM_CACHE"), None)
    own = alembic_camera.read(path, cache.object_path) if cache else None
    if own is None or len(own[0]) < 2:
        return None
    steps = np.diff(own[0])
    return own if steps[0] > 0 and np.ptp(steps) < 1e-4 * steps.mean() else None


def _completed(
    camera: Object, aside: Scene, size: tuple[int, int], times: Doubles, poses: Doubles, zoom: Doubles
) -> tuple[CameraTrajectory, int]:
    """What Blender read of an Alembic camera (film and shift), with what `alembic_camera` read of it."""
    fps = float(f"{(len(times) - 1) / (times[-1] - times[0]):.9g}")
    first = round(float(times[0]) * fps)
    k = np.repeat(read_camera(camera, aside, [first], size).intrinsics, len(times), 0)
    k[:, 1, 1] *= zoom * size[0] / k[:, 0, 0]
    k[:, 0, 0] = zoom * size[0]
    extrinsics = rigid_inverse(poses @ OPENGL_TO_OPENCV)
    return CameraTrajectory(extrinsics, k, *size, fps), first


def _range(aside: Scene, kind: str, camera: Object) -> tuple[int, int]:
    if kind != "fbx":
        return aside.frame_start, max(aside.frame_start, aside.frame_end)
    keyed = [
        float(frame)
        for owner in (camera, camera.data, camera.parent)
        if owner is not None
        for curve in compat.fcurves(owner)
        for frame in curve.range()
    ]
    return (round(min(keyed)), round(max(keyed))) if keyed else (aside.frame_start, aside.frame_start)


def _frame_rate(path: Path) -> float | None:
    """Frames per second that a USD stage says; None: it does not, or this Blender comes without USD's own library."""
    try:
        bpy.utils.expose_bundled_modules()
        from pxr import Tf, Usd
    except ImportError:
        return None
    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException:
        return None  # the import says it better
    if stage is None or not any(map(stage.HasAuthoredMetadata, ("timeCodesPerSecond", "framesPerSecond"))):
        return None
    rate = float(stage.GetTimeCodesPerSecond())
    return rate if 0 < rate < 1e4 else None


@contextmanager
def _name_free(name: str) -> Iterator[None]:
    """Lends the name of the artist's camera to the one that is written, which would be called .001 otherwise."""
    holders = [block for each in (bpy.data.objects, bpy.data.cameras) if (block := each.get((name, None))) is not None]
    try:
        for block in holders:
            block.name = _NAME
        yield
    finally:
        for block in holders:
            block.name = name

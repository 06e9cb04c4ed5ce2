# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras: files in, files out, and moves on one click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import detect

from ..scene import camera_files, camera_source
from ..scene.camera import import_camera as _import_camera
from ..scene.camera import import_camera_set, read_camera
from ..scene.camera_opening import lacking, open_camera
from ..scene.rigs import Rig, add_rig


def import_camera(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    start: int | None = None,
    set_scene: bool = True,
    *,
    format: str = "",
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    up: str = "",
    scale: float = 1.0,
    relative_to: bpy.types.Object | None = None,
    name: str = "",
    **options: Any,
) -> bpy.types.Object:
    """A camera file as a keyframed camera; it becomes the scene's.

    What the file said to more digits than Blender holds is kept beside the keys, and what had to be assumed is told by
    `camera_notes`.

    Args:
        path: of the file; for COLMAP also the folder of its model.
        scene: default: the current one.
        start: scene frame of the first sample; default: its number in files that number their frames (Alembic, USD,
            FBX, Nuke), and for all others the scene's first frame.
        set_scene: also take over resolution, frame rate and range, so that the picture is the file's.
        format: key of a format in `camera_formats`; default: found out.
        fps: frame rate of files that do not say; default: the scene's.
        size: (width, height) in pixels of the pictures of files that do not say; default: the scene's.
        fov: vertical field of view in degrees of files that do not say; default: that of the scene's camera.
        up: which way is up in the file's world, "Z", "Y" or "-Y"; default: as is usual for the format.
        scale: metres per unit of the file.
        relative_to: an object in whose space the file's world lies, such as the scan that goes with it: the camera
            becomes its child, and moves, turns and scales with it.
        name: of the camera in an Alembic, USD or FBX file with several; default: the first.
        **options: of the format, see `understudy_shared.formats.detect.CameraFormat.options`; those that the file's
            format does not have are ignored.

    Raises:
        ValueError: the file holds no camera, with what to do.
    """
    scene = scene or bpy.context.scene
    trajectory, first = open_camera(
        Path(path), scene, format, fps=fps, size=size, fov=fov, up=up, scale=scale, name=name, options=options
    )
    first = scene.frame_start if first is None else first
    camera = _import_camera(
        scene, trajectory, first if start is None else start, _title(path, name), set_scene, parent=relative_to
    )
    scene.camera = scene.understudy.camera = camera
    return camera


def import_cameras(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    *,
    format: str = "",
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    up: str = "",
    scale: float = 1.0,
    relative_to: bpy.types.Object | None = None,
    **options: Any,
) -> list[bpy.types.Object]:
    """A set of photos as one camera each, without animation, in a collection of their own; see `import_camera`.

    The first becomes the scene's camera; with `set_scene`, the scene takes over the resolution.
    """
    scene = scene or bpy.context.scene
    trajectory, _ = open_camera(
        Path(path), scene, format, fps=None, size=size, fov=fov, up=up, scale=scale, name="", options=options
    )
    cameras = import_camera_set(scene, trajectory, _title(path, ""), set_scene, parent=relative_to)
    scene.camera = scene.understudy.camera = cameras[0]
    return cameras


def export_camera(
    path: str | Path,
    camera: bpy.types.Object | Sequence[bpy.types.Object] | None = None,
    scene: bpy.types.Scene | None = None,
    *,
    format: str = "",
    frames: tuple[int, int] | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    up: str = "",
    scale: float = 1.0,
    relative_to: bpy.types.Object | None = None,
    **options: Any,
) -> list[str]:
    """Writes a perspective camera as it is shown, with constraints, parents and drivers.

    Frames of a camera that came from a file, and on which nothing has changed since, are written with the file's own
    digits; all others with Blender's, which are seven.

    Args:
        path: of the file; for COLMAP a folder.
        camera: default: the camera of the shot. Several: one sample of each, at the current frame.
        scene: default: the current one; gives resolution, pixel aspect and frame rate.
        format: key of a format in `camera_formats`; default: by the file's ending.
        frames: (first, last); default: the scene's range.
        fps: samples per second; default: one a frame.
        size: (width, height) in pixels; default: the scene's.
        up: which way is up in the file's world, "Z", "Y" or "-Y"; default: as is usual for the format.
        scale: metres per unit of the file.
        relative_to: an object in whose space the file's world lies; default: the scene's world.
        **options: of the format.

    Returns:
        What the file does not hold, in sentences.

    Raises:
        ValueError: no perspective camera, or one that the format cannot hold, with what to do.
        OSError: the file cannot be written.
    """
    scene = scene or bpy.context.scene
    path = Path(path)
    key = format or _format_by_name(path)
    rate = scene.render.fps / scene.render.fps_base
    if camera is None or isinstance(camera, bpy.types.Object):
        chosen = [camera or shot_camera(scene)]
        first, last = frames or (scene.frame_start, scene.frame_end)
        if last < first:
            raise ValueError("The last frame lies before the first")
        step = 1.0 if fps is None else rate / fps
        times = [(first + step * np.arange(int((last - first) / step + 1e-6) + 1)).tolist()]
    else:
        chosen, first = list(camera), scene.frame_current
        times = [[first]] * len(chosen)
        if not chosen:
            raise ValueError("No cameras were chosen: select some")
    parts = []
    for each, when in zip(chosen, times, strict=True):
        shown = replace(read_camera(each, scene, when, size, relative_to=relative_to), fps=fps or rate)
        parts.append(camera_source.as_imported(each, shown, when, relative_to))
    trajectory = _joined(parts)
    if key in {each.key for each in camera_files.SCENE_FORMATS}:
        if scale != 1.0 or up:
            raise ValueError("Alembic, USD and FBX have their own scale and way up: leave both as they are")
        camera_files.save(path, key, trajectory, first, chosen[0].name)
        return ["The file does not hold the size of the pictures"]
    if up:
        options["up"] = up
    if key == "chan":
        options.setdefault("first_frame", first)
    detect.save_camera(trajectory, path, key, scale=scale, **options)
    return _lost(path, key, len(trajectory))


def add_camera_rig(
    kind: str = "ORBIT",
    scene: bpy.types.Scene | None = None,
    body: bpy.types.Object | None = None,
    *,
    start: int | None = None,
    frames: int | None = None,
    set_range: bool = True,
    **options: Any,
) -> bpy.types.Object:
    """A camera that moves around the body, with ordinary keys to go on from; it becomes the scene's.

    Args:
        kind: ORBIT, DOLLY, CRANE, SPIRAL, HANDHELD or TURNTABLE.
        scene: default: the current one. The body is framed at its resolution, and at that of the takes.
        body: default: the scene's body, or that of the photo.
        start: scene frame of the first key; default: the scene's first frame.
        frames: length of the move; default: the scene's range. A turntable has one frame a view.
        set_range: the scene's range becomes that of the move.
        **options: fields of `scene.rigs.Rig`: distance, height, angle, sweep, rise, travel, views, shake, seed, ease,
            margin, lens, follow.

    Raises:
        ValueError: there is no body, or the options make no move.
    """
    scene = scene or bpy.context.scene
    settings = scene.understudy
    body = body or settings.body or settings.photo_body
    if body is None:
        raise ValueError("There is no body to film: import a motion or fit a photo first")
    first = scene.frame_start if start is None else start
    length = max(1, scene.frame_end - first + 1) if frames is None else frames
    rig = Rig(kind=kind, start=first, frames=length, **options)  # type: ignore[arg-type]
    camera = add_rig(scene, body, rig, ((settings.width, settings.height),))
    settings.camera = camera
    if set_range:
        scene.frame_start, scene.frame_end = first, first + rig.length - 1
    return camera


def camera_formats(can_save: bool = False) -> list[tuple[str, str, tuple[str, ...]]]:
    """(key, label, file endings) of the kinds of camera files, in the order of a menu; "" is a folder."""
    files = [(each.key, each.label, each.extensions) for each in detect.CAMERA_FORMATS if each.can_save or not can_save]
    return files + [(each.key, each.label, each.extensions) for each in camera_files.SCENE_FORMATS]


def camera_notes(camera: bpy.types.Object) -> list[str]:
    """What was assumed or left out when a camera was imported, in sentences."""
    return camera_source.notes(camera)


def shot_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """The camera of the shot.

    Raises:
        ValueError: there is none.
    """
    camera = scene.understudy.camera or scene.camera
    if camera is None:
        raise ValueError("There is no camera: import one, or add one to the scene")
    return camera


def _joined(parts: list[CameraTrajectory]) -> CameraTrajectory:
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        extrinsics=np.concatenate([each.extrinsics for each in parts]),
        intrinsics=np.concatenate([each.intrinsics for each in parts]),
    )


def _lost(path: Path, key: str, frames: int) -> list[str]:
    words = {"size": "the size of the pictures", "fov": "the lens", "fps": "the frame rate"}
    lost = [words[each] for each in lacking(path, key) if frames > 1 or each != "fps"]
    if not lost:
        return []
    return [f"The file does not hold {' and '.join([', '.join(lost[:-1]), lost[-1]] if lost[1:] else lost)}"]


def _format_by_name(path: Path) -> str:
    suffix = path.suffix.lower()
    for key, _, endings in camera_formats(can_save=True):
        if suffix in endings:
            return key
    known = sorted({ending for _, _, endings in camera_formats(can_save=True) for ending in endings if ending})
    raise ValueError(f"{path.name} has no ending of a camera file: choose one of {', '.join(known)}")


def _title(path: str | Path, name: str) -> str:
    return name or Path(path).stem or "Camera"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a camera file of any format, with the scene's answers to what the file leaves open.

Most formats hold no picture size, no lens or no frame rate. What a file lacks is asked of the file, not of its format:
some are written with more than they must hold, or lie beside a file that says the rest. So it is opened with nothing
given first, and again with the scene's size, lens or rate where its notes, or its complaint, say that they are missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bpy.types import Scene
from numpy.typing import NDArray
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import detect
from understudy_shared.formats.reading import FormatError

from . import camera_files
from .camera import picture_size, read_camera

_WORDS = {
    "size": ("how large its pictures are",),
    "fov": ("nothing of the lens", "the option fov"),
    "fps": ("no frame rate",),
}
"""How the formats say that something is missing."""
_GUESSED = "from the lens"
"""How they say that they found the size all the same, by a better guess than the scene's."""
_NUMBERED = ("chan", "alembic", "usd", "fbx")
"""Formats in which frames have numbers."""


def open_camera(
    path: Path,
    scene: Scene,
    key: str = "",
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    up: str = "",
    scale: float = 1.0,
    name: str = "",
    options: dict[str, Any] | None = None,
) -> tuple[CameraTrajectory, int | None]:
    """Reads a file; see `api.import_camera` for what the arguments mean.

    Returns:
        The camera, with notes of what was assumed, and the number of its first frame in files that number them.

    Raises:
        ValueError: the file holds no camera, with what to do.
    """
    whole_scene = camera_files.scene_format(path)
    if not key and whole_scene:
        key = whole_scene.key
    if key in {each.key for each in camera_files.SCENE_FORMATS}:
        rate = fps or scene.render.fps / scene.render.fps_base
        camera, first, names = camera_files.load(path, key, size or picture_size(scene), rate, name)
        others = [each for each in names if each != (name or names[0])]
        extrinsics = camera.extrinsics.copy()
        extrinsics[:, :3, 3] *= scale
        notes = (f"The file also has the cameras {', '.join(others)}",) if others else ()
        return replace(camera, extrinsics=extrinsics, notes=notes), first
    kind = _kind(path, key)
    given: dict[str, Any] = {"scale": scale}
    given |= {word: value for word, value in (("size", size), ("fov", fov), ("fps", fps)) if value is not None}
    given |= {word: value for word, value in (options or {}).items() if word in kind.options}
    if up:
        given["up"] = up
    camera = _complete(path, kind, given, scene)
    return camera, round(camera.start * camera.fps) if kind.key in _NUMBERED else None


def lacking(path: Path, key: str) -> list[str]:
    """Which of "size", "fov" and "fps" a camera file does not say."""
    given: dict[str, Any] = {}
    for need, value in (("size", (640, 480)), ("fov", 40.0), ("fps", 24.0)):
        if need in _missing(_try(path, key, given)):
            given[need] = value
    return list(given)


def _kind(path: Path, key: str) -> detect.CameraFormat:
    if not key:
        return detect.camera_format(path)
    for kind in detect.CAMERA_FORMATS:
        if kind.key == key:
            return kind
    raise ValueError(f'There is no camera format "{key}"')


def _complete(path: Path, kind: detect.CameraFormat, given: dict[str, Any], scene: Scene) -> CameraTrajectory:
    used = []
    found = _try(path, kind.key, given)
    for need in ("size", "fov", "fps"):
        if need not in _missing(found) or need in given:
            continue
        if need == "size":
            given["size"] = picture_size(scene)
            used.append(f"{given['size'][0]} x {given['size'][1]} pixels")
        elif need == "fov":
            known = (found.width, found.height) if isinstance(found, CameraTrajectory) else None
            given["k"] = _lens(scene, known or given.get("size", picture_size(scene)))
            used.append("the lens of its camera")
        else:
            given["fps"] = scene.render.fps / scene.render.fps_base
            used.append(f"{given['fps']:.6g} frames per second")
        found = _try(path, kind.key, given)
    if isinstance(found, FormatError):
        raise found
    if not used:
        return found
    return replace(
        found, notes=(*found.notes, f"The file leaves open what was taken from the scene: {', '.join(used)}")
    )


def _try(path: Path, key: str, given: dict[str, Any]) -> CameraTrajectory | FormatError:
    try:
        return detect.load_camera(path, format=key, **given)
    except FormatError as error:
        return error


def _missing(found: CameraTrajectory | FormatError) -> set[str]:
    said = [str(found)] if isinstance(found, FormatError) else list(found.notes)
    said = [line for line in said if _GUESSED not in line]
    return {need for need, words in _WORDS.items() if any(word in line for line in said for word in words)}


def _lens(scene: Scene, size: tuple[int, int]) -> NDArray[np.float64]:
    """K (3, 3) of the scene's camera at a picture size; of a new camera if there is none."""
    camera = scene.camera
    if camera is not None and camera.data.type == "PERSP":
        return read_camera(camera, scene, [scene.frame_current], size).intrinsics[0]
    focal = 50.0 / 36.0 * max(size)
    return np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])

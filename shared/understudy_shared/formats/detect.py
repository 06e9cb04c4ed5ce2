"""Opens a motion or a camera of any known format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import amass, bvh, nerfstudio
from understudy_shared.formats.reading import FormatError, existing
from understudy_shared.motion import MotionClip


def load_motion(path: Path | str, body: BodyModel, **options: Any) -> MotionClip:
    """Reads a motion for `body`; `options` go to the `load` of its format (`fps` and `up` are common to all).

    Raises:
        FormatError: no known format, or the file is damaged.
    """
    path = existing(path)
    for motion_format, suffix in ((amass, ".npz"), (bvh, ".bvh")):
        if path.suffix.lower() == suffix or motion_format.sniff(path):  # by its name, so that load says what is wrong
            return motion_format.load(path, body, **options)
    raise FormatError(path, "is not a known motion; AMASS-like .npz and .bvh are understood")


def load_camera(path: Path | str, **options: Any) -> CameraTrajectory:
    """Reads a camera; `options` go to the `load` of its format (`fps`, `size` and `scale` are common to all).

    Raises:
        FormatError: no known format, or the file is damaged.
    """
    path = existing(path)
    if path.suffix.lower() == ".json" or nerfstudio.sniff(path):
        return nerfstudio.load(path, **options)
    raise FormatError(path, "is not a known camera; nerfstudio's camera_path.json and transforms.json are understood")

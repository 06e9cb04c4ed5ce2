"""The whole way without Blender: photo, motion and camera files to finished frames, as jobs of a backend.

Blender takes the same way (see the extension's `api`); this is for machines that have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body, skin
from understudy_shared.camera import CameraTrajectory
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.formats.detect import load_camera, load_motion
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.motion import MotionClip, resample, slice_frames
from understudy_shared.protocol.events import Progressed, ResultArrived
from understudy_shared.staging import on_mark


class RunJob(Protocol):
    """Runs one job to its end; `jobs.local.LocalBackend.render_job` is one."""

    def __call__(  # noqa: D102 - see the class
        self,
        spec: JobSpec,
        inputs: Mapping[str, NDArray],
        frames: Callable[[int], Frame] | None,
        on_result: Callable[[ResultArrived], object],
        on_progress: Callable[[Progressed], object],
    ) -> str: ...


@dataclass(frozen=True, eq=False)
class Imitator:
    """The person of a photo, ready to move."""

    photo: NDArray[np.uint8]
    """(H, W, 4) sRGB."""
    mask: NDArray[np.uint8]
    """(H, W) where the person is."""
    fit: dict[str, NDArray]
    """The arrays named in `FIT_ARRAYS`."""
    partial: NDArray[np.uint8]
    """(S, S, 4) the texels that the photo shows, the others transparent."""
    texture: NDArray[np.uint8]
    """(S, S, 4) the complete texture."""
    overlay: NDArray[np.uint8]
    """(H, W, 3) the fitted body over the photo."""
    report: dict
    """How well the body fits: keypoint_error_px, silhouette_iou, ..."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A motion seen by a camera, frame by frame at the camera's rate."""

    clip: MotionClip
    camera: CameraTrajectory
    start: int = 1
    """Number of the first frame."""

    def worn_by(self, betas: NDArray) -> Shot:
        """The shot with a body of shape `betas` (B,), on its mark (see `on_mark`)."""
        return replace(self, clip=on_mark(self.clip, free_body(), betas))

    def check_length(self, frames: int) -> None:
        """Raises ValueError if the motion has fewer frames."""
        if frames > len(self.clip):
            raise ValueError(
                f"the motion has {len(self.clip)} frames at {self.clip.fps:g} fps; ask for no more than that"
            )

    def frame(self, number: int) -> Frame:
        """Posed body and camera of a frame, as a job wants them. The camera's last pose holds on."""
        row = number - self.start
        view = min(row, len(self.camera) - 1)
        pose = slice(row, row + 1)
        clip = self.clip
        vertices = skin(free_body(), clip.betas, clip.global_orient[pose], clip.body_pose[pose], clip.transl[pose])[0]
        return Frame(
            number,
            {
                Channel.VERTICES: vertices,
                Channel.EXTRINSICS: np.asarray(self.camera.extrinsics[view], np.float64),
                Channel.INTRINSICS: np.asarray(self.camera.intrinsics[view], np.float64),
            },
        )


def open_shot(motion: Path, camera: Path, size: tuple[int, int], *, clip_start: float = 0.0, start: int = 1) -> Shot:
    """Reads a motion and a camera file, for nobody in particular yet: see `Shot.worn_by`.

    Args:
        motion: a file that `load_motion` knows.
        camera: a file that `load_camera` knows.
        size: (width, height) of the frames in pixels.
        clip_start: seconds of the motion to skip.
        start: number of the first frame.

    Raises:
        ValueError: a file cannot be read, `clip_start` is negative, or nothing of the motion is left.
    """
    if not clip_start >= 0:
        raise ValueError(f"a motion cannot start at {clip_start:g} s: skip 0 s or more")
    view = load_camera(camera).framed(*size)
    clip = resample(load_motion(motion, free_body()), view.fps)
    if clip_start * view.fps >= len(clip) - 0.5:
        raise ValueError(f"{motion.name} lasts {len(clip) / view.fps:.1f} s, so nothing is left after {clip_start:g} s")
    return Shot(slice_frames(clip, round(clip_start * view.fps)), view, start)


def make_imitator(
    run: RunJob,
    photo: NDArray[np.uint8],
    *,
    seed: int = 0,
    on_progress: Callable[[Progressed], object] = lambda event: None,
) -> Imitator:
    """Fits the body to a photo (H, W, 4) and completes its texture (3DHM section 3.1)."""
    once = FrameRange(0, 0)
    height, width = photo.shape[:2]
    got: dict[str, NDArray] = {}
    report: dict = {}

    def keep(result: ResultArrived) -> None:
        got.update(result.arrays)
        report.update(result.meta)

    run(JobSpec("fit", once, (width, height)), {"photo": photo}, None, keep, on_progress)
    fitted, overlay, mask = {name: got[name] for name in FIT_ARRAYS}, got["overlay"], got["mask"]
    inputs = {"photo": photo, "photo_mask": mask, **fitted}
    run(JobSpec("threedhm_texture", once, (width, height), seed=seed), inputs, None, keep, on_progress)
    return Imitator(photo, mask, fitted, got["partial"], got["texture"], overlay, report)


def render_shot(
    run: RunJob,
    imitator: Imitator,
    shot: Shot,
    frames: int,
    size: tuple[int, int],
    on_frame: Callable[[int, NDArray[np.uint8]], object],
    *,
    seed: int = 0,
    on_progress: Callable[[Progressed], object] = lambda event: None,
) -> None:
    """Renders `frames` frames (3DHM section 3.2); `on_frame(number, rgba)` is called as each arrives.

    Raises:
        ValueError: the motion has fewer frames.
    """
    shot.check_length(frames)
    spec = JobSpec("threedhm", FrameRange(shot.start, shot.start + frames - 1), size, seed=seed)
    inputs = {"photo": imitator.photo, "photo_mask": imitator.mask, "texture": imitator.texture, **imitator.fit}
    run(spec, inputs, shot.frame, lambda r: on_frame(r.index, r.arrays[Channel.RGBA.value]), on_progress)

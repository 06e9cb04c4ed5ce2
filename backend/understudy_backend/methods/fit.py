"""`fit`: from a photo of a person to the body, its pose and the camera."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.camera import CameraTrajectory
from understudy_shared.frames import Frame
from understudy_shared.protocol.description import (
    MethodDescription,
    NeedDescription,
    WeightsDescription,
)

from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.params import describe, setting
from understudy_backend.photo.fit import FOCAL, fit
from understudy_backend.photo.landmarks import detect
from understudy_backend.photo.result import Estimate

START = {
    "start_betas": "the shape (B,) to begin from",
    "start_global_orient": "the orientation (1, 3) to begin from, axis-angle in the world",
    "start_body_pose": "the pose (1, 23, 3) to begin from, axis-angle",
    "start_transl": "the place (1, 3) to begin from, metres",
    "start_extrinsics": "the camera (4, 4) to keep, world to camera, OpenCV axes",
    "start_intrinsics": "the camera's K (3, 3) to keep, in pixels of the photo",
}
SMALLEST = 64
"""Pixels of the photo's shorter side below which nothing can be found."""


class FitParams(msgspec.Struct, frozen=True):
    """Settings of `fit`."""

    iterations: Annotated[
        int,
        setting(
            "Steps", "More steps follow the outline more closely and take longer, about 10 ms each.", ge=20, le=5000
        ),
    ] = 320
    focal: Annotated[
        float,
        setting(
            "Focal length",
            "Focal length over the photo's longer side: about 0.75 for a telephone held upright, 1.3 for a normal "
            "lens, 2 or more for a portrait lens. Of no effect when the fit begins from a correction.",
            ge=0.4,
            le=10,
        ),
    ] = FOCAL
    keep_pose: Annotated[
        bool,
        setting(
            "Keep the pose",
            "Fitting again leaves every limb as you have posed it: the body is only moved, turned and shaped. Of no "
            "effect on a first fit.",
        ),
    ] = False
    keep_shape: Annotated[
        bool,
        setting("Keep the Shape", "Fitting again leaves the shape as it is. Of no effect on a first fit."),
    ] = False


class FitPhoto:
    """Fits the body to the person of a photo (3DHM, section 3.1; BlazePose and optimisation for 4DHumans)."""

    params_type: type[msgspec.Struct] = FitParams
    description = MethodDescription(
        name="fit",
        title="Fit body to photo",
        help="Finds the person in a photo and poses, shapes and places the body so that it covers them. Correct the "
        "result by hand and fit again from there.",
        paper="BlazePose, arXiv 2006.10204; the fit is that of SMPLify, arXiv 1607.08128, with an outline term",
        params=describe(FitParams),
        needs=(
            NeedDescription(
                name="photo",
                per_frame=False,
                help="A photo of one whole person, from head to feet, not hidden by things or other people.",
            ),
            *(
                NeedDescription(name=name, per_frame=False, help=f"Correction: {text}.", optional=True)
                for name, text in START.items()
            ),
            NeedDescription(
                name="betas",
                per_frame=False,
                help="The person's shape (B,), known from another photo: it is kept. Of no effect on a correction.",
                optional=True,
            ),
        ),
        gives=(
            "betas", "global_orient", "body_pose", "transl", "extrinsics", "intrinsics", "mask", "overlay",
        ),
        weights=(
            WeightsDescription(
                name="BlazePose detector and full landmark network, Face Mesh",
                licence="Apache-2.0",
                source="ships with Understudy; MediaPipe, https://mediapipe.dev",
                available=True,
                megabytes=10.6,
            ),
        ),
        size_multiple=1,
    )  # fmt: skip

    def load(self, device: str) -> None:
        """Nothing to bring: the three small networks are read at the first photo and run on the CPU."""

    def unload(self) -> None:
        """Nothing to give back: the networks hold 10 MB."""

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """Gives one result, index 0.

        Its arrays: betas (B,), global_orient (1, 3), body_pose (1, 23, 3), transl (1, 3) float32; extrinsics (4, 4) and
        intrinsics (3, 3) float64, of the photo's size; mask (H, W) uint8 in [0, 255]; overlay (H, W, 3) uint8. Its
        meta: keypoint_error_px, silhouette_iou, seconds, warnings, keypoint_errors.

        Raises:
            MethodError: no photo, no person in it, or a correction that is not one.
        """
        params = task.params
        assert isinstance(params, FitParams)
        image = opaque(photo_of(task.inputs))
        shape = known_shape(task.inputs)
        start = correction(task.inputs, (image.shape[1], image.shape[0]))
        task.progress(0.02, "looking for the person")
        landmarks = detect(image)
        task.progress(0.1, "fitting the body")
        threads = torch.get_num_threads()
        torch.set_num_threads(min(threads, 2))  # the tensors are small: more threads only wait for each other
        try:
            found = fit(
                image,
                landmarks,
                start=start,
                iterations=params.iterations,
                focal=params.focal,
                shape=shape,
                keep_shape=params.keep_shape and start is not None,
                keep_pose=params.keep_pose,
                progress=lambda fraction, stage: task.progress(0.1 + 0.9 * fraction, stage),
            )
        finally:
            torch.set_num_threads(threads)
        yield Result(
            index=0,
            arrays={
                "betas": found.betas,
                "global_orient": found.global_orient,
                "body_pose": found.body_pose,
                "transl": found.transl,
                "extrinsics": found.camera.extrinsics[0],
                "intrinsics": found.camera.intrinsics[0],
                "mask": np.rint(found.mask * 255).astype(np.uint8),
                "overlay": found.overlay,
            },
            meta={
                "keypoint_error_px": round(found.keypoint_error_px, 3),
                "silhouette_iou": round(found.silhouette_iou, 4),
                "seconds": round(found.seconds, 2),
                "warnings": list(found.warnings),
                "keypoint_errors": {name: round(value, 2) for name, value in found.keypoint_errors.items()},
            },
        )


def photo_of(inputs: Mapping[str, NDArray]) -> NDArray[np.uint8]:
    """The photo (H, W, 4) uint8 of a task's inputs.

    Raises:
        MethodError: there is none, or it is no image.
    """
    photo = inputs.get("photo")
    if photo is None:
        raise MethodError("there is no photo", code="missing_input", fix="choose a photo of a person")
    if photo.ndim != 3 or photo.shape[2] not in (3, 4) or photo.dtype != np.uint8:
        raise MethodError(
            f"the photo is not an 8-bit colour image but {photo.dtype} of shape {photo.shape}",
            code="bad_input",
            fix="choose a JPEG or PNG",
        )
    if min(photo.shape[:2]) < SMALLEST:
        raise MethodError(
            f"the photo has only {photo.shape[1]} x {photo.shape[0]} pixels",
            code="bad_input",
            fix="choose a photo in which the person is at least 300 pixels tall",
        )
    return photo


def opaque(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo (H, W, 3 or 4) as (H, W, 3), what is transparent laid over grey."""
    if photo.shape[2] == 3:
        return photo
    alpha = photo[..., 3:].astype(np.float32) / 255
    return np.ascontiguousarray(np.rint(photo[..., :3] * alpha + 128 * (1 - alpha)).astype(np.uint8))


def known_shape(inputs: Mapping[str, NDArray]) -> NDArray[np.float32] | None:
    """The shape (B,) of a person who was fitted in another photo; None where it is not known.

    Raises:
        MethodError: it is no shape.
    """
    if "betas" not in inputs:
        return None
    betas = np.asarray(inputs["betas"], np.float32).reshape(-1)
    if len(betas) != free_body().num_betas or not np.isfinite(betas).all():
        raise MethodError(
            f"betas is not {free_body().num_betas} finite numbers",
            code="bad_input",
            fix="send the shape as the fit of the other photo gave it",
        )
    return betas


def correction(inputs: Mapping[str, NDArray], size: tuple[int, int]) -> Estimate | None:
    """The estimate that a task's inputs ask to begin from; None where they hold no part of one.

    Args:
        inputs: the task's.
        size: (width, height) of the photo.

    Raises:
        MethodError: parts are missing, of the wrong shape, or not finite.
    """
    if not any(name in inputs for name in START):
        return None
    missing = [name for name in START if name not in inputs]
    if missing:
        raise MethodError(
            f"the correction lacks {', '.join(missing)}",
            code="missing_input",
            fix="give all parts of the corrected body and camera, or none",
        )
    shapes = {
        "start_betas": (free_body().num_betas,),
        "start_global_orient": (1, 3),
        "start_body_pose": (1, 23, 3),
        "start_transl": (1, 3),
        "start_extrinsics": (4, 4),
        "start_intrinsics": (3, 3),
    }
    parts: dict[str, NDArray[np.float64]] = {}
    for name, shape in shapes.items():
        array = np.asarray(inputs[name], np.float64)
        if array.size != np.prod(shape) or not np.isfinite(array).all():
            raise MethodError(
                f"{name} is not an array of finite numbers of shape {shape}",
                code="bad_input",
                fix="send the body and camera as the fit gave them, corrected",
            )
        parts[name] = array.reshape(shape)
    camera = CameraTrajectory(parts["start_extrinsics"][None], parts["start_intrinsics"][None], *size)
    return Estimate(
        betas=parts["start_betas"].astype(np.float32),
        global_orient=parts["start_global_orient"].astype(np.float32),
        body_pose=parts["start_body_pose"].astype(np.float32),
        transl=parts["start_transl"].astype(np.float32),
        camera=camera,
    )

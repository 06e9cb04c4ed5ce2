"""Fits the body to the person of a photo: camera, pose and shape.

The camera has a fixed field of view and no roll; how far it looks down follows from the body, which stands upright over
its feet. The body is moved, turned, bent and shaped until its keypoints fall on the
landmarks, its bones point where BlazePose says they do, and its outline follows the person's mask.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from understudy_shared.body import BodyModel, free_body, skin
from understudy_shared.camera import CameraTrajectory, project

from understudy_backend.photo.correspondence import Correspondence, correspondence
from understudy_backend.photo.landmarks import Landmarks
from understudy_backend.photo.objective import FitWeights, Objective, Unknowns
from understudy_backend.photo.report import draw_overlay, silhouette_iou
from understudy_backend.photo.result import Estimate, FitResult
from understudy_backend.photo.start import first_guess
from understudy_backend.texture.raster import rasterize

WORKING_SIDE = 1024
"""The photo is fitted at this size (longer side); distances in pixels, here and in the report, are of it."""

FOCAL = 1.3
"""Focal length over the longer side: a field of view of 42 degrees, between a telephone and a portrait lens."""

STAGES = ((0.2, False, False), (0.25, True, False), (0.55, True, True))
"""Share of the iterations, whether the shape moves, whether the outline counts."""

PAIRING_INTERVAL = 10
"""Iterations for which the two outlines stay paired as they are."""


def fit(
    image: NDArray[np.uint8],
    landmarks: Landmarks,
    *,
    start: Estimate | None = None,
    iterations: int = 320,
    focal: float = FOCAL,
    body: BodyModel | None = None,
    weights: FitWeights | None = None,
    shape: NDArray[np.float32] | None = None,
    keep_shape: bool = False,
    keep_pose: bool = False,
    progress: Callable[[float, str], None] = lambda fraction, stage: None,
) -> FitResult:
    """Fits the body to a photo.

    Args:
        image: (H, W, 3) uint8 sRGB.
        landmarks: what `detect` found in it.
        start: an estimate to begin from and to stay near to, such as a fit that the artist has corrected. Its camera
            is kept as it is.
        iterations: steps of the optimiser in all.
        focal: focal length over the photo's longer side; of no effect with `start`.
        body: the free body when absent.
        weights: how the terms are weighed.
        shape: (B,) betas that are known, such as from another photo of the same person, where there is no `start`.
            They are kept.
        keep_shape: leaves the shape as `start` has it, such as one shape for all frames of a clip.
        keep_pose: leaves every joint but the pelvis as `start` has it: the body is moved, turned and shaped only.
        progress: called with a fraction in [0, 1] and a short text; what it raises ends the fit.

    Raises:
        MethodError: the body has no keypoints.
    """
    began = perf_counter()
    body = body or free_body()
    height, width = image.shape[:2]
    scale = WORKING_SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    mask = cv2.resize(landmarks.mask, size, interpolation=cv2.INTER_AREA) > 0.5
    points = landmarks.points * scale
    matches = correspondence(body)
    camera = level_camera(width, height, focal) if start is None else start.camera
    small = camera.resized(*size)
    guess = start or first_guess(body, matches, points, landmarks, small, shape)
    objective = Objective(
        body, matches, points, landmarks, mask, small, guess, weights or FitWeights(), corrected=start is not None
    )
    unknowns = objective.unknowns()
    _minimise(
        objective,
        unknowns,
        iterations,
        corrected=start is not None,
        keep_shape=keep_shape or (start is None and shape is not None),
        keep_pose=keep_pose and start is not None,
        progress=progress,
    )
    estimate = objective.estimate(unknowns, camera)
    if start is None:
        estimate = _put_on_floor(body, estimate, float(unknowns.pitch.detach()))
    return _result(image, landmarks, body, matches, estimate, perf_counter() - began)


def level_camera(width: int, height: int, focal: float = FOCAL) -> CameraTrajectory:
    """A camera at the origin that looks along +Y, Z up; `focal` is over the longer side."""
    extrinsics = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    f = focal * max(width, height)
    k = np.array([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1.0]])
    return CameraTrajectory(extrinsics[None], k[None], width, height)


def _minimise(
    objective: Objective,
    unknowns: Unknowns,
    iterations: int,
    *,
    corrected: bool,
    keep_shape: bool,
    keep_pose: bool,
    progress: Callable[[float, str], None],
) -> None:
    stages = STAGES[2:] if corrected else STAGES
    total = sum(share for share, _, _ in stages)
    done = 0
    for number, (share, shaping, with_outline) in enumerate(stages):
        count = round(iterations * share / total)
        moving = [
            unknowns.turn,
            unknowns.transl,
            unknowns.pitch,
            *([] if keep_pose else [unknowns.pose]),
            *([unknowns.betas] if shaping and not keep_shape else []),
        ]
        rate = 0.02 if number or corrected else 0.04
        optimiser = torch.optim.Adam(moving, lr=rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, count), eta_min=rate * 0.1)
        for i in range(count):
            if with_outline and i % PAIRING_INTERVAL == 0:
                objective.pair(unknowns)
            optimiser.zero_grad()
            objective(unknowns).backward()
            optimiser.step()
            schedule.step()
            done += 1
            if done % 5 == 0:
                progress(done / iterations, "fitting the body")


def _put_on_floor(body: BodyModel, estimate: Estimate, pitch: float) -> Estimate:
    """The same view in a world that is level: turned by the camera's pitch, then moved so that the body's lowest point
    is at z = 0 and its pelvis above the origin."""
    level = Rotation.from_rotvec([pitch, 0, 0])
    rest = body.joints(estimate.betas)[0].astype(np.float64)
    orient = (level * Rotation.from_rotvec(estimate.global_orient[0])).as_rotvec().astype(np.float32)[None]
    pelvis = level.apply(rest + estimate.transl[0])
    turned = skin(body, estimate.betas, orient, estimate.body_pose, (pelvis - rest)[None])[0]
    shift = -np.array([pelvis[0], pelvis[1], turned[:, 2].min()], np.float64)
    extrinsics = estimate.camera.extrinsics.copy()
    extrinsics[:, :3, :3] = extrinsics[:, :3, :3] @ level.as_matrix().T
    extrinsics[:, :3, 3] -= extrinsics[:, :3, :3] @ shift
    camera = CameraTrajectory(
        extrinsics, estimate.camera.intrinsics, estimate.camera.width, estimate.camera.height, estimate.camera.fps
    )
    transl = (pelvis - rest + shift).astype(np.float32)[None]
    return Estimate(estimate.betas, orient, estimate.body_pose, transl, camera)


def _result(
    image: NDArray[np.uint8],
    landmarks: Landmarks,
    body: BodyModel,
    matches: Correspondence,
    estimate: Estimate,
    seconds: float,
) -> FitResult:
    height, width = image.shape[:2]
    vertices = skin(body, estimate.betas, estimate.global_orient, estimate.body_pose, estimate.transl)[0]
    extrinsics, k = estimate.camera.extrinsics[0], estimate.camera.intrinsics[0]
    points, depth = project(vertices, extrinsics, k)
    raster = rasterize(points, depth, body.faces, (width, height))
    fitted, _ = project(matches.regressor @ vertices[matches.vertices], extrinsics, k)
    found = landmarks.points[matches.landmarks]
    distance = np.linalg.norm(fitted - found, axis=1) * WORKING_SIDE / max(height, width)
    counted = matches.reported & (landmarks.visibility[matches.landmarks] > 0.5)
    error = float(distance[counted].mean()) if counted.any() else float("inf")
    iou = silhouette_iou(raster.mask, landmarks.mask > 0.5)
    return FitResult(
        betas=estimate.betas,
        global_orient=estimate.global_orient,
        body_pose=estimate.body_pose,
        transl=estimate.transl,
        camera=estimate.camera,
        keypoint_error_px=error,
        silhouette_iou=iou,
        mask=landmarks.mask,
        overlay=draw_overlay(image, raster, body, vertices, extrinsics[:3, :3], found, fitted),
        seconds=seconds,
        warnings=_warnings(landmarks, matches, error, iou, (width, height)),
        keypoint_errors=dict(zip(matches.names, (float(d) for d in distance), strict=True)),
    )


def _warnings(
    landmarks: Landmarks, matches: Correspondence, error: float, iou: float, size: tuple[int, int]
) -> tuple[str, ...]:
    out = []
    points = landmarks.points[matches.landmarks[matches.reported]]
    if ((points < 0) | (points > size)).any():
        out.append("the person is cut off by the photo's frame: what is outside is guessed")
    hidden = [n for n, i in zip(matches.names, matches.landmarks, strict=True) if landmarks.visibility[i] < 0.5]
    if hidden:
        out.append(f"hidden in the photo, so guessed: {', '.join(n.replace('_', ' ') for n in hidden)}")
    if error > 6:
        out.append(f"the keypoints are off by {error:.1f} px on average: correct the pose and fit again")
    if iou < 0.7:
        out.append(f"the body covers the person badly (overlap {iou:.2f}): wide clothes, or a wrong pose")
    return tuple(out)

"""A tracker of our own: the photo fitter, frame after frame, each begun where the last one ended.

It goes over the clip twice. The first time every frame has a shape of its own; the second time all have the median of
those, for a person does not change shape, and only pose and place move. Every frame is fitted in a window around the
person, at the size at which photos are fitted, with the lens of the whole frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from understudy_shared.body import JOINT_NAMES, BodyModel, free_body, skin
from understudy_shared.camera import CameraTrajectory, project
from understudy_shared.rotations import rotation_between

from understudy_backend.photo.correspondence import Correspondence, correspondence
from understudy_backend.photo.fit import FOCAL, fit
from understudy_backend.photo.objective import FitWeights
from understudy_backend.photo.prior import mean_pose
from understudy_backend.photo.result import Estimate, FitResult
from understudy_backend.photo.start import TRUNK
from understudy_backend.training.video.clip import Clip, Image
from understudy_backend.training.video.sighting import Sighting, find_again, find_first
from understudy_backend.training.video.store import Store
from understudy_backend.training.video.track import CAMERA_AXES, Track, from_estimates

Doubles = NDArray[np.float64]

FIRST_ITERATIONS = 320
FOLLOW_ITERATIONS = 90
SETTLE_ITERATIONS = 60

FOLLOW = FitWeights(correction=1.5, ground=0.0)
"""The last frame is a hint, not an artist's correction; and where the floor is nobody knows, least of all when the
camera moves."""
FORGETTING = 0.1
"""Share by which the pose that a fit begins from goes back to the mean pose, so that errors do not add up."""

LOST_ERROR_PX = 22.0
LOST_OVERLAP = 0.6
"""A fit worse than these (of a window of 1024 px) is tried once more from nothing."""

OUTLIER_ANGLE = np.radians(45)
"""A frame whose joints turn by more than this, root mean square, from both its neighbours, while those agree."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What tracking gave."""

    track: Track
    dropped: dict[int, str]
    """Frame to the reason why it has no row."""


class NoFit(ValueError):
    """No frame has a fit that can be used."""


class _Seen(NamedTuple):
    number: int
    image: Image
    sighting: Sighting


def camera_of(size: tuple[int, int], focal: float = FOCAL) -> CameraTrajectory:
    """The camera of a clip that brings none: level, at the origin; `focal` is over the longer side."""
    f = focal * max(size)
    k = np.array([[f, 0, size[0] / 2], [0, f, size[1] / 2], [0, 0, 1.0]])
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = CAMERA_AXES
    return CameraTrajectory(extrinsics[None], k[None], *size)


def look_for(
    clip: Clip, store: Store, around: tuple[float, float] | None, progress: Callable[[str], None]
) -> dict[int, str]:
    """Finds the person in every chosen frame, following them from the first; gives the reasons where they are not.

    Args:
        clip: the frames.
        store: keeps each sighting.
        around: a point of the person in the first frame, in pixels of the clip.
        progress: called with a line of text.
    """
    dropped: dict[int, str] = {}
    last: Sighting | None = None
    lost = 0
    for number, image in clip.frames():
        found = store.sighting(number)
        if found is None:
            progress(f"{clip.name}: looking at frame {number}")
            if image is None:
                found = "unreadable"
            else:
                found = find_first(image, around) if last is None else find_again(image, last.box, lost)
            store.put_sighting(number, found)
        if isinstance(found, str):
            dropped[number] = found
            lost += 1
        else:
            last, lost = found, 0
    return dropped


def follow(
    clip: Clip, store: Store, dropped: dict[int, str], given: Track | None, progress: Callable[[str], None]
) -> Followed:
    """Fits the body to every frame in which the person was found.

    Args:
        clip: the frames.
        store: holds the sightings, and keeps each fit.
        dropped: frames without a person.
        given: where a track says the body is: each fit begins there. Its cameras are kept.
        progress: called with a line of text.

    Raises:
        NoFit: no frame is left.
    """
    body = free_body()
    matches = correspondence(body)
    usual = camera_of(clip.size)
    dropped = dict(dropped)
    fits: dict[int, dict[str, NDArray]] = {}
    last: Estimate | None = None
    for seen in _seen(clip, store, dropped):
        number = seen.number
        row = None if given is None else given.row_of(number)
        if given is not None and row is None:
            dropped[number] = "tracker gap"
            continue
        camera = usual if given is None or row is None else given.estimate(row).camera
        arrays = store.fit("fit", number)
        if arrays is None:
            progress(f"{clip.name}: fitting frame {number}")
            start = last if given is None or row is None else given.estimate(row)
            result = _fit_frame(seen, start, camera, matches, body)
            arrays = store.put_fit("fit", number, result, (result.keypoint_error_px, result.silhouette_iou))
        fits[number] = arrays
        last = _estimate(arrays, camera)
    if not fits:
        raise NoFit("the body could be fitted to no frame")
    shape = np.median([a["betas"] for a in fits.values()], axis=0).astype(np.float32)
    numbers, estimates, confidence = [], [], []
    for seen in _seen(clip, store, dropped):
        number = seen.number
        row = None if given is None else given.row_of(number)
        camera = usual if given is None or row is None else given.estimate(row).camera
        arrays = store.fit("settled", number)
        if arrays is None:
            progress(f"{clip.name}: settling frame {number}")
            start = replace(_estimate(fits[number], camera), betas=shape)
            result = _fit_window(seen, start, SETTLE_ITERATIONS, keep_shape=True)
            arrays = store.put_fit("settled", number, result, (result.keypoint_error_px, result.silhouette_iou))
        numbers.append(number)
        estimates.append(replace(_estimate(arrays, camera), betas=shape))
        confidence.append(float(arrays["quality"][1]))
    track = from_estimates(numbers, estimates, clip.size, confidence)
    odd = outliers(track)
    dropped |= {int(track.frame[i]): "unlike its neighbours" for i in odd}
    keep = [i for i in range(len(track)) if i not in odd]
    if not keep:
        raise NoFit("no frame is like its neighbours")
    kept = from_estimates(
        [numbers[i] for i in keep], [estimates[i] for i in keep], clip.size, [confidence[i] for i in keep]
    )
    return Followed(kept, dropped)


def box_of(track: Track, row: int, body: BodyModel) -> Doubles:
    """(4,) x0, y0, x1, y1 of the body in pixels of the frame."""
    points, _ = project(track.vertices(row, body), track.extrinsics[row], track.intrinsics[row])
    return np.concatenate([points.min(0), points.max(0)])


def outliers(track: Track) -> set[int]:
    """Rows whose pose is far from both neighbours' while those agree: a limb taken for the other, a body turned."""
    pose = np.concatenate([track.global_orient[:, None], track.body_pose], 1).reshape(-1, 3)
    turns = Rotation.from_rotvec(pose)
    count, joints = len(track), len(JOINT_NAMES)

    def apart(a: int, b: int) -> float:
        one, other = turns[a * joints : (a + 1) * joints], turns[b * joints : (b + 1) * joints]
        angles = (one.inv() * other).magnitude()
        return float(max(np.sqrt((angles**2).mean()), angles[0] / 2))

    return {
        i
        for i in range(1, count - 1)
        if min(apart(i, i - 1), apart(i, i + 1)) > OUTLIER_ANGLE and apart(i - 1, i + 1) < OUTLIER_ANGLE
    }


def _seen(clip: Clip, store: Store, dropped: dict[int, str]) -> Iterator[_Seen]:
    wanted = set(clip.chosen) - set(dropped)
    for number, image in clip.frames(wanted):
        found = store.sighting(number)
        if image is not None and isinstance(found, Sighting):
            yield _Seen(number, image, found)


def _estimate(arrays: dict[str, NDArray], camera: CameraTrajectory) -> Estimate:
    return Estimate(arrays["betas"], arrays["global_orient"], arrays["body_pose"], arrays["transl"], camera)


def _fit_frame(
    seen: _Seen, start: Estimate | None, camera: CameraTrajectory, matches: Correspondence, body: BodyModel
) -> FitResult:
    """Follows the last frame; where that fails, or there is none, begins from nothing."""
    followed = None
    if start is not None:
        guess = _moved(replace(start, camera=camera), seen.sighting, matches, body)
        followed = _fit_window(seen, guess, FOLLOW_ITERATIONS)
        if followed.keypoint_error_px < LOST_ERROR_PX and followed.silhouette_iou > LOST_OVERLAP:
            return followed
    fresh = _fit_window(seen, _fresh(seen, camera, body), FOLLOW_ITERATIONS)
    return max((f for f in (fresh, followed) if f is not None), key=_goodness)


def _goodness(result: FitResult) -> float:
    return result.silhouette_iou - result.keypoint_error_px / 100


def _fit_window(seen: _Seen, start: Estimate, iterations: int, keep_shape: bool = False) -> FitResult:
    """Fits in the window of a frame; the answer's camera is the whole frame's again."""
    result = fit(
        seen.sighting.inside(seen.image),
        seen.sighting.landmarks,
        start=replace(start, camera=windowed(start.camera, seen.sighting)),
        iterations=iterations,
        weights=FOLLOW,
        keep_shape=keep_shape,
    )
    return replace(result, camera=start.camera)


def windowed(camera: CameraTrajectory, sighting: Sighting) -> CameraTrajectory:
    """The camera of a frame, for a window of it."""
    x, y, w, h = sighting.window
    k = camera.intrinsics.copy()
    k[:, 0, 2] -= x
    k[:, 1, 2] -= y
    return CameraTrajectory(camera.extrinsics, k, w, h, camera.fps)


def _fresh(seen: _Seen, camera: CameraTrajectory, body: BodyModel) -> Estimate:
    """A fit from nothing. It takes the window for a photo, whose middle the camera looks at; the frame's camera looks
    past it, so the body is turned about the camera by as much."""
    x, y, w, h = seen.sighting.window
    k = camera.intrinsics[0]
    image, found = seen.sighting.inside(seen.image), seen.sighting.landmarks
    result = fit(image, found, iterations=FIRST_ITERATIONS, focal=float(k[1, 1]) / max(w, h))
    ray = np.array([(x + w / 2 - k[0, 2]) / k[0, 0], (y + h / 2 - k[1, 2]) / k[1, 1], 1.0])
    to_world = camera.extrinsics[0, :3, :3].T @ rotation_between(np.array([0, 0, 1.0]), ray)
    photo = result.camera.extrinsics[0]
    turn = to_world @ photo[:3, :3]
    rest = body.joints(result.betas)[0].astype(np.float64)
    pelvis = to_world @ (photo[:3, :3] @ (rest + result.transl[0]) + photo[:3, 3]) + _centre(camera)
    orient = Rotation.from_matrix(turn) * Rotation.from_rotvec(result.global_orient[0])
    return Estimate(
        result.betas,
        orient.as_rotvec().astype(np.float32)[None],
        result.body_pose,
        (pelvis - rest).astype(np.float32)[None],
        camera,
    )


def _centre(camera: CameraTrajectory) -> Doubles:
    extrinsics = camera.extrinsics[0]
    return -extrinsics[:3, :3].T @ extrinsics[:3, 3]


def _moved(start: Estimate, sighting: Sighting, matches: Correspondence, body: BodyModel) -> Estimate:
    """The last frame's body where the trunk now is, its pose a little nearer to the mean."""
    mean = mean_pose().numpy()[1:][None]
    pose = ((1 - FORGETTING) * start.body_pose + FORGETTING * mean).astype(np.float32)
    vertices = skin(body, start.betas, start.global_orient, pose, start.transl)[0]
    trunk = [matches.index(name) for name in TRUNK]
    extrinsics, k = start.camera.extrinsics[0], start.camera.intrinsics[0]
    here, depth = project((matches.regressor @ vertices[matches.vertices])[trunk], extrinsics, k)
    there = sighting.landmarks.points[matches.landmarks[trunk]] + sighting.window[:2]
    step = (there - here).mean(0) / [k[0, 0], k[1, 1]] * depth.mean()
    moved = extrinsics[:3, :3].T @ np.array([*step, 0.0])
    return replace(start, body_pose=pose, transl=(start.transl + moved).astype(np.float32))

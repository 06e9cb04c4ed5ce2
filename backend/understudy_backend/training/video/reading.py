"""What each frame of a tracked clip gives: a partial texture and the person cut out, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel, free_body
from understudy_shared.camera import project

from understudy_backend.photo.report import silhouette_iou
from understudy_backend.photo.stand_off import stand_off
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.projection import PartialTexture, project_photo
from understudy_backend.texture.raster import rasterize
from understudy_backend.texture.visibility import visible_texels
from understudy_backend.training.people.samples import SIZE
from understudy_backend.training.video.clip import Clip, Image
from understudy_backend.training.video.cutout import Square, covered, cut_out, square_around
from understudy_backend.training.video.sighting import Sighting, sharpness
from understudy_backend.training.video.store import Store
from understudy_backend.training.video.track import Track


@dataclass(frozen=True)
class Limits:
    """From when on a frame is of no use."""

    overlap: float = 0.65
    """Least intersection over union of the body and the person."""
    outside: float = 0.03
    """Largest share of the body's vertices outside the frame."""
    sharpness: float = 0.35
    """Least fine detail of the person, of the clip's median."""
    visible: float = 0.08
    """Least share of the body's texels that are seen."""
    angle: float = 75.0
    """Degrees from which on a surface is seen too flatly to be read."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One frame, read."""

    number: int
    partial: PartialTexture
    """SIZE x SIZE."""
    target: NDArray[np.uint8]
    """(SIZE, SIZE, 4) the person in `square`."""
    photo: NDArray[np.uint8]
    """(SIZE, SIZE, 4) the person as in a photo of them: larger, and in the middle."""
    vertices: NDArray[np.float32]
    """(V, 3) the body, world."""
    stands_off: NDArray[np.float32] | None
    """(V,) metres by which the person's outline lies outside the body (see `photo.stand_off`)."""
    extrinsics: NDArray[np.float64]
    """(4, 4)."""
    intrinsics: NDArray[np.float64]
    """(3, 3) K of the square at SIZE pixels."""
    inside: NDArray[np.float32]
    """(SIZE, SIZE) share of a pixel that is inside the frame."""
    overlap: float
    overlay: NDArray[np.uint8]
    """(SIZE, SIZE, 3) the square of the frame with the body's outline, for pictures."""
    frame: NDArray[np.uint8]
    """(SIZE, SIZE, 3) the square of the frame, for pictures."""


def read_clip(
    clip: Clip, store: Store, track: Track, dropped: dict[int, str], limits: Limits, seed: int
) -> tuple[list[Reading], dict[int, str]]:
    """Reads every frame that a track covers; gives the readings in time order and why other frames are dropped.

    Args:
        clip: the frames.
        store: holds the sightings.
        track: of this clip (see `Track.on`).
        dropped: frames that are out already.
        limits: what a frame must keep.
        seed: of the random place of the person in their square.
    """
    body = free_body()
    dropped = dict(dropped)
    readings: list[Reading] = []
    details: list[float] = []
    for number, image in clip.frames(set(clip.chosen) - set(dropped)):
        row, found = track.row_of(number), store.sighting(number)
        if row is None:
            dropped[number] = "tracker gap"
        elif image is None:
            dropped[number] = "unreadable"
        elif not isinstance(found, Sighting):
            dropped[number] = "no person"
        else:
            rng = np.random.default_rng([seed, *clip.name.encode(), number])
            reading = _read(number, image, found, track, row, body, limits, rng)
            if isinstance(reading, str):
                dropped[number] = reading
            else:
                readings.append(reading)
                details.append(sharpness(image, found))
    least = limits.sharpness * float(np.median(details)) if details else 0.0
    dropped |= {r.number: "blurred" for r, detail in zip(readings, details, strict=True) if detail < least}
    return [r for r in readings if r.number not in dropped], dropped


def _read(
    number: int,
    image: Image,
    found: Sighting,
    track: Track,
    row: int,
    body: BodyModel,
    limits: Limits,
    rng: np.random.Generator,
) -> Reading | str:
    size = (image.shape[1], image.shape[0])
    vertices, extrinsics, k = track.vertices(row, body), track.extrinsics[row], track.intrinsics[row]
    points, depth = project(vertices, extrinsics, k)
    if depth.min() < 1e-2:
        return "low overlap"
    out = ((points < 0) | (points > size)).any(1)
    if out.mean() > limits.outside:
        return "cut by the frame"
    matte = found.matte(size)
    silhouette = rasterize(points, depth, body.faces, size).mask
    overlap = silhouette_iou(silhouette, matte > 0.5)
    if overlap < limits.overlap:
        return "low overlap"
    least_cosine = float(np.cos(np.radians(limits.angle)))
    visibility = visible_texels(vertices, body, k, extrinsics, size, SIZE, matte, least_cosine)
    partial = project_photo(image, visibility, matte)
    if partial.visible[texel_map(body, SIZE).mask].mean() < limits.visible:
        return "too few visible texels"
    box = _box(silhouette | (matte > 0.5))
    square = square_around(box, rng.uniform(0.6, 0.95), rng.normal(0, 0.02, 2))
    near = square_around(box, rng.uniform(0.88, 0.96), rng.normal(0, 0.008, 2))
    return Reading(
        number=number,
        partial=partial,
        target=cut_out(image, matte, square),
        photo=cut_out(image, matte, near),
        vertices=vertices,
        stands_off=stand_off(matte > 0.5, vertices, body, k, extrinsics),
        extrinsics=extrinsics,
        intrinsics=square.intrinsics(k),
        inside=covered(size, square),
        overlap=overlap,
        overlay=_plain(_outlined(image, silhouette), square),
        frame=_plain(image, square),
    )


def _box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def _outlined(image: Image, silhouette: NDArray[np.bool_]) -> Image:
    out = image.copy()
    out[silhouette] = out[silhouette] // 2 + np.array([20, 60, 120], np.uint8)
    contours, _ = cv2.findContours(silhouette.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, contours, -1, (255, 90, 40), max(1, round(max(image.shape) / 500)))
    return out


def _plain(image: Image, square: Square) -> NDArray[np.uint8]:
    return cut_out(image, np.ones(image.shape[:2], np.float32), square)[..., :3]

"""The demo's pictures: side-by-side film and contact sheet, for looking at what was made."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

BACKDROP = (88, 92, 98)
"""sRGB behind people with an alpha channel."""


def read_image(path: Path) -> Image:
    """An image file as (H, W, 4) uint8 sRGB, straight alpha.

    Raises:
        ValueError: the file is no image that can be read.
    """
    data = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if data is None:
        raise ValueError(f"{path} is not an image that can be read; use a PNG or JPEG file")
    if data.dtype != np.uint8:
        data = (data / (65535 if data.dtype == np.uint16 else 1.0) * 255).clip(0, 255).astype(np.uint8)
    if data.ndim == 2:
        data = cv2.cvtColor(data, cv2.COLOR_GRAY2BGR)
    if data.shape[2] == 3:
        data = cv2.cvtColor(data, cv2.COLOR_BGR2BGRA)
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGRA2RGBA), np.uint8)


def write_image(path: Path, image: NDArray) -> None:
    """Writes (H, W), (H, W, 3) or (H, W, 4) uint8 sRGB as PNG."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def over_backdrop(image: Image) -> Image:
    """(H, W, 4) over the backdrop: (H, W, 3)."""
    alpha = image[..., 3:].astype(np.float32) / 255
    return (image[..., :3] * alpha + np.array(BACKDROP, np.float32) * (1 - alpha) + 0.5).astype(np.uint8)


def fit_height(image: Image, height: int) -> Image:
    """(H, W, 3) resized to a height, aspect kept."""
    width = max(2, round(image.shape[1] * height / image.shape[0]))
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def beside(photo: Image, body: Image, result: Image) -> Image:
    """Photo, intermediate frame and finished frame side by side, even width and height for the encoder."""
    height = result.shape[0]
    row = np.hstack([fit_height(over_backdrop(image), height) for image in (photo, body, result)])
    return row[: height - height % 2, : row.shape[1] - row.shape[1] % 2]


def write_film(path: Path, frames: Sequence[Image], fps: Fraction) -> None:
    """H.264 in MP4 from (H, W, 3) uint8 frames of one even size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "medium"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def contact_sheet(rows: Sequence[Sequence[Image]], height: int = 256) -> Image:
    """Rows of (H, W, 4) images, each at one height, padded to one width."""
    strips = [np.hstack([fit_height(over_backdrop(image), height) for image in row]) for row in rows]
    width = max(s.shape[1] for s in strips)
    padded = [
        cv2.copyMakeBorder(s, 0, 6, 0, width - s.shape[1], cv2.BORDER_CONSTANT, value=(40, 40, 40)) for s in strips
    ]
    return np.asarray(np.vstack(padded), np.uint8)

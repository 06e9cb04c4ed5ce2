"""What Animate Anyone and Champ need besides a clip: their networks in memory, and the body that a frame shows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import project
from understudy_shared.frames import Channel, Frame, linear_to_srgb

from understudy_backend.guidance.body_skeleton import body_skeleton
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.texture.raster import rasterize
from understudy_backend.weights.animate_anyone import Kind, load_animator
from understudy_backend.weights.animator_sets import find_set, set_digest

GPU_SHARE = 0.6
"""Of a GPU's memory, for weights; with less than they need they take turns there."""

_GEOMETRY = (Channel.VERTICES, Channel.JOINTS, Channel.EXTRINSICS, Channel.INTRINSICS)


class Animator:
    """One set of weights at a time, read when it is asked for."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self.device = "cpu"
        self._loaded: dict[str, tuple[AnimatorParts, str]] = {}

    def parts(self, name: str) -> tuple[AnimatorParts, str]:
        """The networks of a set, and what tells it from others.

        Raises:
            MethodError: it is missing or damaged.
        """
        if name not in self._loaded:
            folder = find_set(self._kind, name)
            self._loaded.clear()
            gpu = self.device.startswith("cuda")
            budget = int(GPU_SHARE * torch.cuda.get_device_properties(self.device).total_memory) if gpu else None
            dtype = torch.float16 if gpu else torch.float32
            self._loaded[name] = load_animator(folder, self._kind, self.device, dtype, budget), set_digest(folder)
        return self._loaded[name]

    def drop(self) -> None:
        """Frees their memory."""
        self._loaded.clear()


def shows_picture(frame: Frame) -> bool:
    """Whether a frame is driven by a picture of somebody rather than by a body."""
    return Channel.RGBA in frame.channels and Channel.VERTICES not in frame.channels


def picture_of(frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame's picture (H, W, 4) uint8 sRGB, straight alpha.

    Raises:
        MethodError: it has another size than (width, height).
    """
    image = frame.channels[Channel.RGBA]
    if image.shape != (size[1], size[0], 4):
        raise MethodError(
            f"frame {frame.index} is {image.shape[1]} x {image.shape[0]} pixels, the job {size[0]} x {size[1]}",
            code="bad_frame",
            fix="Send the frames at the job's size.",
        )
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    colour = linear_to_srgb(image[..., :3].astype(np.float32))
    return (np.dstack([colour, np.clip(image[..., 3:], 0, 1)]) * 255 + 0.5).astype(np.uint8)


class Seen:
    """The posed body of a frame and the camera before it.

    Raises:
        MethodError: the frame lacks some of it, or holds another body.
    """

    def __init__(self, body: BodyModel, frame: Frame, size: tuple[int, int]) -> None:
        lacking = [channel.value for channel in _GEOMETRY if channel not in frame.channels]
        if lacking:
            raise MethodError(
                f"frame {frame.index} has no {', '.join(lacking)}",
                code="bad_frame",
                fix="Send the posed body with the camera.",
            )
        arrays = (frame.channels[channel] for channel in _GEOMETRY)
        self.vertices, self.joints, self.extrinsics, self.k = arrays
        if self.vertices.shape != body.v_template.shape or self.joints.shape != (24, 3):
            raise MethodError(
                f"frame {frame.index} has {len(self.vertices)} vertices, the body {len(body.v_template)}",
                code="bad_frame",
                fix="Use the body that Understudy creates.",
            )
        self._faces, self._size = body.faces, size

    def skeleton(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """OpenPose's points (134, 2) in pixels, and scores (134,)."""
        points, depth = project(np.asarray(self.vertices, np.float64), self.extrinsics, self.k)
        raster = rasterize(points, depth, self._faces, self._size)
        return body_skeleton(self.vertices, self.joints, self.k, self.extrinsics, raster)

"""A source image, ready to be moved: what depends on it alone is computed once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from understudy_backend.models.tpsmm.animation import Mode, animation_keypoints
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.warping import resize_flow, sample


class Moved(NamedTuple):
    """Frames of the source in other poses."""

    image: Tensor
    """(B, 3, H, W) in [0, 1]."""
    flow: Tensor
    """(B, H/4, W/4, 2): where each pixel is in the source, in [-1, 1]."""

    def carry(self, layer: Tensor) -> Tensor:
        """A layer of the source (1, C, H, W), such as its alpha, moved along: (B, C, H, W). Zeros are outside."""
        flow = resize_flow(self.flow, (layer.shape[2], layer.shape[3]))
        return sample(layer.expand(len(flow), -1, -1, -1), flow)


class Animator:
    """Moves one source image.

    On a GPU with `half`, convolutions run in half precision, keypoints and splines in single.
    """

    def __init__(
        self,
        model: TPSMM,
        source: Tensor,
        *,
        mode: Mode = "relative",
        reference: Tensor | None = None,
        half: bool = False,
    ) -> None:
        """Looks at the source.

        Args:
            model: in evaluation mode; `fast.quicken` makes a faster one for a CPU.
            source: (1, 3, H, W) in [0, 1], sides being multiples of the configuration's `size_multiple`.
            mode: see `Mode`.
            reference: (1, 3, H, W) the driving frame in which the pose is that of the source, for `relative`.
            half: see above.

        Raises:
            ValueError: the mode lacks a reference or a network, or a size does not fit. One line.
        """
        multiple = model.config.size_multiple
        if source.shape[2] % multiple or source.shape[3] % multiple:
            raise ValueError(f"{source.shape[3]} x {source.shape[2]} pixels are no multiples of {multiple}")
        if mode == "relative" and reference is None:
            raise ValueError("relative motion needs a reference frame")
        if mode == "avd" and model.avd_network is None:
            raise ValueError("the weights have no AVD network")
        self._model, self._source, self._half = model, source, half
        self._mode: Mode = mode
        with torch.inference_mode(), self._precision():
            self._keypoints = model.kp_detector(source)
            self._reference = None if reference is None else model.kp_detector(reference)
            self._small = model.dense_motion_network.down(source)
            self._features = model.inpainting_network.encode(source)

    def __call__(self, driving: Tensor) -> Moved:
        """The source in the poses of driving frames (B, 3, h, w) in [0, 1]."""
        with torch.inference_mode(), self._precision():
            count, model = len(driving), self._model
            keypoints = animation_keypoints(
                self._mode,
                self._keypoints,
                model.kp_detector(driving),
                reference=self._reference,
                avd=model.avd_network,
            )
            source, small, *features = (
                x.expand(count, -1, -1, -1) for x in (self._source, self._small, *self._features)
            )
            motion = model.dense_motion_network(small, self._keypoints.expand_as(keypoints), keypoints)
            frame = model.inpainting_network(source, features, motion)
            return Moved(frame.prediction.float(), motion.flow)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._source.device.type, torch.float16, enabled=self._half)

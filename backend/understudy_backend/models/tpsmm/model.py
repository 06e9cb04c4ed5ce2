"""TPSMM: five networks that were trained together, or, for AVD, one after the others."""

from __future__ import annotations

from torch import Tensor, nn

from understudy_backend.models.tpsmm.avd import AVDNetwork
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.dense_motion import DenseMotionNetwork, Motion
from understudy_backend.models.tpsmm.inpainting import Inpainted, InpaintingNetwork
from understudy_backend.models.tpsmm.keypoints import BackgroundPredictor, KeypointDetector


class TPSMM(nn.Module):
    """The networks by the names that they have in checkpoints. Images are RGB in [0, 1], (B, 3, H, W)."""

    def __init__(self, config: TPSMMConfig, *, background: bool | None = None, avd: bool = True) -> None:
        """Networks with random weights.

        Args:
            config: their hyper-parameters.
            background: whether to have the background predictor, which animation does not need; by default as the
                configuration says.
            avd: whether to have the AVD network.
        """
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(config)
        self.dense_motion_network = DenseMotionNetwork(config)
        self.inpainting_network = InpaintingNetwork(config)
        wanted = config.background if background is None else background
        self.bg_predictor = BackgroundPredictor(config) if wanted else None
        self.avd_network = AVDNetwork(config) if avd else None

    def move(
        self,
        source: Tensor,
        source_keypoints: Tensor,
        driving_keypoints: Tensor,
        background: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Motion, list[Tensor], Inpainted]:
        """The source in another pose: its motion, the features of the source, and the frame.

        Args:
            source: (B, 3, H, W).
            source_keypoints: (B, 5 K, 2).
            driving_keypoints: (B, 5 K, 2).
            background: (B, 3, 3) from `bg_predictor`; animation passes none.
            keep: see `DenseMotionNetwork`.
        """
        dense = self.dense_motion_network
        motion = dense(dense.down(source), source_keypoints, driving_keypoints, background, keep)
        features = self.inpainting_network.encode(source)
        return motion, features, self.inpainting_network(source, features, motion)

    def reconstruct(self, source: Tensor, driving: Tensor) -> Inpainted:
        """The driving frame made of the source, as evaluation does: absolute keypoints, and the background's motion
        where there is a predictor for it."""
        background = self.bg_predictor(source, driving) if self.bg_predictor is not None else None
        return self.move(source, self.kp_detector(source), self.kp_detector(driving), background)[2]

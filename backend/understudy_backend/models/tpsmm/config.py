"""Hyper-parameters of TPSMM (Zhao and Zhang, CVPR 2022, arXiv 2203.14367), and the four published configurations."""

from __future__ import annotations

from dataclasses import dataclass

POINTS = 5
"""Pairs of keypoints that a thin-plate spline is made from."""
SHRINK = 4
"""Motion is estimated on images of a quarter of the side."""


@dataclass(frozen=True)
class TPSMMConfig:
    """What the networks are; the defaults are those of all published checkpoints."""

    image_size: int = 256
    """Side of the images that the networks were trained at, in pixels."""
    background: bool = True
    """Whether there is a background motion predictor, which only training and reconstruction use."""
    splines: int = 10
    """K, the number of thin-plate splines."""
    encoder_width: int = 64
    """Channels of the first stage of the two ResNet-18s."""
    motion_width: int = 64
    """Channels of the dense motion hourglass at its full resolution; they double at each level."""
    motion_limit: int = 1024
    """Most channels of the hourglass."""
    motion_levels: int = 5
    """Halvings in the hourglass."""
    inpainting_width: int = 64
    """Channels of the inpainting network at its full resolution; they double at each level."""
    inpainting_limit: int = 512
    """Most channels of the inpainting network."""
    inpainting_levels: int = 3
    """Halvings in the inpainting network, at least 2."""
    multi_mask: bool = True
    """One occlusion mask for each resolution of the inpainting network, in place of one for all (section 3.3)."""
    avd_widths: tuple[int, ...] = (256, 512, 1024)
    """Hidden layers of the AVD network's two encoders, and in reverse order of its decoder."""
    avd_code: int = 128
    """Length of AVD's pose code and of its identity code."""

    @property
    def keypoints(self) -> int:
        """How many keypoints the detector gives."""
        return self.splines * POINTS

    @property
    def size_multiple(self) -> int:
        """Images must have a side that is a multiple of this."""
        return SHRINK * 2 ** max(self.motion_levels, self.inpainting_levels)


PUBLISHED = {
    "vox": TPSMMConfig(),
    "taichi": TPSMMConfig(),
    "ted": TPSMMConfig(image_size=384),
    "mgif": TPSMMConfig(background=False),
}
"""By the name of the checkpoint: talking heads, tai chi, TED speakers, cartoon animals."""

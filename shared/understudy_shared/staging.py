"""Puts a motion on its mark: the body that wears it, where it starts, the floor under its feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import BodyModel, skin
from understudy_shared.motion import MotionClip

FLOOR_SAMPLES = 40
"""Frames that are posed to find the lowest point; feet move little between them."""


def on_mark(clip: MotionClip, body: BodyModel, betas: NDArray[np.floating], *, at: int = 0) -> MotionClip:
    """The motion worn by a body of other proportions: over the origin in one frame, its lowest point at z = 0.

    Args:
        clip: any motion; its own betas are replaced.
        body: the model that wears it.
        betas: (B,) shape of the wearer.
        at: the frame in which the pelvis is over the origin.
    """
    betas = np.asarray(betas, np.float32).reshape(-1)
    rows = np.unique(np.linspace(0, len(clip) - 1, min(len(clip), FLOOR_SAMPLES)).astype(int))
    posed = skin(body, betas, clip.global_orient[rows], clip.body_pose[rows], clip.transl[rows])
    shift = np.zeros(3, np.float32)
    shift[2] = -posed[..., 2].min()
    shift[:2] = -(body.joints(betas)[0] + clip.transl[at])[:2]
    return replace(clip, transl=clip.transl + shift, betas=betas)

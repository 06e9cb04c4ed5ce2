"""What TPSMM's networks give for driving pictures, as the paper and the published code say: no method, no quickened
networks, no Blender. Run by the backend's Python.

python tpsmm_directly.py WEIGHTS MODE PHOTO IN.npz OUT.npz

IN: `driving` (N, H, W, 4) uint8 and `reference` (H, W, 4). OUT: `result` (N, S, S, 3), sRGB from 0 to 1. Of all
pictures the square in the middle counts, over mid grey.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from understudy_backend.models.tpsmm.animation import animation_keypoints
from understudy_backend.weights.tpsmm import load_tpsmm


def main() -> None:
    """See above."""
    weights, mode, photo, given, out = sys.argv[1:]
    model = load_tpsmm(Path(weights))
    picture = cv2.imread(photo)
    assert picture is not None and mode in ("standard", "relative")
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    source = seen(np.dstack([picture[..., ::-1], opaque]), model.config.image_size)
    with np.load(given, allow_pickle=False) as arrays, torch.inference_mode():
        reference = model.kp_detector(seen(arrays["reference"], model.config.image_size))
        standing = model.kp_detector(source)
        results = []
        for image in arrays["driving"]:
            points = model.kp_detector(seen(image, model.config.image_size))
            moved = animation_keypoints(mode, standing, points, reference=reference)
            results.append(model.move(source, standing, moved)[2].prediction[0].permute(1, 2, 0).numpy())
    np.savez(out, result=np.stack(results))


def seen(image: NDArray[np.uint8], size: int) -> torch.Tensor:
    """A picture (H, W, 4) as the networks see it, (1, 3, size, size)."""
    height, width = image.shape[:2]
    side = min(height, width)
    unit = image.astype(np.float32) / 255
    # the middle may lie between two pixels: their mean then
    corners = [(y, x) for y in halves(height - side) for x in halves(width - side)]
    square = np.mean([unit[y : y + side, x : x + side] for y, x in corners], 0)
    over_grey = square[..., :3] * square[..., 3:] + 0.5 * (1 - square[..., 3:])
    small = np.asarray(resize(over_grey, (size, size), order=1, anti_aliasing=True), np.float32)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None]


def halves(spare: int) -> tuple[int, int]:
    """Where a square begins that leaves out half of the spare pixels on each side."""
    return spare // 2, (spare + 1) // 2


if __name__ == "__main__":
    main()

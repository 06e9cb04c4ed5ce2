"""Seconds a frame of TPSMM on a CPU at 256 px: the networks as the paper draws them, and as the method runs them.

python tests/bench/bench_tpsmm.py [FRAMES]

Both run in turns, in float32, with the weights and pictures of the goldens. The plain way, too, looks for the keypoints
of source and reference once; all else it does for each frame. Exit code 1: not 1.3 times as fast, or not the same.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from understudy_backend.models.tpsmm.animation import relative_keypoints
from understudy_backend.models.tpsmm.animator import Animator
from understudy_backend.models.tpsmm.config import PUBLISHED
from understudy_backend.models.tpsmm.fast import quicken
from understudy_backend.models.tpsmm.model import TPSMM

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
from tpsmm_recipe import fill, image

FASTER, ALIKE = 1.3, 1e-3


def main() -> int:
    """Prints both times, their ratio, and how far the pictures are apart."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    model = TPSMM(PUBLISHED["vox"]).eval().requires_grad_(False)
    fill(model, 0)
    source, reference, first, second = (image(0, n, 256) for n in ("source", "driving0", "driving1", "driving2"))
    animator = Animator(quicken(model), source, reference=reference)
    points = [model.kp_detector(x) for x in (source, reference)]

    def plain(driving: Tensor) -> Tensor:
        with torch.inference_mode():
            moved = relative_keypoints(points[0], points[1], model.kp_detector(driving))
            return model.move(source, points[0], moved)[2].prediction

    def ours(driving: Tensor) -> Tensor:
        return animator(driving).image

    clip = [torch.lerp(first, second, i / max(1, frames - 1)) for i in range(frames)]
    apart = max(float((ours(x) - plain(x)).abs().max()) for x in (clip[0], clip[-1]))
    times = [(_seconds(plain, x), _seconds(ours, x)) for x in clip]
    print(f"{frames} frames of 256 x 256, {torch.get_num_threads()} thread(s); median seconds a frame")
    ratios = []
    for name, kind in (("wall clock", 0), ("processor", 1)):
        before, after = (median(pair[way][kind] for pair in times) for way in (0, 1))
        ratios.append(median(pair[0][kind] / pair[1][kind] for pair in times))
        print(f"{name:<11} plain {before:6.3f}  ours {after:6.3f}  {ratios[-1]:.2f} times as fast")
    print(f"pictures differ by at most {apart:.1e} (limit {ALIKE:.0e}); wanted {FASTER} times")
    return int(ratios[0] < FASTER or apart > ALIKE)


def _seconds(make: Callable[[Tensor], Tensor], driving: Tensor) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    make(driving)
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    sys.exit(main())

"""How long the body takes to fit to a photo, detection included, against the limit of a minute.

python tests/bench/bench_fit.py [PHOTO ...]
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from understudy_backend.photo.fit import fit
from understudy_backend.photo.landmarks import detect

LIMIT = 60.0
SAMPLES = Path(__file__).parents[2] / "packaging/demo/samples/photos"


def main() -> int:
    """Prints a line per photo; 1 if one took longer than the limit."""
    slow = False
    for path in [Path(p) for p in sys.argv[1:]] or sorted(SAMPLES.glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB"))
        began = time.perf_counter()
        result = fit(image, detect(image))
        seconds = time.perf_counter() - began
        slow |= seconds > LIMIT
        print(
            f"{path.name:<28} {seconds:5.1f} s of {LIMIT:.0f}  keypoints {result.keypoint_error_px:.2f} px  "
            f"overlap {result.silhouette_iou:.3f}"
        )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())

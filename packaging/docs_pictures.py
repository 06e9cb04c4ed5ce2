"""Puts the pictures of the real window into docs/pictures/, as the test in a window has taken them.

    UNDERSTUDY_GUI=PROGRAM pytest tests/gui/test_first_strip.py     takes them, into build/gui/first_strip/
    python packaging/docs_pictures.py

Only those that a page shows are taken over, cut to the part that matters and in few colours, so that they stay small.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "build/gui/first_strip"
PICTURES = ROOT / "docs/pictures"
WIDTH = 1100
"""Pixels; the window's own are more than a page needs."""
SHOWN = {
    "welcome": (650, 0, 1320, 912),
    "fitted": (0, 0, 1320, 912),
    "camera_added": (0, 0, 1320, 912),
    "strip": (0, 0, 1320, 912),
}
"""Step of the test to the part of its picture that is shown: left, upper, right, lower."""


def main() -> int:
    """Returns the exit status."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for step, part in SHOWN.items():
        found = sorted(SHOTS.glob(f"[0-9]*_{step}.png"))
        if not found:
            print(f"docs_pictures: there is no picture of {step} in {SHOTS}: run the test first", file=sys.stderr)
            return 1
        with Image.open(found[0]) as shot:
            picture = shot.convert("RGB").crop(part)
        if picture.width > WIDTH:
            picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        picture.quantize(256, dither=Image.Dither.NONE).save(PICTURES / f"{step}.png", optimize=True)
        print(PICTURES / f"{step}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long the import of a motion takes in Blender, by the clock, against what is promised to artists.

    python tests/bench/bench_motion_import.py [--rounds 3]

Runs in Python with `bpy`. A first import is measured with everything that belongs to it: reading the file, loading and
building the body (mesh, armature, weights, material), the floor, and the keys. Each is done in a fresh process, so that
nothing is kept from the one before. The exit code is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {300: 1.0, 3000: 4.0}
"""Seconds for so many frames."""
CLIP = ROOT / "packaging/demo/samples/motions/cmu_13_26_wave_point.npz"


def first_import(frames: int, folder: Path) -> dict[str, float]:
    """Seconds of each step, in this process."""
    sys.path.insert(0, str(ROOT))
    import bpy
    import numpy as np
    from understudy_shared.body import free_body
    from understudy_shared.formats import amass
    from understudy_shared.motion import MotionClip

    from blender_addon import properties
    from blender_addon.api import actor
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.motion import apply_motion

    source = amass.load(CLIP, free_body())
    rows = np.arange(frames) % len(source)
    clip = MotionClip(source.global_orient[rows], source.body_pose[rows], source.transl[rows], source.betas, source.fps)
    amass.save(folder / "clip.npz", clip)
    free_body.cache_clear()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for cls in properties.CLASSES:
        bpy.utils.register_class(cls)
    properties.attach()
    scene = bpy.context.scene
    out = {}

    def timed(name: str, work) -> None:
        start = time.perf_counter()
        work()
        out[name] = time.perf_counter() - start

    timed("first import, body made", lambda: actor.import_motion(folder / "clip.npz", scene))
    timed("import onto the body", lambda: actor.import_motion(folder / "clip.npz", scene))
    timed("  of which keys", lambda: apply_motion(armature_of(scene.understudy.body), clip, 1, 24))
    timed("cleaning: smooth, feet", lambda: actor.clean_motion(scene=scene, smooth=0.3, foot_lock=True))
    return out


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--once", type=int, help="measure so many frames in this process, and print them as JSON")
    args = parser.parse_args()
    if args.once:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(first_import(args.once, Path(folder))), flush=True)
        os._exit(0)  # what Blender would free is the system's to free
    broken = False
    for frames, limit in LIMITS.items():
        command = [sys.executable, __file__, "--once", str(frames)]
        rounds = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(args.rounds)]
        times = [json.loads(r.stdout.strip().splitlines()[-1]) for r in rounds]
        for name in times[0]:
            best = min(t[name] for t in times)
            promised = f"  limit {limit:.1f} s" if name.startswith("first") else ""
            print(f"{frames:5d} frames  {name:26s} {best:6.3f} s{promised}")
            broken |= bool(promised) and best > limit
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())

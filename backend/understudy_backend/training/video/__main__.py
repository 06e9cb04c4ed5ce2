"""Makes training data from video.

    python -m understudy_backend.training.video CLIP_OR_FOLDER --out DATA --pictures

CLIP_OR_FOLDER is a video, a folder of pictures whose names sort in time, or a folder of such clips. A clip shows one
person; `anna__1.mp4` and `anna__2.mp4` show the same one. DATA gets `texture` and `frames` (see `samples`), a report
and a track for each clip, and with --pictures a sheet to look at. A run that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from understudy_backend.methods.contract import MethodError
from understudy_backend.training.video import track as tracks
from understudy_backend.training.video.clip import ClipError, find_clips
from understudy_backend.training.video.reading import Limits
from understudy_backend.training.video.route import Settings, make


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy_backend.training.video", description="Make training data from video."
    )
    parser.add_argument("clip", type=Path, metavar="CLIP_OR_FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="DATA")
    parser.add_argument("--track", type=Path, help="where the body is: our npz, or a pickle of PHALP or 4D-Humans")
    parser.add_argument("--track-id", type=int, help="who, in a pickle with several people; the longest otherwise")
    parser.add_argument("--refine", action="store_true", help="fit the body anew, beginning from the track")
    parser.add_argument("--around", type=float, nargs=2, metavar=("X", "Y"), help="a point of the person in the first "
                        "frame, in pixels, where several people are seen")  # fmt: skip
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame")
    parser.add_argument("--start", type=int, default=0, help="first frame")
    parser.add_argument("--stop", type=int, help="frame to stop before")
    parser.add_argument("--most", type=int, default=400, help="no more frames of a clip than these, spread evenly")
    parser.add_argument("--side", type=int, default=1920, help="longest side of frames; larger ones are reduced")
    parser.add_argument("--fuse", choices=["median", "average"], default="median", help="over the frames of a clip")
    parser.add_argument("--overlap", type=float, default=Limits.overlap, help="least overlap of body and person")
    parser.add_argument("--validation", type=float, default=Settings.validation, help="share of people held back")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", action="store_true", help="also draw a sheet of every clip")
    a = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        clips = find_clips(a.clip, every=a.every, start=a.start, stop=a.stop, most=a.most, side=a.side)
        if a.track is not None and len(clips) > 1:
            raise ClipError("a track is of one clip: give that clip alone")
        given = None if a.track is None else tracks.load(a.track, a.track_id)
        settings = Settings(
            mode=a.fuse,
            seed=a.seed,
            limits=Limits(overlap=a.overlap),
            around=tuple(a.around) if a.around else None,
            refine=a.refine,
            validation=a.validation,
            pictures=a.pictures,
        )
        for clip in clips:
            report = make(clip, a.out, settings, given, progress=lambda line: print(line, flush=True))
            print(report.line(), flush=True)
    except (ValueError, OSError, MethodError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()

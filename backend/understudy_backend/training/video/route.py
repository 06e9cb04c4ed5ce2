"""The whole way of one clip: frames, track, partial textures, complete texture, samples, shards, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
from understudy_shared.body import free_body

from understudy_backend.texture.fusion import Mode
from understudy_backend.training.people.samples import Kind
from understudy_backend.training.video import tracker
from understudy_backend.training.video.clip import Clip
from understudy_backend.training.video.pictures import draw_sheet
from understudy_backend.training.video.reading import Limits, Reading, read_clip
from understudy_backend.training.video.report import Report
from understudy_backend.training.video.samples import complete_texture, samples
from understudy_backend.training.video.shards import Origin, write_shards
from understudy_backend.training.video.sighting import find_again
from understudy_backend.training.video.store import Store, fingerprint
from understudy_backend.training.video.track import Track

VERSION = 2
"""Raise it when the same clip gives other samples."""
KINDS: tuple[Kind, ...] = ("texture", "frames")


@dataclass(frozen=True)
class Settings:
    """How clips become samples."""

    mode: Mode = "median"
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    around: tuple[float, float] | None = None
    """A point of the person in the first frame, in pixels; the likeliest person when absent."""
    refine: bool = False
    """Fit the body anew to the frames, beginning from the track given."""
    validation: float = 0.1
    """Share of the people that is kept for validation."""
    pictures: bool = False


def split_of(person: str, settings: Settings) -> str:
    """`train` or `val`, by the person's name alone: more clips never move anybody from one to the other."""
    return "val" if crc32(f"{settings.seed}:{person}".encode()) / 2**32 < settings.validation else "train"


def make(
    clip: Clip,
    out: Path,
    settings: Settings,
    given: Track | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Makes the samples of a clip, unless they are there; and its report, OUT/reports/CLIP.json.

    Args:
        clip: the frames.
        out: the data set; what is known of frames so far is kept in its folder `work`.
        settings: how.
        given: the body in every frame; our own tracker finds it when absent.
        progress: called with a line of text.

    Raises:
        ValueError: the track is of another video (one line).
        ClipError: the data set holds samples of this clip that were made otherwise.
    """
    split = split_of(clip.person, settings)
    identity = [
        VERSION, clip.name, clip.person, clip.size, clip.chosen, clip.path.name, split, settings.mode, settings.seed,
        asdict(settings.limits), settings.around, settings.refine, None if given is None else _digest(given),
    ]  # fmt: skip
    known_by = fingerprint(identity)
    report_path, sheet = out / "reports" / f"{clip.name}.json", out / "pictures" / f"{clip.name}.png"
    before = Report.load(report_path)
    wanted = [sheet] if settings.pictures else []
    if before is not None and before.fingerprint == known_by:
        wanted += [out / shard / "dataset.json" for shard in before.shards]
        if before.problem or all(path.exists() for path in wanted):
            return before
    store = Store(out / "work" / f"{clip.name}-{known_by}")
    if given is not None:
        given = given.on(clip.size, clip.files)
    try:
        track, dropped = _tracked(clip, store, settings, given, progress)
        track.save(out / "tracks" / f"{clip.name}.npz")
        progress(f"{clip.name}: reading textures")
        readings, dropped = read_clip(clip, store, track, dropped, settings.limits, settings.seed)
        problem = "" if len(readings) >= 2 else "fewer than two usable frames"
    except NothingSeen as error:
        readings, dropped, problem = [], error.dropped, str(error)
    about = {
        "clip": clip.name, "person": clip.person, "split": split, "frames": len(clip.chosen), "kept": len(readings),
        "dropped": dict(sorted(dropped.items())), "fingerprint": known_by,
    }  # fmt: skip
    if problem:
        report = Report(**about, problem=problem)
    else:
        report = _write(readings, out, Origin(clip.name, clip.person, split, settings.seed, known_by), settings, about)
    report.save(report_path)
    return report


class NothingSeen(ValueError):
    """No frame of a clip can be used."""

    def __init__(self, message: str, dropped: dict[int, str]) -> None:
        super().__init__(message)
        self.dropped = dropped


def _tracked(
    clip: Clip, store: Store, settings: Settings, given: Track | None, progress: Callable[[str], None]
) -> tuple[Track, dict[int, str]]:
    (store.folder.parent.parent / "tracks").mkdir(exist_ok=True)
    if given is None:
        dropped = tracker.look_for(clip, store, settings.around, progress)
    else:
        dropped = _look_where(clip, store, given, progress)
    if len(dropped) == len(clip.chosen):
        raise NothingSeen("the person was found in no frame", dropped)
    if given is not None and given.body == "free" and not settings.refine:
        return given, dropped
    try:
        followed = tracker.follow(clip, store, dropped, given, progress)
    except tracker.NoFit as error:
        raise NothingSeen(str(error), dropped) from None
    return followed.track, followed.dropped


def _look_where(clip: Clip, store: Store, track: Track, progress: Callable[[str], None]) -> dict[int, str]:
    """Finds the person where a track says they are: their matte is needed, and no track has it."""
    dropped: dict[int, str] = {}
    body = free_body()
    for number, image in clip.frames():
        row = track.row_of(number)
        if row is None:
            dropped[number] = "tracker gap"
            continue
        found = store.sighting(number)
        if found is None:
            progress(f"{clip.name}: looking at frame {number}")
            box = tracker.box_of(track, row, body)
            found = "unreadable" if image is None else find_again(image, box)
            store.put_sighting(number, found)
        if isinstance(found, str):
            dropped[number] = found
    return dropped


def _write(readings: list[Reading], out: Path, origin: Origin, settings: Settings, about: dict) -> Report:
    complete = complete_texture(readings, settings.mode)
    numbers = [r.number for r in readings]
    made = {kind: samples(kind, readings, complete, origin.clip, origin.seed) for kind in KINDS}
    paths = [path for kind in KINDS for path in write_shards(out, kind, origin, numbers, made[kind])]
    if settings.pictures:
        draw_sheet(out / "pictures" / f"{origin.clip}.png", readings, made["texture"], made["frames"])
    return Report(
        **about,
        known=round(complete.share, 4),
        overlap=round(float(np.median([r.overlap for r in readings])), 4),
        shards=tuple(path.relative_to(out).as_posix() for path in paths),
    )


def _digest(track: Track) -> str:
    arrays = (
        track.frame, track.betas, track.global_orient, track.body_pose, track.transl, track.extrinsics,
        track.intrinsics,
    )  # fmt: skip
    return fingerprint([track.size, track.body, *(crc32(np.ascontiguousarray(a).tobytes()) for a in arrays)])

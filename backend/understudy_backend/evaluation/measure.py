"""All figures of one person: of every way, in every table that is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.frames import Channel

from understudy_backend.evaluation import pictures as pic
from understudy_backend.evaluation.baselines import BASELINES
from understudy_backend.evaluation.flicker import Moment, Step, flicker, step
from understudy_backend.evaluation.i3d import Clips
from understudy_backend.evaluation.inception import Inception
from understudy_backend.evaluation.lpips import Lpips
from understudy_backend.evaluation.metric_weights import MissingWeights
from understudy_backend.evaluation.pose_error import Posed, pose_errors, refit
from understudy_backend.evaluation.subject import CLIP_ANGLES, FRAME_ANGLES, Picture, Subject
from understudy_backend.evaluation.ways import COMPLETE, OURS, PHOTO_ONLY, Scene, Way
from understudy_backend.texture.bake import texel_map
from understudy_backend.training.people.render import View, look

FRAMES, CLIPS, POSE, TEXTURE = "a", "b", "c", "texture"
TABLES = (FRAMES, CLIPS, POSE, TEXTURE)
TRUTH = "the truth itself"
POSE_ANGLES = (24, 324)
"""Degrees of the frames to which the body is fitted anew: from about the front, where the fitter is at home."""
BACK_ANGLES = (150, 180, 210)
"""Degrees from which textures are looked at."""

Scores = dict[str, dict[str, dict[str, float]]]
"""Table, row, column."""


@dataclass(frozen=True)
class Angles:
    """Where the cameras stand, in degrees."""

    frames: tuple[int, ...] = FRAME_ANGLES
    clip: tuple[int, ...] = CLIP_ANGLES
    pose: tuple[int, ...] = POSE_ANGLES
    back: tuple[int, ...] = BACK_ANGLES


@dataclass(frozen=True, eq=False)
class Learned:
    """The metrics that are networks; those without weights are None, with the reason in `left_out`."""

    lpips: Lpips | None
    inception: Inception | None
    clips: Clips | None
    left_out: tuple[str, ...]

    @staticmethod
    def load(folder: Path, device: str = "cpu") -> Learned:
        """Whatever a folder has weights for."""
        loaded, reasons = [], []
        for kind in (Lpips, Inception, Clips):
            try:
                loaded.append(kind(folder, device))
            except MissingWeights as error:
                loaded.append(None)
                reasons.append(str(error))
        return Learned(*loaded, left_out=tuple(reasons))


@dataclass(frozen=True, eq=False)
class Measured:
    """One person's share of the tables."""

    scores: Scores = field(default_factory=dict)
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """`fid/ROW` (N, 2048) and `fvd/ROW` (1, 400), for distances between clouds of them."""
    sheets: dict[str, list[list[Picture]]] = field(default_factory=dict)
    """Pictures to be looked at, by name: rows of pictures (H, W, 4)."""


def measure(
    subject: Subject,
    textures: dict[str, NDArray[np.uint8]],
    ways: list[Way],
    learned: Learned,
    tables: tuple[str, ...],
    angles: Angles,
) -> Measured:
    """The figures of one person."""
    out = Measured()
    if FRAMES in tables or POSE in tables:
        _frames(out, Scene(subject, subject.turntable(angles.frames), textures), ways, learned, tables, angles)
    if CLIPS in tables:
        _clip(out, Scene(subject, subject.turntable(angles.clip), textures), ways, learned)
    if TEXTURE in tables:
        _textures(out, subject, textures, learned, subject.turntable(angles.back))
    return out


def _frames(
    out: Measured, scene: Scene, ways: list[Way], learned: Learned, tables: tuple[str, ...], angles: Angles
) -> None:
    truth = scene.subject.truth(scene.views)
    flat = np.stack([pic.over_grey(t) for t in truth])
    poses = [i for i, angle in enumerate(angles.frames) if angle in angles.pose] if POSE in tables else []
    looks = learned.lpips.features(flat) if learned.lpips else None
    if learned.inception and FRAMES in tables:
        out.features[f"fid/{TRUTH}"] = learned.inception(flat)
    if poses:
        out.scores.setdefault(POSE, {})[TRUTH] = _pose(scene, flat, poses)
    shown: dict[str, list[Picture]] = {}
    for way in ways:
        frames = way.frames(scene)
        shown[way.name] = frames
        seen = np.stack([pic.over_grey(f) for f in frames])
        if poses:
            out.scores[POSE][way.name] = _pose(scene, seen, poses)
        if FRAMES not in tables:
            continue
        row = {
            "psnr": _mean(pic.psnr(a, b) for a, b in zip(seen, flat, strict=True)),
            "ssim": _mean(pic.ssim(a, b) for a, b in zip(seen, flat, strict=True)),
            "l1": _mean(pic.l1(a, b) for a, b in zip(seen, flat, strict=True)),
            "iou": _mean(pic.iou(a, b) for a, b in zip(frames, truth, strict=True)),
        }
        if learned.lpips and looks:
            row["lpips"] = float(learned.lpips.between(learned.lpips.features(seen), looks).mean())
        if learned.inception:
            out.features[f"fid/{way.name}"] = learned.inception(seen)
        out.scores.setdefault(FRAMES, {})[way.name] = row
    chosen = np.linspace(0, len(truth), min(8, len(truth)), endpoint=False).astype(int)
    rows = [[scene.bodies(COMPLETE)[i][Channel.RGBA] for i in chosen]]
    rows += [[frames[i] for i in chosen] for frames in ([shown[OURS]] if OURS in shown else []) + [truth]]
    out.sheets["views"] = rows


def _pose(scene: Scene, pictures: NDArray[np.uint8], chosen: list[int]) -> dict[str, float]:
    """Means over the views in which the fitter finds a person, and the share of those."""
    errors = []
    for i in chosen:
        found = refit(pictures[i], scene.views[i])
        if found is not None:
            truth = Posed.seen(scene.subject.joints, scene.subject.body, scene.views[i].extrinsics)
            errors.append(pose_errors(found, truth))
    row = {name: _mean(e[name] for e in errors) for name in ("mpjpe", "pa_mpjpe", "mpvpe")} if errors else {}
    return row | {"found": len(errors) / len(chosen)}


def _clip(out: Measured, scene: Scene, ways: list[Way], learned: Learned) -> None:
    subject = scene.subject
    dressed = _steps(subject.vertices, scene.views, subject.dressed.person.faces)
    bare = _steps(subject.body, scene.views, free_body().faces)
    truth = subject.truth(scene.views)
    rows: dict[str, list[Picture]] = {TRUTH: truth, **{way.name: way.frames(scene) for way in ways}}
    for name, frames in rows.items():
        flat = [pic.over_grey(frame) for frame in frames]
        score = {"flicker": flicker(flat, dressed), "body_flicker": flicker(flat, bare)}
        out.scores.setdefault(CLIPS, {})[name] = score
        if learned.clips:
            out.features[f"fvd/{name}"] = learned.clips(np.stack(flat)[None])
    out.sheets["clip"] = [
        [b[Channel.RGBA] for b in scene.bodies(COMPLETE)],
        *(rows[n] for n in (OURS, TRUTH) if n in rows),
    ]


def _steps(vertices: NDArray[np.floating], views: list[View], faces: NDArray[np.int32]) -> list[Step]:
    """The motion between neighbouring views of a surface."""
    moments = [Moment(vertices, view, look(view, vertices, faces)) for view in views]
    return [step(before, now, faces) for before, now in pairwise(moments)]


def _textures(
    out: Measured, subject: Subject, textures: dict[str, NDArray[np.uint8]], learned: Learned, views: list[View]
) -> None:
    body = texel_map(free_body(), len(subject.texture))
    seen = subject.partial.visible & body.mask
    unseen = body.mask & ~seen
    known = np.asarray(body.fill_gutter(subject.partial.color, seen), np.uint8)
    fills = {OURS: textures[COMPLETE]}
    for name, fill in BASELINES.items():
        fills[name] = textures[PHOTO_ONLY] if name == "nearest texel" else fill(known, seen)
    true_texture = np.asarray(body.fill_gutter(subject.texture), np.uint8)
    truth = np.stack([pic.over_grey(b[Channel.RGBA]) for b in subject.bodies(true_texture, views)])
    looks = learned.lpips.features(truth) if learned.lpips else None
    for name, texture in fills.items():
        row = {"psnr_unseen": pic.psnr(texture, subject.texture, unseen)}
        if learned.lpips and looks:
            whole = np.asarray(body.fill_gutter(texture), np.uint8)
            back = np.stack([pic.over_grey(b[Channel.RGBA]) for b in subject.bodies(whole, views)])
            row["lpips_back"] = float(learned.lpips.between(learned.lpips.features(back), looks).mean())
        out.scores.setdefault(TEXTURE, {})[name] = row
    opaque = np.full((*seen.shape, 1), 255, np.uint8)
    partial = np.dstack([subject.partial.color, seen.astype(np.uint8) * 255])
    out.sheets["texture"] = [[partial, *(np.dstack([t, opaque]) for t in (*list(fills.values())[:1], true_texture))]]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

"""Cameras at the times of their timestamps: the frame rate that these mean, and cameras at even steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from understudy_shared.camera import CameraTrajectory, Doubles
from understudy_shared.formats.camera_file import DEFAULT_FPS, MAX_FRAMES, positive
from understudy_shared.formats.reading import FormatError

USUAL_RATES = np.array(
    [1, 2, 5, 10, 12, 12.5, 15, 20, 24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 90, 100, 120, 200]
)
"""Frames per second that cameras are made for."""
EVEN = 0.02
"""How far a timestamp may be from even steps, in steps, before the cameras are computed anew at even ones."""


_NO_SECONDS = "its timestamps are not seconds; correct them"


def at_even_steps(
    path: Path | str, camera: CameraTrajectory, times: Doubles, fps: float | None = None
) -> CameraTrajectory:
    """Cameras at even steps of time, with the frame rate and the start that their timestamps say.

    Args:
        path: of the file, for messages.
        camera: T cameras in the order of time.
        times: (T,) of each, growing. Seconds; numbers too large for a date in seconds are taken as milli-, micro- or
            nanoseconds since 1970, and whole numbers one apart as numbers of frames.
        fps: the rate that is wanted; by default that of the timestamps.

    Raises:
        FormatError: two cameras of one time, or times that no clip has.
    """
    if not (np.abs(times) < 1e20).all():
        raise FormatError(path, _NO_SECONDS)
    again = np.flatnonzero(np.diff(times) <= 0)
    if len(again):
        raise FormatError(path, f"the time {times[again[0]]:.9g} stands there twice; remove one of the two")
    notes = list(camera.notes)
    times = times * _unit(times[-1])
    if times[-1] - times[0] < 1e-6 * (len(times) - 1):
        raise FormatError(path, _NO_SECONDS)
    if len(times) > 1 and _frame_numbers(times):
        if fps is None:
            notes.append(
                f"The file has no frame rate, its times count frames: {DEFAULT_FPS:g} frames per second was used"
            )
        times = times / positive(path, DEFAULT_FPS if fps is None else fps, "the frame rate")
    if len(times) == 1:
        return replace(camera, start=float(times[0]), fps=DEFAULT_FPS if fps is None else fps)
    found = _even_rate(times)
    if found is not None and (fps is None or abs(fps / found - 1) < 1e-9):
        return replace(camera, fps=found, start=float(times[0]), notes=tuple(notes))
    wanted = positive(path, _typical_rate(times) if fps is None else fps, "the frame rate")
    steps = float(times[-1] - times[0]) * wanted + 1e-6
    if steps >= MAX_FRAMES or (fps is None and steps > 10 * len(times) + 1000):
        raise FormatError(path, "its timestamps jump too far; cut it into pieces, or correct them (they are seconds)")
    widest = np.diff(times).max()
    if found is None and widest * wanted > 1.5:
        notes.append(f"Its timestamps leave gaps of up to {widest:.3g} s, which were filled in")
    notes.append(f"Its timestamps were brought to even steps of {wanted:.6g} frames per second")
    even = np.interp(times[0] + np.arange(int(steps) + 1) / wanted, times, np.arange(len(times)))
    return replace(camera.at(even), fps=wanted, start=float(times[0]), notes=tuple(notes))


def _unit(last: float) -> float:
    """Seconds per unit: an epoch in seconds stays below 1e11 for three thousand years."""
    return next((unit for bound, unit in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3)) if last > bound), 1.0)


def _frame_numbers(times: Doubles) -> bool:
    return bool((times == np.rint(times)).all() and np.median(np.diff(times)) == 1)


def _even_rate(times: Doubles) -> float | None:
    """The rate of even timestamps: a usual one if that is as near as their last digits can tell."""
    steps = np.arange(len(times))
    mean = steps[-1] / (times[-1] - times[0])
    floor = 8 * np.spacing(np.abs(times).max())
    digits = next((d for d in range(10) if np.abs(np.round(times, d) - times).max() <= floor), 10)
    for usual in USUAL_RATES[np.abs(USUAL_RATES / mean - 1) < 0.01]:
        if np.abs(times - times[0] - steps / usual).max() <= 1.01 * 10.0**-digits + floor:
            return float(usual)
    uneven = np.abs((times - times[0]) * mean - steps).max()
    return float(mean) if uneven <= EVEN else None


def _typical_rate(times: Doubles) -> float:
    """The rate of most steps, or the usual one beside it."""
    found = 1 / float(np.median(np.diff(times)))
    near = USUAL_RATES[np.argmin(np.abs(USUAL_RATES / found - 1))]
    return float(near) if abs(near / found - 1) < 0.02 else found

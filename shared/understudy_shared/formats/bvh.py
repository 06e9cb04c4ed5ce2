"""Biovision BVH: a hierarchy of joints and their channels, frame by frame.

`parse` reads any such file as it is; `load` retargets it to the body. A BVH has no standard names, units or up axis:
names go through the tables of `retarget`, units through the length of the legs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, BodyModel
from understudy_shared.formats.amass import Up
from understudy_shared.formats.reading import FormatError, read_text
from understudy_shared.motion import BROADCAST_RATES, MotionClip
from understudy_shared.retarget import Performance, RetargetError, Skeleton, retarget
from understudy_shared.rotations import matrix_from_axis_angle

_AXES = "XYZ"
_MAX_JOINTS = 4096
_RATES = (*(24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 200, 240), *(r * 1000 / 1001 for r in BROADCAST_RATES))


@dataclass(frozen=True, eq=False)
class Bvh:
    """A BVH file as it stands: N joints (end sites left out), C channels, T frames."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Parent of each joint, before it in the list; -1 for the root."""
    offsets: NDArray[np.float64]
    """(N, 3) from the parent, in the file's unit."""
    channels: tuple[tuple[str, ...], ...]
    """Of each joint, in the file's order, such as ("Xposition", "Zrotation")."""
    values: NDArray[np.float64]
    """(T, C); angles in degrees."""
    frame_time: float
    """Seconds."""

    def performance(self) -> Performance:
        """Rest joints, and rotations and positions of every joint in the file's world."""
        frames, count = len(self.values), len(self.names)
        rotations, positions = np.zeros((frames, count, 3, 3)), np.zeros((frames, count, 3))
        rest = self.offsets.copy()
        column = 0
        for joint, parent in enumerate(self.parents):
            local = np.broadcast_to(np.eye(3), (frames, 3, 3))
            place = np.tile(self.offsets[joint], (frames, 1))
            for channel in self.channels[joint]:
                axis, value = _AXES.index(channel[0]), self.values[:, column]
                if channel.endswith("position"):
                    place[:, axis] = value  # a position channel replaces the offset
                else:
                    local = local @ matrix_from_axis_angle(np.radians(value)[:, None] * np.eye(3)[axis])
                column += 1
            if parent < 0:
                rotations[:, joint], positions[:, joint] = local, place
            else:
                rest[joint] += rest[parent]
                rotations[:, joint] = rotations[:, parent] @ local
                positions[:, joint] = positions[:, parent] + (rotations[:, parent] @ place[..., None])[..., 0]
        return Performance(Skeleton(self.names, self.parents, rest), rotations, positions)


def sniff(path: Path | str) -> bool:
    """Whether the file begins as a BVH does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(b"HIERARCHY")
    except (OSError, ValueError):
        return False


def frame_rate(frame_time: float) -> float:
    """Frames per second of a frame time in seconds, which files round: 0.0333 is 30, not 30.03, and 0.033367 is 29.97.

    A usual rate is taken where its frame time, rounded to as many digits, is the given one: after a minute the other
    reading would be two frames off.
    """
    digits = len(f"{frame_time:.9f}".rstrip("0").partition(".")[2])
    fitting = [rate for rate in _RATES if digits >= 4 and abs(round(1 / rate, digits) - frame_time) < 1e-9]
    nearest = min(fitting, key=lambda rate: (rate % 1 > 0, abs(1 / rate - frame_time)), default=1 / frame_time)
    return float(nearest)  # a whole rate before 1000/1001 of one: 0.0417 could be either


def parse(path: Path | str) -> Bvh:
    """Reads the file, without giving its joints a meaning.

    Raises:
        FormatError: not a BVH, several roots, no frames, or numbers that are missing or not finite.
    """
    head, found, tail = read_text(path).partition("MOTION")
    if not head.split()[:1] == ["HIERARCHY"]:
        raise FormatError(path, "does not begin with HIERARCHY: not a BVH file")
    if not found:
        raise FormatError(path, "has no MOTION part: it holds a skeleton, but no frames")
    names, parents, offsets, channels = _hierarchy(path, head.split()[1:])
    values, frame_time = _motion(path, tail, sum(len(c) for c in channels))
    return Bvh(names, parents, offsets, channels, values, frame_time)


def load(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: Up = "auto",
    names: Mapping[str, str] | None = None,
) -> MotionClip:
    """Reads a clip for the mean shape of `body`, into a world with Z up.

    Args:
        path: the BVH.
        body: who wears it.
        fps: frame rate, instead of the file's frame time.
        up: the file's up axis; "auto" is Y, unless the performer stands along Z.
        names: joints of the body to joints of the file, where the names are not found by themselves.

    Raises:
        FormatError: as `parse`, or the joints that a body needs are not found.
    """
    bvh = parse(path)
    try:
        clip = retarget(bvh.performance(), body, frame_rate(bvh.frame_time), up=up, names=names)
        return clip if fps is None else MotionClip(clip.global_orient, clip.body_pose, clip.transl, clip.betas, fps)
    except (RetargetError, ValueError) as error:
        raise FormatError(path, str(error)) from None


def save(path: Path | str, clip: MotionClip, body: BodyModel) -> None:
    """Writes the clip on the body's own 24 joints, shaped by its betas: metres, Y up, channels in the order Z X Y.

    Raises:
        OSError: the file cannot be written.
    """
    rest = body.joints(clip.betas).astype(np.float64)
    pose = matrix_from_axis_angle(np.concatenate([clip.global_orient[:, None], clip.body_pose], 1))
    pose[:, 0] = Y_UP_TO_Z_UP.T @ pose[:, 0]
    pelvis = (rest[0] + clip.transl) @ Y_UP_TO_Z_UP
    angles = np.degrees(_euler_zxy(pose)).reshape(len(clip), -1)
    text = ["HIERARCHY", *_joint_lines(0, body.parents, rest, ""), "MOTION"]
    text += [f"Frames: {len(clip)}", f"Frame Time: {1 / clip.fps:.9f}"]
    order = _depth_first(0, body.parents)
    columns = np.array([[3 * joint, 3 * joint + 1, 3 * joint + 2] for joint in order]).reshape(-1)
    rows = np.concatenate([pelvis, angles[:, columns]], 1)
    text += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    Path(path).write_text("\n".join(text) + "\n", encoding="utf-8")


_Hierarchy = tuple[tuple[str, ...], tuple[int, ...], NDArray[np.float64], tuple[tuple[str, ...], ...]]


def _hierarchy(path: Path | str, tokens: list[str]) -> _Hierarchy:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    stack: list[int] = []  # open braces: the joint of each, -1 for an end site
    pending: int | None = None  # the joint whose brace comes next
    words = iter(tokens)
    try:
        for word in words:
            kind = word.upper()
            if kind in ("ROOT", "JOINT"):
                if (kind == "ROOT") != (not stack) or (stack and stack[-1] < 0):
                    raise FormatError(path, f"has a {kind} in a place where none can be; its hierarchy is damaged")
                if kind == "ROOT" and names:
                    raise FormatError(path, "holds several roots; export one performer per file")
                pending = len(names)
                if pending >= _MAX_JOINTS:
                    raise FormatError(path, f"holds more than {_MAX_JOINTS} joints")
                parents.append(stack[-1] if stack else -1)
                names.append(next(words))
                offsets.append([0.0, 0.0, 0.0])
                channels.append(())
            elif kind == "END":
                next(words)
                pending = -1
            elif kind == "{":
                if pending is None:
                    raise FormatError(path, "has a brace that opens nothing; its hierarchy is damaged")
                stack.append(pending)
                pending = None
            elif kind == "}":
                stack.pop()
            elif kind == "OFFSET":
                offset = [float(next(words)) for _ in range(3)]
                if stack[-1] >= 0:
                    offsets[stack[-1]] = offset
            elif kind == "CHANNELS":
                channels[stack[-1]] = tuple(_channel(path, next(words)) for _ in range(int(next(words))))
            else:
                raise FormatError(path, f"has the unknown word '{word[:40]}' in its hierarchy")
    except (StopIteration, IndexError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, "its hierarchy is damaged; export it again") from None
    if stack or not names:
        raise FormatError(path, "its hierarchy is not complete; export it again")
    places = np.array(offsets)
    if not np.isfinite(places).all():
        raise FormatError(path, "has joint offsets that are not finite")
    return tuple(names), tuple(parents), places, tuple(channels)


def _channel(path: Path | str, word: str) -> str:
    name = word[:1].upper() + word[1:].lower()
    if name[:1] not in _AXES or name[1:] not in ("position", "rotation"):
        raise FormatError(path, f"has the unknown channel '{word[:40]}'")
    return name


def _motion(path: Path | str, text: str, columns: int) -> tuple[NDArray[np.float64], float]:
    words = text.replace(":", " ").split(maxsplit=5)
    try:
        declared, frame_time = int(words[1]), float(words[4])
        if [w.lower() for w in (words[0], *words[2:4])] != ["frames", "frame", "time"]:
            raise ValueError
    except (IndexError, ValueError):
        raise FormatError(path, "its MOTION part does not give 'Frames:' and 'Frame Time:'; export it again") from None
    if declared < 1 or len(words) < 6:
        raise FormatError(path, "holds no frames")
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise FormatError(path, "its frame time is not a positive number; correct 'Frame Time:'")
    try:
        values = np.array(words[5].split(), np.float64)
    except ValueError:
        raise FormatError(path, "has something other than numbers in its frames; export it again") from None
    if columns == 0 or values.size < declared * columns or values.size % columns:
        raise FormatError(path, f"declares {declared} frames of {columns} numbers, but holds {values.size} numbers")
    values = values[: declared * columns]  # some exporters count one frame too few
    if not np.isfinite(values).all():
        raise FormatError(path, "holds numbers that are not finite (NaN or infinity); clean the motion first")
    return values.reshape(declared, columns), frame_time


def _depth_first(joint: int, parents: tuple[int, ...]) -> list[int]:
    """A joint and those below it, in the order in which a BVH writes their channels."""
    below = (_depth_first(child, parents) for child, parent in enumerate(parents) if parent == joint)
    return [joint, *(j for part in below for j in part)]


def _joint_lines(joint: int, parents: tuple[int, ...], rest: NDArray[np.float64], indent: str) -> list[str]:
    inner, parent = indent + "  ", parents[joint]
    offset = rest[joint] - rest[parent] if parent >= 0 else np.zeros(3)
    children = [child for child, p in enumerate(parents) if p == joint]
    places = "6 Xposition Yposition Zposition" if parent < 0 else "3"
    lines = [
        f"{indent}{'JOINT' if parent >= 0 else 'ROOT'} {JOINT_NAMES[joint]}",
        f"{indent}{{",
        f"{inner}OFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}",
        f"{inner}CHANNELS {places} Zrotation Xrotation Yrotation",
    ]
    for child in children:
        lines += _joint_lines(child, parents, rest, inner)
    if not children:
        tip = 0.1 * (offset / max(float(np.linalg.norm(offset)), 1e-9))
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}  OFFSET {tip[0]:.6f} {tip[1]:.6f} {tip[2]:.6f}"]
        lines.append(f"{inner}}}")
    return [*lines, f"{indent}}}"]


def _euler_zxy(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles (..., 3) in radians about Z, X, Y with m = Rz Rx Ry."""
    x = np.arcsin(np.clip(m[..., 2, 1], -1, 1))
    locked = np.abs(m[..., 2, 1]) > 1 - 1e-9  # then only the sum of z and y counts: all of it goes to z
    z = np.where(locked, np.arctan2(m[..., 1, 0], m[..., 0, 0]), np.arctan2(-m[..., 0, 1], m[..., 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-m[..., 2, 0], m[..., 2, 2]))
    return np.stack([z, x, y], -1)

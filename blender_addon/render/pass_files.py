# SPDX-License-Identifier: GPL-3.0-or-later
"""The passes of a take as files: one multilayer EXR for each frame, or one PNG for each frame and pass.

EXR, beside the frames, layer `Person`. Colour is linear and multiplied by its alpha, as Blender's passes are:

- `Beauty` RGBA and `Alpha`: the finished frame.
- `Intermediate` RGBA: the textured body that it was made from.
- `Depth`: metres along the camera's axis, 1e10 where there is no body.
- `Reach`: the same, where there is no body that of the nearest pixel which has one; for the finished person's clothes
  and hair, which reach beyond the body. Goes with `Depth`. 0 in a picture without a body.
- `Normal` XYZ: in camera space, x right, y down, z forward. `UV`: of the body's texture, 1 in A where there is a body.
- `Mask`: how much of the pixel the body covers.
- `There`: 1 where the frame was finished. So a frame that is missing is told from one in which nobody is seen.

PNG, in the folder `passes`: colour and masks in 8 bits; in 16 bits depth in millimetres (0: no body; 65535: further
than 65.5 m), normals as 32768 + 32767 n, UV as 65535 (u, v, 0). Alpha is straight.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame, srgb_to_linear

from ..link.png import assemble
from .exr import read_notes
from .exr_writing import exr_bytes

PASSES = ("beauty", "alpha", "intermediate", "depth", "normal", "uv", "mask")
"""The names of the passes."""

LAYER = "Person"
FAR = 1e10
"""Blender's depth where there is nothing."""

_NOTE_PASSES, _NOTE_FRAME, _NOTE_BODY = "understudyPasses", "understudyFrame", "understudyBody"


def exr_name(number: int) -> str:
    """Name of a frame's EXR within the folder of its take."""
    return f"passes_{number:06d}.exr"


def png_name(which: str, number: int) -> str:
    """Name of a frame's PNG of one pass within the folder of its take."""
    return f"passes/{which}_{number:06d}.png"


def fingerprint(frame_file: Path) -> str:
    """Tells whether a frame's file has changed; empty where there is none."""
    try:
        return f"{zlib.crc32(frame_file.read_bytes()):08x}"
    except FileNotFoundError:
        return ""


def kept(path: Path, frame: str, body: str) -> frozenset[str]:
    """The passes in an EXR, if it is still right; none if it is not, or not there.

    Args:
        path: the file.
        frame: `fingerprint` of the finished frame.
        body: digest of the body's pose and the camera; empty where that is not known: it is not looked at.
    """
    try:
        notes = read_notes(path)
    except (OSError, ValueError):
        return frozenset()
    if notes.get(_NOTE_FRAME, "?") != frame or (body and notes.get(_NOTE_BODY) != body):
        return frozenset()
    return frozenset(notes.get(_NOTE_PASSES, "").split())


def encode_exr(
    wanted: Collection[str], size: tuple[int, int], beauty: NDArray[np.uint8] | None, body: Frame | None, frame: str,
    pose: str,
) -> bytes:  # fmt: skip
    """The EXR of one frame.

    Args:
        wanted: of `PASSES`.
        size: (width, height) in pixels.
        beauty: the finished frame (H, W, 4) sRGB, straight alpha; None where it is missing.
        body: of `render.passes`; may be None where only `beauty` and `alpha` are wanted.
        frame: `fingerprint` of the finished frame.
        pose: digest of the body's pose and the camera.
    """
    planes: dict[str, NDArray[np.floating]] = {}

    def put(name: str, components: str, values: NDArray, kind: type[np.floating]) -> None:
        for c, component in enumerate(components):
            planes[f"{LAYER}.{name}.{component}"] = values[..., c].astype(kind)

    shown = beauty if beauty is not None else np.zeros((size[1], size[0], 4), np.uint8)
    put("There", "V", np.full((*shown.shape[:2], 1), beauty is not None), np.float16)
    if "beauty" in wanted:
        put("Beauty", "RGBA", premultiplied(shown), np.float16)
    if "alpha" in wanted:
        put("Alpha", "V", shown[..., 3:] / 255, np.float16)
    if body is not None:
        channels = body.channels
        depth = channels[Channel.DEPTH]
        seen = np.isfinite(depth)
        if "intermediate" in wanted:
            put("Intermediate", "RGBA", premultiplied(channels[Channel.RGBA]), np.float16)
        if "depth" in wanted:
            put("Depth", "Z", np.where(seen, depth, FAR)[..., None], np.float32)
            put("Reach", "Z", reach(depth)[..., None], np.float32)
        if "normal" in wanted:
            put("Normal", "XYZ", channels[Channel.NORMAL], np.float32)
        if "uv" in wanted:
            put("UV", "UVA", np.dstack([channels[Channel.UV], seen]), np.float32)
        if "mask" in wanted:
            put("Mask", "V", channels[Channel.MASK][..., None], np.float16)
    notes = {_NOTE_PASSES: " ".join(wanted), _NOTE_FRAME: frame, _NOTE_BODY: pose}
    return exr_bytes(planes, notes)


def encode_png(which: str, beauty: NDArray[np.uint8] | None, body: Frame | None) -> bytes | None:
    """The PNG of one pass, None where the finished frame that it shows is missing; see `encode_exr`."""
    if which in ("beauty", "alpha"):
        if beauty is None:
            return None
        return _png(beauty if which == "beauty" else beauty[..., 3:])
    assert body is not None
    channels: Mapping[Channel, NDArray] = body.channels
    if which == "intermediate":
        return _png(channels[Channel.RGBA])
    if which == "mask":
        return _png(np.rint(channels[Channel.MASK] * 255).astype(np.uint8)[..., None])
    if which == "depth":
        depth = np.where(np.isfinite(channels[Channel.DEPTH]), channels[Channel.DEPTH], 0) * 1000
        return _png(np.rint(np.clip(depth, 0, 65535)).astype(np.uint16)[..., None])
    if which == "normal":
        return _png(np.rint(32768 + 32767 * channels[Channel.NORMAL]).astype(np.uint16))
    uv = channels[Channel.UV]
    return _png(np.rint(np.dstack([uv, np.zeros_like(uv[..., :1])]).clip(0, 1) * 65535).astype(np.uint16))


_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


def premultiplied(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 4) sRGB with straight alpha as linear, multiplied by alpha."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.concatenate([_LINEAR[rgba[..., :3]] * alpha, alpha], axis=-1, dtype=np.float32)


def reach(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth (H, W) in which every pixel without one (inf) has that of the nearest that has; zeros where none has.

    By jump flooding: log2 of the size passes over the picture. Where several are nearly equally near, it may choose
    another than the nearest: harmless, for their depths are alike.
    """
    height, width = depth.shape
    seen = np.isfinite(depth)
    if not seen.any():
        return np.zeros_like(depth)
    rows, columns = (axis.astype(np.int32) for axis in np.indices(depth.shape, np.int32))
    row, column = np.where(seen, rows, 0), np.where(seen, columns, 0)
    far = np.int32(2**30)
    best = np.where(seen, 0, far).astype(np.int32)
    step = 1 << (max(height, width) - 1).bit_length() >> 1
    while step:
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            to = _part(dy * step, height), _part(dx * step, width)
            at = _part(-dy * step, height), _part(-dx * step, width)
            theirs_row, theirs_column = row[at], column[at]
            away = (theirs_row - rows[to]) ** 2 + (theirs_column - columns[to]) ** 2
            away[best[at] == far] = far
            nearer = away < best[to]
            best[to][nearer] = away[nearer]
            row[to][nearer], column[to][nearer] = theirs_row[nearer], theirs_column[nearer]
        step >>= 1
    return depth[row, column]


def _part(shift: int, length: int) -> slice:
    """The pixels of an axis that stay within it when shifted the other way."""
    return slice(max(-shift, 0), length - max(shift, 0)) if abs(shift) < length else slice(0, 0)


def _png(values: NDArray) -> bytes:
    """(H, W, 1, 3 or 4) uint8 or uint16 as PNG."""
    height, width, count = values.shape
    bits = 8 * values.dtype.itemsize
    lines = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    rows = np.zeros((height, 1 + lines.shape[1]), np.uint8)
    rows[:, 1:] = lines
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 3: 2, 4: 6}[count], 0, 0, 0)
    srgb = ((b"sRGB", b"\0"),) if count == 4 else ()
    return assemble(((b"IHDR", header), *srgb, (b"IDAT", zlib.compress(rows.tobytes(), 2)), (b"IEND", b"")))

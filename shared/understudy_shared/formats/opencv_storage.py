"""OpenCV's FileStorage, as far as cameras need it: named numbers and matrices in YAML, XML or JSON.

A matrix has rows and cols, or sizes; a type (`dt`: a letter, before it the number of channels if there are several);
and its data row by row. Only what stands at the top level is read; anything else in the file is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy_shared.camera import Doubles
from understudy_shared.formats.reading import FormatError

_YAML_MATRIX = re.compile(
    r"^([\w.-]+):\s*!!opencv-(?:nd-)?matrix\s+(?:rows:\s*(\d+)\s+cols:\s*(\d+)|sizes:\s*\[([\s\d,]*)\])"
    r"\s+dt:\s*\"?(\w+)\"?\s+data:\s*\[([^\]]*)\]",
    re.M,
)
_YAML_VALUE = re.compile(r"^([\w.-]+):[ \t]*([-+.\w]+)[ \t]*$", re.M)
_XML_MATRIX = re.compile(
    r"<([\w.-]+)\s+type_id=\"opencv-(?:nd-)?matrix\"\s*>"
    r"\s*(?:<rows>\s*(\d+)\s*</rows>\s*<cols>\s*(\d+)\s*</cols>|<sizes>([\s\d]*)</sizes>)"
    r"\s*<dt>\s*\"?(\w+)\"?\s*</dt>\s*<data>([^<]*)</data>"
)
_XML_VALUE = re.compile(r"^<([\w.-]+)>\s*([-+.\w]+)\s*</\1>", re.M)
MAX_VALUES = 100_000
"""Most numbers with a name in one file."""
_TYPE = re.compile(r"(\d*)([ucwsifdh])")


def is_storage(text: str) -> bool:
    """Whether a text is FileStorage in YAML or XML."""
    head = text[:400].lstrip()
    return head.startswith("%YAML") or (head.startswith("<") and "<opencv_storage" in head)


def read(path: Path | str, text: str) -> dict[str, Any]:
    """Numbers and matrices of a FileStorage in YAML or XML, by name.

    Raises:
        FormatError: a matrix is not as large as it says.
    """
    xml = text[:400].lstrip().startswith("<")
    values: dict[str, Any] = {}
    for found, (name, value) in enumerate(
        match.groups() for match in (_XML_VALUE if xml else _YAML_VALUE).finditer(text)
    ):
        if found >= MAX_VALUES:
            raise FormatError(path, f"has more than {MAX_VALUES} entries, so it is no camera's")
        try:
            values[name] = float(value)
        except ValueError:
            continue
    for name, rows, cols, sizes, kind, data in (_XML_MATRIX if xml else _YAML_MATRIX).findall(text):
        shape = [rows, cols] if rows else sizes.replace(",", " ").split()
        values[name] = _matrix(path, name, [int(side[:9]) for side in shape], kind, data.replace(",", " ").split())
    return values


def decoded(path: Path | str, value: Any) -> Any:
    """A value of a FileStorage in JSON: a matrix's object becomes a matrix, anything else stays.

    Raises:
        FormatError: a matrix is not as large as it says.
    """
    if not isinstance(value, Mapping) or value.get("type_id") not in ("opencv-matrix", "opencv-nd-matrix"):
        return value
    shape, data = value.get("sizes", [value.get("rows"), value.get("cols")]), value.get("data")
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape) or not isinstance(data, list):
        raise FormatError(path, "holds a matrix without rows, cols and data; write it again")
    return _matrix(path, "a matrix", shape, str(value.get("dt", "d")), data)


def yaml(values: Mapping[str, float | Doubles]) -> str:
    """Numbers and matrices as FileStorage in YAML."""
    lines = ["%YAML:1.0", "---"]
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            rows, cols = value.shape
            data = ", ".join(map(repr, value.reshape(-1).tolist()))
            lines += [f"{name}: !!opencv-matrix", f"   rows: {rows}", f"   cols: {cols}", "   dt: d"]
            lines.append(f"   data: [ {data} ]")
        else:
            lines.append(f"{name}: {value!r}")
    return "\n".join(lines) + "\n"


def xml(values: Mapping[str, float | Doubles]) -> str:
    """Numbers and matrices as FileStorage in XML."""
    lines = ['<?xml version="1.0"?>', "<opencv_storage>"]
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            rows, cols = value.shape
            data = " ".join(map(repr, value.reshape(-1).tolist()))
            lines.append(f'<{name} type_id="opencv-matrix">')
            lines.append(f"  <rows>{rows}</rows> <cols>{cols}</cols> <dt>d</dt> <data>{data}</data></{name}>")
        else:
            lines.append(f"<{name}>{value!r}</{name}>")
    return "\n".join([*lines, "</opencv_storage>", ""])


def _matrix(path: Path | str, name: str, shape: list[int], kind: str, data: list[Any]) -> NDArray[np.float64]:
    channels = _TYPE.fullmatch(kind)
    if channels is None:
        raise FormatError(path, f"'{name}' has elements of the kind '{kind[:20]}', which are no numbers")
    size = (*shape, int(channels[1][:9])) if channels[1] else tuple(shape)
    if min(size, default=0) < 0:
        raise FormatError(path, f"'{name}' declares sides below zero; write it again")
    try:
        return np.array(data, np.float64).reshape(size)
    except (TypeError, ValueError, OverflowError):
        raise FormatError(path, f"'{name}' has not the {' x '.join(map(str, size))} numbers that it declares") from None

"""Text files that are nothing but a table of numbers: read fast, bounded, and with the line that is wrong."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy_shared.formats.reading import FormatError, read_text

COMMENT = "#"
MAX_LINES = 1 << 19
"""Most lines of a table: some hours of frames, and as many comments."""
_HEAD_BYTES = 1 << 16
_DECIMAL_COMMA = re.compile(r"\d,\d")


def read_table(path: Path | str, columns: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """A table (rows, columns) of numbers between blanks or tabs; lines may be empty or comments after #.

    Args:
        path: the file.
        columns: how many there may be.
        what: a row's meaning, for messages.

    Raises:
        FormatError: not such a table, with the first line that is none.
    """
    text = read_text(path)
    if text.count("\n") > MAX_LINES:
        raise FormatError(path, f"has more than {MAX_LINES} lines; cut it into shorter pieces")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file without numbers, which is said below
            table = np.loadtxt(io.StringIO(text), comments=COMMENT, ndmin=2)
    except ValueError:
        raise FormatError(path, _what_is_wrong(text, columns, what)) from None
    if not table.size:
        raise FormatError(path, f"is empty: it has no line of {what}")
    if table.shape[1] not in columns:
        raise FormatError(path, _what_is_wrong(text, columns, what))
    bad = ~np.isfinite(table).all(1)
    if bad.any():
        raise FormatError(path, f"row {np.argmax(bad) + 1} holds numbers that are not finite; take it out")
    return table


def peek_table(path: Path | str) -> NDArray[np.float64] | None:
    """The first rows of a table, or None if the file does not begin as one. Reads little of it."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES + 1)
        lines = head[:_HEAD_BYTES].decode("utf-8-sig", "replace" if len(head) > _HEAD_BYTES else "strict").splitlines()
    except (OSError, ValueError):
        return None
    if len(head) > _HEAD_BYTES:
        lines = lines[:-1]
    found: list[list[float]] = []
    for line in lines[:2000]:
        words = line.split(COMMENT)[0].split()
        if words:
            try:
                found.append([float(word) for word in words])
            except ValueError:
                return None
            if len(found[-1]) != len(found[0]):
                return None
        if len(found) == 64:
            break
    return np.array(found) if found else None


def _what_is_wrong(text: str, columns: tuple[int, ...], what: str) -> str:
    wanted = " or ".join(map(str, columns))
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(COMMENT)[0].split()
        if not words:
            continue
        if any(_DECIMAL_COMMA.search(word) for word in words):
            return f"line {number} has commas in its numbers; write decimal points, and blanks between the numbers"
        for word in words:
            try:
                float(word)
            except ValueError:
                return f"'{word[:24]}' in line {number} is not a number; a line of {what} has {wanted} numbers"
        if len(words) not in columns:
            return f"line {number} has {len(words)} numbers; a line of {what} has {wanted}"
        first = first or len(words)
        if len(words) != first:
            return f"line {number} has {len(words)} numbers, those before it {first}; all lines must be alike"
    return f"its lines differ in length; a line of {what} has {wanted} numbers"

# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a disk, in words. The system's own words are for programmers."""

from __future__ import annotations

import errno
from pathlib import Path

_OTHER = "Choose another folder for takes in the preferences"
_CAUSES = {
    "ENOSPC": ("the disk is full", "Make room there"),
    "EDQUOT": ("your share of the disk is used up", "Make room there"),
    "EROFS": ("the disk is write-protected", _OTHER),
    "EACCES": ("writing there is not allowed", f"Allow it. {_OTHER}"),
    "EPERM": ("writing there is not allowed", f"Allow it. {_OTHER}"),
    "ENOENT": ("the folder is gone", "Put it back, or connect its disk"),
    "ENOTDIR": ("the folder is gone", "Put it back, or connect its disk"),
    "ESTALE": ("the network folder is gone", "Connect it again"),
    "EIO": ("the disk does not answer as it should", "Check the disk"),
    "ENAMETOOLONG": ("its name is too long for this disk", _OTHER),
}


def in_words(error: OSError, folder: Path | str) -> tuple[str, str]:
    """What has happened, and what to do, each one sentence without its full stop.

    Args:
        error: what the system said.
        folder: where something was to be written or read.
    """
    said = (error.strerror or str(error) or "the system gives no reason", "Look at that folder")
    cause, fix = _CAUSES.get(errno.errorcode.get(error.errno or 0, ""), said)
    return f"Nothing can be written to {folder}: {cause}", fix


class DiskError(OSError):
    """Something cannot be kept; the message says what to do."""

    def __init__(self, error: OSError, folder: Path | str) -> None:
        super().__init__(". ".join(in_words(error, folder)))
        self.errno = error.errno

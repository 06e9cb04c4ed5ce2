"""Brings one file from the network onto the disk: resumable, checked, and there whole or not at all.

What has arrived is kept in `NAME.part` beside the file's place; the next try goes on there.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

CHUNK = 1 << 16
PATIENCE = 30.0
"""Seconds without a byte after which the source counts as gone."""
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

Progress = Callable[[int], object]
"""Is told how many bytes of the file are here."""


class DownloadError(Exception):
    """Why the file is not there, in one line that says what to do."""


def download(
    url: str,
    target: Path,
    *,
    size: int = 0,
    sha256: str = "",
    progress: Progress = lambda done: None,
) -> None:
    """Fetches `url` to `target`; does nothing where the file is there already.

    Args:
        url: https, as must be every address that it leads on to; a source on this machine may do without.
        target: folders on the way are made.
        size: in bytes, 0 where it is not known.
        sha256: the digest or its beginning; empty where it is not known.
        progress: called now and then.

    Raises:
        DownloadError: no network, no room, not the file that was expected.
    """
    if target.is_file():
        progress(target.stat().st_size)
        return
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.is_file() else 0
        if size and have > size:
            part.unlink()
            have = 0
        if not size or have < size:
            _fetch(url, part, have, size, progress)
        _check(part, target.name, size, sha256)
        part.replace(target)
    except OSError as error:
        raise DownloadError(_in_words(error, target)) from None


def require_room(folder: Path, needed: int) -> None:
    """Looks whether `needed` bytes fit onto the disk of a folder, which need not be there yet.

    Raises:
        DownloadError: they do not.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DownloadError(
            f"no room: {needed / 1e9:.1f} GB are still to come, and the disk of {there} has {free / 1e9:.1f} GB free; "
            "make room, or set UNDERSTUDY_WEIGHTS to a folder on another disk"
        )


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Does not follow from a safe address to an unsafe one."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        raise DownloadError(f"{url[:200]} is no https address: nothing was fetched from it")


def _fetch(url: str, part: Path, have: int, size: int, progress: Progress) -> None:
    _require_safe(url)
    opener = urllib.request.build_opener(_SafeRedirects)
    headers = {"User-Agent": "understudy", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left: of a source that did not say how long the file is
            return
        raise
    with answer:
        if getattr(answer, "status", None) != 206:  # the source begins anew
            have = 0
        size = size or have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file:
            while data := answer.read(CHUNK):
                file.write(data)
                have += len(data)
                progress(have)
                if size and have > size:
                    break  # `_check` tells
    if have < size:
        raise DownloadError(
            f"the connection broke off; what has arrived is kept in {part}: the same command goes on there"
        )


def _check(part: Path, name: str, size: int, sha256: str) -> None:
    """Removes what is not the file that was expected."""
    if size and part.stat().st_size != size:
        part.unlink()
        raise DownloadError(f"{name} is not as long as its source says, and was removed: fetch it again")
    if sha256:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(sha256.lower()):
            part.unlink()
            raise DownloadError(
                f"{name} is not the published file (its SHA-256 is {found[:12]}…, not {sha256[:12]}…), and was "
                "removed: fetch it again, and if that does not help, do not use this source"
            )


def _in_words(error: OSError, target: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no room on the disk of {target.parent}: make room, and the same command goes on where it was"
    if isinstance(error, urllib.error.HTTPError):
        return f"the source does not give {target.name}: {error.code} {error.reason}; look at its page"
    if isinstance(error, urllib.error.URLError | TimeoutError | ConnectionError):
        why = getattr(error, "reason", None) or error
        return f"no answer from the source of {target.name} ({why}): check the network, the same command goes on"
    return f"{target} cannot be written ({error.strerror or error})"

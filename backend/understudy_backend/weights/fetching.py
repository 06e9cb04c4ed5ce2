"""Fetches a published set: what its source says of the files, room for them, then one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from understudy_backend.weights.download import DownloadError, download, require_room
from understudy_backend.weights.published import PublishedSet, SourceFile


@dataclass(frozen=True)
class PlannedFile:
    """A file of a set as its source offers it now."""

    file: SourceFile
    url: str
    size: int
    """In bytes, 0 where the source does not say."""
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What fetching a set comes to."""

    files: tuple[PlannedFile, ...]
    licences: tuple[str, ...]
    """What the cards of the repositories say of their licences, as `OWNER/NAME: apache-2.0`."""

    @property
    def bytes(self) -> int:
        """Of all files, as far as their sources say."""
        return sum(planned.size for planned in self.files)


Report = Callable[[int, int, str], object]
"""Is told bytes that are here, bytes of the whole set (0: unknown), and the name of the file that is coming."""


def plan(wanted: PublishedSet) -> Plan:
    """Asks the sources what they have.

    Raises:
        DownloadError: it cannot be fetched, a source does not answer, or lacks a file.
    """
    if wanted.by_hand:
        raise DownloadError(wanted.how_by_hand)
    listings = {name: _Listing(name) for name in dict.fromkeys(f.repository for f in wanted.files if f.repository)}

    def find(file: SourceFile) -> PlannedFile:
        if file.repository:
            return listings[file.repository].find(file)
        return PlannedFile(file, file.source, file.size, file.sha256)

    files = tuple(find(file) for file in wanted.files)
    return Plan(files, tuple(f"{name}: {listing.licence}" for name, listing in listings.items() if listing.licence))


def fetch(wanted: PublishedSet, planned: Plan, report: Report) -> None:
    """Brings the files of a set into its folder. What is there is left as it is; what was begun goes on.

    Args:
        wanted: the set.
        planned: of the same set.
        report: called now and then.

    Raises:
        DownloadError: see `download`.
    """
    before = 0
    require_room(wanted.place, sum(max(0, p.size - _here(wanted, p)) for p in planned.files))
    for each in planned.files:
        done = before

        def progress(here: int, done: int = done, name: str = each.file.path) -> None:
            report(done + here, planned.bytes, name)

        download(
            each.url,
            wanted.place / each.file.path,
            size=each.size,
            sha256=each.sha256,
            progress=progress,
        )
        before += each.size


def _here(wanted: PublishedSet, planned: PlannedFile) -> int:
    target = wanted.place / planned.file.path
    part = target.with_name(f"{target.name}.part")
    return next((path.stat().st_size for path in (target, part) if path.is_file()), 0)


class _Listing:
    """The files of a repository on the Hugging Face hub, at one commit."""

    def __init__(self, repository: str) -> None:
        import huggingface_hub

        self._repository = repository
        try:
            info = huggingface_hub.HfApi(token=False).model_info(repository, files_metadata=True, timeout=30)
        except Exception as error:  # the hub's client raises the errors of several libraries
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise DownloadError(
                f"Hugging Face does not tell what {repository} holds ({first}): check the network, or fetch it by hand"
            ) from None
        self._commit = info.sha
        self._url = huggingface_hub.hf_hub_url
        self._files: Mapping[str, object] = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        self.licence = str(getattr(info.card_data, "license", None) or "")

    def find(self, file: SourceFile) -> PlannedFile:
        """The first of a file's names that is there."""
        for path in (file.source, *file.instead):
            if path in self._files:
                there = self._files[path]
                lfs = getattr(there, "lfs", None)
                sha256 = str(getattr(lfs, "sha256", "") or "")
                size = int(getattr(there, "size", 0) or 0)
                return PlannedFile(file, self._url(self._repository, path, revision=self._commit), size, sha256)
        raise DownloadError(
            f"{self._repository} on Hugging Face has no {file.source} any more: look at its page, "
            "or choose other weights"
        )

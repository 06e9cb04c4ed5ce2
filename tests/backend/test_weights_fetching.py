"""Getting published weights: from a hub on this machine, interrupted, forged, without room, and as a user types it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_hub import FakeHub
from understudy_backend.methods.catalogue import METHODS, make_method
from understudy_backend.weights.animator_sets import animator_sets
from understudy_backend.weights.download import DownloadError, download
from understudy_backend.weights.published import PUBLISHED, find_published

BYTES = np.random.default_rng(0).bytes(600_000)
DIGEST = hashlib.sha256(BYTES).hexdigest()
CHAMP = "fudan-generative-ai/champ"
VAE = "stabilityai/sd-vae-ft-mse"
GUIDERS = [f"guidance_encoder_{kind}" for kind in ("depth", "normal", "semantic_map", "dwpose")]


def champ() -> dict[str, dict[str, bytes]]:
    """The files of the published set, the first of them long enough to be interrupted."""
    names = ("denoising_unet", "reference_unet", "motion_module", *GUIDERS)
    files = {f"champ/{name}.pth": BYTES[: 4000 + n] for n, name in enumerate(names)}
    files["champ/denoising_unet.pth"] = BYTES
    files |= {"image_encoder/config.json": b"{}", "image_encoder/pytorch_model.bin": b"bin", "README.md": b"read"}
    return {CHAMP: files, VAE: {"config.json": b"{ }", "diffusion_pytorch_model.safetensors": b"vae"}}


@pytest.fixture
def hub():
    with FakeHub(champ()) as hub:
        yield hub


def environment(folder: Path, url: str) -> dict[str, str]:
    return {**os.environ, "UNDERSTUDY_WEIGHTS": str(folder), "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}


def understudy(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "understudy_backend.cli", "weights", *arguments]
    return subprocess.run(
        command, env=environment(folder, url), capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


# -- one file


def fetch(hub: FakeHub, target: Path, **expected) -> None:
    download(f"{hub.url}/{CHAMP}/resolve/{'c' * 40}/champ/denoising_unet.pth", target, **expected)


@pytest.mark.parametrize("size", [0, len(BYTES)])
def test_a_broken_download_goes_on_where_it_was(hub, tmp_path, size):
    target, part = tmp_path / "deep" / "a.pth", tmp_path / "deep" / "a.pth.part"
    hub.break_after["champ/denoising_unet.pth"] = 100_000
    with pytest.raises(DownloadError, match="broke off"):
        fetch(hub, target, size=size)
    assert part.read_bytes() == BYTES[:100_000] and not target.exists()
    told = []
    fetch(hub, target, size=size, progress=told.append)
    assert target.read_bytes() == BYTES and not part.exists()
    assert [wanted for _, wanted in hub.asked] == ["", "bytes=100000-"]
    assert told == sorted(told) and told[-1] == len(BYTES) and told[0] > 100_000


def test_a_source_that_cannot_go_on_begins_anew(hub, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(b"x" * 5000)
    hub.whole_only = True
    fetch(hub, tmp_path / "a.pth", size=len(BYTES))
    assert (tmp_path / "a.pth").read_bytes() == BYTES


def test_a_complete_part_is_taken_as_it_is(hub, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(BYTES)
    fetch(hub, tmp_path / "a.pth", sha256=DIGEST)
    assert (tmp_path / "a.pth").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"sha256": "00" * 32}, "not the published file"),
        ({"size": 7}, "not as long"),
        ({"size": len(BYTES), "sha256": "beef"}, "not the published file"),
    ],
)
def test_another_file_than_expected_is_removed(hub, tmp_path, expected, message):
    with pytest.raises(DownloadError, match=message) as error:
        fetch(hub, tmp_path / "a.pth", **expected)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_disk_that_fills_keeps_what_has_arrived(hub, tmp_path, monkeypatch):
    real = Path.open

    class Full:
        def __init__(self, file):
            self._file, self._left = file, 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, data):
            if not self._left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self._left -= 1
            self._file.write(data)

    def opened(self, *mode):
        return Full(real(self, *mode)) if self.suffix == ".part" else real(self, *mode)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DownloadError, match="no room on the disk"):
        fetch(hub, tmp_path / "a.pth")
    monkeypatch.undo()
    assert 0 < (tmp_path / "a.pth.part").stat().st_size < len(BYTES)
    fetch(hub, tmp_path / "a.pth", sha256=DIGEST)


def test_nothing_is_fetched_from_an_unsafe_address(hub, tmp_path):
    (tmp_path / "secret").write_text("x")
    for url in ("http://example.com/a.pth", f"file://{tmp_path}/secret", "ftp://example.com/a"):
        with pytest.raises(DownloadError, match="no https address"):
            download(url, tmp_path / "a.pth")
        hub.redirect["champ/denoising_unet.pth"] = url
        with pytest.raises(DownloadError):
            fetch(hub, tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()


def test_no_answer_is_one_line(tmp_path):
    with pytest.raises(DownloadError, match="check the network"):
        download("https://127.0.0.1:9/a.pth", tmp_path / "a.pth")


# -- a set, as a user fetches it


def test_a_set_arrives_where_its_method_looks(hub, tmp_path, monkeypatch):
    done = understudy(tmp_path, hub.url, "get", "champ-published", "--accept-licence")
    assert done.returncode == 0, done.stderr
    for words in ("CreativeML OpenRAIL-M", f"{CHAMP}: creativeml-openrail-m", CHAMP, str(tmp_path / "champ-published")):
        assert words in done.stdout
    folder = tmp_path / "champ-published"
    assert (folder / "denoising_unet.pth").read_bytes() == BYTES
    assert (folder / "vae/diffusion_pytorch_model.safetensors").read_bytes() == b"vae"
    assert not (folder / "README.md").exists() and not list(folder.rglob("*.part"))
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    assert animator_sets("champ")[0].available
    asked = len(hub.asked)
    assert "here already" in understudy(tmp_path, hub.url, "get", "champ-published", "--accept-licence").stdout
    assert len(hub.asked) == asked


def test_a_killed_command_goes_on(hub, tmp_path):
    hub.pause = 0.05
    command = [sys.executable, "-m", "understudy_backend.cli", "weights", "get", "champ-published", "--json"]
    process = subprocess.Popen(
        [*command, "--accept-licence"], env=environment(tmp_path, hub.url), stdout=subprocess.PIPE, text=True
    )
    part = tmp_path / "champ-published/denoising_unet.pth.part"
    until = time.monotonic() + 60
    while not part.exists() or part.stat().st_size == 0:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = part.stat().st_size
    hub.pause = 0
    done = understudy(tmp_path, hub.url, "get", "champ-published", "--accept-licence", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "champ-published/denoising_unet.pth").read_bytes() == BYTES
    assert ("champ/denoising_unet.pth", f"bytes={kept}-") in hub.asked
    told = [json.loads(line) for line in done.stdout.splitlines()]
    total = sum(len(c) for files in champ().values() for name, c in files.items() if name != "README.md")
    assert told[-1]["done"] == told[-1]["total"] == total


def test_it_ends_with_the_program_that_started_it(hub, tmp_path):
    hub.pause = 0.05
    command = [sys.executable, "-m", "understudy_backend.cli", "weights", "get", "champ-published", "--with-parent"]
    process = subprocess.Popen(
        [*command, "--accept-licence"], env=environment(tmp_path, hub.url), stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(1.0)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(10) == 130


def test_without_consent_nothing_is_fetched(hub, tmp_path):
    done = understudy(tmp_path, hub.url, "get", "champ-published")
    assert done.returncode == 2 and "--accept-licence" in done.stderr
    assert "CreativeML OpenRAIL-M" in done.stdout and hub.asked == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("yes", 0)])
def test_the_terminal_asks(tmp_path, monkeypatch, answer, code):
    from understudy_backend.cli import main
    from understudy_backend.weights import fetching

    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    monkeypatch.setattr(fetching, "download", lambda url, target, **_: target.write_bytes(b"x"))
    assert main(["weights", "get", "vgg19"]) == code
    assert (tmp_path / "vgg19-dcbb9e9d.pth").exists() == (code == 0)


def test_what_is_wrong_is_one_line(hub, tmp_path):
    def fails(*arguments: str, url: str = hub.url) -> str:
        done = understudy(tmp_path, url, "get", *arguments, "--accept-licence")
        assert done.returncode and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("understudy: ")
        return done.stderr

    assert "choose from" in fails("nonsense")
    by_hand = fails("tpsmm-vox")
    assert "no direct download" in by_hand and "vox.pth.tar" in by_hand and str(tmp_path / "tpsmm") in by_hand
    assert "has no" in fails("animate_anyone-published") or "does not tell" in fails("animate_anyone-published")
    assert "check the network" in fails("champ-published", url="http://127.0.0.1:9")
    hub.forged["champ/motion_module.pth"] = b"y" * len(hub.repositories[CHAMP]["champ/motion_module.pth"])
    assert "not the published file" in fails("champ-published")
    del hub.repositories[CHAMP]["champ/motion_module.pth"]
    assert "champ/motion_module.pth any more" in fails("champ-published")


def test_room_is_looked_for_before_anything_is_fetched(tmp_path, monkeypatch, hub):
    from understudy_backend.weights.fetching import Plan, PlannedFile
    from understudy_backend.weights.fetching import fetch as fetch_set

    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path / "not" / "there"))
    wanted = find_published("champ-published")
    files = tuple(PlannedFile(file, f"{hub.url}/x", 1 << 50, "") for file in wanted.files)
    with pytest.raises(DownloadError, match=re.escape(f"the disk of {tmp_path}")):
        fetch_set(wanted, Plan(files, ()), lambda *_: None)
    assert hub.asked == []


def test_half_precision_serves_where_the_full_is_not_there(tmp_path):
    repository = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    files = {file.source: file.source.encode() for file in find_published("threedhm-sd15").files}
    files["unet/diffusion_pytorch_model.fp16.safetensors"] = files.pop("unet/diffusion_pytorch_model.safetensors") * 2
    with FakeHub({repository: files}) as hub:
        done = understudy(tmp_path, hub.url, "get", "threedhm-sd15", "--accept-licence")
    assert done.returncode == 0, done.stderr
    unet = tmp_path / "threedhm-sd15/infill/unet/diffusion_pytorch_model.safetensors"
    assert unet.read_bytes() == b"unet/diffusion_pytorch_model.safetensors" * 2


# -- the list


def test_the_list_is_that_of_the_methods(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    methods = {method.description.name: method.description for method in map(make_method, METHODS)}
    for each in PUBLISHED:
        assert set(each.methods) <= set(methods)
        assert each.page.startswith("https://") and each.licence_page.startswith("https://") and each.licence
        assert all(f.repository or each.by_hand or f.source.startswith("https://") for f in each.files)
        assert not each.present
    for method in methods.values():
        for weights in method.weights:
            if not weights.available:  # what is not here can be had, and the list says how
                assert weights.fetch or weights.by_hand
                assert not weights.fetch or method.name in find_published(weights.fetch).methods
    done = understudy(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 0 and all(each.name in done.stdout and each.licence in done.stdout for each in PUBLISHED)

"""What a user's files and settings may hold: each that cannot be used is refused at once, in one line."""

from __future__ import annotations

import errno

import msgspec
import numpy as np
import pytest
from PIL import Image
from understudy_backend.jobs.files import FileError, read_conditions, read_inputs
from understudy_backend.jobs.local import own_name
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol.client import Connection
from understudy_shared.protocol.security import KeyFileError, load_client_keys, make_keys

SPEC = JobSpec("m", FrameRange(1, 4), (8, 8), owner="o")


def test_what_does_not_travel_is_refused_at_once():
    connection = Connection("tcp://127.0.0.1:1", owner="o", on_event=print)
    with pytest.raises(ValueError, match="finite"):
        connection.submit(msgspec.structs.replace(SPEC, params={"strength": float("nan")}))
    job = connection.submit(SPEC)
    with pytest.raises(ValueError, match="travel"):
        connection.push(job, Frame(1, {Channel.MASK: np.array(["text"])}))


def test_keys_that_are_no_keys(tmp_path):
    make_keys(tmp_path, "client")
    (tmp_path / "server.pub").write_bytes((tmp_path / "client.pub").read_bytes())
    load_client_keys(tmp_path)
    for wrong in (b"x" * 39, b" " + b"x" * 38 + b"~", b"#" * 40, b"\xc3" * 40):
        (tmp_path / "server.pub").write_bytes(wrong)
        with pytest.raises(KeyFileError, match=r"server\.pub"):
            load_client_keys(tmp_path)


def test_a_name_that_cannot_be_written_is_not_empty_later(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("understudy_backend.jobs.local.os.fdopen", full)
    with pytest.raises(OSError, match="full"):
        own_name(tmp_path)
    monkeypatch.undo()
    assert len(own_name(tmp_path)) == 32 and own_name(tmp_path) == own_name(tmp_path)


def test_photos_are_turned_as_their_camera_says(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = 255  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(picture).save(tmp_path / "photo.png", exif=exif)
    photo = read_inputs([f"photo={tmp_path / 'photo.png'}"])["photo"]
    assert photo.shape == (16, 8, 4) and photo[:8, :, 0].min() == 255 and photo[8:, :, 0].max() == 0


def test_any_damage_to_a_picture_is_one_line(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 255, (16, 16, 4), np.uint8)).save(path)
    whole, refused = path.read_bytes(), 0
    for _ in range(200):
        spoilt = bytearray(whole)
        spoilt[rng.integers(8, len(whole) if rng.random() < 0.5 else 60)] ^= 1 << rng.integers(8)
        path.write_bytes(spoilt[: rng.integers(20, len(whole) + 1)] if rng.random() < 0.3 else spoilt)
        try:
            read_inputs([f"photo={path}"])
        except FileError as error:
            refused += 1
            assert "\n" not in str(error) and "photo.png" in str(error)
    assert refused > 50


def test_conditions_that_are_not_there(tmp_path):
    np.savez_compressed(tmp_path / "0001.npz", mask=np.ones((8, 8), np.float32))
    frame = read_conditions(tmp_path)
    np.testing.assert_array_equal(frame(1).channels[Channel.MASK], 1)
    with pytest.raises(FileError, match="no frame 2"):
        frame(2)
    raw = (tmp_path / "0001.npz").read_bytes()
    at = raw.index(b"mask.npy") + 30
    (tmp_path / "0001.npz").write_bytes(raw[:at] + b"\xff" * 4 + raw[at + 4 :])
    for ask in (lambda: frame(1), lambda: read_conditions(tmp_path)):
        with pytest.raises(FileError, match=r"0001\.npz"):
            ask()

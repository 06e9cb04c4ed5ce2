"""What TPSMM is trained on: clips of every kind, broken ones, pairs of frames, and what is done to them."""

from __future__ import annotations

import colorsys
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from understudy_backend.training import draws
from understudy_backend.training.tpsmm import colours
from understudy_backend.training.tpsmm.clips import ClipError, Frames, find_clips
from understudy_backend.training.tpsmm.pairs import Pairs, augmented, cut
from understudy_backend.training.tpsmm.settings import Augmentation

PLAIN = Augmentation(flips=False, brightness=0, contrast=0, saturation=0, hue=0)


def colour(number: int) -> tuple[int, int, int]:
    """Far from its neighbours', so that a lossy codec cannot confuse frames."""
    return (number * 40 % 256, 255 - number * 40 % 256, 128)


def frames(count: int, width: int = 48, height: int = 32) -> list[np.ndarray]:
    """RGB."""
    return [np.full((height, width, 3), colour(i), np.uint8) for i in range(count)]


def write_png(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def write_mp4(path: Path, count: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (48, 32))
    for image in frames(count):
        writer.write(image[..., ::-1])
    writer.release()


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """One clip of each kind of five frames, and much that is broken."""
    folder = tmp_path / "train"
    folder.mkdir()
    write_mp4(folder / "a.mp4", 5)
    gif = [Image.fromarray(image) for image in frames(5)]
    gif[0].save(folder / "b.gif", save_all=True, append_images=gif[1:], duration=100)
    write_png(folder / "c.png", np.concatenate(frames(5, 32, 32), 1))
    for i, image in enumerate(frames(5)):
        write_png(folder / "d" / f"{i:03}.png", image)
    (folder / "d" / "003.png").write_bytes(b"torn")
    (folder / "e.mp4").write_bytes((folder / "a.mp4").read_bytes()[:200])
    (folder / "f.gif").write_bytes(b"GIF89a nonsense")
    write_png(folder / "g.png", np.zeros((32, 50, 3), np.uint8))
    write_png(folder / "h.png", np.zeros((32, 32, 3), np.uint8))
    (folder / "i").mkdir()
    (folder / "notes.txt").write_text("no clip")
    return folder


@pytest.mark.parametrize("megabytes", [100.0, 0.0])
def test_every_kind_of_clip_is_read_frame_by_frame(zoo: Path, megabytes: float):
    found = find_clips(zoo)
    assert [(clip.name, clip.count) for clip in found.clips] == [("a.mp4", 5), ("b.gif", 5), ("c.png", 5), ("d", 4)]
    reader = Frames(found, 16, megabytes)
    for clip in range(4):
        numbers = [0, 1, 3] if clip < 3 else [0, 1, 2]
        shown = [0, 1, 3] if clip < 3 else [0, 1, 2]
        for image, number in zip(reader.take(clip, numbers), shown, strict=True):
            assert image.shape == (16, 16, 3) and image.dtype == np.uint8
            assert np.abs(image.astype(int) - colour(number)).max() < 12, (clip, number)
    assert np.abs(reader.take(3, [3])[0].astype(int) - colour(4)).max() < 12, "the torn frame is passed over"


def test_what_is_broken_is_told_and_counted(zoo: Path):
    found = find_clips(zoo)
    told = {problem.split(":")[0] for problem in found.problems}
    assert told == {"d", "e.mp4", "f.gif", "g.png", "h.png", "i"}
    assert all("\n" not in problem for problem in found.problems)
    assert found.said() == "train: 4 clips, 19 frames; 6 things left out"
    assert any("003.png" in problem for problem in found.problems)


def test_the_index_saves_reading_and_notices_changes(zoo: Path, tmp_path: Path):
    index = tmp_path / "run" / "index.json"
    first = find_clips(zoo, index)
    before = index.stat().st_mtime_ns
    assert find_clips(zoo, index) == first and index.stat().st_mtime_ns == before
    write_mp4(zoo / "a.mp4", 3)
    assert find_clips(zoo, index).clips[0].count == 3
    index.write_bytes(b"torn")
    assert find_clips(zoo, index).clips[0].count == 3


def test_no_clips_is_one_line(tmp_path: Path):
    with pytest.raises(ClipError, match="no folder"):
        find_clips(tmp_path / "train")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "x.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match="no clip of at least two frames") as caught:
        find_clips(tmp_path / "train")
    assert "x.mp4" in str(caught.value) and "\n" not in str(caught.value)


def test_a_clip_that_vanishes_is_one_line(zoo: Path):
    found = find_clips(zoo)
    reader = Frames(found, 16, 0.0)
    (zoo / "a.mp4").unlink()
    with pytest.raises(ClipError, match="changed while"):
        reader.take(0, [0, 1])


def test_transparency_lies_over_grey(tmp_path: Path):
    rgba = np.zeros((8, 16, 4), np.uint8)
    rgba[:, 8:] = (200, 100, 0, 255)
    write_png(tmp_path / "train" / "x.png", rgba)
    first, second = Frames(find_clips(tmp_path / "train"), 8, 1).take(0, [0, 1])
    assert np.abs(first.astype(int) - 128).max() <= 1 and (second == (200, 100, 0)).all()


def test_pairs_are_of_one_clip_in_time_order_and_identities_take_turns(tmp_path: Path):
    for name in ("anna#1", "anna#2", "ben#1"):
        person = 0 if name.startswith("anna") else 128
        strip = [np.full((8, 8, 3), (person + 4 * i, 0, 64 * (name[-1] == "2")), np.uint8) for i in range(6)]
        write_png(tmp_path / "train" / f"{name}.png", np.concatenate(strip, 1))
    found = find_clips(tmp_path / "train")
    counts = [clip.count for clip in found.clips]
    pairs = Pairs(Frames(found, 8, 1), counts, found.groups(True), PLAIN, 8)
    assert len(pairs) == 2 and len(found.groups(False)) == 3
    source, driving = pairs.take(draws.draw(0, 0, range(64), 64, 2))
    assert source.shape == (64, 3, 8, 8)
    numbers = [(x[:, 0, 0, 0] * 255).round() for x in (source, driving)]
    assert torch.equal(numbers[0] >= 128, numbers[1] >= 128) and int((numbers[0] >= 128).sum()) == 32
    assert torch.equal(source[:, 2], driving[:, 2]) and len(source[:, 2].unique()) == 2, "one clip; both are used"
    assert (numbers[0] <= numbers[1]).all() and (numbers[0] < numbers[1]).any()
    again = pairs.take(draws.draw(0, 0, range(64), 64, 2))
    assert torch.equal(again[0], source) and torch.equal(again[1], driving)


def test_colours_change_as_pillow_changes_them():
    rng = np.random.default_rng(0)
    image = rng.integers(40, 200, (16, 16, 3)).astype(np.uint8)
    unit = image.astype(np.float32) / 255
    for change, enhancer in (
        (colours.brighter, ImageEnhance.Brightness),
        (colours.contrasted, ImageEnhance.Contrast),
        (colours.saturated, ImageEnhance.Color),
    ):
        want = np.asarray(enhancer(Image.fromarray(image)).enhance(1.2), np.float32)
        assert np.abs(np.clip(change(unit, 1.2), 0, 1) * 255 - want).max() < 2.1
    h, s, v = colorsys.rgb_to_hsv(*unit[3, 5])
    want = colorsys.hsv_to_rgb((h + 0.3) % 1, s, v)
    assert np.allclose(colours.turned(unit, 0.3)[3, 5], want, atol=1e-3)


def test_both_frames_are_changed_alike():
    rng = np.random.default_rng(0)
    image = np.asarray(rng.random((16, 16, 3)), np.float32)
    strong = Augmentation(resize=(0.8, 1.2), brightness=0.3, contrast=0.3, saturation=0.3, hue=0.4)
    results = [augmented(np.random.default_rng(i), image, image, strong) for i in range(6)]
    for source, driving in results:
        assert source.shape == (16, 16, 3) and np.array_equal(source, driving)
        assert source.min() >= 0 and source.max() <= 1
    assert len({source.tobytes() for source, _ in results}) == 6


def test_half_of_the_pairs_run_backwards_and_a_quarter_is_mirrored():
    first, second = np.zeros((4, 4, 3), np.float32), np.ones((4, 4, 3), np.float32)
    first[:, 0] = second[:, 0] = 0.5
    how = dataclasses.replace(PLAIN, flips=True)
    kinds = []
    for i in range(800):
        source, driving = augmented(np.random.default_rng(i), first, second, how)
        kinds.append((source[0, 1, 0] == 1, source[0, 3, 0] == 0.5))
        assert np.array_equal(source == 0.5, driving == 0.5)
    shares = [np.mean([k == kind for k in kinds]) for kind in ((True, False), (False, True), (False, False))]
    assert np.allclose(shares, [0.5, 0.25, 0.25], atol=0.06)


def test_what_is_cut_is_as_large_as_before():
    ramp = np.tile(np.linspace(0, 1, 20, dtype=np.float32)[None, :, None], (20, 1, 3))
    for factor in (0.9, 1.0, 1.1, 1.5):
        out = cut(np.random.default_rng(1), np.stack([ramp, ramp]), factor)
        assert out.shape == (2, 20, 20, 3)
        assert (np.diff(out[0, 5, :, 0]) >= -1e-6).all()
    assert np.allclose(cut(np.random.default_rng(1), np.stack([ramp, ramp]), 1.0)[0], ramp)

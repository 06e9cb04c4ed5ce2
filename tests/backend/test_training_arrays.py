"""Data sets as arrays: one folder, shards, several together; and what is said of damaged ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from understudy_backend.training.arrays import DataError, Mirrored, Samples, split_of


def write(folder: Path, values: np.ndarray, **others: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for name, array in {"target": values, **others}.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "dataset.json").write_text(json.dumps({"count": len(values)}))
    return folder


@pytest.fixture
def whole() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (17, 4, 4, 3), np.uint8)


def test_any_division_into_folders_and_shards_reads_the_same(tmp_path: Path, whole: np.ndarray) -> None:
    one = Samples([write(tmp_path / "one", whole)])
    for number, (first, last) in enumerate([(0, 5), (5, 6), (6, 12)]):
        write(tmp_path / "many" / f"shard-{number:04d}", whole[first:last])
    unfinished = tmp_path / "many" / "shard-0003"
    unfinished.mkdir()
    np.save(unfinished / "target.npy", whole)
    many = Samples([tmp_path / "many", write(tmp_path / "rest", whole[12:])])
    rng = np.random.default_rng(1)
    for indices in (np.arange(17), rng.permutation(17), rng.integers(0, 17, 40), np.array([16])):
        assert np.array_equal(one.rows("target", indices), whole[indices])
        assert np.array_equal(many.rows("target", indices), whole[indices])
    assert len(one) == len(many) == 17


def test_what_a_part_lacks_is_filled_in_where_asked(tmp_path: Path, whole: np.ndarray) -> None:
    known = np.full((9, 4, 4), 7, np.uint8)
    data = Samples([write(tmp_path / "made", whole[:8]), write(tmp_path / "video", whole[8:], known=known)])
    rows = data.rows("known", np.array([3, 8, 16]), absent=255)
    assert rows.shape == (3, 4, 4) and rows[0].min() == 255 and rows[1:].max() == 7
    with pytest.raises(DataError, match=r"known\.npy is missing"):
        data.rows("known", np.array([3]))


def test_mirrored_samples_follow_the_others(tmp_path: Path, whole: np.ndarray) -> None:
    folder = write(tmp_path / "one", whole)
    both = Mirrored([folder])
    rows = both.rows("target", np.array([20, 3, 33, 16]))
    assert len(both) == 34
    assert np.array_equal(rows, np.stack([np.fliplr(whole[3]), whole[3], np.fliplr(whole[16]), whole[16]]))
    with pytest.raises(DataError, match="from 0 to 33"):
        both.rows("target", np.array([34]))
    assert np.array_equal(np.load(folder / "target.npy"), whole)


def test_only_the_rows_asked_for_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "large", np.zeros((3, 2), np.uint8))
    rows = np.lib.format.open_memmap(folder / "target.npy", mode="w+", dtype=np.uint8, shape=(1 << 20, 1 << 16))
    rows[1 << 19] = 5  # 64 GB, of which the file system stores these
    (folder / "dataset.json").write_text(json.dumps({"count": 1 << 20}))
    found = Samples([folder]).rows("target", np.array([1 << 19, 4]))
    assert found.shape == (2, 1 << 16) and found[0].min() == 5 and not found[1].any()


def test_damage_is_told_in_one_line(tmp_path: Path, whole: np.ndarray) -> None:
    good = write(tmp_path / "good", whole)
    data = Samples([good])
    for indices in ([17], [-1], []):
        with pytest.raises(DataError, match="from 0 to 16"):
            data.rows("target", np.array(indices, int))
    short = write(tmp_path / "short", whole)
    np.save(short / "target.npy", whole[:5])
    with pytest.raises(DataError, match="does not hold the 17 samples"):
        Samples([short]).rows("target", np.array([0]))
    cut = write(tmp_path / "cut", whole)
    (cut / "target.npy").write_bytes((good / "target.npy").read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read") as caught:
        Samples([cut]).rows("target", np.array([0]))
    assert "\n" not in str(caught.value)
    program = write(tmp_path / "program", whole)
    np.save(program / "target.npy", np.array([{}] * 17), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        Samples([program]).rows("target", np.array([0]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no complete data set"):
        Samples([tmp_path / "empty"])
    (good / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match="how many samples"):
        Samples([good])


def test_splits_are_found_in_every_root(tmp_path: Path, whole: np.ndarray) -> None:
    a, b = write(tmp_path / "a" / "texture" / "train", whole), write(tmp_path / "b" / "texture" / "train", whole)
    assert split_of([tmp_path / "a", tmp_path / "b"], "texture", "train") == [a, b]
    assert split_of([tmp_path / "a"], "frames", "train") == []

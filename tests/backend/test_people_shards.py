"""Data sets of made people: the same bytes however they come about, and no person in two splits."""

import hashlib
import json

import numpy as np
import pytest
from understudy_backend.training import dataset
from understudy_backend.training.arrays import Samples
from understudy_backend.training.people import person, poses, skins


def bytes_of(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def few(kind, out, count, split, seed, motions=()):
    """A plan whose shards hold one person."""
    return dataset.Plan(kind, out, count, split, seed, motions, shard=4)


def test_interrupted_grown_and_unbroken_runs_give_the_same_bytes(tmp_path):
    whole = few("frames", tmp_path / "whole", 9, "val", 1)
    dataset.create(whole, workers=1)
    broken = few("frames", tmp_path / "broken", 5, "val", 1)
    dataset.create(broken, workers=1)
    (broken.folder(0) / "dataset.json").unlink()  # as a kill would leave it
    (broken.folder(0) / "target.npy").write_bytes(b"half")
    (tmp_path / "broken" / "shard-00002").mkdir()
    assert dataset.missing(broken) == [0]
    dataset.create(few("frames", tmp_path / "broken", 9, "val", 1), workers=1)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "broken")
    assert json.loads((tmp_path / "whole" / "dataset.json").read_text())["count"] == 9
    read = Samples([tmp_path / "whole"])
    assert len(read) == 9
    assert read.rows("person", np.arange(9)).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    for name, shape in dataset.SHAPES["frames"].items():
        assert read.row_shape(name) == shape


def test_complete_shards_are_not_made_again(tmp_path, monkeypatch):
    plan = few("texture", tmp_path, 4, "train", 2)
    dataset.create(plan, workers=1)
    monkeypatch.setattr(dataset, "write_shard", lambda *_: pytest.fail("made again"))
    dataset.create(plan, workers=1)
    with pytest.raises(ValueError, match="another data set"):
        dataset.create(few("texture", tmp_path, 4, "train", 3), workers=1)


def test_two_processes_write_what_one_writes(tmp_path):
    for workers in (1, 2):
        dataset.create(few("texture", tmp_path / str(workers), 7, "train", 0), workers)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


def test_a_texture_set_is_what_it_says(tmp_path):
    plan = few("texture", tmp_path, 5, "val", 1)
    dataset.create(plan, workers=1)
    read = Samples([tmp_path])
    every = np.arange(5)
    partial, visible, target = (read.rows(name, every) for name in ("partial", "visible", "target"))
    visible, mask = visible > 0, np.load(tmp_path / "body_mask.npy")
    np.testing.assert_array_equal(mask, read.constant("body_mask"))
    assert (partial[~visible] == 128).all() and not visible[:, ~mask].any()
    target = target.astype(float)
    assert np.abs(partial - target)[visible].mean() < np.abs(128 - target)[visible].mean()


def test_frames_show_the_same_pose_and_another_outline(tmp_path):
    dataset.create(few("frames", tmp_path, 8, "train", 1), workers=1)
    read = Samples([tmp_path])
    target, body = (read.rows(name, np.arange(8))[..., 3] > 127 for name in ("target", "body"))
    for a, b in zip(target, body, strict=True):
        assert 0.35 < (a & b).sum() / (a | b).sum() < 0.995


def test_no_two_splits_share_anyone():
    states = {
        tuple(person.generator(split, i, seed).integers(1 << 62, size=2))
        for split in ("train", "val", "test")
        for i in range(200)
        for seed in (0, 1)
    }
    assert len(states) == 3 * 200 * 2


def test_the_fifty_test_people_differ_and_wear_skins_that_training_never_sees(monkeypatch):
    worn = []
    load = skins.load
    monkeypatch.setattr(skins, "load", lambda name: worn.append(name) or load(name))
    people = [person.test_person(i) for i in (*range(0, person.TEST_PEOPLE, 9), person.TEST_PEOPLE - 1)]
    assert set(worn) <= set(skins.HELD_OUT)
    for i, a in enumerate(people):
        for b in people[:i]:
            assert np.abs(a.texture.astype(int) - b.texture).mean() > 4
            assert np.abs(a.betas - b.betas).max() > 0.1
    worn.clear()
    for i in range(12):
        skins.random_skin(person.generator("train", i))
    assert not set(worn) & set(skins.HELD_OUT)
    assert set(skins.HELD_OUT) < set(skins.names())
    for wrong in (-1, person.TEST_PEOPLE):
        with pytest.raises(ValueError, match="0 to 49"):
            person.test_person(wrong)


def test_a_test_person_is_the_one_of_the_test_set():
    plan = few("texture", None, 4, "test", 0)
    someone = person.random_person(plan.generator(6), skins.HELD_OUT)
    np.testing.assert_array_equal(person.test_person(6).atlas, someone.atlas)


def test_the_clip_of_the_evaluation_is_shown_to_nobody_else(tmp_path):
    clips = []
    for name in ("walk", *poses.HELD_OUT):
        clips.append(tmp_path / f"{name}.npz")
        np.savez(clips[-1], poses=np.zeros((4, 72)))
    for split, seen in (("train", clips[:1]), ("val", clips[:1]), ("test", clips[1:])):
        assert list(few("frames", tmp_path, 4, split, 0, tuple(clips)).clips) == seen

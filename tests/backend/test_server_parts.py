"""The server's parts by themselves: container files, spool, book, keys of frames, methods in memory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from understudy_backend.config import ServerConfig
from understudy_backend.executors.residency import Residency
from understudy_backend.executors.runner import Runner
from understudy_backend.jobs import container, spool
from understudy_backend.jobs.book import Book
from understudy_backend.jobs.check import Refused, check_conditions, check_spec
from understudy_backend.jobs.container import ContainerError, read_container, write_container
from understudy_backend.jobs.job import Job, JobState
from understudy_backend.jobs.places import PlaceError, lock_data
from understudy_backend.jobs.spool import Spool
from understudy_backend.methods.catalogue import make_method
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec, array_digest, conditions_digest, frame_digest
from understudy_shared.protocol.description import (
    MethodDescription,
    NeedDescription,
    ParamDescription,
    WeightsDescription,
)

METHOD = MethodDescription(
    "m",
    "M",
    "",
    "",
    (ParamDescription("strength", "float", "", "", 1.0),),
    (NeedDescription("mask", True, ""),),
    ("rgba",),
)
SPEC = JobSpec("m", FrameRange(1, 4), (8, 8), owner="o")
MASK = {"mask": np.ones((8, 8), np.float32)}
PICTURE = {"rgba": np.arange(256, dtype=np.uint8).reshape(8, 8, 4)}


class Watching:
    def __init__(self):
        self.finished, self.ended = [], []

    def frame_finished(self, job, index):
        self.finished.append(index)

    def job_ended(self, job):
        self.ended.append(job.state)


def new_book(folder, limit=10**9) -> tuple[Book, Watching]:
    watching = Watching()
    return Book(Spool(folder, limit), watching), watching


def open_job(book: Book, spec: JobSpec = SPEC, method: MethodDescription = METHOD) -> Job:
    job = book.open("owner", spec, method)
    book.activate(job)
    return job


def test_container_round_trip(tmp_path):
    arrays = {
        "a": np.random.default_rng(0).normal(size=(3, 4)),
        "empty": np.zeros((0, 2), np.int8),
        "one": np.float32(3),
    }
    size = write_container(tmp_path / "f", {"x": [1, "y"]}, arrays, durable=True)
    assert size == (tmp_path / "f").stat().st_size
    meta, read = read_container(tmp_path / "f")
    assert meta == {"x": [1, "y"]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].shape == np.shape(array)


def test_damaged_containers(tmp_path):
    path = tmp_path / "f"
    write_container(path, {"x": 1}, {"a": np.arange(100)}, durable=False)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(ContainerError):
            read_container(path)
    path.write_bytes(whole[:8] + (1 << 62).to_bytes(8, "little") + whole[16:])
    with pytest.raises(ContainerError):
        read_container(path)
    with pytest.raises(ContainerError):
        read_container(tmp_path / "none")


def test_a_result_is_on_disk_before_it_is_told(tmp_path):
    book, watching = new_book(tmp_path)
    told = []
    job = open_job(book)

    def frame_finished(job, index):
        fresh = Spool(tmp_path, 10**9)  # what another process would find at this moment
        told.append(fresh.finished("owner", job.id).get(index) is not None)

    watching.frame_finished = frame_finished
    for index in range(1, 5):
        book.add_conditions(job, index, MASK)
        book.finish(job, index, {}, PICTURE)
    assert told == [True] * 4
    assert watching.ended == [JobState.DONE]


def test_restart_finds_everything(tmp_path):
    book, _ = new_book(tmp_path)
    job = open_job(book)
    for index in (1, 2, 3):
        book.add_conditions(job, index, MASK)
    book.finish(job, 2, {"note": 1}, PICTURE)
    again, _ = new_book(tmp_path)
    again.open_unfinished({"m": METHOD})
    found = again.find("owner", job.id)
    assert found is not None
    assert set(found.finished) == {2} and set(found.ready) == {1, 3} and found.wanted() == [4]
    meta, arrays = again.spool.read_result("owner", found.finished[2])
    assert meta == {"note": 1}
    np.testing.assert_array_equal(arrays["rgba"], PICTURE["rgba"])


def test_restart_after_torn_writes(tmp_path):
    book, _ = new_book(tmp_path)
    job = open_job(book)
    for index in (1, 2):
        book.add_conditions(job, index, MASK)
        book.finish(job, index, {}, PICTURE)
    book.add_conditions(job, 3, MASK)
    folder = tmp_path / "owners" / "owner" / "jobs" / job.id
    log = folder / "finished.log"
    log.write_bytes(log.read_bytes()[:-10])
    conditions = folder / "conditions" / "3.frame"
    conditions.write_bytes(conditions.read_bytes()[:-1])
    (folder / "conditions" / ".4.frame.tmp").write_bytes(b"half")
    again, _ = new_book(tmp_path)
    again.open_unfinished({"m": METHOD})
    found = again.find("owner", job.id)
    assert found is not None
    assert set(found.finished) == {1} and found.wanted() == [2, 3, 4]
    assert not list(tmp_path.rglob("*.tmp"))
    # The torn line does not spoil the next one.
    again.add_conditions(found, 2, MASK)
    assert set(Spool(tmp_path, 10**9).finished("owner", job.id)) == {1, 2}


@pytest.mark.parametrize("what", ["write_container", "log"])
def test_no_space_left(tmp_path, monkeypatch, what):
    book, watching = new_book(tmp_path)
    job = open_job(book)
    book.add_conditions(job, 1, MASK)
    book.add_conditions(job, 2, MASK)
    book.finish(job, 1, {}, PICTURE)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(
        *((spool, "write_container") if what == "write_container" else (book.spool, "log_finished")), full
    )
    book.finish(job, 2, {}, PICTURE)
    assert watching.finished == [1] and watching.ended == [JobState.FAILED]
    assert job.failure is not None and job.failure.code == "disk_full" and "No space left" in job.failure.message
    monkeypatch.undo()
    resumed = open_job(book)
    assert set(resumed.finished) == {1} and 2 not in resumed.wanted()


def test_half_files_do_not_stay(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(container.os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_container(tmp_path / "f", {}, {"a": np.zeros(10)}, durable=True)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_what_it_depends_on():
    def key(spec=SPEC, method=METHOD, index=1, conditions="c"):
        return Job("o", spec, method).key(index, conditions)

    change = msgspec.structs.replace
    same = [
        change(SPEC, frames=FrameRange(1, 99)),
        change(SPEC, params={"strength": 1.0}),  # the default, spelled out
    ]
    assert {key(spec) for spec in same} == {key()}
    other = [
        key(change(SPEC, seed=1)),
        key(change(SPEC, size=(16, 8))),
        key(change(SPEC, params={"strength": 0.5})),
        key(change(SPEC, inputs={"photo": "ab"})),
        key(change(SPEC, method="n")),
        key(index=2),
        key(conditions="d"),
        key(method=change(METHOD, help="another version")),
    ]
    assert len({key(), *other}) == len(other) + 1
    # A method that looks at neighbours shares nothing between jobs.
    neighbourly = change(METHOD, independent_frames=False)
    assert key(method=neighbourly) != key(change(SPEC, frames=FrameRange(1, 99)), method=neighbourly)


def test_digests_are_of_content():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert array_digest(array) == array_digest(array.astype(">f4")) == array_digest(np.asfortranarray(array))
    assert len({array_digest(a) for a in (array, array.reshape(4, 3), array.view(np.int32), array + 1)}) == 4
    frame = Frame(3, {Channel.MASK: array, Channel.DEPTH: array})
    assert frame_digest(frame) == conditions_digest({"depth": array, "mask": array})
    assert frame_digest(frame) != conditions_digest({"depth": array})


def test_job_ids_are_the_same_in_another_process():
    made = "JobSpec('m', FrameRange(1, 4), (8, 8), params={'b': 1, 'a': 2.5})"
    code = f"from understudy_shared.job import *; print({made}.id)"
    spec = JobSpec("m", FrameRange(1, 4), (8, 8), params={"a": 2.5, "b": 1})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spec.id


def test_one_server_per_data_folder(tmp_path):
    with lock_data(tmp_path), pytest.raises(PlaceError, match="another"):
        lock_data(tmp_path)
    lock_data(tmp_path).close()


def test_conditions_must_be_channels_of_the_right_shape():
    spec = JobSpec("m", FrameRange(1, 1), (8, 4))
    check_conditions(spec, {"mask": np.zeros((4, 8), np.float32), "vertices": np.zeros((9, 3), np.float32)})
    wrong = [
        {"mask": np.zeros((8, 4), np.float32)},
        {"mask": np.zeros((4, 8), np.int32)},
        {"glow": np.zeros((4, 8), np.float32)},
        {"rgba": np.zeros((4, 8, 3), np.uint8)},
        {"vertices": np.zeros((3,), np.float32)},
        {"intrinsics": np.zeros((4, 4))},
    ]
    for arrays in wrong:
        with pytest.raises(Refused):
            check_conditions(spec, arrays)
    other = {"rgba": np.zeros((9, 7, 4), np.uint8)}
    check_conditions(spec, other, any_size=True)
    for rgba in (np.zeros((9, 7, 3), np.uint8), np.zeros((0, 7, 4), np.uint8), np.zeros((1, 20000, 4), np.uint8)):
        with pytest.raises(Refused):
            check_conditions(spec, {"rgba": rgba}, any_size=True)
    with pytest.raises(Refused):
        check_conditions(spec, other)


def test_the_least_recently_used_method_leaves():
    class Heavy:
        def __init__(self, name):
            self.name = name

        def load(self, device):
            if sum(held.values()) + 40 > 100:
                raise MemoryError
            held[self.name] = 40

        def unload(self):
            del held[self.name]

    held: dict[str, int] = {}
    residency = Residency({name: Heavy(name) for name in "abc"}, "cpu", 60, lambda: sum(held.values()))
    residency.take("a")
    residency.settle()
    residency.take("b")
    assert set(held) == {"a", "b"}  # both fit while b is at work
    residency.settle()
    assert set(held) == {"b"}  # the budget is kept afterwards
    residency.take("a")
    residency.take("c")  # there is no memory for three: all others leave, and it is tried again
    assert set(held) == {"c"}


def test_catalogue_names():
    for name, word in (("nowhere", "Class"), ("understudy_backend.config:Nothing", "Nothing")):
        with pytest.raises(ValueError, match=word):
            make_method(name)


def test_server_and_client_do_not_import_torch():
    code = (
        "import sys, understudy_backend.server, understudy_backend.cli, understudy_backend.jobs.local;"
        "print([name for name in ('torch', 'bpy', 'diffusers', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_weights_file_makes_the_job_anew(tmp_path):
    """The same job after the weights were trained again: what was made with the old ones is not taken for it."""
    weights = [WeightsDescription("w", "", "", True, sha256=text) for text in ("old", "new")]
    old, new = (msgspec.structs.replace(METHOD, weights=(w,)) for w in weights)
    book, _ = new_book(tmp_path)
    job = open_job(book, method=old)
    for index in (1, 2):
        book.add_conditions(job, index, MASK)
        book.finish(job, index, {}, PICTURE)
    again, _ = new_book(tmp_path)
    assert set(open_job(again, method=old).finished) == {1, 2}
    again, _ = new_book(tmp_path)
    changed = open_job(again, method=new)
    assert changed.finished == {} and changed.wanted() == [1, 2, 3, 4]
    again.add_conditions(changed, 1, MASK)
    again.finish(changed, 1, {}, PICTURE)
    again, _ = new_book(tmp_path)
    assert set(open_job(again, method=new).finished) == {1}


def test_inputs_count_towards_the_spools_limit(tmp_path):
    book, _ = new_book(tmp_path, limit=5000)
    job = open_job(book)
    path = book.spool.input_path("owner", "ab" * 32)
    path.parent.mkdir()
    part = path.with_suffix(".x.part")
    part.write_bytes(bytes(6000))
    with pytest.raises(spool.SpoolFull):  # the only job is at work
        book.spool.keep_input("owner", "ab" * 32, part)
    book.cancel(job)
    part.write_bytes(bytes(4900))
    book.spool.keep_input("owner", "ab" * 32, part)
    assert book.spool.read_job("owner", job.id) is None and book.spool.used == 4900


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("bad_frames", {"frames": FrameRange(0, 1 << 63)}),
        ("bad_frames", {"frames": FrameRange(1, 100_001)}),
        ("bad_size", {"size": (16384, 16384)}),
        ("bad_seed", {"seed": 10**30}),
        ("bad_seed", {"seed": -1}),
    ],
)
def test_numbers_beyond_sense_are_refused(code, change):
    check_spec(msgspec.structs.replace(SPEC, frames=FrameRange(1, 200_000, 2)), METHOD)
    with pytest.raises(Refused) as refused:
        check_spec(msgspec.structs.replace(SPEC, **change), METHOD)
    assert refused.value.code == code and refused.value.fix


def test_a_worker_that_cannot_be_started_does_not_end_the_server(tmp_path, monkeypatch):
    def no_memory():
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    book, _ = new_book(tmp_path)
    runner = Runner(ServerConfig(tmp_path), book, None, no_memory)  # type: ignore[arg-type]
    for _ in range(3):
        monkeypatch.setattr(runner, "_start_at", 0.0)
        runner.step()
    assert "Cannot allocate memory" in runner.state

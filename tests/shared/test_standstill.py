"""Threads stand still while somebody holds them, and go on afterwards."""

import threading
import time

import pytest
from understudy_shared.standstill import Standstill, Writer, threads


@pytest.fixture
def counter():
    """Two threads that count, and rest between; gives the standstill and the counts."""
    still, done, counts = Standstill(), threading.Event(), [0, 0]

    def run(which):
        with still.work():
            while not done.is_set():
                counts[which] += 1
                with still.wait():
                    time.sleep(1e-4)

    running = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in running:
        thread.start()
    yield still, counts
    done.set()
    for thread in running:
        thread.join(5)
        assert not thread.is_alive()


def rises(counts):
    before = list(counts)
    time.sleep(0.05)
    return [now > then for now, then in zip(counts, before, strict=True)]


def test_nothing_moves_inside_and_everything_afterwards(counter):
    still, counts = counter
    for _ in range(20):
        with still.hold() as found:
            assert found
            assert rises(counts) == [False, False]
    assert rises(counts) == [True, True]


def test_holds_may_overlap(counter):
    still, counts = counter
    with still.hold():
        with still.hold():
            pass
        assert rises(counts) == [False, False]
    assert rises(counts) == [True, True]


def test_who_works_on_is_not_waited_for():
    still, go, there = Standstill(), threading.Event(), threading.Event()

    def run():
        with still.work():
            there.set()
            go.wait(5)

    thread = threading.Thread(target=run)
    thread.start()
    there.wait(5)
    begun = time.monotonic()
    with still.hold(patience=0.1) as found:
        assert not found
    assert 0.1 <= time.monotonic() - begun < 2
    go.set()
    thread.join(5)


def test_a_writer_begins_nothing_while_it_is_held_and_gives_results_and_errors():
    writer, written = Writer("test"), []
    with threads.hold():
        future = writer.submit(written.append, 1)
        time.sleep(0.05)
        assert not written
    future.result(5)
    assert written == [1]
    with pytest.raises(ZeroDivisionError):
        writer.submit(lambda: 1 / 0).result(5)
    writer.shutdown()

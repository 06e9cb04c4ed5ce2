"""Arrays in memory that two processes share: they arrive, slots come back, and lies about them are refused."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.shared_memory import SLOT_BYTES, SLOTS, MemoryAddress, SharedMemory, spans
from understudy_shared.protocol.wire import WireError, encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has anonymous sealed memory")


@pytest.fixture
def ends():
    """The client's end and the backend's."""
    made = SharedMemory.create()
    assert made is not None
    client, address = made
    backend = SharedMemory.attach(address)
    SharedMemory.forget(address)
    assert backend is not None
    return client, backend


def picture(value: float = 0.5) -> np.ndarray:
    return np.full((128, 128, 4), value, np.float16)


def frame(memory: SharedMemory | None, index: int = 1, **arrays: np.ndarray) -> list:
    return encode(m.FrameData(job="j", index=index), arrays or {"rgba": picture(index)}, memory)


def test_arrays_arrive_both_ways_without_a_buffer(ends):
    client, backend = ends
    rng = np.random.default_rng(1)
    sent = {
        "rgba": rng.normal(size=(65, 67, 4)).astype(np.float16),
        "depth": rng.normal(size=(63, 129)),
        "k": picture(),
    }
    parts = frame(client, **sent)
    assert len(parts) == 1
    _, received = m.to_server.decode(parts, backend)
    for name, array in sent.items():
        assert received[name].dtype == array.dtype
        np.testing.assert_array_equal(received[name], array)
        with pytest.raises(ValueError, match="read-only"):
            received[name][...] = 0
    parts = encode(m.Result(job="j", index=3), {"rgba": picture(7)}, backend)
    assert len(parts) == 1
    assert (m.to_client.decode(parts, client)[1]["rgba"] == 7).all()


def test_a_slot_is_free_when_the_last_array_in_it_is_gone(ends):
    client, backend = ends
    kept = []
    for number in range(SLOTS):
        _, arrays = m.to_server.decode(frame(client, number), backend)
        kept.append(arrays["rgba"][3:5, ::2])  # a view of a view
    full = frame(client, 99)
    assert len(full) == 2  # no room: as buffers
    assert (m.to_server.decode([bytes(part) for part in full], backend)[1]["rgba"] == 99).all()
    del arrays
    held = kept.pop(3)
    assert (held == 3).all()
    assert len(frame(client)) == 2
    del held
    gc.collect()
    assert len(frame(client, 42)) == 1
    assert all((view == n).all() for view, n in zip(kept, [0, 1, 2, 4, 5, 6, 7], strict=True))


def test_small_and_huge_messages_travel_as_buffers(ends):
    client, _ = ends
    assert len(frame(client, a=np.zeros(100, np.uint8))) == 2
    assert len(frame(client, a=np.zeros(SLOT_BYTES + 1, np.uint8))) == 2
    assert len(encode(m.Ping(), None, client)) == 1


def test_another_process_attaches_and_may_die():
    made = SharedMemory.create()
    assert made is not None
    client, address = made
    code = (
        "import sys, msgspec, numpy as np, os\n"
        "from understudy_shared.protocol import messages as m\n"
        "from understudy_shared.protocol.shared_memory import MemoryAddress, SharedMemory\n"
        "from understudy_shared.protocol.wire import encode\n"
        "memory = SharedMemory.attach(msgspec.json.decode(sys.argv[1], type=MemoryAddress))\n"
        "parts = encode(m.Result(job='j', index=1), {'rgba': np.full((512, 512), 9.0)}, memory)\n"
        "sys.stdout.buffer.write(parts[0]); sys.stdout.flush(); os.kill(os.getpid(), 9)\n"
    )
    where = json.dumps({"pid": address.pid, "fd": address.fd, "token": address.token})
    child = subprocess.run([sys.executable, "-c", code, where], stdout=subprocess.PIPE, timeout=60, check=False)
    assert child.returncode == -9
    _, arrays = m.to_client.decode([child.stdout], client)
    assert arrays["rgba"].shape == (512, 512) and (arrays["rgba"] == 9).all()
    SharedMemory.forget(address)


def test_what_is_not_such_memory_is_not_attached(tmp_path: Path):
    made = SharedMemory.create()
    assert made is not None
    _, good = made
    pid = os.getpid()
    reading, writing = os.pipe()
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.truncate(file, 4096 + 2 * SLOTS * SLOT_BYTES)  # right in size, but anyone could shrink it
    soft = os.memfd_create("x")
    for fd in (reading, writing, file, soft, 10**6, -1):
        assert SharedMemory.attach(MemoryAddress(pid, fd, good.token)) is None
    for wrong in (MemoryAddress(pid, good.fd, "00" * 32), MemoryAddress(pid, good.fd, "ü"), MemoryAddress(-1, 0, "")):
        assert SharedMemory.attach(wrong) is None
    assert SharedMemory.attach(good) is not None
    for fd in (reading, writing, file, soft):
        os.close(fd)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(good.fd, 100)
    SharedMemory.forget(good)


def test_lies_about_slots_are_refused_and_cost_no_slot(ends):
    client, backend = ends
    rng = random.Random(3)
    refused = 0
    for number in range(2000):
        header = json.loads(bytes(frame(client, number)[0]))
        true = json.loads(json.dumps(header))
        match number % 4:
            case 0:
                header["slot"] = rng.choice([-1, SLOTS, 2**63, rng.randrange(1, SLOTS), True, "0", 1.5])
            case 1:
                shape = [rng.choice([0, 1, 128, 129, 2**31, 2**62, -1]) for _ in range(rng.randrange(1, 9))]
                header["arrays"][0]["shape"] = shape
            case 2:
                header["arrays"] = header["arrays"] * rng.choice([0, 2, 100])
            case 3:
                header["arrays"][0]["dtype"] = rng.choice(["object", "float128", "uint8", "V8", ""])
        try:
            m.to_server.decode([json.dumps(header).encode()], backend)
        except WireError as error:
            refused += 1
            assert "\n" not in str(error)
        # What was put is still there, unless the lie was one that took it (another shape, say): then it is free.
        if header != true:
            with_memory = backend.take(true["slot"])
            del with_memory
    assert refused > 1200
    assert len(frame(client)) == 1  # no slot was lost
    with pytest.raises(WireError, match="nothing was put"):
        parts = frame(client)
        kept = m.to_server.decode(parts, backend)
        m.to_server.decode(parts, backend)  # the same slot twice
    del kept
    with pytest.raises(WireError, match="there is none"):
        m.to_server.decode(frame(client), None)
    with pytest.raises(WireError, match="there is none"):
        m.to_server.decode([*frame(client), b"more"], backend)


def test_places_are_aligned_and_do_not_overlap():
    ends = spans([1, 0, 64, 65, 7])
    assert all(first % 64 == 0 for first, _ in ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))

"""How fast frames travel: the wire against pickle, in one run, between two processes.

    python tests/bench/bench_transport.py

Frames of 1024 x 1024 RGBA float16 (8.4 MB) per second. Prints a table and ends with 1 if the wire is not at least twice
as fast as pickle over TCP, or the path used when both ends are one machine not at least four times (shared memory where
there is some, a Unix socket elsewhere).
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zmq
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.shared_memory import MemoryAddress, SharedMemory
from understudy_shared.protocol.wire import bound

SHAPE = (1024, 1024, 4)
WARM_UP = 8
TCP, SOCKET, MEMORY = "wire over TCP", "wire over a Unix socket", "wire by shared memory"


Memory = SharedMemory | None


def send_pickle(socket: zmq.Socket, index: int, frame: np.ndarray, memory: Memory) -> None:
    socket.send_pyobj({"job": "x", "index": index, "rgba": frame})


def receive_pickle(socket: zmq.Socket, memory: Memory) -> tuple[int, np.ndarray]:
    message = socket.recv_pyobj()
    return message["index"], message["rgba"]


def send_wire(socket: zmq.Socket, index: int, frame: np.ndarray, memory: Memory) -> None:
    parts = m.to_client.encode(m.Result(job="x", index=index), {"rgba": frame}, memory)
    socket.send_multipart(parts, copy=False)


def receive_wire(socket: zmq.Socket, memory: Memory) -> tuple[int, np.ndarray]:
    parts = socket.recv_multipart(copy=False)
    message, arrays = m.to_client.decode([part.buffer for part in parts], memory)
    assert isinstance(message, m.Result)
    return message.index, arrays["rgba"]


WAYS: dict[str, tuple[Callable, Callable, str]] = {
    "pickle over TCP": (send_pickle, receive_pickle, "tcp"),
    "pickle on one machine": (send_pickle, receive_pickle, "ipc"),
    TCP: (send_wire, receive_wire, "tcp"),
    SOCKET: (send_wire, receive_wire, "ipc"),
    MEMORY: (send_wire, receive_wire, "memory"),
}


def sender(address: str, way: str, frames: int, shared: MemoryAddress | None) -> None:
    """The other process. As in the product: a DEALER with the wire's high-water marks."""
    memory = SharedMemory.attach(shared) if shared is not None else None
    pictures = [np.full(SHAPE, value, np.float16) for value in range(4)]
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        bound(socket, messages=8)
        socket.setsockopt(zmq.LINGER, -1)
        socket.connect(address)
        for index in range(WARM_UP + frames):
            WAYS[way][0](socket, index, pictures[index % 4], memory)


def measure(way: str, frames: int, folder: Path) -> float:
    """Frames per second."""
    kind = WAYS[way][2]
    made = SharedMemory.create() if kind == "memory" else None
    memory, shared = made if made is not None else (None, None)
    spawn = multiprocessing.get_context("spawn")
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        bound(socket, messages=8)
        socket.bind("tcp://127.0.0.1:*" if kind == "tcp" else f"ipc://{folder}/bench")
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        process = spawn.Process(target=sender, args=(address, way, frames, shared))
        process.start()
        start = 0.0
        for expected in range(WARM_UP + frames):
            if expected == WARM_UP:
                start = time.perf_counter()
            index, frame = WAYS[way][1](socket, memory)
            assert index == expected and frame.shape == SHAPE and frame.dtype == np.float16
            assert frame[0, 0, 0] == frame[-1, -1, -1] == expected % 4
        seconds = time.perf_counter() - start
        process.join()
    if shared is not None:
        SharedMemory.forget(shared)
    return frames / seconds


def memcpy(frames: int) -> float:
    """Frames per second of a plain copy: the limit."""
    source, target = np.ones(SHAPE, np.float16), np.zeros(SHAPE, np.float16)
    start = time.perf_counter()
    for _ in range(frames):
        np.copyto(target, source)
    return frames / (time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways = [way for way in WAYS if way != MEMORY or sys.platform == "linux"]
    bars = {TCP: 2.0, ways[-1]: 4.0}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    copies = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):  # interleaved, so that a busy moment does not hit one way alone
            for way in ways:
                speeds[way].append(measure(way, options.frames, Path(folder)))
            copies.append(memcpy(options.frames))
    base, limit = statistics.median(speeds["pickle over TCP"]), statistics.median(copies)
    megabytes = np.prod(SHAPE) * 2 / 1e6
    print(
        f"1024 x 1024 RGBA float16, {megabytes:.1f} MB a frame, median of {options.rounds} rounds of {options.frames}"
    )
    print(f"{'way':<24}{'frames/s':>10}{'GB/s':>8}{'x pickle over TCP':>20}{'x memcpy':>10}{'bar':>6}")
    passed = True
    for way, found in [*speeds.items(), ("memcpy", copies)]:
        speed = statistics.median(found)
        bar = bars.get(way)
        passed &= bar is None or speed / base >= bar
        gigabytes, shown = speed * megabytes / 1000, f"{bar:g}" if bar else ""
        print(f"{way:<24}{speed:>10.0f}{gigabytes:>8.2f}{speed / base:>20.2f}{speed / limit:>10.3f}{shown:>6}")
    print("above the bars" if passed else "BELOW A BAR")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

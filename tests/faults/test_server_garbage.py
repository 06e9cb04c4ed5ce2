"""A server that is sent nonsense answers with an error or not at all, keeps its memory, and goes on serving."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time
from pathlib import Path

import msgspec
import pytest
import zmq
from running_server import SIZE, Client, RunningServer
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import events
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.shared_memory import MemoryAddress
from understudy_shared.protocol.wire import encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MESSAGES = 3000


def spoil(rng: random.Random, parts: list[bytes]) -> list[bytes]:
    """A message, with something done to it."""
    parts = [bytes(part) for part in parts]
    where = rng.randrange(len(parts))
    match rng.randrange(7):
        case 0:
            parts[where] = parts[where][: rng.randrange(len(parts[where]) + 1)]
        case 1:
            parts[where] = rng.randbytes(rng.randrange(300))
        case 2:
            data = bytearray(parts[where] or b"x")
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            parts[where] = bytes(data)
        case 3:
            parts.insert(where, rng.randbytes(rng.randrange(50)))
        case 4:
            del parts[where]
        case 5:
            number = rng.choice(
                [b"-1", b"0", b"9999999999999999999999", b"4294967296", b"1e400", b'"x"', b"[]", b"null"]
            )
            digits = [i for i, byte in enumerate(parts[0]) if chr(byte).isdigit()]
            if digits:
                at = rng.choice(digits)
                parts[0] = parts[0][:at] + number + parts[0][at + 1 :]
        case 6:
            parts[0] = parts[0].replace(b"[", b"[" * rng.randrange(1, 3000))
    return parts or [b""]


def samples(owner: str) -> list[list[bytes]]:
    spec = JobSpec("paint", FrameRange(1, 3), SIZE, owner=owner, inputs={"photo": "00" * 32}, params={"gain": 2.0})
    import numpy as np

    image = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    every = [
        (m.Hello(owner=owner, software="1", memory=MemoryAddress(1, 0, "00")), {}),
        (m.Submit(spec=spec, have=(1, 2), conditions={1: "aa"}), {}),
        (m.InputChunk(digest="00" * 32, dtype="uint8", shape=(4, 4), offset=0), {"data": np.zeros(16, np.uint8)}),
        (m.InputChunk(digest="00" * 32, dtype="float64", shape=(1 << 40, 1 << 30), offset=0), {"data": image}),
        (m.FrameData(job=spec.id, index=2), {"rgba": image}),
        (m.FrameData(job=spec.id, index=-7), {"../../x": image}),
        (m.Fetch(job="../../../etc/passwd", indices=(1,)), {}),
        (m.Fetch(job=spec.id, indices=(1, 2)), {}),
        (m.Cancel(job="../../.."), {}),
        (m.Cancel(job=spec.id), {}),
        (m.StatusRequest(), {}),
        (m.Ping(), {}),
    ]
    return [[bytes(part) for part in encode(message, arrays)] for message, arrays in every]


def test_thousands_of_spoilt_messages(server):
    rng = random.Random(11)
    with Client(server.address, "honest") as honest, zmq.Context() as context:
        honest.run(JobSpec("paint", FrameRange(1, 2), SIZE))
        before = server.memory()
        replies = 0
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(server.address)
            every = samples("vandal")
            for number in range(MESSAGES):
                parts = rng.choice(every)
                dealer.send_multipart(spoil(rng, parts) if number % 4 else parts)
                while dealer.poll(0):
                    m.to_client.decode(dealer.recv_multipart())  # what comes back is always well-formed
                    replies += 1
            while dealer.poll(500):
                m.to_client.decode(dealer.recv_multipart())
                replies += 1
        assert replies > MESSAGES / 4
        assert server.memory() - before < 100e6
        assert server.process.poll() is None
        honest.run(JobSpec("paint", FrameRange(3, 5), SIZE))
    # Nothing was written outside the owners' folders, and no traceback into the log.
    assert {path.name for path in server.data.iterdir()} <= {"lock", "log", "owners", "server.json", "worker.log"}
    assert "Traceback" not in (server.data / "log").read_text()


def raw_connection(server: RunningServer) -> socket.socket:
    """A TCP connection on which ZeroMQ's handshake (ZMTP 3.0, NULL) is done by hand."""
    host, port = server.address.removeprefix("tcp://").split(":")
    raw = socket.create_connection((host, int(port)))
    raw.settimeout(5)
    metadata = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32))
    raw.sendall(b"\x04" + bytes([len(metadata)]) + metadata)
    received = b""
    while b"READY" not in received:
        received += raw.recv(4096)
    return raw


def test_raw_bytes_instead_of_zeromq(server):
    rng = random.Random(5)
    host, port = server.address.removeprefix("tcp://").split(":")
    for _ in range(50):
        with socket.create_connection((host, int(port))) as raw:
            try:
                raw.sendall(rng.randbytes(rng.randrange(1, 5000)))
            except OSError:
                continue
    with Client(server.address) as client:
        client.run(JobSpec("paint", FrameRange(1, 2), SIZE))


def test_a_part_beyond_the_limit_ends_its_connection_only(server):
    """The claim of a huge part in ZeroMQ's own framing: it is refused before anything of that size is allocated."""
    before = server.memory()
    with raw_connection(server) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(b"\x02" + (1 << 40).to_bytes(8, "big") + os.urandom(1000))
        while chunk := raw.recv(4096):
            assert chunk
        # Getting here means that the server has closed the connection: recv would have timed out otherwise.
    assert server.memory() - before < 50e6
    with Client(server.address) as client:
        client.run(JobSpec("paint", FrameRange(1, 2), SIZE))


def test_a_message_without_end(tmp_path, monkeypatch):
    """ZeroMQ collects parts without limit: the server notices, cuts the connection, and goes on."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    code = (
        "from pathlib import Path; from understudy_backend.config import ServerConfig\n"
        "from understudy_backend.server import Server\n"
        f"config = ServerConfig(Path({str(tmp_path)!r}), 'tcp://127.0.0.1:*', methods=('fault_methods:Paint',),"
        " catalogue=False, receive_bytes=100_000_000)\n"
        "Server(config).run()"
    )
    server = RunningServer(tmp_path)
    server.command = lambda: [sys.executable, "-c", code]
    with server, Client(server.address) as client:
        client.wait(events.Connected)
        before, most = server.memory(), 0
        part = b"\x03" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)  # "more follows", long, its length
        until = time.monotonic() + 5
        with raw_connection(server) as raw, contextlib.suppress(OSError):
            while time.monotonic() < until:
                raw.sendall(part)
                most = max(most, server.memory() - before)
                time.sleep(0.002)
        assert most > 50e6, "the attack is none: ZeroMQ has a limit now, and the guard can go"
        client.wait(events.Connected, 2)
        client.run(JobSpec("paint", FrameRange(1, 2), SIZE))
        assert most < 1e9 and server.memory() - before < 200e6


def test_client_that_never_reads(server):
    """Thousands of questions and no reading: the server forgets the client rather than hoard its answers."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger, dealer.rcvhwm = 0, 1
        dealer.connect(server.address)
        dealer.send_multipart(encode(m.Hello(owner="deaf", software="1")))
        before = server.memory()
        question = encode(m.StatusRequest())
        for _ in range(20000):
            try:
                dealer.send_multipart(question, zmq.NOBLOCK)
            except zmq.Again:
                dealer.poll(5, zmq.POLLOUT)
        with Client(server.address) as client:
            client.run(JobSpec("paint", FrameRange(1, 2), SIZE))
        assert server.memory() - before < 50e6


def test_samples_are_valid(server):
    for parts in samples("x"):
        m.to_server.decode(parts)
    assert msgspec.json.decode(samples("x")[0][0])["protocol"] == 1

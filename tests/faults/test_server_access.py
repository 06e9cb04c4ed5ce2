"""Who may connect, and where a server may listen; each refusal is one line that says what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq
from running_server import HASTE, PHOTO, SIZE, Client, RunningServer, body, environment
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import events
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.security import ClientKeys, load_client_keys, make_keys
from understudy_shared.protocol.shared_memory import MemoryAddress, SharedMemory
from understudy_shared.protocol.wire import PROTOCOL, encode


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "understudy_backend.cli", *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def check_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_off_loopback_needs_keys(tmp_path):
    done = run("serve", "--address", "tcp://0.0.0.0:0", "--data", str(tmp_path))
    check_one_line(done, 2, "understudy keys server")


def test_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--address", f"tcp://127.0.0.1:{port}", "--data", str(tmp_path))
    check_one_line(done, 2, f"127.0.0.1:{port}", "in use", "--address")


def test_data_in_use(server):
    done = run("serve", "--address", "tcp://127.0.0.1:*", "--data", str(server.data))
    check_one_line(done, 2, str(server.data), "--data")


def test_ipc_address_in_use(tmp_path):
    address = f"ipc://{tmp_path}/s"
    with RunningServer(tmp_path / "one", address=address):
        done = run("serve", "--address", address, "--data", str(tmp_path / "two"))
        check_one_line(done, 2, "in use")
        # And the first one still answers.
        with Client(address) as client:
            client.wait(events.Connected)


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:999999", "tcp://127.0.0.1"])
def test_no_address(tmp_path, address):
    done = run("serve", "--address", address, "--data", str(tmp_path))
    check_one_line(done, 2, address, "tcp://127.0.0.1:7707")


def test_missing_and_readable_keys(tmp_path):
    done = run("serve", "--data", str(tmp_path / "data"), "--keys", str(tmp_path / "none"))
    check_one_line(done, 2, "understudy keys")
    make_keys(tmp_path / "keys", "server")
    assert (tmp_path / "keys" / "server.key").stat().st_mode & 0o777 == 0o600
    done = run("keys", "server", str(tmp_path / "keys"))
    check_one_line(done, 2, "not overwritten")
    (tmp_path / "keys" / "server.key").chmod(0o644)
    done = run("serve", "--data", str(tmp_path / "data"), "--keys", str(tmp_path / "keys"))
    check_one_line(done, 2, "chmod 600")


def test_backend_of_another_version(server):
    """A raw client that speaks protocol 2: it is told both versions, in words that any version can read."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(server.address)
        hello = encode(m.Hello(owner="x", software="9.9"))
        dealer.send(bytes(hello[0]).replace(b'"protocol":1', b'"protocol":2'))
        assert dealer.poll(5000)
        reply, _ = m.to_client.decode(dealer.recv_multipart())
        assert isinstance(reply, m.ErrorReply) and reply.code == "version"
        assert "protocol 1" in reply.message and "protocol 2" in reply.message and "9.9" in reply.message


def test_client_of_another_version():
    """A fake backend that speaks protocol 2: the client says so, once, and gives up."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with Client(f"tcp://127.0.0.1:{port}") as client:
            assert router.poll(5000)
            name, *_ = router.recv_multipart()
            error = encode(m.ErrorReply(code="version", message="?", software="9.9"))
            router.send_multipart([name, bytes(error[0]).replace(b'"protocol":1', b'"protocol":2')])
            lost = client.wait(events.Disconnected)
    assert lost.final and lost.code == "version" and lost.fix
    assert f"protocol {PROTOCOL}" in lost.reason and "protocol 2" in lost.reason and "9.9" in lost.reason


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Client(f"tcp://127.0.0.1:{port}") as client:
        lost = client.wait(events.Disconnected)
        assert not lost.final and lost.code == "unreachable" and str(port) in lost.reason


def test_curve(tmp_path):
    """The authorised key gets in; another key, and no key, do not."""
    make_keys(tmp_path / "server", "server")
    for name in ("friend", "stranger"):
        make_keys(tmp_path / name, "client")
        (tmp_path / name / "server.pub").write_bytes((tmp_path / "server" / "server.pub").read_bytes())
    done = run("keys", "authorize", str(tmp_path / "server"), str(tmp_path / "friend" / "client.pub"))
    assert done.returncode == 0, done.stderr
    # 0.0.0.0 is an address that needs keys; the test reaches it through loopback.
    keys = ("--keys", str(tmp_path / "server"))
    with RunningServer(tmp_path / "data", *keys, address="tcp://0.0.0.0:*") as server:
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        friend = load_client_keys(tmp_path / "friend")
        with Client(address, keys=friend) as client:
            client.run(JobSpec("paint", FrameRange(1, 3), SIZE))
            assert len(client.arrived()) == 3
        with Client(address, keys=load_client_keys(tmp_path / "stranger")) as client:
            lost = client.wait(events.Disconnected)
            assert lost.code == "refused" and "authorized" in lost.fix
        with Client(address, keys=None) as client:
            client.wait(events.Disconnected)
            assert not [event for event in client.events if isinstance(event, events.Connected)]
        # A client that trusts another server's key does not talk to this one.
        public, _ = zmq.curve_keypair()
        with Client(address, keys=ClientKeys(friend.public, friend.secret, public), timing=HASTE) as client:
            client.wait(events.Disconnected)
            assert not [event for event in client.events if isinstance(event, events.Connected)]


def test_owners_are_bound_to_their_keys():
    from understudy_backend.jobs.spool import owner_id

    assert len({owner_id("key1", "ann"), owner_id("key2", "ann"), owner_id("key1", "bob"), owner_id("", "ann")}) == 4


def test_short_way_on_the_same_machine(server):
    """The connection moves to the Unix socket, and comes back by TCP when that is gone."""
    with Client(server.address) as client:
        welcome = client.wait(events.Connected).welcome
        assert welcome.local.startswith("ipc://")
        client.run(JobSpec("paint", FrameRange(1, 3), SIZE), frames=body)
        established = subprocess.run(["ss", "-xH"], capture_output=True, text=True, check=False)
        if established.returncode == 0:
            assert welcome.local.removeprefix("ipc://") in established.stdout


def mappings(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("memfd:understudy")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has anonymous sealed memory")
def test_memory_is_shared_on_the_same_machine_and_given_back(server):
    """Frames of a size that travels by memory: each arrives as it was painted; nothing is left when the client goes."""
    large = (160, 120)

    def picture(number: int) -> Frame:
        image = np.arange(large[0] * large[1] * 4, dtype=np.uint32) * (number + 1) >> 3
        return Frame(number, {Channel.RGBA: image.astype(np.uint8).reshape(large[1], large[0], 4)})

    pid = server.process.pid
    assert mappings(pid) == 0
    with Client(server.address) as client:
        assert client.wait(events.Connected).welcome.memory
        assert mappings(pid) == 1
        client.run(JobSpec("paint", FrameRange(1, 30), large, seed=5), frames=picture)
        arrived = client.arrived()
        assert sorted(result.index for result in arrived) == list(range(1, 31))
        for result in arrived:
            painted = picture(result.index).channels[Channel.RGBA].astype(np.int64) + int(PHOTO.flat[0])
            np.testing.assert_array_equal(result.arrays["rgba"], (painted + result.index + 5) % 256)
    until = time.monotonic() + 5
    while mappings(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert mappings(pid) == 0


def test_memory_offered_from_afar_is_not_taken(server):
    """Over TCP a client may be anybody: the numbers that it names are not looked at."""
    made = SharedMemory.create()
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(server.address)
        address = made[1] if made is not None else MemoryAddress(1, 1, "00")
        dealer.send_multipart(encode(m.Hello(owner="x", software="1", memory=address)))
        assert dealer.poll(20_000)
        welcome, _ = m.to_client.decode(dealer.recv_multipart())
        assert isinstance(welcome, m.Welcome) and not welcome.memory
    assert mappings(server.process.pid) == 0


def test_no_socket_files_stay_behind(tmp_path):
    from understudy_backend.jobs.places import socket_path

    with RunningServer(tmp_path / "data") as server, Client(server.address) as client:
        client.wait(events.Connected)
        paths = [socket_path(server.data, name) for name in ("local", "worker")]
        assert all(path is not None and path.is_socket() for path in paths)
    assert not any(path is not None and path.exists() for path in paths)
    assert not (tmp_path / "data" / "server.json").exists()

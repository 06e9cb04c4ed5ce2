"""The server: reads messages, keeps the book of jobs, lets the worker work, sends results. One thread, no torch.

Whatever a client sends, the worst that happens is an error reply: to it, and to nobody else.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Mapping

import msgspec
import zmq
from numpy.typing import NDArray
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.description import MethodDescription
from understudy_shared.protocol.security import ServerKeys
from understudy_shared.protocol.shared_memory import SharedMemory
from understudy_shared.protocol.wire import PROTOCOL, VersionError, WireError

from . import __version__
from .config import ServerConfig
from .executors.process import WorkerProcess
from .executors.residency import memory_in_use
from .executors.runner import Runner
from .jobs.book import Book
from .jobs.container import ContainerError
from .jobs.job import Job, JobState
from .jobs.places import announce, lock_data, socket_path
from .jobs.spool import Spool, owner_id
from .methods.catalogue import METHODS
from .serving.reception import Reception
from .serving.sessions import Following, Session
from .serving.sockets import Peer, ServerSockets

log = logging.getLogger(__name__)

SESSIONS = 256
"""Clients at a time; beyond it the one that has been silent longest is forgotten."""

SENDING = 0.2
"""Seconds in which results are sent to one client before the others are looked after again."""

BATCH = 16
"""Messages taken from a socket before the worker is looked after again."""


class Server:
    """Made, `run` in one thread, `stop` from any.

    Raises:
        PlaceError: the data folder cannot be used.
        BindError: the address cannot be used.
    """

    def __init__(self, config: ServerConfig, keys: ServerKeys | None = None) -> None:
        self._config = config
        self._lock = lock_data(config.data)
        self._context = zmq.Context()
        local = socket_path(config.data, "local")
        try:
            self._sockets = ServerSockets(self._context, config.address, keys, local)
        except ValueError:
            self._context.destroy(linger=0)
            self._lock.close()
            raise
        self.address = self._sockets.address
        self._instance = secrets.token_hex(16)
        self._methods: dict[str, MethodDescription] | None = None
        self._sessions: dict[Peer, Session] = {}
        self._spool = Spool(config.data, config.spool_bytes)
        self._book = Book(self._spool, self)
        self._runner = Runner(config, self._book, self, self._start_worker)
        self._reception = Reception(config, self._book, self._runner, self._sessions, self._post, self._drop)
        self._tidied = 0.0
        self._memory = memory_in_use("cpu")
        self._stopping = threading.Event()

    def run(self) -> None:
        """Serves until `stop`."""
        announce(self._config.data, self.address, __version__)
        try:
            while not self._stopping.is_set():
                self._wait()
                for peer, user, parts in self._sockets.receive(BATCH):
                    self._receive(peer, user, parts)
                self._runner.step()
                self._send()
                self._tidy()
        finally:
            self._close()

    def stop(self) -> None:
        """Ends `run` soon."""
        self._stopping.set()

    # -- what book and runner tell

    def frame_finished(self, job: Job, index: int) -> None:
        """Queues a result for those who follow the job."""
        for _, following in self._followers(job):
            if index not in following.have:
                following.to_send.append(index)

    def job_ended(self, job: Job) -> None:
        """Nothing to do: `_send` finds it when the results before it are sent."""

    def job_progressed(self, job: Job, fraction: float, stage: str, eta: float | None) -> None:
        """Tells those who follow the job; a slow reader misses some."""
        parts = m.to_client.encode(m.Progress(job=job.id, fraction=fraction, stage=stage, eta=eta))
        for session, _ in self._followers(job):
            session.post(parts, self._sockets, droppable=True)

    def job_previewed(self, job: Job, index: int, rgba: NDArray) -> None:
        """Shows it to those who follow the job and lack the frame."""
        message = m.Preview(job=job.id, index=index)
        for session, following in self._followers(job):
            if index not in following.have:
                parts = m.to_client.encode(message, {"rgba": rgba})
                session.post(parts, self._sockets, droppable=True)

    def methods_known(self, methods: Mapping[str, MethodDescription]) -> None:
        """The first time, unfinished jobs of an earlier life are taken up and waiting clients welcomed. Later, clients
        are welcomed anew if something has changed."""
        before, self._methods = self._methods, dict(methods)
        self._reception.methods = self._methods
        if before is None:
            self._book.open_unfinished(self._methods)
        elif before != self._methods:
            for session in self._sessions.values():
                session.welcomed = False
        self._welcome_waiting()

    # -- the loop

    def _wait(self) -> None:
        poller = zmq.Poller()
        for socket in self._sockets.all():
            poller.register(socket, zmq.POLLIN)
        if self._runner.socket is not None:
            poller.register(self._runner.socket, zmq.POLLIN)
        # A ROUTER does not tell when a client that was full has room again: look again soon.
        full = any(session.waits() for session in self._sessions.values())
        poller.poll(5 if full else 100)

    def _receive(self, peer: Peer, user: str, parts: list[zmq.Frame]) -> None:
        session = self._sessions.get(peer)
        memory = session.memory if session is not None else None
        try:
            message, arrays = m.to_server.decode([part.buffer for part in parts], memory)
        except VersionError as error:
            named = f" ({error.software})" if error.software else ""
            what = f"the backend speaks protocol {PROTOCOL} ({__version__}), the client protocol {error.theirs}{named}"
            self._refuse(peer, "version", what, "install the same version of Understudy on both sides")
            return
        except WireError as error:
            self._refuse(peer, "malformed", str(error), "is the other end really Understudy?")
            return
        if isinstance(message, m.Hello):
            self._hello(peer, user, message)
            return
        if session is None:
            self._refuse(peer, "no_session", "say hello first", "")
            return
        try:
            self._reception.receive(session, message, arrays)
        except Exception as error:
            # One message, however unforeseen, must not end everybody's jobs.
            log.exception("a message could not be handled")
            self._refuse(
                peer, "internal", f"the backend stumbled over a message: {type(error).__name__}", "see its log"
            )

    def _hello(self, peer: Peer, user: str, hello: m.Hello) -> None:
        if peer in self._sessions:
            self._drop(self._sessions[peer])
        if len(self._sessions) >= SESSIONS:
            self._drop(min(self._sessions.values(), key=lambda s: s.heard))
        offered = hello.memory if self._sockets.is_local(peer) else None
        memory = SharedMemory.attach(offered) if offered is not None else None
        self._sessions[peer] = Session(peer, hello.owner, owner_id(user, hello.owner), memory=memory)
        self._runner.describe()
        self._welcome_waiting()

    def _welcome_waiting(self) -> None:
        if self._methods is None:
            return
        for session in self._sessions.values():
            if session.welcomed:
                continue
            session.welcomed = True
            welcome = m.Welcome(
                software=__version__,
                instance=self._instance,
                methods=tuple(self._methods.values()),
                device=self._config.device,
                local=self._sockets.local,
                memory=session.memory is not None,
            )
            self._post(session, welcome)

    def _send(self) -> None:
        """Results, then the end of a job that has ended, then credit: as much as each client takes."""
        for session in list(self._sessions.values()):
            if session.flush(self._sockets):
                self._send_fetched(session)
                for following in list(session.following.values()):
                    self._send_of(session, following)
            if session.gone:
                self._drop(session)

    def _send_of(self, session: Session, following: Following) -> None:
        job = following.job
        until = time.monotonic() + SENDING
        while following.to_send and not session.outbox and not session.gone and time.monotonic() < until:
            index = following.to_send.popleft()
            self._send_result(session, job.id, index, job.finished.get(index, ""))
        if following.to_send or session.outbox or session.gone:
            return
        if job.state.ended:
            session.following.pop(job.id, None)
            self._post(session, _ending(job))
        elif following.has_all():
            session.following.pop(job.id, None)
            self._post(session, m.Done(job=job.id))
        elif following.owed and (job.ahead_bytes < self._config.ahead_bytes or not job.method.independent_frames):
            self._post(session, m.Credit(job=job.id, n=following.owed))
            following.owed = 0

    def _send_fetched(self, session: Session) -> None:
        while session.fetched and not session.outbox and not session.gone:
            (job_id, index), key = session.fetched.popitem()
            self._send_result(session, job_id, index, key)

    def _send_result(self, session: Session, job_id: str, index: int, key: str) -> None:
        try:
            meta, arrays = self._spool.read_result(session.owner, key)
        except ContainerError as error:
            following = session.following.pop(job_id, None)
            if following is not None:
                following.job.finished.pop(index, None)
            what = f"the result of frame {index} was lost: {error}"
            self._post(session, m.ErrorReply(code="result_lost", message=what, fix="submit the job again", job=job_id))
            return
        result = m.Result(job=job_id, index=index, meta=meta)
        session.post(m.to_client.encode(result, arrays, session.memory), self._sockets)

    def _tidy(self) -> None:
        """Once a second: silent clients are forgotten, jobs that only wait for such clients are put aside."""
        now = time.monotonic()
        if now - self._tidied < 1.0:
            return
        self._tidied = now
        self._guard_memory()
        for session in list(self._sessions.values()):
            if now - session.heard > self._config.silence:
                self._drop(session)
            elif self._runner.trouble and not session.welcomed:
                what, fix = self._runner.trouble, f"look into {self._config.data / 'worker.log'}"
                self._post(session, m.ErrorReply(code="worker_failed", message=what, fix=fix))
        followed = {(s.owner, job) for s in self._sessions.values() for job in s.following}
        self._book.put_aside(followed)

    def _guard_memory(self) -> None:
        if memory_in_use("cpu") - self._memory < self._config.receive_bytes:
            return
        log.error("a client sends a message without end: all connections are cut")
        for session in list(self._sessions.values()):
            self._drop(session)
        self._sockets.reopen()
        # What was freed may not be back with the system at once: growth counts from here.
        self._memory = memory_in_use("cpu")

    def _followers(self, job: Job) -> list[tuple[Session, Following]]:
        found = []
        for session in self._sessions.values():
            following = session.following.get(job.id)
            if following is not None and following.job is job:
                found.append((session, following))
        return found

    def _post(self, session: Session, message: msgspec.Struct) -> None:
        session.post(m.to_client.encode(message), self._sockets)

    def _refuse(self, peer: Peer, code: str, message: str, fix: str) -> None:
        reply = m.ErrorReply(code=code, message=message, fix=fix, software=__version__)
        with contextlib.suppress(ConnectionError):
            self._sockets.send(peer, m.to_client.encode(reply))

    def _drop(self, session: Session) -> None:
        session.close()
        self._sessions.pop(session.peer, None)

    def _start_worker(self) -> WorkerProcess:
        config = self._config
        methods = [*(METHODS if config.catalogue else ()), *config.methods]
        path = socket_path(config.data, "worker")
        log_path = config.data / "worker.log"
        return WorkerProcess(self._context, path, log_path, config.device, config.memory_bytes, methods)

    def _close(self) -> None:
        self._runner.close()
        for session in list(self._sessions.values()):
            self._drop(session)
        self._sockets.close()
        self._context.destroy(linger=200)
        (self._config.data / "server.json").unlink(missing_ok=True)
        self._lock.close()


def _ending(job: Job) -> msgspec.Struct:
    if job.state is JobState.DONE:
        return m.Done(job=job.id)
    if job.state is JobState.CANCELLED or job.failure is None:
        return m.Cancelled(job=job.id)
    return m.Failed(job=job.id, code=job.failure.code, message=job.failure.message, fix=job.failure.fix)

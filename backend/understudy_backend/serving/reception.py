"""What each message of a client brings about: the counter at which clients are served."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping

import msgspec
from numpy.typing import NDArray
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.description import MethodDescription

from .. import __version__
from ..config import ServerConfig
from ..executors.runner import Runner
from ..jobs.book import Book, disk_failure
from ..jobs.check import Refused, check_conditions, check_spec, find_method
from ..jobs.job import Failure
from ..jobs.uploads import Upload
from .sessions import Following, Session
from .sockets import Peer

_JOB_ID = re.compile("[0-9a-f]{32}")

FOLLOWED = 1000
"""Jobs that one client may follow at a time."""


class Reception:
    """Handles the messages of clients that have said hello.

    Args:
        sessions: all of them; an input that one client sends may be what another waits for.
        post: sends a message to a client, now or later.
        drop: forgets a client.
    """

    def __init__(
        self,
        config: ServerConfig,
        book: Book,
        runner: Runner,
        sessions: Mapping[Peer, Session],
        post: Callable[[Session, msgspec.Struct], None],
        drop: Callable[[Session], None],
    ) -> None:
        self._config, self._book, self._runner, self._sessions = config, book, runner, sessions
        self._spool = book.spool
        self._post, self._drop = post, drop
        self.methods: Mapping[str, MethodDescription] = {}

    def receive(self, session: Session, message: m.ToServer, arrays: dict[str, NDArray]) -> None:
        """Acts upon a message; answers with an error if it cannot."""
        session.heard = time.monotonic()
        try:
            if isinstance(message, m.Fetch | m.Cancel) and not _JOB_ID.fullmatch(message.job):
                # It becomes part of a path.
                raise Refused("unknown_job", "that is not the id of a job")
            self._act(session, message, arrays)
        except Refused as error:
            job = message.spec.id if isinstance(message, m.Submit) else getattr(message, "job", "")
            self._post(session, m.ErrorReply(code=error.code, message=str(error), fix=error.fix, job=job))

    def _act(self, session: Session, message: m.ToServer, arrays: dict[str, NDArray]) -> None:
        match message:
            case m.Ping():
                self._post(session, m.Pong())
            case m.Submit():
                self._submit(session, message)
            case m.InputChunk():
                self._input(session, message, arrays)
            case m.FrameData():
                self._frame(session, message, arrays)
            case m.Fetch():
                self._fetch(session, message)
            case m.Cancel(job=job):
                self._cancel(session, job)
            case m.StatusRequest():
                self._status(session)
                self._runner.describe()
            case m.Bye():
                self._drop(session)

    def _submit(self, session: Session, submit: m.Submit) -> None:
        spec = submit.spec
        if spec.owner != session.name:
            raise Refused("wrong_owner", "the job names another owner than the connection")
        if len(session.following) >= FOLLOWED:
            raise Refused("too_many_jobs", f"more than {FOLLOWED} jobs at a time", "let some of them end first")
        method = find_method(self.methods, spec.method)
        check_spec(spec, method)
        try:
            job = self._book.open(session.owner, spec, method)
        except OSError as error:
            failure = disk_failure(error)
            raise Refused(failure.code, failure.message, failure.fix) from None
        have = frozenset(submit.have)
        following = Following(job, have=have, conditions=submit.conditions)
        session.following[job.id] = following
        following.missing = set(self._book.missing_inputs(job))
        following.to_send.extend(index for index in sorted(job.finished) if index not in have)
        if following.missing:
            self._post(session, m.NeedInputs(job=job.id, digests=tuple(sorted(following.missing))))
        else:
            self._accept(session, following)

    def _accept(self, session: Session, following: Following) -> None:
        job = following.job
        self._book.activate(job)
        self._book.reuse(job, following.conditions)
        following.conditions, following.owed = {}, 0
        wanted = job.wanted()
        if job.method.independent_frames:  # else a clip is made from all its frames, whoever has which
            following.spared = following.have.intersection(wanted)
        accepted = m.Accepted(
            job=job.id,
            have=tuple(sorted(job.finished)),
            want=tuple(index for index in wanted if index not in following.spared),
            credit=self._config.credit,
        )
        self._post(session, accepted)

    def _input(self, session: Session, chunk: m.InputChunk, arrays: dict[str, NDArray]) -> None:
        waiting = [f for f in session.following.values() if chunk.digest in f.missing]
        upload = session.uploads.get(chunk.digest)
        if not waiting:  # late, or not asked for
            session.give_up(chunk.digest)
            return
        if "data" not in arrays or (upload is None and chunk.offset):  # the rest of an upload that was given up
            return
        try:
            if upload is None or chunk.offset == 0:
                if upload is not None:
                    upload.abandon()
                path = self._spool.input_path(session.owner, chunk.digest)
                upload = Upload(path.with_suffix(f".{secrets.token_hex(4)}.part"), chunk)
                session.uploads[chunk.digest] = upload
            if not upload.add(chunk, arrays["data"].reshape(-1).view("u1").data):
                return
            self._spool.keep_input(session.owner, chunk.digest, upload.path)
        except Refused as error:
            self._input_failed(session, chunk.digest, Failure(error.code, str(error), error.fix))
            return
        except OSError as error:
            self._input_failed(session, chunk.digest, disk_failure(error))
            return
        del session.uploads[chunk.digest]
        for other in self._sessions.values():
            for following in other.following.values() if other.owner == session.owner else ():
                if chunk.digest in following.missing:
                    following.missing.discard(chunk.digest)
                    if not following.missing:
                        self._accept(other, following)

    def _input_failed(self, session: Session, digest: str, failure: Failure) -> None:
        session.give_up(digest)
        for following in list(session.following.values()):
            if digest in following.missing:
                self._book.fail(following.job, failure)

    def _frame(self, session: Session, frame: m.FrameData, arrays: dict[str, NDArray]) -> None:
        following = session.following.get(frame.job)
        if following is None or following.job.state.ended:
            return  # it was sent before the client knew
        following.owed += 1
        try:
            check_conditions(following.job.spec, arrays, any_size=following.job.method.any_size)
        except Refused as error:
            self._book.fail(following.job, Failure(error.code, str(error), error.fix))
            return
        self._book.add_conditions(following.job, frame.index, arrays)

    def _fetch(self, session: Session, fetch: m.Fetch) -> None:
        following = session.following.get(fetch.job)
        finished = following.job.finished if following else self._spool.finished(session.owner, fetch.job)
        missing = [index for index in fetch.indices if index not in finished]
        if missing:
            what = f"frame {missing[0]} of this job is not finished here"
            raise Refused("unknown_result", what, "submit the job again")
        session.fetched.update({(fetch.job, index): finished[index] for index in fetch.indices})

    def _cancel(self, session: Session, job_id: str) -> None:
        job = self._book.find(session.owner, job_id)
        if job is None and self._spool.read_job(session.owner, job_id) is None:
            raise Refused("unknown_job", "there is no such job here")
        if job is not None:
            self._book.cancel(job)
        if job_id not in session.following:  # who follows it is told when its last results are sent
            self._post(session, m.Cancelled(job=job_id))

    def _status(self, session: Session) -> None:
        jobs = []
        for owner, job_id in self._spool.jobs():
            record = self._spool.read_job(owner, job_id) if owner == session.owner else None
            if record is not None:
                total = len(record.spec.frames.numbers())
                done = len(self._spool.finished(owner, job_id))
                jobs.append(m.JobStatus(job_id, record.spec.method, record.state.value, done, total))
        report = m.StatusReport(
            software=__version__,
            device=self._config.device,
            worker=self._runner.state,
            jobs=tuple(jobs),
            spool_bytes=self._spool.used,
            spool_limit=self._spool.limit,
            problems=self._runner.problems,
        )
        self._post(session, report)

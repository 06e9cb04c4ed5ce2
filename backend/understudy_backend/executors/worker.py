"""The process that owns the GPU: `python -m understudy_backend.executors.worker`, started by the server.

It may die at any time without loss: all that matters is with the server. It ends by itself when the server does,
because its standard input does.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import JobSpec
from understudy_shared.protocol.wire import WireError, bound

from ..jobs.container import ContainerError, read_container
from ..methods.catalogue import make_method
from ..methods.contract import Cancelled, Method, MethodError, Task
from .messages import (
    Again,
    Broke,
    Describe,
    Finished,
    Give,
    Made,
    NoMore,
    Previewed,
    Progressed,
    Ready,
    Run,
    Stop,
    Stopped,
    Want,
    to_worker,
)
from .residency import Residency, default_budget, is_out_of_memory, memory_in_use

log = logging.getLogger(__name__)

PREFETCH = 4
"""Frames asked for ahead of the one that the method takes."""


class _Server:
    """The other end of the worker's socket."""

    def __init__(self, address: str) -> None:
        self._socket = zmq.Context.instance().socket(zmq.PAIR)
        bound(self._socket, messages=8)
        self._socket.connect(address)
        self.describe: Callable[[], None] = lambda: None
        """Says Ready once more: whenever the server asks for it, also in the middle of a run."""

    def say(self, message: msgspec.Struct, arrays: dict[str, NDArray] | None = None) -> None:
        self._socket.send_multipart(to_worker.encode(message, arrays), copy=False)

    def hear(self, *, wait: bool) -> Run | Give | NoMore | Stop | None:
        """The next message; None if there is none and none is waited for."""
        # No deadline: the watch on standard input ends the process when there is nobody left to hear.
        while wait or self._socket.poll(0):
            message = to_worker.decode(self._socket.recv_multipart())[0]
            if not isinstance(message, Describe):
                return message
            self.describe()
        return None


class _Stream:
    """The frames of one run, as the server gives them. Iterating waits for the next."""

    def __init__(self, server: _Server, run: int) -> None:
        self._server, self._run = server, run
        self._given: deque[Give] = deque()
        self._ended = False
        server.say(Want(run=run, n=PREFETCH))

    def __iter__(self) -> Iterator[Frame]:
        while True:
            while not self._given and not self._ended:
                self._take_in(wait=True)
            if not self._given:
                return
            give = self._given.popleft()
            self._server.say(Want(run=self._run, n=1))
            yield Frame(give.index, _read_conditions(give.conditions))

    def check(self) -> None:
        """Raises Cancelled if the server has said so. Cheap enough to call at every denoising step."""
        while self._take_in(wait=False):
            pass

    def _take_in(self, *, wait: bool) -> bool:
        message = self._server.hear(wait=wait)
        if message is None:
            return False
        if message.run == self._run:  # what belongs to an earlier run is of no interest any more
            if isinstance(message, Stop):
                raise Cancelled
            if isinstance(message, NoMore):
                self._ended = True
            if isinstance(message, Give):
                self._given.append(message)
        return True


def serve(server: _Server, methods: dict[str, Method], residency: Residency, device: str) -> None:
    """Runs one job after another, forever."""
    while True:
        message = server.hear(wait=True)
        if not isinstance(message, Run):
            continue
        answer = _run(message, server, methods, residency, device)
        residency.settle()
        server.say(answer)


def _run(
    order: Run, server: _Server, methods: dict[str, Method], residency: Residency, device: str
) -> Finished | Stopped | Again | Broke:
    name, run = order.spec.method, order.run
    try:
        method = residency.take(name)
        stream = _Stream(server, run)

        def progress(fraction: float, stage: str) -> None:
            stream.check()
            server.say(Progressed(run=run, fraction=min(max(float(fraction), 0.0), 1.0), stage=str(stage)[:200]))

        def preview(index: int, rgba: NDArray) -> None:
            server.say(Previewed(run=run, index=index), {"rgba": rgba})

        params = _params(order.spec, methods[name])
        inputs = {key: np.load(path, allow_pickle=False) for key, path in order.inputs.items()}
        folder = Path(order.folder) if order.folder else None
        task = Task(order.spec, params, inputs, device, folder, progress, preview)
        for result in method.run(task, iter(stream)):
            stream.check()
            meta = msgspec.json.decode(msgspec.json.encode(result.meta))
            server.say(Made(run=run, index=result.index, meta=meta), dict(result.arrays))
    except Cancelled:
        return Stopped(run=run)
    except MethodError as error:
        return Broke(run=run, code=error.code, message=str(error), fix=error.fix)
    except (ContainerError, WireError) as error:
        return Broke(run=run, code="method_failed", message=str(error), fix="")
    except Exception as error:
        if is_out_of_memory(error):
            if residency.leave_others(name):
                return Again(run=run)
            fix = "use a smaller size, or a device with more memory"
            return Broke(run=run, code="out_of_memory", message=f"{name} ran out of memory on {device}", fix=fix)
        log.exception("%s failed", name)
        first = (str(error).strip().splitlines() or [""])[0][:300]
        message = f"{name} stopped on a mistake of its own: {type(error).__name__}: {first}"
        return Broke(run=run, code="method_crashed", message=message, fix="the worker's log says where")
    return Finished(run=run)


def _params(spec: JobSpec, method: Method) -> msgspec.Struct:
    try:
        return msgspec.convert(spec.params, method.params_type)
    except msgspec.ValidationError as error:
        raise MethodError(f"a parameter does not fit: {error}", code="bad_params") from None


def _read_conditions(path: str) -> dict[Channel, NDArray]:
    if not path:
        return {}
    _, arrays = read_container(Path(path))
    return {Channel(name): array for name, array in arrays.items()}


def _make_methods(dotted: Sequence[str]) -> tuple[dict[str, Method], list[str]]:
    methods, problems = {}, []
    for name in dotted:
        try:
            method = make_method(name)
            methods[method.description.name] = method
        except Exception as error:
            # One method that cannot be imported must not take the others along.
            log.exception("%s cannot be loaded", name)
            problems.append(f"{name} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return methods, problems


def _end_with_the_server() -> None:
    """The server holds the other end of our standard input: when it closes, the server is gone."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="understudy-worker")
    parser.add_argument("--connect", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory-bytes", type=int, default=0)
    parser.add_argument("--method", action="append", default=[])
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    # Ctrl-C in the server's terminal reaches us too; the server decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    server = _Server(options.connect)
    methods, problems = _make_methods(options.method)
    budget = options.memory_bytes or default_budget(options.device)
    residency = Residency(methods, options.device, budget, lambda: memory_in_use(options.device))

    def describe() -> None:
        descriptions = tuple(method.description for method in methods.values())
        server.say(Ready(methods=descriptions, problems=tuple(problems)))

    def describe_again() -> None:
        try:
            describe()
        except OSError:  # a file of weights came or went while it was looked at: what was said last still holds
            log.exception("the methods cannot be described")

    describe()
    server.describe = describe_again
    serve(server, methods, residency, options.device)


if __name__ == "__main__":
    main()

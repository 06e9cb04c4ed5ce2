"""The command `understudy`: serve, status, render, animate, weights, evaluate, keys.

Exit codes: 0 done, 1 the job failed, 2 wrong use or input.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import animate
from .config import DEFAULT_ADDRESS, ServerConfig
from .evaluation import command as evaluation
from .weights import command as weights

if TYPE_CHECKING:
    from understudy_shared.protocol.security import ClientKeys


class UsageError(ValueError):
    """Wrong use or input. One line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    from understudy_shared.protocol.blocking import JobError

    options = _parser().parse_args(arguments)
    try:
        return options.do(options)
    except JobError as error:
        _complain(str(error), error.fix)
        return 1
    except (ValueError, OSError) as error:
        # Every error of ours that a user can cause is a ValueError of one line.
        _complain(str(error), "")
        return 2
    except KeyboardInterrupt:
        return 130


def serve(options: argparse.Namespace) -> int:
    """`understudy serve`."""
    from understudy_shared.protocol.security import load_server_keys

    from .jobs.local import default_data
    from .server import Server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = ServerConfig(
        data=options.data or default_data(),
        address=options.address,
        device=options.device,
        methods=tuple(options.method),
        catalogue=not options.no_catalogue,
        spool_bytes=int(options.spool_gb * 1e9),
        memory_bytes=int(options.memory_gb * 1e9),
    )
    server = Server(config, load_server_keys(options.keys) if options.keys else None)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: server.stop())
    if options.with_parent:
        threading.Thread(target=_stop_with_parent, args=(server.stop,), daemon=True).start()
    print(f"understudy serves at {server.address}, data in {config.data}", flush=True)
    server.run()
    return 0


def status(options: argparse.Namespace) -> int:
    """`understudy status`."""
    from understudy_shared.protocol.blocking import ask_status

    from .jobs.local import default_data, own_name

    data = options.data or default_data()
    address = options.address or _running_address(data)
    welcome, report = ask_status(
        address, owner=own_name(data), keys=_client_keys(options.keys), patience=options.patience
    )
    print(f"Understudy {report.software} at {address}, on {report.device}, worker {report.worker}")
    print(f"spool {report.spool_bytes / 1e6:.1f} MB of {report.spool_limit / 1e9:.1f} GB")
    print(f"methods: {', '.join(method.name for method in welcome.methods) or 'none'}")
    for problem in report.problems:
        print(f"problem: {problem}")
    for job in report.jobs:
        print(f"job {job.job}  {job.method:<20} {job.state:<10} {job.finished}/{job.frames} frames")
    return 0


def render(options: argparse.Namespace) -> int:
    """`understudy render`: a job from files."""
    from understudy_shared.protocol.blocking import run_job

    from .jobs.files import ProgressLine, ResultWriter, read_conditions, read_inputs, read_spec
    from .jobs.local import LocalBackend, default_data, own_name

    spec = read_spec(options.spec, options.set)
    inputs = read_inputs(options.input)
    frames = read_conditions(options.conditions) if options.conditions else None
    writer, line = ResultWriter(options.out), ProgressLine()
    data = options.data or default_data()
    if options.address:
        run_job(
            options.address,
            spec,
            inputs,
            frames,
            writer.write,
            owner=own_name(data),
            keys=_client_keys(options.keys),
            on_progress=line.show,
        )
    else:
        extra = [part for name in options.method for part in ("--method", name)]
        extra += ["--no-catalogue"] if options.no_catalogue else []
        with LocalBackend(data, device=options.device, options=extra) as backend:
            backend.render_job(spec, inputs, frames, writer.write, line.show)
    line.end()
    print(f"wrote {writer.count} files to {options.out}")
    return 0


def keys(options: argparse.Namespace) -> int:
    """`understudy keys`."""
    import shutil

    from understudy_shared.protocol.security import make_keys

    if options.role == "authorize":
        if options.public is None:
            raise UsageError("name the client's public key: understudy keys authorize DIR client.pub")
        folder = options.folder / "authorized"
        if not folder.is_dir():
            raise UsageError(f"{options.folder} holds no server keys: make them with `understudy keys server DIR`")
        target = folder / f"{len(list(folder.glob('*.pub'))) + 1}-{options.public.name}"
        shutil.copyfile(options.public, target)
        print(f"authorized {target}; restart the server")
        return 0
    public = make_keys(options.folder, options.role)
    if options.role == "client" and options.public is not None:
        shutil.copyfile(options.public, options.folder / "server.pub")
    print(f"made {public}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="understudy", description="One photo, any motion, any camera.")
    commands = parser.add_subparsers(
        required=True, metavar="serve | status | render | animate | weights | evaluate | keys"
    )

    command = commands.add_parser("serve", help="answer Blender and other clients")
    command.set_defaults(do=serve)
    command.add_argument(
        "--address", default=DEFAULT_ADDRESS, help="tcp://host:port (default: %(default)s) or ipc://path"
    )
    command.add_argument("--keys", type=Path, help="folder made by `understudy keys server`; needed off loopback")
    command.add_argument("--spool-gb", type=float, default=20.0, help="limit of what is kept on disk")
    command.add_argument(
        "--memory-gb", type=float, default=0.0, help="limit for loaded methods (default: most there is)"
    )
    command.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    command.add_argument("--data", type=Path, help="folder of the spool")
    _add_device(command)
    _add_methods(command)

    command = commands.add_parser("status", help="ask a running backend how it is")
    command.set_defaults(do=status)
    command.add_argument("--patience", type=float, default=10.0, help="seconds to wait for an answer")
    _add_client(command)

    command = commands.add_parser("render", help="make a job from files, without Blender")
    command.set_defaults(do=render)
    command.add_argument(
        "--spec", type=Path, required=True, help="JSON: method, frames {start, end, step}, size, seed, params"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="override a parameter of the spec"
    )
    command.add_argument("--input", action="append", default=[], metavar="NAME=FILE", help="an image or an .npy file")
    command.add_argument(
        "--conditions", type=Path, help="folder with one NUMBER.npz per frame, arrays named by channel"
    )
    command.add_argument("--out", type=Path, required=True, help="folder for the results")
    _add_client(command)
    _add_device(command)
    _add_methods(command)

    command = commands.add_parser("animate", help="photo, motion and camera files to frames, without Blender")
    command.set_defaults(do=animate.run)
    animate.add_options(command)
    _add_client(command)
    _add_device(command)

    command = commands.add_parser("weights", help="which published weights there are, and fetching them")
    weights.add_options(command)

    command = commands.add_parser("evaluate", help="measure 3DHM's weights on people that training never saw")
    command.set_defaults(do=evaluation.run)
    evaluation.add_options(command)
    _add_device(command)

    command = commands.add_parser("keys", help="make keys for backends that other machines can reach")
    command.set_defaults(do=keys)
    command.add_argument("role", choices=("server", "client", "authorize"))
    command.add_argument("folder", type=Path)
    command.add_argument(
        "public", type=Path, nargs="?", help="client: the server's server.pub; authorize: a client.pub"
    )
    return parser


def _add_client(command: argparse.ArgumentParser) -> None:
    command.add_argument("--address", help="of a running backend (default: the one that uses --data)")
    command.add_argument("--keys", type=Path, help="folder made by `understudy keys client`")
    command.add_argument("--data", type=Path, help="data folder of this user")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: %(default)s)")


def _add_methods(command: argparse.ArgumentParser) -> None:
    command.add_argument("--method", action="append", default=[], metavar="MODULE:CLASS", help="offer this method, too")
    command.add_argument("--no-catalogue", action="store_true", help="offer only the methods named by --method")


def _client_keys(folder: Path | None) -> ClientKeys | None:
    from understudy_shared.protocol.security import load_client_keys

    return load_client_keys(folder) if folder else None


def _running_address(data: Path) -> str:
    from .jobs.places import read_announcement

    found = read_announcement(data)
    return found.address if found else DEFAULT_ADDRESS


def _stop_with_parent(stop: object) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    if callable(stop):
        stop()


def _complain(message: str, fix: str) -> None:
    line = " ".join(message.split())
    print(f"understudy: {line}{'; ' + fix if fix else ''}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command understudy …` for farms: argument lists in, one line for each thing that happens, exit codes out.

0    done
2    the arguments or the file are not right
3    the backend cannot be reached
4    the backend could not make it
5    a file cannot be written
130  interrupted (143: ended by SIGTERM); the same command goes on
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import bpy
from understudy_shared.job import FrameRange
from understudy_shared.protocol.description import MethodDescription, ParamDescription

DONE, WRONG, UNREACHABLE, FAILED, UNWRITABLE = 0, 2, 3, 4, 5
NAME = "understudy"

_CODES = "exit codes: 0 done, 2 wrong arguments or file, 3 no backend, 4 the backend failed, 5 disk, 130 interrupted"


class _Interrupted(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}. `blender --command understudy {self.prog.split()[-1]} --help` tells more")


def run(arguments: list[str]) -> int:
    """What Blender calls: the arguments after `understudy`; gives the exit code."""
    handled = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run(arguments)
    except _Interrupted as interrupted:
        _complain("interrupted: the same command goes on where it stopped")
        return interrupted.code
    finally:
        for number, handler in handled.items():
            # None: it was not set from Python, and only the system knows it
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _run(arguments: list[str]) -> int:
    from .api.engine import BackendFailure, NoBackend
    from .api.takes import JobFailed

    try:
        options = _parser().parse_args(arguments)
        options.work(options)
    except SystemExit as done:  # --help
        return int(done.code or 0)
    except NoBackend as error:
        return _complain(error, UNREACHABLE)
    except BackendFailure as error:
        return _complain(error, UNREACHABLE if error.away else FAILED)
    except JobFailed as error:
        return _complain(error, FAILED)
    except OSError as error:
        return _complain(error, UNWRITABLE)
    except (ValueError, RuntimeError) as error:
        return _complain(error, WRONG)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=NAME, description="Understudy without a window", epilog=_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    render = commands.add_parser(
        "render",
        help="make frames of the person",
        description="Makes frames of the person as 000001.png and so on. Frames that are there are left as they are.",
        epilog=_CODES,
    )
    render.set_defaults(work=_render)
    _add_common(render)
    render.add_argument("--out", required=True, metavar="DIR", help="folder of the frames")
    render.add_argument("--frames", type=frame_range, metavar="1-48[/2]", help="default: the scene's range")
    render.add_argument("--method", default="", help="default: the scene's")
    render.add_argument("--size", type=picture_size, metavar="WxH", help="pixels; default: the scene's person")
    render.add_argument("--seed", type=int)
    render.add_argument("--overwrite", action="store_true", help="make frames that are there, too")

    fit = commands.add_parser(
        "fit", help="fit the body to the photo", description="Fits the body to the photo.", epilog=_CODES
    )
    fit.set_defaults(work=_fit)
    _add_common(fit)
    fit.add_argument("--photo", metavar="PICTURE", help="default: the scene's")
    fit.add_argument("--save", required=True, metavar="BLEND", help="file that the result is saved to")

    texture = commands.add_parser(
        "texture",
        help="make the person's texture",
        description="Makes the texture of a person whose photo is fitted.",
        epilog=_CODES,
    )
    texture.set_defaults(work=_texture)
    _add_common(texture)
    texture.add_argument("--save", required=True, metavar="BLEND", help="file that the result is saved to")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.blend")
    parser.add_argument("--scene", help="default: the one that the file shows")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method")
    parser.add_argument("--backend", default="", metavar="tcp://HOST:PORT", help="default: the preferences'")
    parser.add_argument("--keys", metavar="DIR", help="folder with client.key, client.pub and server.pub")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for a backend that is away (60)")
    parser.add_argument("--python", default="", help="start a local backend with this interpreter")


def frame_range(text: str) -> tuple[int, int, int]:
    """`1-48`, `1-48/2` or `7`, also of negative numbers, as (first, last, step)."""
    whole, _, step = text.partition("/")
    split = whole.find("-", 1)
    first, last = (whole, whole) if split < 0 else (whole[:split], whole[split + 1 :])
    try:
        found = int(first), int(last), int(step or 1)
        FrameRange(*found)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no range of frames: write it as 1-48 or 1-48/2") from error
    return found


def picture_size(text: str) -> tuple[int, int]:
    """`512x640` as (width, height)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text} is no size: write it as 512x640")
    return int(width), int(height)


def given(pairs: list[str], params: tuple[ParamDescription, ...]) -> dict[str, str | int | float | bool]:
    """`name=value` as the method's settings.

    Raises:
        ValueError: there is no such setting, or the value does not fit it.
    """
    known = {param.name: param for param in params}
    found: dict[str, str | int | float | bool] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in known:
            names = ", ".join(known) or "none"
            raise ValueError(f"--set {pair}: write NAME=VALUE; the settings of the method are {names}")
        found[name] = _value(known[name], text)
    return found


def _value(param: ParamDescription, text: str) -> str | int | float | bool:
    yes, no = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
    try:
        match param.kind:
            case "bool" if text.lower() in yes + no:
                return text.lower() in yes
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "text":
                return text
            case "choice" if text in param.choices:
                return text
    except ValueError:
        pass
    wanted = {"bool": "yes or no", "int": "a whole number", "float": "a number"}
    raise ValueError(f"--set {param.name}={text}: it must be {wanted.get(param.kind) or ' or '.join(param.choices)}")


# -- the commands


def _render(options: argparse.Namespace) -> None:
    from . import api
    from .api.engine import Told, render_to_folder

    scene = _open(options)
    method = options.method or api.chosen_method(scene)
    said: list[str] = [""]

    def params(description: MethodDescription) -> dict[str, Any]:
        kept = api.params_of(scene, method) if method == api.chosen_method(scene) else {}
        return {**kept, **given(options.set, description.params)}

    def tell(told: Told) -> None:
        if told.finished:
            _say(f"frame {told.number} is done ({told.done} of {told.total})")
        elif told.stage not in ("", said[0]):
            said[0] = told.stage
            _say(f"frame {told.number}: {told.stage}")

    made = render_to_folder(
        options.out,
        scene,
        frames=options.frames,
        method=method,
        size=options.size,
        seed=options.seed,
        params=params,
        overwrite=options.overwrite,
        address=options.backend,
        key_folder=options.keys,
        python=options.python,
        patience=options.wait,
        on_told=tell,
    )
    _say(f"{made} frames were made, in {Path(options.out).resolve()}" if made else "all frames are there already")


def _fit(options: argparse.Namespace) -> None:
    from . import api

    scene = _open(options)
    if options.photo:
        api.load_photo(options.photo, scene)
    _job(options, lambda params: api.fit_photo(scene, params), "fit")


def _texture(options: argparse.Namespace) -> None:
    from . import api

    scene = _open(options)
    _job(options, lambda params: api.make_texture(scene, params), "threedhm_texture")


def _job(options: argparse.Namespace, start: Callable[[dict[str, Any]], Any], method: str) -> None:
    """Runs a job without frames to its end, and saves the file."""
    from .link.session import current

    _connect(options)
    session = current()
    params = given(options.set, _params_of(method)) if options.set else {}
    job, said = start(params), ""
    while job.state.active and not session.lost:
        session.pump.tick()
        if job.stage and job.stage != said:
            said = job.stage
            _say(said)
        time.sleep(0.01)
    from . import api

    api.wait(job, 5.0)  # says why, if it did not end well
    where = Path(options.save).resolve()
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(where), copy=True)
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error
    _say(f"saved {where}")


def _params_of(method: str) -> tuple[ParamDescription, ...]:
    from .api.settings import described

    found = described(method)
    return found.params if found else ()


def _connect(options: argparse.Namespace) -> None:
    """Connects the session, for jobs of the pump.

    Raises:
        NoBackend: there is none.
    """
    from .engine import way
    from .link.session import current

    found, session = way.find(options.backend, options.keys, options.python), current()
    if session.pump.link is None or session.pump.link.address != found.address:
        session.connect(found.address, Path(options.keys) if options.keys else None)
    end = time.monotonic() + options.wait
    while not session.pump.online:
        session.pump.tick()
        if session.lost or time.monotonic() > end:
            raise way.NoBackend(session.status)
        time.sleep(0.01)


def _open(options: argparse.Namespace) -> bpy.types.Scene:
    path = Path(options.file)
    if not path.is_file():
        raise ValueError(f"{path} is not there: give the path of a .blend")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), load_ui=False)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be opened: give the path of a .blend") from error
    scene = bpy.data.scenes.get(options.scene) if options.scene else bpy.context.scene
    if scene is None:
        names = ", ".join(scene.name for scene in bpy.data.scenes)
        raise ValueError(f'{path.name} has no scene "{options.scene}", but {names}')
    return scene


def _interrupt(number: int, _: object) -> None:
    raise _Interrupted(128 + number)


def _say(line: str) -> None:
    print(f"Understudy: {line}", flush=True)


def _complain(error: object, code: int = 0) -> int:
    print(f"Understudy: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return code


_handles: list[object] = []
"""What Blender gave for the registered command. Kept here because only `unregister` needs it."""


def attach() -> None:
    """Registers the command."""
    _handles.append(bpy.utils.register_cli_command(NAME, run))


def detach() -> None:
    """Takes it away again."""
    while _handles:
        bpy.utils.unregister_cli_command(_handles.pop())

"""The command `understudy evaluate`: the paper's tables on people that training never saw."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of `understudy evaluate`."""
    command.add_argument(
        "--weights", type=Path, help="folder that holds `infill` and `render` (default: the weights that ship)"
    )
    command.add_argument("--people", type=int, default=50, help="how many of the test people (default: %(default)s)")
    command.add_argument(
        "--tables",
        default="a,b,c,texture",
        help="a: frames, b: clips, c: pose, texture: in-filling (default: %(default)s)",
    )
    command.add_argument("--rows", default="", help='only these, such as "3DHM; intermediate frame" (default: all)')
    command.add_argument(
        "--metrics", type=Path, help="folder with the weights of LPIPS, FID and FVD (default: ~/.understudy/metrics)"
    )
    command.add_argument("--out", type=Path, required=True, help="folder for the report; run again to resume")
    command.add_argument("--seed", type=int, default=0, help="of people and noise")
    command.add_argument("--steps", type=int, default=0, help="denoising steps; 0: as many as suit the weights")
    command.add_argument("--detail", type=float, default=1.0, help="how much of the texture is put back, 0 to 1")
    command.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Evaluates, prints the tables, and gives 0."""
    from ..methods.contract import MethodError
    from ..weights.locations import SHIPPED, weights_folder
    from .metric_weights import default_folder
    from .run import Plan, evaluate

    given = options.weights
    plan = Plan(
        out=options.out,
        infill=given / "infill" if given else weights_folder(SHIPPED, "infill"),
        render=given / "render" if given else weights_folder(SHIPPED, "render"),
        metrics=options.metrics or default_folder(),
        people=options.people,
        tables=_names(options.tables, ","),
        rows=_names(options.rows, ";"),  # there are commas in their names
        seed=options.seed,
        steps=options.steps,
        detail=options.detail,
        device=options.device,
        workers=options.workers,
    )
    try:
        text = evaluate(plan, lambda line: print(line, flush=True))
    except MethodError as error:
        raise ValueError(f"{error}: {error.fix}") from error
    print(text)
    print(f"wrote {options.out / 'report.md'}, report.json and sheets/")
    return 0


def _names(text: str, separator: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(separator) if name.strip())

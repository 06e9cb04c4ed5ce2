"""The whole evaluation: person by person, in several processes if wanted, resumed where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from understudy_backend.atomic import write_atomically
from understudy_backend.evaluation import report
from understudy_backend.evaluation.measure import TABLES, Angles, Learned, Measured, measure
from understudy_backend.evaluation.metric_weights import ALL, MissingWeights, weights_file
from understudy_backend.evaluation.sheets import sheet
from understudy_backend.evaluation.subject import Subject
from understudy_backend.evaluation.tpsmm_ways import body_sets, missing_set, tpsmm_ways
from understudy_backend.evaluation.ways import Way, our_ways, textures
from understudy_backend.models.threedhm.stages import Render
from understudy_backend.training.grid import write_png
from understudy_backend.training.people.person import TEST_PEOPLE
from understudy_backend.weights.threedhm import load_infill, load_render

VERSION = 2
"""Raise it when the same settings give other figures."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and where the results go."""

    out: Path
    infill: Path
    """Folder of stage 1's weights."""
    render: Path
    """Folder of stage 2's weights."""
    metrics: Path
    """Folder of the metrics' weights."""
    people: int = TEST_PEOPLE
    tables: tuple[str, ...] = TABLES
    rows: tuple[str, ...] = ()
    """Names of the ways that are measured; empty: all."""
    seed: int = 0
    steps: int = 0
    """Denoising steps; 0: as many as suit the weights."""
    detail: float = 1.0
    device: str = "cpu"
    workers: int = 1
    """Processes; the figures do not depend on them."""
    angles: Angles = field(default_factory=Angles)


def evaluate(plan: Plan, say: Callable[[str], None] = print) -> str:
    """Measures everybody who is not yet measured in `plan.out`, and writes the report; gives its Markdown.

    Raises:
        ValueError: too many people, an unknown table or row, or a folder that holds an evaluation with other settings;
            or a process of the evaluation failed.
        MethodError: weights of 3DHM that are missing or broken.
    """
    if not 0 < plan.people <= TEST_PEOPLE:
        raise ValueError(f"there are {TEST_PEOPLE} test people: give a number from 1 to {TEST_PEOPLE}")
    unknown = [name for name in plan.tables if name not in TABLES]
    if unknown or not plan.tables:
        raise ValueError(f"the tables are {', '.join(TABLES)}, not {', '.join(unknown) or 'none'}")
    settings, left_out = _settings(plan)
    _claim(plan.out, settings)
    for reason in left_out:
        say(reason)
    todo = [i for i in range(plan.people) if not _finished(plan.out, i)]
    if len(todo) < plan.people:
        say(f"{plan.people - len(todo)} of {plan.people} people are already measured")
    workers = min(plan.workers, len(todo))
    if todo:  # weights that cannot be read, and rows that there are not, are told here, once
        load_infill(plan.infill, plan.device)
        _ways(plan, load_render(plan.render, plan.device))
    if workers <= 1:
        _work(plan, todo, todo, say)
    else:
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=_work, args=(plan, todo[w::workers], todo)) for w in range(workers)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        if any(child.exitcode for child in children):
            raise ValueError("a process of the evaluation failed, see above; run the same command to go on")
    return report.write(plan.out, [_read(plan.out, i) for i in range(plan.people)], settings, left_out)


def _work(plan: Plan, mine: list[int], everybody: list[int], say: Callable[[str], None] = print) -> None:
    """Measures the people `mine`; `everybody` is who was missing when the evaluation began."""
    if not mine:
        return
    torch.set_num_threads(1)  # sums then have the same order on every machine and with any number of processes
    cv2.setNumThreads(1)
    infill, render = load_infill(plan.infill, plan.device), load_render(plan.render, plan.device)
    learned = Learned.load(plan.metrics, plan.device)
    ways = _ways(plan, render)
    began = time.monotonic()
    for index in mine:
        subject = Subject(index, plan.seed)
        known = textures(infill, subject, seed=plan.seed, steps=plan.steps)
        result = measure(subject, known, ways, learned, plan.tables, plan.angles)
        for name, rows in result.sheets.items():
            first = subject.photo if name == "views" else None
            write_png(plan.out / "sheets" / f"{index:02d}_{name}.png", sheet(rows, first))
        _write(plan.out, index, result)
        done = sum(_finished(plan.out, i) for i in everybody)
        left = (time.monotonic() - began) / done * (len(everybody) - done)
        say(f"person {index}: {done} of {len(everybody)} done, about {_span(left)} left")


def _ways(plan: Plan, render: Render) -> list[Way]:
    ways = our_ways(render, seed=plan.seed, steps=plan.steps, detail=plan.detail) + tpsmm_ways(plan.device)
    names = [way.name for way in ways]
    unknown = [name for name in plan.rows if name not in names]
    if unknown:
        raise ValueError(f"there is no row {', '.join(unknown)}: the rows are {'; '.join(names)}")
    return [way for way in ways if not plan.rows or way.name in plan.rows]


def _settings(plan: Plan) -> tuple[dict, tuple[str, ...]]:
    """All that figures depend on, and why which metrics are left out."""
    metrics, left_out = [], []
    for wanted in ALL:
        try:
            weights_file(plan.metrics, wanted)
            metrics.append(wanted.metric)
        except MissingWeights as error:
            left_out.append(str(error))
    if others := body_sets():
        weights = {f"tpsmm {name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in others.items()}
    else:
        weights = {}
        left_out.append(missing_set())
    settings = {
        "version": VERSION,
        "weights": {"infill": _digest(plan.infill), "render": _digest(plan.render), **weights},
        "tables": list(plan.tables),
        "rows": list(plan.rows),
        "metrics": metrics,
        "seed": plan.seed,
        "steps": plan.steps,
        "detail": plan.detail,
        "device": plan.device,
        "angles": {name: list(values) for name, values in asdict(plan.angles).items()},
    }
    return settings, tuple(left_out)


def _digest(stage: Path) -> str:
    """Of a stage's files and of the VAE beside it."""
    state = hashlib.sha256()
    for folder in (stage, stage.parent / "vae"):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            state.update(f"{path.relative_to(stage.parent)} {path.stat().st_size}\n".encode())
            state.update(path.read_bytes())
    return state.hexdigest()


def _claim(out: Path, settings: dict) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "settings.json"
    if not path.is_file():
        path.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text())
    except ValueError:
        raise ValueError(f"{path} is damaged: choose another --out, or empty the folder") from None
    other = sorted(name for name in settings if found.get(name) != settings[name])
    if other:
        raise ValueError(
            f"{out} holds an evaluation with other {', '.join(other)}: choose another --out, or empty the folder"
        )


def _place(out: Path, index: int) -> Path:
    return out / "people" / f"{index:02d}"


def _finished(out: Path, index: int) -> bool:
    return _place(out, index).with_suffix(".json").is_file()


def _write(out: Path, index: int, result: Measured) -> None:
    """Features first, scores last and at once: where the scores are, the person is finished."""
    place = _place(out, index)
    place.parent.mkdir(exist_ok=True)
    np.savez(place.with_suffix(".npz"), **{k: v.astype(np.float32) for k, v in result.features.items()})  # type: ignore[arg-type]
    text = json.dumps(result.scores, indent=1) + "\n"
    write_atomically(place.with_suffix(".json"), lambda file: file.write(text.encode()))


def _read(out: Path, index: int) -> Measured:
    place = _place(out, index)
    with np.load(place.with_suffix(".npz"), allow_pickle=False) as data:
        features = {name: data[name] for name in data.files}
    return Measured(json.loads(place.with_suffix(".json").read_text()), features)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

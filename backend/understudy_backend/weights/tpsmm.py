"""Reads TPSMM's checkpoints, the published `.pth.tar` and our `.safetensors`, and makes the latter of the former.

A published file is one dictionary of sub-networks (`kp_detector`, ...), each a dictionary of tensors; other entries
(optimisers, the epoch) are passed over. A safetensors file holds the same tensors as `kp_detector.fg_encoder...`, and
in its header the configuration.

`python -m understudy_backend.weights.tpsmm vox.pth.tar vox.safetensors` converts.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from understudy_shared.protocol.description import WeightsDescription

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.config import PUBLISHED, TPSMMConfig
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.weights.locations import shipped_root, weights_root
from understudy_backend.weights.published import TPSMM_LICENCE, TPSMM_MEGABYTES, describe_published
from understudy_backend.weights.torch_files import unpickle

FOLDER = "tpsmm"
"""Within a folder of weight sets, where those of TPSMM lie, one file each."""
SUFFIXES = (".safetensors", ".pth.tar", ".pth")
SOURCE = "the README of github.com/yoyo-nb/Thin-Plate-Spline-Motion-Model"
REQUIRED = ("inpainting_network", "kp_detector", "dense_motion_network")
OPTIONAL = ("avd_network", "bg_predictor")
SAMPLE = 1 << 20
"""Bytes from the beginning of a file that go into its digest."""


def find_weights(name: str) -> Path:
    """The file of a set, for example `vox`: the user's own before a shipped one.

    Raises:
        MethodError: there is none of that name, or the name is a path.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise MethodError(f"'{name[:60]}' is no weight set's name", code="bad_params", fix="Give no path.")
    for folder in _folders():
        for suffix in SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    own = weights_root() / FOLDER
    known = name in PUBLISHED
    raise MethodError(
        f"weights are missing: TPSMM has no set '{name}'"
        + (f"; {name}.pth.tar comes from the links in {SOURCE}" if known else ""),
        code="missing_weights",
        fix=f"Put {name}.pth.tar or {name}.safetensors into {own}.",
    )


def weight_sets() -> tuple[WeightsDescription, ...]:
    """The four published sets, there or not, and every other that is there."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            suffix = next((s for s in SUFFIXES if path.name.endswith(s)), None)
            if suffix is not None and re.fullmatch(r"[\w-]+", path.name.removesuffix(suffix)):
                found.setdefault(path.name.removesuffix(suffix), path)
    return tuple(_describe(name, found) for name in (*PUBLISHED, *(n for n in found if n not in PUBLISHED)))


def load_tpsmm(path: Path, *, training: bool = False) -> TPSMM:
    """Reads the networks, in evaluation mode, on the CPU.

    Args:
        path: a `.safetensors`, `.pth.tar` or `.pth` file.
        training: whether the background predictor is wanted, which animation does without.

    Returns:
        The model; its `avd_network` and `bg_predictor` are None where the file lacks them.

    Raises:
        MethodError: the file cannot be read, or lacks something; one line that says what.
    """
    config, networks = _read(path)
    lacking = [name for name in REQUIRED if name not in networks]
    if lacking:
        raise MethodError(
            f"{path.name} lacks {' and '.join(lacking)}",
            code="bad_weights",
            fix=f"Use a checkpoint of TPSMM with {', '.join(REQUIRED)}, from {SOURCE}.",
        )
    background = training and "bg_predictor" in networks
    with torch.device("meta"):
        model = TPSMM(config, background=background, avd="avd_network" in networks)
    for name, module in model.named_children():
        wanted, given = module.state_dict(), dict(networks[name])
        for key in wanted:  # counted only since PyTorch 0.4.1, and used by nobody
            if key.endswith("num_batches_tracked"):
                given.setdefault(key, torch.zeros((), dtype=torch.int64))
        if problem := _misfit(wanted, given):
            raise MethodError(
                f"{path.name} does not fit TPSMM: {name} {problem}",
                code="bad_weights",
                fix="Download the file again, or use the one of another configuration.",
            )
        # not `assign`: what comes from a memory map must not keep the file open
        module.to_empty(device="cpu").load_state_dict({key: given[key] for key in wanted})
    return model.eval().requires_grad_(False)


def save_tpsmm(model: TPSMM, path: Path) -> None:
    """Writes a model as safetensors, its configuration in the header."""
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"tpsmm": json.dumps(asdict(model.config))})


def convert(source: Path, target: Path) -> list[str]:
    """Makes a `.safetensors` of a published file, all its networks included.

    Returns:
        The optional networks that the file lacks.

    Raises:
        MethodError: as `load_tpsmm`.
    """
    model = load_tpsmm(source, training=True)
    save_tpsmm(model, target)
    return [name for name in OPTIONAL if getattr(model, name) is None]


def _folders() -> tuple[Path, Path]:
    return weights_root() / FOLDER, shipped_root() / FOLDER


def _describe(name: str, found: Mapping[str, Path]) -> WeightsDescription:
    path = found.get(name)
    published = name in PUBLISHED
    shipped = path is not None and shipped_root() in path.parents
    return WeightsDescription(
        name=f"TPSMM {name}",
        licence="Apache-2.0" if shipped else TPSMM_LICENCE if published else "as its source says",
        source="ships with Understudy" if shipped else f"{name}.pth.tar, {SOURCE}" if published else "your own",
        available=path is not None,
        megabytes=TPSMM_MEGABYTES if path is None else round(path.stat().st_size / 1e6, 1),
        sha256="" if path is None else _digest(path),
        **describe_published(f"{FOLDER}-{name}"),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(f"{path.stat().st_size}\n".encode() + file.read(SAMPLE)).hexdigest()


def _read(path: Path) -> tuple[TPSMMConfig, dict[str, dict[str, Tensor]]]:
    """The configuration and each sub-network's tensors."""
    if not path.is_file():
        raise MethodError(f"there is no file {path}", code="missing_weights", fix="Check its name.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _unpickle(path)
    networks = {}
    for name in (*REQUIRED, *OPTIONAL):
        entry = content.get(name)
        if isinstance(entry, Mapping) and all(isinstance(value, Tensor) for value in entry.values()):
            networks[name] = {str(key): value for key, value in entry.items()}
    return _published_config(path, networks), networks


def _read_safetensors(path: Path) -> tuple[TPSMMConfig, dict[str, dict[str, Tensor]]]:
    networks: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get("tpsmm")
            for key in file.keys():  # noqa: SIM118, it is no mapping
                name, _, rest = key.partition(".")
                networks.setdefault(name, {})[rest] = file.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, str(error)) from error
    if said is None:
        return _published_config(path, networks), networks
    try:
        return msgspec.json.decode(said, type=TPSMMConfig), networks
    except msgspec.MsgspecError as error:
        raise _unreadable(path, f"its configuration is wrong: {error}") from error


def _published_config(path: Path, networks: Mapping[str, Any]) -> TPSMMConfig:
    """Of a file that does not say: by its name, which alone tells the size of images."""
    named = next((config for name, config in PUBLISHED.items() if path.name.startswith(name)), None)
    return named or TPSMMConfig(background="bg_predictor" in networks)


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        content = unpickle(path)
    except pickle.UnpicklingError as error:
        raise MethodError(
            f"{path.name} is no checkpoint of tensors alone; it was not run",
            code="bad_weights",
            fix=f"Download it from the links in {SOURCE}.",
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        raise _unreadable(path, str(error)) from error
    if not isinstance(content, dict):
        raise _unreadable(path, "it does not hold named networks")
    return content


def _unreadable(path: Path, why: str) -> MethodError:
    first = (why.strip().splitlines() or ["it is damaged"])[0][:200]
    return MethodError(f"{path.name} cannot be read: {first}", code="bad_weights", fix="Download or copy it again.")


def _misfit(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What keeps a state from fitting, in words; empty where nothing does."""
    for what, names in (("lacks", wanted.keys() - given.keys()), ("has an unknown", given.keys() - wanted.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{what} {min(names)}{more}"
    for key, tensor in wanted.items():
        if tensor.shape != given[key].shape:
            return f"has a {key} of shape {tuple(given[key].shape)} instead of {tuple(tensor.shape)}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts a file; returns the exit code."""
    paths = list(sys.argv[1:] if arguments is None else arguments)
    if len(paths) != 2 or not paths[1].endswith(".safetensors"):
        print("usage: python -m understudy_backend.weights.tpsmm SOURCE TARGET.safetensors", file=sys.stderr)
        return 2
    try:
        lacking = convert(Path(paths[0]), Path(paths[1]))
    except (MethodError, OSError) as error:
        print(f"{error} {getattr(error, 'fix', '')}".strip(), file=sys.stderr)
        return 1
    print(f"{paths[1]} is written" + (f"; it lacks {' and '.join(lacking)}, as its source does" if lacking else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Published files of Animate Anyone, Champ and AnimateDiff: read safely, put in place, or refused in a line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from tiny_animators import TINY, tiny_parts
from torch import Tensor, nn
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import NetworkConfig
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.weights.animate_anyone import Kind, fill, load_animator, missing_parts, published, save_animator
from understudy_backend.weights.torch_files import convert, read_tensors


def saved(folder: Path, kind: Kind = "animate_anyone", config: NetworkConfig = TINY) -> AnimatorParts:
    parts = tiny_parts(kind, config, seed=3)
    save_animator(parts, config, folder, kind)
    return parts


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def as_pth(path: Path) -> None:
    """What is published: a pickle of the same tensors."""
    torch.save(read_tensors(path), path.with_suffix(".pth"))
    path.unlink()


@pytest.mark.parametrize("kind", ["animate_anyone", "champ"])
def test_sets_are_read_as_they_were_written(tmp_path: Path, kind: Kind) -> None:
    parts = saved(tmp_path, kind)
    assert all(same(a, b) for a, b in zip(parts.modules, load_animator(tmp_path, kind).modules, strict=True))
    for path in tmp_path.glob("*.safetensors"):
        as_pth(path)
    pickled = load_animator(tmp_path, kind)
    assert all(same(a, b) for a, b in zip(parts.modules, pickled.modules, strict=True))
    assert not any(p.requires_grad for module in pickled.modules for p in module.parameters())
    half = load_animator(tmp_path, kind, dtype=torch.bfloat16)
    assert {p.dtype for module in half.modules for p in module.parameters()} == {torch.bfloat16}


def test_conversion_keeps_names_and_values(tmp_path: Path) -> None:
    saved(tmp_path)
    before = read_tensors(tmp_path / "motion_module.safetensors")
    as_pth(tmp_path / "motion_module.safetensors")
    assert convert(tmp_path / "motion_module.pth") == tmp_path / "motion_module.safetensors"
    after = read_tensors(tmp_path / "motion_module.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    halved = read_tensors(convert(tmp_path / "motion_module.pth", torch.float16))
    assert {t.dtype for t in halved.values()} == {torch.float16}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    assert missing_parts(tmp_path, "animate_anyone") == []
    assert missing_parts(tmp_path, "champ")[0] == "guidance_encoder_depth.pth"
    (tmp_path / "pose_guider.safetensors").unlink()
    (tmp_path / "vae" / "config.json").unlink()
    with pytest.raises(MethodError, match=r"weights are missing: pose_guider\.pth, vae/ in") as caught:
        load_animator(tmp_path, "animate_anyone")
    assert caught.value.code == "missing_weights" and caught.value.fix


class Program:
    def __reduce__(self):
        return os.mkdir, (os.environ["UNDERSTUDY_TEST_FOLDER"],)


def test_programs_in_a_pickle_do_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "ran"
    monkeypatch.setenv("UNDERSTUDY_TEST_FOLDER", str(trap))
    path = tmp_path / "denoising_unet.pth"
    torch.save({"conv_in.weight": torch.zeros(1), "x": Program()}, path)
    with pytest.raises(MethodError, match="holds more than weights"):
        read_tensors(path)
    path.write_bytes(pickle.dumps(Program()))
    with pytest.raises(MethodError, match=r"denoising_unet\.pth"):
        read_tensors(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 torn"])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_damaged_files_are_refused_in_a_line(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"reference_unet{ending}"
    path.write_bytes(content)
    with pytest.raises(MethodError) as caught:
        read_tensors(path)
    assert "reference_unet" in str(caught.value) and "\n" not in str(caught.value)


def misfits() -> list[tuple[str, dict[str, Tensor | None], str]]:
    return [
        ("lacking", {"conv_in.weight": None}, "lacks 1 tensors, conv_in.weight first"),
        ("too many", {"lora.up": torch.zeros(1)}, "has 1 tensors that do not belong to it, lora.up first"),
        ("shape", {"conv_in.weight": torch.zeros(16, 4, 3, 3)}, r"conv_in.weight of shape \[16, 4, 3, 3\]"),
    ]


@pytest.mark.parametrize(("changed", "said"), [m[1:] for m in misfits()], ids=[m[0] for m in misfits()])
def test_files_that_do_not_fit(changed: dict[str, Tensor | None], said: str) -> None:
    guider = PoseGuider(TINY)
    tensors = {name: t for name, t in (published(guider) | changed).items() if t is not None}
    with pytest.raises(MethodError, match=said):
        fill(guider, tensors, "pose_guider.pth", torch.float32)


def test_motion_modules_of_animatediff_in_all_their_forms(tmp_path: Path) -> None:
    parts = saved(tmp_path)
    path = tmp_path / "motion_module.safetensors"
    published_names = read_tensors(path)
    path.unlink()
    # its own checkpoints of training
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{n}": t for n, t in published_names.items()}},
        tmp_path / "motion_module.ckpt",
    )
    assert same(load_animator(tmp_path, "animate_anyone").denoiser, parts.denoiser)
    # diffusers' names, which have no table of positions
    ours = {n: t for n, t in parts.denoiser.state_dict().items() if ".motion_modules." in n and "pos_embed" not in n}
    torch.save(ours, tmp_path / "motion_module.ckpt")
    assert same(load_animator(tmp_path, "animate_anyone").denoiser, parts.denoiser)
    # version 1: shorter, and nothing in the middle
    first = {n: t[:, :24] if n.endswith(".pe") else t for n, t in published_names.items() if not n.startswith("mid_")}
    torch.save(first, tmp_path / "motion_module.ckpt")
    denoiser = load_animator(tmp_path, "animate_anyone").denoiser
    assert denoiser.config["motion_max_seq_length"] == 24
    assert not hasattr(denoiser.mid_block, "motion_modules")


def test_unused_tensors_of_champs_files_are_left_out(tmp_path: Path) -> None:
    parts = saved(tmp_path, "champ")
    path = tmp_path / "guidance_encoder_depth.safetensors"
    tensors = read_tensors(path) | {"attentions.0.norm.weight": torch.zeros(3), "guidance_attention.x": torch.zeros(1)}
    path.unlink()
    torch.save(tensors, path.with_suffix(".pth"))
    assert same(load_animator(tmp_path, "champ").modules[-1], parts.modules[-1])

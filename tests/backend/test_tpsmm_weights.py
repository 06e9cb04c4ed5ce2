"""TPSMM's files: the published layout in, safetensors out, and plain words about what does not fit."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.weights import tpsmm as weights

SMALL = TPSMMConfig(
    image_size=64,
    splines=2,
    encoder_width=4,
    motion_width=4,
    motion_limit=8,
    motion_levels=2,
    inpainting_width=4,
    inpainting_limit=8,
    avd_widths=(8,),
    avd_code=4,
)


@pytest.fixture
def small(monkeypatch) -> TPSMM:
    """A small model, which the loader takes for the published one."""
    monkeypatch.setattr(weights, "PUBLISHED", {"vox": SMALL})
    torch.manual_seed(0)
    return TPSMM(SMALL).eval()


def published(model: TPSMM, path: Path, **changes: Any) -> Path:
    """The model in a file as the published code writes it."""
    content = {name: module.state_dict() for name, module in model.named_children()}
    content |= {"epoch": 100, "optimizer": torch.optim.Adam(model.parameters()).state_dict()} | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def assert_same(a: TPSMM, b: TPSMM) -> None:
    have, want = a.state_dict(), b.state_dict()
    assert have.keys() == want.keys()
    assert all(torch.equal(have[key], want[key]) for key in want)


def test_published_file_is_read(small, tmp_path):
    assert_same(weights.load_tpsmm(published(small, tmp_path / "vox.pth.tar"), training=True), small)


def test_conversion_keeps_every_number_and_the_configuration(small, tmp_path, monkeypatch):
    target = tmp_path / "mine.safetensors"
    assert weights.convert(published(small, tmp_path / "vox.pth.tar"), target) == []
    monkeypatch.setattr(weights, "PUBLISHED", {})
    again = weights.load_tpsmm(target, training=True)
    assert again.config == SMALL
    assert_same(again, small)


def test_animation_does_without_optional_networks(small, tmp_path):
    path = published(small, tmp_path / "vox.pth.tar", avd_network=None, bg_predictor=None)
    model = weights.load_tpsmm(path)
    assert model.avd_network is None
    assert model.bg_predictor is None
    assert weights.convert(path, tmp_path / "vox.safetensors") == ["avd_network", "bg_predictor"]


def test_conversion_from_the_command_line(small, tmp_path, capsys):
    path = published(small, tmp_path / "vox.pth.tar", avd_network=None)
    assert weights.main([str(path), str(tmp_path / "vox.safetensors")]) == 0
    assert "lacks avd_network" in capsys.readouterr().out
    assert weights.main([str(tmp_path / "none.pth.tar"), str(tmp_path / "none.safetensors")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert weights.main([str(path)]) == 2


def refusal(path: Path) -> str:
    with pytest.raises(MethodError) as refused:
        weights.load_tpsmm(path)
    assert refused.value.code == "bad_weights"
    assert "\n" not in str(refused.value)
    assert refused.value.fix
    return str(refused.value)


def test_missing_networks_and_entries_are_named(small, tmp_path):
    path = tmp_path / "vox.pth.tar"
    assert "lacks kp_detector" in refusal(published(small, path, kp_detector=None))

    state = small.inpainting_network.state_dict()
    del state["final.bias"]
    assert "inpainting_network lacks final.bias" in refusal(published(small, path, inpainting_network=state))

    state = small.inpainting_network.state_dict() | {"final.bias": torch.zeros(4)}
    assert "final.bias of shape (4,) instead of (3,)" in refusal(published(small, path, inpainting_network=state))

    state = small.inpainting_network.state_dict() | {"extra": torch.zeros(4)}
    assert "unknown extra" in refusal(published(small, path, inpainting_network=state))


def test_what_a_pickle_says_is_not_done(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "went off"),)

    path = tmp_path / "vox.pth.tar"
    path.write_bytes(pickle.dumps({"kp_detector": Bomb()}))
    refusal(path)
    torch.save({"kp_detector": Bomb()}, path)
    assert "not run" in refusal(path)
    assert not (tmp_path / "went off").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
@pytest.mark.parametrize("name", ["vox.pth.tar", "vox.safetensors"])
def test_garbage_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    refusal(path)


def test_missing_set_names_file_and_source(monkeypatch, tmp_path):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    with pytest.raises(MethodError, match="Thin-Plate-Spline-Motion-Model") as refused:
        weights.find_weights("vox")
    assert refused.value.code == "missing_weights"
    assert str(tmp_path / "tpsmm") in refused.value.fix
    with pytest.raises(MethodError, match="no weight set"):
        weights.find_weights("../vox")


def test_sets_tell_what_is_there(small, monkeypatch, tmp_path):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path))
    (tmp_path / "tpsmm").mkdir()
    assert not any(s.available for s in weights.weight_sets() if s.name == "TPSMM vox")
    path = published(small, tmp_path / "tpsmm" / "vox.pth.tar")
    weights.save_tpsmm(small, tmp_path / "tpsmm" / "mine.safetensors")
    sets = {s.name: s for s in weights.weight_sets()}
    assert sets["TPSMM vox"].available
    assert sets["TPSMM mine"].available
    assert sets["TPSMM vox"].sha256 != sets["TPSMM mine"].sha256
    assert weights.find_weights("vox") == path

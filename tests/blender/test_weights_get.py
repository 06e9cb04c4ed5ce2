"""Weights that a method lacks, from the click to the method that can be used: the local backend fetches them from a hub
on this machine."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
from backend_stage import PYTHON, ROOT, in_one_blender, needs_backend, tick_until
from panel_stage import Layout, drawn, operators, texts

bpy = pytest.importorskip("bpy")

sys.path.insert(0, str(ROOT / "tests/backend"))

from fake_hub import FakeHub  # noqa: E402

CHAMP, VAE = "fudan-generative-ai/champ", "stabilityai/sd-vae-ft-mse"
LONG = bytes(400_000)


def champ() -> dict[str, dict[str, bytes]]:
    guiders = [f"guidance_encoder_{kind}" for kind in ("depth", "normal", "semantic_map", "dwpose")]
    files = {f"champ/{name}.pth": LONG for name in ("denoising_unet", "reference_unet", "motion_module", *guiders)}
    files |= {"image_encoder/config.json": b"{}", "image_encoder/pytorch_model.bin": b"bin"}
    return {CHAMP: files, VAE: {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"vae"}}


@pytest.fixture
def online():
    """Allows online access, as the tick in Blender's preferences does."""
    system = bpy.context.preferences.system
    before, system.use_online_access = system.use_online_access, True
    if not bpy.app.online_access:
        pytest.skip("this Blender was started offline")
    yield
    system.use_online_access = before


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with FakeHub(champ()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path / "weights"))
        yield hub


def describe(**weights):
    from understudy_shared.protocol.description import MethodDescription, WeightsDescription

    given = WeightsDescription(**{"name": "Clay", "licence": "CC0", "source": "", "available": False, **weights})
    return MethodDescription("clay", "Clay", "", "", (), (), ("rgba",), (given,))


def offer(description) -> None:
    """The method as a backend would describe it."""
    from blender_addon.link.session import current

    current().method_book.remember((description,))
    bpy.context.scene.understudy.method = description.name


def dialog(description) -> list:
    from blender_addon.panels import weights

    log: list = []
    weights.draw_dialog(
        SimpleNamespace(layout=Layout(log), path_resolve=lambda path: None), bpy.context, description.weights[0],
        several=False,
    )  # fmt: skip
    return log


@in_one_blender
@needs_backend
def test_from_the_click_to_the_method(scene, addon, hub, online, tmp_path):
    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.panels.readiness import missing_weights, readiness
    from blender_addon.preferences import Known

    scene = bpy.context.scene
    session = current()
    api.start_local_backend(python=PYTHON, data_folder=tmp_path / "data")
    tick_until(lambda: session.pump.online, 280)
    api.set_method(scene, "champ")

    def description():
        return next(method for method in session.method_book.methods if method.name == "champ")

    def lacking():
        found = readiness(scene, session, "render", Known(PYTHON))
        return [obstacle.operator for obstacle in found if "eights" in obstacle.sentence]

    assert [weights.fetch for weights in missing_weights(description())] == ["champ-published"]
    assert lacking() == ["understudy.get_weights"]
    shown = texts(dialog(description()))
    assert "10.3 GB" in shown and "OpenRAIL" in shown

    with pytest.raises(RuntimeError, match="tick that you accept"):
        bpy.ops.understudy.get_weights(weights="Champ published")
    assert hub.asked == []
    hub.pause = 0.05
    assert bpy.ops.understudy.get_weights(weights="Champ published", accept=True) == {"FINISHED"}
    assert lacking() == ["understudy.cancel_weights"] and not bpy.ops.understudy.get_weights.poll()
    tick_until(lambda: session.weights.done > 0, 60)
    log = drawn("UNDERSTUDY_PT_method")
    (bar,) = [entry for entry in log if entry[0] == "progress"]
    assert 0 < bar[1] < 1 and "understudy.cancel_weights" in operators(log)
    assert bpy.ops.understudy.cancel_weights() == {"FINISHED"}
    (part,) = (tmp_path / "weights").rglob("*.part")
    kept = part.stat().st_size
    assert kept > 0 and lacking() == ["understudy.get_weights"] and session.weights.problem == ""

    hub.pause = 0.0
    bpy.ops.understudy.get_weights(weights="Champ published", accept=True)
    ticks, begun = [], time.monotonic()
    while session.weights.running:
        tick = time.perf_counter()
        session.pump.tick()
        ticks.append(time.perf_counter() - tick)
        assert time.monotonic() - begun < 60
        time.sleep(0.01)
    assert session.weights.problem == "" and sorted(ticks)[len(ticks) // 2] < 0.01
    assert ("champ/denoising_unet.pth", f"bytes={kept}-") in hub.asked
    tick_until(lambda: not missing_weights(description()), 30)  # without another connection
    assert lacking() == [] and not bpy.ops.understudy.get_weights.poll()
    assert "understudy.get_weights" not in operators(drawn("UNDERSTUDY_PT_method"))


@needs_backend
def test_what_goes_wrong_is_said_in_the_panel(scene, addon, hub, online, tmp_path, monkeypatch):
    from blender_addon.link.session import current

    fetching = current().weights
    offer(describe(fetch="champ-published"))
    hub.forged["champ/denoising_unet.pth"] = b"y" * len(LONG)
    fetching.start(PYTHON, "champ-published")
    tick_until(lambda: not fetching.running, 60)
    assert "not the published file" in fetching.problem and "understudy:" not in fetching.problem
    assert fetching.problem.split()[0] in texts(drawn("UNDERSTUDY_PT_method"))
    fetching.start(PYTHON, "nonsense")
    tick_until(lambda: not fetching.running, 60)
    assert "choose from" in fetching.problem


def test_a_backend_elsewhere_is_told_by_its_own_command(scene, addon, monkeypatch, online):
    from blender_addon import api
    from blender_addon.link.session import current

    description = describe(fetch="champ-published", megabytes=10306)
    offer(description)
    asked = []
    link = SimpleNamespace(address="tcp://far.example:7707", ask_methods=lambda: asked.append(1), close=lambda: None)
    monkeypatch.setattr(current().pump.sender, "link", link)
    log = dialog(description)
    assert "understudy weights get champ-published" in texts(log)
    (copy,) = [entry[3] for entry in log if entry[:2] == ("operator", "understudy.copy_command")]
    assert copy.command == "understudy weights get champ-published"
    with pytest.raises(RuntimeError, match="run this on its computer: understudy weights get champ-published"):
        api.get_weights("champ-published", accept_licence=True)
    assert bpy.ops.understudy.get_weights(weights="Clay") == {"FINISHED"} and asked == [1]


def test_offline_nothing_is_fetched_and_the_way_online_is_shown(scene, addon, monkeypatch):
    from blender_addon import api
    from blender_addon.link.session import current

    if bpy.app.online_access:
        pytest.skip("this Blender is online")
    description = describe(fetch="champ-published")
    offer(description)
    address = "ipc:///nowhere/backend"
    current().backend.address = address
    monkeypatch.setattr(current().pump.sender, "link", SimpleNamespace(address=address, close=lambda: None))
    log = dialog(description)
    (way,) = [entry[3] for entry in log if entry[:2] == ("operator", "understudy.show_preferences")]
    assert way.page == "SYSTEM" and not any(entry[:2] == ("prop", "accept") for entry in log)
    with pytest.raises(RuntimeError, match="online access is off"):
        api.get_weights("champ-published", accept_licence=True)
    assert not current().weights.running


def test_what_has_no_direct_download_says_where_it_goes(scene, addon, monkeypatch):
    description = describe(
        by_hand="see https://example.org, and put vox.pth.tar into /weights", page="https://example.org"
    )
    offer(description)
    log = dialog(description)
    assert "vox.pth.tar" in texts(log)
    assert [entry[3].url for entry in log if entry[:2] == ("operator", "wm.url_open")] == ["https://example.org"]
    assert not any(entry[0] == "prop" for entry in log)

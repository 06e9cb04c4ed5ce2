"""The render engine against a real server: Blender's own render result is the strip's frame, to the last bit."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from backend_stage import Server, made, needs_backend, rise, tick_until

bpy = pytest.importorskip("bpy")
pytestmark = needs_backend
SIZE = (48, 40)


@pytest.fixture(scope="module")
def grainer(tmp_path_factory):
    methods = [part for name in ("Grain", "Chain") for part in ("--method", f"understudy_engine_methods:{name}")]
    server = Server(tmp_path_factory.mktemp("g"), "", *methods)
    yield server
    server.stop()
    print((server.folder / "log").read_text()[-3000:])


@pytest.fixture
def shot(scene, addon, grainer, tmp_path):
    """A scene as an artist leaves it who renders with the engine to RGBA files, with 8 frames."""
    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.scene.body_parts import armature_of

    body = api.create_body(scene)
    rise(armature_of(body))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (0, -4, 1), (np.pi / 2, 0, 0)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 3, 10
    scene.understudy.width, scene.understudy.height = SIZE
    render = scene.render
    render.engine, render.use_sequencer = "UNDERSTUDY", False
    render.resolution_x, render.resolution_y, render.resolution_percentage = 2 * SIZE[0], 2 * SIZE[1], 50
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.filepath = f"{tmp_path}/out/"
    scene.view_settings.view_transform = "Standard"
    for layer in scene.view_layers:
        layer.use_pass_z = False
    api.connect(grainer.address)
    tick_until(lambda: current().pump.online, 60)
    choose(scene, "grain", log=str(tmp_path / "log"))
    return scene


def choose(scene, method: str, **params) -> None:
    from blender_addon import api

    api.set_method(scene, method)
    api.set_params(scene, method, params)


def numbers_in(path: Path) -> np.ndarray:
    """The numbers (H, W, 4) of an 8-bit RGBA file."""
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name, image.alpha_mode = "Non-Color", "CHANNEL_PACKED"
    values = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    size = tuple(image.size)
    bpy.data.images.remove(image)
    return np.rint(values.reshape(size[1], size[0], 4)[::-1] * 255).astype(np.uint8)


def rendered(scene, number: int) -> Path:
    return Path(scene.render.frame_path(frame=number))


def render(**options) -> str:
    """Renders, and gives what was reported as an error, if it was."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            bpy.ops.render.render(**options)
    except RuntimeError as error:
        return str(error)
    return ""


def check_same(scene, job) -> None:
    for number in job.numbers:
        ours, theirs = numbers_in(rendered(scene, number)), numbers_in(job.file_of(number))
        assert theirs.shape == (SIZE[1], SIZE[0], 4)
        np.testing.assert_array_equal(ours, theirs)
        assert len(np.unique(theirs[..., 3])) > 200  # every alpha is among them


@pytest.mark.parametrize("method", ["grain", "chain"])
def test_an_animation_equals_the_strip_bit_by_bit_and_makes_no_frame_twice(shot, tmp_path, method):
    from blender_addon import api

    choose(shot, method, log=str(tmp_path / "log"))
    shot.render.dither_intensity = 1.0  # Blender's default
    render(animation=True)
    assert made(tmp_path / "log") == dict.fromkeys(range(3, 11), 1)
    assert shot.render.dither_intensity == 1.0 and shot.frame_current == 1 and len(bpy.data.scenes) == 1
    job = api.wait(api.render(shot), 60)
    assert made(tmp_path / "log") == dict.fromkeys(range(3, 11), 1)  # the backend knew them all
    check_same(shot, job)


def test_frames_of_the_strip_are_not_made_again(shot, tmp_path):
    from blender_addon import api

    job = api.wait(api.render(shot), 60)
    render(animation=True)
    check_same(shot, job)
    assert made(tmp_path / "log") == dict.fromkeys(range(3, 11), 1)


@pytest.mark.parametrize("method", ["grain", "chain"])
def test_a_still_is_the_frame_of_the_shot(shot, tmp_path, method):
    from blender_addon import api

    choose(shot, method, log=str(tmp_path / "log"))
    shot.frame_set(6)
    shot.render.filepath = f"{tmp_path}/still.png"
    render(write_still=True)
    assert made(tmp_path / "log") == dict.fromkeys([6] if method == "grain" else range(3, 11), 1)
    job = api.wait(api.render(shot), 60)
    np.testing.assert_array_equal(numbers_in(tmp_path / "still.png"), numbers_in(job.file_of(6)))


def test_a_still_follows_the_scene(shot, tmp_path):
    pictures = []
    for z in (0.0, 0.0, 0.5):
        shot.camera.location.z = z
        shot.render.filepath = f"{tmp_path}/still.png"
        render(write_still=True)
        pictures.append(numbers_in(tmp_path / "still.png"))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[1] != pictures[2]).any()
    assert made(tmp_path / "log") == {1: 2}


def test_a_part_of_the_picture_is_that_part(shot, tmp_path):
    shot.render.filepath = f"{tmp_path}/whole.png"
    render(write_still=True)
    whole = numbers_in(tmp_path / "whole.png")
    shot.render.use_border = shot.render.use_crop_to_border = True
    border = (0.25, 0.2, 0.75, 0.5)  # left, bottom, right, top
    for name, value in zip(("min_x", "min_y", "max_x", "max_y"), border, strict=True):
        setattr(shot.render, f"border_{name}", value)
    shot.render.filepath = f"{tmp_path}/part.png"
    render(write_still=True)
    part = numbers_in(tmp_path / "part.png")
    assert part.shape == (12, 24, 4)
    np.testing.assert_array_equal(part, whole[20:32, 12:36])


def test_the_camera_switches_on_markers(shot, tmp_path):
    other = shot.camera.copy()
    other.location.x = 1
    shot.collection.objects.link(other)
    stills = {}
    for camera in (shot.camera, other):
        shot.camera = camera
        shot.frame_set(8)
        shot.render.filepath = f"{tmp_path}/still.png"
        render(write_still=True)
        stills[camera] = numbers_in(tmp_path / "still.png")
    shot.timeline_markers.new("a", frame=3).camera = shot.camera
    shot.timeline_markers.new("b", frame=8).camera = other
    shot.camera = None
    shot.render.filepath = f"{tmp_path}/out/"
    render(animation=True)
    np.testing.assert_array_equal(numbers_in(rendered(shot, 8)), stills[other])


def test_a_failing_frame_ends_the_render_and_writes_nothing_in_its_place(shot, tmp_path):
    choose(shot, "grain", fail_frame=6)
    said = render(animation=True)
    assert "this frame cannot be made. Leave it out." in said and "Traceback" not in said
    assert [rendered(shot, n).exists() for n in (5, 6, 7)] == [True, False, False]
    assert shot.render.dither_intensity == 1.0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda scene: setattr(scene.understudy, "body", None), "There is no body: fit a photo"),
        (lambda scene: setattr(scene.camera.data, "type", "ORTHO"), "perspective"),
        (lambda scene: setattr(scene.understudy, "method", "nothing"), 'no method "nothing"'),
    ],
)
def test_what_is_missing_is_said_in_one_line(shot, spoil, words):
    spoil(shot)
    said = [line for line in render(write_still=True).splitlines() if line.strip()]
    assert len(said) == 1 and words in said[0]
    assert not rendered(shot, 1).exists()


def test_without_a_backend_it_says_what_to_do(shot):
    from blender_addon import api

    api.disconnect()
    assert "preferences" in render(write_still=True)


def test_a_backend_that_dies_ends_the_render(shot, grainer, monkeypatch):
    from blender_addon.engine import courier, run

    monkeypatch.setattr(run, "Courier", lambda *args: courier.Courier(*args[:4], 1.0))
    choose(shot, "grain", delay=0.3)
    threading.Timer(1.0, grainer.kill).start()
    begun = time.monotonic()
    said = render(animation=True)
    grainer.start()
    assert said and "Traceback" not in said and time.monotonic() - begun < 30


def test_the_passes_are_the_body_as_blender_sees_it(shot, tmp_path):
    """Against Cycles' own render of the same scene, in Blender's conventions."""
    from blender_addon.scene import compat

    layer = shot.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_uv = True
    layer.understudy.use_pass_mask = layer.understudy.use_pass_body = True
    compat.set_float_layers(shot.render.image_settings)
    found = {}
    for engine in ("UNDERSTUDY", "CYCLES"):
        shot.render.engine = engine
        shot.render.filepath = f"{tmp_path}/{engine}.exr"
        if engine == "CYCLES":
            shot.cycles.samples, shot.cycles.use_denoising, shot.cycles.use_adaptive_sampling = 1, False, False
            shot.cycles.pixel_filter_type, shot.cycles.filter_width = "GAUSSIAN", 0.01
            shot.render.film_transparent = True
        render(write_still=True)
        from blender_addon.render.exr import read_exr

        found[engine] = {
            ".".join(name.split(".")[-2:]): plane for name, plane in read_exr(tmp_path / f"{engine}.exr").items()
        }
    ours, theirs = found["UNDERSTUDY"], found["CYCLES"]
    seen = theirs["Combined.A"] > 0
    assert 20 < seen.sum() < seen.size - 20
    assert {"Mask.A", "Body.R", "Body.A"} <= set(ours)
    for name in ("Depth.Z", "Normal.X", "Normal.Y", "Normal.Z", "UV.U", "UV.V"):
        np.testing.assert_allclose(ours[name][seen], theirs[name][seen], atol=2e-4, err_msg=name)
    both = seen & (ours["Mask.A"] == 1)
    np.testing.assert_allclose(ours["Body.R"][both], theirs["Combined.R"][both], atol=0.01)
    nothing = ours["Mask.A"] == 0
    assert (ours["Depth.Z"][nothing] > 1e9).all() and (theirs["Depth.Z"][nothing] > 1e9).all()


def test_what_stands_before_the_body_hides_it_as_in_a_strip(shot, tmp_path):
    from blender_addon import api

    mesh = bpy.data.meshes.new("Wall")
    mesh.from_pydata([(-2, -1, 0.8), (2, -1, 0.8), (2, -1, 3), (-2, -1, 3)], [], [(0, 1, 2, 3)])
    shot.collection.objects.link(bpy.data.objects.new("Wall", mesh))
    shot.frame_end = 4
    render(animation=True)
    job = api.wait(api.render(shot), 60)
    assert job.record.source == "render"
    check_same(shot, job)
    assert made(tmp_path / "log") == {3: 1, 4: 1}


def test_a_render_in_a_thread_leaves_the_scene_to_the_main_thread(shot, tmp_path):
    """As in a window, where Blender renders in a thread while timers go on in the main one."""
    from blender_addon import api
    from blender_addon.engine import host

    shot.view_layers[0].use_pass_z = True  # so that Blender must render within the render
    reading = host.current().main
    who = set()
    original = reading.work

    def work() -> None:
        who.add(threading.current_thread() is threading.main_thread())
        original()

    thread = threading.Thread(target=lambda: render(animation=True))
    thread.start()
    end = time.monotonic() + 60
    while thread.is_alive():
        work()
        assert time.monotonic() < end
        time.sleep(0.01)
    assert who == {True}
    check_same(shot, api.wait(api.render(shot), 60))
    assert len(bpy.data.scenes) == 1


def test_a_take_that_runs_is_left_alone(shot, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    choose(shot, "chain", delay=0.2, log=str(tmp_path / "log"))
    job = api.render(shot)
    tick_until(lambda: job.state is State.RUNNING and len(job.finished) >= 1, 60)
    shot.frame_set(5)
    assert render(write_still=True) == ""
    assert job.state is State.RUNNING
    api.wait(job, 60)
    assert len(job.finished) == 8 and made(tmp_path / "log") == dict.fromkeys(range(3, 11), 1)


def test_who_stops_waiting_stops_the_backend(shot, tmp_path):
    from blender_addon.engine import way
    from blender_addon.engine.courier import Progress, Stopped
    from blender_addon.engine.run import Run

    choose(shot, "grain", delay=0.3, log=str(tmp_path / "log"))
    run = Run(shot, way.find())
    stages = []

    def watch(progress: Progress) -> None:
        stages.append(progress.stage)
        if made(tmp_path / "log"):
            raise Stopped

    try:
        run.greet(lambda progress: None)
        run.read(3, more=True)
        with pytest.raises(Stopped):
            run.frame(3, watch)
    finally:
        folder = run._folder
        run.close()
    assert not folder.exists() and stages
    time.sleep(1.0)
    assert sum(made(tmp_path / "log").values()) < 5


def test_another_scene_s_compositor_gets_the_picture(shot, tmp_path):
    """Blender tells nobody that such a render begins."""
    from blender_addon import api
    from blender_addon.engine import host

    comp = bpy.data.scenes.new("Comp")
    comp.render.engine = "CYCLES"
    comp.camera = shot.camera
    comp.render.resolution_x, comp.render.resolution_y = SIZE
    comp.render.image_settings.file_format, comp.render.image_settings.color_mode = "PNG", "RGBA"
    comp.render.dither_intensity = 0.0
    comp.view_settings.view_transform = "Standard"
    comp.frame_set(7)
    shot.frame_set(7)
    shot.view_layers[0].use_pass_z = True
    if hasattr(comp, "compositing_node_group"):
        tree = comp.compositing_node_group = bpy.data.node_groups.new("Comp", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        comp.use_nodes = True
        tree = comp.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    layers = tree.nodes.new("CompositorNodeRLayers")
    layers.scene = shot
    tree.links.new(layers.outputs["Image"], output.inputs[0])
    comp.render.filepath = f"{tmp_path}/comp.png"
    assert render(write_still=True, scene=comp.name) == ""
    job = api.wait(api.render(shot), 60)
    np.testing.assert_array_equal(numbers_in(tmp_path / "comp.png"), numbers_in(job.file_of(7)))
    assert host.current()._run is None

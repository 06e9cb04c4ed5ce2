"""From a photo to a finished strip as an artist goes: by the buttons of the panels and the properties that they draw,
in an empty file, with a local backend and the weights that ship.

Without a window Blender knows no clicks and asks nothing: a button is pressed with the answer to what its operator
would ask, and time goes by in `wait_until`."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from backend_stage import PYTHON, needs_backend
from panel_stage import Layout, drawn

bpy = pytest.importorskip("bpy")

SAMPLES = Path(__file__).resolve().parents[2] / "packaging/demo/samples"
FILES = {
    "load_photo": SAMPLES / "photos/openpeople_P001.jpg",
    "add_photo": SAMPLES / "photos/openpeople_P005.jpg",
    "import_motion": SAMPLES / "motions/cmu_13_26_wave_point.npz",
    "import_camera": SAMPLES / "cameras/orbit.json",
}
"""What is chosen where an operator asks for a file."""

FIRST, LAST, SIDE = 3, 6, 128

LATER = ("add_camera_rig", "import_camera", "choose_method", "apply_preset")
LAST_OF_ALL = ("remove_job", "remove_photo", "stop_local_backend")
"""Pressed after all others: they change, or take away, what others are about."""

ELSEWHERE = {
    *("connect", "disconnect", "check_backend", "copy_command"),  # of other ways to a backend
    *("get_weights", "look_for_weights", "cancel_weights"),  # where weights are missing
    *("create_body", "retarget"),  # of other ways to a motion
    *("round_size", "show_in_sequencer"),  # mend what is right here
    *("move_up", "cancel_passes"),  # while more goes on than here
}
"""Buttons that this way does not pass."""

pytestmark = [needs_backend, pytest.mark.timeout(600)]


@dataclass
class Shot:
    """What the way from photo to strip has left."""

    before: dict[str, object]
    """The scene's settings when the file was new."""
    after_fit: dict[str, object] = field(default_factory=dict)
    after: dict[str, object] = field(default_factory=dict)
    undo: list[str] = field(default_factory=list)
    """The names of the undo steps."""
    pressed: set[str] = field(default_factory=set)
    """The operators of all buttons that were pressed."""


def press(name: str, /, **options) -> None:
    """A click on a button that the panels draw."""
    if name in FILES:
        options["filepath"] = str(FILES[name])
    operator = getattr(bpy.ops.understudy, name)
    assert operator.poll(), f"{name} cannot be pressed"
    assert operator("INVOKE_DEFAULT", True, **options) == {"FINISHED"}, name


def buttons() -> dict[tuple[str, ...], dict]:
    """All our buttons that the panels and their menus draw now and that can be pressed, with their options. That of
    another job is not another button."""
    log = drawn()
    for kind, name, *_ in log:  # which grows: a menu may lead to another
        if kind == "menu":
            getattr(bpy.types, name).draw(SimpleNamespace(layout=Layout(log)), bpy.context)
    found: dict[tuple[str, ...], dict] = {}
    for kind, name, *rest in log:
        if kind == "operator" and name.startswith("understudy."):
            _, made, enabled = rest
            short = name.partition(".")[2]
            options = {key: value for key, value in vars(made).items() if value is not None}
            if getattr(bpy.ops.understudy, short).poll() and enabled:
                key = (short, *(f"{name} {value}" for name, value in options.items() if name != "take"))
                found.setdefault(key, options)
    return found


def wait_until(condition, seconds: float = 300.0) -> None:
    """Time goes by: what Blender's timers do in a window."""
    from blender_addon.link.session import current
    from blender_addon.panels import _redraw

    end = time.monotonic() + seconds
    while not condition():
        current().pump.tick()
        _redraw.look()
        assert time.monotonic() < end, current().status
        time.sleep(0.005)


def wait_for_jobs() -> None:
    from blender_addon.link.session import current

    jobs = current().jobs
    wait_until(lambda: not jobs.active() and not any(job.stale for job in jobs))
    assert [str(job.problem) for job in jobs if job.problem] == []


def settings_of(scene) -> dict[str, object]:
    """What of a scene's settings is the artist's alone."""
    render, image, view = scene.render, scene.render.image_settings, scene.view_settings
    return {
        "resolution": (render.resolution_x, render.resolution_y, render.resolution_percentage),
        "pixel aspect": (render.pixel_aspect_x, render.pixel_aspect_y),
        "frame rate": (render.fps, render.fps_base),
        "frames": (scene.frame_start, scene.frame_end, scene.frame_step, scene.frame_current),
        "engine": (render.engine, render.film_transparent, render.use_sequencer, render.use_compositing),
        "output": (render.filepath, image.file_format, image.color_mode, image.color_depth),
        "view": (view.view_transform, view.look, view.exposure, scene.display_settings.display_device),
        "world": scene.world,
    }


def undo_steps() -> list[str]:
    """The names of the undo steps, oldest first. Blender writes them to its standard output and nowhere else."""
    c = ctypes.CDLL(None)
    with tempfile.TemporaryFile() as said:
        kept = os.dup(1)
        c.fflush(None)
        os.dup2(said.fileno(), 1)
        try:
            bpy.context.window_manager.print_undo_steps()
            c.fflush(None)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        said.seek(0)
        return re.findall(r"name='(.*)'$", said.read().decode(), re.MULTILINE)


def picture(path: Path) -> np.ndarray:
    """A PNG as Blender reads it, (H, W, 4) uint8, top row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    image.colorspace_settings.name, image.alpha_mode = "Non-Color", "STRAIGHT"
    pixels = np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4)[::-1]
    bpy.data.images.remove(image)
    return np.rint(pixels * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """The whole way, once."""
    import blender_addon
    from blender_addon.link import folders
    from blender_addon.link.session import current

    folder = tmp_path_factory.mktemp("shot")

    def user_folder(path: str = "") -> Path:
        (folder / "user" / path).mkdir(parents=True, exist_ok=True)
        return folder / "user" / path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "user_folder", user_folder)
        patch.setenv("UNDERSTUDY_PYTHON", PYTHON)
        patch.setenv("OMP_NUM_THREADS", "1")
        bpy.ops.wm.read_factory_settings(use_empty=True)
        addons = bpy.context.preferences.addons
        addons.new().module = blender_addon.__name__
        blender_addon.register()
        try:
            yield _make(folder, current(), addons[blender_addon.__name__].preferences)
        finally:
            blender_addon.unregister()
            addons.remove(addons[blender_addon.__name__])


def _make(folder: Path, session, preferences) -> Shot:
    scene = bpy.context.scene
    settings = scene.understudy
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    bpy.ops.ed.undo_push(message="New")
    shot = Shot(settings_of(scene))

    def click(name: str, /, **options) -> None:
        key = (name, *(f"{key} {value}" for key, value in options.items()))
        assert key in buttons(), key
        press(name, **options)
        buttons()  # they can be drawn and asked while it is at work
        shot.pressed.add(name)

    click("find_backend")
    wait_until(lambda: preferences.python)
    click("start_local_backend")
    wait_until(lambda: session.pump.online)
    click("load_photo")
    click("fit_photo")
    wait_for_jobs()
    shot.after_fit = settings_of(scene)
    click("refit")
    click("cancel")
    size = settings.methods["threedhm_texture"].settings["texture_size"]
    size["value"] = size.choices.split("\n").index("512")
    click("make_texture")
    wait_for_jobs()
    scene.frame_start, scene.frame_end = FIRST, LAST
    click("import_motion")
    click("add_camera_rig", kind="ORBIT")
    settings.width = settings.height = SIDE
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    scene.view_settings.view_transform = "Standard"
    click("render")
    wait_for_jobs()
    shot.after, shot.undo = settings_of(scene), undo_steps()
    return shot


def test_the_strip_has_every_frame_and_every_frame_its_file(shot):
    from blender_addon.timeline import compat

    (strip,) = bpy.context.scene.sequence_editor.strips
    assert (strip.type, compat.strip_start(strip), compat.strip_end(strip)) == ("IMAGE", FIRST, LAST + 1)
    files = [Path(bpy.path.abspath(strip.directory)) / element.filename for element in strip.elements]
    assert [path.name for path in files] == [f"{n:06d}.png" for n in range(FIRST, LAST + 1)]
    assert files[0].is_relative_to(Path(bpy.data.filepath).parent)
    assert all(picture(path).shape == (SIDE, SIDE, 4) for path in files)


def frames() -> dict[int, np.ndarray]:
    strip = bpy.context.scene.sequence_editor.strips[0]
    folder = Path(bpy.path.abspath(strip.directory))
    return {n: picture(folder / element.filename) for n, element in enumerate(strip.elements, FIRST)}


def test_the_person_is_in_the_picture_where_the_body_is(shot):
    """Where the joints are is Blender's own answer."""
    from bpy_extras.object_utils import world_to_camera_view

    scene = bpy.context.scene
    armature = scene.understudy.body.parent
    for number, image in frames().items():
        scene.frame_set(number)
        places = [armature.matrix_world @ bone.head for bone in armature.pose.bones]
        seen = np.array([world_to_camera_view(scene, scene.camera, place) for place in places])
        joints = np.stack([seen[:, 0], 1 - seen[:, 1]], 1) * SIDE
        person = image[..., 3] > 127
        cells = joints.astype(int)
        assert person[cells[:, 1], cells[:, 0]].mean() > 0.9, number
        outline = np.array([np.flatnonzero(person.any(axis))[[0, -1]] for axis in (0, 1)])
        skeleton = np.stack([joints.min(0), joints.max(0)], 1)
        tall = np.ptp(skeleton[1])
        assert tall > SIDE / 2 and np.abs(outline - skeleton).max() < 0.2 * tall, number
        assert 0.02 < person.mean() < 0.4


def test_the_person_moves_and_is_no_flat_colour(shot):
    images = frames()
    for image in images.values():
        assert image[..., :3][image[..., 3] == 255].std(0).min() > 20
    for one, other in itertools.pairwise(images.values()):
        assert (np.abs(one.astype(int) - other).max(-1) > 40).mean() > 0.02


def test_blender_renders_the_strip_as_the_files_are(shot, tmp_path):
    scene = bpy.context.scene
    render = scene.render
    render.dither_intensity = 0
    for number, image in frames().items():
        scene.frame_set(number)
        render.filepath = str(tmp_path / f"{number}.png")
        bpy.ops.render.render(write_still=True)
        shown = picture(tmp_path / f"{number}.png")
        np.testing.assert_array_equal(shown[..., 3], image[..., 3])
        seen = image[..., 3] > 0
        np.testing.assert_array_equal(shown[seen], image[seen])


def test_the_scene_s_settings_stay_the_artist_s(shot):
    assert shot.after_fit == shot.before
    asked = {"frames": (FIRST, LAST, *shot.before["frames"][2:]), "resolution": (SIDE, SIDE, 100)}
    assert shot.after == shot.before | asked | {"view": ("Standard", *shot.before["view"][1:])}
    scene = bpy.context.scene
    assert scene.camera == scene.understudy.camera and scene.camera.name.startswith("Orbit")


@pytest.mark.skipif(os.name != "posix", reason="reads what Blender prints")
def test_every_step_has_its_name_in_the_undo_history(shot):
    scene = bpy.context.scene.name
    jobs = [f"Understudy: {scene} {what} 1" for what in ("fit", "texture", "take")]
    assert shot.undo == ["New", "Load Photo", *jobs[:2], "Import Motion", "Add Camera Move", jobs[2]]


def test_every_operator_and_property_has_a_tooltip(shot):
    from blender_addon import preferences, properties

    of_blender = ("name", "filepath", "bl_idname")

    def bare(owner) -> list[str]:
        theirs = [p for p in owner.properties if not (p.is_hidden or p.description)]
        return [f"{owner.identifier}.{p.identifier}" for p in theirs if p.identifier not in of_blender]

    kinds = {name: getattr(bpy.ops.understudy, name).get_rna_type() for name in dir(bpy.ops.understudy)}
    assert len(kinds) > 40
    assert [name for name, kind in kinds.items() if not kind.description] == []
    groups = [cls.bl_rna for cls in (*properties.CLASSES, *preferences.CLASSES)]
    missing = [line for owner in (*kinds.values(), *groups) for line in bare(owner)]
    assert missing == []


def test_every_button_of_the_panels_can_be_pressed(shot, tmp_path):
    """Each once, in the order in which they are drawn; what they start is cancelled, a mode that they enter is left."""
    from blender_addon.link.session import current

    scene = bpy.context.scene
    (strip,) = scene.sequence_editor.strips
    scene.sequence_editor.active_strip = strip
    scene.frame_set(FIRST)
    done: set[tuple[str, ...]] = set()
    for turn in ("first", "later", "last"):
        while waiting := {key: options for key, options in buttons().items() if key not in done and _turn(key) == turn}:
            key, options = next(iter(waiting.items()))
            done.add(key)
            if key[0] == "choose_take":
                options["take"] = strip["understudy_take"]
            elif key[0] == "export_camera":
                options["filepath"] = str(tmp_path / "camera.json")
            elif "what RANGE" in key:
                options["first"], options["last"] = FIRST, LAST
            press(key[0], **options)
            buttons()
            if current().jobs.active() and turn != "last":
                press("cancel_all")
                shot.pressed.add("cancel_all")
            if bpy.context.mode != "OBJECT":
                press("show_photo" if bpy.context.mode == "POSE" else "paint_texture")
                assert bpy.context.mode == "OBJECT", key
    shot.pressed.update(key[0] for key in done)
    assert set(dir(bpy.ops.understudy)) - shot.pressed - ELSEWHERE == set()


def _turn(key: tuple[str, ...]) -> str:
    return "later" if key[0] in LATER else "last" if key[0] in LAST_OF_ALL else "first"

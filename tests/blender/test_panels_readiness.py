"""What is in the way of a step, and the one click that mends it: asked without drawing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

LOCAL, NOTHING = "tcp://127.0.0.1:7707", ""


@dataclass
class FakePump:
    online: bool = True
    link: object = "link"


@dataclass
class FakeSession:
    """What readiness looks at of a session."""

    pump: FakePump = field(default_factory=FakePump)
    backend: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(state="stopped"))
    jobs: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(active=list))
    method_book: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(methods=()))
    weights: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(running=False))


@pytest.fixture
def addon(scene, addon):
    """In a fresh file."""
    return addon


def ask(session=None, goal="render", python="", address=LOCAL):
    from blender_addon.panels.readiness import readiness
    from blender_addon.preferences import Known

    return readiness(bpy.context.scene, session or FakeSession(), goal, Known(python, address))


def buttons(found) -> list[str]:
    return [obstacle.operator for obstacle in found]


def describe(**changes):
    from understudy_shared.protocol.description import MethodDescription, NeedDescription

    values = {
        "name": "threedhm",
        "title": "3DHM",
        "help": "",
        "paper": "",
        "params": (),
        "needs": (NeedDescription("photo", False, ""), NeedDescription("texture", False, "")),
        "gives": ("rgba",),
        **changes,
    }
    return MethodDescription(**values)


def make_body(moving=True, textured=True):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.material import set_texture

    settings = bpy.context.scene.understudy
    body = api.create_body(bpy.context.scene)
    settings.photo_body = settings.body = body
    settings.photo = bpy.data.images.new("photo", 4, 4)
    if textured:
        set_texture(body, np.full((16, 16, 3), 99, np.uint8))
    if moving:
        armature_of(body).keyframe_insert("location")
    return body


@pytest.mark.parametrize(
    ("state", "linked", "python", "address", "operator"),
    [
        ("stopped", False, "", NOTHING, "understudy.show_preferences"),
        ("stopped", False, "/usr/bin/python3", NOTHING, "understudy.start_local_backend"),
        ("stopped", False, "/usr/bin/python3", LOCAL, "understudy.connect"),
        ("stopped", False, "", "tcp://far.example:7707", "understudy.show_preferences"),
        ("starting", True, "/usr/bin/python3", NOTHING, ""),
        ("died", True, "/usr/bin/python3", NOTHING, "understudy.start_local_backend"),
        ("stopped", True, "", LOCAL, ""),
    ],
)
def test_each_way_to_have_no_backend_has_its_own_way_out(addon, state, linked, python, address, operator):
    from blender_addon.link.local_backend import BackendState

    session = FakeSession(FakePump(False, "link" if linked else None), SimpleNamespace(state=BackendState(state)))
    bpy.context.scene.understudy.photo = bpy.data.images.new("photo", 4, 4)
    found = ask(session, "fit", python, address)
    assert buttons(found) == [operator] and found[0].blocking
    if "far" in address:
        assert dict(found[0].options) == {"page": "SYSTEM"} and not bpy.app.online_access


def test_the_steps_follow_each_other(addon):
    settings = bpy.context.scene.understudy
    assert buttons(ask(goal="fit")) == ["understudy.load_photo"]
    assert buttons(ask()) == ["understudy.load_photo", "understudy.import_motion"]
    settings.photo = bpy.data.images.new("photo", 4, 4)
    assert ask(goal="fit") == []
    assert buttons(ask(goal="texture")) == ["understudy.fit_photo"]
    make_body(moving=False, textured=False)
    assert ask(goal="texture") == []
    assert buttons(ask())[0] == "understudy.make_texture"
    make_body(moving=False)
    found = ask()
    assert buttons(found) == ["understudy.import_motion", "understudy.add_camera_rig"]
    assert [obstacle.blocking for obstacle in found] == [False, True]  # a still body can be rendered
    make_body()
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    settings.camera = camera
    assert ask() == []


def test_the_photos_camera_is_no_camera_of_the_shot(addon):
    make_body()
    scene = bpy.context.scene
    scene.camera = scene.understudy.photo_camera = bpy.data.objects.new("Photo", bpy.data.cameras.new("Photo"))
    (advice,) = ask()
    assert advice.operator == "understudy.add_camera_rig" and not advice.blocking
    scene.understudy.camera = scene.camera  # chosen on purpose
    assert ask() == []


def test_a_step_that_runs_is_waited_for(addon):
    scene = bpy.context.scene
    scene.understudy.photo = bpy.data.images.new("photo", 4, 4)
    record = SimpleNamespace(role="fit", scene=SimpleNamespace(find=lambda: scene))
    session = FakeSession(jobs=SimpleNamespace(active=lambda: [SimpleNamespace(record=record)]))
    for goal in ("fit", "texture"):
        (obstacle,) = ask(session, goal)
        assert obstacle.operator == "" and obstacle.blocking and "fitted" in obstacle.sentence


def test_a_method_that_cannot_run_says_why(addon):
    from understudy_shared.protocol.description import WeightsDescription

    make_body()
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    weights = tuple(WeightsDescription(f"w{n}", "CC0", "", n == 1) for n in range(2))

    def with_method(**changes):
        return FakeSession(method_book=SimpleNamespace(methods=(describe(**changes),)))

    assert ask(with_method(weights=weights)) == []  # one of the two is enough
    (obstacle,) = ask(with_method(weights=weights[:1]))
    assert "weights" in obstacle.sentence and obstacle.values == ("3DHM",) and obstacle.blocking
    assert obstacle.operator == "understudy.get_weights"
    fetching = with_method(weights=weights[:1])
    fetching.weights.running = True
    (obstacle,) = ask(fetching)
    assert obstacle.operator == "understudy.cancel_weights" and obstacle.blocking
    scene.understudy.width = 250
    (obstacle,) = ask(with_method(size_multiple=16))
    assert obstacle.operator == "understudy.round_size" and obstacle.values == (16,)
    assert bpy.ops.understudy.round_size() == {"FINISHED"}
    assert scene.understudy.width == 248  # the backend is not there: 8 is assumed
    (obstacle,) = ask(with_method(name="other"))
    assert obstacle.values == ("threedhm",)


def test_what_a_method_does_not_need_is_no_obstacle(addon):
    make_body(textured=False)
    scene = bpy.context.scene
    scene.understudy.photo = scene.understudy.photo_body = None
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    assert ask(FakeSession(method_book=SimpleNamespace(methods=(describe(needs=()),)))) == []
    assert buttons(ask(FakeSession(method_book=SimpleNamespace(methods=(describe(),))))) == ["understudy.load_photo"]


def test_sentences_are_short_and_every_button_exists(addon):
    from blender_addon.link.local_backend import BackendState
    from blender_addon.panels.drawing import exists

    seen = []
    for state in BackendState:
        for address in (NOTHING, LOCAL, "tcp://far.example:1"):
            session = FakeSession(FakePump(False, None), SimpleNamespace(state=state))
            seen += [obstacle for goal in ("fit", "texture", "render") for obstacle in ask(session, goal, "", address)]
    assert len({obstacle.sentence for obstacle in seen}) >= 7
    for obstacle in seen:
        assert len(obstacle.sentence) <= 64 and not obstacle.sentence.endswith(".")
        assert not obstacle.operator or exists(obstacle.operator), obstacle

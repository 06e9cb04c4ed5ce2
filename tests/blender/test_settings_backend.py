"""From a method that only a backend knows to a widget in the scene, and from there into the job that it is sent."""

from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")

from backend_stage import PHOTO, needs_backend  # noqa: E402

pytestmark = needs_backend


def test_a_backends_method_is_set_in_the_panel_and_obeys(stage, tmp_path):
    from blender_addon import api

    scene = stage
    api.set_method(scene, "stamp")
    items = scene.understudy.methods["stamp"].settings
    assert {"delay", "log"} <= set(items.keys())
    log = tmp_path / "log"
    items["log"]["value"] = str(log)
    assert api.params_of(scene, "stamp") == {"log": str(log)}
    job = api.render(scene, inputs={"photo": PHOTO}, size=(16, 8))
    assert (job.spec.method, job.spec.params) == ("stamp", {"log": str(log)})
    api.wait(job, 60)
    assert sorted(map(int, log.read_text().split())) == list(job.numbers)

"""Methods that compare every driving frame with a reference are given the take's first frame."""

import bpy
import numpy as np
import pytest
from backend_stage import needs_backend

pytestmark = needs_backend


@pytest.fixture(autouse=True)
def before_the_body(stage):
    stage.camera.location, stage.camera.rotation_euler = (0, -4, 1), (np.pi / 2, 0, 0)


def test_the_reference_is_the_first_frame_as_blender_renders_it(stage):
    from blender_addon import api

    job = api.wait(api.render(stage, method="follow", frames=(2, 3, 1), size=(32, 32)), 120)
    pictures = []
    for number in (2, 3):
        image = bpy.data.images.load(str(job.file_of(number)))
        pictures.append(np.array(image.pixels[:]).reshape(32, 32, 4))
    assert not pictures[0].any()
    assert pictures[1].max() > 0.2  # it has risen


def test_a_given_reference_is_kept(stage):
    from blender_addon import api

    white = np.full((32, 32, 4), 255, np.uint8)
    job = api.render(stage, method="follow", frames=(2, 2, 1), size=(32, 32), inputs={"reference": white})
    image = bpy.data.images.load(str(api.wait(job, 120).file_of(2)))
    assert np.array(image.pixels[:]).reshape(32, 32, 4)[0, 0].min() == 1.0

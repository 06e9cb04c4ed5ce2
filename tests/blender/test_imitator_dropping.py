"""Pictures that are dropped into the window."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest


@pytest.fixture
def picture(tmp_path):
    from blender_addon.link import png

    path = tmp_path / "person.png"
    png.write_atomically(path, png.encode(np.full((120, 80, 4), 255, np.uint8)))
    return path


def _over(scene, *, kind="VIEW_3D", tab="Understudy", width=240):
    sidebar = SimpleNamespace(type="UI", width=width, active_panel_category=tab)
    return SimpleNamespace(scene=scene, area=SimpleNamespace(type=kind, regions=[sidebar]))


def test_a_dropped_picture_is_taken_without_a_file_browser(scene, addon, picture):
    assert bpy.ops.understudy.load_photo("INVOKE_DEFAULT", filepath=str(picture)) == {"FINISHED"}
    assert bpy.context.scene.understudy.photo.name == picture.name


def test_it_is_offered_only_in_a_view_that_shows_our_tab(scene, addon, picture):
    from blender_addon import api
    from blender_addon.operators import imitator

    first, further = imitator.UNDERSTUDY_FH_photo, imitator.UNDERSTUDY_FH_further_photo
    scene = bpy.context.scene
    assert first.poll_drop(_over(scene))
    for elsewhere in ({"kind": "SEQUENCE_EDITOR"}, {"tab": "Item"}, {"width": 1}):
        assert not first.poll_drop(_over(scene, **elsewhere)), elsewhere
    assert not further.poll_drop(_over(scene))  # there is no first one
    api.load_photo(picture, scene)
    assert further.poll_drop(_over(scene)) and not further.poll_drop(_over(scene, tab="Item"))

"""Takes as versions of a shot: one strip shows any of them, and only what is asked for is made again."""

from __future__ import annotations

import collections
import json

import bpy
import numpy as np
import pytest
from backend_stage import check_complete, made, needs_backend, pixel, start, strip_files, tick_until

pytestmark = needs_backend

ALL = [f"{n:06d}.png" for n in range(1, 9)]
PENDING = "placeholders/pending.png"


def photo(value: int) -> dict[str, np.ndarray]:
    """The backend stamps its first value into every frame's blue."""
    return {"photo": np.full((4, 4, 4), value, np.uint8)}


def again(take, log, frames=None, value=77, delay=0.0, **options):
    from blender_addon import api

    params = {"delay": delay, "log": str(log)}
    return api.render_again(take, frames, method="stamp", params=params, inputs=photo(value), **options)


def shown(scene, frame: int) -> tuple[int, int]:
    """Red and blue of the sequencer's own render of a frame: its number, and the photo."""
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 16, 16, 100
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(bpy.app.tempdir) + "shown.png"
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    red, _, blue, _ = pixel(scene.render.filepath)
    return red, blue


def only_strip(scene):
    (found,) = scene.sequence_editor.strips
    return found


@pytest.fixture
def first(stage, tmp_path):
    """A finished take of eight frames at 16 x 16."""
    from blender_addon import api

    stage.understudy.width, stage.understudy.height = 16, 16
    return api.wait(start(stage, tmp_path / "log", size=(16, 16)), 30)


def test_a_new_take_grows_in_the_strip_of_its_shot(stage, first, tmp_path):
    """The artist has moved, trimmed and named the strip; that stays. The earlier take is seen until there is more."""
    from blender_addon import api
    from blender_addon.timeline import compat

    found = only_strip(stage)
    found.channel, found.name = 4, f"{first.record.title} hero"
    if hasattr(found, "content_start"):
        found.content_start, found.right_handle = 11, 17
    else:
        found.frame_start, found.frame_final_end = 11, 17
    found.transform.offset_x = 5
    place = (compat.strip_start(found), compat.strip_end(found), compat.content_start(found))
    assert place == (11, 17, 11)
    second = again(first, tmp_path / "log", value=200, delay=0.1)
    assert second.shot == first.shot and strip_files(first) == ALL and strip_files(second) == []
    tick_until(lambda: strip_files(second), 30)
    names = strip_files(second)
    assert len(names) == 8 and names[0] == ALL[0] and names[-1] == PENDING
    assert shown(stage, 16)[0] == 26  # not the earlier take's frame 6: the ground of what is still to come
    api.wait(second, 30)
    assert only_strip(stage) == found and strip_files(second) == ALL
    assert (compat.strip_start(found), compat.strip_end(found), compat.content_start(found)) == place
    assert (found.channel, found.transform.offset_x, found.name) == (4, 5, f"{second.record.title} hero")
    found.transform.offset_x = 0
    assert shown(stage, 13) == (3, 200)
    api.choose_take(found, first)
    assert shown(stage, 13) == (3, 77) and [job.take for job in api.takes_of(found)] == [first.take, second.take]
    stage.sequence_editor.active_strip = None
    assert api.strip_in_hand() == found  # the only one
    assert bpy.ops.understudy.choose_take(take=second.take) == {"FINISHED"}
    assert shown(stage, 13) == (3, 200) and api.job_of(found) is second


def test_a_take_that_comes_to_nothing_leaves_the_strip_as_it_was(stage, first, tmp_path):
    from blender_addon import api

    params = {"fail_frame": 1}
    second = api.render_again(first, method="stamp", params=params, inputs=photo(1))
    with pytest.raises(api.JobFailed):
        api.wait(second, 30)
    assert strip_files(first) == ALL and strip_files(second) == []


def test_takes_that_wait_follow_each_other_into_the_strip_unless_the_artist_has_chosen(stage, first, tmp_path):
    from blender_addon import api

    second = again(first, tmp_path / "log", value=10)
    third = again(first, tmp_path / "log", value=11)
    own = again(first, tmp_path / "log", value=12, new_strip=True)
    for job in (second, third, own):
        api.wait(job, 30)
    assert strip_files(third) == ALL and strip_files(own) == ALL and strip_files(second) == strip_files(first) == []
    assert len(stage.sequence_editor.strips) == 2
    fourth = again(first, tmp_path / "log", value=13)  # goes into the topmost: nothing is active
    api.wait(fourth, 30)
    assert strip_files(fourth) == ALL and strip_files(own) == [] and strip_files(third) == ALL
    fifth = again(first, tmp_path / "log", value=14)
    api.choose_take(api.strip_of(fourth), first)
    api.wait(fifth, 30)
    assert strip_files(fifth) == [] and strip_files(first) == ALL


def test_a_cut_strip_shows_the_new_take_in_all_its_parts(stage, first, tmp_path):
    from blender_addon import api
    from blender_addon.timeline import compat, strip

    only_strip(stage).split(frame=4, split_method="SOFT")
    second = again(first, tmp_path / "log", value=200)
    api.wait(second, 30)
    parts = strip.parts(stage, second.take)
    assert [(compat.strip_start(s), compat.strip_end(s)) for s in parts] == [(1, 4), (4, 9)]
    assert [[e.filename for e in s.elements] for s in parts] == [ALL, ALL]
    assert shown(stage, 2) == (2, 200) and shown(stage, 6) == (6, 200)


def test_selected_frames_are_made_again_and_the_others_are_the_old_ones(stage, first, tmp_path):
    """Cut out a bad part, select it, render again: three frames are made, five are the very files of the first take."""
    from blender_addon import api

    before = {n: first.file_of(n).read_bytes() for n in first.numbers}
    found = only_strip(stage)
    right = found.split(frame=3, split_method="SOFT")
    right.split(frame=6, split_method="SOFT")
    for s in stage.sequence_editor.strips:
        s.select = s == right
    assert api.selected_frames(first) == [3, 4, 5]
    second = again(first, tmp_path / "log", api.selected_frames(first), value=200)
    api.wait(second, 30)
    assert made(tmp_path / "log") == collections.Counter({n: 2 if n in (3, 4, 5) else 1 for n in range(1, 9)})
    assert [pixel(second.file_of(n))[2] for n in second.numbers] == [77, 77, 200, 200, 200, 77, 77, 77]
    assert all(first.file_of(n).samefile(second.file_of(n)) for n in (1, 2, 6, 7, 8))
    assert {n: first.file_of(n).read_bytes() for n in first.numbers} == before
    assert not second.absent and strip_files(second) == ALL


def test_the_playhead_chooses_where_the_strip_is_whole(stage, first):
    from blender_addon import api

    stage.frame_current = 5
    for s in stage.sequence_editor.strips:
        s.select = True
    assert api.selected_frames(first) == [5]
    stage.frame_current = 50
    with pytest.raises(ValueError, match="playhead"):
        api.selected_frames(first)


def test_a_range_is_made_again_and_one_beside_the_take_is_refused(stage, first, tmp_path):
    from blender_addon import api

    second = again(first, tmp_path / "log", range(7, 99), value=5)
    api.wait(second, 30)
    assert [pixel(second.file_of(n))[2] for n in second.numbers] == [77] * 6 + [5] * 2
    with pytest.raises(ValueError, match="1 to 8"):
        again(first, tmp_path / "log", range(20, 30))


def test_frames_that_nobody_asked_for_are_shown_as_missing_and_can_be_asked_for(stage, first, tmp_path):
    """Two frames of a take of which one was never made: it stays visible, and Resume makes it."""
    from blender_addon import api
    from blender_addon.link.jobs import State

    first.file_of(2).unlink()
    first.scan()
    second = again(first, tmp_path / "log", [7, 8], value=5)
    api.wait(second, 30)
    assert second.state is State.DONE and second.absent == [2]
    view = api.view(second)
    assert (view.missing, view.done, view.total, view.resumable) == ("2", 7, 8, True)
    assert view.words == "Done, 1 of 8 frames are missing" and view.fraction == 1
    assert strip_files(second)[1] == "placeholders/missing_000002.png"
    api.resume(second)
    api.wait(second, 30)
    assert strip_files(second) == ALL and pixel(second.file_of(2))[2] == 5


def test_only_what_has_changed_is_made_again(stage, first, tmp_path):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    armature = armature_of(stage.understudy.body)
    armature.keyframe_insert("location", index=0, frame=5)
    armature.location.x = 1.0
    armature.keyframe_insert("location", index=0, frame=8)
    second = again(first, tmp_path / "log", changed=True)
    api.wait(second, 30)
    assert made(tmp_path / "log") == collections.Counter({n: 2 if n > 5 else 1 for n in range(1, 9)})
    assert [first.file_of(n).samefile(second.file_of(n)) for n in second.numbers] == [True] * 5 + [False] * 3
    check_complete(second)
    assert any("5 frames are those of" in line for line in second.log)
    # a part of a take that was made with other settings counts as changed, the rest does not
    mixed = again(second, tmp_path / "log", [2], value=200)
    api.wait(mixed, 30)
    fixed = again(mixed, tmp_path / "log", changed=True)
    api.wait(fixed, 30)
    assert [mixed.file_of(n).samefile(fixed.file_of(n)) for n in fixed.numbers] == [True, False] + [True] * 6
    check_complete(fixed)


def test_where_nothing_has_changed_nothing_is_made(stage, first, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    api.disconnect()
    second = again(first, tmp_path / "log", changed=True)
    tick_until(lambda: second.state is State.DONE and strip_files(second), 30)  # without a backend
    check_complete(second)
    assert made(tmp_path / "log") == collections.Counter(range(1, 9))


def test_another_setting_changes_every_frame(stage, first, tmp_path):
    from blender_addon import api

    second = again(first, tmp_path / "log", changed=True, value=5)
    api.wait(second, 30)
    assert [pixel(second.file_of(n))[2] for n in second.numbers] == [5] * 8
    assert not any(first.file_of(n).samefile(second.file_of(n)) for n in second.numbers)


def test_redo_from_strip_puts_the_settings_back(stage, first):
    from blender_addon import api

    settings = stage.understudy
    camera, body, params = stage.camera, settings.body, dict(first.spec.params)
    settings.seed, settings.width, settings.body, settings.camera = 99, 64, None, None
    stage.frame_start, stage.frame_end = 100, 200
    stage.sequence_editor.active_strip = only_strip(stage)
    assert bpy.ops.understudy.redo_from_strip() == {"FINISHED"}
    assert (settings.seed, settings.width, settings.height) == (0, 16, 16)
    assert (settings.body, settings.camera) == (body, camera)
    assert (stage.frame_start, stage.frame_end) == (1, 8)
    assert api.chosen_method(stage) == "stamp" and api.params_of(stage, "stamp")["log"] == params["log"]
    second = api.render(stage, inputs=photo(77))  # the scene's method and settings
    api.wait(second, 30)
    assert (second.spec.method, second.spec.params["log"]) == ("stamp", params["log"])
    assert second.shot == first.shot


def test_the_operator_makes_the_active_strip_again(stage, first, monkeypatch):
    from blender_addon import api

    stage.understudy.method = "stamp"
    with pytest.raises(RuntimeError, match="photo"):
        bpy.ops.understudy.render_again(take=first.take)  # the scene has none: one line, no traceback
    asked = []
    monkeypatch.setattr(api, "render_again", lambda *args, **options: asked.append((args, options)) or first)
    stage.sequence_editor.active_strip = only_strip(stage)
    assert bpy.ops.understudy.render_again(what="RANGE", first=2, last=4) == {"FINISHED"}
    assert asked[0] == ((first, range(2, 5)), {"changed": False, "new_strip": False})
    stage.frame_current = 3
    bpy.ops.understudy.render_again(what="SELECTED")
    bpy.ops.understudy.render_again(what="CHANGED", new_strip=True)
    assert asked[1][0] == (first, [3]) and asked[2] == ((first, None), {"changed": True, "new_strip": True})
    with pytest.raises(RuntimeError, match="first and the last"):
        bpy.ops.understudy.render_again(what="RANGE")


def test_a_removed_take_hands_its_strip_on_and_undo_does_not_bring_dead_files_back(stage, first, tmp_path):
    from blender_addon import api

    second = again(first, tmp_path / "log", value=200)
    api.wait(second, 30)
    folder = second.folder
    assert bpy.ops.understudy.remove_job(take=second.take, delete_frames=True) == {"FINISHED"}
    assert not folder.exists() and strip_files(first) == ALL and api.jobs() == [first]
    assert all(first.file_of(n).is_file() for n in first.numbers)
    found = only_strip(stage)
    found["understudy_take"], found.directory = second.take, f"{folder}/"  # as undo would
    from blender_addon.link.session import current

    current().upkeep.undone()
    current().pump.tick()
    assert strip_files(first) == ALL and found.directory.startswith(str(first.folder))
    assert bpy.ops.understudy.remove_job(take=first.take) == {"FINISHED"}
    assert api.jobs() == [] and len(stage.sequence_editor.strips) == 1 and first.file_of(1).is_file()


def test_jobs_of_an_older_file_are_read(stage, first):
    """As they were written before there were shots and a queue."""
    from blender_addon import api
    from blender_addon.link.book import TEXT_NAME
    from blender_addon.link.session import current

    known = {"take", "title", "spec", "role", "folder", "scene", "sequencer", "body", "camera", "source", "channels"}
    known |= {"state", "problem", "channel", "placed"}
    text = bpy.data.texts[TEXT_NAME]
    records = [{k: v for k, v in record.items() if k in known} for record in json.loads(text.as_string())]
    text.from_string(json.dumps(records))
    found = only_strip(stage)
    del found["understudy_shot"]
    current().read_file()
    (old,) = api.jobs()
    assert old.shot == first.take and api.takes_of(found) == [old]
    new = start(stage, size=(16, 16))
    api.wait(new, 30)
    assert new.shot == old.shot and strip_files(new) == ALL and len(stage.sequence_editor.strips) == 1
    assert new.record.title == "Scene take 2"

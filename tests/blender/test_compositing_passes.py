"""Passes of a take as files: values read back by Blender, resumed, cancelled, and told in words."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
import numpy as np
import pytest
from compositing_stage import SIZE, rendered, the_shot  # noqa: F401 - fixture
from understudy_shared.frames import Channel, srgb_to_linear

from blender_addon.render import pass_files, pass_saving
from blender_addon.render.exr import read_exr
from blender_addon.render.exr_writing import compress, expand, exr_bytes
from blender_addon.render.passes import render_passes
from blender_addon.scene import compositor_compat as compat


def by_blender(path: Path, name: str, tmp_path: Path) -> np.ndarray:
    """(H, W, 4) of one pass, as Blender's compositor reads it; numbers are grey."""
    scene = bpy.data.scenes.new("reader")
    image = bpy.data.images.load(str(path), check_existing=False)
    tree = compat.ensure_tree(scene)
    node = tree.nodes.new("CompositorNodeImage")
    node.image = image
    tree.links.new(node.outputs[name], compat.output(tree))
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.camera = bpy.data.objects.new("reader", bpy.data.cameras.new("reader"))
    scene.collection.objects.link(scene.camera)
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    try:
        return rendered(scene, 1, tmp_path / "read")
    finally:
        bpy.data.scenes.remove(scene)
        bpy.data.images.remove(image)


def test_each_pass_as_blender_reads_it(shot, tmp_path):
    from blender_addon import api

    picture = shot.picture(grow=3, alpha=200)
    shot.finish(picture=picture)
    saving = api.save_passes(shot.job)
    saving.wait()
    assert saving.made == 3
    file = shot.job.folder / "passes_000002.exr"
    body = render_passes(shot.scene, shot.body, shot.camera, 2, SIZE).channels
    a = picture[..., 3] / 255
    depth = body[Channel.DEPTH]
    seen = np.isfinite(depth)
    linear = srgb_to_linear(picture[..., :3] / 255) * a[..., None]
    read = {
        name: by_blender(file, name, tmp_path) for name in ("Beauty", "Alpha", "Depth", "Normal", "UV", "Mask", "There")
    }
    np.testing.assert_allclose(read["Beauty"], np.dstack([linear, a]), atol=1e-3)
    np.testing.assert_allclose(read["Alpha"][..., 0], a, atol=1e-3)
    np.testing.assert_allclose(read["Depth"][..., 0], np.where(seen, depth, 1e10), rtol=1e-6)
    np.testing.assert_allclose(read["Normal"][..., :3], body[Channel.NORMAL], atol=1e-6)
    np.testing.assert_allclose(read["UV"][..., :2], body[Channel.UV], atol=1e-6)
    np.testing.assert_allclose(read["Mask"][..., 0], body[Channel.MASK], atol=1e-3)
    assert (read["There"][..., 0] == 1).all()
    assert 3.5 < depth[seen].mean() < 4.5  # the body is 4 m away
    ours = read_exr(file)
    np.testing.assert_array_equal(ours["Person.Depth.Z"], read["Depth"][..., 0])
    nearest = reference_reach(depth)
    off = np.abs(ours["Person.Reach.Z"] - nearest)
    assert np.median(off) == 0
    assert np.percentile(off, 99) < 0.1
    assert np.array_equal(ours["Person.Reach.Z"][seen], depth[seen])


def reference_reach(depth):
    """By looking at every pixel of the body for each pixel."""
    body = np.argwhere(np.isfinite(depth))
    every = np.argwhere(np.ones_like(depth, bool))
    nearest = ((every[:, None] - body[None]) ** 2).sum(-1).argmin(1)
    return depth[tuple(body[nearest].T)].reshape(depth.shape)


def test_only_what_is_not_there_or_has_changed_is_made(shot, monkeypatch):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    shot.finish()
    made: list[int] = []
    real = pass_saving.render_passes
    monkeypatch.setattr(pass_saving, "render_passes", lambda *a, **k: made.append(a[3]) or real(*a, **k))

    def save(*passes):
        made.clear()
        api.save_passes(shot.job, passes or pass_files.PASSES).wait()
        return list(made)

    assert save("depth", "mask") == [1, 2, 3]
    assert save("depth") == []
    assert save("beauty") == [1, 2, 3]  # what the files have stays in them
    channels = read_exr(shot.job.folder / "passes_000001.exr")
    assert {name.split(".")[1] for name in channels} == {"There", "Beauty", "Depth", "Reach", "Mask"}
    assert save("mask", "beauty") == []
    shot.finish(2, picture=shot.picture(alpha=100))
    assert save("mask") == [2]
    damaged = shot.job.folder / "passes_000003.exr"
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert save("mask") == [3]
    armature = armature_of(shot.body)
    armature.location.x = 0.1
    bpy.context.view_layer.update()
    assert save("mask") == [1, 2, 3]
    shot.job.file_of(1).unlink()
    assert save("mask") == [1]
    assert not read_exr(shot.job.folder / "passes_000001.exr")["Person.There.V"].any()


def test_stopped_and_gone_on(shot):
    from blender_addon import api

    shot.finish()
    saving = api.save_passes(shot.job, ["depth"])
    saving.first()
    assert saving.running
    assert api.saved_passes(shot.job) is saving
    assert "1 of 3" in saving.words
    assert api.cancel_passes() == 1
    assert not saving.running
    assert "stopped after" in saving.words
    assert not list(shot.job.folder.glob("*.part"))
    again = api.save_passes(shot.job, ["depth"])
    again.wait()
    assert again.made < 3
    assert len(list(shot.job.folder.glob("passes_*.exr"))) == 3


def test_png_of_each_pass(shot):
    picture = shot.picture(grow=2, alpha=90)
    from blender_addon import api

    shot.finish(1, picture=picture)
    saving = api.save_passes(shot.job, file_format="PNG")
    saving.wait()
    assert "2 of its frames are missing" in saving.words
    folder = shot.job.folder / "passes"
    names = {path.name for path in folder.iterdir()}
    body = {f"{name}_{n:06d}.png" for n in (1, 2, 3) for name in ("intermediate", "depth", "normal", "uv", "mask")}
    assert names == body | {"beauty_000001.png", "alpha_000001.png"}
    found = render_passes(shot.scene, shot.body, shot.camera, 1, SIZE).channels
    seen = np.isfinite(found[Channel.DEPTH])

    def read(name):
        image = bpy.data.images.load(str(folder / name), check_existing=False)
        image.colorspace_settings.name = "Non-Color"
        flat = np.empty(SIZE[0] * SIZE[1] * 4, np.float32)
        image.pixels.foreach_get(flat)
        bpy.data.images.remove(image)
        return flat.reshape(SIZE[1], SIZE[0], 4)[::-1]

    np.testing.assert_allclose(
        read("depth_000001.png")[..., 0] * 65.535, np.where(seen, found[Channel.DEPTH], 0), atol=6e-4
    )
    np.testing.assert_allclose(read("normal_000001.png")[..., :3] * 2 - 1, found[Channel.NORMAL], atol=6e-5)
    np.testing.assert_allclose(read("uv_000001.png")[..., :2], found[Channel.UV], atol=1e-5)
    np.testing.assert_allclose(read("mask_000001.png")[..., 0], found[Channel.MASK], atol=2e-3)
    np.testing.assert_allclose(read("alpha_000001.png")[..., 0], picture[..., 3] / 255, atol=1e-6)
    os.utime(shot.job.file_of(1))
    stamp = (folder / "depth_000002.png").stat().st_mtime_ns
    again = api.save_passes(shot.job, file_format="PNG")
    again.wait()
    assert again.made == 7  # of the frame that is newer than its passes
    assert (folder / "depth_000002.png").stat().st_mtime_ns == stamp


def test_a_frame_that_another_program_has_saved(shot):
    """With filters, as everybody but us writes PNG."""
    from blender_addon.render.frame_file import read_frame

    picture = shot.picture(grow=2, alpha=90)
    picture[..., 0] += np.arange(SIZE[0], dtype=np.uint8)
    picture[picture[..., 3] == 0] = 0
    shot.finish(1, picture=picture)
    assert np.array_equal(read_frame(shot.job.file_of(1)), picture)
    image = bpy.data.images.load(str(shot.job.file_of(1)))
    image.pixels[0] = image.pixels[0]
    image.filepath_raw, image.file_format = str(shot.job.file_of(2)), "PNG"
    image.save()
    assert shot.job.file_of(2).read_bytes() != shot.job.file_of(1).read_bytes()
    assert np.abs(read_frame(shot.job.file_of(2)).astype(int) - picture).max() <= 1
    assert read_frame(shot.job.file_of(3)) is None


def test_what_goes_wrong_is_one_sentence(shot, monkeypatch):
    from blender_addon import api

    shot.finish()
    with pytest.raises(ValueError, match="no pass colour"):
        api.save_passes(shot.job, ["colour"])

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pass_saving, "write_atomically", full)
    saving = api.save_passes(shot.job, ["mask"])
    with pytest.raises(RuntimeError, match="disk is full"):
        saving.wait()
    assert not saving.running
    monkeypatch.undo()
    bpy.data.objects.remove(shot.body)
    with pytest.raises(RuntimeError, match="body of Shot take 1 was deleted"):
        api.save_passes(shot.job, ["mask"]).wait()


def test_a_body_that_is_hidden_from_the_camera_has_its_passes(shot):
    mask = shot.mask()
    shot.body.visible_camera, shot.body.is_holdout = False, True
    assert np.array_equal(shot.mask(), mask)
    assert (shot.body.visible_camera, shot.body.is_holdout) == (False, True)


@pytest.mark.parametrize("shape", [(1, 1), (16, 3), (37, 41)])
def test_exr_there_and_back(tmp_path, shape):
    rng = np.random.default_rng(3)
    given = {
        "A.One.Z": rng.normal(0, 1e6, shape).astype(np.float32),
        "A.Two.R": rng.normal(0, 1, shape).astype(np.float16),
        "B.Flat.V": np.ones(shape, np.float16),
    }
    (tmp_path / "x.exr").write_bytes(exr_bytes(given, {"word": "dépôt"}))
    got = read_exr(tmp_path / "x.exr")
    assert got.keys() == given.keys()
    for name, values in given.items():
        np.testing.assert_array_equal(got[name], values.astype(np.float32))
    from blender_addon.render.exr import read_notes

    assert read_notes(tmp_path / "x.exr") == {"word": "dépôt"}
    raw = bytes(range(7)) * 3
    assert expand(compress(raw), len(raw)) == raw


def test_the_extension_goes_away_while_passes_are_saved(shot):
    """Writer's thread and timer end with it."""
    import threading

    from blender_addon import api
    from blender_addon.api import compositing

    shot.finish()
    api.save_passes(shot.job).first()
    assert any("understudy-passes" in t.name for t in threading.enumerate())
    compositing.DESK.stop()
    assert not any("understudy-passes" in t.name for t in threading.enumerate())
    assert not compositing.DESK.running()

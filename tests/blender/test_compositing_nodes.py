"""The artist's nodes stay: what is added, brought up to date and taken away again."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from compositing_stage import Shot, rendered, the_shot  # noqa: F401 - fixture

from blender_addon.scene import compositor_compat as compat


def wiring(tree):
    """Nodes, and links by node and socket."""
    nodes = {n.name: (n.bl_idname, tuple(n.location), n.mute, n.parent.name if n.parent else "") for n in tree.nodes}
    links = {(k.from_node.name, k.from_socket.identifier, k.to_node.name, k.to_socket.identifier) for k in tree.links}
    return nodes, links


def visibility(obj):
    flags = ("hide_render", "visible_camera", "visible_diffuse", "visible_glossy", "visible_shadow", "is_holdout")
    return {flag: getattr(obj, flag) for flag in flags}


@pytest.fixture
def graded(shot):
    """A scene with an artist's grade: half as bright."""
    tree = compat.ensure_tree(shot.scene)
    end = compat.output(tree)
    layers = next(n for n in tree.nodes if n.bl_idname == "CompositorNodeRLayers")
    node, a, b, result = compat.mix_colour(tree, "MULTIPLY")
    node.name, node.location = "Grade", (120, 40)
    b.default_value = (0.5, 0.5, 0.5, 1)
    tree.links.new(layers.outputs["Image"], a)
    tree.links.new(result, end)
    viewer = tree.nodes.new("CompositorNodeViewer")
    tree.links.new(layers.outputs["Image"], viewer.inputs[0])
    return shot


def test_added_updated_and_removed(graded, tmp_path):
    from blender_addon import api

    scene, shot = graded.scene, graded
    tree = compat.tree_of(scene)
    nodes, links = wiring(tree)
    body = visibility(shot.body)
    plain = rendered(scene, 1, tmp_path / "x")
    scene.render.use_sequencer = True
    shot.finish()
    shot.build()
    (frame,) = [n for n in tree.nodes if n.bl_idname == "NodeFrame"]
    after, _ = wiring(tree)
    assert {name: after[name] for name in nodes} == nodes  # the artist's are where they were
    added = set(after) - set(nodes)
    assert len(added) == 4  # the frame, and in it the passes, the cross and the group
    assert all(tree.nodes[name].parent == frame for name in added - {frame.name})
    assert not scene.render.use_sequencer
    image = rendered(scene, 1, tmp_path / "x")
    person = shot.mask()
    from compositing_stage import COLOUR
    from understudy_shared.frames import srgb_to_linear

    wanted = srgb_to_linear(np.array(COLOUR) / 255) / 2  # the grade is over the person, too
    assert np.abs(image[person][:, :3] - wanted).max() < 2e-3
    np.testing.assert_allclose(image[~person], plain[~person], atol=1e-4)

    over = next(n for n in tree.nodes if n.bl_idname == "CompositorNodeGroup")
    over.inputs["Gain"].default_value = (2, 1, 1, 1)
    over.inputs["Depth Tolerance"].default_value = 0.3
    again = wiring(tree)
    counts = {kind: len(getattr(bpy.data, kind)) for kind in ("images", "node_groups", "objects", "materials")}
    shot.build(match_light=True, shadow="SCENE")
    assert wiring(tree) == again  # nothing twice
    assert {kind: len(getattr(bpy.data, kind)) for kind in counts} == counts
    assert tuple(over.inputs["Gain"].default_value) == (2, 1, 1, 1)
    assert over.inputs["Depth Tolerance"].default_value == pytest.approx(0.3)

    assert api.composited(scene) == ["t1"]
    assert api.remove_compositor(scene) == 1
    assert wiring(tree) == (nodes, links)
    assert visibility(shot.body) == body
    assert scene.render.use_sequencer
    assert not [i.name for i in bpy.data.images if "Passes" in i.name or "Missing" in i.name]
    assert all(g == tree for g in bpy.data.node_groups if g.bl_idname == compat.TREE)
    np.testing.assert_allclose(rendered_without_sequencer(scene, tmp_path), plain, atol=1e-4)


def rendered_without_sequencer(scene, tmp_path):
    scene.render.use_sequencer = False
    return rendered(scene, 1, tmp_path / "x")


def test_the_gain_is_measured_once_and_again_until_it_is_changed(shot):
    world = bpy.data.worlds.new("World")
    if world.node_tree is None:
        world.use_nodes = True
    shot.scene.world = world
    bpy.data.objects.remove(shot.wall)
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1, 1, 1, 1)
    background.inputs["Strength"].default_value = 0.5
    shot.finish()
    shot.build(match_light=True)
    over = next(n for n in compat.tree_of(shot.scene).nodes if n.bl_idname == "CompositorNodeGroup")
    half = over.inputs["Gain"].default_value[0]
    assert 0.3 < half < 0.55
    background.inputs["Strength"].default_value = 1.0
    shot.build(match_light=True)
    assert over.inputs["Gain"].default_value[0] == pytest.approx(2 * half, rel=0.05)


def test_a_second_person_goes_over_the_first(shot, tmp_path):
    """Nearer to the camera, they hide the first one; taken away, the first one remains."""
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    shot.finish()
    shot.build()
    first = rendered(shot.scene, 1, tmp_path / "x")
    other = Shot.__new__(Shot)
    other.__dict__ |= shot.__dict__
    import msgspec

    from blender_addon.link.jobs import Job
    from blender_addon.link.refs import ref
    from blender_addon.link.session import current

    other.body = api.create_body(shot.scene)
    armature_of(other.body).location = (0.2, -1.5, 0)
    bpy.context.view_layer.update()
    folder = tmp_path / "other"
    folder.mkdir()
    record = msgspec.structs.replace(
        shot.job.record, take="t2", shot="t2", title="Other take 1", folder=str(folder), body=ref("objects", other.body)
    )
    other.job = Job(record)
    current().jobs.add(other.job)
    blue = other.picture()
    blue[..., :3] = blue[..., 2::-1]
    other.finish(picture=blue)
    other.build()
    both = rendered(shot.scene, 1, tmp_path / "x")
    theirs, ours = other.mask(), shot.mask()
    assert (theirs & ours).sum() > 20
    assert (both[theirs][:, 2] > both[theirs][:, 0]).all()
    np.testing.assert_allclose(both[ours & ~theirs], first[ours & ~theirs], atol=2e-3)
    assert api.composited(shot.scene) == ["t1", "t2"] or api.composited(shot.scene) == ["t2", "t1"]
    api.remove_compositor(shot.scene, "t1")
    assert visibility(shot.body)["visible_camera"]
    assert not visibility(other.body)["visible_camera"]
    shot.body.hide_render = True
    left = rendered(shot.scene, 1, tmp_path / "x")
    assert (left[theirs][:, 2] > left[theirs][:, 0]).all()
    np.testing.assert_allclose(left[~theirs], np.broadcast_to(first[0, 0], left[~theirs].shape), atol=2e-3)


def test_another_take_of_the_shot_takes_the_nodes_over(shot, tmp_path):
    import msgspec

    from blender_addon.link.jobs import Job
    from blender_addon.link.session import current

    shot.finish()
    shot.build()
    tree = compat.tree_of(shot.scene)
    before = wiring(tree)[0].keys()
    folder = tmp_path / "second"
    folder.mkdir()
    shot.job = Job(msgspec.structs.replace(shot.job.record, take="t9", title="Shot take 2", folder=str(folder)))
    current().jobs.add(shot.job)
    shot.finish(picture=shot.picture(alpha=0))
    shot.build()
    assert wiring(tree)[0].keys() == before
    (frame,) = [n for n in tree.nodes if n.bl_idname == "NodeFrame"]
    assert "Shot take 2" in frame.label
    image = rendered(shot.scene, 1, tmp_path / "x")
    np.testing.assert_allclose(image[..., :3], np.broadcast_to((0.1, 0.3, 0.6), image[..., :3].shape), atol=2e-3)


def test_one_undo_step_and_the_words_of_refusals(shot):
    bpy.ops.ed.undo_push(message="before")
    with pytest.raises(RuntimeError, match="no finished frame yet"):
        bpy.ops.understudy.build_compositor(take="t1")
    shot.finish()
    other = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    shot.scene.collection.objects.link(other)
    shot.scene.camera = other
    with pytest.raises(RuntimeError, match='renders through "Other"'):
        bpy.ops.understudy.build_compositor(take="t1")
    shot.scene.camera = shot.camera
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.understudy.build_compositor(take="t1", match_light=False, shadow="SCENE") == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Put Person into Scene")  # what a window does after an operator
    assert compat.tree_of(bpy.context.scene) is not None
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    tree = compat.tree_of(scene)
    assert tree is None or not [n for n in tree.nodes if n.bl_idname == "NodeFrame"]
    assert scene.objects[shot_body_name(scene)].visible_camera
    assert bpy.ops.understudy.build_compositor(take="t1", match_light=False, shadow="SCENE") == {"FINISHED"}
    assert bpy.ops.understudy.remove_compositor() == {"FINISHED"}


def shot_body_name(scene):
    from blender_addon.scene.body_parts import VERTICES

    return next(o.name for o in scene.objects if VERTICES in o)

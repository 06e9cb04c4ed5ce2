# SPDX-License-Identifier: GPL-3.0-or-later
"""The person over the scene's render, as nodes in the scene's compositor: one frame of nodes for each shot.

The nodes go between the Render Layers node and what the artist has after it, so that a grade changes person and scene
alike; a second person goes over the first. Everything else in the tree stays as it is. A frame of nodes that is there
already is brought up to date, and what the artist has set on its nodes stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from bpy.types import Image, Node, NodeSocket, NodeTree, Scene

from . import compositor_compat as compat
from .compositor_group import group

SHOT = "understudy_shot"
"""Custom property of a frame of nodes: the key of the shot that it shows."""

PASSES_OF = "understudy_passes"
"""Custom property of an image: the key of the take whose passes it shows."""

_PART = "understudy_part"
_BEFORE = "understudy_before"
_GAIN = "understudy_gain"
"""Custom property of a frame of nodes: the gain that was measured; another one is the artist's."""

_FED = ((("Beauty", "Person")), (("Reach", "Person Depth")), (("There", "There")))
"""Which pass goes into which input of the group."""


@dataclass(frozen=True)
class Take:
    """What is composited."""

    key: str
    shot: str
    title: str
    first_file: str
    """The first of its EXR files that is there, as Blender writes paths."""
    missing_file: str
    """The picture in place of missing frames, as Blender writes paths."""
    frames: tuple[int, int]
    """The first and the last scene frame."""
    file_shift: int
    """What is added to a frame's number to give that of its file."""
    scale: float
    """Of its picture within the scene's, beyond fitting it in."""


def find(scene: Scene, shot: str) -> Node | None:
    """The frame of nodes of a shot, None where there is none."""
    tree = compat.tree_of(scene)
    return next((n for n in tree.nodes if n.bl_idname == "NodeFrame" and n.get(SHOT) == shot), None) if tree else None


def shots(scene: Scene) -> list[str]:
    """The keys of the shots that a scene composites."""
    tree = compat.tree_of(scene)
    return [n[SHOT] for n in tree.nodes if n.bl_idname == "NodeFrame" and n.get(SHOT)] if tree else []


def build(scene: Scene, take: Take, gain: tuple[float, float, float] | None = None) -> Node:
    """Makes the nodes of a shot, or brings them up to date, and has the scene rendered through them.

    Args:
        scene: what is rendered.
        take: what is laid over it.
        gain: the scene's light, measured; None leaves what there is.

    Returns:
        The frame of nodes.
    """
    tree = compat.ensure_tree(scene)
    frame = find(scene, take.shot)
    if frame is None:
        frame = _new_frame(scene, tree, take.shot)
        _insert(scene, tree, _part(frame, "group"))
    frame.label = f"Understudy: {take.title}"
    _fill(tree, frame, take)
    if gain is not None:
        _set_gain(frame, gain)
    # A sequencer with strips would be rendered in place of all this, the take's own strip above all.
    scene.render.use_sequencer = False
    scene.render.use_compositing = True
    return frame


def wants_gain(scene: Scene, shot: str) -> bool:
    """Whether the gain of a shot is still to be measured, or is as it was measured last: the artist's is kept."""
    frame = find(scene, shot)
    if frame is None:
        return True
    measured, value = frame.get(_GAIN, (1.0, 1.0, 1.0)), _part(frame, "group").inputs["Gain"].default_value
    return all(abs(value[c] - measured[c]) < 1e-4 for c in range(3))


def remove(scene: Scene, shot: str) -> bool:
    """Takes the nodes of a shot away: what came before them goes straight to what came after. Returns whether there
    were any. Trees and images that nobody uses any more go too."""
    frame = find(scene, shot)
    tree = compat.tree_of(scene)
    if frame is None or tree is None:
        return False
    over = _part(frame, "group")
    for name in ("Image", "Depth"):
        before = over.inputs[name].links[0].from_socket if over.inputs[name].links else None
        for link in list(over.outputs[name].links):
            to = link.to_socket
            tree.links.remove(link)
            if before is not None:
                tree.links.new(before, to)
    used = over.node_tree
    pictures = [n.image for n in tree.nodes if n.parent == frame and n.get(_PART) in ("passes", "missing")]
    before = dict(frame.get(_BEFORE, {}))
    for node in [n for n in tree.nodes if n.parent == frame]:
        if node.get(_PART):
            tree.nodes.remove(node)
        else:
            node.parent = None  # the artist's: it stays
    tree.nodes.remove(frame)
    for data, item in ((bpy.data.node_groups, used), *((bpy.data.images, picture) for picture in pictures)):
        if item is not None and item.users == 0:
            data.remove(item)
    others = shots(scene)
    if not others:
        scene.render.use_sequencer = bool(before.get("use_sequencer", scene.render.use_sequencer))
        scene.render.use_compositing = bool(before.get("use_compositing", scene.render.use_compositing))
    else:  # what was before the first is before those that are left
        heir = find(scene, others[0])
        if heir is not None and before:
            heir[_BEFORE] = before
    return True


def refresh(take: str) -> None:
    """Has the files of a take's passes read again."""
    for image in bpy.data.images:
        if image.get(PASSES_OF) == take:
            image.reload()


# -- inside


def _new_frame(scene: Scene, tree: NodeTree, shot: str) -> Node:
    earlier = next((find(scene, other) for other in shots(scene)), None)
    settings = scene.render
    before = {"use_sequencer": settings.use_sequencer, "use_compositing": settings.use_compositing}
    bottom = min((node.location_absolute.y - node.height for node in tree.nodes), default=0) - 200
    left = min((node.location_absolute.x for node in tree.nodes), default=0)
    frame = tree.nodes.new("NodeFrame")
    frame[SHOT] = shot
    frame[_BEFORE] = dict(earlier[_BEFORE]) if earlier is not None and _BEFORE in earlier else before
    frame.use_custom_color, frame.color = True, (0.18, 0.26, 0.32)
    frame.location = (left, bottom)
    for part, kind, place in (
        ("passes", "CompositorNodeImage", (30, -40)),
        ("missing", "CompositorNodeImage", (30, -560)),
        ("group", "CompositorNodeGroup", (380, -40)),
    ):
        node = tree.nodes.new(kind)
        node[_PART] = part
        node.parent, node.location = frame, place
        node.select, node.width = False, 240
    over = _part(frame, "group")
    over.node_tree, over.label = group(), "Person over Scene"
    return frame


def _part(frame: Node, part: str) -> Node:
    return next(node for node in frame.id_data.nodes if node.parent == frame and node.get(_PART) == part)


def _fill(tree: NodeTree, frame: Node, take: Take) -> None:
    """Pictures, times and links within the frame of nodes."""
    over, passes, missing = (_part(frame, part) for part in ("group", "passes", "missing"))
    over.node_tree = group()
    passes.image = _sequence(take)
    passes.label, missing.label = "Passes", "Missing Frame"
    first, last = take.frames
    # Blender counts the pictures of a sequence from 1: picture 1 + offset at the first frame
    passes.frame_start, passes.frame_duration = first, last - first + 1
    passes.frame_offset = first + take.file_shift - 1
    passes.use_auto_refresh, passes.use_cyclic = True, False
    missing.image = _still(take)
    for source, target in _FED:
        if source in passes.outputs:
            tree.links.new(passes.outputs[source], over.inputs[target])
    tree.links.new(missing.outputs["Image"], over.inputs["Missing"])
    over.inputs["First Frame"].default_value, over.inputs["Last Frame"].default_value = first, last
    over.inputs["Scale"].default_value = take.scale


def _sequence(take: Take) -> Image:
    image = next((i for i in bpy.data.images if i.get(PASSES_OF) == take.key), None)
    if image is None:
        image = bpy.data.images.load(bpy.path.abspath(take.first_file))
        image[PASSES_OF] = take.key
    image.name = f"{take.title} Passes"
    if image.filepath != take.first_file:
        image.filepath = take.first_file
    image.source = "SEQUENCE"
    return image


def _still(take: Take) -> Image:
    image = next((i for i in bpy.data.images if i.filepath == take.missing_file), None)
    if image is None:
        image = bpy.data.images.load(bpy.path.abspath(take.missing_file))
        image.name = f"{take.title} Missing Frame"
        image.filepath = take.missing_file
    return image


def _set_gain(frame: Node, gain: tuple[float, float, float]) -> None:
    frame[_GAIN] = gain
    _part(frame, "group").inputs["Gain"].default_value = (*gain, 1.0)


def _insert(scene: Scene, tree: NodeTree, over: Node) -> None:
    """Puts the group behind what it is laid over, before everything that came after that."""
    end = compat.output(tree)
    layers = _render_layers(scene, tree, end)
    image, depth = layers.outputs["Image"], _depth(scene, layers)
    links = [link for link in tree.links if link.from_socket == image]
    if not links and end.links:  # the artist shows something else: the person goes over that
        image, links = end.links[0].from_socket, list(end.links)
    while (earlier := next((link.to_node for link in links if _is_ours(link.to_node)), None)) is not None:
        image, depth = earlier.outputs["Image"], earlier.outputs["Depth"]
        links = [link for link in tree.links if link.from_socket == image]
    targets = [link.to_socket for link in links] or [end]
    tree.links.new(image, over.inputs["Image"])
    tree.links.new(depth, over.inputs["Depth"])
    for target in targets:
        tree.links.new(over.outputs["Image"], target)


def _is_ours(node: Node) -> bool:
    return node.get(_PART) == "group"


def _render_layers(scene: Scene, tree: NodeTree, end: NodeSocket) -> Node:
    """The Render Layers node of this scene that leads to the output, else any of its, else a new one."""
    waiting, seen = [end.node], set()
    upstream: list[Node] = []
    while waiting:
        node = waiting.pop(0)
        if node.name in seen:
            continue
        seen.add(node.name)
        upstream.append(node)
        waiting += [link.from_node for socket in node.inputs for link in socket.links]
    for node in [*upstream, *tree.nodes]:
        if node.bl_idname == "CompositorNodeRLayers" and node.scene in (scene, None) and not node.mute:
            return node
    node = compat.new_render_layers(tree, scene)
    node.location = (end.node.location.x - 800, end.node.location.y)
    return node


def _depth(scene: Scene, layers: Node) -> NodeSocket:
    """The depth output of a Render Layers node; the pass is switched on."""
    layer = scene.view_layers.get(layers.layer) or scene.view_layers[0]
    layer.use_pass_z = True
    return layers.outputs["Depth"]

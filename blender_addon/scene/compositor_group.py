# SPDX-License-Identifier: GPL-3.0-or-later
"""The node group that lays a person over a scene's render: colour, occlusion by depth, and frames that are missing.

Where the person is nearer than what the scene shows, by the scene's Depth pass, the person is seen. The person's own
depth is that of the body; where clothes and hair reach beyond the body, it is that of the body's nearest pixel (the
`Reach` pass, see `render.pass_files`). The edge between the two is smoothed. Colours are linear; the person's are
multiplied by `Gain`, then `Offset` is added, apart from their alpha.
"""

from __future__ import annotations

import bpy
from bpy.types import Node, NodeSocket, NodeTree

from . import compositor_compat as compat

NAME = "Person over Scene"
_VERSION = "understudy_version"
VERSION = 1
"""Of the group: one of another version is made anew, and the settings on its nodes stay."""

_INPUTS: tuple[tuple[str, str, object, str], ...] = (
    ("Image", "Color", (0.0, 0.0, 0.0, 0.0), "The scene's render"),
    ("Depth", "Float", 1e10, "The scene's depth pass"),
    ("Person", "Color", (0.0, 0.0, 0.0, 0.0), "The finished frame of the person"),
    ("Person Depth", "Float", 0.0, "The depth of the body, reaching beyond its outline"),
    ("There", "Float", 0.0, "1 where the frame is there"),
    ("Missing", "Color", (0.0, 0.0, 0.0, 0.0), "What is shown in place of a frame that is missing"),
    ("Gain", "Color", (1.0, 1.0, 1.0, 1.0), "The light of the scene: the person's colour is multiplied by it"),
    ("Offset", "Color", (0.0, 0.0, 0.0, 1.0), "Added to the person's colour, to lift its shadows"),
    ("Opacity", "Float", 1.0, "How much of the person is seen"),
    ("Depth Tolerance", "Float", 0.05, "Metres by which the scene must be nearer than the body to hide it"),
    ("Show Missing", "Float", 1.0, "0 to leave the person out where a frame is missing, instead of the cross"),
    ("First Frame", "Float", 1.0, "Of the take"),
    ("Last Frame", "Float", 250.0, "Of the take"),
    ("Scale", "Float", 1.0, "Of the take's picture within the scene's, beyond fitting it in"),
)  # fmt: skip


def group() -> NodeTree:
    """The group, made where the file has none of this version."""
    found = next((g for g in bpy.data.node_groups if g.get(_VERSION) and g.bl_idname == compat.TREE), None)
    if found is not None and found[_VERSION] == VERSION and found.library is None:
        return found
    tree = found if found is not None and found.library is None else bpy.data.node_groups.new(NAME, compat.TREE)
    tree.nodes.clear()
    _interface(tree)
    _build(tree)
    tree[_VERSION] = VERSION
    return tree


def _interface(tree: NodeTree) -> None:
    for name, kind, value, words in _INPUTS:
        socket = _socket(tree, name, "INPUT", kind)
        socket.default_value, socket.description = value, words
        if name in ("Opacity", "Show Missing"):
            socket.min_value, socket.max_value = 0, 1
    for name, kind, words in (
        ("Image", "Color", "The scene with the person"),
        ("Depth", "Float", "The depth of the scene with the person: another person may follow"),
        ("Matte", "Float", "Where the person is seen"),
    ):
        _socket(tree, name, "OUTPUT", kind).description = words


def _socket(tree: NodeTree, name: str, way: str, kind: str):
    for item in tree.interface.items_tree:
        if item.item_type == "SOCKET" and item.name == name and item.in_out == way:
            return item
    return tree.interface.new_socket(name, in_out=way, socket_type=f"NodeSocket{kind}")


def _build(tree: NodeTree) -> None:
    links = tree.links
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    given = start.outputs

    def math(operation: str, a: NodeSocket | float, b: NodeSocket | float) -> NodeSocket:
        node = tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        for socket, value in zip(node.inputs, (a, b), strict=False):
            if isinstance(value, NodeSocket):
                links.new(value, socket)
            else:
                socket.default_value = value
        return node.outputs[0]

    def placed(source: NodeSocket, *, nearest: bool = False) -> NodeSocket:
        fitted, scaled = compat.scale_to_render(tree, nearest=nearest), compat.scale_by(tree, nearest=nearest)
        links.new(source, fitted.inputs["Image"])
        links.new(fitted.outputs[0], scaled.inputs["Image"])
        for axis in "XY":
            links.new(given["Scale"], scaled.inputs[axis])
        return scaled.outputs[0]

    # when: the take's own frames; and of them those that are there
    now = tree.nodes.new("CompositorNodeSceneTime").outputs["Frame"]
    after = math("GREATER_THAN", now, math("SUBTRACT", given["First Frame"], 0.5))
    during = math("MULTIPLY", after, math("LESS_THAN", now, math("ADD", given["Last Frame"], 0.5)))
    there = placed(given["There"], nearest=True)
    lacking = math("MULTIPLY", math("MULTIPLY", math("SUBTRACT", 1, there), during), given["Show Missing"])

    # where: in front of the scene
    near = math("LESS_THAN", placed(given["Person Depth"], nearest=True), math("ADD", given["Depth"], given["Depth Tolerance"]))  # fmt: skip  # noqa: E501
    smooth = tree.nodes.new("CompositorNodeAntiAliasing")
    links.new(near, smooth.inputs["Image"])

    # what: straight colour, in the scene's light
    person = placed(given["Person"])
    parts = tree.nodes.new("CompositorNodeSeparateColor")
    links.new(person, parts.inputs[0])
    seen = math("MULTIPLY", parts.outputs["Alpha"], smooth.outputs[0])
    seen = math("MULTIPLY", math("MULTIPLY", seen, during), given["Opacity"])
    apart = compat.straight(tree)
    links.new(person, apart.inputs["Image"])
    colour = apart.outputs[0]
    for how, by in (("MULTIPLY", "Gain"), ("ADD", "Offset")):
        _, a, b, result = compat.mix_colour(tree, how)
        links.new(colour, a)
        links.new(given[by], b)
        colour = result
    masked = compat.replace_alpha(tree)
    links.new(colour, masked.inputs["Image"])
    links.new(seen, masked.inputs["Alpha"])
    over, below, above, _ = compat.alpha_over(tree)
    over.inputs["Straight Alpha"].default_value = True
    links.new(given["Image"], below)
    links.new(masked.outputs[0], above)
    cross, below, above, much = compat.alpha_over(tree)
    links.new(over.outputs[0], below)
    links.new(placed(given["Missing"]), above)
    links.new(lacking, much)
    links.new(cross.outputs[0], end.inputs["Image"])

    # what comes next: as large as the scene's picture, whatever the size of the person's
    whole = math("GREATER_THAN", given["Depth"], -1)
    matte = math("MULTIPLY", whole, seen)
    links.new(matte, end.inputs["Matte"])
    chosen = math("GREATER_THAN", matte, 0.5)
    theirs = math("MULTIPLY", math("SUBTRACT", 1, chosen), given["Depth"])
    ours = math("MULTIPLY", chosen, placed(given["Person Depth"], nearest=True))
    links.new(math("ADD", theirs, ours), end.inputs["Depth"])
    _lay_out(start, end)


def _lay_out(start: Node, end: Node) -> None:
    """Puts each node to the right of all that it depends on."""
    tree: NodeTree = start.id_data
    columns: dict[str, int] = {start.name: 0}

    def column(node: Node) -> int:
        if node.name not in columns:
            sources = [link.from_node for socket in node.inputs for link in socket.links]
            columns[node.name] = 1 + max((column(source) for source in sources), default=0)
        return columns[node.name]

    height: dict[int, int] = {}
    for node in tree.nodes:
        place = column(node)
        node.location = (220 * place, -200 * height.get(place, 0))
        height[place] = height.get(place, 0) + 1
    end.location.x = 220 * (max(columns.values()) + 1)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Blender 4.5, 5.0 and 5.2 in the compositor, in this one place.

In 4.5 a scene has a tree that ends in a Composite node, and nodes have settings; from 5.0 on a scene shows a node group
that ends in its Group Output, and most settings are sockets.
"""

from __future__ import annotations

from bpy.types import Node, NodeSocket, NodeTree, Scene

TREE = "CompositorNodeTree"


def tree_of(scene: Scene) -> NodeTree | None:
    """The nodes through which a scene's render goes, None where there are none (in use)."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def ensure_tree(scene: Scene) -> NodeTree:
    """The same; where a scene has none, the plainest: its render goes straight to the output."""
    import bpy

    tree = tree_of(scene)
    if tree is not None:
        return tree
    if hasattr(scene, "compositing_node_group"):
        tree = bpy.data.node_groups.new(f"{scene.name} Compositing", TREE)
        scene.compositing_node_group = tree
    else:
        before = scene.node_tree
        scene.use_nodes = True
        tree = scene.node_tree
        if before is not None:  # the artist's, which was switched off
            return tree
        tree.nodes.clear()
    end = output(tree)
    start = new_render_layers(tree, scene)
    start.location, end.node.location = (-300, 0), (500, 0)
    tree.links.new(start.outputs["Image"], end)
    return tree


def output(tree: NodeTree) -> NodeSocket:
    """The input of the node that ends a scene's tree; it is made where there is none."""
    if hasattr(tree, "interface") and not _is_scene_tree(tree):
        if not any(item.item_type == "SOCKET" and item.in_out == "OUTPUT" for item in tree.interface.items_tree):
            tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        kind = "NodeGroupOutput"
    else:
        kind = "CompositorNodeComposite"
    ends = [node for node in tree.nodes if node.bl_idname == kind]
    active = [node for node in ends if getattr(node, "is_active_output", False)]
    end = next(iter(active or ends), None) or tree.nodes.new(kind)
    return next(socket for socket in end.inputs if socket.type == "RGBA")


def _is_scene_tree(tree: NodeTree) -> bool:
    """Whether the tree is a scene's own, as in 4.5."""
    return tree.is_embedded_data


def new_render_layers(tree: NodeTree, scene: Scene) -> Node:
    """A node that gives the render of a scene's first view layer."""
    node = tree.nodes.new("CompositorNodeRLayers")
    node.scene = scene
    return node


def scale_to_render(tree: NodeTree, *, nearest: bool) -> Node:
    """A node that fits a picture into the render, whatever its resolution in percent."""
    node = tree.nodes.new("CompositorNodeScale")
    if hasattr(node, "space"):
        node.space, node.frame_method = "RENDER_SIZE", "FIT"
        node.interpolation = "NEAREST" if nearest else "BILINEAR"
    else:
        node.inputs["Type"].default_value, node.inputs["Frame Type"].default_value = "Render Size", "Fit"
        node.inputs["Interpolation"].default_value = "Nearest" if nearest else "Bilinear"
    return node


def scale_by(tree: NodeTree, *, nearest: bool) -> Node:
    """A node that scales a picture by its inputs X and Y."""
    node = tree.nodes.new("CompositorNodeScale")
    if hasattr(node, "space"):
        node.space, node.interpolation = "RELATIVE", "NEAREST" if nearest else "BILINEAR"
    else:
        node.inputs["Type"].default_value = "Relative"
        node.inputs["Interpolation"].default_value = "Nearest" if nearest else "Bilinear"
    return node


def alpha_over(tree: NodeTree) -> tuple[Node, NodeSocket, NodeSocket, NodeSocket]:
    """A node that lays one picture over another, with its inputs for that below, that above, and how much."""
    node = tree.nodes.new("CompositorNodeAlphaOver")
    if "Background" in node.inputs:
        return node, node.inputs["Background"], node.inputs["Foreground"], node.inputs["Factor"]
    return node, node.inputs[1], node.inputs[2], node.inputs[0]


def straight(tree: NodeTree) -> Node:
    """A node that divides colour by alpha."""
    node = tree.nodes.new("CompositorNodePremulKey")
    if hasattr(node, "mapping"):
        node.mapping = "PREMUL_TO_STRAIGHT"
    else:
        node.inputs["Type"].default_value = "To Straight"
    return node


def replace_alpha(tree: NodeTree) -> Node:
    """A node that gives a picture another alpha, and leaves its colour."""
    node = tree.nodes.new("CompositorNodeSetAlpha")
    if hasattr(node, "mode"):
        node.mode = "REPLACE_ALPHA"
    else:
        node.inputs["Type"].default_value = "Replace Alpha"
    return node


def mix_colour(tree: NodeTree, how: str) -> tuple[Node, NodeSocket, NodeSocket, NodeSocket]:
    """A node that mixes two colours fully, with its inputs and its output; alpha is that of the first."""
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type, node.clamp_factor = "RGBA", how, False
    inputs = {socket.identifier: socket for socket in node.inputs}
    inputs["Factor_Float"].default_value = 1
    result = next(socket for socket in node.outputs if socket.identifier == "Result_Color")
    return node, inputs["A_Color"], inputs["B_Color"], result

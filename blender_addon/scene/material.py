# SPDX-License-Identifier: GPL-3.0-or-later
"""The body's texture: an image datablock that the artist may paint on, shown by a material that adds no light.

The texture is filtered linearly, as the backend's rasteriser does, and its alpha is kept apart from its colour.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Image, Material, Object
from numpy.typing import NDArray

from .body_parts import mesh_of
from .pixels import image_rgba, new_image

_GREY = 188
"""sRGB of the plain body, before it has a texture."""


def plain_material(name: str) -> Material:
    """A material that emits its image texture and nothing else; the image is a small grey one until `set_texture`."""
    material = bpy.data.materials.new(f"{name} Texture")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    texture = tree.nodes.new("ShaderNodeTexImage")
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    texture.location, emission.location, output.location = (-320, 0), (0, 0), (220, 0)
    texture.interpolation, texture.extension = "Linear", "EXTEND"
    tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    grey = np.full((8, 8, 4), (_GREY, _GREY, _GREY, 255), np.uint8)
    texture.image = _texture(f"{name} Texture", grey)
    return material


def texture_image(obj: Object) -> Image | None:
    """The image that a body shows, where its material is the plain one: an image texture straight into emission."""
    node = _texture_node(obj)
    return node.image if node else None


def set_texture(obj: Object, pixels: NDArray[np.uint8]) -> Image:
    """Gives a body its texture and packs it into the .blend.

    Args:
        obj: the body; if the artist has replaced its material, the plain one comes back.
        pixels: (S, S, 3 or 4) sRGB, origin at the top left, straight alpha.

    Returns:
        The image. It is a new one in the place of the old: other bodies and editors that showed that one show it too,
        and undo brings the old one back.

    Raises:
        ValueError: the pixels are not such an array.
    """
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 3
        or pixels.shape[2] not in (3, 4)
        or pixels.shape[0] != pixels.shape[1]
    ):
        raise ValueError("a texture must be a square image of 3 or 4 uint8 channels")
    rgba = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    rgba[..., : pixels.shape[2]] = pixels
    node = _plain_node(mesh_of(obj))
    image = _texture(f"{mesh_of(obj).name} Texture", rgba, node.image)
    node.image = image
    return image


def share_texture(obj: Object, image: Image) -> None:
    """Lets a body show the texture of another: one image for both, and once in the .blend."""
    _plain_node(mesh_of(obj)).image = image


def get_texture(obj: Object) -> NDArray[np.uint8]:
    """The texture as it is now, with what the artist painted: (S, S, 4) sRGB, origin at the top left, straight alpha.

    Raises:
        ValueError: the body's material is not the plain one, or its image is missing.
    """
    image = texture_image(obj)
    if image is None or (not image.has_data and not image.packed_file and not image.filepath):
        raise ValueError(f'"{mesh_of(obj).name}" has no plain texture: set one first')
    return np.ascontiguousarray(image_rgba(image))


def _texture(name: str, rgba: NDArray[np.uint8], instead_of: Image | None = None) -> Image:
    # Colour is not multiplied where alpha is 0: unseen texels keep their fill.
    return new_image(name, rgba, alpha_mode="CHANNEL_PACKED", instead_of=instead_of)


def _texture_node(obj: Object) -> bpy.types.Node | None:
    slots = mesh_of(obj).material_slots
    material = slots[0].material if len(slots) == 1 else None
    if material is None or material.node_tree is None:
        return None
    output = material.node_tree.get_output_node("ALL")
    emission = _source(output, "Surface") if output else None
    if emission is None or emission.type != "EMISSION" or emission.inputs["Strength"].is_linked:
        return None
    texture = _source(emission, "Color")
    plain = emission.inputs["Strength"].default_value == 1 and texture is not None and texture.type == "TEX_IMAGE"
    return texture if plain and not texture.inputs["Vector"].is_linked else None


def _plain_node(mesh: Object) -> bpy.types.Node:
    """The node that holds the texture, in a plain material that is made if the artist has replaced it."""
    node = _texture_node(mesh)
    if node is None:
        mesh.data.materials.clear()
        mesh.data.materials.append(plain_material(mesh.name))
        node = _texture_node(mesh)
        assert node is not None
    return node


def _source(node: bpy.types.Node, socket: str) -> bpy.types.Node | None:
    links = node.inputs[socket].links
    return links[0].from_node if links else None

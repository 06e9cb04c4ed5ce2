"""A person from a random generator: body shape, dressed texture, and the mesh with hair and loose cloth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body, joint_transforms

from understudy_backend.training.people import cloth, hair, outfit, skins
from understudy_backend.training.people.garments import Garment, Skirt, Top
from understudy_backend.training.people.kernels import blend
from understudy_backend.training.people.mesh import Part, follow
from understudy_backend.training.people.surface import texels, vertex_surface

Floats = NDArray[np.floating]
TEXTURE_SIZE = 512


@dataclass(frozen=True, eq=False)
class Person:
    """Everything about one person that does not move.

    The first vertices of the mesh are the free body's, in its order; parts such as hair follow.
    """

    betas: Floats
    """(B,) shape of the body under the clothes."""
    texture: NDArray[np.uint8]
    """(512, 512, 3) sRGB, complete and dressed, in the free body's layout."""
    atlas: NDArray[np.uint8]
    """(512, 768, 3) sRGB: the texture, and to its right those of the parts."""
    vertices: Floats
    """(N, 3) rest vertices, shaped, with clothes and hair standing off."""
    weights: Floats
    """(N, 24) skinning weights."""
    faces: NDArray[np.int32]
    """(F, 3) into vertices."""
    uvs: Floats
    """(T, 2) pixels of the atlas."""
    face_uvs: NDArray[np.int32]
    """(F, 3) into uvs."""

    def posed(self, pose: Floats) -> Floats:
        """Vertices (N, 3) of a pose (24, 3), Y up, the pelvis at its rest place."""
        return skin_vertices(self.vertices, self.weights, self.betas, pose)


def skin_vertices(vertices: Floats, weights: Floats, betas: Floats, pose: Floats) -> Floats:
    """Linear blend skinning of rest `vertices` (N, 3) with `weights` (N, 24) by one pose (24, 3)."""
    body = free_body()
    transforms = joint_transforms(body, betas, pose[None, 0], pose[None, 1:], np.zeros((1, 3), np.float32))[0, :, :3]
    relative = transforms.copy()
    relative[..., 3] -= np.einsum("jab,jb->ja", transforms[..., :3], body.joints(betas))
    return blend(vertices, weights, relative)


def random_betas(rng: np.random.Generator, female: bool, old: bool) -> Floats:
    """(B,) of a plausible adult, by the phenotype sliders, with some unexplained rest."""
    body = free_body()
    if body.phenotype_to_betas is None:
        return rng.normal(0, 0.8, body.num_betas).astype(np.float32)
    age = rng.uniform(0.62, 0.9) if old else rng.uniform(0.42, 0.62)
    sliders = [
        rng.uniform(0.0, 0.25) if female else rng.uniform(0.75, 1.0),  # gender: 1 is male
        age,
        np.clip(rng.normal(0.5, 0.15), 0.1, 0.95),
        np.clip(rng.normal(0.48, 0.16), 0.1, 0.95),
        np.clip(rng.normal(0.5, 0.12), 0.15, 0.9),
        np.clip(rng.normal(0.55, 0.15), 0.1, 0.95),
    ]
    betas = np.array([*sliders, 1.0]) @ body.phenotype_to_betas
    return np.clip(betas + rng.normal(0, 0.25, len(betas)), -2.5, 2.5).astype(np.float32)


def random_person(rng: np.random.Generator) -> Person:
    """A dressed person; the same generator state gives the same person."""
    skin = skins.random_skin(rng)
    betas = random_betas(rng, skin.female, skin.old)
    clothes = outfit.random_outfit(rng, skin.female)
    head = hair.random_hair(rng, skin.female, skin.dark, skin.old)
    texture = texels(TEXTURE_SIZE).image(dress(skin.colours, clothes, head))
    parts = [
        cloth.skirt_part(g, _top_of_strip(g, clothes), rng) for g in clothes if isinstance(g, Skirt)
    ] + hair.hair_parts(head)
    return _assemble(betas, texture, clothes, head, parts)


def _top_of_strip(skirt: Skirt, clothes: list[Garment]) -> float:
    """Where a skirt's own strip begins: under what is worn over it."""
    over = [g.hem for g in clothes[clothes.index(skirt) + 1 :] if isinstance(g, Top)]
    return max(min([skirt.waist, *(hem + 0.01 for hem in over)]), skirt.end + 0.1)


def dress(skin: Floats, clothes: list[Garment], head: hair.Hair) -> Floats:
    """Colours (M, 3) at the texels of a 512 px texture: skin, then hair, then clothes from the innermost."""
    s = texels(TEXTURE_SIZE).surface
    outside = ~texels(TEXTURE_SIZE).inner
    on_head = np.nonzero((s.head > 0.2) & outside)[0]
    colours = skin.astype(np.float32).copy()
    colours[on_head] = head.paint(colours[on_head], s.take(on_head))
    for garment in clothes:
        distance = np.where(outside, garment.distance(s), -1.0)
        edge = np.clip(distance / 0.003 + 0.5, 0, 1)
        index = np.nonzero(edge > 0)[0]
        painted = garment.paint(s.take(index), distance[index])
        shadow = np.clip(-distance / 0.012, 0, 1)  # cloth darkens what lies just beyond its edge
        rim = np.nonzero((distance <= 0) & (shadow < 1) & (s.head < 0.9))[0]
        colours[rim] *= (0.78 + 0.22 * shadow[rim])[:, None]
        colours[index] += edge[index, None] * (np.clip(painted, 0, 1) - colours[index])
    return colours


def _assemble(
    betas: Floats, texture: NDArray[np.uint8], clothes: list[Garment], head: hair.Hair, parts: list[Part]
) -> Person:
    body, s = free_body(), vertex_surface()
    shift = body.shapedirs @ betas
    lift = np.maximum(cloth.stand_off(clothes), head.stand_off())
    base = cloth.shod(body.v_template, clothes) + lift[:, None] * s.normal + shift
    vertices, weights, faces = [base], [body.weights], [body.faces]
    uvs, face_uvs = [body.uvs * [TEXTURE_SIZE, -TEXTURE_SIZE] + [0, TEXTURE_SIZE]], [body.face_uvs]
    atlas = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE * 3 // 2, 3), np.uint8)
    atlas[:, :TEXTURE_SIZE] = texture
    top, count, uv_count = 0, len(base), len(body.uvs)
    for part in parts:
        size = TEXTURE_SIZE // 2
        tile = cv2.resize(part.texture, (size, size), interpolation=cv2.INTER_LINEAR)
        atlas[top : top + size, TEXTURE_SIZE : TEXTURE_SIZE + size] = tile
        vertices.append(part.vertices + follow(part.vertices, shift))
        weights.append(part.weights)
        faces.append(part.faces + count)
        uvs.append(0.5 + part.uvs * (size - 1) + [TEXTURE_SIZE, top])
        face_uvs.append(part.faces + uv_count)
        count, uv_count, top = count + len(part.vertices), uv_count + len(part.uvs), top + size
    return Person(
        betas,
        texture,
        atlas,
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(weights).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(uvs).astype(np.float32),
        np.concatenate(face_uvs).astype(np.int32),
    )

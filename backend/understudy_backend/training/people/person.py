"""A person from a random generator: body shape, dressed texture, and the mesh with hair and loose cloth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body, joint_transforms

from understudy_backend.training.people import cloth, hair, outfit, skins
from understudy_backend.training.people.accessories import Headwear, random_accessories
from understudy_backend.training.people.drapery import drapery
from understudy_backend.training.people.footwear import shoe_parts
from understudy_backend.training.people.garments import Garment, Shoes
from understudy_backend.training.people.kernels import blend, lay
from understudy_backend.training.people.mesh import Hang, Part, anchors
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
    """(512, W, 3) sRGB: the texture, and to its right those of the parts."""
    vertices: Floats
    """(N, 3) rest vertices, shaped, with clothes and hair standing off."""
    weights: Floats
    """(N, 24 + H) skinning weights, of the body's joints and of `hangs`."""
    hangs: tuple[Hang, ...]
    """Joints of parts that gravity moves."""
    faces: NDArray[np.int32]
    """(F, 3) into vertices."""
    uvs: Floats
    """(T, 2) pixels of the atlas."""
    face_uvs: NDArray[np.int32]
    """(F, 3) into uvs."""
    seed: int
    """For what is chosen later, such as a light."""

    def posed(self, pose: Floats) -> Floats:
        """Vertices (N, 3) of a pose (24, 3), Y up, the pelvis at its rest place."""
        return skin_vertices(self.vertices, self.weights, self.betas, pose, self.hangs)


def skin_vertices(vertices: Floats, weights: Floats, betas: Floats, pose: Floats, hangs: Sequence[Hang] = ()) -> Floats:
    """Linear blend skinning of rest `vertices` (N, 3) with `weights` (N, 24 + H) by one pose (24, 3)."""
    body = free_body()
    transforms = joint_transforms(body, betas, pose[None, 0], pose[None, 1:], np.zeros((1, 3), np.float32))[0, :, :3]
    relative = transforms.copy()
    relative[..., 3] -= np.einsum("jab,jb->ja", transforms[..., :3], body.joints(betas))
    if hangs:
        relative = np.concatenate([relative, [hang.matrix(relative[hang.joint]) for hang in hangs]])
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


TEST_PEOPLE = 50


def test_person(index: int, seed: int = 0) -> Person:
    """One of the 50 people of the evaluation, `index` 0 to 49: of skins that no other split wears.

    Raises:
        ValueError: there is no such person.
    """
    if not 0 <= index < TEST_PEOPLE:
        raise ValueError(f"test people are numbered 0 to {TEST_PEOPLE - 1}, not {index}")
    return random_person(generator("test", index, seed), skins.HELD_OUT)


SPLITS = {"train": 0, "val": 1, "test": 2}


def generator(split: str, index: int, seed: int = 0) -> np.random.Generator:
    """The randomness of one person: splits never share one."""
    return np.random.default_rng([seed, SPLITS[split], index])


def random_person(rng: np.random.Generator, skin_names: Collection[str] | None = None) -> Person:
    """A dressed person; the same generator state gives the same person.

    Args:
        rng: every choice comes from here.
        skin_names: which skins to choose from; by default those of training.
    """
    skin = skins.random_skin(rng, skin_names)
    betas = random_betas(rng, skin.female, skin.old)
    clothes = outfit.random_outfit(rng, skin.female)
    head = hair.random_hair(rng, skin.female, skin.dark, skin.old)
    extras, head = random_accessories(rng, clothes, head, skin.female)
    worn = [*clothes, *extras]
    texture = texels(TEXTURE_SIZE).image(dress(skin.colours, worn, head))
    parts = drapery(clothes, rng) + [part for g in clothes if isinstance(g, Shoes) for part in shoe_parts(g)]
    parts += [part for extra in extras for part in extra.parts()]
    if not any(isinstance(extra, Headwear) and extra.whole_head for extra in extras):
        parts += hair.hair_parts(head)
    return _assemble(betas, texture, worn, head, parts, int(rng.integers(1 << 31)))


def dress(skin: Floats, clothes: list[Garment], head: hair.Hair) -> Floats:
    """Colours (M, 3) at the texels of a 512 px texture: skin, then hair, then clothes from the innermost."""
    s = texels(TEXTURE_SIZE).surface
    outside = ~texels(TEXTURE_SIZE).inner
    on_head = np.nonzero((s.head > 0.2) & outside)[0]
    colours = skin.astype(np.float32).copy()
    colours[on_head] = head.paint(colours[on_head], s.take(on_head))
    for garment in clothes:
        distance = np.where(outside, garment.distance(s), -1.0).astype(np.float32)
        index = np.nonzero(distance > -0.0015)[0]
        inside = distance[index]
        painted = garment.paint(s.take(index), inside)
        rim = np.nonzero((distance <= 0) & (distance > -0.012) & (s.head < 0.9))[0]
        colours[rim] *= (0.78 - 0.22 / 0.012 * distance[rim])[:, None]  # cloth darkens what lies just beyond its edge
        lay(colours, index, np.clip(inside / 0.003 + 0.5, 0, 1), painted)
    return colours


def _assemble(
    betas: Floats,
    texture: NDArray[np.uint8],
    clothes: list[Garment],
    head: hair.Hair,
    parts: list[Part],
    seed: int,
) -> Person:
    body, s = free_body(), vertex_surface()
    shift = body.shapedirs @ betas
    lift = np.maximum(cloth.stand_off(clothes), head.stand_off())
    base = body.v_template + lift[:, None] * s.normal + shift
    hangs = [hang for part in parts for hang in part.hangs]
    vertices, faces = [base], [body.faces]
    weights = [_wide(body.weights, 0, len(hangs))]
    uvs, face_uvs = [body.uvs * [TEXTURE_SIZE, -TEXTURE_SIZE] + [0, TEXTURE_SIZE]], [body.face_uvs]
    atlas, corners = _atlas(texture, parts)
    count, uv_count, hang_count = len(base), len(body.uvs), 0
    for part, corner in zip(parts, corners, strict=True):
        height, width = part.texture.shape[:2]
        vertices.append(part.vertices + (part.anchors or anchors(part.vertices)).mix(shift))
        weights.append(_wide(part.weights, hang_count, len(hangs)))
        faces.append(part.faces + count)
        uvs.append(0.5 + part.uvs * [width - 1, height - 1] + corner)
        face_uvs.append(part.faces + uv_count)
        count, uv_count, hang_count = count + len(part.vertices), uv_count + len(part.uvs), hang_count + len(part.hangs)
    moved = [replace(hang, pivot=hang.pivot + anchors(hang.pivot[None]).mix(shift)[0]) for hang in hangs]
    return Person(
        betas,
        texture,
        atlas,
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(weights).astype(np.float32),
        tuple(moved),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(uvs).astype(np.float32),
        np.concatenate(face_uvs).astype(np.int32),
        seed,
    )


def _wide(weights: Floats, first: int, hangs: int) -> Floats:
    """(N, 24 + hangs): the columns after the body's moved to where a part's own hangs stand, from `first` on."""
    out = np.zeros((len(weights), 24 + hangs), np.float32)
    out[:, :24] = weights[:, :24]
    out[:, 24 + first : first + weights.shape[1]] = weights[:, 24:]
    return out


def _atlas(texture: NDArray[np.uint8], parts: list[Part]) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """The body's texture with those of the parts in columns to its right, and the corner (x, y) of each."""
    left, top, right, corners = TEXTURE_SIZE, 0, TEXTURE_SIZE, []
    for part in parts:
        height, width = part.texture.shape[:2]
        if top + height > TEXTURE_SIZE:
            left, top = right, 0
        corners.append((left, top))
        right, top = max(right, left + width), top + height
    atlas = np.zeros((TEXTURE_SIZE, right, 3), np.uint8)
    atlas[:, :TEXTURE_SIZE] = texture
    for part, (x, y) in zip(parts, corners, strict=True):
        atlas[y : y + part.texture.shape[0], x : x + part.texture.shape[1]] = part.texture
    return atlas, corners

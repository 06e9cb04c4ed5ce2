"""A photograph of a made person, and the partial texture that a slightly wrong fit of the body reads from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import Y_UP_TO_Z_UP, free_body
from understudy_shared.camera import project

from understudy_backend.texture.raster import Raster
from understudy_backend.training.people.kernels import facing, mix, vertex_normals
from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.person import Person, skin_vertices
from understudy_backend.training.people.render import View, frame, look, picture, sample
from understudy_backend.training.people.shading import Light
from understudy_backend.training.people.surface import texels, vertex_surface

Floats = NDArray[np.floating]
GRAZING = np.cos(np.radians(78))


@dataclass(frozen=True, eq=False)
class Photograph:
    """A lit picture of a posed person."""

    image: NDArray[np.uint8]
    """(H, W, 4) sRGB, straight alpha."""
    view: View
    """Of the image's size."""
    tint: Floats
    """(3,) mean linear factor of light and exposure over what the picture shows."""


def to_world(vertices: Floats) -> Floats:
    """Posed vertices (N, 3), Y up, in the world: Z up, facing -Y."""
    return (vertices @ Y_UP_TO_Z_UP.T).astype(np.float32)


def photo_view(rng: np.random.Generator, points: Floats, size: tuple[int, int], back: bool) -> View:
    """A photographer's camera: from the front, sometimes three quarters, at the height of chest or eyes."""
    azimuth = rng.normal(0, 0.15) if rng.random() < 0.75 else rng.uniform(-0.9, 0.9)
    return frame(
        points,
        azimuth + (np.pi if back else 0.0),
        float(np.clip(rng.normal(0.04, 0.06), -0.1, 0.3)),
        float(rng.uniform(1.2, 2.8)),
        float(rng.uniform(0.85, 0.97)),
        rng.normal(0, 0.008, 2),
        size,
    )


def take(person: Person, vertices: Floats, light: Light, openness: Floats, view: View, reduce: int) -> Photograph:
    """Renders posed world `vertices` (N, 3) at the size of `view`, `reduce` squared samples to a pixel."""
    shading = light.shade(vertices, vertex_normals(vertices, person.faces), person.faces, openness)
    raster = look(view.scaled(reduce), vertices, person.faces)
    image = picture(raster, person.faces, person.uvs, person.face_uvs, person.atlas, shading, reduce)
    return Photograph(image, view, mean_shading(raster, person.faces, shading))


def mean_shading(raster: Raster, faces: NDArray[np.integer], shading: Floats) -> Floats:
    """(3,) mean of per-vertex factors (N, 3) over the pixels of a raster."""
    seen = raster.face[raster.mask][::7]
    return shading[faces[seen, 0]].mean(0) if len(seen) else np.ones(3, np.float32)


def tinted(texture: NDArray[np.uint8], tint: Floats) -> NDArray[np.uint8]:
    """An sRGB image times a linear colour (3,)."""
    table = np.clip(np.arange(256)[:, None] * np.sqrt(tint) + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(texture, table[None]), np.uint8)


@dataclass(frozen=True, eq=False)
class Fit:
    """What fitting the body to a photo would find: nearly the truth."""

    betas: Floats
    """(B,)."""
    thickness: float
    """Metres the fitted body is too thick, because it was fitted to clothes."""

    def vertices(self, pose: Floats) -> Floats:
        """World vertices (V, 3) of the fitted body in a pose (24, 3)."""
        body = free_body()
        rest = body.shaped(self.betas) + self.thickness * vertex_surface().normal * body_part()[:, None]
        return to_world(skin_vertices(rest.astype(np.float32), body.weights, self.betas, pose))


def body_part() -> Floats:
    """(V,) 1 on trunk and limbs, 0 on head, hands and feet, which clothes do not thicken."""
    s = vertex_surface()
    return np.clip(1 - 2 * (s.head + s.hand + s.foot), 0, 1)


def random_fit(rng: np.random.Generator, betas: Floats) -> Fit:
    """A fit that errs as fits do in shape."""
    return Fit((betas + rng.normal(0, 0.15, len(betas))).astype(np.float32), float(rng.uniform(0, 0.014)))


def misjudged(rng: np.random.Generator, pose: Floats, view: View) -> tuple[Floats, View]:
    """Pose and camera with the errors of a fit: 1 to 3 degrees per joint, some pixels in place, one percent in size."""
    wrong = pose + rng.normal(0, np.radians(rng.uniform(0.6, 2.2)), pose.shape)
    k = view.intrinsics.copy()
    k[:2, :2] *= 1 + rng.normal(0, 0.008)
    k[:2, 2] += rng.normal(0, 0.004, 2) * view.size[1]
    return wrong.astype(np.float32), View(view.extrinsics, k, view.size)


def photographic(rng: np.random.Generator, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What a camera and a person mask make of a render: (H, W, 3) before some background, and a mask with errors."""
    height, width = image.shape[:2]
    coarse = (rng.uniform(0.15, 0.85, (3, 3, 3)) * rng.uniform(0.5, 1.0) * 255).astype(np.uint8)
    ground = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    alpha = image[..., 3].copy()
    share = alpha[..., None].astype(np.uint16)
    rgb = ((image[..., :3] * share + ground * (255 - share)) // 255).astype(np.uint8)
    rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 0.9)))
    grain = rng.integers(0, 256, (height, width, 1), np.uint8).astype(np.int16) - 128
    strength = int(rng.uniform(1, 9))  # of 256: up to 2.5 of 255, root mean square
    rgb = np.clip(rgb + (grain * strength >> 8), 0, 255).astype(np.uint8)
    soft = np.asarray(cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(1.0, 3.0))), np.uint8)
    return rgb, soft > 255 * rng.uniform(0.55, 0.9)


def cut_out(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo (H, W, 3) with its mask (H, W) as alpha, its edge a pixel soft, as a matte has it."""
    alpha = cv2.GaussianBlur(mask.astype(np.uint8) * 255, (0, 0), 0.8)
    return np.concatenate([image, np.asarray(alpha, np.uint8)[..., None]], 2)


def read_texture(
    photo: NDArray[np.uint8], mask: NDArray[np.bool_], view: View, vertices: Floats, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Texels of the body that a photo shows.

    Args:
        photo: (H, W, 3).
        mask: (H, W) where the person is.
        view: camera of the photo.
        vertices: (V, 3) of the fitted body in the world.
        size: pixels of the texture.

    Returns:
        texture (S, S, 3), grey 128 where nothing is seen, and visible (S, S).
    """
    body, t = free_body(), texels(size)
    place = mix(vertices, t.corners, t.barycentric)
    normal = np.take(vertex_normals(vertices, body.faces), t.corners[:, 0], axis=0)
    index = np.nonzero(facing(place, normal, view.centre.astype(np.float32), GRAZING))[0]
    points, depth = project(place[index], view.extrinsics, view.intrinsics)
    column, row = np.floor(points).astype(np.int32).T
    width, height = view.size
    kept = np.nonzero((column >= 0) & (column < width) & (row >= 0) & (row < height))[0]
    index, points, depth, column, row = index[kept], points[kept], depth[kept], column[kept], row[kept]
    nearest = look(view, vertices, body.faces).depth[row, column]
    kept = np.nonzero((depth < nearest + 0.012) & mask[row, column])[0]
    index, points = index[kept], points[kept]
    out = np.full((size, size, 3), 128, np.uint8)
    visible = np.zeros((size, size), bool)
    where = np.nonzero(t.mask.reshape(-1))[0][index]
    out.reshape(-1, 3)[where] = (sample(photo, points) * 255 + 0.5).astype(np.uint8)
    visible.reshape(-1)[where] = True
    return out, visible


def imperfect(
    rng: np.random.Generator, texture: NDArray[np.uint8], partial: NDArray[np.uint8], visible: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """A complete texture (S, S, 3) as in-filling leaves it: as read where seen, elsewhere blurred and recoloured."""
    size = texture.shape[0]
    t = texels(size)
    flow = np.stack([value_noise(t.surface.position * 6, int(rng.integers(1 << 20))) for _ in range(2)], 1)
    rows, columns = np.nonzero(t.mask)
    points = np.stack([columns, rows], 1) + 0.5 + flow * rng.uniform(0, 2.5)
    blurred = np.asarray(cv2.GaussianBlur(texture, (0, 0), float(rng.uniform(0.4, 2.2))), np.uint8)
    colours = sample(blurred, points)
    change = value_noise(t.surface.position * 3, int(rng.integers(1 << 20)), 2) * rng.uniform(0, 0.15)
    colours = colours * (1 + rng.normal(0, 0.05, 3) * rng.random() + change[:, None])
    share = cv2.GaussianBlur(cv2.erode(visible.astype(np.float32), np.ones((2, 2))), (0, 0), 0.8)[t.mask]
    share = np.where(visible[t.mask], np.maximum(share, 0.5), 0)[:, None]
    return t.image(colours + share * (partial[t.mask] / 255.0 - colours))

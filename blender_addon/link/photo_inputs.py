# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fit and the texture are given: each photo, its mask and its fit, as arrays.

A photo is `scene.photos.photo_of`'s settings: the scene's own for the first, an item of its list for a further one.
"""

from __future__ import annotations

import bpy
from bpy.types import PropertyGroup, Scene
from numpy.typing import NDArray

from ..scene.body_parts import betas_of
from ..scene.photo import moves, read_fit, stored_fit
from ..scene.photos import numbers, photo_of
from ..scene.pixels import image_mask, image_rgba, resized


def pixels(photo: PropertyGroup) -> NDArray:
    """A photo, (H, W, 4) uint8.

    Raises:
        ValueError: there is none.
    """
    if photo.photo is None:
        raise ValueError("There is no photo: load one first")
    return image_rgba(photo.photo)


def mask(photo: PropertyGroup) -> NDArray:
    """Where the person is in a photo, (H, W) uint8 of the photo's size.

    Raises:
        ValueError: there is no mask.
    """
    if photo.photo_mask is None:
        raise ValueError("There is no mask of the person: fit the photo first")
    found = image_mask(photo.photo_mask)
    size = tuple(photo.photo.size) if photo.photo is not None else found.shape[::-1]
    return found if found.shape[::-1] == size else resized(found, size)


def fit(scene: Scene, photo: PropertyGroup) -> dict[str, NDArray]:
    """The fit of a photo: as the artist has left it while the body stands, as it stood last once it moves.

    Raises:
        ValueError: it is not fitted, or cannot be read.
    """
    body = photo.photo_body
    if body is not None and moves(body):
        kept = stored_fit(body)
        if kept is None:
            raise ValueError(f'"{body.name}" moves already: fit the photo again')
        return kept
    return read_fit(scene, photo)


def fit_of_texture(photo: PropertyGroup) -> dict[str, NDArray]:
    """The fit with which a photo's texture was made, however the body stands now.

    Raises:
        ValueError: it is not fitted.
    """
    kept = stored_fit(photo.photo_body) if photo.photo_body is not None else None
    if kept is None:
        raise ValueError("The photo is not fitted yet: fit it first")
    return kept


def first_fit(scene: Scene, number: int) -> dict[str, NDArray]:
    """What a fit from scratch is given: the photo, and for a further photo the person's shape from the first.

    Raises:
        ValueError: there is no such photo, or the first one is not fitted yet.
    """
    inputs = {"photo": pixels(photo_of(scene, number))}
    if number > 1:
        first = photo_of(scene, 1).photo_body
        if first is None:
            raise ValueError("Fit the first photo first: the others take the person's shape from it")
        inputs["betas"] = betas_of(first)
    return inputs


def corrected_fit(scene: Scene, photo: PropertyGroup) -> dict[str, NDArray]:
    """The fit as the artist has left it, from which to fit again: `start_betas` and so on.

    Raises:
        ValueError: it is not fitted, or cannot be read.
    """
    return {f"start_{name}": array for name, array in read_fit(scene, photo).items()}


def for_texture(scene: Scene) -> tuple[dict[str, NDArray], list[int]]:
    """Photo, mask and fit of all photos, those of further ones with `_2`, `_3`, ... after their names.

    Returns:
        The arrays, and the numbers of further photos that are left out because they are not fitted yet.

    Raises:
        ValueError: the first photo, its mask or its fit is missing.
    """
    inputs: dict[str, NDArray] = {}
    left_out: list[int] = []
    parts = 0
    for number in numbers(scene) or (1,):
        photo = photo_of(scene, number)
        if number > 1 and (photo.photo_body is None or photo.photo_mask is None):
            left_out.append(number)
            continue
        parts += 1
        suffix = "" if parts == 1 else f"_{parts}"
        arrays = {"photo": pixels(photo), "photo_mask": mask(photo), **fit(scene, photo)}
        inputs |= {f"{name}{suffix}": array for name, array in arrays.items()}
    return inputs, left_out


def bodies(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The bodies of all photos, the first one's first."""
    found = (photo_of(scene, number).photo_body for number in numbers(scene))
    return [body for body in dict.fromkeys(found) if body is not None]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The photos of a person: the scene's own is number 1, further ones are in its list. All have the same four settings:
`photo`, `photo_mask`, `photo_body` and `photo_camera`.

Each further photo has a body of its own, in its own pose, that shares the first one's mesh: one shape, one texture.
"""

from __future__ import annotations

import bpy
from bpy.types import Image, Object, PropertyGroup, Scene

from .body_parts import armature_of


def photo_of(scene: Scene, number: int = 0) -> PropertyGroup:
    """The settings of a photo.

    Args:
        scene: whose.
        number: 1 for the first; 0 for the one that is worked on.

    Raises:
        ValueError: there is none of that number.
    """
    number = number or current_number(scene)
    further = scene.understudy.photos
    if number == 1:
        return scene.understudy
    if 1 < number <= len(further) + 1:
        return further[number - 2]
    raise ValueError(f"There is no photo {number}: the scene has {count(scene)}")


def count(scene: Scene) -> int:
    """How many photos there are."""
    first = 1 if scene.understudy.photo is not None or len(scene.understudy.photos) else 0
    return first + len(scene.understudy.photos)


def numbers(scene: Scene) -> range:
    """The numbers of all photos."""
    return range(1, count(scene) + 1)


def current_number(scene: Scene) -> int:
    """The number of the photo that is worked on; 1 where the list has become shorter."""
    number = scene.understudy.photo_number
    return number if number <= len(scene.understudy.photos) + 1 else 1


def number_of(scene: Scene, image: Image) -> int:
    """The number of a photo by its image; 0 where it is none of the scene's."""
    return next((n for n in numbers(scene) if photo_of(scene, n).photo == image), 0)


def add(scene: Scene, image: Image) -> int:
    """Adds a further photo of the same person. Returns its number, and makes it the one that is worked on.

    Raises:
        ValueError: there is no first one yet, or the scene has this one already.
    """
    if scene.understudy.photo is None:
        raise ValueError("Load the first photo first: the others take the person's shape from it")
    if number_of(scene, image):
        raise ValueError(f'"{image.name}" is photo {number_of(scene, image)} already: choose another picture')
    scene.understudy.photos.add().photo = image
    scene.understudy.photo_number = count(scene)
    return count(scene)


def remove(scene: Scene, number: int) -> None:
    """Removes a further photo, and its body and camera.

    Raises:
        ValueError: there is none of that number, or it is the first.
    """
    if number == 1:
        raise ValueError("The first photo gives the person's shape: load another one in its place")
    item = photo_of(scene, number)
    for obj in objects_of(item):
        data = obj.data
        bpy.data.objects.remove(obj)
        if isinstance(data, bpy.types.Armature | bpy.types.Camera) and data.users == 0:
            bpy.data.batch_remove([data])
    scene.understudy.photos.remove(number - 2)
    scene.understudy.photo_number = min(current_number(scene), count(scene))


def objects_of(photo: PropertyGroup) -> list[Object]:
    """The objects of a photo: mesh, armature and camera, as far as they are there."""
    body, camera = photo.photo_body, photo.photo_camera
    found = [body, armature_of(body)] if body is not None else []
    return [*found, camera] if camera is not None else found

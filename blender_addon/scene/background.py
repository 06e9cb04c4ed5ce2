# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo behind what its camera sees, at its place whatever the scene's resolution is."""

from __future__ import annotations

from bpy.types import Camera, CameraBackgroundImage, Image, Object, Scene


def set_background(scene: Scene, camera: Object, image: Image) -> CameraBackgroundImage:
    """Puts a photo behind what its camera sees, once."""
    data = camera.data
    found = next((b for b in data.background_images if b.image in (image, None)), None)
    background = found or data.background_images.new()
    background.image, background.alpha, background.display_depth = image, 1.0, "BACK"
    data.show_background_images = True
    frame_photo(scene, camera, image)
    return background


def frame_photo(scene: Scene, camera: Object, image: Image) -> None:
    """Lets the camera's frame hold the whole photo at the scene's present resolution, and the photo lie where its
    camera saw it at any.

    A camera spans its lens over the width of the picture, or over its height. Where the scene is wider than the photo,
    the photo's height must fill the frame's, else its width. What the lens sees of the photo stays the same; so does
    the focal length, only the sensor's size changes. A driver scales the background where the resolution changes later.
    """
    data = camera.data
    width, height = image.size
    render = scene.render
    wide = render.resolution_x * render.pixel_aspect_x * height > render.resolution_y * render.pixel_aspect_y * width
    _span(data, "VERTICAL" if wide else "HORIZONTAL", (width, height))
    for index, background in enumerate(data.background_images):
        if background.image == image:
            background.frame_method, background.source = "FIT", "IMAGE"
            background.offset, background.rotation = (0, 0), 0
            _drive_scale(scene, data, index, (width, height))


def _span(data: Camera, fit: str, size: tuple[int, int]) -> None:
    """Spans the sensor over the width or the height of pictures of `size` without changing what they show."""
    if data.sensor_fit == fit:
        return
    width, height = size
    spans = {"AUTO": max(width, height), "HORIZONTAL": width, "VERTICAL": height}
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    factor = spans[fit] / spans[data.sensor_fit]
    data.sensor_fit = fit
    if fit == "VERTICAL":
        data.sensor_height = sensor * factor
    else:
        data.sensor_width = sensor * factor
    data.shift_x, data.shift_y = data.shift_x / factor, data.shift_y / factor


def _drive_scale(scene: Scene, data: Camera, index: int, size: tuple[int, int]) -> None:
    """FIT scales a background so that all of it is in the frame; where the lens spans over the other side, it must be
    larger by how much the aspects differ."""
    path = f"background_images[{index}].scale"
    data.driver_remove(path)
    driver = data.driver_add(path).driver
    for name in ("resolution_x", "resolution_y", "pixel_aspect_x", "pixel_aspect_y"):
        variable = driver.variables.new()
        variable.name, variable.type = name, "SINGLE_PROP"
        target = variable.targets[0]
        target.id_type, target.id, target.data_path = "SCENE", scene, f"render.{name}"
    width, height = size
    across = f"resolution_x * pixel_aspect_x * {height}"
    down = f"resolution_y * pixel_aspect_y * {width}"
    first, second = (across, down) if data.sensor_fit == "HORIZONTAL" else (down, across)
    driver.expression = f"max(1, ({first}) / ({second}))"

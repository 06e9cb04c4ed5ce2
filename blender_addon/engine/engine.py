# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine: F12, Ctrl-F12, `blender -b FILE -E UNDERSTUDY -a`. Its pictures are Blender's own render result.

A picture is the scene's frame by the scene's method, at the resolution of the output, with the camera that Blender
renders with. What is before the body hides it; the rest of the scene is not in the picture, whose background is
transparent.
"""

from __future__ import annotations

import bpy

from . import host, picture
from .courier import Progress, Stopped
from .preview import Preview


class UnderstudyRenderEngine(bpy.types.RenderEngine):
    bl_idname = host.ENGINE
    bl_label = "Understudy"
    bl_use_preview = False
    bl_use_eevee_viewport = True

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Called by Blender for each frame and view layer, not always in the main thread."""
        if self.is_preview:
            return
        scene = depsgraph.scene_eval.original
        try:
            images = host.current().images(scene, self._watch, animation=self.is_animation)
        except Stopped:
            return
        except Exception as error:  # whatever it is, the render must end, with a sentence
            # An error ends an animation, too: Blender would go on and write empty frames.
            self.report({"ERROR"}, f"Understudy: {' '.join(str(error).split()) or type(error).__name__}")
            return
        width, height = self.resolution_x, self.resolution_y
        result = self.begin_result(0, 0, width, height, layer=depsgraph.view_layer_eval.name)
        picture.put(result, images, _corner(scene))
        self.end_result(result)

    def update_render_passes(self, scene: bpy.types.Scene, renderlayer: bpy.types.ViewLayer) -> None:
        """Called by Blender to learn of our passes: sockets of the Render Layers node come from here."""
        self.register_pass(scene, renderlayer, picture.COMBINED, 4, "RGBA", "COLOR")
        if renderlayer.use_pass_z:
            self.register_pass(scene, renderlayer, picture.DEPTH, 1, "Z", "VALUE")
        if renderlayer.use_pass_normal:
            self.register_pass(scene, renderlayer, picture.NORMAL, 3, "XYZ", "VECTOR")
        if renderlayer.use_pass_uv:
            self.register_pass(scene, renderlayer, picture.UV, 3, "UVA", "VECTOR")
        if renderlayer.understudy.use_pass_mask:
            self.register_pass(scene, renderlayer, picture.MASK, 1, "A", "VALUE")
        if renderlayer.understudy.use_pass_body:
            self.register_pass(scene, renderlayer, picture.BODY, 4, "RGBA", "COLOR")

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Called by Blender when a viewport that shows this engine must read the scene anew."""
        if not hasattr(self, "_preview"):
            self._preview = Preview()
        self._preview.read(context.scene, depsgraph)

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Called by Blender to draw the viewport: the body with its texture, which is what the person is made from."""
        if hasattr(self, "_preview"):
            self._preview.draw(context.region_data.perspective_matrix)

    def _watch(self, progress: Progress) -> None:
        self.update_progress(progress.fraction)
        self.update_stats("Understudy", progress.stage)
        if self.test_break():
            raise Stopped


def _corner(scene: bpy.types.Scene) -> tuple[int, int]:
    """The lower left corner, in pixels, of the part of the picture that is rendered."""
    render = scene.render
    if not render.use_border:
        return 0, 0
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    return int(render.border_min_x * width), int(render.border_min_y * height)


CLASSES = (UnderstudyRenderEngine,)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Understudy in Python: what every button does, for scripts and `blender -b`.

    from bl_ext.user_default.understudy import api

    api.start_local_backend()
    api.load_photo("person.jpg"); api.wait(api.fit_photo())
    api.wait(api.make_texture())
    api.import_motion("walk.npz"); api.import_camera("orbit.json")
    api.wait(api.render())

Jobs run at the backend. In a window they go on by themselves; in a script without one, `wait` moves them. All errors
are one sentence that tells what to do: ValueError for what was given, RuntimeError for what is in the way, OSError for
files.
"""

from .actor import Track, clean_motion, create_body, import_motion, import_people, retarget, tracks
from .backend import connect, disconnect, find_backend, start_local_backend, status, stop_local_backend
from .cameras import add_camera_rig, export_camera, import_camera, import_cameras
from .compositing import (
    Composite,
    build_compositor,
    cancel_passes,
    composited,
    remove_compositor,
    save_passes,
    saved_passes,
)
from .engine import render_to_folder
from .imitator import (
    add_photo,
    fit_photo,
    hide_photo,
    lies_on_person,
    load_photo,
    make_texture,
    paint_mask,
    paint_texture,
    painted_texels,
    painting_texture,
    photo_shown,
    refit,
    remove_photo,
    reset_texture,
    show_photo,
    stop_painting,
    view_texture,
    work_on_photo,
)
from .job_list import job_of, log, move_up, queue, remove_job, strip_of, view
from .presets import apply_preset, remove_preset, save_preset
from .settings import chosen_method, methods, params_of, set_method, set_params
from .takes import JobFailed, cancel, cancel_all, driven_by_strip, jobs, render, resume, resume_all, wait
from .versions import choose_take, redo, render_again, selected_frames, strip_in_hand, take_in_hand, takes_of
from .weights import cancel_weights, get_weights, look_for_weights

__all__ = [
    "Composite",
    "JobFailed",
    "Track",
    "add_camera_rig",
    "add_photo",
    "apply_preset",
    "build_compositor",
    "cancel",
    "cancel_all",
    "cancel_passes",
    "cancel_weights",
    "choose_take",
    "chosen_method",
    "clean_motion",
    "composited",
    "connect",
    "create_body",
    "disconnect",
    "driven_by_strip",
    "export_camera",
    "find_backend",
    "fit_photo",
    "get_weights",
    "hide_photo",
    "import_camera",
    "import_cameras",
    "import_motion",
    "import_people",
    "job_of",
    "jobs",
    "lies_on_person",
    "load_photo",
    "log",
    "look_for_weights",
    "make_texture",
    "methods",
    "move_up",
    "paint_mask",
    "paint_texture",
    "painted_texels",
    "painting_texture",
    "params_of",
    "photo_shown",
    "queue",
    "redo",
    "refit",
    "remove_compositor",
    "remove_job",
    "remove_photo",
    "remove_preset",
    "render",
    "render_again",
    "render_to_folder",
    "reset_texture",
    "resume",
    "resume_all",
    "retarget",
    "save_passes",
    "save_preset",
    "saved_passes",
    "selected_frames",
    "set_method",
    "set_params",
    "show_photo",
    "start_local_backend",
    "status",
    "stop_local_backend",
    "stop_painting",
    "strip_in_hand",
    "strip_of",
    "take_in_hand",
    "takes_of",
    "tracks",
    "view",
    "view_texture",
    "wait",
    "work_on_photo",
]

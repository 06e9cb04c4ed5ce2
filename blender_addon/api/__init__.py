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

from .actor import create_body, import_motion
from .backend import connect, disconnect, start_local_backend, status, stop_local_backend
from .cameras import import_camera
from .imitator import fit_photo, load_photo, make_texture, refit
from .takes import JobFailed, cancel, jobs, render, resume, wait

__all__ = [
    "JobFailed",
    "cancel",
    "connect",
    "create_body",
    "disconnect",
    "fit_photo",
    "import_camera",
    "import_motion",
    "jobs",
    "load_photo",
    "make_texture",
    "refit",
    "render",
    "resume",
    "start_local_backend",
    "status",
    "stop_local_backend",
    "wait",
]

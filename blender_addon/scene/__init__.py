# SPDX-License-Identifier: GPL-3.0-or-later
"""Understudy's objects as Blender data, and back: body, motion, camera, texture, photo."""

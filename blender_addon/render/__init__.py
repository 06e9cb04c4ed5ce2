# SPDX-License-Identifier: GPL-3.0-or-later
"""Intermediate frames: the posed body as geometry, or as passes that Blender renders."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the backend and back: a socket thread that never touches `bpy`, and a pump on the main thread."""

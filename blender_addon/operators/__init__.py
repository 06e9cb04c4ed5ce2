# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons, to be put anywhere: each collects its options and calls one function of `api`."""

from __future__ import annotations

from . import (
    actor,
    backend,
    camera_rigs,
    cameras,
    compositing,
    imitator,
    presets,
    queue,
    settings,
    takes,
    versions,
    weights,
)

CLASSES = (
    *backend.CLASSES,
    *actor.CLASSES,
    *imitator.CLASSES,
    *cameras.CLASSES,
    *camera_rigs.CLASSES,
    *takes.CLASSES,
    *versions.CLASSES,
    *queue.CLASSES,
    *compositing.CLASSES,
    *settings.CLASSES,
    *presets.CLASSES,
    *weights.CLASSES,
)

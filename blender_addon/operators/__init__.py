# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons, to be put anywhere: each collects its options and calls one function of `api`."""

from __future__ import annotations

from . import actor, backend, cameras, imitator, takes

CLASSES = (*backend.CLASSES, *actor.CLASSES, *imitator.CLASSES, *cameras.CLASSES, *takes.CLASSES)

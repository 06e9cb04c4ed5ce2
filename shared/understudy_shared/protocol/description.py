"""How a backend describes its methods. A client draws its panel from this alone."""

from __future__ import annotations

from typing import Literal

import msgspec


class ParamDescription(msgspec.Struct, frozen=True):
    """One setting of a method."""

    name: str
    kind: Literal["int", "float", "bool", "text", "choice"]
    label: str
    """For the panel, in the artist's words."""
    help: str
    """One sentence: what changes when it changes."""
    default: str | int | float | bool
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()


class NeedDescription(msgspec.Struct, frozen=True):
    """Something a method must be given."""

    name: str
    """A channel's name for per-frame needs, an input's name for the rest."""
    per_frame: bool
    help: str
    optional: bool = False


class WeightsDescription(msgspec.Struct, frozen=True):
    """A set of weights that a method uses, and whether the backend has it."""

    name: str
    licence: str
    source: str
    """Where it comes from, in words or as an address that the user may open."""
    available: bool
    megabytes: float = 0.0
    sha256: str = ""
    """Identity of the file in use, if known: frames made with other weights are then not taken for this one's."""
    page: str = ""
    """Address at which it is published and its terms are."""
    licence_page: str = ""
    """Address of the licence's text."""
    fetch: str = ""
    """By what name `understudy weights get` fetches it on the backend's computer; empty: it cannot."""
    by_hand: str = ""
    """What to do where it cannot be fetched but can be had, in one sentence."""


class MethodDescription(msgspec.Struct, frozen=True):
    """What a method is called, wants and gives."""

    name: str
    title: str
    help: str
    paper: str
    params: tuple[ParamDescription, ...]
    needs: tuple[NeedDescription, ...]
    gives: tuple[str, ...]
    """Names of the arrays in its results: channels such as `rgba` for frames, else `texture`, `visibility`, ..."""
    weights: tuple[WeightsDescription, ...] = ()
    size_multiple: int = 8
    """Width and height must be multiples of this."""
    independent_frames: bool = True
    """Each frame depends on its own conditions alone, so that it may be taken over from another job with the same
    settings. A method that looks at neighbouring frames says no."""
    takes_clip: bool = False
    """Frames may hold a picture (`rgba`) of somebody in place of the body that the method needs: a clip drives it then.
    A method that needs pictures and nothing else need not say so."""
    any_size: bool = False
    """The pictures of the frames that it is given may have another size than its results."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of frame numbers as few first-and-last pairs: short in the .blend, and readable by an artist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ranges = tuple[tuple[int, int], ...]
"""(first, last) pairs, both included, in order."""


def to_ranges(chosen: Iterable[int], order: Sequence[int]) -> Ranges:
    """The pairs that cover `chosen`, where neighbours are those of `order` (a range may have a step)."""
    places = sorted(order.index(number) for number in set(chosen))
    pairs: list[list[int]] = []
    for place in places:
        if pairs and pairs[-1][1] == place - 1:
            pairs[-1][1] = place
        else:
            pairs.append([place, place])
    return tuple((order[first], order[last]) for first, last in pairs)


def within(ranges: Ranges, number: int) -> bool:
    """Whether a number lies in one of the pairs."""
    return any(first <= number <= last for first, last in ranges)


def ranges_text(chosen: Iterable[int], order: Sequence[int]) -> str:
    """As an artist writes it: "12-20, 31". Empty for none."""
    # "to" where a dash would be taken for a minus
    return ", ".join(
        str(first) if first == last else f"{first} to {last}" if first < 0 else f"{first}-{last}"
        for first, last in to_ranges(chosen, order)
    )

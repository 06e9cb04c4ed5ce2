"""Which methods are in memory: loaded when first needed, kept while there is room, the least recently used leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from ..methods.contract import Method

SHARE = 0.85
"""Of a device's memory, if no budget is given."""


class Residency:
    """Loads and unloads.

    Args:
        methods: by name.
        budget: bytes.
        used: tells the bytes in use.
    """

    def __init__(self, methods: Mapping[str, Method], device: str, budget: int, used: Callable[[], int]) -> None:
        self._methods, self._device, self._budget, self._used = methods, device, budget, used
        self._loaded: dict[str, None] = {}

    def take(self, name: str) -> Method:
        """The method, loaded.

        Raises:
            MethodError: its weights are missing.
        """
        method = self._methods[name]
        if name not in self._loaded:
            try:
                method.load(self._device)
            except Exception as error:
                if not is_out_of_memory(error) or not self.leave_others(name):
                    raise
                method.load(self._device)
        self._loaded.pop(name, None)
        self._loaded[name] = None
        return method

    def settle(self) -> None:
        """After a run, when a method holds all that it holds: the least recently used leave until it fits."""
        while self._used() > self._budget and len(self._loaded) > 1:
            self._leave(next(iter(self._loaded)))

    def leave_others(self, name: str) -> bool:
        """Unloads all but one; returns whether that made room."""
        others = [loaded for loaded in self._loaded if loaded != name]
        for other in others:
            self._leave(other)
        return bool(others)

    def _leave(self, name: str) -> None:
        del self._loaded[name]
        self._methods[name].unload()
        torch = sys.modules.get("torch")
        if torch is not None and self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a method ran out of the host's or the device's memory."""
    torch = sys.modules.get("torch")
    return isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError))


def memory_in_use(device: str) -> int:
    """Bytes that this process holds on a device; on the host, 0 where the system does not tell (not Linux)."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda"):
        return int(torch.cuda.memory_allocated(device)) if torch is not None else 0
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 (not a file on a disk)
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def default_budget(device: str) -> int:
    """Most of what the device has."""
    if device.startswith("cuda"):
        import torch

        return int(SHARE * torch.cuda.get_device_properties(device).total_memory)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return int(SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return sys.maxsize

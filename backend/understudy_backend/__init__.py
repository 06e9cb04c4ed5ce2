"""The GPU side of Understudy. Imports nothing by itself, so that the server starts without torch."""

from understudy_shared import __version__

__all__ = ["__version__"]

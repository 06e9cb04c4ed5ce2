"""Real servers with real workers, as child processes, with the methods of `fault_methods`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running_server import RunningServer


@pytest.fixture
def server(tmp_path):
    with RunningServer(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """For tests that leave the server as they found it."""
    with RunningServer(tmp_path_factory.mktemp("shared") / "data") as running:
        yield running

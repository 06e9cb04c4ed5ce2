from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def samples():
    return Path(__file__).parents[2] / "packaging/demo/samples"

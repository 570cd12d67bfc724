"""What the Dockerfile makes, once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.dockerfile import build


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that becomes /opt/routeq of the image."""
    return build(tmp_path_factory.mktemp("image"))

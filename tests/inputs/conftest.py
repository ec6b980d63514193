"""Files of every kind, written by the tests."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

# Files are written in every example, and the first text that is drawn builds tables.
settings.register_profile(
    "files",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("files")


@pytest.fixture
def heard():
    """A list of lines whose ``append`` goes to ``report``."""
    return []


@pytest.fixture
def make(tmp_path):
    """Functions that write one file or folder below ``tmp_path`` and return its path."""

    def text(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def arrays(name, **parts):
        path = tmp_path / name
        np.savez(path, **parts)
        return path

    def images(name, files):
        """``files``: path below the folder -> image, bytes, or a grey value for a square of 8 pixels."""
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                image = content if isinstance(content, Image.Image) else Image.new("RGB", (8, 8), (content,) * 3)
                image.save(path)
        (tmp_path / name).mkdir(exist_ok=True)
        return tmp_path / name

    return SimpleNamespace(text=text, arrays=arrays, images=images, folder=tmp_path)

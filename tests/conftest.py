"""What all tests share: no windows, and the real images where there are any."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images, named by ZCDL_REAL_DATA; without it the test is skipped."""
    folder = os.environ.get("ZCDL_REAL_DATA", "")
    if not folder:
        pytest.skip("needs real images: set ZCDL_REAL_DATA to the folder that holds them")
    path = Path(folder).resolve()
    assert path.is_dir(), f"ZCDL_REAL_DATA={folder} is no folder"
    return path

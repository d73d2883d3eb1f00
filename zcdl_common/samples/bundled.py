"""Images inside installed packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from zcdl_common.errors import DataError


def package_folder(package: str, folder: str) -> Path:
    """A folder inside an installed package, found without importing the package.

    Raises
    ------
    DataError
        The package is not installed, or this version of it has no such folder.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(
            f"The example images are part of the package {package}, which is not installed. "
            f"Install it with: pip install {package}, or choose a simulated data set with: zcdl list"
        )
    path = Path(spec.origin).parent / folder
    if not path.is_dir():
        raise DataError(
            f"This version of the package {package} has no folder {folder} with example images ({path}). "
            "Choose a simulated data set with: zcdl list"
        )
    return path

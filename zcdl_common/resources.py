"""Where datasets.yaml and the notebooks lie: in the repository, or inside the installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Path of a file or folder that travels with the package.

    A wheel carries it inside the package; an editable install finds it beside the package, in the
    repository. The repository is known by its pyproject.toml, because in a wheel the folder
    above the package is site-packages, where a ``notebooks`` of another project may lie.

    Parameters
    ----------
    name : str
        ``"datasets.yaml"`` or ``"notebooks"``.

    Raises
    ------
    FileNotFoundError
        The installation is incomplete.
    """
    inside = _PACKAGE / name
    if inside.exists():
        return inside
    repository = _PACKAGE.parent
    beside = repository / name
    if (repository / "pyproject.toml").exists() and beside.exists():
        return beside
    raise FileNotFoundError(
        f"{name} is missing from this installation of zcdl_common ({_PACKAGE}). "
        "Install it again with: pip install --force-reinstall --no-deps zcdl-common"
    )

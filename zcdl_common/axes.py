"""Which axis of a file is which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zcdl_common.errors import ConfigError, DataError

KNOWN = "TZCYXS"
"""Time, Z, channel, Y, X, and samples of a colour pixel."""

_CHOICES = {
    3: {
        "ZYX": "a stack of slices, one 3D image",
        "TYX": "time frames or separate images: each becomes a sample, all of one group",
        "CYX": "channels first",
        "YXC": "channels last",
    },
    4: {
        "TZYX": "a time series of stacks",
        "CZYX": "channels first, then slices",
        "ZCYX": "slices first, then channels",
        "TCYX": "time frames or separate images, then channels",
        "ZYXC": "slices, channels last",
    },
}


def check_axes(axes: str) -> str:
    """The parameter ``axes`` in capitals.

    Raises
    ------
    ConfigError
        It holds an unknown letter, one twice, or no Y and X.
    """
    axes = axes.strip().upper()
    if axes and not (set(axes) <= set(KNOWN) and len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes)):
        raise ConfigError(
            f"axes = {axes!r}: each letter stands for one axis of the file, in its order: T (time), Z, "
            "C (channel), Y, X, each once, Y and X always. Write for example ZYX, TYX or YXC."
        )
    return axes


def obvious_colour(shape: Sequence[int]) -> bool:
    """Whether a three-axis array without metadata can only be (Y, X, RGB or RGBA)."""
    return len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) >= 16


def resolve_axes(path: Path, axes: str, shape: Sequence[int], override: str = "") -> str:
    """A letter of `KNOWN` for every axis of a file, ``_`` for those of length one that carry nothing.

    Parameters
    ----------
    path
        The file, named in messages.
    axes
        What the file says; any letter outside `KNOWN` means that it does not say.
    shape
        Sizes of all axes.
    override
        What the user says. It is taken where it has a letter for each axis; a file with another
        number of axes keeps its own where it has them (masks YX beside images CYX).

    Raises
    ------
    DataError
        Neither the file nor the user says what an axis is.
    """
    override = check_axes(override)
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"{path} has the shape {tuple(shape)}, which is no image. Remove it from the folder.")
    kept = [i for i, (a, n) in enumerate(zip(axes, shape, strict=True)) if n > 1 or a in "YX"]
    letters = list(axes)
    if len(override) == len(axes) and _agrees(override, axes):
        letters = list(override)
        kept = [i for i, n in enumerate(shape) if n > 1 or letters[i] in "YX"]
    elif len(override) == len(kept) and _agrees(override, [axes[i] for i in kept]):
        for i, letter in zip(kept, override, strict=True):
            letters[i] = letter
    letters = [a if i in kept else "_" for i, a in enumerate(letters)]
    if set(letters) <= {*KNOWN, "_"} and letters.count("Y") == letters.count("X") == 1:
        return "".join(letters)
    sizes = tuple(shape[i] for i in kept)
    said = f" axes = {override} does not fit its {len(kept)} axes." if override else ""
    choices = _CHOICES.get(len(kept), {"YX": "one plane"})
    listed = "".join(f"\n  - {name}: {meaning}" for name, meaning in choices.items())
    raise DataError(
        f"{path} has the shape {sizes} and does not say what its axes are.{said} "
        f"Set the parameter axes to:{listed}"
    )


def _agrees(override: str, axes: Sequence[str]) -> bool:
    """Colour samples are a fact of the file: they can only be channels."""
    return all(a != "S" or o in "CS" for o, a in zip(override, axes, strict=True))

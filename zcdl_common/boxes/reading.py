"""What the readers of box files share: text of any encoding, numbers, sizes that must agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from zcdl_common.boxes import Boxes
from zcdl_common.errors import DataError
from zcdl_common.formats import naming

UNNAMED = "object"
"""Class of boxes whose file tells no classes apart."""


def read_text(path: Path) -> str:
    """Text as Windows, Excel and everybody else write it.

    Raises
    ------
    DataError
        The file cannot be opened.
    """
    with naming(path):
        data = path.read_bytes()
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("cp1252", errors="replace")


def number(text: str | float | None) -> float:
    """A number of a file; NaN for what is none, so that the caller can say where it stands."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
    return value if isfinite(value) else float("nan")


def listed(
    names: Iterable[str], corners: Iterable[Sequence[float]], scores: Sequence[float] | None = None
) -> Boxes:
    """Boxes from a list of names and one of y0 x0 y1 x1."""
    yxyx = np.array(list(corners), np.float64).reshape(-1, 4)
    return Boxes(tuple(names), yxyx, None if scores is None else np.array(scores, np.float64))


def refuse_other_size(path: Path, said: Sequence[float], shape: Sequence[int] | None) -> None:
    """Refuse annotations of an image of another size than theirs.

    Parameters
    ----------
    path
        The file of annotations.
    said
        Size YX that it names; 0 or NaN where it names none, as some programs do.
    shape
        Size YX of the image; None where it is not known.

    Raises
    ------
    DataError
        The sizes differ.
    """
    height, width = said
    if shape is None or not (height > 0 and width > 0) or (height, width) == tuple(shape[-2:]):
        return
    raise DataError(
        f"{path} was made for an image of {height:g} x {width:g} pixels (height x width), but the image "
        f"measures {shape[-2]} x {shape[-1]}. Boxes would lie in wrong places. Use the image on which the "
        "boxes were drawn; or, if the boxes do fit, correct width and height in the file."
    )

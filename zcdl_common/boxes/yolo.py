"""Boxes of YOLO text files: a line a box, its class by number, its place as shares of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.reading import listed, number, read_text
from zcdl_common.errors import DataError
from zcdl_common.files import write_text

LISTS = ("classes.txt", "obj.names", "data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
"""Files that name the classes, in the order in which they are looked for."""
NO_ANNOTATIONS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt")
"""Text files that lie beside annotations and are none."""
_ROUNDED = 1e-3
"""By how much a share may exceed 1 for the digits that were cut off."""


def read_yolo(path: Path, shape: Sequence[int], names: Sequence[str] | None = None) -> Boxes:
    """Boxes of a file whose lines are: class, centre x, centre y, width, height.

    Parameters
    ----------
    path
        An empty file says that the image shows no object.
    shape
        Size YX of the image.
    names
        Of the classes by their numbers; default what `class_names` finds, else the numbers.

    Raises
    ------
    DataError
        A line has another number of columns, a value that is no share of the image, or a class without name.
    """
    names = class_names(path.parent) if names is None else names
    size = [float(n) for n in shape[-2:]]
    classes, boxes = [], []
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        kind, *place = (number(word) for word in words)
        where = f"{path}, line {i} ({line.strip()[:80]!r})"
        _check(kind, place, where)
        classes.append(_name(int(kind), names, where))
        x, y, width, height = place
        half = height / 2, width / 2
        low, high = (
            [(c + sign * h) * n for c, h, n in zip((y, x), half, size, strict=True)] for sign in (-1, 1)
        )
        boxes.append([*low, *high])
    return listed(classes, boxes)


def class_names(folder: Path) -> tuple[str, ...] | None:
    """Names of classes by number, from `LISTS` in a folder or up to two above; None where there is none.

    Raises
    ------
    DataError
        A list cannot be read.
    """
    for place in (folder, *folder.absolute().parents[:2]):
        for name in LISTS:
            if (place / name).is_file():
                found = _listed(place / name)
                if found is not None:
                    return found
    return None


def write_yolo(
    folder: Path,
    images: Mapping[str, Boxes],
    sizes: Mapping[str, Sequence[int]],
    classes: Sequence[str],
) -> list[Path]:
    """Write a text file an image, and ``classes.txt``. Scores are left out: labelling programs allow none.

    Parameters
    ----------
    folder
        Made where it does not exist.
    images
        Boxes by the name of their image without ending.
    sizes
        Size YX of each image.
    classes
        Names in the order of their numbers.
    """
    number_of = {name: i for i, name in enumerate(classes)}
    written = [folder / "classes.txt"]
    write_text(written[0], "".join(f"{name}\n" for name in classes))
    for image, boxes in images.items():
        height, width = sizes[image][-2:]
        lines = [
            f"{number_of[name]} {(x0 + x1) / 2 / width:.8f} {(y0 + y1) / 2 / height:.8f} "
            f"{(x1 - x0) / width:.8f} {(y1 - y0) / height:.8f}\n"
            for name, (y0, x0, y1, x1) in zip(boxes.classes, boxes.yxyx.tolist(), strict=True)
        ]
        written.append(folder / f"{image}.txt")
        write_text(written[-1], "".join(lines))
    return written


def _check(kind: float, place: Sequence[float], where: str) -> None:
    if len(place) != 4:
        hint = {
            5: " Is this the output of a network, whose last number is a score? Take that number out.",
            8: " These may be rotated boxes: export upright ones.",
        }
        more = " These may be outlines: export boxes (detection, not segmentation)." if len(place) > 5 else ""
        raise DataError(
            f"{where} has {len(place) + 1} columns, YOLO has 5: class, centre x, centre y, width, height."
            + hint.get(len(place), more)
        )
    if any(value != value for value in (kind, *place)) or kind < 0 or kind != int(kind):
        raise DataError(
            f"{where} is no box: the first number must be that of a class (0, 1, 2, ...), the others centre "
            "x, centre y, width and height as decimal numbers with a point."
        )
    if min(place) < -_ROUNDED or max(place) > 1 + _ROUNDED:
        raise DataError(
            f"{where} holds numbers above 1 or below 0. YOLO gives places and sizes as shares of the image, "
            "from 0 to 1; are these pixels? Export the boxes again, or save them as CSV with the columns "
            "image, class, xmin, ymin, xmax, ymax."
        )


def _name(kind: int, names: Sequence[str] | None, where: str) -> str:
    if names is None:
        return str(kind)
    if kind < len(names) and names[kind]:
        return names[kind]
    raise DataError(
        f"{where} is of class {kind}, but the list of classes ends with number {len(names) - 1}: "
        f"{', '.join(names[:20])}. Add the missing names to {LISTS[0]}, a line each, in their order (the "
        "first is class 0); or use the list that belongs to these files."
    )


def _listed(path: Path) -> tuple[str, ...] | None:
    """Names in a list; None for an empty one, or a YAML file about other things."""
    text = read_text(path)
    if path.suffix not in (".yaml", ".yml"):
        return tuple(line.strip() for line in text.rstrip().splitlines()) or None
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(
            f"{path} is no valid YAML ({str(error).splitlines()[0]}), so the names of the classes cannot be "
            "read. Write them into a file classes.txt beside the annotations, a line each."
        ) from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict) and names and all(isinstance(k, int) and k >= 0 for k in names):
        return tuple(str(names.get(i, "")) for i in range(max(names) + 1))
    return tuple(str(name) for name in names) if isinstance(names, list) else None

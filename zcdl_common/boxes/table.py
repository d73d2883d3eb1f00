"""Boxes in tables (CSV): of one image, or of all images of a folder with a column that names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.reading import UNNAMED, listed, number, read_text, refuse_other_size
from zcdl_common.errors import DataError
from zcdl_common.files import write_text
from zcdl_common.formats import naming
from zcdl_common.task import Array

COLUMNS = ("image", "class", "y0", "x0", "y1", "x1")
"""Of the tables that are written here; a column ``score`` follows where a network made them."""
_IMAGE = ("image", "filename", "file_name", "file", "image_name", "image_path", "path")
_CLASS = ("class", "class_name", "category", "label", "label_name")
_SCORE = ("score", "confidence")
_CORNERS = (("y0", "x0", "y1", "x1"), ("ymin", "xmin", "ymax", "xmax"), ("y1", "x1", "y2", "x2"))
_SIDES = (
    ("by", "bx", "height", "width"),  # of Fiji, whose x and y are the centroid
    ("y", "x", "height", "width"),
    ("y", "x", "h", "w"),
    ("top", "left", "height", "width"),
    ("bbox_y", "bbox_x", "bbox_height", "bbox_width"),
)
_FRAME = "frame"
_FORMS = "image, class, y0, x0, y1, x1; filename, class, xmin, ymin, xmax, ymax; image, class, x, y, w, h"


class _Entry(NamedTuple):
    """What a table says of one image."""

    size: tuple[float, float]
    """YX if told, else 0."""
    boxes: Boxes
    frames: Array | None
    """Time frame of each box, from 0: int (N,); None where the table has no such column."""


_Table = Mapping[str, _Entry]
"""By the name of an image ("" where the table names none)."""


def read_csv(
    path: Path,
    image: str = "",
    shape: Sequence[int] | None = None,
    frame: int | None = None,
    frames: int | None = None,
) -> Boxes:
    """Boxes of one image, or of one time frame of a movie.

    Parameters
    ----------
    path
        Columns as `write_csv` makes them, or filename, width, height, class, xmin, ymin, xmax, ymax (width
        and height of the image), or x, y, w, h (upper left corner, and sides of the box). They may be
        separated by commas, semicolons or tabs; others are left aside. Without a class all are "object".
    image
        Name as in `csv_images`; "" takes every row.
    shape
        Size YX of the image, to be compared with columns width and height that tell it.
    frame
        Time frame, from 0, whose boxes are wanted where a column ``frame`` tells them apart. In tables of
        Fiji (BX, BY, Width, Height) it counts from 1, as Fiji does, in all others from 0. Without such a
        column boxes belong to all frames.
    frames
        How many the movie has, to be compared with the column.

    Raises
    ------
    DataError
        Columns are missing, a row has no numbers, the image is not named, has another size, or other frames.
    """
    table = _read(path)
    if not image:
        image = next(iter(table), "")
        if len(table) > 1:
            raise DataError(
                f"{path} holds boxes of {len(table)} images ({', '.join([*table][:3])} ...), where one is "
                "asked for."
            )
    if image and image not in table:
        raise DataError(f"{path} has no row for the image {image!r}. It names {', '.join([*table][:5])} ...")
    entry = table.get(image)
    if entry is None:
        return listed((), ())
    refuse_other_size(path, entry.size, shape)
    if entry.frames is None:
        return entry.boxes
    last = int(entry.frames.max(initial=0))
    if frame is None and last:
        raise DataError(
            f"{path} holds boxes of several frames of {image or 'a movie'}, where those of one image are "
            "asked for. Use it with the movie on which they were found or drawn."
        )
    if frames is not None and last >= frames:
        raise DataError(
            f"{path} holds boxes of time frame {last} of {image or 'a movie'}, counted from 0, but the movie "
            f"has {frames} frames. If its column frame starts at 1 for the first one, subtract 1 from all."
        )
    return entry.boxes.at(entry.frames == (frame or 0))


def by_frame(path: Path) -> bool:
    """Whether a table tells the time frames of movies apart."""
    return any(entry.frames is not None for entry in _read(path).values())


def csv_images(path: Path) -> tuple[str, ...]:
    """Names of the images that a table speaks of, as it writes them; none where it has no such column."""
    return tuple(name for name in _read(path) if name)


def write_csv(path: Path, images: Mapping[str, Boxes]) -> Path:
    """Write a row a box, and an empty one for an image that shows no object.

    Parameters
    ----------
    path
        A file ending in .csv.
    images
        Boxes by the name of their image file. Where they have scores these are the last column.
    """
    scored = any(boxes.scores is not None for boxes in images.values())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, *["score"] * scored))
    for image, boxes in images.items():
        if not len(boxes):
            writer.writerow((image, *[""] * (len(COLUMNS) - 1 + scored)))
        for i, (name, box) in enumerate(zip(boxes.classes, boxes.yxyx.tolist(), strict=True)):
            score = [] if boxes.scores is None else [f"{boxes.scores[i]:.6g}"]
            writer.writerow((image, name, *(f"{value:.10g}" for value in box), *score))
    write_text(path, text.getvalue())
    return path


def _read(path: Path) -> _Table:
    with naming(path):
        facts = path.stat()
    return _parsed(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _parsed(path: Path, _modified: int, _size: int) -> _Table:
    """A whole table, remembered until it changes: all images of a folder ask for it."""
    lines = read_text(path).splitlines()
    head = lines[0] if lines else ""
    mark = max(",;\t", key=head.count)
    with naming(path):
        rows = list(csv.reader(lines, delimiter=mark))
    columns = {name.strip().casefold(): i for i, name in enumerate(rows[0])} if rows else {}
    corners = next((c for c in _CORNERS if set(c) <= set(columns)), None)
    sides = next((s for s in _SIDES if set(s) <= set(columns)), None)
    place = corners or sides
    if place is None:
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}, which say no place of a box. Name "
            f"them in the first line in one of these ways: {_FORMS}."
        )
    image, kind, score = (
        next((columns[name] for name in names if name in columns), None) for names in (_IMAGE, _CLASS, _SCORE)
    )
    sizes: dict[str, tuple[float, float]] = {}
    found: dict[str, list[_Row]] = {}
    first = 1 if place == _SIDES[0] else 0
    for i, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row] + [""] * (len(rows[0]) - len(row))
        if not any(cells):
            continue
        name = cells[image] if image is not None else ""
        if image is not None and not name:
            raise DataError(f"{path}, line {i}: the image is not named. Write its name, or delete the line.")
        boxes = found.setdefault(name, [])
        values = [cells[columns[key]] for key in place]
        if not any(values):  # the image shows no object
            continue
        # where semicolons separate columns, commas may be decimal
        top, left, *rest = (number(value.replace(",", ".") if mark != "," else value) for value in values)
        if any(value != value for value in (top, left, *rest)):
            raise DataError(
                f"{path}, line {i}: {', '.join(place)} are {', '.join(map(repr, values))}, and each must be "
                "a number. Correct the line, or leave all four empty to say that the image shows no object."
            )
        bottom, right = rest if corners else (top + rest[0], left + rest[1])
        label = cells[kind] if kind is not None else UNNAMED
        if not label:
            raise DataError(f"{path}, line {i}: the class is empty. Write its name, or delete the line.")
        frame = number(cells[columns[_FRAME]]) - first if _FRAME in columns else 0
        if frame != frame or frame < 0 or frame != int(frame):
            raise DataError(
                f"{path}, line {i}: frame is {cells[columns[_FRAME]]!r}, and must be a whole number, {first} "
                "for the first one. Correct the line, or delete the column where there is but one image."
            )
        certainty = number(cells[score]) if score is not None else float("nan")
        boxes.append(_Row(label, [top, left, bottom, right], certainty, int(frame)))
        if corners and {"height", "width"} <= set(columns):
            sizes[name] = number(cells[columns["height"]]), number(cells[columns["width"]])
    return {
        name: _Entry(
            sizes.get(name, (0.0, 0.0)),
            _boxes(entries),
            np.array([row.frame for row in entries], int) if _FRAME in columns else None,
        )
        for name, entries in found.items()
    }


class _Row(NamedTuple):
    label: str
    yxyx: list[float]
    score: float
    frame: int


def _boxes(rows: Sequence[_Row]) -> Boxes:
    scores = [row.score for row in rows]
    scored = bool(rows) and all(score == score for score in scores)
    return listed((row.label for row in rows), (row.yxyx for row in rows), scores if scored else None)

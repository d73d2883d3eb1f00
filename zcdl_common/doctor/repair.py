"""Mended copies of files in which the doctor found what a program can mend. Originals stay as they are."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from zcdl_common.doctor.findings import Report
from zcdl_common.doctor.masks import single_channel
from zcdl_common.doctor.reading import channel_last
from zcdl_common.files import write_text
from zcdl_common.task import Array, Lazy, Sample
from zcdl_common.writers import write_image

Side = Literal["source", "target"]
_TABLE = "repaired.csv"
_ORDER = (
    "grey from equal channels",
    "numbers from colours",
    "fill missing values",
    "two values",
    "number the objects",
)


class _File(NamedTuple):
    sample: Sample
    side: Side
    lazy: Lazy
    copy: Path


def repair(samples: Sequence[Sample], report: Report, folder: Path) -> list[str]:
    """Write a mended copy of every file for which `report` names a repair.

    Parameters
    ----------
    samples : sequence of Sample
        Those that were checked, test images included.
    report : Report
    folder : Path
        ``<run>/repaired``: gets ``source/``, ``target/`` and the table ``repaired.csv``.

    Returns
    -------
    list of str
        What was done and where it lies, a line a file; also what could not be mended and why.
    """
    todo = [(file, steps) for file in _files(samples, folder) if (steps := _steps(file.lazy, report))]
    palette = _palette([file.lazy for file, steps in todo if "numbers from colours" in steps])
    rows: list[tuple[str, ...]] = []
    lines = []
    for file, steps in todo:
        path = str(file.lazy.path)
        try:
            written = _mend(file, steps, palette)
        except Exception as error:
            lines.append(f"{path}: could not be repaired ({error}).")
            continue
        place = written.relative_to(folder).as_posix()
        rows.append((file.sample.name, file.side, path, place, "; ".join(steps)))
        lines.append(f"{path}: {', '.join(steps)} -> {written}")
    if rows:
        _write_table(folder, rows)
    return lines


def _files(samples: Sequence[Sample], folder: Path) -> list[_File]:
    """All files, and where a copy of each would lie; a training and a test image may have one name."""
    used: Counter[str] = Counter()
    files = []
    for sample in samples:
        sides: tuple[tuple[Side, Lazy | None], ...] = (("source", sample.source), ("target", sample.target))
        for side, lazy in sides:
            if lazy is None:
                continue
            name = f"{side}/{sample.name}"
            used[name] += 1
            number = "" if used[name] == 1 else f"_{used[name]}"
            files.append(_File(sample, side, lazy, folder / f"{name}{number}.tif"))
    return files


def _mend(file: _File, steps: Sequence[str], palette: Array) -> Path:
    spatial = np.asarray(file.sample.source.read()).ndim - 1
    pixels = channel_last(np.asarray(file.lazy.read()), spatial)
    for step in steps:
        pixels = _apply(step, pixels, palette)
    kept = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    numbered = bool({"numbers from colours", "number the objects"} & set(steps))
    axes = "ZYXC"[4 - pixels.ndim :][: kept.ndim]
    return write_image(file.copy, kept, axes, pixel_size=_pixel_size(file.sample.source), labels=numbered)


def use_repaired(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    """The same samples, reading the mended copies in `folder` where there are any."""
    from zcdl_common.images import ImageRef

    copies = {(r["name"], r["side"], r["file"]): folder / r["copy"] for r in _read_table(folder)}
    mended = []
    for sample in samples:
        changes: dict[str, Any] = {}
        for file in _files([sample], folder):
            copy = copies.get((sample.name, file.side, str(file.lazy.path)))
            if copy is not None and copy.exists():
                changes[file.side] = ImageRef((copy,))
        mended.append(replace(sample, **changes))
    return mended


def _steps(lazy: Lazy, report: Report) -> list[str]:
    path = str(lazy.path)
    asked = {
        f.repair
        for f in report.repairable
        for file in f.files
        if file == path or file.startswith(f"{path} (")
    }
    return [step for step in _ORDER if step in asked]


def _apply(step: str, pixels: Array, palette: Array) -> Array:
    if step == "grey from equal channels":
        return pixels[..., :1]
    if step == "numbers from colours":
        return number_colours(pixels, palette)
    if step == "fill missing values":
        return fill_missing(pixels)
    if step == "two values":
        return two_values(pixels)
    return number_objects(pixels)


def _palette(masks: Sequence[Lazy]) -> Array:
    """All colours of all masks, so that one colour gets one number throughout; background first."""
    if not masks:
        return np.zeros((0, 3), np.uint8)
    counts: Counter[tuple[int, ...]] = Counter()
    for lazy in masks:
        colours, numbers = np.unique(
            np.asarray(lazy.read())[..., :3].reshape(-1, 3), axis=0, return_counts=True
        )
        counts.update(dict(zip(map(tuple, colours.tolist()), numbers.tolist(), strict=True)))
    black = (0, 0, 0)
    background = black if black in counts else counts.most_common(1)[0][0]
    return np.asarray([background, *sorted(c for c in counts if c != background)])


def number_colours(mask: Array, palette: Array) -> Array:
    """(Z)YXC of colours to (Z)YX1 of their places in `palette` (N, 3), uint16."""
    colours, index = np.unique(mask[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    places = {tuple(c): i for i, c in enumerate(palette.tolist())}
    numbers = np.asarray([places[tuple(c)] for c in colours.tolist()], np.uint16)
    return numbers[index.reshape(mask.shape[:-1])][..., np.newaxis]


def number_objects(mask: Array) -> Array:
    """Connected pieces of equal value, numbered from 1; (Z)YX1, uint16 or more where needed."""
    from scipy import ndimage

    plane = mask[..., 0]
    result = np.zeros(plane.shape, np.int64)
    for value in np.unique(plane[plane != 0]):
        pieces, _ = ndimage.label(plane == value)
        result += np.where(pieces > 0, pieces + result.max(), 0)
    return result.astype(np.uint16 if result.max() < 2**16 else np.uint32)[..., np.newaxis]


def two_values(mask: Array) -> Array:
    """Cut half-way between the smallest and the largest value: 0 and 255, uint8."""
    plane = single_channel(mask)
    assert plane is not None
    values = plane.astype(np.float64)
    half = (np.nanmin(values) + np.nanmax(values)) / 2
    return np.where(values > half, 255, 0).astype(np.uint8)[..., np.newaxis]


def fill_missing(image: Array) -> Array:
    """NaN and infinite values replaced by the median of the nearest ones in 3 x 3 pixels of their plane.

    Holes close from their rims inwards; a plane of nothing but missing values becomes 0.
    """
    filled = np.where(np.isfinite(image), image, np.nan)
    planes = np.moveaxis(filled, -1, 0).reshape(-1, *image.shape[-3:-1])
    for plane in planes:
        while np.isnan(plane).any():
            if np.isnan(plane).all():
                plane[...] = 0
                break
            _close_rim(plane)
    planes = planes.reshape(image.shape[-1], *image.shape[:-1])
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1).astype(image.dtype))


def _close_rim(plane: Array) -> None:
    padded = np.pad(plane, 1, constant_values=np.nan)
    y, x = np.nonzero(np.isnan(plane))
    around = np.stack([padded[y + dy, x + dx] for dy in range(3) for dx in range(3)])
    known = ~np.isnan(around).all(axis=0)
    plane[y[known], x[known]] = np.nanmedian(around[:, known], axis=0)


def _pixel_size(lazy: Lazy) -> Sequence[float] | None:
    info = getattr(lazy, "info", None)
    return info().pixel_size if info is not None else None


def _read_table(folder: Path) -> list[dict[str, str]]:
    table = folder / _TABLE
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _write_table(folder: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """Add `rows` to what earlier repairs wrote; the latest word on a file counts."""
    table = {(r["name"], r["side"], r["file"]): tuple(r.values()) for r in _read_table(folder)}
    table |= {row[:3]: row for row in rows}  # type: ignore[misc]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("name", "side", "file", "copy", "done"))
    writer.writerows(table.values())
    write_text(folder / _TABLE, text.getvalue())

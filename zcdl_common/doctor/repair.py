"""Mended copies of files in which the doctor found what a program can mend. Originals stay as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from zcdl_common.boxes.annotations import Annotation, all_boxes
from zcdl_common.boxes.table import by_frame, write_csv
from zcdl_common.doctor import boxes
from zcdl_common.doctor.findings import Report
from zcdl_common.doctor.masks import single_channel
from zcdl_common.doctor.resizing import enlarge
from zcdl_common.errors import DataError
from zcdl_common.files import write_text
from zcdl_common.fragments import one_piece_each
from zcdl_common.images import ImageRef
from zcdl_common.roi_files import is_roi_file
from zcdl_common.task import Array, Sample
from zcdl_common.writers import write_image

Side = Literal["source", "target"]
TABLE = "repaired.csv"
"""Which copy takes the place of which file: columns file, copy (inside the folder), done."""
_ORDER = (
    "grey from equal channels",
    "numbers from colours",
    "fill missing values",
    "two values",
    "number the objects",
    "number the larger pieces and remove the specks",
    "enlarge to the size of its partner",
    *boxes.STEPS,
)
_NUMBERED = ("numbers from colours", *_ORDER[4:6])
"""After these a mask holds numbers of objects."""


class _File(NamedTuple):
    path: Path
    side: Side
    ref: ImageRef
    """The file alone: without region, frame or choice of channels."""
    steps: list[str]
    sample: Sample


def repair(samples: Sequence[Sample], report: Report, folder: Path) -> list[str]:
    """Write a mended copy of every file for which `report` names a repair.

    Files are mended whole, with all their frames, so that a copy can stand wherever its original
    did. Copies that lie in `folder` already are mended in place.

    Parameters
    ----------
    samples : sequence of Sample
        Those that were checked, test images included.
    report : Report
    folder : Path
        Gets ``source/``, ``target/`` and the table ``repaired.csv``.

    Returns
    -------
    list of str
        What was done and where it lies, a line a file; also what could not be mended and why.
    """
    files = _files(samples, report)
    table = _read_table(folder)
    palette = _palette([file.ref for file in files if "numbers from colours" in file.steps])
    lines = []
    for file in files:
        try:
            place = _place(file, folder, table)
            if isinstance(file.sample.target, Annotation) and file.side == "target":
                place = _mend_boxes(file, samples, place)
            else:
                frames = _frames(file.ref)
                partner = _partner_size(file)
                mended = [_mend(frame, file.steps, palette, partner) for frame in frames]
                if all(map(np.array_equal, frames, mended)):
                    continue
                place = _write(place, mended, file)
        except Exception as error:
            lines.append(f"{file.path}: could not be repaired ({error}).")
            continue
        done = "; ".join(file.steps)
        copy = place.relative_to(folder).as_posix()
        original = next((row["file"] for row in table if folder / row["copy"] == file.path), str(file.path))
        before = [row["done"] for row in table if row["file"] == original]
        table = [row for row in table if row["file"] != original]
        table.append({"file": original, "copy": copy, "done": "; ".join([*before, done])})
        lines.append(f"{file.path}: {done} -> {place}")
    if table:
        _write_table(folder, table)
    return lines


def _files(samples: Sequence[Sample], report: Report) -> list[_File]:
    """Each file that needs something, once."""
    files: dict[Path, _File] = {}
    for sample in samples:
        axes = str(getattr(sample.source, "axes", ""))
        steps = [step for step in _steps(sample.source.path, report) if step not in boxes.STEPS]
        for path in getattr(sample.source, "paths", (sample.source.path,)) if steps else ():
            files.setdefault(path, _File(path, "source", ImageRef((path,), axes), steps, sample))
        if sample.target is not None and (steps := _steps(sample.target.path, report)):
            axes = str(getattr(sample.target, "axes", axes.replace("C", "").replace("S", "")))
            for path in getattr(sample.target, "paths", (sample.target.path,)):
                files.setdefault(path, _File(path, "target", ImageRef((path,), axes), steps, sample))
    return list(files.values())


def _steps(path: Path, report: Report) -> list[str]:
    named = (str(path), f"{path} (")  # the second where a frame of the file was meant
    asked = {
        f.repair
        for f in report.repairable
        for file in f.files
        if file == named[0] or file.startswith(named[1])
    }
    return [step for step in _ORDER if step in asked]


def _frames(ref: ImageRef) -> list[Array]:
    """All time frames of a file, each (Z)YXC."""
    n = ref.info().frames
    return [replace(ref, frame=i if n > 1 else None).read() for i in range(n)]


def _mend(pixels: Array, steps: Sequence[str], palette: Array, partner: Sequence[int]) -> Array:
    for step in steps:
        pixels = _apply(step, pixels, palette, partner)
    return pixels


def _partner_size(file: _File) -> tuple[int, ...]:
    """Size (Z)YX of the other image of the pair, whole; empty where there is none, or no image."""
    other = file.sample.target if file.side == "source" else file.sample.source
    return replace(other, region=None).info().shape if isinstance(other, ImageRef) else ()


def _place(file: _File, folder: Path, table: Sequence[dict[str, str]]) -> Path:
    """Where the copy goes: a name of its own, since training and test images may share theirs."""
    ending = ".csv" if set(boxes.STEPS) & set(file.steps) else ".tif"
    if folder in file.path.parents:
        return file.path
    taken = {row["copy"] for row in table if row["file"] != str(file.path)}
    partners = getattr(getattr(file.sample, file.side), "paths", ())
    channel = f"{file.path.parent.name}/" if len(partners) > 1 else ""  # such folders name the channels
    name = f"{file.side}/{channel}{file.ref.group}"
    number = next(n for n in range(1, len(taken) + 2) if f"{name}{f'_{n}' * (n > 1)}{ending}" not in taken)
    return folder / f"{name}{f'_{number}' * (number > 1)}{ending}"


def _mend_boxes(file: _File, samples: Sequence[Sample], place: Path) -> Path:
    """Write the boxes of all images that a file speaks of as a table."""
    targets = {s.target for s in samples if s.target is not None and s.target.path == file.path}
    annotations = [target for target in targets if isinstance(target, Annotation)]
    if file.path.suffix.lower() == ".csv" and by_frame(file.path):
        raise DataError("its boxes belong to single frames of a movie; correct them in the table itself")
    mended = all_boxes(file.path) if any(one.entry for one in annotations) else {}
    for one in annotations:
        image = replace(one.image, region=None)
        if file.path in image.paths:
            raise DataError("its boxes are in the image file itself; save them from the ROI Manager as a zip")
        if image.frame is not None and is_roi_file(file.path):
            raise DataError(
                "its regions belong to single frames of a movie, which a table does not tell apart"
            )
        found = replace(one, image=image).read()
        mended[one.entry or image.path.name] = boxes.mend(found, image.info().shape, file.steps)
    return write_csv(place, mended)


def _write(place: Path, frames: Sequence[Array], file: _File) -> Path:
    axes = "ZYXC"[4 - frames[0].ndim :]
    pixels = frames[0] if len(frames) == 1 else np.stack(frames)
    axes = axes if len(frames) == 1 else "T" + axes
    if pixels.shape[-1] == 1:
        pixels, axes = pixels[..., 0], axes[:-1]
    numbered = bool(set(_NUMBERED) & set(file.steps))
    info = getattr(file.sample.source, "info", file.ref.info)
    pixel_size = info().pixel_size
    if pixel_size is not None and file.side == "source":  # a target lies on the pixels of its image
        before, after = file.ref.info().shape, frames[0].shape[:-1]
        pixel_size = tuple(p * n / m for p, n, m in zip(pixel_size, before, after, strict=True))
    return write_image(place, pixels, axes, pixel_size=pixel_size, labels=numbered)


def _apply(step: str, pixels: Array, palette: Array, partner: Sequence[int]) -> Array:
    if step == "grey from equal channels":
        return pixels[..., :1]
    if step == "numbers from colours":
        return number_colours(pixels, palette)
    if step == "fill missing values":
        return fill_missing(pixels)
    if step == "two values":
        return two_values(pixels)
    if step == "number the objects":
        return number_objects(pixels)
    if step == "enlarge to the size of its partner":
        return enlarge(pixels, partner)
    return one_piece_each(pixels[..., 0].astype(np.int64))[..., np.newaxis]


def _palette(masks: Sequence[ImageRef]) -> Array:
    """All colours of all masks, so that one colour gets one number throughout; background first."""
    counts: dict[tuple[int, ...], int] = {}
    for pixels in (frame for mask in masks for frame in _frames(mask)):
        colours, numbers = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_counts=True)
        for colour, number in zip(map(tuple, colours.tolist()), numbers.tolist(), strict=True):
            counts[colour] = counts.get(colour, 0) + number
    if not counts:
        return np.zeros((0, 3), np.uint8)
    background = (0, 0, 0) if (0, 0, 0) in counts else max(counts, key=counts.__getitem__)
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


def _read_table(folder: Path) -> list[dict[str, str]]:
    if not (folder / TABLE).exists():
        return []
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _write_table(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("file", "copy", "done"))
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / TABLE, text.getvalue())

"""Tables of objects: where they are, how large and how bright, in pixels and micrometres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from zcdl_common.blocks import blocks
from zcdl_common.files import replacing
from zcdl_common.task import Array

BLOCK = 2**21
"""Pixels of a file that are measured at once."""


def objects(
    labels: Any,
    image: Any = None,
    channels: Sequence[str] = (),
    pixel_size: Sequence[float] | None = None,
) -> pd.DataFrame:
    """A row an object of a label image.

    Parameters
    ----------
    labels
        Integer (Z)YX, 0 is background; an array, or a file that is read in slices, block by block.
    image
        (Z)YXC of the same size, for intensities; likewise.
    channels
        Their names; default their numbers.
    pixel_size
        (Z)YX in micrometres; without it there are no columns in micrometres.

    Returns
    -------
    DataFrame
        ``label``; centroid ``y_px`` ... (pixel i covers [i, i+1), so the centre of the first is 0.5) and
        ``y_um`` ...; ``area_px`` and ``area_um2``, in 3D ``volume_px`` and ``volume_um3``; box
        ``y_min_px`` ... and ``y_max_px`` ..., half-open; ``intensity_mean``, ``intensity_min`` and
        ``intensity_max``, followed by the name of the channel where there are several, or by its number
        where two of them have one name.
    """
    axes, extent = "zyx"[-len(labels.shape) :], "area" if len(labels.shape) == 2 else "volume"
    parts = [_measured(labels, image, where) for where in _windows(labels)]
    names, found = _grouped(
        np.concatenate([numbers for numbers, _ in parts]),
        {key: np.concatenate([part[key] for _, part in parts]) for key in parts[0][1]},
    )
    counts = found["add", "count"]
    units = dict(zip(axes, pixel_size, strict=True)) if pixel_size else {}
    centroids = {axis: found["add", axis] / counts + 0.5 for axis in axes}
    columns: dict[str, Array] = {"label": names}
    columns |= {f"{axis}_px": centroid for axis, centroid in centroids.items()}
    columns |= {f"{axis}_um": centroids[axis] * unit for axis, unit in units.items()}
    columns[f"{extent}_px"] = counts
    if units:
        columns[f"{extent}_um{len(axes)}"] = counts * float(np.prod(list(units.values())))
    columns |= {f"{axis}_min_px": found["minimum", axis] for axis in axes}
    columns |= {f"{axis}_max_px": found["maximum", axis] + 1 for axis in axes}
    named = channels if len(set(channels)) == len(channels) else ()
    for number in range(0 if image is None else image.shape[-1]):
        assert image is not None
        suffix = "" if image.shape[-1] == 1 else f"_{named[number] if named else number}"
        columns[f"intensity_mean{suffix}"] = found["add", number] / counts
        columns[f"intensity_min{suffix}"] = found["minimum", number]
        columns[f"intensity_max{suffix}"] = found["maximum", number]
    return pd.DataFrame(columns)


_Columns = Mapping[tuple[str, Any], Array]
"""By the name of the ufunc that joins two values of an object, and what they are values of."""


def _windows(labels: Any) -> Iterable[tuple[slice, ...]]:
    if isinstance(labels, np.ndarray):
        return [tuple(slice(0, n) for n in labels.shape)]
    return blocks(SimpleNamespace(shape=(*labels.shape, 1)), BLOCK)


def _measured(labels: Any, image: Any, where: tuple[slice, ...]) -> tuple[Array, _Columns]:
    """What the pixels of one part of an image add to its objects."""
    part = np.asarray(labels[where])
    inside = np.flatnonzero(part > 0)
    columns: dict[tuple[str, Any], Array] = {("add", "count"): np.ones(len(inside), np.int64)}
    for axis, place, span in zip(
        "zyx"[-part.ndim :], np.unravel_index(inside, part.shape), where, strict=True
    ):
        columns |= {(kind, axis): place + span.start for kind in ("add", "minimum", "maximum")}
    pixels = None if image is None else np.asarray(image[where])
    for number in range(0 if pixels is None else pixels.shape[-1]):
        assert pixels is not None
        values = pixels[..., number].reshape(-1)[inside]
        columns |= {("add", number): values.astype(np.float64)}
        columns |= {(kind, number): values for kind in ("minimum", "maximum")}
    return _grouped(part.reshape(-1)[inside], columns)


def _grouped(numbers: Array, columns: _Columns) -> tuple[Array, _Columns]:
    """One value an object of each column, and the numbers of the objects, ascending."""
    order = np.argsort(numbers, kind="stable")
    names, starts = np.unique(numbers[order], return_index=True)
    return names, {key: getattr(np, key[0]).reduceat(v[order], starts) for key, v in columns.items()}


def frames(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the frames of a movie as one, with a first column ``frame`` from 0."""
    numbered = [table.assign(frame=number) for number, table in enumerate(tables)]
    joined = pd.concat(numbered, ignore_index=True)
    return joined[["frame", *tables[0].columns]]


def trackmate(table: pd.DataFrame, pixel_size: Sequence[float] | None = None) -> pd.DataFrame:
    """A table of `frames` as Fiji's TrackMate CSV importer reads it, one spot an object.

    ``x``, ``y``, ``z`` and ``radius`` have the units of the image's calibration: micrometres where the
    pixel size is known, else pixels. TrackMate counts positions from the centre of the first pixel and
    takes the number of pixels of an object for its quality.
    """
    axes = [axis for axis in "zyx" if f"{axis}_px" in table]
    size = dict(zip(axes, pixel_size or (1.0,) * len(axes), strict=True))
    pixels = table["area_px" if len(axes) == 2 else "volume_px"]
    extent = pixels * float(np.prod(list(size.values())))
    radius = np.sqrt(extent / np.pi) if len(axes) == 2 else np.cbrt(0.75 * extent / np.pi)
    position = {a: (table[f"{a}_px"] - 0.5) * size[a] if a in size else 0.0 for a in "xyz"}
    name = [f"{frame}-{label}" for frame, label in zip(table["frame"], table["label"], strict=True)]
    return pd.DataFrame(
        {**position, "frame": table["frame"], "radius": radius, "quality": pixels, "name": name}
    )


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV with commas and decimal points, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g")
    return path

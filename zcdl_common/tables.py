"""Tables of objects: where they are, how large and how bright, in pixels and micrometres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zcdl_common.files import replacing
from zcdl_common.task import Array


def objects(
    labels: Array,
    image: Array | None = None,
    channels: Sequence[str] = (),
    pixel_size: Sequence[float] | None = None,
) -> pd.DataFrame:
    """A row an object of a label image.

    Parameters
    ----------
    labels
        Integer (Z)YX, 0 is background.
    image
        (Z)YXC of the same size, for intensities.
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
        ``intensity_max``, followed by the name of the channel where there are several.
    """
    axes, extent = "zyx"[-labels.ndim :], "area" if labels.ndim == 2 else "volume"
    inside = np.flatnonzero(labels > 0)
    order = np.argsort(labels.reshape(-1)[inside], kind="stable")
    inside = inside[order]
    names, starts, counts = np.unique(labels.reshape(-1)[inside], return_index=True, return_counts=True)
    places = dict(zip(axes, np.unravel_index(inside, labels.shape), strict=True))
    units = dict(zip(axes, pixel_size, strict=True)) if pixel_size else {}
    centroids = {axis: np.add.reduceat(place, starts) / counts + 0.5 for axis, place in places.items()}
    columns: dict[str, Array] = {"label": names}
    columns |= {f"{axis}_px": centroid for axis, centroid in centroids.items()}
    columns |= {f"{axis}_um": centroids[axis] * unit for axis, unit in units.items()}
    columns[f"{extent}_px"] = counts
    if units:
        columns[f"{extent}_um{len(axes)}"] = counts * float(np.prod(list(units.values())))
    columns |= {f"{axis}_min_px": np.minimum.reduceat(place, starts) for axis, place in places.items()}
    columns |= {f"{axis}_max_px": np.maximum.reduceat(place, starts) + 1 for axis, place in places.items()}
    for number in range(0 if image is None else image.shape[-1]):
        assert image is not None
        values = image[..., number].reshape(-1)[inside]
        suffix = "" if image.shape[-1] == 1 else f"_{channels[number] if channels else number}"
        columns[f"intensity_mean{suffix}"] = np.add.reduceat(values, starts, dtype=np.float64) / counts
        columns[f"intensity_min{suffix}"] = np.minimum.reduceat(values, starts)
        columns[f"intensity_max{suffix}"] = np.maximum.reduceat(values, starts)
    return pd.DataFrame(columns)


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

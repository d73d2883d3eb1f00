"""Write samples as files that are like a user's own: TIFF with axes and pixel size, CSV tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.table import write_csv
from zcdl_common.errors import DataError
from zcdl_common.smlm.emitters import Emitters
from zcdl_common.task import Array

Target = Array | Boxes | Emitters | None


def write_image(path: Path, image: Array, axes: str, pixel_size: tuple[float, ...] | None = None) -> None:
    """Write an ImageJ TIFF that opens by drag and drop; the same image gives the same bytes.

    Parameters
    ----------
    path : Path
        File to write.
    image : ndarray
        Integers are written with 8 or 16 bit, other numbers as float32.
    axes : str
        One letter an axis in ImageJ's order: T, Z, C, Y, X, S (S: colours of a picture).
    pixel_size : tuple of float, optional
        (Z)YX in micrometres.
    """
    metadata: dict[str, object] = {"axes": axes}
    resolution = None
    if pixel_size:
        metadata["unit"] = "um"
        resolution = (1 / pixel_size[-1], 1 / pixel_size[-2])
        if "Z" in axes and len(pixel_size) == 3:
            metadata["spacing"] = pixel_size[0]
    colours = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(
        path,
        _imagej_type(image, path),
        imagej=True,
        photometric=colours,
        resolution=resolution,
        metadata=metadata,
    )


def _imagej_type(image: Array, path: Path) -> Array:
    if image.dtype in (np.uint8, np.uint16, np.float32):
        return image
    if image.dtype.kind == "f":
        return image.astype(np.float32)
    if image.dtype.kind not in "iub" or image.min() < 0 or image.max() > 65535:
        raise DataError(f"{path.name} holds {image.dtype} values that fit into no 16-bit TIFF.")
    return image.astype(np.uint16)


def write_target(folder: Path, name: str, target: Target, axes: str, pixel_size: tuple[float, ...]) -> None:
    """Write what belongs to the image ``name.tif`` under the same name."""
    if isinstance(target, Boxes):
        write_csv(folder / f"{name}.csv", {f"{name}.tif": target})
    elif isinstance(target, Emitters):
        write_positions(folder / f"{name}.csv", target, pixel_size)
    elif target is not None:
        write_image(folder / f"{name}.tif", target, axes, pixel_size)


def write_positions(path: Path, truth: Emitters, pixel_size: tuple[float, ...]) -> None:
    """One row an emitter, in the columns and units of ThunderSTORM (frames from 1, nm from the corner)."""
    columns = ("id", "frame", "x [nm]", "y [nm]", "sigma [nm]", "intensity [photon]")
    nanometres = np.array(pixel_size[-2:]) * 1000
    each = zip(truth.frame, truth.yx * nanometres, truth.photons, truth.sigma * nanometres[-1], strict=True)
    rows = [
        (index, int(frame) + 1, f"{x:.3f}", f"{y:.3f}", f"{sigma:.3f}", f"{photons:.2f}")
        for index, (frame, (y, x), photons, sigma) in enumerate(each, start=1)
    ]
    _write_table(path, columns, rows)


def _write_table(path: Path, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

"""Localisation tables: ThunderSTORM, Picasso and SMAP are read, ThunderSTORM is written.

Inside the package positions are in camera pixels, and pixel i covers [i, i + 1). ThunderSTORM counts so too,
in nanometres. Picasso puts 0 and SMAP 1 at the *centre* of the first pixel: forgotten, that is a shift of
half a pixel, about 50 nm.

References
----------
Ovesný, M. et al. (2014). ThunderSTORM: a comprehensive ImageJ plug-in for PALM and STORM data analysis and
super-resolution imaging. Bioinformatics 30, 2389-2390. doi:10.1093/bioinformatics/btu202
Schnitzbauer, J. et al. (2017). Super-resolution microscopy with DNA-PAINT. Nature Protocols 12, 1198-1228.
doi:10.1038/nprot.2017.024
Ries, J. (2020). SMAP: a modular super-resolution microscopy analysis platform for SMLM data. Nature Methods
17, 870-872. doi:10.1038/s41592-020-0938-1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from zcdl_common.errors import DataError
from zcdl_common.smlm.localisations import Localisations, nanometres
from zcdl_common.tables import write_table
from zcdl_common.task import Array

Unit = Literal["nm", "um", "px"]
HDF5 = (".hdf5", ".h5")


@dataclass(frozen=True)
class Layout:
    """How one program names its columns, in lower case, and how it counts pixels and frames."""

    program: str
    x: str
    y: str
    unit: Unit
    centre: float
    """Position of the centre of the first pixel, in pixels."""
    first_frame: int
    photons: tuple[str, ...]
    sigma: tuple[str, ...]
    """Names that the spread of the spot may have; the first that is there is read, as with the others."""
    uncertainty: tuple[str, ...]
    mark: tuple[str, ...] = ()
    """Further columns without which a table has another layout."""


def _thunderstorm(unit: Unit) -> Layout:
    uncertainty = (f"uncertainty_xy [{unit}]", f"uncertainty [{unit}]")
    columns = (("intensity [photon]",), (f"sigma [{unit}]",), uncertainty)
    return Layout("ThunderSTORM", f"x [{unit}]", f"y [{unit}]", unit, 0.5, 1, *columns)


LAYOUTS = (
    *(_thunderstorm(unit) for unit in ("nm", "px", "um")),
    Layout("SMAP", "xnm", "ynm", "nm", 1.0, 1, ("phot", "photons"), ("psfxnm",), ("locprecnm",)),
    Layout("Picasso", "x", "y", "px", 0.0, 0, ("photons",), ("sx",), ("lpx",), mark=("photons", "lpx")),
)
CONFIDENCE = ("confidence", "confidence [a.u]", "confidence [a.u.]")


def read(
    path: Path, pixel_size: Sequence[float] | None = None, *, first_frame: int | None = None
) -> Localisations:
    """Read a localisation table; its columns tell which program wrote it.

    Parameters
    ----------
    path
        CSV, or text with tabs or semicolons, of ThunderSTORM (``x [nm]``), SMAP (``xnm``) or Picasso (``x``,
        ``photons``, ``lpx``); or Picasso's HDF5, whose table is ``locs``.
    pixel_size
        YX of a camera pixel in micrometres; not needed where the table is in pixels.
    first_frame
        Number of the first frame, where it is not that of the program: 1, in Picasso 0.

    Returns
    -------
    Localisations
        In the order of the file; positions along z are left out.

    Raises
    ------
    DataError
        The file is no such table, has units that nothing tells, holds what is no number, or needs a pixel
        size.

    Notes
    -----
    SMAP counts from the corner of the camera chip: where a part of the chip was recorded, take that off.
    """
    path = Path(path)
    table = _locs(path) if path.suffix.lower() in HDF5 else _text(path)
    table.columns = pd.Index([str(name).strip().lower().replace("µ", "u") for name in table.columns])
    layout = _layout(path, table)
    side = _sides(path, layout, pixel_size)

    def known(names: tuple[str, ...], scale: float = 1.0) -> Array | None:
        there = [name for name in names if name in table]
        return _numbers(path, table, there[0]) * scale if there else None

    yx = np.stack([_numbers(path, table, name) for name in (layout.y, layout.x)], axis=1)
    return Localisations(
        frame=_frames(path, table, layout.first_frame if first_frame is None else first_frame),
        yx=yx / side + 0.5 - layout.centre,
        photons=known(layout.photons),
        confidence=known(CONFIDENCE),
        sigma=known(layout.sigma, 1 / side[1]),
        uncertainty=known(layout.uncertainty, 1 / side[1]),
    )


def write(path: Path, found: Localisations, pixel_size: Sequence[float]) -> Path:
    """Write a CSV that Fiji's ThunderSTORM imports, whole or not at all.

    Parameters
    ----------
    path
        File to write.
    found
        Localisations; columns of what is unknown are left out.
    pixel_size
        YX of a camera pixel in micrometres.
    """
    y, x = nanometres(pixel_size)
    columns = {
        "id": np.arange(1, len(found) + 1),
        "frame": found.frame + 1,
        "x [nm]": found.yx[:, 1] * x,
        "y [nm]": found.yx[:, 0] * y,
        "sigma [nm]": None if found.sigma is None else found.sigma * x,
        "intensity [photon]": found.photons,
        "uncertainty_xy [nm]": None if found.uncertainty is None else found.uncertainty * x,
        "confidence": found.confidence,
    }
    return write_table(path, pd.DataFrame({k: v for k, v in columns.items() if v is not None}))


def _text(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            header = stream.readline()
        separator = max(",;\t", key=header.count)
        return pd.read_csv(path, sep=separator, skipinitialspace=True, encoding="utf-8-sig", index_col=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"{path.name} cannot be read as a table ({error}). Save the localisations as CSV, with one row "
            "of column names and then a row each."
        ) from None


def _locs(path: Path) -> pd.DataFrame:
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path.name} is an HDF5 file, and h5py is not installed to read it. Save the table as CSV "
            "in Picasso, or install h5py."
        ) from None
    with h5py.File(path) as file:
        if "locs" not in file:
            raise DataError(
                f"{path.name} holds {', '.join(file) or 'nothing'}, not the table locs that Picasso writes. "
                "Give the file that Picasso Localize saved, or a CSV."
            )
        return pd.DataFrame(np.asarray(file["locs"]))


def _layout(path: Path, table: pd.DataFrame) -> Layout:
    for layout in LAYOUTS:
        if {layout.x, layout.y, *layout.mark} <= set(table.columns):
            if "frame" in table:
                return layout
            raise DataError(
                f"{path.name} has positions but no column frame, so that nothing tells when they were seen. "
                "Export the table again with frames, or add the column."
            )
    found = ", ".join(map(repr, table.columns)) or "none"
    if {"x", "y"} <= set(table.columns):
        raise DataError(
            f"{path.name} has columns x and y without a unit, and they may be pixels or nanometres. Rename "
            "them to 'x [nm]' and 'y [nm]', or 'x [px]' and 'y [px]'."
        )
    raise DataError(
        f"{path.name} has no positions that are known: its columns are {found}. Wanted are frame and "
        "'x [nm]', 'y [nm]' (ThunderSTORM), xnm, ynm (SMAP), or x, y, photons, lpx (Picasso)."
    )


def _sides(path: Path, layout: Layout, pixel_size: Sequence[float] | None) -> Array:
    """What a pixel measures along Y and X in the unit of the table."""
    if layout.unit == "px":
        return np.ones(2)
    if pixel_size is None or not all(side > 0 for side in pixel_size):
        raise DataError(
            f"{path.name} gives positions in {layout.unit}, and the size of a camera pixel is not known. Set "
            "pixel_size in micrometres, as 0.1, 0.1 for pixels of 100 nm."
        )
    return nanometres(pixel_size) / (1000.0 if layout.unit == "um" else 1.0)


def _numbers(path: Path, table: pd.DataFrame, name: str) -> Array:
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise DataError(
            f"{path.name} holds {table[name].iloc[wrong[0]]} in column {name!r} of row {wrong[0] + 1}, "
            f"which is no number ({wrong.size} such rows). Remove these rows, or save with decimal points."
        )
    return values


def _frames(path: Path, table: pd.DataFrame, first: int) -> Array:
    frames = _numbers(path, table, "frame")
    if (frames != np.round(frames)).any():
        raise DataError(f"{path.name} holds frame {frames[frames % 1 != 0][0]:g}; frames are whole numbers.")
    if frames.size and frames.min() < first:
        least = frames.min()
        raise DataError(
            f"{path.name} holds frame {least:.0f}, yet such tables count from {first}. Where the first frame "
            f"of this one is {least:.0f}, add {first - least:.0f} to its column frame."
        )
    return frames.astype(np.int64) - first

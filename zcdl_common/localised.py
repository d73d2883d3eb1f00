"""Molecules that were found, as files: tables, super-resolved images, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from zcdl_common.errors import DataError
from zcdl_common.localising import counts, stacked, with_truth
from zcdl_common.metrics import frc, localisation, localisation_intervals
from zcdl_common.metrics.error_map import ErrorMap, error_map
from zcdl_common.smlm import drift, render, steadiness
from zcdl_common.smlm.localisations import Localisations, nanometres, of_frames
from zcdl_common.smlm.tables import write
from zcdl_common.tables import write_table
from zcdl_common.task import Array, Facts, Prediction
from zcdl_common.writers import write_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINE = 12.5
"""Nanometres that a pixel of a super-resolved image measures at most, where the field is not too large."""
LARGEST = 2**26
"""Pixels of a super-resolved image; half a gigabyte while it is drawn."""
RADII = tuple(range(25, 275, 25))
"""Nanometres of the curve over the matching radius."""


class Steadied(NamedTuple):
    """Localisations after the correction of drift, where there is any to correct."""

    found: Localisations
    drift: Array | None
    """(frames, 2) YX in camera pixels that was taken off; None: nothing was."""
    note: str


def files(
    predictions: Sequence[Prediction],
    sources: Iterable[Array],
    facts: Facts,
    pixel_size: Sequence[float] | None,
    folder: Path,
    stem: str,
) -> tuple[list[Path], str]:
    """Write the localisations of one movie, and what is made of them.

    The error map compares the mean of the frames with the localisations as they were found: a drift blurs
    both alike.

    Parameters
    ----------
    predictions, sources
        One a frame; sources are frames YXC, which are read one by one.
    pixel_size
        YX in micrometres.
    folder, stem
        Where the files go, and how their names begin.

    Returns
    -------
    paths : list of Path
        ``<stem>_localisations.csv`` (ThunderSTORM). Of a single frame also ``<stem>_localisations.png``; of a
        movie ``_rendered.ome.tif`` (counts; also ``_rendered_gaussian.ome.tif`` where uncertainties are
        known), ``_widefield.ome.tif``, ``_superresolved.png``, ``_quality.csv``, and where they can be made
        ``_error_map.tif`` and ``.png``. Where there is a drift ``_localisations_drift_corrected.csv`` and
        ``_drift.csv``: images and resolution are then of the corrected ones.
    note : str
        What was not written and why, and what was done about drift.

    Raises
    ------
    DataError
        The pixel size is not known.
    """
    if not pixel_size:
        raise DataError(
            f"The size of a camera pixel of {stem} is not known, and a table of localisations is in "
            "nanometres. Set pixel_size in micrometres, as 0.1, 0.1 for pixels of 100 nm."
        )
    found = stacked(predictions)
    written = [write(folder / f"{stem}_localisations.csv", found, pixel_size)]
    if len(predictions) == 1:
        more, note = _picture(next(iter(sources)), found, pixel_size, folder / f"{stem}_localisations.png")
        return [*written, *more], note
    widefield = render.widefield(frame[..., 0] for frame in sources)
    shape = (widefield.shape[0], widefield.shape[1])
    steady = steadied(found, len(predictions), shape, pixel_size)
    if steady.drift is not None:
        corrected = folder / f"{stem}_localisations_drift_corrected.csv"
        written.append(write(corrected, steady.found, pixel_size))
        table = pd.DataFrame(steady.drift * nanometres(pixel_size), columns=["y [nm]", "x [nm]"])
        table.insert(0, "frame", np.arange(1, len(table) + 1))
        written.append(write_table(folder / f"{stem}_drift.csv", table))
    m = magnification(shape, pixel_size)
    written += _images(widefield, steady.found, pixel_size, m, folder, stem)
    quality, mapped = _quality(widefield, found, steady, len(predictions), pixel_size, m)
    written.append(write_table(folder / f"{stem}_quality.csv", quality))
    if mapped is not None:
        written += _mapped(widefield, mapped, pixel_size, folder, stem)
    coarse = nanometres(pixel_size).max() / m
    large = f"a large field: its super-resolved image has pixels of {coarse:.3g} nm" if coarse > FINE else ""
    return written, "; ".join(filter(None, (steady.note, large)))


def steadied(
    found: Localisations, frames: int, shape: tuple[int, int], pixel_size: Sequence[float]
) -> Steadied:
    """Correct drift where it is more than chance makes of as many molecules; see `smlm.steadiness`."""
    try:
        path = drift.estimate(found, frames, shape)
        chance = steadiness.by_chance(found, path, shape)
    except DataError:
        return Steadied(
            found, None, "drift could not be told: it takes structures that molecules show again and again"
        )
    side = float(nanometres(pixel_size).mean())
    if not steadiness.is_real(path, chance):
        seen, limit = side * steadiness.size(path), side * chance
        return Steadied(found, None, f"no drift: {seen:.2g} nm was seen, and chance makes {limit:.2g} nm")
    gone = np.linalg.norm(path * nanometres(pixel_size), axis=1).max()
    return Steadied(drift.correct(found, path), path, f"a drift of up to {gone:.0f} nm was corrected")


def magnification(shape: tuple[int, int], pixel_size: Sequence[float]) -> int:
    """Fine pixels a side of a camera pixel: of `FINE` nanometres or less, as far as `LARGEST` allows."""
    wanted = int(np.ceil(nanometres(pixel_size).max() / FINE))
    return max(1, min(wanted, int(np.sqrt(LARGEST / np.prod(shape, dtype=float)))))


def _picture(
    source: Any, found: Localisations, pixel_size: Sequence[float], path: Path
) -> tuple[list[Path], str]:
    from zcdl_common import plots

    if not isinstance(source, np.ndarray):
        return [], "no picture: the frame is too large to be drawn"
    drawn = plots.drawn_positions(source, found.yx, tuple(pixel_size))
    return [plots.save(drawn, path)], "a single frame: no super-resolved image"


def _images(
    widefield: Array, found: Localisations, pixel_size: Sequence[float], m: int, folder: Path, stem: str
) -> list[Path]:
    """Super-resolved images and the widefield image, as files and side by side."""
    from zcdl_common import plots

    shape = (widefield.shape[0], widefield.shape[1])
    image = render.histogram(found, shape, m)
    paths = [
        write_image(
            folder / f"{stem}_widefield.tif", widefield, "YX", pixel_size=pixel_size[-2:], format="ome-tiff"
        ),
        render.write_rendered(folder / f"{stem}_rendered.tif", image, pixel_size, m),
    ]
    if found.uncertainty is not None:  # what the molecules themselves say of their width
        image = render.gaussian(found, shape, m, found.uncertainty)
        paths.append(render.write_rendered(folder / f"{stem}_rendered_gaussian.tif", image, pixel_size, m))
    shown = plots.superresolved(widefield, {"super-resolved": image}, tuple(pixel_size), m)
    return [*paths, plots.save(shown, folder / f"{stem}_superresolved.png")]


def _quality(
    widefield: Array,
    found: Localisations,
    steady: Steadied,
    frames: int,
    pixel_size: Sequence[float],
    m: int,
) -> tuple[pd.DataFrame, ErrorMap | None]:
    """One row of numbers, and the map of errors where there can be one."""
    shape = (widefield.shape[0], widefield.shape[1])
    sides = nanometres(pixel_size)
    resolution, said, mapped, unmapped = float("nan"), "", None, ""
    try:
        curve = _agreement(steady.found, frames, shape, pixel_size)
        resolution, said = curve.resolution, about_resolution(curve)
    except DataError as problem:
        said = str(problem)
    try:
        mapped = error_map(widefield, render.histogram(found, shape, m))
    except DataError as problem:
        unmapped = str(problem)
    gone = 0.0 if steady.drift is None else np.linalg.norm(steady.drift * sides, axis=1).max()
    row = {
        "molecules": len(found),
        "frames": frames,
        "density_per_um2_and_frame": len(found) / frames / float(np.prod(shape) * np.prod(sides / 1000)),
        "drift_corrected_nm": gone,
        "drift_note": steady.note,
        "frc_nm": resolution,
        "frc_note": said,
        "rsp": mapped.rsp if mapped else float("nan"),
        "rse": mapped.rse if mapped else float("nan"),
        "error_map_why_none": unmapped,
    }
    return pd.DataFrame([row]), mapped


def about_resolution(curve: frc.Curve) -> str:
    """Why there is no resolution, or what it does not tell; empty where it is as it seems."""
    moved = curve.grid and (
        f"positions favour the centres of pixels of {curve.grid:.3g} nm, which both halves share: they were "
        "moved at random within these, so that the true resolution is a little better"
    )
    if np.isfinite(curve.resolution):
        return moved or ""
    if curve.smooth[0] < frc.THRESHOLD:
        return "the halves agree nowhere: there are too few localisations, or they lie anywhere"
    return "the halves agree down to the finest pixels: molecules come back in both at the same places"


def _agreement(
    found: Localisations, frames: int, shape: tuple[int, int], pixel_size: Sequence[float]
) -> frc.Curve:
    fine = np.prod(shape, dtype=float) * np.ceil(nanometres(pixel_size)[0] / frc.FINE) ** 2
    if fine > LARGEST:
        raise DataError("The field is too large for pixels of 10 nm. Cut a part out of the movie.")
    return frc.resolution(found, frames, shape, pixel_size)


def _mapped(
    widefield: Array, mapped: ErrorMap, pixel_size: Sequence[float], folder: Path, stem: str
) -> list[Path]:
    from zcdl_common import plots

    image = write_image(folder / f"{stem}_error_map.tif", mapped.error, "YX", pixel_size=pixel_size[-2:])
    figure = plots.errors_of_rendering(widefield, mapped, tuple(pixel_size))
    return [image, plots.save(figure, folder / f"{stem}_error_map.png")]


def figures(
    truths: Sequence[Array | None],
    predictions: Sequence[Prediction],
    facts: Facts,
    settings: Mapping[str, Any],
    *,
    classical: Sequence[Prediction],
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Scores over local density and over the matching radius, and where matches lie beside the truth.

    Of all test frames with a truth together; without any there are none. Density and errors are at a matching
    radius of 250 nm. What matches by chance, over the radius, are positions of the network in the truth of
    another frame.
    """
    from zcdl_common import plots

    known, groups = with_truth(truths, groups)
    assert facts.pixel_size is not None
    if not known:
        return {}
    true = [truths[n] for n in known]
    by_method = {
        who: [said[n] for n in known] for who, said in (("network", predictions), ("classical", classical))
    }
    truth = of_frames([t for t in true if t is not None])
    found = {who: stacked(said) for who, said in by_method.items()}
    size = facts.pixel_size
    by_density = {who: localisation.by_density(truth, f, size) for who, f in found.items()}
    matched = {who: localisation.match(truth, f, size).error for who, f in found.items()}
    if len(known) > 1:
        said = by_method["network"]
        by_method["by chance"] = [*said[1:], said[0]]
    by_radius = {
        who: [
            localisation_intervals.intervals(counts(true, said, facts, radius), groups=groups, seed=seed)[
                "jaccard"
            ]
            for radius in RADII
        ]
        for who, said in by_method.items()
    }
    return {
        "by_density": plots.density_curves(by_density),
        "by_radius": plots.radius_curves(RADII, by_radius),
        "position_errors": plots.position_errors(matched, localisation.RADIUS),
    }

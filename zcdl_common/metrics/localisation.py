"""How many molecules were found, and how near to where they are.

A found position and a true one match within a stated radius, one to one, in the same frame. With many
emitters a wide radius matches by chance: at 6 emitters a square micrometre random points alone reach a
Jaccard index above 0.3 at 250 nm. Always state it, and look at a tighter one too. Scores of one data set say
nothing of another density, brightness or background.

References
----------
Sage, D. et al. (2015). Quantitative evaluation of software packages for single-molecule localization
microscopy. Nature Methods 12, 717-724. doi:10.1038/nmeth.3442
Sage, D. et al. (2019). Super-resolution fight club: assessment of 2D and 3D single-molecule localization
microscopy software. Nature Methods 16, 387-395. doi:10.1038/s41592-019-0364-4
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zcdl_common.metrics.assignment import assign
from zcdl_common.smlm.localisations import Localisations, nanometres
from zcdl_common.task import Array

RADIUS = 250.0
"""Nanometres within which a match counts, as in the comparison of 2015."""
NEIGHBOURHOOD = 500.0
"""Nanometres around an emitter in which its neighbours are counted: about two widths of a spot."""
DENSITIES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Lower bounds of the bins of local density, in emitters a square micrometre."""


class Matches(NamedTuple):
    """Pairs of a true and a found position, each position in one pair at most."""

    truth: Array
    """Rows of the true positions, int (M,)."""
    found: Array
    """Rows of the found positions, int (M,)."""
    error: Array
    """Found minus true position YX in nanometres, float64 (M, 2)."""


def match(
    truth: Localisations, found: Localisations, pixel_size: Sequence[float], radius: float = RADIUS
) -> Matches:
    """Match as many positions as possible; among equally many pairs, those with the least sum of distances.

    Exact: the assignment problem is solved in each group of positions that compete.

    Parameters
    ----------
    truth, found
        Of the same frames.
    pixel_size
        YX in micrometres.
    radius
        Largest distance of a match in nanometres.
    """
    true, seen = (_stacked(each, pixel_size, 3 * radius) for each in (truth, found))
    i, j, distance = _within(true, seen, radius)
    kept = assign(i, j, 1 - distance / radius)
    i, j = i[kept], j[kept]
    return Matches(i, j, seen[j, 1:] - true[i, 1:])


def scores(
    truth: Localisations, found: Localisations, pixel_size: Sequence[float], radius: float = RADIUS
) -> dict[str, float]:
    """Scores of one stack.

    Returns
    -------
    dict
        ``jaccard``: matched / (matched + missed + invented); ``recall``, ``precision``, ``f1``, in [0, 1];
        ``rmse_nm``: root of the mean squared lateral distance of the matches, sqrt(mean(dy² + dx²));
        ``shift_y_nm`` and ``shift_x_nm``: mean found minus true position, which half a pixel of difference
        in how pixels are counted would show; ``n_true``, ``n_found``, ``n_matched``. Without a match the
        shares are 0 and lengths NaN; without any position at all the shares are NaN too.
    """
    return _scores(match(truth, found, pixel_size, radius).error, len(truth), len(found))


def sweep(
    truth: Localisations,
    found: Localisations,
    pixel_size: Sequence[float],
    thresholds: Array,
    radius: float = RADIUS,
) -> Array:
    """Jaccard index of the positions whose confidence reaches each threshold, matched anew: float64 (T,).

    Parameters
    ----------
    truth, found, pixel_size, radius
        As for `match`; `found` with confidence.
    thresholds
        (T,), ascending.
    """
    assert found.confidence is not None
    true, seen = (_stacked(each, pixel_size, 3 * radius) for each in (truth, found))
    i, j, distance = _within(true, seen, radius)
    sure, ordered = found.confidence[j], np.sort(found.confidence)
    curve = np.zeros(len(thresholds))
    for number, threshold in enumerate(thresholds):
        left = sure >= threshold
        hit = len(assign(i[left], j[left], 1 - distance[left] / radius))
        count = len(ordered) - np.searchsorted(ordered, threshold)
        curve[number] = hit / max(1, len(truth) + count - hit)
    return curve


def by_density(
    truth: Localisations,
    found: Localisations,
    pixel_size: Sequence[float],
    radius: float = RADIUS,
    bounds: Sequence[float] = DENSITIES,
) -> list[dict[str, float]]:
    """Scores by how crowded it is: a row a bin of local density, bins without any position left out.

    The density around a position is the number of other true emitters of its frame within 500 nm, divided by
    the area of that circle. Missed and matched emitters count in the bin of the true position, invented ones
    in that of the found.

    Parameters
    ----------
    truth, found, pixel_size, radius
        As for `match`.
    bounds
        Lower bounds of the bins in emitters a square micrometre, ascending from 0.

    Returns
    -------
    list of dict
        ``density_from``, ``density_to`` (infinite in the last), and what `scores` has. Precision is that of
        the matched emitters of the bin and the invented ones there.
    """
    matches = match(truth, found, pixel_size, radius)
    invented = np.ones(len(found), bool)
    invented[matches.found] = False
    true_bin = np.digitize(_density(truth, truth, pixel_size, own=True), bounds) - 1
    extra_bin = np.digitize(_density(truth, found.select(invented), pixel_size), bounds) - 1
    rows = []
    for number, (low, high) in enumerate(zip(bounds, [*bounds[1:], np.inf], strict=True)):
        n_true, n_extra = int((true_bin == number).sum()), int((extra_bin == number).sum())
        errors = matches.error[true_bin[matches.truth] == number]
        if n_true + n_extra:
            row = {"density_from": float(low), "density_to": float(high)}
            rows.append(row | _scores(errors, n_true, len(errors) + n_extra))
    return rows


def _scores(error: Array, n_true: int, n_found: int) -> dict[str, float]:
    hit = len(error)
    unknown = float("nan")
    nothing = 0.0 if n_true + n_found else unknown
    shift = error.mean(axis=0) if hit else (unknown, unknown)
    return {
        "jaccard": hit / (n_true + n_found - hit) if hit else nothing,
        "recall": hit / n_true if hit else nothing,
        "precision": hit / n_found if hit else nothing,
        "f1": 2 * hit / (n_true + n_found) if hit else nothing,
        "rmse_nm": float(np.sqrt((error**2).sum(axis=1).mean())) if hit else unknown,
        "shift_y_nm": float(shift[0]),
        "shift_x_nm": float(shift[1]),
        "n_true": n_true,
        "n_found": n_found,
        "n_matched": hit,
    }


def _stacked(each: Localisations, pixel_size: Sequence[float], apart: float) -> Array:
    """Points (N, 3) in nanometres of which the first coordinate keeps frames `apart`, for one tree of all."""
    return np.column_stack([each.frame * apart, each.yx * nanometres(pixel_size)])


def _within(one: Array, other: Array, radius: float) -> tuple[Array, Array, Array]:
    """Rows of points no further than `radius` from each other, and their distance."""
    from scipy.spatial import cKDTree

    if not len(one) or not len(other):
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)
    pairs = cKDTree(one).sparse_distance_matrix(cKDTree(other), radius, output_type="ndarray")
    return pairs["i"], pairs["j"], pairs["v"]


def _density(
    truth: Localisations, at: Localisations, pixel_size: Sequence[float], own: bool = False
) -> Array:
    """True emitters a square micrometre around positions, float64 (N,); `own`: without the one at itself."""
    places, emitters = (_stacked(each, pixel_size, 3 * NEIGHBOURHOOD) for each in (at, truth))
    i, _, _ = _within(places, emitters, NEIGHBOURHOOD)
    around = np.bincount(i, minlength=len(at)) - own
    return np.asarray(around / (np.pi * (NEIGHBOURHOOD / 1000) ** 2))

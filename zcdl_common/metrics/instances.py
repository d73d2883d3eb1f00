"""How well objects were found: matched, missed and invented ones, and how far their outlines agree.

Objects are label images, integer (Z)YX: every number above 0 is one object. All scores come from one
sparse table of the pixels that pairs of objects share. They count objects, so a tiny one weighs as much
as a large one, and none of them says which kind of mistake was made (split, merged, lost): look at the
error maps. Scores are those of one image; a set of images is described by their mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.metrics.assignment import assign
from zcdl_common.metrics.shapes import same_shape
from zcdl_common.task import Array

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Least IoU of a match, as in tables of average precision."""
BACKGROUND, MATCHED, INVENTED, MISSED, MISSHAPEN = range(5)
"""Values of `kinds`; the last: a missed object and an invented one overlap, but too little to match."""
_SMALL = 1 << 24
"""Largest number of an object that is looked up in a table instead of searched for."""


class Overlaps(NamedTuple):
    """Which objects of two label images share pixels."""

    truth: Array
    """Numbers of the true objects, ascending, (N,)."""
    found: Array
    """Numbers of the predicted objects, ascending, (M,)."""
    truth_sizes: Array
    """Pixels of each true object, int64 (N,)."""
    found_sizes: Array
    """Pixels of each predicted object, int64 (M,)."""
    i: Array
    """Place in `truth` of each pair that shares pixels, (P,)."""
    j: Array
    """Place in `found` of each pair, (P,)."""
    iou: Array
    """Shared pixels divided by those of either, float64 (P,)."""


def overlaps(truth: Array, prediction: Array) -> Overlaps:
    """Count the pixels that pairs of objects share.

    Works on runs of equal pixels along X, which are far fewer than pixels.

    Parameters
    ----------
    truth, prediction
        Labels, integer (Z)YX; 0 and below are background. Numbers need not be consecutive.

    Raises
    ------
    DataError
        The arrays differ in shape.
    """
    from scipy.sparse import coo_array

    same_shape(truth, prediction)
    a, b = truth.reshape(-1), prediction.reshape(-1)
    changes = np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])) + 1
    starts = np.concatenate([np.zeros(min(1, a.size), np.intp), changes])
    lengths = np.diff(starts, append=a.size)
    names, rows = _numbered(a[starts])
    others, columns = _numbered(b[starts])
    sizes, other_sizes = (
        np.bincount(index[index >= 0], lengths[index >= 0], count).astype(np.int64)
        for index, count in ((rows, len(names)), (columns, len(others)))
    )
    both = (rows >= 0) & (columns >= 0)
    pairs = (lengths[both], (rows[both], columns[both]))
    table = coo_array(pairs, shape=(len(names), len(others))).tocsr().tocoo()  # adds up equal pairs
    i, j = table.row, table.col
    iou = table.data / (sizes[i] + other_sizes[j] - table.data)
    return Overlaps(names, others, sizes, other_sizes, i, j, iou)


def _numbered(values: Array) -> tuple[Array, Array]:
    """Different values above 0, ascending, and the place of each value among them, -1 for the others."""
    if values.size and values.max() > _SMALL:
        every, index = np.unique(values, return_inverse=True)
        none = int(np.searchsorted(every, 0, side="right"))
        return every[none:], np.maximum(index - none, -1)
    numbers = np.maximum(values, 0).astype(np.intp)
    present = np.zeros(1 + int(numbers.max(initial=0)), bool)
    present[numbers] = True
    present[0] = False
    return np.flatnonzero(present), np.where(present, np.cumsum(present) - 1, -1)[numbers]


def matches(pairs: Overlaps, threshold: float = 0.5) -> Array:
    """Pairs in which one object is taken for the other, as places in ``pairs.iou``, ascending.

    As many as possible with an IoU of at least `threshold`, each object in one pair; among equally many
    those with the highest sum of IoU. Above 0.5 there is only one choice, since two objects cannot both
    share more than half with a third; below, the assignment is solved for each group of objects that
    compete.
    """
    good = np.flatnonzero(pairs.iou >= threshold)
    return good[assign(pairs.i[good], pairs.j[good], pairs.iou[good])]


def agreement(pairs: Overlaps, threshold: float = 0.5) -> dict[str, float]:
    """``ap``, ``precision``, ``recall``, ``f1``, ``pq`` and ``mean_iou`` at one threshold, in [0, 1].

    ``ap`` is matched / (matched + missed + invented), as StarDist and the Data Science Bowl 2018 define
    it; ``pq`` the IoU of all matches divided by the mean number of objects; ``mean_iou`` that of the
    matches alone. Without a match all are 0, without any object in either image NaN.

    References
    ----------
    Kirillov, A. et al. (2019). Panoptic segmentation. CVPR. doi:10.1109/CVPR.2019.00963
    Caicedo, J. C. et al. (2019). Nucleus segmentation across imaging experiments: the 2018 Data Science
    Bowl. Nature Methods 16, 1247-1253. doi:10.1038/s41592-019-0612-7
    """
    iou = pairs.iou[matches(pairs, threshold)]
    hit, true, found = len(iou), len(pairs.truth), len(pairs.found)
    nothing = 0.0 if true + found else float("nan")

    def share(part: float, whole: float) -> float:
        return float(part / whole) if hit else nothing

    return {
        "ap": share(hit, true + found - hit),
        "precision": share(hit, found),
        "recall": share(hit, true),
        "f1": share(2 * hit, true + found),
        "pq": share(2 * iou.sum(), true + found),
        "mean_iou": share(iou.sum(), hit),
    }


def scores(truth: Array, prediction: Array) -> dict[str, float]:
    """Scores of one image.

    Parameters
    ----------
    truth, prediction
        Labels, integer (Z)YX, 0 is background.

    Returns
    -------
    dict
        ``ap50``, ``ap70``, ``f1_50``, ``pq``, ``precision``, ``recall``, ``mean_iou`` (the last four at
        0.5) as `agreement` has them; ``count_bias`` and ``size_bias``: how much larger the number and
        the mean size of predicted objects are than the true ones, as a share (0.1: a tenth more; NaN
        where there are none to compare with); ``ap55`` to ``ap90``; ``n_true``, ``n_found``,
        ``size_true`` and ``size_found``: numbers of objects and their mean size in pixels.

    Raises
    ------
    DataError
        The arrays differ in shape.
    """
    pairs = overlaps(truth, prediction)
    by = {round(100 * threshold): agreement(pairs, threshold) for threshold in THRESHOLDS}
    half = by[50]
    true, found = len(pairs.truth), len(pairs.found)
    size_true, size_found = (
        float(s.mean()) if len(s) else float("nan") for s in (pairs.truth_sizes, pairs.found_sizes)
    )
    return {
        "ap50": half["ap"],
        "ap70": by[70]["ap"],
        "f1_50": half["f1"],
        **{key: half[key] for key in ("pq", "precision", "recall", "mean_iou")},
        "count_bias": found / true - 1 if true else float("nan"),
        "size_bias": size_found / size_true - 1,
        **{f"ap{percent}": at["ap"] for percent, at in by.items() if percent not in (50, 70)},
        "n_true": float(true),
        "n_found": float(found),
        "size_true": size_true,
        "size_found": size_found,
    }


def kinds(truth: Array, prediction: Array, threshold: float = 0.5) -> Array:
    """What became of the objects, pixel by pixel: uint8 (Z)YX.

    0 background, 1 matched object (true or predicted), 2 invented object, 3 missed object, 4 both: the
    two overlap, but with an IoU below `threshold`.
    """
    pairs = overlaps(truth, prediction)
    hit = matches(pairs, threshold)
    missed = np.isin(truth, np.delete(pairs.truth, pairs.i[hit]))
    invented = np.isin(prediction, np.delete(pairs.found, pairs.j[hit]))
    result = ((truth > 0) | (prediction > 0)).astype(np.uint8) * np.uint8(MATCHED)
    result[invented] = INVENTED
    result[missed] = MISSED
    result[invented & missed] = MISSHAPEN
    return result

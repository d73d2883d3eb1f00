"""What a threshold on the confidence of boxes does: precision, recall, confusion and counts.

Detections count from the threshold on (``score >= threshold``). Matched is at an IoU of 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from zcdl_common.metrics.detection_matching import (
    IOU,
    Matched,
    checked,
    counted,
    partners,
    ranked,
)
from zcdl_common.metrics.statistics import Interval, bootstrap
from zcdl_common.task import Array

STEPS = np.round(np.linspace(0.01, 0.99, 99), 2)
"""Thresholds tried."""
OVERLAPS = (0.5, 0.4, 0.6, 0.7)
"""IoU with a surer box of its class from which a box is dropped; the first is kept where none is better by
`MARGIN`."""
MARGIN = 0.005


class Curve(NamedTuple):
    """Precision and recall of one class as the threshold falls, (P,) each."""

    recall: Array
    precision: Array
    confidence: Array
    """The thresholds, falling: all scores that occur, each once."""


class Rates(NamedTuple):
    """Float64 (K, S): of each class at each threshold."""

    precision: Array
    """NaN where nothing of the class is found."""
    recall: Array
    """NaN where the class has no truth."""
    f1: Array
    """NaN where the class has no truth."""


class CountError(NamedTuple):
    """How far the counts of one class are off, in objects an image."""

    bias: Interval
    """Mean of found minus true; missed and invented objects cancel in it."""
    absolute: Interval
    """Mean of its size; it stays with the user who counts a single image."""


def precision_recall(images: Sequence[Matched], c: int) -> Curve:
    """Precision and recall of class `c` over all images together, for every threshold.

    Not made to fall, as it is for average precision: these are the rates that a threshold gives. Recall is
    NaN without truth.

    References
    ----------
    Everingham, M. et al. (2010). The Pascal visual object classes (VOC) challenge. International Journal of
    Computer Vision 88, 303-338. doi:10.1007/s11263-009-0275-4
    """
    if not len(images):
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    _, scores, right = ranked(images, c)
    true = counted(images)[:, c].sum()
    last = np.flatnonzero(np.diff(scores, append=-np.inf))  # no threshold parts equal scores
    hits = right[:, 0].cumsum()[last]
    recall = hits / true if true else np.full(len(last), np.nan)
    return Curve(recall, hits / (last + 1), scores[last])


def rates(images: Sequence[Matched], thresholds: Array = STEPS) -> Rates:
    """Precision, recall and F1 of each class over all images together, at thresholds (S,)."""
    true = counted(images).sum(0).astype(float)[:, None]
    found, hits = np.zeros((2, len(true), len(thresholds)))
    for c in range(len(true)):
        _, scores, right = ranked(images, c)
        found[c] = _from(scores, thresholds)
        hits[c] = _from(scores[right[:, 0]], thresholds)
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing to say
        f1 = np.where(true > 0, 2 * hits / (true + found), np.nan)
        return Rates(hits / found, hits / true, f1)


def _from(scores: Array, thresholds: Array) -> Array:
    """How many scores reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def choose(
    found: Callable[[float], Sequence[Matched]],
    overlaps: Sequence[float] = OVERLAPS,
    thresholds: Array = STEPS,
) -> dict[str, Any]:
    """``confidence`` and ``nms_iou`` with the best mean F1 over classes, on validation images.

    Parameters
    ----------
    found
        IoU of the non-maximum suppression -> all validation images, matched, with detections from the lowest
        threshold on.
    overlaps
        Of the suppression, tried in turn.
    thresholds : float (S,)
        Ascending.

    Returns
    -------
    dict
        Of equal thresholds the highest; 0.5 and the first of `overlaps` where nothing is right. Also the
        ``curve`` of mean F1 over ``thresholds`` with the chosen suppression, and what it is a ``curve_of``.
    """
    best: tuple[float, float, Array] | None = None
    for overlap in overlaps:
        f1 = rates(found(overlap), thresholds).f1
        known = ~np.isnan(f1).any(1)
        curve = f1[known].mean(0) if known.any() else np.zeros(len(thresholds))
        if best is None or curve.max() > best[0] + MARGIN:
            best = (float(curve.max()), overlap, curve)
    assert best is not None
    top, overlap, curve = best
    highest = float(thresholds[np.flatnonzero(curve >= top - 1e-12)[-1]]) if top > 0 else 0.5
    return {
        "confidence": highest,
        "nms_iou": float(overlap),
        "thresholds": thresholds.tolist(),
        "curve": curve.tolist(),
        "curve_of": f"F1 at IoU {IOU:g}, mean over classes",
    }


def confusion(truth: Array, found: Array, classes: int) -> Array:
    """Boxes of one image by true class (rows) and found class (columns): int64 (K + 1, K + 1).

    The last row counts what was found where there is nothing, the last column what was missed. Matrices of
    several images are added.

    Parameters
    ----------
    truth, found : float (N, 5), (M, 5)
        y0 x0 y1 x1 in pixels, class index; of the detections, those from the threshold on.
    classes
        How many there are, K.

    Raises
    ------
    DataError
        The arrays are no boxes with class indices below `classes`.
    """
    truth, found = checked(truth, classes), checked(found, classes)
    i, j = partners(truth, found)
    rows = np.concatenate([truth[:, 4], np.full(len(found) - len(j), classes)]).astype(int)
    columns = np.full(len(rows), classes)
    columns[i] = found[j, 4]
    columns[len(truth) :] = np.delete(found[:, 4], j)
    table = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def counts(images: Sequence[Matched], confidence: float) -> tuple[Array, Array]:
    """True and found boxes by image and class, from the threshold `confidence` on: int (N, K) each."""
    true = counted(images)
    k = true.shape[1]
    found = [np.bincount(m.classes[m.scores >= confidence], minlength=k) for m in images]
    return true, np.array(found, int).reshape(true.shape)


def count_errors(
    true: Array, found: Array, *, groups: Sequence[str] | None = None, seed: int = 0
) -> list[CountError]:
    """Of each class, how far counts (N, K) are off, with 95 % intervals over images (`bootstrap`)."""
    off = (found - true).astype(float)
    return [
        CountError(bootstrap(c, groups=groups, seed=seed), bootstrap(abs(c), groups=groups, seed=seed))
        for c in off.T
    ]

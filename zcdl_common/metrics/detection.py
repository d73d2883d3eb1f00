"""How well boxes were found: average precision, as the COCO and Pascal VOC benchmarks define it.

Average precision (AP) is the area under the curve of precision over recall, from the surest detection to the
least sure. No threshold on the confidence plays a part in it: it does not say how many boxes are wrong at the
threshold in use, nor which classes are confused, nor whether counts are right (`detection_confidence` does).
It is a score of a set of images together, not a mean of scores of images; `detection_intervals` draws sets
anew to say how sure it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.metrics.detection_matching import LEVELS, Matched, counted, ranked
from zcdl_common.task import Array

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read."""
MOST = 100
"""Detections of a class in an image that count for AP; of more, the surest. Dense images need more."""
_CHUNK = 1 << 18
"""Numbers at a time: the temporary arrays stay in the cache, and memory does not grow with resamples."""


def average_precision(
    images: Sequence[Matched], weights: Array | None = None, most: int | None = MOST
) -> Array:
    """Average precision of images together, of each class at each of `LEVELS`.

    Parameters
    ----------
    images
        From `match`.
    weights : float (R, N), optional
        How often each image counts in each of R sets, whole numbers; without it each counts once.
    most
        Detections of a class in an image that count, the surest; None for all.

    Returns
    -------
    float64 (K, 10), with weights (R, K, 10)
        0 to 1; NaN for a class without truth.

    Notes
    -----
    Precision is made to fall (each value becomes the highest at its recall or beyond) and is then averaged at
    101 recalls. Both look only at places where a right detection is added, so that one cumulative sum over
    all detections of a class serves all levels, and another over the right ones counts the hits. An image
    that is drawn w times adds w at each of its detections: equal to w copies of it, since precision within
    the copies is never above that at their beginning or end.

    References
    ----------
    Everingham, M. et al. (2010). The Pascal visual object classes (VOC) challenge. International Journal of
    Computer Vision 88, 303-338. doi:10.1007/s11263-009-0275-4
    Lin, T.-Y. et al. (2014). Microsoft COCO: common objects in context. ECCV. arXiv:1405.0312
    """
    truths = counted(images)
    rows = np.ones((1, len(images))) if weights is None else np.asarray(weights, float)
    positives = rows @ truths
    result = np.full((*positives.shape, len(LEVELS)), np.nan)
    for c in np.flatnonzero(truths.sum(0)):
        image, _, right = ranked(images, int(c), most)
        step = max(1, _CHUNK // max(1, len(image)))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            result[part, c] = _areas(rows[part][:, image], right, positives[part, c])
    return result[0] if weights is None else result


def _areas(weights: Array, right: Array, positives: Array) -> Array:
    """Area under the curves of sets (R,) of detections (D,), the surest first: float64 (R, 10)."""
    result = np.zeros((len(weights), right.shape[1]))
    ranks = weights.cumsum(1)
    for level, hit in enumerate(right.T):
        at = np.flatnonzero(hit)
        hits = weights[:, at].cumsum(1)
        precision = hits / np.maximum(ranks[:, at], 1)
        falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, hits / np.maximum(positives, 1)[:, None], side="right")
        result[:, level] = (falling * np.diff(reached, axis=1, prepend=0)).sum(1) / len(RECALLS)
    result[positives == 0] = np.nan
    return result


def map50(ap: Array) -> Array:
    """Mean over the classes that have truth of AP (..., K, 10) at an IoU of 0.5: float64 (...)."""
    return _mean(ap[..., 0])


def map50_95(ap: Array) -> Array:
    """Mean over the classes that have truth, and over `LEVELS`, of AP (..., K, 10): float64 (...)."""
    return _mean(ap.mean(-1))


def scores(images: Sequence[Matched], names: Sequence[str], most: int | None = MOST) -> dict[str, float]:
    """``map50``, ``map50_95``, and of each class ``ap50_<name>`` and ``ap_<name>`` (mean over `LEVELS`).

    From 0 to 1; NaN for a class without truth, which the means leave out, and for all where no image holds
    any or there is no image.
    """
    ap = average_precision(images, most=most) if len(images) else np.full((len(names), len(LEVELS)), np.nan)
    return {
        "map50": float(map50(ap)),
        "map50_95": float(map50_95(ap)),
        **{f"ap50_{name}": float(of_class[0]) for name, of_class in zip(names, ap, strict=True)},
        **{f"ap_{name}": float(of_class.mean()) for name, of_class in zip(names, ap, strict=True)},
    }


def _mean(values: Array) -> Array:
    """Mean along the last axis of the values that are known; NaN where none is."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    total = np.where(known, values, 0).sum(-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))

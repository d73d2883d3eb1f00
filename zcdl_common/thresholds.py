"""How sure a network must be of an object, and how much two may overlap: chosen on validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from zcdl_common.metrics import instances, segmentation
from zcdl_common.task import Array, Facts, Prediction

STEPS = np.round(np.linspace(0.05, 0.95, 91), 2)
OVERLAPS = (0.4, 0.3, 0.5)
"""Shares of an object that a surer one may cover; the first is kept where none is better by `MARGIN`."""
MARGIN = 0.005
IOU = (0.5, 0.7)
"""Least agreements of outlines at which objects count as found; the score is the mean over them."""
CANDIDATES = {2: 20_000, 3: 3_000}
"""Thresholds that leave more candidates in an image are not tried: comparing those would take minutes."""


def choose_thresholds(
    decode: Callable[..., Prediction],
    outputs: Iterable[tuple[tuple[Array, ...], Array, Sequence[int]]],
    facts: Facts,
) -> dict[str, Any]:
    """``prob_thresh`` and ``nms_thresh`` with the best average precision over validation images.

    Objects are made once for each overlap, at the lowest threshold. A surer object is never touched by a less
    sure one, neither when candidates are compared nor when they are drawn, so that those of a higher
    threshold are the same ones without the less sure.

    Parameters
    ----------
    decode : callable
        ``(maps, settings) -> Prediction`` whose ``extra["scores"]`` are those of objects 1, 2, ...
    outputs : iterable of (maps, labels, size of the image)
        Of each validation image; ``maps[0]`` is the probability ((Z)YX, 1).
    facts : Facts

    Returns
    -------
    dict
        Also the whole ``curve`` of scores over ``thresholds`` of the first, and what it is a ``curve_of``.
    """
    curves: dict[float, list[Array]] = {overlap: [] for overlap in OVERLAPS}
    least = float(STEPS[0])
    for maps, truth, shape in outputs:
        lowest = lowest_threshold(maps[0], CANDIDATES[facts.ndim])
        least = max(least, lowest)
        for overlap, curve in curves.items():
            asked = {"prob_thresh": lowest, "nms_thresh": overlap, "shape": shape}
            found = decode(maps, asked)
            curve.append(precision_curve(truth, found.main, found.extra["scores"], STEPS))
    tried = np.flatnonzero(least <= STEPS)
    best: tuple[float, float, float] | None = None
    for overlap, rows in curves.items():
        table = np.stack(rows)[:, tried]
        threshold = segmentation.best_threshold(table, STEPS[tried])
        score = float(_mean(table)[np.argmin(np.abs(STEPS[tried] - threshold))])
        if best is None or score > best[0] + MARGIN:
            best = (score, threshold, overlap)
    assert best is not None
    _, threshold, overlap = best
    scores = _mean(np.stack(curves[overlap])[:, tried])
    return {
        "prob_thresh": threshold,
        "nms_thresh": overlap,
        "thresholds": STEPS[tried].tolist(),
        "curve": scores.tolist(),
        "curve_of": "AP, mean of IoU " + " and ".join(map(str, IOU)),
    }


def lowest_threshold(probability: Array, candidates: int) -> float:
    """The lowest of `STEPS` above which at most so many pixels of `probability` lie."""
    values = probability.ravel()
    if len(values) <= candidates:
        return float(STEPS[0])
    border = np.partition(values, len(values) - candidates)[len(values) - candidates]
    return float(STEPS[min(np.searchsorted(STEPS, border), len(STEPS) - 1)])


def precision_curve(truth: Array, labels: Array, scores: Array, thresholds: Array) -> Array:
    """Average precision, mean over `IOU`, of the objects whose score exceeds each threshold: float64 (T,).

    Parameters
    ----------
    truth, labels : int (Z)YX
    scores : float (N,)
        Of the objects 1 to N of `labels`.
    thresholds : float (T,), ascending

    Returns
    -------
    float64 (T,)
        NaN where there is no object in either image.
    """
    pairs = instances.overlaps(truth, labels)
    own = scores[pairs.found - 1]
    found = _above(own, thresholds)
    parts = []
    for iou in IOU:
        hits = _above(own[pairs.j[instances.matches(pairs, iou)]], thresholds)
        all_of_them = (len(pairs.truth) + found - hits).astype(float)
        parts.append(np.divide(hits, all_of_them, out=np.full(len(hits), np.nan), where=all_of_them > 0))
    return np.asarray(np.mean(parts, axis=0))


def _above(values: Array, thresholds: Array) -> Array:
    """How many values lie above each threshold."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="right")


def _mean(table: Array) -> Array:
    """Mean over images of each threshold, those left out that say nothing; 0 where none says anything."""
    known = ~np.isnan(table)
    return np.asarray(np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1))

"""The best of boxes that show the same object, and how good a ranking of boxes is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zcdl_common.boxes.suppress import suppress
from zcdl_common.metrics.detection import average_precision, map50
from zcdl_common.metrics.detection_confidence import rates
from zcdl_common.metrics.detection_matching import counted, match
from zcdl_common.task import Array

MATCH = 0.5
"""Least IoU of a box with an object that it is said to show."""
LEAST = 0.02
"""Least score of a box that is kept."""
CONFIDENCES = np.linspace(0.05, 0.95, 19)
"""Least scores tried."""


def best_boxes(candidates: Array, votes: Mapping[int, Array], shared: float) -> tuple[Array, Array]:
    """Of the candidates of a class that share more than `shared`, the one that most votes are for.

    Parameters
    ----------
    candidates
        Boxes (N, 4...).
    votes
        Share (N,) of those who see a class there, by class.
    shared
        IoU, 0 to 1.

    Returns
    -------
    boxes : float64 (M, 5)
        y0 x0 y1 x1 class, best first.
    scores : float64 (M,)
    """
    boxes, scores = [np.zeros((0, 5))], [np.zeros(0)]
    for name, votes_of in votes.items():
        seen = np.flatnonzero(votes_of >= LEAST)
        boxes.append(np.column_stack([candidates[seen, :4], np.full(len(seen), name)]))
        scores.append(votes_of[seen])
    every, sure = np.concatenate(boxes), np.concatenate(scores)
    kept = suppress(every, sure, shared)
    return every[kept], sure[kept]


def judged(found: Sequence[tuple[Array, Array, Array]]) -> tuple[float, dict[int, float]]:
    """How good boxes (N, 5) with scores (N,) are, from these and the true boxes (M, 5) of each image.

    Returns
    -------
    precision : float
        Average precision at IoU 0.5, mean over the classes.
    confidence : dict of int to float
        Least score of the boxes with the highest F1, by class.
    """
    kinds = 1 + int(max(array[:, 4].max(initial=0) for boxes, _, truth in found for array in (boxes, truth)))
    images = [match(truth, boxes, scores, kinds) for boxes, scores, truth in found]
    f1 = rates(images, CONFIDENCES).f1
    confidence = {
        c: float(CONFIDENCES[f1[c].argmax()]) for c in np.flatnonzero(counted(images).sum(0)).tolist()
    }
    return float(map50(average_precision(images, most=None))), confidence

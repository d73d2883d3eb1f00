"""The best of boxes that show the same object, and how good a ranking of boxes is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zcdl_common.boxes import iou
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
        y0 x0 y1 x1 class, of one class after the other, best first.
    scores : float64 (M,)
    """
    boxes, scores = [np.zeros((0, 5))], [np.zeros(0)]
    for name, votes_of in votes.items():
        order = np.argsort(-votes_of, kind="stable")
        order = order[votes_of[order] >= LEAST]
        kept = []
        while len(order):
            kept.append(order[0])
            order = order[iou(candidates[order[:1]], candidates[order])[0] <= shared]
            order = order[order != kept[-1]]
        boxes.append(np.column_stack([candidates[kept, :4], np.full(len(kept), name)]).reshape(-1, 5))
        scores.append(votes_of[kept])
    return np.concatenate(boxes), np.concatenate(scores)


def judged(found: Sequence[tuple[Array, Array, Array]]) -> tuple[float, dict[int, float]]:
    """How good boxes (N, 5) with scores (N,) are, from these and the true boxes (M, 5) of each image.

    Returns
    -------
    precision : float
        Average precision at IoU 0.5, mean over the classes.
    confidence : dict of int to float
        Least score of the boxes with the highest F1, by class.
    """
    names = np.unique(np.concatenate([truth[:, 4] for _, _, truth in found]))
    aps, confidence = [], {}
    for name in names:
        scores, hits = [], []
        for boxes, score, truth in found:
            mine, free = boxes[:, 4] == name, truth[truth[:, 4] == name]
            own = score[mine]
            for box, sure in sorted(zip(boxes[mine], own, strict=True), key=lambda pair: -pair[1]):
                shared = iou(box[None], free)[0]
                hit = bool(shared.max(initial=0) >= MATCH)
                free = np.delete(free, shared.argmax(), axis=0) if hit else free
                scores.append(sure)
                hits.append(hit)
        total = sum(int((truth[:, 4] == name).sum()) for _, _, truth in found)
        order = np.argsort(-np.array(scores), kind="stable")
        right = np.array(hits, float)[order].cumsum()
        precision = right / np.arange(1, 1 + len(right))
        steps = np.diff(right, prepend=0) / total
        aps.append(float((np.maximum.accumulate(precision[::-1])[::-1] * steps).sum()))
        above = np.searchsorted(-np.array(scores)[order], -CONFIDENCES, side="right")
        f1 = 2 * np.concatenate([[0], right])[above] / (above + total)
        confidence[int(name)] = float(CONFIDENCES[f1.argmax()])
    return float(np.mean(aps)), confidence

"""Non-maximum suppression: of several boxes around one object, the surest."""

from __future__ import annotations

import numpy as np

from zcdl_common.boxes import iou
from zcdl_common.task import Array

ROUNDING = 1e-3
"""Pixels by which a box may lie further off than rounding lets it."""
TINY = 1e-6


def suppress(boxes: Array, scores: Array, most: float) -> Array:
    """Boxes that no surer one of their class covers.

    Parameters
    ----------
    boxes : ndarray
        (N, 5) y0 x0 y1 x1 class, in pixels.
    scores : ndarray
        (N,); among equals the first wins.
    most : float
        IoU above which a box is left out, 0 to 1.

    Returns
    -------
    ndarray of int
        Indices of those that stay, by falling score.
    """
    order = np.argsort(-scores, kind="stable")
    rank = np.argsort(order)
    # a large image holds thousands of boxes: each is compared with those that may share enough rows with it.
    # IoU is at most the rows that two share over those of the taller one, whatever their width
    down = np.argsort(boxes[:, 0], kind="stable")
    tops, below = boxes[down, 0], (1 - most) * (boxes[:, 2] - boxes[:, 0]) + ROUNDING
    first = np.searchsorted(tops, boxes[:, 0] - below / max(most, TINY))
    last = np.searchsorted(tops, boxes[:, 0] + below, side="right")
    stays = np.ones(len(boxes), bool)
    for i in order:
        if stays[i]:
            near = down[first[i] : last[i]]
            near = near[stays[near] & (rank[near] > rank[i]) & (boxes[near, 4] == boxes[i, 4])]
            stays[near[iou(boxes[i : i + 1], boxes[near])[0] > most]] = False
    return order[stays[order]]

"""Non-maximum suppression: of several boxes around one object, the surest."""

from __future__ import annotations

import numpy as np

from zcdl_common.boxes import iou
from zcdl_common.task import Array


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
    # a large image holds thousands of boxes: each is compared with those of its rows alone
    down = np.argsort(boxes[:, 0], kind="stable")
    tops, tallest = boxes[down, 0], np.max(boxes[:, 2] - boxes[:, 0], initial=0.0)
    first = np.searchsorted(tops, boxes[:, 0] - tallest)
    last = np.searchsorted(tops, boxes[:, 2], side="right")
    stays = np.ones(len(boxes), bool)
    for i in order:
        if stays[i]:
            near = down[first[i] : last[i]]
            near = near[stays[near] & (rank[near] > rank[i]) & (boxes[near, 4] == boxes[i, 4])]
            stays[near[iou(boxes[i : i + 1], boxes[near])[0] > most]] = False
    return order[stays[order]]

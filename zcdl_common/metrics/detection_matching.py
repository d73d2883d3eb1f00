"""Boxes that were found and true ones: which belongs to which.

Two rules. Benchmarks match class by class, the surest detection first (`match`): an object that was found as
another class is missed, and its box is wrong. To see such confusion, boxes are matched whatever their class,
those that share most first (`partners`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zcdl_common.boxes import iou
from zcdl_common.errors import DataError
from zcdl_common.task import Array

LEVELS = np.linspace(0.5, 0.95, 10)
"""Least IoU of a match."""
AT_ONCE = 1000
"""Detections whose overlaps with all true boxes are held in memory together."""
IOU = 0.5
"""Least IoU of a match where there is one."""


class Matched(NamedTuple):
    """What became of the detections of one image."""

    scores: Array
    """Confidences, float64 (M,), falling."""
    classes: Array
    """Class index of each, (M,)."""
    right: Array
    """Whether it found a true box of its class, at each of `LEVELS`: bool (M, 10)."""
    truths: Array
    """Number of true boxes of each class, (K,)."""


def match(truth: Array, found: Array, scores: Array, classes: int) -> Matched:
    """Match the detections of one image with its true boxes, class by class, the surest first.

    Each takes the box with which it shares most, of those that are left; so detections below a threshold
    never change what became of those above.

    Parameters
    ----------
    truth : float (N, 5)
        y0 x0 y1 x1 in pixels, class index.
    found : float (M, 5)
        The same of the detections, in any order.
    scores : float (M,)
        Confidence of each detection; among equal ones the first comes first.
    classes
        How many there are, K.

    Raises
    ------
    DataError
        The arrays are no boxes with class indices below `classes`, or scores are missing or not finite.

    References
    ----------
    Lin, T.-Y. et al. (2014). Microsoft COCO: common objects in context. ECCV. arXiv:1405.0312
    """
    truth, found = checked(truth, classes), checked(found, classes)
    sure = np.asarray(scores, float)
    if sure.shape != (len(found),) or not np.isfinite(sure).all():
        raise DataError(
            f"There are {len(found)} boxes found, and scores of shape {sure.shape}, "
            f"{np.isfinite(sure).sum()} of them finite. Every box needs one finite score: give (M,)."
        )
    order = np.argsort(-sure, kind="stable")
    found, sure = found[order], sure[order]
    right = np.zeros((len(found), len(LEVELS)), bool)
    for c in np.unique(found[:, 4]):
        rows, columns = found[:, 4] == c, truth[:, 4] == c
        right[rows] = _taken(found[rows], truth[columns])
    truths = np.bincount(truth[:, 4].astype(int), minlength=classes)
    return Matched(sure, found[:, 4].astype(int), right, truths)


def checked(boxes: Array, classes: int) -> Array:
    """Boxes with class indices as float64 (N, 5); a `DataError` where they are none."""
    array = np.asarray(boxes, float)
    if not array.size:
        return np.zeros((0, 5))
    if array.ndim != 2 or array.shape[1] != 5 or not np.isfinite(array).all():
        raise DataError(
            f"Boxes of shape {array.shape}, or with values that are not finite, cannot be matched. Give one "
            "row a box: y0 x0 y1 x1 and the class index."
        )
    index = array[:, 4]
    if (index != index.round()).any() or index.min() < 0 or index.max() >= classes:
        raise DataError(
            f"Boxes have class indices {index.min():g} to {index.max():g}, but there are {classes} classes, "
            f"0 to {classes - 1}. Use the classes that the network was trained on."
        )
    return array


def _taken(found: Array, truth: Array) -> Array:
    """Which detections (D, 5) of a class, the surest first, find a box (G, 5) that is left: bool (D, 10)."""
    right = np.zeros((len(found), len(LEVELS)), bool)
    free = np.ones((len(LEVELS), len(truth)), bool)
    levels = np.arange(len(LEVELS))
    for start in range(0, len(found) if len(truth) else 0, AT_ONCE):
        shared = iou(found[start : start + AT_ONCE], truth)
        for d in np.flatnonzero(shared.max(axis=1) >= LEVELS[0]):
            near = np.flatnonzero(shared[d] >= LEVELS[0])[::-1]  # the last of equals, as in COCO
            open_to_it = np.where(free[:, near] & (shared[d, near] >= LEVELS[:, None]), shared[d, near], -1.0)
            best = open_to_it.argmax(axis=1)
            hit = open_to_it[levels, best] > 0
            right[start + d] = hit
            free[hit, near[best[hit]]] = False
    return right


def partners(truth: Array, found: Array, level: float = IOU) -> tuple[Array, Array]:
    """Match boxes (N, 5) and (M, 5) whatever their class, those that share most first.

    Of pairs that share equally, those of one class come first: the same place may be found as two classes.

    Returns
    -------
    i, j : int (P,)
        Rows of `truth` and of `found`, each in one pair; all with an IoU of at least `level`.
    """
    shared = iou(truth, found)
    i, j = np.nonzero(shared >= level)
    order = np.lexsort((truth[i, 4] != found[j, 4], -shared[i, j]))
    taken, used = np.zeros(len(truth), bool), np.zeros(len(found), bool)
    pairs = []
    for a, b in zip(i[order], j[order], strict=True):
        if not taken[a] and not used[b]:
            taken[a] = used[b] = True
            pairs.append((a, b))
    kept = np.array(pairs, int).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]


def counted(images: Sequence[Matched]) -> Array:
    """True boxes by image and class: int (N, K); (0, 0) without images."""
    return np.array([m.truths for m in images]) if len(images) else np.zeros((0, 0), int)


def ranked(images: Sequence[Matched], c: int, most: int | None = None) -> tuple[Array, Array, Array]:
    """Detections of class `c` of all images, the surest first: image (D,), score (D,), right (D, 10)."""
    of_class = [np.flatnonzero(m.classes == c)[:most] for m in images]
    image = np.repeat(np.arange(len(images)), [len(index) for index in of_class])
    scores = np.concatenate([m.scores[i] for m, i in zip(images, of_class, strict=True)])
    right = np.concatenate([m.right[i] for m, i in zip(images, of_class, strict=True)])
    order = np.argsort(-scores, kind="stable")
    return image[order], scores[order], right[order]

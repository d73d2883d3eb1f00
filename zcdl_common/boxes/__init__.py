"""Boxes around objects: what they are, how much of them two share, and those of a label image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.task import Array


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image, with the names of what is in them."""

    classes: tuple[str, ...]
    """Class of each box."""
    yxyx: Array
    """float (N, 4) y0 x0 y1 x1 in pixels, half-open: pixel i covers [i, i + 1)."""
    scores: Array | None = None
    """float (N,), 0 to 1: how sure a network is of each; None where people drew them."""

    def __len__(self) -> int:
        return len(self.classes)

    def at(self, index: Array) -> Boxes:
        """Those of the boxes that an index or a mask (N,) names."""
        names = np.array(self.classes, object)[index]
        return Boxes(tuple(names), self.yxyx[index], None if self.scores is None else self.scores[index])


def iou(one: Array, other: Array) -> Array:
    """Area that boxes share over the area that either covers.

    Parameters
    ----------
    one, other : ndarray
        Boxes (N, 4...) and (M, 4...), y0 x0 y1 x1 first.

    Returns
    -------
    ndarray of float64
        (N, M), 0 to 1; 0 for boxes without area.
    """
    a, b = np.asarray(one, float)[:, None], np.asarray(other, float)[None]
    # an axis at a time: of thousands of boxes each such array takes hundreds of megabytes
    height, width = (
        (np.minimum(a[..., i + 2], b[..., i + 2]) - np.maximum(a[..., i], b[..., i])).clip(0) for i in (0, 1)
    )
    shared = height * width
    either = area(a) + area(b) - shared
    return np.asarray(np.divide(shared, either, out=np.zeros_like(shared), where=either > 0))


def area(boxes: Array) -> Array:
    """Area of boxes (..., 4...) y0 x0 y1 x1 in square pixels; 0 where a side is turned round."""
    return np.asarray((boxes[..., 2:4] - boxes[..., :2]).clip(0).prod(axis=-1))


def of_labels(labels: Array) -> Array:
    """Boxes float32 (N, 4) of the objects of a label image int (Y, X), by rising number."""
    from scipy import ndimage

    found = [box for box in ndimage.find_objects(labels) if box is not None]
    corners = [(y.start, x.start, y.stop, x.stop) for y, x in found]
    return np.array(corners, np.float32).reshape(-1, 4)


def covered(boxes: Boxes, size: Sequence[int]) -> Array:
    """Which pixels of an image of `size` (Y, X) lie in a box, wholly or in part: bool (Y, X)."""
    shown = np.zeros(tuple(size), bool)
    corners = np.clip(boxes.yxyx, 0, [*size, *size])
    for y0, x0, y1, x1 in np.column_stack([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])]).astype(int):
        shown[y0:y1, x0:x1] = True
    return shown

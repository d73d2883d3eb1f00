"""Boxes that may hold an object: around regions brighter than many levels, and around blobs of many sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.baselines.watershed import Mask
from zcdl_common.boxes import area
from zcdl_common.task import Array

LEVELS = np.linspace(0.1, 0.8, 7)
"""Thresholds tried, between the 2nd and the 99.5th percentile of a plane."""
SMOOTHING = 1.0
"""Standard deviation of the smoothing before a threshold, in pixels."""
NECKS = 0.15
"""Standard deviation of the smoothing of the distance map, in least distances of two centres."""
COARSEST = 4.0
"""Planes are shrunk until the standard deviation of a Laplacian of Gaussian is at most twice this: a wide
filter needs no fine pixels, and its time grows with the width."""
ROUND = np.pi / 4
"""Share of its box that a disc fills."""


@dataclass(frozen=True)
class Proposals:
    """Where objects may be, seen along directions in colour that tell them from what is around them."""

    mixes: Array
    """(C, P) shares of the channels in each plane; objects are bright in one of them."""
    background: Array
    """(C,) mean colour outside all boxes."""
    whitening: Array
    """(C, C) makes the colours outside all boxes vary alike in all directions."""
    spacings: tuple[float, ...]
    """Least distances between the centres of touching objects, in pixels."""
    diameters: tuple[float, ...]
    """Of the blobs looked for, in pixels."""
    limits: tuple[float, float]
    """Least and largest root of the area of a box, in pixels."""

    def stack(self, image: Array) -> Array:
        """Channels, their mixes, and the distance from the background's colour: float32 (Y, X, K)."""
        apart = np.linalg.norm((image - self.background) @ self.whitening, axis=-1, keepdims=True)
        return np.concatenate([image, image @ self.mixes, apart], axis=-1).astype(np.float32)

    def __call__(self, image: Array) -> tuple[Array, Array]:
        """Candidates of a scaled image float32 (Y, X, C).

        Returns
        -------
        boxes : float32 (N, 5)
            y0 x0 y1 x1 and the share of the box that its region fills; each box once.
        features : float32 (N, F)
            See `features`.
        """
        stack = self.stack(image)
        planes = stack[..., image.shape[-1] :]
        parts = [np.zeros((0, 5))]
        for plane in np.moveaxis(planes, -1, 0):
            parts += [regions(plane, self.spacings), blobs_of(plane, self.diameters)]
        boxes = np.concatenate(parts)
        boxes[:, :4] = boxes[:, :4].clip(0, np.tile(image.shape[:2], 2))
        sides, size = boxes[:, 2:4] - boxes[:, :2], np.sqrt(area(boxes))
        boxes = boxes[(sides > 1).all(1) & (size >= self.limits[0]) & (size <= self.limits[1])]
        _, first = np.unique(boxes[:, :4].round(), axis=0, return_index=True)
        boxes = boxes[np.sort(first)].astype(np.float32)
        return boxes, features(stack, boxes)


def regions(plane: Array, spacings: Sequence[float]) -> Array:
    """Boxes of what is above each of `LEVELS`, whole and parted at its necks, and their fill: (N, 5)."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(plane, SMOOTHING)
    low, high = np.percentile(smooth, [2, 99.5])
    found = [np.zeros((0, 5))]
    for level in LEVELS:
        mask = Mask(ndimage.binary_fill_holes(smooth > low + level * (high - low)))
        if not mask.inside.any() or mask.inside.all():
            continue
        for spacing in (np.inf, *spacings):
            labels = mask.parted(spacing, NECKS * spacing)
            counts = np.bincount(labels.ravel())[1:]
            corners = np.array([(y.start, x.start, y.stop, x.stop) for y, x in ndimage.find_objects(labels)])
            found.append(np.column_stack([corners, counts / area(corners)]))
    return np.concatenate(found)


def blobs_of(plane: Array, diameters: Sequence[float]) -> Array:
    """Squares around the bright maxima of the Laplacian of Gaussian of each size, and a disc's fill: (N, 5).

    References
    ----------
    Lindeberg, T. (1998). Feature detection with automatic scale selection. International Journal of Computer
    Vision 30, 79-116. doi:10.1023/A:1008045108935
    """
    import cv2
    from scipy import ndimage

    found = [np.zeros((0, 5))]
    for diameter in diameters:
        sigma = diameter / np.sqrt(8)  # of the filter that answers most to a disc of this diameter
        step = max(1, int(sigma / COARSEST))
        shape = [max(1, side // step) for side in plane.shape]
        small = cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA)
        answer = -ndimage.gaussian_laplace(small, sigma / step)
        nearby = max(3, round(0.4 * diameter / step))
        tops = (ndimage.maximum_filter(answer, nearby) == answer) & (answer > max(0.0, np.median(answer)))
        centres = (np.argwhere(tops) + 0.5) * np.divide(plane.shape, shape)
        corners = np.hstack([centres - diameter / 2, centres + diameter / 2])
        found.append(np.column_stack([corners, np.full(len(corners), ROUND)]))
    return np.concatenate(found)


def features(planes: Array, boxes: Array) -> Array:
    """What is known of boxes (N, 5): float32 (N, F).

    Size, shape and fill; the number of image borders touched; of every plane (Y, X, P) mean and standard
    deviation inside, mean in the middle, in the rim and around, and the step across the sides: the least of
    the four, and the mean of the others.
    """
    values = planes.astype(np.float64)
    sums = np.pad(np.dstack([values, values**2]).cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    n = planes.shape[-1]
    corners = boxes[:, :4].astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    whole, middle, core, around = (_sums(sums, _grown(corners, k)) for k in (1.0, 0.5, 0.8, 1.3))
    inside = _mean(whole)
    spread = np.sqrt((inside[:, n:] - inside[:, :n] ** 2).clip(0))
    rim, ring = (_mean((a[0] - b[0], a[1] - b[1]))[:, :n] for a, b in ((whole, core), (around, whole)))
    steps = np.sort([_step(sums[..., :n], corners, axis, end) for axis in (0, 1) for end in (0, 2)], axis=0)
    at_border = np.column_stack([corners[:, :2] <= 1, corners[:, 2:] >= np.array(planes.shape[:2]) - 1]).sum(
        1
    )
    shape = [np.log(sides.prod(1)), np.abs(np.log(sides[:, 0] / sides[:, 1])), boxes[:, 4], at_border]
    colours = [inside[:, :n], spread, _mean(middle)[:, :n], rim, ring, steps[0], steps[1:].mean(0)]
    return np.column_stack([*shape, *colours]).astype(np.float32)


def _step(sums: Array, corners: Array, axis: int, end: int) -> Array:
    """How much brighter it is within a side of each box than beyond: (N, P); 0 at an image border."""
    inner, outer = corners.copy(), corners.copy()
    depth = np.maximum(1, 0.12 * (corners[:, axis + 2] - corners[:, axis])) * (1 if end == 0 else -1)
    inner[:, axis + 2 - end] = corners[:, axis + end] + depth
    outer[:, axis + 2 - end] = corners[:, axis + end]
    outer[:, axis + end] = corners[:, axis + end] - depth
    beyond = _sums(sums, outer)
    return np.where(beyond[1][:, None] > 0, _mean(_sums(sums, inner)) - _mean(beyond), 0)


def _grown(corners: Array, factor: float) -> Array:
    """The same centres, sides multiplied by a factor."""
    centre, half = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]) / 2
    return np.hstack([centre - half * factor, centre + half * factor])


def _sums(sums: Array, corners: Array) -> tuple[Array, Array]:
    """Sum of the planes (N, P) and number of pixels (N,) in boxes, from cumulative sums (Y + 1, X + 1, P)."""
    limit = np.tile(np.array(sums.shape[:2]) - 1, 2)
    y0, x0, y1, x1 = corners.round().astype(int).clip(0, limit).T
    return sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0], (y1 - y0) * (x1 - x0)


def _mean(total: tuple[Array, Array]) -> Array:
    return np.asarray(total[0] / np.maximum(total[1], 1)[:, None])

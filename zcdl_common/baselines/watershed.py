"""Objects by a threshold, and a watershed that parts those which touch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zcdl_common.baselines.threshold import Local, Otsu, smooth
from zcdl_common.task import Array


@dataclass(frozen=True)
class Watershed:
    """A threshold whose foreground is parted at its necks, by a watershed of the distance to its border.

    References
    ----------
    Meyer, F. (1994). Topographic distance and watershed lines. Signal Processing 38, 113-125.
    doi:10.1016/0165-1684(94)90060-4
    """

    foreground: Otsu | Local
    spacing: float
    """Least distance between the centres of touching objects, in pixels of YX; infinite: none is parted."""
    smoothing: float
    """Standard deviation of the smoothing of the distance map, in pixels of YX."""
    smallest: int
    """Least number of pixels of an object."""
    aspect: float = 1.0
    """Distance of planes over distance of pixels."""

    def __call__(self, source: Array) -> Array:
        """Image (Z)YXC -> labels int32 (Z)YX, numbered from 1."""
        mask = Mask(self.foreground(source) > 0, self.aspect)
        return without_small(mask.parted(self.spacing, self.smoothing), self.smallest)

    def __str__(self) -> str:
        parted = (
            f"centres at least {self.spacing:.1f} pixels apart" if self.spacing < np.inf else "not parted"
        )
        return f"{self.foreground}; {parted}; at least {self.smallest} pixels"


class Mask:
    """Foreground (Z)YX, and what all ways to part it share."""

    def __init__(self, inside: Array, aspect: float = 1.0):
        self.inside, self.aspect = inside, aspect
        self.sampling = np.array((aspect, 1.0, 1.0)[-inside.ndim :])

    @cached_property
    def pieces(self) -> Array:
        """Connected pixels, numbered from 1; int32."""
        from scipy import ndimage

        return np.asarray(ndimage.label(self.inside)[0], np.int32)

    @cached_property
    def distance(self) -> Array:
        """Distance to the nearest pixel of background, in pixels of YX."""
        from scipy import ndimage

        return np.asarray(ndimage.distance_transform_edt(self.inside, self.sampling))

    def parted(self, spacing: float, smoothing: float) -> Array:
        """Labels int32 (Z)YX; parameters are those of `Watershed`."""
        from skimage.segmentation import watershed

        if spacing == np.inf or self.inside.all():
            return self.pieces
        relief = smooth(self.distance, smoothing, self.aspect)
        tops = self.tops(relief, spacing)
        markers = np.zeros(relief.shape, np.int32)
        markers[tuple(tops.T)] = np.arange(1, 1 + len(tops))
        return np.asarray(watershed(-relief, markers, mask=self.inside), np.int32)

    def tops(self, relief: Array, spacing: float) -> Array:
        """Places (N, D) of local maxima, each the highest of its piece within `spacing`.

        Every piece keeps at least one.
        """
        from scipy import ndimage
        from scipy.spatial import KDTree

        # neighbours are those that join `pieces`, whose highest pixel therefore is a maximum
        beside = ndimage.generate_binary_structure(relief.ndim, 1)
        inside = np.where(self.inside, relief, -np.inf)
        peaks = (ndimage.maximum_filter(inside, footprint=beside) == inside) & self.inside
        plateaus, count = ndimage.label(peaks)
        numbers, first = np.unique(plateaus, return_index=True)
        places = np.stack(np.unravel_index(first[numbers > 0], relief.shape), axis=1)
        where = tuple(places.T)
        pieces = self.pieces[where]
        tree = KDTree(places * self.sampling)
        left = np.ones(count, bool)
        for place in np.argsort(-relief[where], kind="stable"):
            if left[place]:
                near = np.asarray(tree.query_ball_point(tree.data[place], spacing))
                left[near[pieces[near] == pieces[place]]] = False
                left[place] = True
        return np.asarray(places[left])


def without_small(labels: Array, smallest: int) -> Array:
    """Labels without objects of fewer than `smallest` pixels, numbered anew from 1; int32 (Z)YX."""
    kept = np.bincount(labels.ravel()) >= max(1, smallest)
    kept[0] = False
    return np.asarray(np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels])

"""Positions matched one to one with known ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from zcdl_common.metrics.assignment import assign
from zcdl_common.task import Array


class Hits(NamedTuple):
    """What was found in each frame: float64 (T,) each."""

    hits: Array
    missed: Array
    false: Array
    squares: Array
    """Sum of squared distances of hits, pixels."""

    @property
    def jaccard(self) -> float:
        """Hits over all that is known or found; 0 where there is neither."""
        hits, missed, false = (float(n.sum()) for n in self[:3])
        return hits / max(hits + missed + false, 1.0)

    @property
    def error(self) -> float:
        """Root mean squared distance of hits in pixels."""
        return float(np.sqrt(self.squares.sum() / max(self.hits.sum(), 1)))

    def of(self, use: Array) -> Hits:
        """Those of some frames: an index or a mask (T,)."""
        return Hits(*(numbers[use] for numbers in self))


def count_hits(found: Array, known: Array, frames: int, radius: float) -> Hits:
    """Match as many as can be within a radius and, of the ways to do so, the closest.

    Parameters
    ----------
    found, known
        Index of the frame from 0, y and x: (N, 3) and (M, 3).
    frames
        Their number.
    radius
        In the unit of y and x.
    """
    rows = []
    for t in range(frames):
        a, b = (places[places[:, 0] == t, 1:] for places in (known, found))
        squares = cdist(a, b, "sqeuclidean")
        near = squares <= radius**2
        i, j = np.nonzero(near)
        pairs = squares[near]
        hit = assign(i, j, 1 - pairs / radius**2)
        rows.append((len(hit), len(a) - len(hit), len(b) - len(hit), pairs[hit].sum()))
    return Hits(*np.array(rows, float).reshape(-1, 4).T)

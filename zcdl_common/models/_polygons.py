"""From StarDist's maps to objects: the surest candidates, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from zcdl_common.task import Array, Prediction

BORDER = 2
"""Points of the grid at the edge of an image where no object is centred, as in stardist."""


def objects(
    probability: Array,
    distances: Array,
    grid: tuple[int, ...],
    shape: tuple[int, ...],
    prob_thresh: float,
    nms_thresh: float,
    rays: Any = None,
) -> Prediction:
    """Label image int32 of `shape`, and a row for each object; see `StarDistModel.decode`.

    Parameters
    ----------
    probability : float32 (Z)YX / grid
    distances : float32 ((Z)YX / grid, rays), above 0
    shape : tuple of int
        Of the image, (Z)YX.
    prob_thresh : float
        Points below it are no candidates.
    nms_thresh : float
        Share of the smaller of two candidates that both may cover; else the less sure one goes.
    rays
        3D: rays of stardist.
    """
    from stardist.nms import non_maximum_suppression, non_maximum_suppression_3d

    asked = {"grid": grid, "b": BORDER, "prob_thresh": prob_thresh, "nms_thresh": nms_thresh}
    if rays is None:
        points, scores, reach = non_maximum_suppression(distances, probability, **asked)
    else:
        points, scores, reach = non_maximum_suppression_3d(distances, probability, rays, **asked)
    drawn = draw(points, scores, reach, shape, rays)
    seen = np.unique(drawn)
    seen = seen[seen > 0]
    renumber = np.zeros(len(points) + 1, np.int32)
    renumber[seen] = np.arange(1, len(seen) + 1)
    rows = seen - 1
    extra = {
        "points": (points[rows] + 0.5).astype(np.float32),  # the middle of a pixel
        "scores": scores[rows].astype(np.float32),
        "distances": reach[rows].astype(np.float32),
    }
    return Prediction(renumber[drawn], extra)


def draw(points: Array, scores: Array, reach: Array, shape: tuple[int, ...], rays: Any = None) -> Array:
    """Label image: object ``n`` is the row ``n - 1``; where two overlap, the surer one is seen."""
    from stardist.geometry import polygons_to_label, polyhedron_to_label

    if not len(points):
        return np.zeros(shape, np.int32)
    if rays is None:
        return np.asarray(polygons_to_label(reach, points, shape, prob=scores), np.int32)
    found = polyhedron_to_label(reach, points, rays, shape, prob=scores, verbose=False)
    return np.asarray(found, np.int32)

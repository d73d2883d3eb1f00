"""Directions in colour in which objects stand out, and the sizes that they have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.baselines.candidates import Proposals
from zcdl_common.boxes import area
from zcdl_common.task import Array

PIXELS = 4000
"""Of each image, that directions are learned from."""
MOST_PLANES = 5
"""Directions kept, by how much they differ."""
ALIKE = 0.98
"""Cosine from which on two directions count as one."""
INNER = 0.7
"""Part of the sides of a box, around its centre, whose pixels count as those of the object."""
SIZES = (0.2, 0.5, 0.8)
"""Quantiles of the sizes of a class that blobs are looked for at."""
MOST_SPACINGS, MOST_SIZES = 3, 9
RIDGE = 1e-4
"""Added to variances, in units of the scaled image."""


def proposals(images: Sequence[tuple[Array, Array]], seed: int) -> Proposals:
    """Where to look for objects such as those of scaled images (Y, X, C) with boxes (N, 5).

    Each class gives two directions in colour, that to the background and that to all else; among many classes
    those are kept which differ most.

    References
    ----------
    Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of Eugenics 7,
    179-188. doi:10.1111/j.1469-1809.1936.tb02137.x
    """
    rng = np.random.default_rng(seed)
    drawn = [_pixels(image, boxes, rng) for image, boxes in images]
    colours = np.concatenate([pixels for pixels, _ in drawn])
    of = np.concatenate([classes for _, classes in drawn])
    outside = colours[of == -1] if (of == -1).sum() > colours.shape[1] else colours
    directions = []
    for name in np.unique(of[of >= 0]):
        others = (colours[(of != name) & (of >= -1)], outside)
        directions += [_fisher(colours[of == name], other) for other in others if len(other)]
    variances, axes = np.linalg.eigh(_scatter(outside))
    boxes = np.concatenate([boxes for _, boxes in images])
    sides = [np.sqrt(area(boxes[boxes[:, 4] == name])) for name in np.unique(boxes[:, 4])]
    middles = np.unique([np.median(side) for side in sides])
    sizes = np.unique(np.concatenate([np.quantile(side, SIZES) for side in sides]).round(1))
    return Proposals(
        np.transpose(_differing(directions)),
        outside.mean(0),
        axes / np.sqrt(variances),
        tuple(0.5 * middle for middle in _some(middles, MOST_SPACINGS)),
        tuple(_some(sizes, MOST_SIZES)),
        (0.5 * min(map(np.min, sides)), 2 * max(map(np.max, sides))),
    )


def _pixels(image: Array, boxes: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Colours (P, C) and classes (P,): -1 outside all boxes, -2 near their sides."""
    classes = np.full(image.shape[:2], -1)
    for share in (1.0, INNER):
        for y0, x0, y1, x1, name in boxes:
            y, x = (1 - share) * (y1 - y0) / 2, (1 - share) * (x1 - x0) / 2
            rows, columns = (
                (max(0, int(y0 + y)), int(np.ceil(y1 - y))),
                (max(0, int(x0 + x)), int(np.ceil(x1 - x))),
            )
            classes[slice(*rows), slice(*columns)] = -2 if share == 1 else name
    chosen = rng.permutation(classes.size)[:PIXELS]
    return image.reshape(-1, image.shape[-1])[chosen].astype(float), classes.ravel()[chosen]


def _scatter(colours: Array) -> Array:
    return np.cov(colours, rowvar=False).reshape(2 * colours.shape[1:]) + RIDGE * np.eye(colours.shape[1])


def _fisher(colours: Array, others: Array) -> Array:
    """Direction (C,) of length 1 in which colours differ most from others, for their spread."""
    spread = sum(_scatter(c) if len(c) > 1 else np.eye(c.shape[1]) for c in (colours, others))
    direction = np.linalg.solve(spread, colours.mean(0) - others.mean(0))
    return np.asarray(direction / max(np.linalg.norm(direction), 1e-12))


def _differing(directions: Sequence[Array]) -> list[Array]:
    """At most `MOST_PLANES`, each the one that differs most from those before."""
    kept = [directions[0]]
    while len(kept) < MOST_PLANES:
        nearest = np.max(np.array(directions) @ np.transpose(kept), axis=1)
        if nearest.min() > ALIKE:
            break
        kept.append(directions[int(nearest.argmin())])
    return kept


def _some(values: Array, most: int) -> list[float]:
    """At most so many of sorted values, evenly over their ranks."""
    return [float(v) for v in values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))]]

"""Whether targets belong to their images, or to others of the set: names that were mixed up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from zcdl_common.doctor import alignment, duplicates
from zcdl_common.doctor.findings import Finding
from zcdl_common.task import Array

FITS = 0.5
"""Correlation of two thumbnails from which a target fits an image clearly.

Of 238 real pairs (nuclei, tissue in electron microscopy, two exposures, bright field and fluorescence) 95 %
reach it; exchanged pairs stay below 0.42, but for two channels of one field.
"""
TIMES = 2.0
"""How many times better than its own image a target must fit another; the most of those pairs was 1.5."""
FEWEST = 2
"""Files with such targets: names are exchanged by twos at least."""
_SHOWN = 3


class Pair(NamedTuple):
    """Thumbnails of an image and of its target, of mean 0 and length 1 each (`duplicates.thumbnail`).

    (32, 32), or (2, 32, 32) where the two are images of different kinds (`portrait`).
    """

    file: str
    shape: tuple[int, ...]
    image: Array
    target: Array


def portrait(image: Array) -> Array | None:
    """Thumbnails of an image (Z)YXC and of the strength of its edges, (2, 32, 32) float32.

    Between images of different kinds, either may be what agrees. None where one shows nothing.
    """
    grey = image.mean(axis=-1, dtype=np.float32)
    both = [duplicates.thumbnail(plane[..., np.newaxis]) for plane in (grey, alignment.edges(grey))]
    return None if any(one is None for one in both) else np.stack(both)  # type: ignore[arg-type]


def correlations(images: Sequence[Array], targets: Sequence[Array]) -> Array:
    """Correlation of every image with every target, (K, N, N): K = 4 for portraits, 1 for thumbnails.

    Rows are images, columns targets.
    """
    one, other = (np.stack([x.reshape(-1, x.shape[-2] * x.shape[-1]) for x in y]) for y in (images, targets))
    found = np.einsum("iap,jbp->abij", one, other, optimize=True)
    return np.asarray(found.reshape(-1, len(one), len(other)))


def measure_fits(pairs: Sequence[Pair]) -> Array:
    """Best correlation, without its sign, of every image (rows) with every target (columns), (N, N).

    0 where image and target differ in size.
    """
    fits = np.abs(correlations([p.image for p in pairs], [p.target for p in pairs])).max(axis=0)
    same = [[a.shape == b.shape for b in pairs] for a in pairs]
    return np.asarray(np.where(same, fits, 0.0))


def check_matches(pairs: Sequence[Pair], word: str) -> Iterator[Finding]:
    """Targets that fit the image of another file much better than their own.

    A target that fits no image clearly tells nothing: many structures show too little in an image for that.

    Parameters
    ----------
    pairs : sequence of Pair
    word : str
        What to call the target: "mask".
    """
    if len(pairs) < FEWEST:
        return
    fits = measure_fits(pairs)
    own, best, where = fits.diagonal(), fits.max(axis=0), fits.argmax(axis=0).tolist()
    wrong = np.flatnonzero((best > FITS) & (best > TIMES * own)).tolist()
    if len(wrong) < FEWEST:
        return
    names = [os.path.basename(p.file) for p in pairs]
    told = [
        f"that of {names[i]} fits {names[where[i]]} ({best[i]:.2f} instead of {own[i]:.2f})"
        for i in wrong[:_SHOWN]
    ]
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    yield Finding(
        "warning",
        "targets-of-other-images",
        tuple(pairs[i].file for i in wrong),
        f"{len(wrong)} of {len(pairs)} {word}s fit another image better than their own: do the names belong "
        f"together? By the correlation of coarse pictures, {'; '.join(told)}{more}.",
        f"Open an image and its {word} on top of each other. If they show different fields, give each {word} "
        "the name of the image that it was made from.",
    )

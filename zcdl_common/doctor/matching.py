"""Whether targets belong to their images, or to others of the set: names that were mixed up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

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
    """Thumbnails (32, 32) of an image and of its target, of mean 0 and length 1 (`duplicates.thumbnail`)."""

    file: str
    shape: tuple[int, ...]
    image: Array
    target: Array


def measure_fits(pairs: Sequence[Pair]) -> Array:
    """Correlation, without its sign, of every image (rows) with every target (columns), (N, N).

    0 where image and target differ in size.
    """
    images = np.stack([p.image.ravel() for p in pairs])
    targets = np.stack([p.target.ravel() for p in pairs])
    same = [[a.shape == b.shape for b in pairs] for a in pairs]
    return np.asarray(np.where(same, np.abs(images @ targets.T), 0.0))


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

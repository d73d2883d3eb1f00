"""Whether two sets of images are pairs of the same fields, whatever the kinds of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zcdl_common.doctor.findings import Finding
from zcdl_common.doctor.matching import Pair, correlations
from zcdl_common.pairs import core
from zcdl_common.task import Array

FEWEST = 8
"""Pairs from which something can be told."""
RELATED = 4.0
"""Standard deviations above chance from which images count as pairs."""
STRONG = 0.2
"""`Kinship.share` that the same verdict needs: in large sets, images that were sorted alike (by day, by kind
of tissue) agree better than chance too, but little. All true pairs tried (bright field, phase contrast or
actin with a fluorescence image; simulated stacks) reach 0.38."""
UNRELATED = 3.0
WEAK = 0.25
"""Standard deviations from chance, and `Kinship.share`, below which nothing connects images and targets.

Of sets of 8, 10 and 15 unrelated pairs 73, 92 and 98 % stay below; of the least related true pairs (small
simulated stacks) 2 %, 2 % and 1 %.
"""
ALIKE = 0.2
"""Mean correlation with all targets from which nothing is told: frames of one field fit all its targets."""


class Kinship(NamedTuple):
    """How much better images agree with their own targets than with those of others."""

    deviations: float
    """Of the sum of all agreements from that of shuffled pairs, in standard deviations of the latter."""
    share: float
    """The same between 0 (as shuffled) and 1 (own targets agree, all equally well, and no others do)."""


def measure_kinship(images: Sequence[Array], targets: Sequence[Array]) -> Kinship:
    r"""Agreement of N >= 2 images with N targets in the same order.

    With the correlations :math:`c_{ij}` of image i and target j, less the means of their rows and columns,
    the sum over shuffled pairs has mean 0 and variance :math:`\sum c_{ij}^2 / (N - 1)` [1]_, so that nothing
    has to be shuffled. Of the four ways to compare portraits the one that tells most counts; its sign does
    not matter, since contrast may be inverted.

    Parameters
    ----------
    images, targets : sequence of ndarray
        Portraits (2, 32, 32) of `matching.portrait`.

    References
    ----------
    .. [1] Hoeffding, A combinatorial central limit theorem, Ann Math Stat 22:558 (1951),
       doi:10.1214/aoms/1177729545
    """
    fits = correlations(images, targets)
    fits = fits - fits.mean(axis=1, keepdims=True) - fits.mean(axis=2, keepdims=True)
    fits = fits - fits.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((fits**2).sum(axis=(1, 2)))
    own = np.abs(np.trace(fits, axis1=1, axis2=2))
    share = own / np.where(length > 0, length, np.inf) / np.sqrt(len(images) - 1)
    best = float(share.max())
    return Kinship(best * (len(images) - 1), best)


def check_kinship(pairs: Sequence[Pair], source: str, target: str) -> Iterator[Finding]:
    """Images and targets that bear the same names and have nothing else in common.

    Parameters
    ----------
    pairs : sequence of Pair
        With portraits. Of fewer than eight nothing is said.
    source, target : str
        What they are called: "images" and "target images".
    """
    if len(pairs) < FEWEST:
        return
    images, targets = [pair.image for pair in pairs], [pair.target for pair in pairs]
    if np.abs(correlations(images, targets).mean(axis=(1, 2))).max() > ALIKE:
        return
    kinship = measure_kinship(images, targets)
    if kinship.deviations < UNRELATED and kinship.share < WEAK:
        yield Finding(
            "warning",
            "not-pairs",
            tuple(pair.file for pair in pairs),
            f"these do not look like pairs of the same field: the {source} agree with their own {target} "
            f"no better than with those of other files ({len(pairs)} pairs, by coarse pictures and edges).",
            "Open an image and its partner on top of each other. If they show different fields, this network "
            "cannot learn from them: for unpaired images use the CycleGAN notebook. If they do show the same "
            "field, what is to be predicted leaves little trace in the images: go on, judge by the scores.",
        )


def looks_paired(sources: Mapping[str, Array], targets: Mapping[str, Array]) -> Iterator[Finding]:
    """Images given as unpaired that are pairs in truth: equal names, and contents that agree.

    Parameters
    ----------
    sources, targets : mapping of file to portrait (2, 32, 32)
        Of `matching.portrait`; names are compared as those of pairs are (`pairs.core`). Of fewer than eight
        common names nothing is said.
    """
    partner = {core(file): file for file in targets}
    known = [(file, partner[core(file)]) for file in sources if core(file) in partner]
    if len(known) < FEWEST:
        return
    kinship = measure_kinship([sources[one] for one, _ in known], [targets[other] for _, other in known])
    if kinship.deviations >= RELATED and kinship.share >= STRONG:
        yield Finding(
            "note",
            "pairs-given-as-unpaired",
            tuple(one for one, _ in known),
            f"these are pairs: {len(known)} files have the same names in both folders, and they agree far "
            "better than files of other names do.",
            "pix2pix or fnet learn more from pairs: use one of their notebooks with the same folders.",
        )

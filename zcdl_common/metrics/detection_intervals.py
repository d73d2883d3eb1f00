"""How sure an average precision is, and whether one method finds boxes better than another.

Average precision belongs to a set of images; single images have none worth a mean, with one platelet in
three of them. So sets are drawn again from the images, whole groups at a time, and scored anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.detection import MOST, average_precision, map50, map50_95
from zcdl_common.metrics.detection_matching import Matched, counted
from zcdl_common.metrics.statistics import Comparison, Interval, expanded, resamples, verdict
from zcdl_common.task import Array

RESAMPLES = 1000
MEANS: Mapping[str, Callable[[Array], Array]] = {"map50": map50, "map50_95": map50_95}


def intervals(
    images: Sequence[Matched],
    names: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
    most: int | None = MOST,
) -> dict[str, Interval]:
    """Scores of `zcdl_common.metrics.detection.scores`, each with its 95 % interval.

    Parameters
    ----------
    images
        From `match`.
    names
        Of the classes, (K,).
    groups
        What each image belongs to (movie, stack, well), (N,); without it every image is independent.
    seed, n
        Of the resampling: random seed, number of resamples.
    most
        As for `average_precision`.

    Returns
    -------
    dict
        `Interval` whose mean is the score of all images. A class has bounds where it occurs in
        `statistics.ENOUGH` independent images or more; resamples without it say nothing about it.

    Notes
    -----
    Average precision of few images is too high on average: precision is made to fall with recall, so that
    every chance maximum counts. A set drawn from those images is too high once more, by about as much. Bounds
    are therefore the expanded percentiles (`statistics.bootstrap`) moved by twice the distance between the
    resamples' mean and the score. In simulations with 72 images and 3 classes these 95 % intervals held the
    value of 6000 images in 92 to 94 % of the cases, plain percentiles in 75 to 94 %; with 12 images in 64 to
    90 %: where nearly every box of a rare class is right, few images show no error to draw.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26.
    Efron, B. and Tibshirani, R. J. (1993). An introduction to the bootstrap, chapter 10. Chapman & Hall.
    """
    if not len(images):
        nothing = Interval(float("nan"))
        return dict.fromkeys(
            [*MEANS, *(f"{key}_{name}" for key in ("ap50", "ap") for name in names)], nothing
        )
    drawn = average_precision(images, resamples(len(images), groups, seed=seed, n=n), most)
    whole = average_precision(images, most=most)
    truths = counted(images)
    result = {}
    for key, mean in MEANS.items():
        result[key] = _interval(float(mean(whole)), mean(drawn), independent(truths.sum(1), groups))
    for c, name in enumerate(names):
        count = independent(truths[:, c], groups)
        result[f"ap50_{name}"] = _interval(float(whole[c, 0]), drawn[:, c, 0], count)
        result[f"ap_{name}"] = _interval(float(whole[c].mean()), drawn[:, c].mean(-1), count)
    return result


def compare(
    network: Sequence[Matched],
    classical: Sequence[Matched],
    *,
    margin: float,
    score: str = "map50",
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
    most: int | None = MOST,
) -> Comparison:
    """Judge a network against a classical method on the same images, drawn together.

    Parameters
    ----------
    network, classical
        From `match`, of the same images in the same order.
    margin
        Difference of the score that does not matter in practice; at least 0.
    score
        "map50" or "map50_95".
    groups, seed, n, most
        As for `intervals`.

    Returns
    -------
    Comparison
        As of `statistics.compare`, of scores of all images together instead of means over images; ``n``
        counts all of them, ``independent`` the groups in which there is something to find. What is too high
        in both scores (`intervals`) cancels in the difference, whose percentiles stay where they are.

    Raises
    ------
    DataError
        The two are not of the same images.
    """
    truths, others = counted(network), counted(classical)
    if not np.array_equal(truths, others):
        raise DataError(
            f"The network was matched with {truths.sum()} true boxes in {len(truths)} images, the classical "
            f"method with {others.sum()} in {len(others)}. Judge both on the same images in the same order."
        )
    mean = MEANS[score]
    count = independent(truths.sum(1), groups)
    weights = resamples(len(network), groups, seed=seed, n=n)
    both: Any = (network, classical)
    ours, theirs = (float(mean(average_precision(images, most=most))) for images in both)
    our_draws, their_draws = (mean(average_precision(images, weights, most)) for images in both)
    difference = expanded(ours - theirs, our_draws - their_draws, count)
    return Comparison(
        verdict=verdict(difference, margin),
        difference=difference,
        network=_interval(ours, our_draws, count),
        classical=_interval(theirs, their_draws, count),
        n=len(network),
        independent=count,
        margin=margin,
    )


def _interval(score: float, drawn: Array, count: int) -> Interval:
    """Interval of one score from those of drawn sets, less what both are too high by; see `intervals`."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return Interval(score)
    found = expanded(score, known - 2 * (known.mean() - score), count)
    if found.low is None or found.high is None:
        return found
    return Interval(score, min(max(found.low, 0.0), score), max(min(found.high, 1.0), score))


def independent(truths: Array, groups: Sequence[str] | None) -> int:
    """Number of groups with something to find, from true boxes an image (N,)."""
    member = np.arange(len(truths)) if groups is None else np.asarray(groups)
    return len(np.unique(member[truths > 0]))

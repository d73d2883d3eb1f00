"""From scores of single images to an interval, a verdict and a sentence.

The image is the unit that is resampled, because it is the unit that a biologist adds: pixels and
objects of one image share its cells, its staining and its focus. Counted as independent, a million
pixels would promise a certainty that the next dish does not keep. Images cut from one movie, stack or
well share as much, so that whole groups are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zcdl_common.task import Array

ENOUGH = 6
"""Independent images below which no interval is given."""

Verdict = Literal["better", "worse", "same", "unclear"]


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; `low` and `high` are None where images are too few."""

    mean: float
    low: float | None = None
    high: float | None = None

    def record(self) -> dict[str, Any]:
        """Shape it as in summary.json; NaN and infinity, which JSON lacks, become None."""
        if not np.isfinite(self.mean):
            return {"mean": None, "ci95": None}
        return {"mean": self.mean, "ci95": None if self.low is None else [self.low, self.high]}


@dataclass(frozen=True)
class Comparison:
    """A network beside a classical method on the same images."""

    verdict: Verdict
    difference: Interval
    """Network minus classical method, whichever direction is better."""
    network: Interval
    classical: Interval
    n: int
    """Images that both could be scored on."""
    independent: int
    """Groups among them."""
    margin: float
    higher_is_better: bool = True
    better: int = 0
    """Images on which the network is better."""
    worse: int = 0


def bootstrap(
    values: Sequence[float] | Array,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean over images, and how far it might lie elsewhere with other images.

    Parameters
    ----------
    values
        One score an image, (N,). NaN (nothing to score) is left out.
    groups
        What each image belongs to (movie, stack, well), (N,); without it every image is independent.
    seed, n, level
        Of the resampling: random seed, number of resamples, share of the interval.

    Returns
    -------
    Interval
        Without bounds below `ENOUGH` independent images; mean NaN without any value.

    Notes
    -----
    Percentiles of the resampled means are too narrow for few images: they cover 95 % only in the limit.
    The expanded percentile interval takes wider percentiles, by the factor between the t and the normal
    interval; with 6 images this is what makes 95 % mean about 95 %.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26.
    Hesterberg, T. C. (2015). What teachers should know about the bootstrap. The American Statistician
    69, 371-386.
    """
    scored = np.asarray(values, dtype=float)
    known = ~np.isnan(scored)
    if not known.any():
        return Interval(float("nan"))
    mean = float(scored[known].mean())
    member = _members(groups, len(scored))[known]
    _, member = np.unique(member, return_inverse=True)
    sums, sizes = np.bincount(member, scored[known]), np.bincount(member)
    count = len(sums)
    if count < ENOUGH:
        return Interval(mean)
    draws = np.random.default_rng(seed).integers(0, count, (n, count))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    return expanded(mean, means, count, level)


def expanded(mean: float, resampled: Array, count: int, level: float = 0.95) -> Interval:
    """Interval from resampled values of a score (N,): expanded percentiles, see `bootstrap`.

    Parameters
    ----------
    mean
        The score itself, of all images.
    resampled
        Values of the resamples, (N,); NaN is left out.
    count
        Independent images that were drawn from; below `ENOUGH` there are no bounds.
    level
        Share of the interval.
    """
    from scipy import stats

    known = resampled[~np.isnan(resampled)]
    if count < ENOUGH or not known.size:
        return Interval(mean)
    quantile = stats.t.ppf((1 - level) / 2, count - 1) * np.sqrt(count / (count - 1))
    tail = stats.norm.cdf(quantile)
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def resamples(count: int, groups: Sequence[str] | None = None, *, seed: int = 0, n: int = 1000) -> Array:
    """How often each image is in each resample, whole groups drawn with replacement: float64 (n, count).

    For scores of all images together, which are no mean over images (`bootstrap` has that).
    """
    every, member = np.unique(_members(groups, count), return_inverse=True)
    draws = np.random.default_rng(seed).integers(0, max(1, len(every)), (n, len(every)))
    places = draws + len(every) * np.arange(n)[:, None]
    drawn = np.bincount(places.ravel(), minlength=n * len(every)).reshape(n, len(every))
    return np.asarray(drawn[:, member], float)


def compare(
    network: Sequence[float] | Array,
    classical: Sequence[float] | Array,
    *,
    margin: float,
    higher_is_better: bool = True,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Judge a network against a classical method, image by image.

    Parameters
    ----------
    network, classical
        Scores of the same images in the same order, (N,). Images that either lacks are left out.
    margin
        Difference that does not matter in practice, in units of the metric; at least 0.
    higher_is_better
        Whether a high score is a good one.
    groups
        What each image belongs to, (N,).
    seed
        Of the bootstrap over the differences.

    Returns
    -------
    Comparison
        ``same``: the interval of the difference lies inside the margin. ``better``, ``worse``: it
        excludes zero. ``unclear``: neither, or fewer than `ENOUGH` independent images.
    """
    ours, theirs = np.asarray(network, float), np.asarray(classical, float)
    gap = ours - theirs
    both = ~np.isnan(gap)
    member = _members(groups, len(gap))[both]

    def interval(values: Array) -> Interval:
        return bootstrap(values[both], groups=member, seed=seed)  # type: ignore[arg-type]

    difference = interval(gap)
    return Comparison(
        verdict=verdict(difference, margin, higher_is_better),
        difference=difference,
        network=interval(ours),
        classical=interval(theirs),
        n=int(both.sum()),
        independent=len(np.unique(member)),
        margin=margin,
        higher_is_better=higher_is_better,
        better=int((gap > 0 if higher_is_better else gap < 0).sum()),
        worse=int((gap < 0 if higher_is_better else gap > 0).sum()),
    )


def sentence(comparison: Comparison, metric: str, classical: str, unit: str = "test image") -> str:
    """Say in plain English what a comparison found.

    Parameters
    ----------
    comparison
        From `compare`.
    metric
        Label of the metric, "IoU".
    classical
        Name of the classical method, "Otsu threshold".
    unit
        What was scored.
    """
    c = comparison
    if c.n == 0:
        return f"No test image could be scored: {metric} is undefined where there is nothing to find."
    places = decimals(c.network.mean, c.classical.mean)
    images = f"{c.n} {unit}{'s' * (c.n != 1)}"
    scored = (
        f"On {images} the network's {metric} is {_number(c.network.mean, places)}, "
        f"the classical method's ({classical}) {_number(c.classical.mean, places)}"
    )
    if c.independent < ENOUGH or c.difference.low is None or c.difference.high is None:
        groups = (
            "1 movie, stack or field" if c.independent == 1 else f"{c.independent} movies, stacks or fields"
        )
        found = "" if c.independent == c.n else f", all from {groups}"
        if c.n > 1 and c.n in (c.better, c.worse):
            who = "network" if c.better else "classical method"
            return (
                f"{scored}{found}: the {who} is better on all {c.n}, too few to be sure. "
                f"At least {ENOUGH} independent test images are needed."
            )
        return (
            f"{scored}{found}: too few to tell which is better in general. "
            f"At least {ENOUGH} independent test images are needed."
        )
    gap, low, high = c.difference.mean, c.difference.low, c.difference.high
    if c.verdict in ("better", "worse") and gap < 0:
        gap, low, high = -gap, -high, -low
    span = f"(95 % interval {_number(low, places)} to {_number(high, places)})"
    amount = f"{_number(gap, places)} {span}"
    ends = {
        "better": f"the network is better by {amount}.",
        "worse": f"the network is worse by {amount}: as it is, the classical method serves you better.",
        "same": f"the difference of {amount} is too small to matter (less than "
        f"{c.margin:g}): the simpler classical method does as well.",
        "unclear": f"the difference of {amount} may be chance: more test images would tell.",
    }
    return f"{scored}; {ends[c.verdict]}"


def decimals(*scores: float) -> int:
    """With how many decimals scores are told: shares with three, decibels with two."""
    return 3 if max(map(abs, scores)) < 2 else 2


def disagreement(first: Comparison, second: Comparison, metric: str) -> str:
    """Say that another score, of name `metric`, judges otherwise than the first; "" where it does not."""
    if first.verdict == "unclear" or second.verdict not in ("better", "worse"):
        return ""
    if second.verdict == first.verdict:
        return ""
    places = decimals(second.network.mean, second.classical.mean)
    return (
        f"By {metric} the network is {second.verdict}: {_number(second.network.mean, places)} against "
        f"{_number(second.classical.mean, places)}; look at the images."
    )


def verdict(difference: Interval, margin: float, higher_is_better: bool = True) -> Verdict:
    """What an interval of the difference says, given a `margin` that does not matter; see `compare`."""
    if difference.low is None or difference.high is None:
        return "unclear"
    if -margin <= difference.low and difference.high <= margin:
        return "same"
    if difference.low <= 0 <= difference.high:
        return "unclear"
    return "better" if (difference.low > 0) == higher_is_better else "worse"


def _members(groups: Sequence[str] | None, count: int) -> Array:
    return np.arange(count) if groups is None else np.asarray(groups)


def _number(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.replace("-", "−") if float(text) else text.removeprefix("-")

"""How sure a score of localisations is, and whether one method finds molecules better than another.

Frames hold few molecules, and neighbouring frames share them: hits, misses and inventions are summed over all
frames, and sets are drawn again in whole groups of frames (movies, or parts of them).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.detection_intervals import independent
from zcdl_common.metrics.localisation import RADIUS, match
from zcdl_common.metrics.statistics import Comparison, Interval, expanded, resamples, verdict
from zcdl_common.smlm.localisations import Localisations
from zcdl_common.task import Array

RESAMPLES = 1000


def count(
    truth: Localisations,
    found: Localisations,
    pixel_size: Sequence[float],
    frames: int,
    radius: float = RADIUS,
) -> Array:
    """What became of the positions of each frame.

    Parameters
    ----------
    truth, found
        Of the same frames.
    pixel_size
        YX in micrometres.
    frames
        Their number.
    radius
        Largest distance of a match in nanometres, 250 unless said.

    Returns
    -------
    Array
        float64 (frames, 6): matches, true and found positions, and of the matches the sum of squared
        distances (nm²) and the sums of found minus true position along Y and X (nm).
    """
    matches = match(truth, found, pixel_size, radius)
    frame, error = truth.frame[matches.truth], matches.error

    def per_frame(of: Array, values: Array | None = None) -> Array:
        return np.bincount(of, values, minlength=frames).astype(float)

    return np.stack(
        [
            per_frame(frame),
            per_frame(truth.frame),
            per_frame(found.frame),
            per_frame(frame, (error**2).sum(axis=1)),
            *(per_frame(frame, along) for along in error.T),
        ],
        axis=1,
    )


def rates(sums: Array) -> dict[str, Array]:
    """Scores of sums (..., 6) of what `count` gives, each (...,), as `localisation.scores` defines them."""
    hits, true, found, squares, y, x = np.moveaxis(sums, -1, 0)
    either = true + found
    some = np.where(hits > 0, hits, np.nan)

    def share(of: Array) -> Array:
        return np.where(either > 0, hits / np.where(hits > 0, of, 1), np.nan)

    return {
        "jaccard": share(either - hits),
        "recall": share(true),
        "precision": share(found),
        "rmse_nm": np.sqrt(squares / some),
        "shift_y_nm": y / some,
        "shift_x_nm": x / some,
    }


def intervals(
    counts: Array, *, groups: Sequence[str] | None = None, seed: int = 0, n: int = RESAMPLES
) -> dict[str, Interval]:
    """Scores of all frames together, each with its 95 % interval.

    Parameters
    ----------
    counts
        float64 (N, 6) from `count`.
    groups
        What each frame belongs to (movie, part of a movie), (N,); without it every frame is independent.
    seed, n
        Of the resampling: random seed, number of resamples.

    Returns
    -------
    dict
        ``jaccard``, ``recall``, ``precision`` in [0, 1]; ``rmse_nm``, ``shift_y_nm``, ``shift_x_nm``.
        Expanded percentiles (`statistics.bootstrap`); no bounds below `statistics.ENOUGH` groups with
        molecules.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26.
    """
    drawn = rates(resamples(len(counts), groups, seed=seed, n=n) @ counts)
    number = independent(counts[:, 1], groups)
    whole = rates(counts.sum(axis=0))
    return {key: expanded(float(value), drawn[key], number) for key, value in whole.items()}


def compare(
    network: Array,
    classical: Array,
    *,
    margin: float,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n: int = RESAMPLES,
) -> Comparison:
    """Judge a network against a classical method by the Jaccard index of the same frames, drawn together.

    Parameters
    ----------
    network, classical
        float64 (N, 6) from `count`, with the same truth in the same order.
    margin
        Difference of the Jaccard index that does not matter in practice; at least 0.
    groups, seed, n
        As for `intervals`.

    Returns
    -------
    Comparison
        As of `statistics.compare`, of scores of all frames together instead of means over frames; ``n``
        counts all frames, ``independent`` the groups in which there is something to find.

    Raises
    ------
    DataError
        The two are not of the same frames.
    """
    if not np.array_equal(network[:, 1], classical[:, 1]):
        raise DataError(
            f"The network was matched with {network[:, 1].sum():.0f} true positions in {len(network)} "
            f"frames, the classical method with {classical[:, 1].sum():.0f} in {len(classical)}. Judge "
            "both on the same frames in the same order."
        )
    weights = resamples(len(network), groups, seed=seed, n=n)
    number = independent(network[:, 1], groups)
    ours, theirs = (float(rates(counts.sum(axis=0))["jaccard"]) for counts in (network, classical))
    our_draws, their_draws = (rates(weights @ counts)["jaccard"] for counts in (network, classical))
    difference = expanded(ours - theirs, our_draws - their_draws, number)
    return Comparison(
        verdict=verdict(difference, margin),
        difference=difference,
        network=expanded(ours, our_draws, number),
        classical=expanded(theirs, their_draws, number),
        n=len(network),
        independent=number,
        margin=margin,
    )

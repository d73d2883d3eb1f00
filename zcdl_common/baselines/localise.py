"""The classical localisation of emitters that half a minute of tuning on known positions can find."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.optimize import minimize_scalar

from zcdl_common.baselines import gaussian_fit
from zcdl_common.baselines.emitters import Calibration, Fit, Localiser, as_stack
from zcdl_common.baselines.held_out import folds
from zcdl_common.baselines.hits import Hits, count_hits
from zcdl_common.errors import DataError
from zcdl_common.task import Array, Baseline

RADIUS = 0.25
"""Micrometres within which a position counts as found."""
MOST_FRAMES, MOST_EMITTERS = 200, 2000
"""Of training frames, that a method is tuned on."""
FACTORS = np.geomspace(0.25, 8.0, 16)
"""Heights tried, in units of the noise."""
SCALES = (1.0, 0.7, 0.5)
"""Widths of the LoG tried, in widths of a spot: narrow ones part neighbours."""
REACHES = (0.8, 1.5, 2.3, 3.0)
"""Radii tried of the window of a fit, in widths of a spot."""
WAYS: tuple[tuple[Fit, bool], ...] = (
    ("radial symmetry", False),
    ("least squares", False),
    ("maximum likelihood", False),
    ("least squares in rounds", False),
    ("least squares", True),
    ("maximum likelihood", True),
)
"""Ways to a sub-pixel position: fits with the width known or free."""
ROUNDS_SCALE, ROUNDS_SIDES = 0.75, 2
"""Width of the LoG, in widths of a spot, and how many windows are tried where emitters overlap: few, since
each height takes a search of its own."""
SLACK = 0.005
"""Jaccard indices that differ by less are equal, and the positions closest to the truth win."""


def localise(
    stack: Array,
    truth: Array,
    pixel_size: float,
    *,
    seed: int,
    camera: Calibration | None = None,
    sigma: float | None = None,
    seconds: float = 30.0,
) -> Baseline:
    """Tune a filter and a fit on frames with known positions, and keep what finds most in unseen frames.

    Jaccard index at 250 nm decides and, where it is the same, the root mean squared distance. First filters
    and heights are tried with radial symmetry; then ways of fitting and windows, with the heights anew. Fits
    in rounds are for emitters that overlap (see `crowded`).

    Parameters
    ----------
    stack
        Training frames TYX, or TYXC with one channel, as the camera gave them.
    truth
        Positions (N, 3): index of the frame from 0, y and x in pixels from the corner.
    pixel_size
        Micrometres.
    seed
        Picks the frames.
    camera
        Makes photons of counts; without it there is no maximum likelihood, and the result has neither photons
        nor uncertainties.
    sigma
        Standard deviation of a spot in pixels; without it, the one that explains the frames best.
    seconds
        No way is begun after so long; the description says so.

    Returns
    -------
    Baseline
        ``predict`` is a `Localiser`.

    Raises
    ------
    DataError
        There are no frames, or no positions in them.
    """
    started = time.monotonic()
    frames, known = _some(as_stack(stack), np.asarray(truth, float), seed)
    radius = RADIUS / pixel_size
    sigma = spread(frames, known) if sigma is None else sigma

    first = Localiser("wavelet", sigma, FACTORS[0], "radial symmetry", False, _sides(sigma)[1], sigma, camera)
    filters = [first, *(replace(first, kind="LoG", scale=max(0.5, s * sigma)) for s in SCALES)]
    table: dict[Localiser, Hits] = {}
    for method in filters:
        table |= _by_factor(method, frames, known, radius)
    # The best height of each filter, less some: what a fit rejects need not be kept from it.
    best_of = {m: max((t for t in table if _same(t, m)), key=lambda t: table[t].jaccard) for m in filters}
    filters = sorted(best_of, key=lambda m: -table[best_of[m]].jaccard)[:2]
    complete = True
    for (fit, free), reach, method in product(WAYS, _sides(sigma), filters):
        if (fit == "maximum likelihood" and camera is None) or (fit == "radial symmetry" and reach < 2):
            continue
        if time.monotonic() - started > seconds:
            complete = False
            break
        tried = replace(method, fit=fit, free=free, radius=reach)
        if fit != "least squares in rounds":
            lowest = max(FACTORS[0], best_of[method].factor / 2)
            table |= _by_factor(replace(tried, factor=lowest), frames, known, radius)
        elif method == filters[0] and reach in _sides(sigma)[:ROUNDS_SIDES]:
            tried = replace(tried, kind="LoG", scale=max(0.5, ROUNDS_SCALE * sigma))
            table |= _downwards(tried, frames, known, radius)

    every = np.ones(len(frames), bool)
    method = _best(table, every)
    ranking = []
    for fit in dict.fromkeys(m.fit for m in table):
        own = {m: hits for m, hits in table.items() if m.fit == fit}
        unseen = [own[_best(own, use)].of(score) for use, score in folds(len(frames))]
        if len(frames) == 1:
            unseen = [own[_best(own, every)]]
        total = Hits(*map(np.concatenate, zip(*unseen, strict=True)))
        ranking.append(f"{fit} {total.jaccard:.3f} ({1000 * pixel_size * total.error:.0f} nm)")
    judged = "held out in turn" if len(frames) > 1 else "the same that it was tuned on"
    description = (
        f"{method}. Jaccard index at {1000 * RADIUS:.0f} nm (and root mean squared distance) on "
        f"{len(frames)} training frames, {judged}: {', '.join(ranking)}."
    )
    if not complete:
        description += f" Not all settings tried within {seconds:g} s."
    return Baseline(f"{method.kind} and {method.fit}", description, method)


def spread(frames: Array, known: Array) -> float:
    """Standard deviation in pixels of equally bright spots that correlate best with frames TYX."""
    frames = frames - frames.mean((1, 2), keepdims=True, dtype=float)

    def disagreement(sigma: float) -> float:
        drawn = np.stack(
            [
                gaussian_fit.draw(known[known[:, 0] == t, 1:], sigma, frames.shape[1:])
                for t in range(len(frames))
            ]
        )
        drawn -= drawn.mean((1, 2), keepdims=True)
        return -float((drawn * frames).sum() / np.sqrt((drawn**2).sum() + 1e-12))

    return float(
        minimize_scalar(disagreement, bounds=(0.5, 4.0), method="bounded", options={"xatol": 0.01}).x
    )


def _some(stack: Array, truth: Array, seed: int) -> tuple[Array, Array]:
    """Frames drawn by chance, float32, and the positions in them; at least one frame holds some."""
    counts = np.bincount(truth[:, 0].astype(int), minlength=len(stack)) if len(truth) else np.zeros(0, int)
    if not len(stack) or len(counts) > len(stack) or not counts.any():
        raise DataError(
            f"The {len(stack)} training frames come with {len(truth)} positions"
            + (f", the last of them in frame {len(counts)}" if len(truth) else "")
            + "; a classical method needs frames with emitters to be tuned on. Check the numbers of the "
            "frames in the table, or simulate more emitters."
        )
    order = np.random.default_rng(seed).permutation(len(stack))
    enough = int(np.searchsorted(np.cumsum(counts[order]), MOST_EMITTERS)) + 1
    chosen = np.sort(order[: max(2, min(enough, MOST_FRAMES))])
    if not counts[chosen].any():
        chosen[-1] = np.flatnonzero(counts)[0]
    place = {int(t): i for i, t in enumerate(chosen)}
    rows = truth[np.isin(truth[:, 0], chosen)]
    numbers = np.array([place[int(t)] for t in rows[:, 0]])
    return np.stack([stack[int(t)] for t in chosen]).astype(np.float32), np.column_stack(
        [numbers, rows[:, 1:]]
    )


def _sides(sigma: float) -> list[int]:
    return sorted({max(1, round(reach * sigma)) for reach in REACHES})


def _same(one: Localiser, other: Localiser) -> bool:
    return replace(one, factor=other.factor) == other


def _by_factor(method: Localiser, frames: Array, known: Array, radius: float) -> dict[Localiser, Hits]:
    """What the method finds at its own and greater heights; one fit serves all."""
    found = method(frames)
    result = {}
    for factor in (f for f in FACTORS if f >= method.factor):
        kept = found.main[found.extra["scores"] > factor]
        result[replace(method, factor=float(factor))] = count_hits(kept, known, len(frames), radius)
    return result


def _downwards(method: Localiser, frames: Array, known: Array, radius: float) -> dict[Localiser, Hits]:
    """What the method finds at lower and lower heights, until it finds too much."""
    result: dict[Localiser, Hits] = {}
    for factor in FACTORS[::-1]:
        tried = replace(method, factor=float(factor))
        result[tried] = count_hits(tried(frames).main, known, len(frames), radius)
        if result[tried].jaccard < max(hits.jaccard for hits in result.values()) - 4 * SLACK:
            break
    return result


def _best(table: dict[Localiser, Hits], use: Array) -> Localiser:
    """The most found in the frames in `use`; of equals the most precise."""
    counts = {method: hits.of(use) for method, hits in table.items()}
    most = max(hits.jaccard for hits in counts.values())
    good = (method for method, hits in counts.items() if hits.jaccard >= most - SLACK)
    return min(good, key=lambda method: counts[method].error)

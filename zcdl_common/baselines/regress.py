"""Image translation without a network: regression on filters of several scales, pixel by pixel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical, forest
from zcdl_common.baselines.denoise import Pair, aspect_of
from zcdl_common.baselines.held_out import folds, halves
from zcdl_common.baselines.sampled import Described, describe, known_pixels, without_gaps
from zcdl_common.errors import DataError
from zcdl_common.metrics.images import pearson_r
from zcdl_common.task import Array

NOTICEABLE = 0.05
"""A smaller correlation (0.25 % of the variance) is taken for none."""

LINEAR, TREES = "ridge regression", "extra-trees regression"
Percentiles = tuple[float, float]
RANGES: tuple[Percentiles, ...] = ((1.0, 99.8), (0.1, 99.9))
"""Between which percentiles the brightness of an image is taken: what counts may be a few of its pixels, and
then the first of these differ from image to image by how many there are."""


@dataclass(frozen=True)
class Regression:
    """A fitted regression: source (Z)YXC -> float32 (Z)YXK in the units of the targets."""

    model: Any
    aspect: float
    """Distance of planes over distance of pixels."""
    percentiles: Percentiles
    """Between which the brightness of an image is taken."""
    mean: Array
    """Of the targets learned from, float32 (K,)."""
    spread: Array
    """Their standard deviation, 1 where they do not differ."""

    def __call__(self, source: Array) -> Array:
        result = np.empty((*source.shape[:-1], len(self.mean)), np.float32)
        source = without_gaps(source)
        limits = forest.intensity_bounds(source, *self.percentiles)
        return forest.fill(result, source, self.aspect, limits, self.evaluate)

    def evaluate(self, rows: Array) -> Array:
        """Target of each row of features (P, F): float32 (P, K)."""
        found = np.asarray(self.model.predict(rows), np.float32).reshape(len(rows), -1)
        return found * self.spread + self.mean


def regress(
    pairs: Sequence[Pair],
    *,
    pixel_size: Sequence[float] | None = None,
    seed: int = 0,
    seconds: float = 30.0,
) -> Classical:
    """Fit a linear regression and trees from the surroundings of a pixel to its target, and keep the better.

    Apart from what the time limit leaves out, the result depends on images and seed alone.

    Parameters
    ----------
    pairs
        Source (Z)YXC of any type and target float32 (Z)YXK of each training image; the first 8 are used.
        Pixels without a finite target are left out.
    pixel_size
        (Z)YX, any unit; filters reach equally far along Z. Unknown: voxels count as cubes.
    seed
        Of pixels and trees.
    seconds
        No image, beyond two, and no trees are begun after so long; the description names what was left out.

    Returns
    -------
    Classical
        `scores` are mean Pearson r, over channels and images, in twofold cross-validation. If none is
        noticeable the description says so.

    Raises
    ------
    DataError
        There is no training pair, or no target has a finite pixel.

    References
    ----------
    Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634 (ridge regression); Geurts et al. 2006,
    doi:10.1007/s10994-006-6226-1 (extremely randomised trees).
    """
    started = time.monotonic()

    def late() -> bool:
        return time.monotonic() - started > seconds

    images = _usable(pairs[:MOST_IMAGES])
    if not images:
        raise DataError(
            f"None of the {len(pairs)} training pairs has a target pixel with a number, so no classical "
            "method can be tuned. Check that the target images are not empty."
        )
    single = len(images) == 1
    if single:
        images = _usable(halves(*images[0]))
    aspect = aspect_of(pixel_size)
    described: dict[Percentiles, list[Described]] = {}
    for percentiles in RANGES:
        if described and late():
            break
        parts = described[percentiles] = []
        for number, pair in enumerate(images):
            if len(parts) < 2 or not late():
                rng = np.random.default_rng([seed, number])
                parts.append(describe(*pair, aspect, rng, len(images), percentiles))

    used = max(map(len, described.values()))
    judged = "the two halves of the training image" if single else f"{used} training images"
    scores: dict[str, float] = {}
    took: dict[str, float] = {}
    chosen: dict[str, Percentiles] = {}
    ranges, by_range = list(described), dict.fromkeys(described, 0.0)
    for name, make in MODELS.items():
        begun = time.monotonic()
        for percentiles in sorted(ranges, key=lambda one: -by_range[one]):  # the likelier first
            # The first method is always tried: a comparison needs one.
            never = late if scores else lambda: False
            score = _held_out(described[percentiles], make, aspect, percentiles, seed, never)
            if score is None:
                continue
            by_range[percentiles] = score
            if score > scores.get(name, -np.inf):
                scores[name], chosen[name] = score, percentiles
            took[name] = time.monotonic() - begun
    best = max(scores, key=lambda name: scores[name])
    found = _fit(described[chosen[best]], MODELS[best], aspect, chosen[best], seed)
    left_out = [f"{len(images) - used} images"] if used < len(images) else []
    left_out += [name for name in MODELS if name not in scores]
    return Classical(
        name=best,
        description=_describe(best, scores, judged, found.percentiles)
        + (f" Not used within {seconds:g} s: {', '.join(left_out)}." if left_out else ""),
        scores=scores,
        predict=found,
        seconds=took,
    )


def _usable(pairs: Sequence[Pair]) -> list[Pair]:
    """Those whose target has a pixel with a number."""
    return [pair for pair in pairs if known_pixels(pair[1]).any()]


def _linear(seed: int) -> tuple[Any, str]:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(1.0)), "ridge__sample_weight"


def _trees(seed: int) -> tuple[Any, str]:
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(
        forest.TREES, min_samples_leaf=5, max_features="sqrt", random_state=seed, n_jobs=-1
    )
    return trees, "sample_weight"


MODELS: dict[str, Callable[[int], tuple[Any, str]]] = {LINEAR: _linear, TREES: _trees}
"""Seed -> an unfitted regression of scikit-learn, and what it calls its weights."""


def _held_out(
    described: Sequence[Described],
    make: Callable[[int], tuple[Any, str]],
    aspect: float,
    percentiles: Percentiles,
    seed: int,
    late: Callable[[], bool],
) -> float | None:
    """Cross-validated score; None when time runs out."""
    found = []
    for use, score in folds(len(described)) if len(described) > 1 else []:
        if late():
            return None
        part = [d for d, used in zip(described, use, strict=True) if used]
        half = _fit(part, make, aspect, percentiles, seed)
        judges = (d for d, held in zip(described, score, strict=True) if held)
        found += [correlation(d.test_goals, half.evaluate(d.test_rows)) for d in judges]
    known = [r for r in found if not np.isnan(r)]
    return float(np.mean(known)) if known else 0.0


def _fit(
    described: Sequence[Described],
    make: Callable[[int], tuple[Any, str]],
    aspect: float,
    percentiles: Percentiles,
    seed: int,
) -> Regression:
    rows = np.concatenate([d.rows for d in described])
    goals = np.concatenate([d.goals for d in described]).astype(float)
    # Every image counts alike, whatever its size.
    weights = np.concatenate([d.weights / d.weights.sum() for d in described])
    weights = weights / weights.mean()
    mean = np.average(goals, axis=0, weights=weights)
    spread = np.sqrt(np.average((goals - mean) ** 2, axis=0, weights=weights))
    spread = np.where(spread > 0, spread, 1.0)
    model, weighted = make(seed)
    scaled = (goals - mean) / spread
    model.fit(rows, scaled[:, 0] if scaled.shape[1] == 1 else scaled, **{weighted: weights})
    if hasattr(model, "n_jobs"):
        # Threads add up the trees in any order, which decides the last digits: one makes them repeatable.
        model.n_jobs = 1
    return Regression(model, aspect, percentiles, mean.astype(np.float32), spread.astype(np.float32))


def correlation(truth: Array, found: Array) -> float:
    """Mean Pearson r of the channels of (P, K); 0 for a constant guess, NaN where no truth has contrast."""
    channels = [k for k in range(truth.shape[-1]) if np.ptp(truth[:, k]) > 0]
    values = [np.nan_to_num(pearson_r(truth[:, k], found[:, k])) for k in channels]
    return float(np.mean(values)) if values else float("nan")


def _describe(best: str, scores: dict[str, float], judged: str, percentiles: Percentiles) -> str:
    ranking = ", ".join(f"{name} {r:.3f}" for name, r in scores.items())
    text = (
        f"{best} on intensity (percentiles {percentiles[0]:g} to {percentiles[1]:g} of each image), edges "
        f"and curvature at several scales. Mean Pearson r on {judged}, held out in turn: {ranking}."
    )
    if scores[best] < NOTICEABLE:
        text += " That is no better than the mean intensity of the targets: no method found it in the source."
    return text

"""The best classical segmentation that half a minute of tuning on the training images can find."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical, forest, threshold
from zcdl_common.baselines.held_out import folds, halves
from zcdl_common.baselines.threshold import Labelled
from zcdl_common.errors import DataError
from zcdl_common.metrics.segmentation import scores
from zcdl_common.task import Array

MOST_PIXELS = 1 << 20
"""Of each training image: larger ones are cropped around their foreground."""
_TO_FIT, _TO_SCORE = 4000, 100_000
"""Pixels of each image that the forest learns from, and is scored on."""

OTSU, LOCAL, FOREST = "Otsu threshold", "local threshold", "pixel random forest"


class Candidate(NamedTuple):
    """A method tuned on all images, and its score on images not tuned on."""

    score: float
    method: Callable[[Array], Array]
    complete: bool = True
    """Whether all settings were tried."""


def segment(
    train: Sequence[Labelled],
    n_classes: int,
    *,
    seed: int,
    seconds: float = 30.0,
    pixel_size: Sequence[float] | None = None,
) -> Classical:
    """Tune thresholds and a pixel classifier, and keep what segments unseen training images best.

    The cheap methods come first; the time limit drops only those not yet tried and is then named in the
    description. Apart from that the result depends on images and seed alone.

    Parameters
    ----------
    train
        Source (Z)YXC and class indices int32 (Z)YX of each training image. Only the 8 that are used are
        asked for, so that a sequence may read them from disk.
    n_classes
        Classes, background included. Local thresholds know only two, Otsu's method up to 4.
    seed
        Of the images, pixels and trees.
    seconds
        No method is begun, and no forest continued, after so long.
    pixel_size
        (Z)YX, any unit; filters reach equally far along Z. Unknown: voxels count as cubes.

    Returns
    -------
    Classical
        `scores` are mean IoU over foreground classes in twofold cross-validation: every image is scored
        with settings found on the other half, so that a forest does not win by memory.

    Raises
    ------
    DataError
        There is no training image, or none holds foreground.
    """
    started = time.monotonic()
    images = _prepare(train, seed)
    aspect = pixel_size[0] / pixel_size[-1] if pixel_size and len(pixel_size) == 3 else 1.0

    def late() -> bool:
        return time.monotonic() - started > seconds

    methods: dict[str, Callable[[], Candidate | None]] = {}
    if n_classes <= threshold.MOST_CLASSES:
        methods[OTSU] = lambda: _tuned(*threshold.otsu_table(images, n_classes, aspect, late))
    if n_classes == 2:
        methods[LOCAL] = lambda: _tuned(*threshold.local_table(images, aspect, late))
    methods[FOREST] = lambda: _forest(images, n_classes, aspect, seed, late)

    tried: dict[str, Candidate] = {}
    took: dict[str, float] = {}
    for name, method in methods.items():
        begun = time.monotonic()
        # The first method is always tried: a comparison needs one.
        candidate = None if tried and late() else method()
        if candidate is not None:
            tried[name], took[name] = candidate, time.monotonic() - begun
    best = max(tried, key=lambda name: tried[name].score)
    left_out = [f"some settings of the {name}" for name, c in tried.items() if not c.complete]
    left_out += [name for name in methods if name not in tried]
    judged = "the two halves of the training image" if len(train) == 1 else f"{len(images)} training images"
    return Classical(
        name=best,
        description=_describe(best, tried, judged)
        + (f" Not tried within {seconds:g} s: {', '.join(left_out)}." if left_out else ""),
        scores={name: c.score for name, c in tried.items()},
        predict=tried[best].method,
        seconds=took,
    )


def _prepare(train: Sequence[Labelled], seed: int) -> list[Labelled]:
    """At most `MOST_IMAGES` crops; a single image is cut in two, so that one half can judge the other."""
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(train))]
    images = [_crop(*train[i]) for i in order[:MOST_IMAGES]]
    if not any(np.any(truth) for _, truth in images):
        # Sparse objects: one image that holds some is worth reading on for.
        more = (pair for i in order[MOST_IMAGES:] if np.any((pair := train[i])[1]))
        found = next(more, None)
        if found is None:
            raise DataError(
                f"None of the {len(train)} training masks holds foreground, so no classical method can be "
                "tuned. Check that the masks have values above 0 where the objects are."
            )
        images[-1] = _crop(*found)
    if len(images) > 1:
        return images
    return halves(*images[0])


def _crop(source: Array, truth: Array) -> Labelled:
    """The part of a large image around the middle of its foreground, `MOST_PIXELS` at most."""
    shrink = min(1.0, (MOST_PIXELS / truth.size) ** (1 / truth.ndim))
    if shrink == 1.0:
        return source, truth
    size = [max(1, int(n * shrink)) for n in truth.shape]
    inside = np.nonzero(truth)
    middle = [np.median(i) if len(i) else n / 2 for i, n in zip(inside, truth.shape, strict=True)]
    starts = [int(np.clip(m - s / 2, 0, n - s)) for m, s, n in zip(middle, size, truth.shape, strict=True)]
    window = tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))
    return source[window], truth[window]


def _tuned(table: threshold.Table, complete: bool) -> Candidate:
    """Best threshold on all images, and how the best of one half does on the other."""
    variants, ious = list(table), np.array(list(table.values()))

    def best(columns: Array) -> int:
        return int(np.argmax([_mean(row) for row in ious[:, columns]]))

    held_out = np.concatenate([ious[best(fit), score] for fit, score in folds(ious.shape[1])])
    return Candidate(_mean(held_out), variants[best(np.ones(ious.shape[1], bool))], complete)


def _forest(
    images: Sequence[Labelled], n_classes: int, aspect: float, seed: int, late: Callable[[], bool]
) -> Candidate | None:
    """Cross-validated score and a forest of all images; None when time runs out."""
    fitted_on: list[tuple[Array, Array, Array]] = []
    scored_on: list[tuple[Array, Array]] = []
    for number, (source, truth) in enumerate(images):
        if late():
            return None
        rng = np.random.default_rng([seed, number])
        described = forest.features(source, aspect, forest.intensity_bounds(source))
        rows, classes = described.reshape(-1, described.shape[-1]), truth.reshape(-1)
        picks, weights = forest.draw(truth, _TO_FIT, rng)
        fitted_on.append((rows[picks], classes[picks], weights))
        test = rng.choice(truth.size, min(truth.size, _TO_SCORE), replace=False)
        scored_on.append((rows[test], classes[test]))

    def fit(use: Array) -> forest.Forest:
        parts = zip(*(p for p, used in zip(fitted_on, use, strict=True) if used), strict=True)
        return forest.fit(*map(np.concatenate, parts), seed=seed, aspect=aspect)

    ious = []
    for use, score in folds(len(images)):
        if late():
            return None
        trees = fit(use)
        for rows, classes in (s for s, held in zip(scored_on, score, strict=True) if held):
            ious.append(scores(classes, trees.classify(rows), n_classes)["iou"])
    return Candidate(_mean(ious), fit(np.ones(len(images), bool)))


def _mean(values: Any) -> float:
    """Mean without NaN (nothing to find); 0 where nothing else is left."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else 0.0


def _describe(best: str, tried: dict[str, Candidate], judged: str) -> str:
    ranking = ", ".join(f"{name} {c.score:.3f}" for name, c in tried.items())
    return f"{best} ({tried[best].method}). Mean IoU on {judged}, held out in turn: {ranking}."

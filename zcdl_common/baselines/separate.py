"""The classical separation of objects that half a minute of tuning on the training images can find."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeVar

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical
from zcdl_common.baselines.held_out import folds
from zcdl_common.baselines.threshold import Labelled, Local, Otsu, local_table, otsu_table
from zcdl_common.baselines.watershed import Mask, Watershed
from zcdl_common.errors import DataError
from zcdl_common.metrics.instances import matches, overlaps
from zcdl_common.patches import centre
from zcdl_common.task import Array

TUNED_ON = {2: (512, 512), 3: (32, 96, 96)}
"""Settings are tuned on the middle of each image, of at most this size."""
SPACINGS = (0.5, 0.3, 0.75)
"""Least distances between the centres of touching objects, in typical diameters; the likeliest first."""
SMOOTHINGS = (0.05, 0.1, 0.02)
"""Standard deviations of the smoothing of the distance map, in typical diameters."""
SMALLEST = (0.0, 0.05, 0.1, 0.2, 0.35)
"""Least sizes of an object, in typical sizes."""
OTSU, LOCAL = "Otsu and watershed", "local mean and watershed"

Method = TypeVar("Method")


def separate(
    train: Sequence[Labelled], *, seed: int, seconds: float = 30.0, aspect: float = 1.0
) -> Classical:
    """Tune a threshold and a watershed, and keep what finds objects in unseen training images best.

    Otsu's and local thresholds are tuned on the foreground; then distance of centres, smoothing and least
    size on the objects.

    Parameters
    ----------
    train
        Source (Z)YXC and labels int32 (Z)YX of each training image. Only the 8 that are used are asked
        for, so that a sequence may read them from disk.
    seed
        Picks the images.
    seconds
        No setting is begun after so long (half of it for Otsu's threshold); the description says so.
    aspect
        Distance of planes over distance of pixels; all distances are in pixels of YX.

    Returns
    -------
    Classical
        `scores` are mean AP at IoU 0.5 in twofold cross-validation: every image is scored with settings
        found on the other half.

    Raises
    ------
    DataError
        There is no training image, or none holds an object.
    """
    started = time.monotonic()
    images = _prepare(train, seed)
    binary = [(source, (labels > 0).astype(np.int32)) for source, labels in images]
    fits = [np.ones(len(images), bool), *(fit for fit, _ in folds(len(images)))]
    best: dict[str, Watershed] = {}
    held_out: dict[str, float] = {}
    took: dict[str, float] = {}
    cut_short = []
    for name, share in ((OTSU, 0.5), (LOCAL, 1.0)):
        begun = time.monotonic()

        def late(share: float = share) -> bool:
            return time.monotonic() - started > share * seconds

        found, every_threshold = (
            otsu_table(binary, 2, aspect, late) if name == OTSU else local_table(binary, aspect, late)
        )
        chosen = [_best(found, fit) for fit in fits]
        table, every_way = _table(images, list(dict.fromkeys(chosen)), aspect, late)
        best[name] = _best(table, fits[0])
        unseen: list[float] = []
        for foreground, fit in zip(chosen[1:], fits[1:], strict=True):
            own = {method: aps for method, aps in table.items() if method.foreground == foreground}
            unseen += np.asarray(own[_best(own, fit)])[~fit].tolist()
        held_out[name] = _mean(unseen)
        took[name] = time.monotonic() - begun
        cut_short += [] if every_threshold and every_way else [name]
    winner = max(held_out, key=lambda name: held_out[name])
    judged = "the two halves of the training image" if len(train) == 1 else f"{len(images)} training images"
    ranking = ", ".join(f"{name} {score:.3f}" for name, score in held_out.items())
    description = f"{winner} ({best[winner]}). Mean AP at IoU 0.5 on {judged}, held out in turn: {ranking}."
    if cut_short:
        description += f" Not all settings tried within {seconds:g} s: {', '.join(cut_short)}."
    return Classical(winner, description, held_out, best[winner], took)


def _table(
    images: Sequence[Labelled], foregrounds: Sequence[Otsu | Local], aspect: float, late: Callable[[], bool]
) -> tuple[dict[Watershed, list[float]], bool]:
    """AP of each method on each image; False if cut short. The first way to part is always tried."""
    size = _typical_size(images)
    flat = images[0][1].ndim == 2
    diameter = 2 * np.sqrt(size / np.pi) if flat else 2 * np.cbrt(0.75 * size * aspect / np.pi)
    ways = [(float(a * diameter), float(b * diameter)) for a, b in product(SPACINGS, SMOOTHINGS)]
    ways.insert(1, (np.inf, 0.0))
    smallest = [round(share * size) for share in SMALLEST]
    masks = {f: [Mask(f(source) > 0, aspect) for source, _ in images] for f in foregrounds}
    table: dict[Watershed, list[float]] = {}
    for spacing, smoothing in ways:
        if table and late():
            return table, False
        for foreground in foregrounds:
            aps = [
                _scores(labels, mask.parted(spacing, smoothing), smallest)
                for (_, labels), mask in zip(images, masks[foreground], strict=True)
            ]
            for least, column in zip(smallest, np.transpose(aps), strict=True):
                table[Watershed(foreground, spacing, smoothing, least, aspect)] = column.tolist()
    return table, True


def _typical_size(images: Sequence[Labelled]) -> float:
    """Median number of pixels of an object."""
    sizes = np.concatenate([np.bincount(labels[labels > 0]) for _, labels in images])
    return float(np.median(sizes[sizes > 0]))


def _scores(truth: Array, labels: Array, smallest: Sequence[int]) -> list[float]:
    """AP at IoU 0.5 without objects below each size: leaving some out changes no match of the others."""
    pairs = overlaps(truth, labels)
    matched = pairs.found_sizes[pairs.j[matches(pairs)]]
    aps = []
    for least in smallest:
        hit, found = int((matched >= least).sum()), int((pairs.found_sizes >= least).sum())
        whole = len(pairs.truth) + found - hit
        aps.append(hit / whole if whole else float("nan"))
    return aps


def _prepare(train: Sequence[Labelled], seed: int) -> list[Labelled]:
    """A part of at most `MOST_IMAGES`; a single image is cut in two, one half to judge the other."""
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(train))]
    images = [_part(*train[i]) for i in order[:MOST_IMAGES]]
    if not any(labels.any() for _, labels in images):
        more = (pair for i in order[MOST_IMAGES:] if (pair := _part(*train[i]))[1].any())
        found = next(more, None)
        if found is None:
            raise DataError(
                f"None of the {len(train)} training label images holds an object, so no classical method can "
                "be tuned. Check that objects have numbers above 0."
            )
        images[-1] = found
    if len(images) > 1:
        return images
    source, labels = images[0]
    axis = int(np.argmax(labels.shape))
    return list(zip(np.array_split(source, 2, axis), np.array_split(labels, 2, axis), strict=True))


def _part(source: Array, labels: Array) -> Labelled:
    """The middle of an image or, where no object reaches into it, the surroundings of the nearest one."""
    size = TUNED_ON[labels.ndim]
    middle = centre(labels, size)
    if middle.any() or not labels.any():
        return centre(source, size), middle
    inside = np.argwhere(labels)
    nearest = inside[((inside - np.array(labels.shape) / 2) ** 2).sum(1).argmin()]
    starts = [max(0, min(at - s // 2, n - s)) for at, s, n in zip(nearest, size, labels.shape, strict=True)]
    place = tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))
    return source[place], labels[place]


def _best(table: Mapping[Method, Sequence[float]], use: Array) -> Method:
    """The method with the highest mean score on the images in `use`."""
    return max(table, key=lambda method: _mean(np.asarray(table[method], float)[use]))


def _mean(values: Sequence[float] | Array) -> float:
    """Mean without NaN (nothing to find); 0 where nothing else is left."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else 0.0

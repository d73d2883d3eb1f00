"""Boxes without a network: many candidates, and trees that tell objects by size, colour and contrast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zcdl_common.augment.boxes import clip_boxes
from zcdl_common.baselines import MOST_IMAGES
from zcdl_common.baselines.candidates import ROUND, Proposals, features
from zcdl_common.baselines.contrast import proposals
from zcdl_common.baselines.held_out import folds
from zcdl_common.baselines.ranked import MATCH, best_boxes, judged
from zcdl_common.boxes import area, iou
from zcdl_common.errors import DataError
from zcdl_common.statistics import percentiles
from zcdl_common.task import Array, Baseline, Facts, Prediction, Sample

NAME = "blobs and trees"
LOOKED_AT = 100
"""Training images whose boxes are read, to choose some in which every class is."""
FINEST = 12
"""Images are shrunk until objects of the smallest class are about so many pixels wide."""
BLOCK = 512
"""Larger images are searched block by block, of so many shrunk pixels a side; one block a training image."""
CLOSE = 0.75
"""Least IoU of a candidate that fits its object well."""
NOTHING = -1
SHARED = (0.2, 0.35, 0.5)
"""Largest IoUs of two boxes of one class tried."""
TREES = 60


class Image(NamedTuple):
    """The true boxes (N, 5) of a training image and the candidates in it, in shrunk pixels."""

    boxes: Array
    candidates: Array
    """The true boxes come last: each class has a candidate that shows it."""
    features: Array
    classes: Array
    """What each candidate shows: twice the class, 1 more where it fits well, or `NOTHING`."""


@dataclass(frozen=True)
class Blobs:
    """Candidates, scored by the share of trees that see an object of a class, the best of each place."""

    proposals: Proposals
    trees: Any
    shrink: int
    shared: float
    """Largest IoU of two boxes of one class."""
    confidence: Mapping[int, float]
    """Least score of the boxes of each class with the highest F1 on training images held out."""

    def __call__(self, image: Array) -> Prediction:
        """Image (Y, X, C) -> boxes float32 (N, 5) with ``scores`` float32 (N,), highest first.

        Those below the confidence of their class are ``faint``, with ``faint_scores``.
        """
        small = shrunk(image, self.shrink)
        margin = int(np.ceil(self.proposals.limits[1]))
        boxes, scores = [np.zeros((0, 5))], [np.zeros(0)]
        for y in range(0, small.shape[0], BLOCK):
            for x in range(0, small.shape[1], BLOCK):
                start = np.array([max(0, y - margin), max(0, x - margin)])
                part = small[start[0] : y + BLOCK + margin, start[1] : x + BLOCK + margin]
                found, described = self.proposals(part)
                one, score = best_boxes(found, _votes(self.trees, described), self.shared)
                one[:, :4] += np.tile(start, 2)
                centre = (one[:, :2] + one[:, 2:4]) / 2
                owned = ((centre >= (y, x)) & (centre < (y + BLOCK, x + BLOCK))).all(1)
                boxes.append(one[owned])
                scores.append(score[owned])
        every, sure = np.concatenate(boxes), np.concatenate(scores)
        order = np.argsort(-sure, kind="stable")
        every[:, :4] *= np.tile(np.divide(image.shape[:2], small.shape[:2]), 2)
        every, sure = every[order].astype(np.float32), sure[order].astype(np.float32)
        kept = sure >= np.array([self.confidence.get(int(c), 0.0) for c in every[:, 4]])
        extra = {"scores": sure[kept], "faint": every[~kept], "faint_scores": sure[~kept]}
        return Prediction(every[kept], extra)


def blobs(
    samples: Sequence[Sample],
    facts: Facts,
    seed: int,
    *,
    truth: Callable[[Sample, Facts], Array],
    seconds: float = 30.0,
) -> Baseline:
    """Learn from at most 8 training images what objects look like.

    Candidates are regions above several thresholds, whole and parted by a watershed, and maxima of Laplacians
    of Gaussian, in planes of colour in which the objects stand out. Extremely randomised trees tell from
    size, shape, colour and contrast which class a candidate shows, if any; the score is their share.

    Parameters
    ----------
    samples
        ``source.read()`` gives (Y, X, C), any dtype.
    facts
        Handed on to `truth`.
    seed
        Picks the images and grows the trees.
    truth
        Boxes float32 (N, 5) y0 x0 y1 x1 class of a sample, in pixels, half-open.
    seconds
        No further image is searched after half of it.

    Returns
    -------
    Baseline
        `predict` is a `Blobs`.

    Raises
    ------
    DataError
        No training image holds a box.

    References
    ----------
    Matas et al. 2004, doi:10.1016/j.imavis.2004.02.006 (regions of many thresholds); Arteta et al. 2012,
    doi:10.1007/978-3-642-33415-3_43 (for cells, with a score that is learned); Geurts et al. 2006,
    doi:10.1007/s10994-006-6226-1 (the trees).
    """
    started = time.monotonic()
    picked = _chosen(samples, facts, seed, truth)
    typical = _typical_sides(np.concatenate([boxes for _, boxes in picked]))
    shrink = max(1, int(min(typical) / FINEST))
    parts = [_part(*_small(sample.source.read(), boxes, shrink)) for sample, boxes in picked]
    propose = proposals(parts, seed)
    found: list[Image] = []
    for pixels, boxes in parts:
        if not found or time.monotonic() - started < seconds / 2:
            found.append(_described(propose, pixels, boxes))
    shared, confidence, held_out = _tuned(found, seed)
    low, high = (shrink * diameter for diameter in (propose.diameters[0], propose.diameters[-1]))
    judged_on = "halves held out in turn" if len(found) > 1 else "not held out"
    description = (
        f"Regions above thresholds, parted by a watershed, and blobs of {low:.0f} to {high:.0f} pixels, told "
        "apart by trees that learned size, shape, colour and contrast from "
        f"{sum(len(image.boxes) for image in found)} objects in {len(found)} training images; boxes of a "
        f"class share at most an IoU of {shared:g}. Mean AP at IoU 0.5 on these images, {judged_on}: "
        f"{held_out:.3f}."
    )
    return Baseline(NAME, description, Blobs(propose, _grow(found, seed), shrink, shared, confidence))


def _chosen(
    samples: Sequence[Sample], facts: Facts, seed: int, truth: Callable[[Sample, Facts], Array]
) -> list[tuple[Sample, Array]]:
    """At most `MOST_IMAGES` with their boxes; the next one always holds the class that is rarest so far."""
    order = np.random.default_rng(seed).permutation(len(samples))[:LOOKED_AT]
    read = [(samples[i], np.asarray(truth(samples[i], facts), np.float32).reshape(-1, 5)) for i in order]
    left = [(sample, boxes) for sample, boxes in read if (area(boxes) > 0).any()]
    if not left:
        raise DataError(
            f"None of {len(order)} training images holds a box, so no classical method can be tuned. "
            "Check that the annotations belong to these images and name at least one object."
        )
    seen = dict.fromkeys(np.unique(np.concatenate([boxes[:, 4] for _, boxes in left])), 0)
    picked: list[tuple[Sample, Array]] = []
    while left and len(picked) < MOST_IMAGES:
        rarest = min(seen, key=lambda name: seen[name])
        holding = (i for i, (_, boxes) in enumerate(left) if rarest in boxes[:, 4])
        picked.append(left.pop(next(holding, 0)))
        for name in picked[-1][1][:, 4]:
            seen[name] += 1
    return picked


def _typical_sides(boxes: Array) -> list[float]:
    """Median root of the area of the boxes of each class."""
    return [float(np.median(np.sqrt(area(boxes[boxes[:, 4] == name])))) for name in np.unique(boxes[:, 4])]


def _small(image: Array, boxes: Array, shrink: int) -> tuple[Array, Array]:
    """The shrunk image with its boxes."""
    small = shrunk(image, shrink)
    factor = np.divide(small.shape[:2], image.shape[:2])
    return small, np.column_stack([boxes[:, :4] * np.tile(factor, 2), boxes[:, 4]])


def shrunk(image: Array, shrink: int) -> Array:
    """Image (Y, X, C) with each channel between its percentiles 1 and 99.8, shrunk by averaging; float32."""
    import cv2

    low, high = percentiles([image], [1, 99.8])
    scaled = (image.astype(np.float32) - low) / np.maximum(high - low, 1e-6)
    size = [max(1, side // shrink) for side in image.shape[1::-1]]
    channels = (np.ascontiguousarray(scaled[..., c], np.float32) for c in range(image.shape[-1]))
    return np.dstack([cv2.resize(channel, size, interpolation=cv2.INTER_AREA) for channel in channels])


def _part(image: Array, boxes: Array) -> tuple[Array, Array]:
    """Where most objects are, of an image larger than `BLOCK`."""
    if max(image.shape[:2]) <= BLOCK:
        return image, boxes
    centres = (boxes[:, :2] + boxes[:, 2:4]) / 2
    near = (np.abs(centres[:, None] - centres) < BLOCK / 2).all(-1).sum(1)
    start = (centres[near.argmax()] - BLOCK / 2).clip(0, np.maximum(0, np.array(image.shape[:2]) - BLOCK))
    y, x = (int(at) for at in start)
    moved = boxes - np.array([y, x, y, x, 0])
    return image[y : y + BLOCK, x : x + BLOCK], clip_boxes(moved, (BLOCK, BLOCK))


def _described(propose: Proposals, pixels: Array, boxes: Array) -> Image:
    """Candidates and, so that each object has one that shows it, the true boxes."""
    found, described = propose(pixels)
    true = np.column_stack([boxes[:, :4], np.full(len(boxes), ROUND)])
    known = features(propose.stack(pixels), true)
    candidates = np.concatenate([found, true])
    shared = iou(candidates, boxes)
    fit, of = shared.max(1), boxes[shared.argmax(1), 4].astype(int)
    classes = np.where(fit >= MATCH, 2 * of + (fit >= CLOSE), NOTHING)
    return Image(boxes, candidates, np.concatenate([described, known]), classes)


def _grow(images: Sequence[Image], seed: int) -> Any:
    """Trees that know the class of a candidate."""
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(TREES, min_samples_leaf=3, max_features=0.3, random_state=seed)
    return trees.fit(
        np.concatenate([image.features for image in images]),
        np.concatenate([image.classes for image in images]),
    )


def _votes(trees: Any, described: Array) -> dict[int, Array]:
    """Share of the trees that see each class in the candidates; one of a loose fit counts half."""
    shares = trees.predict_proba(described).T if len(described) else np.zeros((len(trees.classes_), 0))
    votes: dict[int, Array] = {}
    for label, share in zip(trees.classes_, shares, strict=True):
        if label != NOTHING:
            name, close = divmod(int(label), 2)
            votes[name] = votes.get(name, 0) + (share if close else share / 2)
    return votes


def _tuned(images: Sequence[Image], seed: int) -> tuple[float, dict[int, float], float]:
    """Largest IoU of two boxes, least confidence and mean AP, on images that the trees have not seen."""
    ways = folds(len(images)) if len(images) > 1 else [(np.ones(1, bool), np.ones(1, bool))]
    votes: list[tuple[Image, dict[int, Array]]] = []
    for fit, unseen in ways:
        trees = _grow([image for image, use in zip(images, fit, strict=True) if use], seed)
        for image, use in zip(images, unseen, strict=True):
            if use:  # the true boxes, which come last, are no candidates here
                number = len(image.candidates) - len(image.boxes)
                votes.append((image, _votes(trees, image.features[:number])))
    tried = {}
    for shared in SHARED:
        found = [(*best_boxes(image.candidates, vote, shared), image.boxes) for image, vote in votes]
        tried[shared] = judged(found)
    best = max(tried, key=lambda shared: tried[shared][0])
    return best, tried[best][1], tried[best][0]

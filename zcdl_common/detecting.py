"""The task of object detection: boxes with a class, their facts, scores and classical method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from zcdl_common.boxes import area
from zcdl_common.boxes.suppress import suppress
from zcdl_common.errors import DataError
from zcdl_common.metrics.detection_matching import Matched, match
from zcdl_common.metrics.statistics import Comparison, Interval
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample

FAINTEST = 0.01
"""Scores down to which boxes count for average precision, which looks at all thresholds."""
CANDIDATES = 0.125
"""Share of the points of all grids that may speak of an object. Where more do the network knows nothing yet,
and the surest are taken: comparing all of them would take minutes."""
FEWEST_CANDIDATES = 3000
"""So many may speak in the smallest image."""
ALL = None
"""Boxes of a class in an image that count for average precision. COCO takes 100; there are dishes with more
cells than that."""


def boxes_of(sample: Sample, facts: Facts) -> Array:
    """Boxes of a sample float32 (N, 5): y0 x0 y1 x1 in pixels, half-open, and the class by its number.

    They end at the border of the image; those without area are left out.

    Raises
    ------
    DataError
        A class is none of those of the training images.
    """
    assert sample.target is not None
    found, names = sample.target.read(), facts.extra["class_names"]
    unknown = sorted(set(found.classes) - set(names))
    if unknown:
        raise DataError(
            f"{sample.target.path.name} holds boxes of {', '.join(unknown)}, but the training images know "
            f"{', '.join(names)}. Correct the spelling, or give the training images such boxes too."
        )
    corners = clipped(found.yxyx, sample.size)
    kinds = np.array([names.index(name) for name in found.classes], np.float32)
    return np.column_stack([corners, kinds])[area(corners) > 0].astype(np.float32)


def clipped(boxes: Array, size: Sequence[int]) -> Array:
    """Boxes (N, 4) y0 x0 y1 x1 cut at the border of an image of `size` (Y, X)."""
    return np.clip(boxes, 0, [*size, *size])


def box_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Classes, number and size of the boxes of the training images.

    Returns
    -------
    dict
        In ``extra``: ``class_names``, sorted; ``class_counts`` (boxes of each); ``objects`` (of all);
        ``empty_images`` (images without any); ``small_side`` (pixels that the shorter side of one box in ten
        does not reach, in the class of the smallest objects); ``large_extents`` (Y, X sides that one box in
        twenty exceeds); ``usual_size`` (Y, X, median of the images).

    Raises
    ------
    DataError
        No image holds a box.
    """
    found = [sample.target.read() for sample in samples if sample.target is not None]
    sides = np.concatenate([boxes.yxyx[:, 2:] - boxes.yxyx[:, :2] for boxes in found])
    kinds = np.concatenate([np.array(boxes.classes, object) for boxes in found])
    real = np.all(sides > 0, axis=1)
    if not real.any():
        raise DataError(
            f"None of the {len(samples)} images has a box around an object. Check the folder of annotations, "
            "and that they were saved."
        )
    names, counts = np.unique(kinds[real].astype(str), return_counts=True)
    return {
        "extra": {
            "class_names": tuple(names.tolist()),
            "class_counts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
            "objects": int(real.sum()),
            "empty_images": sum(not len(boxes.classes) for boxes in found),
            "small_side": min(
                float(np.percentile(sides[real & (kinds == name)].min(axis=1), 10)) for name in names
            ),
            "large_extents": tuple(np.percentile(sides[real], 95, axis=0).tolist()),
            "usual_size": tuple(np.median([sample.size for sample in samples], axis=0).tolist()),
        }
    }


def scores(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """Average precision of one image by itself; precision, recall and counts at the confidence in use.

    ``n_true`` and ``n_found`` count all boxes, ``n_true_<class>`` and ``n_found_<class>`` those of a class.
    """
    from zcdl_common.metrics import detection

    names = facts.extra["class_names"]
    ap = detection.scores([matched(truth, prediction, facts)], names, ALL)
    sure = matched(truth, prediction, facts, faint=False)
    hits, found, true = int(sure.right[:, 0].sum()), len(sure.scores), int(sure.truths.sum())
    kinds = np.bincount(sure.classes, minlength=len(names))
    either = found + true
    return {
        "map50": ap["map50"],
        "map50_95": ap["map50_95"],
        "f1_50": 2 * hits / either if either else float("nan"),
        "precision": hits / found if found else float("nan"),
        "recall": hits / true if true else float("nan"),
        "n_true": true,
        "n_found": found,
        **{f"n_true_{name}": int(n) for name, n in zip(names, sure.truths, strict=True)},
        **{f"n_found_{name}": int(n) for name, n in zip(names, kinds, strict=True)},
    }


def matched(truth: Array, prediction: Prediction, facts: Facts, faint: bool = True) -> Matched:
    """What became of the boxes of an image; `faint`: also of those below the confidence.

    Boxes without scores, of another program, are all equally sure.
    """
    boxes, extra = prediction.main, prediction.extra
    sure = extra.get("scores", np.ones(len(boxes)))
    if faint and "faint" in extra:
        boxes = np.concatenate([boxes, extra["faint"]])
        sure = np.concatenate([sure, extra["faint_scores"]])
    return match(truth, boxes, sure, len(facts.extra["class_names"]))


def set_scores(
    truths: Sequence[Array],
    predictions: Sequence[Prediction],
    facts: Facts,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    reference: None = None,
) -> dict[str, Interval]:
    """Average precision of all images together, of each class and in the mean, and how far counts are off."""
    from zcdl_common.metrics import detection_confidence, detection_intervals

    names = facts.extra["class_names"]
    pairs = list(zip(truths, predictions, strict=True))
    found = detection_intervals.intervals(
        [matched(t, p, facts) for t, p in pairs], names, groups=groups, seed=seed, most=ALL
    )
    if len(names) == 1:  # the mean over one class says it all
        found = {key: value for key, value in found.items() if key in detection_intervals.MEANS}
    sure = [matched(t, p, facts, faint=False) for t, p in pairs]
    numbers = detection_confidence.counts(sure, 0.0)
    off = detection_confidence.count_errors(*numbers, groups=groups, seed=seed)
    return found | {f"count_off_{name}": error.bias for name, error in zip(names, off, strict=True)}


def set_comparison(
    truths: Sequence[Array],
    network: Sequence[Prediction],
    classical: Sequence[Prediction],
    facts: Facts,
    **how: Any,
) -> Comparison:
    """Network and classical method by the mean average precision of all images together."""
    from zcdl_common.metrics import detection_intervals

    ours, theirs = (
        [matched(t, p, facts) for t, p in zip(truths, said, strict=True)] for said in (network, classical)
    )
    return detection_intervals.compare(ours, theirs, most=ALL, **how)


def map50(truths: Sequence[Array], predictions: Sequence[Prediction], facts: Facts) -> float:
    """Mean average precision at an IoU of 0.5 of all images together, 0 to 1; 0 without a box."""
    from zcdl_common.metrics import detection

    pairs = zip(truths, predictions, strict=True)
    found = detection.scores([matched(t, p, facts) for t, p in pairs], facts.extra["class_names"], ALL)
    return float(np.nan_to_num(found["map50"]))


def choose_settings(
    decode: Callable[..., Prediction],
    outputs: Iterable[tuple[tuple[Array, ...], Array, Sequence[int]]],
    facts: Facts,
) -> dict[str, Any]:
    """``confidence`` and ``nms_iou`` with the best F1, mean over classes, on validation images."""
    from zcdl_common.metrics import detection_confidence as metrics

    found: dict[float, list[Matched]] = {overlap: [] for overlap in metrics.OVERLAPS}
    for maps, truth, shape in outputs:
        for overlap, images in found.items():
            said = decode(maps, {"confidence": FAINTEST, "nms_iou": overlap, "shape": shape})
            images.append(matched(truth, said, facts))
    return metrics.choose(found.__getitem__)


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """Blobs or thresholded regions with boxes, classes by their size and colour; see `baselines.blobs`."""
    from zcdl_common.baselines.blobs import blobs

    return blobs(samples, facts, seed, truth=boxes_of)


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """None: the errors of boxes are drawn, not painted."""
    return {}


def outputs(prediction: Prediction, config: Any, facts: Facts) -> dict[str, Output]:
    """None: boxes are no image; see `files`."""
    return {}


def decode(maps: Sequence[Array], steps: Sequence[int], settings: Mapping[str, Any]) -> Prediction:
    """Boxes that the maps of a detector speak of.

    The score of a box is the geometric mean of the probability of its class and the overlap it is expected to
    have. Every point may speak of one object, of its most probable class.

    Parameters
    ----------
    maps : sequence of ndarray
        One a grid, (Y, X, 5 + classes): distances to the upper, left, lower and right side in pixels, the
        expected overlap, and the probability of each class.
    steps : sequence of int
        Pixels from one point of each grid to the next.
    settings : mapping
        ``confidence`` (least score), ``nms_iou``, and ``shape``, the size (Y, X) of the image, where it is no
        multiple of the grids.

    Returns
    -------
    Prediction
        ``main`` float32 (N, 5) y0 x0 y1 x1 class, the surest first. In ``extra`` ``scores`` float32 (N,);
        ``faint`` and ``faint_scores``: the boxes below the confidence, down to `FAINTEST`, which average
        precision looks at too.
    """
    boxes, scores = [], []
    least = min(FAINTEST, settings["confidence"])
    for values, step in zip(maps, steps, strict=True):
        best = values[..., 5:].max(axis=-1)
        sure = np.sqrt(best * values[..., 4])
        y, x = np.nonzero(sure >= least)
        at = values[y, x]
        points = (np.stack([y, x], axis=-1) + 0.5) * step
        corners = np.concatenate([points - at[:, :2], points + at[:, 2:4]], axis=1)
        boxes.append(np.column_stack([corners, at[:, 5:].argmax(axis=-1)]))
        scores.append(sure[y, x])
    found, surety = np.concatenate(boxes), np.concatenate(scores)
    whole = [n * steps[0] for n in maps[0].shape[:2]]
    found[:, :4] = clipped(found[:, :4], settings.get("shape") or whole)
    most = max(FEWEST_CANDIDATES, int(CANDIDATES * sum(m[..., 0].size for m in maps)))
    order = np.argsort(-surety, kind="stable")[:most]
    order = order[area(found[order]) > 0]
    order = order[suppress(found[order], surety[order], settings["nms_iou"])]
    found, surety = found[order].astype(np.float32), surety[order].astype(np.float32)
    kept = int(np.count_nonzero(surety >= settings["confidence"]))
    return Prediction(
        found[:kept],
        {
            "scores": surety[:kept],
            "faint": found[kept:],
            "faint_scores": surety[kept:],
        },
    )

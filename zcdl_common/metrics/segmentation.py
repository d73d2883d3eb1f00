"""Overlap of class masks, and the threshold that turns a probability into a mask.

Overlap counts pixels. It does not see whether touching objects were separated, weighs a large object
more than a small one, and judges thin structures harshly, where one pixel of shift costs half the score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.shapes import same_shape
from zcdl_common.task import Array

THRESHOLDS = np.arange(256) / 256
"""Probabilities tried by default; 0.5 is one of them, and all are exact in float32."""
_CHUNK = 1 << 18
"""Pixels at a time: the temporary arrays stay in the cache, and memory does not grow with the image."""


def scores(truth: Array, prediction: Array, classes: int | Sequence[int]) -> dict[str, float]:
    """IoU, Dice, precision and recall of one image, per class and as mean over foreground classes.

    Parameters
    ----------
    truth, prediction
        Class indices, integer, (Z)YX, 0 is background.
    classes
        Number of classes, or the mask value of each class index, background first; values name the keys.

    Returns
    -------
    dict
        ``iou``, ``dice``, ``precision``, ``recall`` in [0, 1]: means over the foreground classes that
        occur in `truth` or `prediction`. ``iou_<value>`` and so on for every class, background too.
        A class in neither array scores NaN and is left out of the mean; without any such class the
        mean is NaN. A class in one of the two arrays alone scores 0 in all four.

    Raises
    ------
    DataError
        The arrays differ in shape or hold an index that is no class.

    References
    ----------
    Jaccard, P. (1912). The distribution of the flora in the alpine zone. New Phytologist 11, 37-50.
    Dice, L. R. (1945). Measures of the amount of ecologic association between species.
    Ecology 26, 297-302.
    """
    values = tuple(range(classes)) if isinstance(classes, int) else tuple(classes)
    counts = confusion(truth, prediction, len(values))
    hit = np.diag(counts).astype(float)
    in_truth, in_prediction = counts.sum(1), counts.sum(0)
    present = (in_truth + in_prediction) > 0

    def share(part: Array, whole: Array) -> Array:
        return np.where(present, part / np.maximum(whole, 1), np.nan)

    per_class = {
        "iou": share(hit, in_truth + in_prediction - hit),
        "dice": share(2 * hit, in_truth + in_prediction),
        "precision": share(hit, in_prediction),
        "recall": share(hit, in_truth),
    }
    foreground = present & (np.arange(len(values)) > 0)
    result = {
        key: float(v[foreground].mean()) if foreground.any() else np.nan for key, v in per_class.items()
    }
    for key, of_class in per_class.items():
        result |= {f"{key}_{value}": float(v) for value, v in zip(values, of_class, strict=True)}
    return result


def confusion(truth: Array, prediction: Array, n_classes: int) -> Array:
    """Pixels by class in `truth` (rows) and in `prediction` (columns): int64 (n_classes, n_classes).

    Raises
    ------
    DataError
        The arrays differ in shape or hold an index that is no class.
    """
    same_shape(truth, prediction)
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.size and not 0 <= array.min() <= array.max() < n_classes:
            raise DataError(
                f"The {name} holds class indices {array.min()} to {array.max()}, but there are {n_classes} "
                f"classes, 0 to {n_classes - 1}. Give masks with the classes that the network was trained on."
            )
    counts = np.zeros(n_classes**2, np.int64)
    rows, columns = truth.reshape(-1), prediction.reshape(-1)
    for start in range(0, rows.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pair = rows[part].astype(np.intp) * n_classes + columns[part]
        counts += np.bincount(pair, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def threshold_curve(probability: Array, truth: Array, thresholds: Array = THRESHOLDS) -> Array:
    """IoU of ``probability >= threshold`` with `truth`, for all thresholds in one pass.

    A pixel is foreground for every threshold up to its probability. Two histograms of the number of
    such thresholds, one of all pixels and one of the true ones, summed from above, therefore hold all
    intersections and unions: exactly what a loop over masks counts.

    Parameters
    ----------
    probability
        Probability of foreground, (Z)YX. NaN is never foreground.
    truth
        True foreground, bool (Z)YX.
    thresholds
        Increasing, (T,); compared in the precision of `probability`.

    Returns
    -------
    Array
        float64 (T,); NaN where neither truth nor mask holds a pixel.

    Raises
    ------
    DataError
        The arrays differ in shape.
    """
    same_shape(truth, probability)
    steps = np.asarray(thresholds)
    if np.issubdtype(probability.dtype, np.floating):
        steps = steps.astype(probability.dtype)
    n = len(steps)
    counts = np.zeros(2 * (n + 1), np.int64)
    values, true = probability.reshape(-1), truth.reshape(-1).astype(bool, copy=False)
    for start in range(0, values.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        passed = _passed(values[part], steps)
        passed[true[part]] += n + 1
        counts += np.bincount(passed, minlength=counts.size)
    false_hist, true_hist = counts.reshape(2, n + 1)
    hits = true_hist[::-1].cumsum()[::-1][1:]
    false_alarms = false_hist[::-1].cumsum()[::-1][1:]
    union = true_hist.sum() + false_alarms
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def best_threshold(curves: Array, thresholds: Array = THRESHOLDS) -> float:
    """Find the threshold that serves (validation) images well without fitting their peculiarities.

    The threshold nearest to 0.5 whose mean IoU lies within one standard error of the highest: with few
    images the highest point is mostly theirs, and other images are served better by a milder choice.

    Parameters
    ----------
    curves
        One row of `threshold_curve` an image, (N, T). NaN entries are left out of the mean.
    thresholds
        (T,).

    Returns
    -------
    float
        0.5 where no image says anything; the highest point where there is one image, which has no error.

    References
    ----------
    One-standard-error rule: Breiman, Friedman, Olshen, Stone 1984, Classification and Regression Trees.
    """
    table, steps = np.atleast_2d(curves), np.asarray(thresholds)
    known = ~np.isnan(table)
    if not known.any():
        return 0.5
    mean = np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1)
    top = table[:, int(mean.argmax())]
    top = top[~np.isnan(top)]
    error = float(top.std(ddof=1) / np.sqrt(len(top))) if len(top) > 1 else 0.0
    best = steps[mean >= mean.max() - error - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _passed(values: Array, steps: Array) -> Array:
    """How many of the increasing `steps` each value reaches: intp (P,)."""
    n = len(steps)
    gaps = np.diff(steps)
    if n < 3 or not np.issubdtype(values.dtype, np.floating) or not np.allclose(gaps, gaps[0], rtol=1e-3):
        found: Array = np.searchsorted(steps, values, side="right")
        return np.where(np.isnan(values), 0, found)
    # Even steps: a guess, off by at most one for rounding, then put right; 5 times faster than a search.
    # NaN as last bound is never reached, and a NaN value starts at step 0, which it fails.
    guess = (values - steps[0]) * ((n - 1) / (steps[-1] - steps[0]))
    index = np.fmin(np.fmax(guess, 0), n - 1).astype(np.intp)
    index += values >= np.append(steps, np.nan).astype(steps.dtype)[index + 1]
    reached: Array = index + (values >= steps[index])
    return reached

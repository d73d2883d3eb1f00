"""Time the scores against what NumPy and scikit-learn would take: ``python benchmarks/metrics.py``.

Every pair of rows computes the same numbers, which is checked; times are medians, taken in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from zcdl_common.metrics.segmentation import THRESHOLDS, scores, threshold_curve

SIDE = 1024
SAMPLED = 16
"""Of the 256 thresholds scikit-learn is timed on every 16th, and the time multiplied."""


def images() -> tuple[np.ndarray, np.ndarray]:
    """Make a blurred probability and a truth like those of a nuclei image."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 8)
    field /= field.std()
    probability = 1 / (1 + np.exp(-3 * (field - 0.8 + rng.normal(0, 0.3, field.shape))))
    return probability.astype(np.float32), field > 0.8


def seconds(*calls: Callable[[], object], repeats: int = 5) -> list[float]:
    """Time each call, in turn, so that a busy machine slows all alike; medians."""
    times = np.empty((repeats, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0).tolist()


def loop(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    result = []
    for threshold in THRESHOLDS.astype(probability.dtype):
        mask = probability >= threshold
        result.append(np.sum(mask & truth) / np.sum(mask | truth))
    return np.array(result)


def with_sklearn(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    steps = THRESHOLDS[::SAMPLED].astype(probability.dtype)
    return np.array([jaccard_score(truth.ravel(), (probability >= t).ravel()) for t in steps])


def sklearn_scores(truth: np.ndarray, mask: np.ndarray) -> list[float]:
    t, m = truth.ravel(), mask.ravel()
    return [f(t, m) for f in (jaccard_score, f1_score, precision_score, recall_score)]


def main() -> None:
    probability, truth = images()
    curve = threshold_curve(probability, truth)
    np.testing.assert_array_equal(curve, loop(probability, truth))
    np.testing.assert_allclose(curve[::SAMPLED], with_sklearn(probability, truth))
    ours, plain = seconds(lambda: threshold_curve(probability, truth), lambda: loop(probability, truth))
    (peer,) = seconds(lambda: with_sklearn(probability, truth), repeats=1)
    peer *= SAMPLED
    print(f"IoU at {len(THRESHOLDS)} thresholds, {SIDE} x {SIDE} pixels, float32")
    print(f"  threshold_curve             {1e3 * ours:9.1f} ms")
    print(f"  loop over NumPy masks       {1e3 * plain:9.1f} ms  {plain / ours:7.1f} times as long")
    print(f"  loop over jaccard_score     {1e3 * peer:9.1f} ms  {peer / ours:7.1f} times as long")

    index, mask = truth.astype(np.int32), (probability >= 0.5).astype(np.int32)
    result = scores(index, mask, 2)
    assert np.allclose(
        [result[k] for k in ("iou", "dice", "precision", "recall")], sklearn_scores(index, mask)
    )
    ours, peer = seconds(lambda: scores(index, mask, 2), lambda: sklearn_scores(index, mask), repeats=3)
    print("IoU, Dice, precision and recall of one mask of that size")
    print(f"  scores                      {1e3 * ours:9.1f} ms")
    print(f"  scikit-learn                {1e3 * peer:9.1f} ms  {peer / ours:7.1f} times as long")


if __name__ == "__main__":
    main()

"""Time the scores of objects against stardist: ``python benchmarks/instances.py``.

Both compute the same numbers, which is checked; times are medians, taken in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from stardist.matching import matching

from zcdl_common.metrics.instances import THRESHOLDS, agreement, overlaps

SIDES = (512, 1024, 2048)
REPEATS = 5


def labels(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Crowded objects of about 16 pixels across, and the same ones moved, some of them lost."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(side, side)), 5)
    truth = ndimage.label(field > 0.6 * field.std())[0].astype(np.int32)
    keep = rng.random(truth.max() + 1) > 0.1
    found = np.where(keep[truth], truth, 0)
    return truth, np.roll(found, (1, 2), (0, 1))


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Time each call, in turn, so that a busy machine slows all alike; medians."""
    times = np.empty((REPEATS, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0).tolist()


def main() -> None:
    for side in SIDES:
        truth, found = labels(side)

        def ours(truth: np.ndarray = truth, found: np.ndarray = found) -> list[float]:
            pairs = overlaps(truth, found)
            return [agreement(pairs, t)["pq"] for t in THRESHOLDS]

        def theirs(truth: np.ndarray = truth, found: np.ndarray = found) -> list[float]:
            return [m.panoptic_quality for m in matching(truth, found, thresh=THRESHOLDS)]

        np.testing.assert_allclose(ours(), theirs(), atol=1e-6)  # compiles their loop, too
        mine, peer = seconds(ours, theirs)
        print(f"{len(THRESHOLDS)} IoU thresholds, {side} x {side} pixels, {truth.max()} objects")
        print(f"  metrics.instances           {1e3 * mine:9.1f} ms")
        print(f"  stardist.matching           {1e3 * peer:9.1f} ms  {peer / mine:7.1f} times as long")


if __name__ == "__main__":
    main()

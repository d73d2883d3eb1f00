"""Time the simulator of single-molecule frames: ``python benchmarks/smlm_simulator.py``.

Beside it stands the straightforward way: for each frame, each spot is computed by erf on the whole frame and
added, then the camera. Both make the same light, which is checked, and use the same camera; times
are medians, taken in turn. The last column is light alone, without the noise of the camera.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.special import erf

from zcdl_common.smlm.camera import expose
from zcdl_common.smlm.emitters import Emitters
from zcdl_common.smlm.psf import spots
from zcdl_common.smlm.simulate import Simulation, frames

CASES = {"64 x 64": (20, 64), "128 x 128": (2, 128)}
DENSITIES = (0.5, 2.0, 6.0)
REPEATS = 3
BACKGROUND = 15.0


def plain(on: Emitters, shape: tuple[int, int, int]) -> np.ndarray:
    """Light TYX, one spot after the other."""
    light = np.zeros(shape)
    y, x = np.mgrid[: shape[1], : shape[2]]
    for t, (cy, cx), number, sigma in zip(on.frame, on.yx, on.photons, on.sigma, strict=True):
        wide = np.sqrt(2) * sigma
        rows = (erf((y + 1 - cy) / wide) - erf((y - cy) / wide)) / 2
        columns = (erf((x + 1 - cx) / wide) - erf((x - cx) / wide)) / 2
        light[t] += number * rows * columns
    return light


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Time each call, in turn, so that a busy machine slows all alike; medians."""
    times = np.empty((REPEATS, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0).tolist()


def compare(name: str, count: int, side: int, density: float) -> None:
    """Print a row of the table."""
    shape = (count, side, side)
    plan = Simulation(density=(density, density), background=(BACKGROUND, BACKGROUND))
    _, on = frames(np.random.default_rng(0), plan, count, (side, side))
    light = plain(on, shape)
    np.testing.assert_allclose(spots(on.frame, on.yx, on.photons, on.sigma, shape), light, atol=1e-5)
    whole, fast, slow, camera = seconds(
        lambda: frames(np.random.default_rng(0), plan, count, (side, side)),
        lambda: spots(on.frame, on.yx, on.photons, on.sigma, shape),
        lambda: plain(on, shape),
        lambda: expose(light + BACKGROUND, np.random.default_rng(0), plan.camera),
    )
    print(
        f"{name:9}  {density:12g}   {count / whole:9.0f}   {count / (slow + camera):24.1f}"
        f"   {(slow + camera) / whole:4.0f}x   {slow / fast:4.0f}x",
        flush=True,
    )


def main() -> None:
    print("frame      emitters/µm²   simulator   plain, frames a second   ratio   ratio of light alone")
    for name, (count, side) in CASES.items():
        for density in DENSITIES:
            compare(name, count, side, density)


if __name__ == "__main__":
    main()

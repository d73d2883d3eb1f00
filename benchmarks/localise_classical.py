"""The classical localisation beside the best possible, beside a loop, and on sets with known positions.

``python benchmarks/localise_classical.py``: root mean squared error of isolated emitters along an axis, over
the Cramer-Rao bound; then times, against scipy.optimize.curve_fit called for one emitter after the other on
the same windows, which finds the same positions (checked); times are medians, taken in turn. With
ZCDL_REAL_DATA naming the folder of real images, also the two sets of Deep-STORM, tuned on one half of the
frames and scored on the other, beside as many random points: at these densities many of them are close to an
emitter, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy.optimize import curve_fit
from scipy.special import erf

from zcdl_common.baselines import spots as detection
from zcdl_common.baselines.emitters import Calibration, Localiser
from zcdl_common.baselines.gaussian_fit import fit
from zcdl_common.baselines.hits import count_hits
from zcdl_common.baselines.localise import localise
from zcdl_common.samples.localise import blinking
from zcdl_common.smlm import psf
from zcdl_common.smlm.camera import PRESETS, expose

SIGMA, SIDE, BACKGROUND = 1.3, 21, 15.0
CAMERAS = {
    "sCMOS": (PRESETS["scmos"], Calibration(100.0, 2.0, 1.6)),
    "EMCCD": (PRESETS["emccd"], Calibration(100.0, 10.0, 0.5, 2.0)),
}
WAYS = (
    ("radial symmetry", False),
    ("least squares", False),
    ("least squares", True),
    ("maximum likelihood", False),
    ("maximum likelihood", True),
)
EMITTERS, REPEATS, LOOPED = 1500, 5, 300


def spots(yx, photons):
    """Light YX of emitters in one frame."""
    n = len(yx)
    return psf.spots(np.zeros(n, int), yx, photons, np.full(n, SIGMA), (1, SIDE, SIDE))[0]


def bound(yx: np.ndarray, photons: float, read_noise: float, excess: float) -> float:
    """Cramer-Rao bound along an axis, root mean square over the positions; slopes by finite differences."""
    total = 0.0
    for place in yx:
        theta = np.array([*place, photons, BACKGROUND])

        def light(t: np.ndarray) -> np.ndarray:
            return t[3] + spots(t[None, :2], t[2:3]).ravel()

        steps = 1e-4 * np.diag([1, 1, photons, BACKGROUND])
        slopes = np.array([(light(theta + s) - light(theta - s)) / (2 * s.sum()) for s in steps])
        information = (slopes / (excess * light(theta) + read_noise**2)) @ slopes.T
        total += np.linalg.inv(information)[[0, 1], [0, 1]].mean()
    return float(np.sqrt(total / len(yx)))


def precision() -> None:
    yx = SIDE // 2 + np.random.default_rng(1).uniform(0, 1, (EMITTERS, 2))
    print(f"error over bound, {EMITTERS} isolated emitters of {SIGMA} px, {BACKGROUND:g} photons background,")
    print("windows of 9 x 9 pixels; in brackets: estimated uncertainty over error")
    print(f"{'':22}{'bound':>9}  " + "".join(f"{way + (', free' if free else ''):>26}" for way, free in WAYS))
    for name, (camera, calibration) in CAMERAS.items():
        for photons in (300.0, 1000.0, 3000.0, 10000.0):
            rng = np.random.default_rng(2)
            light = np.stack([spots(p[None], np.array([photons])) for p in yx])
            frames = np.stack([expose(image + BACKGROUND, rng, camera) for image in light])
            best = bound(yx[:100], photons, calibration.read_noise, calibration.excess)
            row = f"{name}, {photons:5g} photons  {best:6.3f} px  "
            for way, free in WAYS:
                found = Localiser("wavelet", SIGMA, 1.2, way, free, 4, SIGMA, calibration)(frames)
                error = found.main[:, 1:] - yx[found.main[:, 0].astype(int)]
                near = (np.abs(error) < 2.5).all(1)
                rms = np.sqrt((error[near] ** 2).mean())
                told = np.median(found.extra["uncertainty"][near]) / rms
                row += f"{rms / best:19.2f} ({told:4.2f})"
            print(row)


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Time each call, in turn, so that a busy machine slows all alike; medians."""
    times = np.empty((REPEATS, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0).tolist()


def one_by_one(values: np.ndarray) -> np.ndarray:
    """The same fit as a plain loop: the model of one spot, handed to SciPy."""
    side = values.shape[1]
    edges = np.arange(side + 1)

    def model(_: object, y: float, x: float, total: float, background: float) -> np.ndarray:
        rows, columns = (np.diff(erf((edges - c) / (np.sqrt(2) * SIGMA))) / 2 for c in (y, x))
        return (total * rows[:, None] * columns + background).ravel()

    found = []
    for window in values:
        start = [side / 2, side / 2, 10 * np.ptp(window), window.min()]
        found.append(curve_fit(model, None, window.ravel(), start)[0][:2])
    return np.array(found)


def speed() -> None:
    frames, _ = blinking(np.random.default_rng(0), (400, 64, 64), (0.1, 0.1), density=0.2)
    calibration = CAMERAS["sCMOS"][1]
    at = detection.find(frames, "wavelet", 1.5, SIGMA).at
    values, inside, _ = detection.windows(frames, at, 3)
    whole = inside.all((1, 2))
    values, inside = values[whole], inside[whole]
    some = values[:LOOPED]
    apart = np.hypot(*(fit(some, inside[:LOOPED], SIGMA).yx - one_by_one(some)).T)
    assert np.median(apart) < 1e-3 and np.mean(apart < 0.01) > 0.95
    ours, loop = seconds(lambda: fit(values, inside, SIGMA), lambda: one_by_one(some))
    ours, loop = len(values) / ours, len(some) / loop
    print(f"\nleast squares in windows of 7 x 7 pixels, {len(values)} emitters")
    print(f"  gaussian_fit.fit            {ours:9.0f} emitters a second  {ours / loop:6.1f} times as many")
    print(f"  loop over curve_fit         {loop:9.0f} emitters a second")
    print(f"all of it, {len(frames)} frames of {frames.shape[1]} x {frames.shape[2]} pixels")
    for way, free in WAYS:
        method = Localiser("wavelet", SIGMA, 1.5, way, free, 3, SIGMA, calibration)
        (took,) = seconds(lambda method=method: method(frames))
        name = way + (", free width" if free else "")
        print(f"  {name:31}{len(frames) / took:7.0f} frames, {len(at) / took:7.0f} emitters a second")


def known_positions(folder: Path) -> None:
    for name in ("random_emitters_sim", "bundled_tubes_hd_sim"):
        frames = tifffile.imread(folder / name / "frames.tif")
        table = pd.read_csv(folder / name / "ground_truth.csv")
        truth = np.column_stack([table["frame"] - 1, table["y [nm]"] / 100, table["x [nm]"] / 100])
        half = len(frames) // 2
        began = time.perf_counter()
        best = localise(frames[:half], truth[truth[:, 0] < half], 0.1, seed=0)
        print(f"\n{name}, {len(truth) / frames.size * 100:.1f} emitters a square micrometre and frame")
        print(f"{best.description} Tuned in {time.perf_counter() - began:.1f} s.")
        found = best.predict(frames[half:]).main.astype(float)
        rng = np.random.default_rng(0)
        chance = np.column_stack([found[:, 0], rng.uniform(0, frames.shape[1:], (len(found), 2))])
        known = truth[truth[:, 0] >= half] - [half, 0, 0]
        for radius in (2.5, 1.0, 0.5):
            row = f"  within {100 * radius:3.0f} nm:"
            for what, points in (("", found), ("random points: ", chance)):
                hits = count_hits(points, known, len(frames) - half, radius)
                recall, precision = (hits.hits.sum() / len(all_) for all_ in (known, points))
                row += f" {what}Jaccard {hits.jaccard:.3f}, recall {recall:.3f}, precision {precision:.3f}, "
                row += f"RMSE {100 * hits.error:.1f} nm ({100 * hits.error / np.sqrt(2):.1f} along an axis);"
            print(row)


def main() -> None:
    precision()
    speed()
    folder = os.environ.get("ZCDL_REAL_DATA")
    if folder:
        known_positions(Path(folder) / "deepstorm")


if __name__ == "__main__":
    main()

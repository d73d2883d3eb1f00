"""The simulation that comes closest to real frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from zcdl_common.smlm.camera import Camera, photons
from zcdl_common.smlm.measure import MOST, RESAMPLED, Measured, measure
from zcdl_common.smlm.simulate import Range, Simulation, frames, lognormal
from zcdl_common.task import Array

SIDE = 256
"""Pixels a side of the part of large stacks that is looked at."""
SIMULATED = 100
"""Frames that are simulated, so that chance matters little."""
ROUNDS = 3
"""Simulations; later ones change less than the seed does."""
PLACES = 50_000
LEAST_SPREAD = 1.02
"""Emitters are never quite alike; a network that has seen no others is lost where they are not."""
ANY: Range = (0.0, float("inf"))


def propose(stack: Array, like: Simulation, seed: int = 0) -> Simulation:
    """Fill a simulation with what was measured in real frames.

    What a measurement gets wrong where spots overlap, it gets wrong in simulated frames alike: they are
    simulated, measured, and adjusted until both measurements agree (indirect inference). Width, photons and
    background range about what was found; density from a quarter of its mean over the field to a quarter
    more than what is found where the emitters are.

    Parameters
    ----------
    stack : ndarray
        Raw counts TYX, at least 5 frames of 24 x 24 pixels. Of large stacks, 400 frames of the 256 x 256
        pixels in which most blinks are looked at.
    like : Simulation
        Camera, pixel size and on-time: what cannot be told from the frames.
    seed : int
        Of the simulated frames.

    Returns
    -------
    Simulation
        With log-normal photons. `like` itself where nothing blinks.

    Raises
    ------
    DataError
        For too few or too small frames.

    References
    ----------
    Gourieroux, Monfort, Renault 1993, J Appl Econometrics 8:S85 (indirect inference).
    """
    part = lively(stack)
    real = measure(part, like.camera, like.pixel_nm, 1)
    if not real.blinks:
        return like
    found, _, _ = closest(part, real, like, free=True, seed=seed)
    field, background = found.density[0], found.background[0]
    ranges = {
        "density": (field / 4, 1.25 * field * real.crowding),
        "background": (0.75 * background, 1.25 * background),
        "sigma_nm": found.sigma_nm,
        "photons": found.photons,
    }
    rounded = {name: (short(low), short(high)) for name, (low, high) in ranges.items()}
    return replace(like, brightness="lognormal", **rounded)  # type: ignore[arg-type]


def closest(
    part: Array, real: Measured, simulation: Simulation, free: bool, seed: int
) -> tuple[Simulation, Array, Measured]:
    """Simulate frames with emitters where the real ones blink, as much like them as may be.

    Parameters
    ----------
    part : ndarray
        Real counts TYX.
    real : Measured
        What they hold; `blinks`.
    simulation : Simulation
        Density, of the places where emitters are, and background are sought within its ranges.
    free : bool
        Seek without limits, and width and log-normal photons as well.
    seed : int
        Of the simulated frames.

    Returns
    -------
    simulation : Simulation
        One density, now the mean over the field, and one background.
    frames : ndarray of uint16
        Counts TYX, 100 frames.
    measured : Measured
        What these hold.
    """
    places = _places(part, real, simulation, seed)
    limits = ANY if free else _scaled(simulation.density, 1 / real.crowding)
    dark = ANY if free else simulation.background
    density, background = real.field_density.value, real.background.value
    mean, spread, width = real.photons.value, real.spread.value, real.sigma_nm.value
    now = replace(simulation, camera=_any_pixel(simulation))
    for left in reversed(range(ROUNDS)):
        now = replace(now, density=_one(density, limits), background=_one(background, dark))
        if free:
            sigma = 0.95 * width, 1.05 * width
            now = replace(now, sigma_nm=sigma, photons=photon_range(mean, spread), brightness="lognormal")
        rng = np.random.default_rng(seed)
        counts, _ = frames(rng, now, SIMULATED, (part.shape[1], part.shape[2]), places)
        found = measure(counts, now.camera, now.pixel_nm, 1 if left else RESAMPLED)
        if not found.blinks:
            break
        density = now.density[0] * real.field_density.value / found.field_density.value
        background = now.background[0] + real.background.value - found.background.value
        mean *= real.photons.value / found.photons.value
        spread = max(1.0, spread * real.spread.value / found.spread.value)
        width *= real.sigma_nm.value / found.sigma_nm.value
    return now, counts, found


def lively(stack: Array) -> Array:
    """At most MOST frames of SIDE x SIDE pixels, those whose variance over time is largest."""
    chosen = stack[:: max(1, -(-len(stack) // MOST))]
    if stack.ndim != 3 or max(stack.shape[1:]) <= SIDE:
        return chosen  # `measure` says what is wrong with other shapes
    (top, bottom), (left, right) = busiest(chosen[::8])
    return chosen[:, top:bottom, left:right]


def busiest(frames: Array) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns (start, stop), at most SIDE, of the part of frames TYX in which most changes."""
    change = frames.astype(np.float32).var(axis=0)
    middle = np.unravel_index(ndimage.uniform_filter(change, SIDE, mode="constant").argmax(), change.shape)
    top, left = (
        int(np.clip(at - SIDE // 2, 0, max(0, size - SIDE)))
        for at, size in zip(middle, change.shape, strict=True)
    )
    height, width = change.shape
    return (top, min(top + SIDE, height)), (left, min(left + SIDE, width))


def photon_range(mean: float, spread: float) -> Range:
    """Log-normal photons of a mean and, but for a least one, a spread."""
    return lognormal(mean, max(spread, LEAST_SPREAD))


def short(value: float) -> float:
    """Three digits are more than was measured."""
    return float(f"{value:.3g}")


def _any_pixel(simulation: Simulation) -> Camera:
    """The camera with one read noise for all pixels, since any part of the sensor may be simulated."""
    noise = float(np.sqrt(np.mean(np.square(simulation.camera.read_noise))))
    return replace(simulation.camera, read_noise=noise)


def _places(part: Array, real: Measured, simulation: Simulation, seed: int) -> Array:
    """Points (N, 2) spread as the light over the background is, in the mean over time."""
    rng = np.random.default_rng(seed)
    light = photons(part.mean(axis=0), simulation.camera) - real.background.value
    weight = light.clip(0).ravel().astype(float)
    chosen = rng.choice(weight.size, PLACES, p=weight / weight.sum())
    corner = np.stack(np.unravel_index(chosen, light.shape), axis=1)
    return np.asarray(corner + rng.uniform(0, 1, corner.shape))


def _one(value: float, limits: Range) -> Range:
    inside = float(np.clip(value, *limits))
    return inside, inside


def _scaled(limits: Range, factor: float) -> Range:
    return limits[0] * factor, limits[1] * factor

"""The one simulator of single-molecule frames: for data sets, training and tests alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zcdl_common.errors import ConfigError
from zcdl_common.smlm.camera import SCMOS, Camera, expose
from zcdl_common.smlm.emitters import Emitters
from zcdl_common.smlm.psf import spots
from zcdl_common.task import Array

Range = tuple[float, float]

OUTSIDE = 4.0
"""Standard deviations of a spot around the field from which emitters shine in."""
AT_ONCE = 2**19
"""Pixels that are rendered together; bounds the memory."""
TAIL = 1.6449
"""Standard deviations between the median of a normal distribution and its 95th percentile."""


@dataclass(frozen=True)
class Simulation:
    """What is simulated. Ranges are (low, high); both may be equal."""

    camera: Camera = SCMOS
    pixel_nm: float = 100.0
    """Side of a pixel in the sample, in nanometres; above 0."""
    density: Range = (0.5, 5.0)
    """Emitters that are on, a square micrometre and frame: drawn uniformly for each frame; for the stack as a
    whole where emitters stay on."""
    photons: Range = (500.0, 5000.0)
    """Expected photons of an emitter in a frame; above 0. What low and high are, says `brightness`."""
    brightness: Literal["lognormal", "exponential", "uniform"] = "lognormal"
    """How photons differ between emitters. "lognormal": 5th and 95th percentile; "exponential": least
    photons, and mean; "uniform": least and most."""
    background: Range = (5.0, 30.0)
    """Photons a pixel and frame, drawn uniformly for each frame and the same in all its pixels; 0 or more."""
    sigma_nm: Range = (120.0, 140.0)
    """Standard deviation of the spot in nanometres, drawn uniformly for each emitter; above 0."""
    on_frames: float = 1.0
    """Mean number of frames for which an emitter stays on, geometrically distributed; 1 or more. 1: frames
    are independent."""

    def __post_init__(self) -> None:
        for name, above in {"density": False, "photons": True, "background": False, "sigma_nm": True}.items():
            low, high = getattr(self, name)
            if not (low <= high and (low > 0 if above else low >= 0)):
                least = "above 0" if above else "0 or more"
                raise ConfigError(
                    f"{name} = ({low:g}, {high:g}) is no range: set {name} to (low, high) with low {least} "
                    "and high no smaller."
                )
        if not self.pixel_nm > 0:
            raise ConfigError(f"pixel_nm = {self.pixel_nm} is no size: set pixel_nm to nanometres, 100 say.")
        if not self.on_frames >= 1:
            raise ConfigError(
                f"on_frames = {self.on_frames} is less than a frame: set on_frames to 1 or more."
            )


def frames(
    rng: np.random.Generator,
    simulation: Simulation,
    n_frames: int,
    shape: tuple[int, int],
    places: Array | None = None,
) -> tuple[Array, Emitters]:
    r"""Simulate frames of single molecules, and where they are.

    Emitters appear at random (a Poisson process) and stay on for whole frames, with the same brightness
    in each. Their spots are Gaussian and integrated over the pixels (`psf.spots`, Smith 2010), the background
    is even, light becomes counts as `camera` says (Hirsch 2013, Huang 2013). With an on-time of L frames
    (geometric: the chance to go out after a frame is 1/L), density/L new ones appear a frame, and those of
    the first frame are as many as later. Not simulated: frames that an emitter fills in part, drift, defocus,
    fixed dipoles, uneven background.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance; the same state gives the same frames.
    simulation : Simulation
        What is simulated.
    n_frames : int
        1 or more.
    shape : tuple of int
        YX.
    places : ndarray, optional
        Points (N, 2) y, x in pixels, inside the field, of which each emitter takes one: a structure. Else
        emitters are anywhere, also beside the field, from where they shine in.

    Returns
    -------
    frames : ndarray of uint16
        Counts TYX.
    emitters : Emitters
        The truth: those inside the field.

    Raises
    ------
    ConfigError
        Where the camera's read noise is a map of another shape.

    References
    ----------
    Smith, Joseph, Rieger, Lidke 2010, Nat Methods 7:373; Hirsch et al. 2013, PLoS ONE 8:e53671; Huang et al.
    2013, Nat Methods 10:653; Mortensen et al. 2010, Nat Methods 7:377; Sage et al. 2019, Nat Methods 16:387
    (what simulated frames should hold).
    """
    noise = np.shape(simulation.camera.read_noise)
    if noise not in ((), tuple(shape)):
        raise ConfigError(
            f"The camera's read_noise is a map of {noise} pixels and the frames have {tuple(shape)}: cut the "
            "map to the part of the sensor that is simulated, or set read_noise to one number."
        )
    on = _emitters(rng, simulation, n_frames, shape, places)
    background = rng.uniform(*simulation.background, n_frames)
    counts = np.empty((n_frames, *shape), np.uint16)
    step = max(1, AT_ONCE // (shape[0] * shape[1]))
    for start in range(0, n_frames, step):
        stop = min(start + step, n_frames)
        part = on.rows(np.arange(*np.searchsorted(on.frame, (start, stop))))
        light = spots(part.frame - start, part.yx, part.photons, part.sigma, (stop - start, *shape))
        light += background[start:stop, None, None]
        counts[start:stop] = expose(light, rng, simulation.camera)
    inside = np.all((on.yx >= 0) & (on.yx < shape), axis=1)
    return counts, on.rows(np.flatnonzero(inside))


def _emitters(
    rng: np.random.Generator,
    simulation: Simulation,
    n_frames: int,
    shape: tuple[int, int],
    places: Array | None,
) -> Emitters:
    """Those that are on, those beside the field among them, in the order of frames."""
    field = np.array(shape, float)
    beside = OUTSIDE * simulation.sigma_nm[1] / simulation.pixel_nm if places is None else 0.0
    area = float(np.prod(field + 2 * beside)) * (simulation.pixel_nm / 1000) ** 2
    stays = simulation.on_frames > 1
    density = np.broadcast_to(rng.uniform(*simulation.density, 1 if stays else n_frames), n_frames)
    new = rng.poisson(area * density / np.where(np.arange(n_frames) == 0, 1.0, simulation.on_frames))
    count = int(new.sum())
    if places is None:
        yx = rng.uniform(-beside, field + beside, (count, 2))
    else:
        yx = places[rng.integers(len(places), size=count)]
    photons = _photons(rng, simulation, count)
    sigma = rng.uniform(*simulation.sigma_nm, count) / simulation.pixel_nm
    first = np.repeat(np.arange(n_frames), new)
    lasts = np.minimum(rng.geometric(1 / simulation.on_frames, count), n_frames - first)
    who = np.repeat(np.arange(count), lasts)
    frame = first[who] + np.arange(len(who)) - np.repeat(np.cumsum(lasts) - lasts, lasts)
    order = np.argsort(frame, kind="stable")
    who, frame = who[order], frame[order]
    return Emitters(frame, yx[who], photons[who], sigma[who])


def _photons(rng: np.random.Generator, simulation: Simulation, count: int) -> Array:
    low, high = simulation.photons
    match simulation.brightness:
        case "lognormal":
            middle, spread = np.log(low * high) / 2, np.log(high / low) / (2 * TAIL)
            return rng.lognormal(middle, spread, count)
        case "exponential":
            return low + rng.exponential(high - low, count)
        case "uniform":
            return rng.uniform(low, high, count)


def lognormal(mean: float, spread: float) -> Range:
    """5th and 95th percentile of log-normal photons, as `Simulation.photons` wants them.

    Parameters
    ----------
    mean : float
        Photons, above 0.
    spread : float
        1 plus the variance over the square of the mean; 1 or more.
    """
    width = np.sqrt(np.log(spread))
    median = mean / np.sqrt(spread)
    return float(median * np.exp(-TAIL * width)), float(median * np.exp(TAIL * width))

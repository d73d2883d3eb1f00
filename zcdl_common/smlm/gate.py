"""Does the simulation look like the real frames? A network learns the simulation and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcdl_common.smlm.camera import mean
from zcdl_common.smlm.measure import Measured, Quantity, measure
from zcdl_common.smlm.propose import closest, lively, photon_range, short
from zcdl_common.smlm.simulate import Range, Simulation
from zcdl_common.task import Array

TOLERANCE = {"background": 1.25, "sigma_nm": 1.1, "photons": 1.25, "spread": 1.25, "density": 1.25}
"""Ratio of real to simulated, either way, from which a quantity does not match."""
FAINT = 1.0
"""Photons a pixel by which backgrounds may differ whatever their ratio."""
UNITS = {"background": " photons", "sigma_nm": " nm", "photons": " photons", "spread": "", "density": "/µm²"}
WORDS = {
    "background": "The background",
    "sigma_nm": "The width of the spots",
    "photons": "The brightness of the emitters",
    "spread": "How much brightness varies between emitters (1: not at all)",
    "density": "The density of the emitters",
}
SILENT = (
    "Nothing blinks in these frames: no spots that come and go were found, and nothing can be compared. "
    "Give the raw frames of the movie (TYX, not averaged, filtered or rendered), and set pixel_size to what "
    "their pixels cover, in micrometres."
)


@dataclass(frozen=True)
class Match:
    """One quantity in both."""

    quantity: str
    """background, sigma_nm, photons, spread or density: fields of `Measured`."""
    real: Quantity
    simulated: Quantity
    ok: bool
    message: str
    """What was found; where it does not match, also what to type."""

    @property
    def ratio(self) -> float:
        """Real over simulated; NaN where the one or the other could not be measured."""
        return self.real.value / self.simulated.value if self.simulated.value else float("nan")


@dataclass(frozen=True)
class Gate:
    """What was compared: frames TYX of the same field size, and a row a quantity."""

    real: Array
    simulated: Array
    matches: tuple[Match, ...]

    @property
    def ok(self) -> bool:
        """Whether all quantities match."""
        return all(match.ok for match in self.matches)


def gate(stack: Array, simulation: Simulation, seed: int = 0) -> Gate:
    """Compare real frames with what is simulated for them, measured in the same way.

    Frames are simulated with emitters where the real ones blink, so that structure alone makes no difference,
    and with that density and background within the ranges of the simulation that come closest: a range
    that holds the real value matches. Photons and width are taken as they are.

    Parameters
    ----------
    stack : ndarray
        Raw counts TYX, at least 5 frames of 24 x 24 pixels. Of large stacks, 400 frames of the 256 x 256
        pixels in which most blinks are looked at.
    simulation : Simulation
        With the camera and pixel size of the stack.
    seed : int
        Of the simulated frames.

    Returns
    -------
    Gate
        Both stacks, and a match for each quantity; where nothing blinks, no simulated frames and one match.

    Raises
    ------
    DataError
        For too few or too small frames.
    """
    part = lively(stack)
    real = measure(part, simulation.camera, simulation.pixel_nm)
    if not real.blinks:
        return Gate(part, part[:0], (Match("density", real.density, real.density, False, SILENT),))
    nearest, counts, found = closest(part, real, simulation, free=False, seed=seed)
    return Gate(part, counts, tuple(_match(name, real, found, simulation, nearest) for name in TOLERANCE))


def _match(name: str, real: Measured, found: Measured, simulation: Simulation, nearest: Simulation) -> Match:
    one, other = getattr(real, name), getattr(found, name)
    if name == "density":  # that of places is not the same measure in both: these have the noise of the mean
        other = found.field_density.times(real.crowding)
    if name == "background" and one.value < -FAINT:
        return Match(name, one, other, False, _below_offset(one.value, simulation))
    ratio = one.value / other.value if other.value else float("nan")
    close = 1 / TOLERANCE[name] <= ratio <= TOLERANCE[name]
    close |= name == "background" and abs(one.value - other.value) < FAINT
    said = f"real {short(one.value):g}{UNITS[name]}, simulated {short(other.value):g}{UNITS[name]}"
    if close:
        return Match(name, one, other, True, f"{WORDS[name]} matches: {said}.")
    typed = _typed(name, real, found, simulation, nearest)
    differs = f"{WORDS[name]} differs by a factor of {ratio:.2f}: {said}."
    return Match(name, one, other, False, f"{differs} Set {typed}.")


def _below_offset(background: float, simulation: Simulation) -> str:
    dark = float(mean(np.array(background), simulation.camera))
    return (
        f"The darkest pixels hold {dark:.0f} counts, less than the camera without light "
        f"({simulation.camera.offset:g}): set camera_offset to the grey value of a frame taken in the "
        "dark."
    )


def _typed(name: str, real: Measured, found: Measured, simulation: Simulation, nearest: Simulation) -> str:
    """The parameter that would make both agree."""
    if name in ("photons", "spread"):
        wanted = photon_range(real.photons.value, real.spread.value)
        return f'{_range("photons", wanted)} and brightness = "lognormal"'
    if name == "sigma_nm":
        ratio = real.sigma_nm.value / found.sigma_nm.value
        return _range(name, (simulation.sigma_nm[0] * ratio, simulation.sigma_nm[1] * ratio))
    if name == "background":
        level = max(nearest.background[0] + real.background.value - found.background.value, 0.0)
        return _range(name, (0.75 * level, 1.25 * level))
    field = nearest.density[0] * real.field_density.value / found.field_density.value
    return _range(name, (field / 4, 1.25 * field * real.crowding))


def _range(name: str, limits: Range) -> str:
    return f"{name} = ({short(limits[0]):g}, {short(limits[1]):g})"

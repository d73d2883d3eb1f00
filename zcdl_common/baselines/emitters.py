"""One classical way to localise emitters: a filter, a threshold, and a sub-pixel position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from zcdl_common.baselines import crowded, gaussian_fit, spots
from zcdl_common.baselines.radial_symmetry import centres
from zcdl_common.errors import DataError
from zcdl_common.task import Array, Prediction

Fit = Literal["radial symmetry", "least squares", "maximum likelihood", "least squares in rounds"]

LEAST_EXPLAINED = 0.4
"""Of the brightest pixel by a fit; a spot as narrow as 0.7 pixels explains twice as much of it."""
SAME = 0.5
"""Fits that ended less than so many pixels from each other found the same emitter."""
PIXELS_AT_ONCE, SPOTS_AT_ONCE = 1 << 22, 1 << 14
"""Filtered and fitted together: memory stays the same for stacks of any length."""


class Calibration(NamedTuple):
    """What a camera makes of photons."""

    offset: float
    """Counts without light."""
    gain: float
    """Counts a photoelectron."""
    read_noise: float = 0.0
    """Standard deviation in photoelectrons (of an EMCCD: divided by the multiplication)."""
    excess: float = 1.0
    """By which multiplication increases the variance of photons: 2 of an EMCCD."""
    efficiency: float = 1.0
    """Photoelectrons a photon."""


@dataclass(frozen=True)
class Localiser:
    """Finds spots, each with one fit; two within one spot are one to it, unless it fits in rounds."""

    kind: spots.Filter
    scale: float
    """Standard deviation of the filter in pixels (LoG)."""
    factor: float
    """Least height in units of the noise, see `spots.find`."""
    fit: Fit
    free: bool
    """Whether the width is fitted, too."""
    radius: int
    """Of the window of a fit, in pixels beside the brightest."""
    sigma: float
    """Standard deviation of a spot in pixels."""
    camera: Calibration | None = None

    def __call__(self, stack: Array) -> Prediction:
        """Positions in a stack of frames.

        Parameters
        ----------
        stack
            TYX, or TYXC with one channel.

        Returns
        -------
        Prediction
            ``main``: float32 (N, 3), index of the frame from 0, then y and x in pixels, the centre of pixel i
            at i + 0.5. ``extra``: "scores", height in units of the noise; of a camera that is known "photons"
            and "uncertainty" (standard deviation along one axis in pixels).

        Raises
        ------
        DataError
            The array is no such stack.
        """
        stack = as_stack(stack)
        # Rounds keep all spots of the frames at hand, of which there are many.
        pixels = PIXELS_AT_ONCE // (8 if self.fit == "least squares in rounds" else 1)
        step = max(1, pixels // max(1, int(np.prod(stack.shape[1:]))))
        parts = [np.zeros((0, 6))]
        for start in range(0, len(stack), step):
            frames = np.asarray(stack[start : start + step])  # one read where the stack is on disk
            if self.fit == "least squares in rounds":
                parts.append(self._crowded(frames, start))
                continue
            found = spots.find(frames, self.kind, self.factor, self.scale)
            for first in range(0, len(found.at), SPOTS_AT_ONCE):
                some = slice(first, first + SPOTS_AT_ONCE)
                rows = self._fit(frames, found.at[some], found.height[some])
                rows[:, 0] += start
                parts.append(rows)
        columns = np.concatenate(parts)
        columns = columns[_alone(columns)].astype(np.float32)
        extra = {"scores": columns[:, 3]}
        if self.camera is not None:
            extra |= {"photons": columns[:, 4], "uncertainty": columns[:, 5]}
        return Prediction(columns[:, :3], extra)

    def _fit(self, frames: Array, at: Array, height: Array) -> Array:
        """Frame, y, x, height, photons and uncertainty of the fits that are believed."""
        values, inside, corner = spots.windows(frames, at, self.radius)
        offset, gain, read_noise, excess, efficiency = self.camera or Calibration(0.0, 1.0)
        values = (values - offset) / gain
        likely = self.fit == "maximum likelihood"
        if self.fit == "radial symmetry":
            # Without a gradient there is no place: one outside the window, which is not believed below.
            yx = np.nan_to_num(centres(values, inside), nan=-np.inf, posinf=-np.inf).clip(-self.radius, None)
            found = gaussian_fit.spots_at(yx, values, inside, self.sigma)
        else:
            added = read_noise**2 if likely else 0.0
            readable = np.maximum(values + added, 0.0) if likely else values
            found = gaussian_fit.fit(readable, inside, self.sigma, free=self.free, likelihood=likely)
            found = found._replace(background=found.background - added)
        place = found.yx + corner
        spread = gaussian_fit.uncertainty(found, likely, read_noise, excess)
        rows = np.column_stack([at[:, 0], place, height, found.total / efficiency, spread])
        in_frame = (place >= 0).all(1) & (place < frames.shape[1:]).all(1)
        return np.asarray(rows[in_frame & self._believed(found, values, inside)])

    def _crowded(self, frames: Array, start: int) -> Array:
        """The same of emitters that overlap."""
        offset, gain, read_noise, excess, efficiency = self.camera or Calibration(0.0, 1.0)
        light = (np.asarray(frames, float) - offset) / gain
        frame, found, height = crowded.search(
            light, self.kind, self.factor, self.scale, self.radius, self.sigma
        )
        spread = gaussian_fit.uncertainty(found, False, read_noise, excess)
        return np.column_stack([frame + start, found.yx, height, found.total / efficiency, spread])

    def _believed(self, found: gaussian_fit.Spots, values: Array, inside: Array) -> Array:
        """Fits that stayed by their pixel and look like a spot: bool (N,)."""
        away = np.abs(found.yx - values.shape[1] / 2).max(1)
        low, high = (self.sigma * w for w in gaussian_fit.WIDTHS)
        wide = (found.sigma > 1.01 * low) & (found.sigma < 0.99 * high) if self.free else True
        explained = gaussian_fit.brightest_explained(found, values, inside)
        by_pixel = away < min(self.radius, 2 * self.sigma)
        return np.asarray(by_pixel & (found.total > 0) & wide & (explained > LEAST_EXPLAINED))

    def __str__(self) -> str:
        width = "of free width" if self.free else f"of {self.sigma:.2f} px"
        gaussian = "" if self.fit == "radial symmetry" else f" of a Gaussian {width}"
        scale = f" of {self.scale:.2f} px" if self.kind == "LoG" else ""
        side = 2 * self.radius + 1
        return (
            f"{self.kind} filter{scale}, {self.factor:.2g} times the noise, then {self.fit}{gaussian} in "
            f"windows of {side} x {side} pixels"
        )


def as_stack(stack: Array) -> Array:
    """Frames TYX of TYX or TYXC with one channel.

    Raises
    ------
    DataError
        It has other axes, or several channels.
    """
    if stack.ndim == 4 and stack.shape[-1] == 1:
        return stack[..., 0]
    if stack.ndim == 3:
        return stack
    raise DataError(
        f"Emitters are found in frames TYX, or TYXC with one channel; this array has the shape "
        f"{stack.shape}. Give one channel of a time series; a single frame is image[None]."
    )


def _alone(columns: Array) -> Array:
    """Rows that are left when of fits at the same place the highest stays: bool (N,)."""
    apart = columns[:, :3] * [4 * SAME, 1, 1]
    keep = np.ones(len(columns), bool)
    pairs = cKDTree(apart).query_pairs(SAME, output_type="ndarray") if len(columns) else np.zeros((0, 2), int)
    higher_first = np.take_along_axis(pairs, np.argsort(-columns[pairs, 3], axis=1, kind="stable"), 1)
    for higher, lower in higher_first[np.argsort(-columns[higher_first[:, 0], 3], kind="stable")]:
        keep[lower] &= not keep[higher]
    return keep

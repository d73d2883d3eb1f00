"""Molecules that were found, or that are known to be there: one record for truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.task import Array

STRAYING = 0.05
"""Share of positions beyond the image above which units are taken to be wrong; some stray at the rim."""


@dataclass(frozen=True)
class Localisations:
    """Molecules of a stack of frames, a row each; what is unknown of all of them is None."""

    frame: Array
    """int64 (N,), from 0."""
    yx: Array
    """float64 (N, 2) in camera pixels: pixel i covers [i, i + 1), its centre is i + 0.5."""
    photons: Array | None = None
    """float64 (N,), in the frame."""
    confidence: Array | None = None
    """float64 (N,), of the method that found them; larger is surer."""
    sigma: Array | None = None
    """float64 (N,), standard deviation of the spot in camera pixels."""
    uncertainty: Array | None = None
    """float64 (N,), standard deviation of the position along an axis, in camera pixels."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, which: Array) -> Localisations:
        """Those that a mask or an index array names."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: v[which] for name, v in columns.items() if v is not None})


def of_frames(points: Sequence[Array], **columns: Sequence[Array]) -> Localisations:
    """Positions YX (N, 2) of frames as one record; `columns`, by their names, likewise (N,) a frame."""
    yx = np.concatenate([np.zeros((0, 2)), *points]).astype(np.float64)
    frame = np.repeat(np.arange(len(points)), [len(p) for p in points])
    further = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in columns.items()}
    return Localisations(frame, yx, **further)


def nanometres(pixel_size: Sequence[float]) -> Array:
    """A pixel's sides Y, X in nanometres, float64 (2,), from micrometres."""
    return 1000.0 * np.asarray(pixel_size[-2:], np.float64)


def check_fit(found: Localisations, frames: int, shape: tuple[int, int], name: str) -> None:
    """Make sure that a table belongs to a stack of frames.

    Parameters
    ----------
    found
        What the table holds.
    frames, shape
        Number of frames, and their size YX in pixels.
    name
        Of the table, for the message.

    Raises
    ------
    DataError
        A frame that the stack lacks; or many positions outside the image, as a wrong unit makes them.
    """
    if not len(found):
        return
    if found.frame.max() >= frames:
        raise DataError(
            f"{name} names frame {found.frame.max() + 1}, the stack has {frames}. Is it the table of another "
            "stack, or is an axis of the stack read wrongly? Give the table and the frames it was made from."
        )
    outside = ((found.yx < 0) | (found.yx > shape)).any(axis=1)
    if outside.mean() > STRAYING:
        y, x = found.yx.max(axis=0)
        raise DataError(
            f"{outside.mean():.0%} of the positions in {name} lie outside the image, which is {shape[0]} x "
            f"{shape[1]} pixels: they reach y = {y:.4g}, x = {x:.4g} pixels. Positions in another unit than "
            "their column says, or a wrong pixel size, do that: set pixel_size to that of the camera."
        )

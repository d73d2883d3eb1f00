"""Single molecules that are on, as a table of arrays."""

from __future__ import annotations

from dataclasses import dataclass

from zcdl_common.task import Array


@dataclass(frozen=True)
class Emitters:
    """A row for each emitter and frame, in the order of frames."""

    frame: Array
    """int (N,), from 0."""
    yx: Array
    """float (N, 2) in pixels from the corner of the image; pixel i covers [i, i + 1)."""
    photons: Array
    """float (N,), expected photons in the frame that reach the camera."""
    sigma: Array
    """float (N,), standard deviation of the spot in pixels."""

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, chosen: Array) -> Emitters:
        """Return the rows of an index or mask."""
        return Emitters(self.frame[chosen], self.yx[chosen], self.photons[chosen], self.sigma[chosen])

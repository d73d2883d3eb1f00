"""A (Z)YXC view of files that reads only what is sliced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.formats import naming
from zcdl_common.indexing import full_index, split_index
from zcdl_common.task import Array


@dataclass(frozen=True)
class Part:
    """One file of an image: an array (or something that slices like one) and what its axes are.

    ``axes`` has a letter per axis of `raw`: Z, Y, X; C and S (samples of a colour pixel) both
    become channels; T is set to `frame`; ``_`` is an axis of length one that is dropped.
    """

    path: Path
    raw: Any
    axes: str
    channels: int
    frame: int = 0

    def read(self, window: tuple[slice, ...], channels: Sequence[int]) -> Array:
        """Pixels (Z)YXC of `window` (a slice per spatial axis) and of `channels`, in their order."""
        slices = dict(zip([a for a in "ZYX" if a in self.axes], window, strict=True))
        slices |= {"T": slice(self.frame, self.frame + 1), "_": slice(0, 1)}
        first = 0
        if not {"C", "S"} <= set(self.axes):
            # one channel axis: read no more of it than is asked for
            first = min(channels)
            slices["C"] = slices["S"] = slice(first, max(channels) + 1)
        with naming(self.path):
            pixels = np.asarray(self.raw[tuple(slices.get(a, slice(None)) for a in self.axes)])
        order = [self.axes.index(a) for a in "ZYXCS" if a in self.axes]
        rest = [i for i in range(len(self.axes)) if i not in order]
        pixels = pixels.transpose(*rest, *order)
        spatial = pixels.shape[len(rest) :][: len(window)]
        pixels = pixels.reshape(*spatial, prod(pixels.shape[len(rest) + len(window) :]))
        return native(pixels)[..., [c - first for c in channels]]


class LazyImage:
    """An image (Z)YXC of which only the part that is sliced is read.

    Parameters
    ----------
    parts
        Files of equal spatial size, their channels one after the other.
    picks
        Channels that are kept, counted over all parts.
    region
        (start, stop) per spatial axis, in pixels, half-open.
    """

    def __init__(
        self, parts: Sequence[Part], picks: Sequence[int], region: Sequence[tuple[int, int]]
    ) -> None:
        self._parts, self._picks, self._region = tuple(parts), tuple(picks), tuple(region)
        self.shape = (*(stop - start for start, stop in self._region), len(self._picks))
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(native(np.empty(0, part.raw.dtype)).dtype for part in parts))

    def at(self, frame: int) -> LazyImage:
        """The same part of another time frame."""
        parts = [replace(part, frame=frame) for part in self._parts]
        return LazyImage(parts, self._picks, self._region)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        *spatial, channel = full_index(index, self.ndim)
        window, inside = split_index(spatial, self.shape[:-1])
        window = tuple(
            slice(w.start + start, w.stop + start) for w, (start, _) in zip(window, self._region, strict=True)
        )
        picks = np.atleast_1d(np.asarray(self._picks)[channel])
        pixels = self._read(window, [int(p) for p in picks])[inside]
        if isinstance(channel, int | np.integer):
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels) if pixels.ndim else pixels

    def _read(self, window: tuple[slice, ...], picks: list[int]) -> Array:
        pieces: list[Array] = []
        column: dict[int, int] = {}
        offset = 0
        for part in self._parts:
            own = sorted({p - offset for p in picks if 0 <= p - offset < part.channels})
            if own:
                pieces.append(part.read(window, own))
                column |= {offset + c: len(column) + i for i, c in enumerate(own)}
            offset += part.channels
        if not pieces:
            return np.empty((*(s.stop - s.start for s in window), 0), self.dtype)
        pixels = np.concatenate(pieces, axis=-1) if len(pieces) > 1 else pieces[0]
        order = [column[p] for p in picks]
        return pixels if order == list(range(pixels.shape[-1])) else pixels[..., order]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        pixels = self[...]
        return pixels if dtype is None else pixels.astype(dtype)


def native(pixels: Array) -> Array:
    """The byte order of this computer; booleans as 0 and 255, as Fiji shows them."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

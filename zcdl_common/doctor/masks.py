"""What a mask looks like: classes, numbered objects, colours, soft borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from zcdl_common.fragments import is_photograph, pieces
from zcdl_common.task import Array

MaskKind = Literal["empty", "full", "binary", "classes", "objects", "soft", "photograph", "colours"]
"""What a mask looks like.

empty: all background; full: one other value everywhere; binary: two values; classes: few values,
each in several places; objects: a number for each object; soft: grey values between two plateaus,
or fractions; photograph: values that change from pixel to pixel; colours: channels that differ.
"""

MOST_COLOURS = 256
"""More colours than this are no labels but a photograph or a lossy file."""


MARGIN = 2
"""An object within so many pixels of the border in Y or X touches it: some programs leave a rim free."""


class Fragments(NamedTuple):
    """Numbers that lie in several separate pieces."""

    numbers: int = 0
    """Different numbers in the mask."""
    larger: int = 0
    """Their pieces, specks aside."""
    parted: int = 0
    """Numbers with several larger pieces."""
    specks: int = 0
    example: tuple[int, tuple[int, ...]] = (0, ())
    """One such number and a pixel (Z)YX of its second piece, or of a speck."""


WHOLE = Fragments()
"""No number lies in several pieces."""


@dataclass(frozen=True)
class Mask:
    """What one mask holds."""

    kind: MaskKind
    values: tuple[int, ...] = ()
    """Values in a binary mask or one of classes."""
    lowest: int = 0
    """Lowest value, where it is below 0."""
    objects: int = 0
    """Connected pieces of equal value."""
    share: float = 0.0
    """Part of the pixels that is foreground."""
    extents: tuple[tuple[int, ...], ...] = ()
    """Size (Z)YX of the box around each piece, in pixels."""
    touching: tuple[tuple[bool, ...], ...] = ()
    """For each piece whether it touches a border of the image along (Z)YX."""
    rim: float | None = None
    """How much of the rim of the image looks like the objects, as a multiple of the share of the image that
    they cover; None where they do not stand out, or nothing is numbered."""
    fragments: Fragments = WHOLE
    regions: bool = False
    """Whether it was drawn from regions of interest."""
    thickness: float = 0.0
    """Diameter in pixels of the largest circle inside the foreground of any plane; 0 for numbered objects."""
    equal_channels: bool = False
    """Whether a grey mask was saved in several equal channels."""
    colours: int = 0
    """Different colours where `kind` is colours, different values where it is photograph."""
    contrast: float = 0.0
    """Mean of the image inside less outside the foreground, in its standard deviations."""


def single_channel(mask: Array) -> Array | None:
    """(Z)YXC as (Z)YX where the channels agree (a flat fourth one aside), else None: colours."""
    if mask.shape[-1] == 1:
        return mask[..., 0]
    colour = mask[..., :3] if mask.shape[-1] == 4 and np.ptp(mask[..., 3]) == 0 else mask
    return mask[..., 0] if bool(np.all(colour == colour[..., :1])) else None


def colours_of(mask: Array) -> Array:
    """The different colours of a mask (Z)YXC, (N, 3), sorted; more than `MOST_COLOURS` are not all listed."""
    pixels = mask.reshape(-1, mask.shape[-1])[:, :3]
    sample = np.unique(pixels[:: max(1, len(pixels) // 100_000)], axis=0)
    return sample if len(sample) > MOST_COLOURS else np.unique(pixels, axis=0)


def measure_mask(mask: Array, image: Array | None = None, *, regions: bool = False) -> Mask:
    """Look at a mask (Z)YXC of any type; `image` (Z)YXC of the same size tells its contrast.

    `regions` says that it was drawn from regions of interest.
    """
    plane = single_channel(mask)
    if plane is None:
        return Mask("colours", colours=len(colours_of(mask)))
    equal = mask.shape[-1] > 1
    if plane.dtype.kind == "f" and not np.array_equal(plane, np.round(plane)):
        return Mask("soft", equal_channels=equal)
    values, counts = _values(plane)
    if len(values) == 1:
        return Mask("full" if values[0] else "empty", (int(values[0]),), equal_channels=equal)
    if len(values) > 2 and _is_soft(plane, values, counts):
        return Mask("soft", equal_channels=equal)
    if is_photograph(plane, values, counts):
        share = float(np.mean(plane != 0))
        return Mask("photograph", share=share, equal_channels=equal, colours=len(values))
    # numbers from 1: what works on numbers makes a table of all up to the largest
    index = np.searchsorted(values, plane).astype(np.int32) + np.int32(values[0] != 0)
    boxes = _pieces(index)
    extents = tuple(tuple(stop - start for start, stop in box) for box in boxes)
    kind: MaskKind = "objects"
    if len(values) == 2:
        kind = "binary"
    elif len(values) <= 10 and len(extents) > 1.5 * (len(values) - 1):
        kind = "classes"
    foreground = plane != 0
    whole = len(boxes) == index.max()
    return Mask(
        kind,
        tuple(int(v) for v in values) if kind != "objects" else (),
        lowest=min(0, int(values[0])),
        objects=len(extents),
        share=float(foreground.mean()),
        extents=extents,
        thickness=0.0 if kind == "objects" else _thickness(foreground),
        equal_channels=equal,
        contrast=_contrast(foreground, image),
        touching=tuple(_touching(box, plane.shape) for box in boxes),
        rim=_rim(foreground, image) if kind == "objects" else None,
        fragments=WHOLE if whole else _fragments(index, values[values != 0]),
        regions=regions,
    )


def _values(plane: Array) -> tuple[Array, Array]:
    """Different values, ascending, and how often each occurs."""
    if plane.dtype.kind == "u" and plane.dtype.itemsize <= 2:  # counting is many times faster than sorting
        counts = np.bincount(plane.reshape(-1))
        return np.flatnonzero(counts), counts[counts > 0]
    return np.unique(plane, return_counts=True)


def _is_soft(plane: Array, values: Array, counts: Array) -> bool:
    """Whether the values between the two commonest form no areas of their own but borders and speckle."""
    common = values[np.argsort(counts)[-2:]]
    # a mask blurred by compression lies between two far values; low numbers are objects of single slices
    if np.ptp(values) < 32 or np.ptp(common) < 0.5 * np.ptp(values):
        return False
    between = ~np.isin(plane, common)
    if counts.max() + np.sort(counts)[-2] < 0.5 * plane.size or len(values) < 5:
        return False
    flat = np.ones(plane.shape, bool)
    for axis in range(plane.ndim):
        same = np.diff(plane, axis=axis) == 0
        for side in ((1, 0), (0, 1)):
            width = [side if a == axis else (0, 0) for a in range(plane.ndim)]
            flat &= np.pad(same, width, constant_values=True)
    return float(np.mean(flat[between])) < 0.02


def _pieces(index: Array) -> list[tuple[tuple[int, int], ...]]:
    """First pixel and end along (Z)YX of every connected piece of the numbers 1, 2, ..."""
    from scipy import ndimage

    found = []
    for value, box in enumerate(ndimage.find_objects(index), start=1):
        if box is not None:
            labels, _ = ndimage.label(index[box] == value)
            found += [
                tuple((o.start + s.start, o.start + s.stop) for o, s in zip(box, inner, strict=True))
                for inner in ndimage.find_objects(labels)
            ]
    return found


def _touching(box: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> tuple[bool, ...]:
    margins = (1, MARGIN, MARGIN)[-len(shape) :]
    return tuple(a < m or b > n - m for (a, b), n, m in zip(box, shape, margins, strict=True))


def _fragments(index: Array, names: Array) -> Fragments:
    """`names` are the values of the numbers 1, 2, ... of the mask."""
    found = pieces(index)
    if found.first.all():
        return Fragments(len(names), len(names))
    others = ~found.first & ~found.speck
    place = int(np.argmax(others if others.any() else found.speck))
    inside = np.argwhere(found.image == place + 1)
    return Fragments(
        len(names),
        int(np.count_nonzero(~found.speck)),
        len(np.unique(found.owner[others])),
        int(np.count_nonzero(found.speck)),
        (int(names[found.owner[place] - 1]), tuple(inside[len(inside) // 2].tolist())),
    )


def _rim(foreground: Array, image: Array | None) -> float | None:
    """See `Mask.rim`: grey values that are nearer to those of the objects than to the background's."""
    if image is None or image.shape[:-1] != foreground.shape or foreground.all():
        return None
    grey = image.mean(axis=-1, dtype=np.float32)
    inside, outside = (float(np.median(grey[part])) for part in (foreground, ~foreground))
    alike = (grey - outside) * np.sign(inside - outside) > abs(inside - outside) / 2
    rim = np.ones(foreground.shape, bool)
    rim[..., MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    hit, wrong = float(alike[foreground].mean()), float(alike[~foreground & ~rim].mean())
    share = float(foreground.mean())
    if hit - wrong < 0.5 or not rim.any():
        return None
    return (float(alike[rim].mean()) - wrong) / (hit - wrong) / share


def _thickness(foreground: Array) -> float:
    from scipy import ndimage

    step = -(-max(foreground.shape[-2:]) // 1024)
    planes = foreground.reshape(-1, *foreground.shape[-2:])
    few = planes[:: max(1, len(planes) // 8), ::step, ::step]
    # beyond the border the structure may go on: only what is seen counts
    widest = max(float(ndimage.distance_transform_edt(np.pad(plane, 1)).max()) for plane in few)
    return float(2 * step * widest)


def _contrast(foreground: Array, image: Array | None) -> float:
    if image is None or image.shape[:-1] != foreground.shape or foreground.all():
        return 0.0
    grey = image.mean(axis=-1, dtype=np.float64)
    spread = float(grey.std())
    return float(grey[foreground].mean() - grey[~foreground].mean()) / spread if spread > 0 else 0.0

"""Numbers that lie in several separate pieces: slips of the brush, or several objects under one number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.task import Array

SPECK = 0.1
"""Pieces below this share of the largest of their number are slips of the brush, not objects."""

MOST_PIECES = 1.5
"""With more pieces than this a number, specks aside, numbers do not stand for objects."""

FEW_VALUES = 8
"""So few values may be classes, however scattered they are."""
EVEN = 0.65
"""Pixels equal to their neighbour: at least 0.85 in label images, at most 0.5 in micrographs, at most 0.6 in
label images saved as JPEG (each without the commonest value)."""
GRAINY = 10
"""Pieces a value: up to 1.2 in label images, 15 and more in micrographs and after JPEG."""
NO_BACKGROUND = 0.01
"""Share of zeros below which there is no background."""


def is_photograph(mask: Array, values: Array, counts: Array) -> bool:
    """Whether values change from pixel to pixel, as in a micrograph or after lossy compression.

    Parameters
    ----------
    mask : (Z)YX
    values, counts : (V,)
        Its different values, ascending, and how often each occurs.
    """
    from skimage.measure import label

    usual = values[counts.argmax()]
    others = mask[..., 1:] != usual
    if len(values) <= FEW_VALUES or not others.any() or np.mean((np.diff(mask) == 0)[others]) > EVEN:
        return False
    index = np.where(mask == usual, 0, np.searchsorted(values, mask) + 1)
    found: int = label(index, connectivity=index.ndim).max()  # type: ignore[no-untyped-call]
    return found > GRAINY * (len(values) - 1)


def not_labels(word: str, values: int, background: float) -> str:
    """What to say of targets (`word`: "mask") whose values change from pixel to pixel.

    Parameters
    ----------
    word : str
    values : int
        How many different ones there are.
    background : float
        Share of the pixels that are 0.
    """
    pictures = (
        f" Or are these images, and no {word}s? Then the notebook pix2pix, fnet or care is for them (zcdl "
        "check: add --network pix2pix, fnet or care)."
    )
    if background < NO_BACKGROUND:
        return (
            f"The {word}s look like photographs ({values} different values and no background): are the "
            f"folders of images and {word}s swapped?{pictures}"
        )
    return (
        f"The {word}s hold {values} different values that change from pixel to pixel, as photographs do, or "
        f"numbers that lossy compression (JPEG) has spoilt.{pictures}"
    )


class Pieces(NamedTuple):
    """Connected pieces of equal number."""

    image: Array
    """Pieces from 1, int (Z)YX; 0 is background."""
    owner: Array
    """Number of each piece, (P,)."""
    first: Array
    """Whether a piece is the largest of its number, bool (P,)."""
    speck: Array
    """Whether it is too small for an object beside that one, bool (P,)."""


def pieces(labels: Array) -> Pieces:
    """Connected pieces of labels (Z)YX; what touches by an edge or a corner is connected."""
    from skimage.measure import label

    image: Array = label(labels, connectivity=labels.ndim)  # type: ignore[no-untyped-call]
    sizes = np.bincount(image.ravel())[1:]
    owner = np.zeros(len(sizes) + 1, labels.dtype)
    owner[image.ravel()] = labels.ravel()
    owner = owner[1:]
    order = np.argsort(-sizes, kind="stable")
    _, largest, index = np.unique(owner[order], return_index=True, return_inverse=True)
    first = np.zeros(len(sizes), bool)
    first[order[largest]] = True
    speck = np.zeros(len(sizes), bool)
    speck[order] = sizes[order] < SPECK * sizes[order[largest]][index]
    return Pieces(image, owner, first, speck)


def one_piece_each(labels: Array) -> Array:
    """Labels in which every number is one piece: larger pieces get new numbers, specks become background.

    The largest piece of a number keeps it. Integers (Z)YX to uint16, or uint32 where they need it.
    """
    found = pieces(labels)
    numbers = np.where(found.speck, 0, found.owner).astype(np.int64)
    others = ~found.first & ~found.speck
    numbers[others] = int(labels.max(initial=0)) + np.arange(1, 1 + np.count_nonzero(others))
    dtype = np.uint16 if numbers.max(initial=0) < 2**16 else np.uint32
    return np.concatenate([[0], numbers]).astype(dtype)[found.image]

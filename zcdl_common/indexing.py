"""Split what stands in square brackets into a window to read or write and what is taken inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def full_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """One item per axis, in place of ``...`` and of trailing axes that are not mentioned."""
    items = index if isinstance(index, tuple) else (index,)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    given = len(items) - (at < len(items))
    if given > ndim:
        raise IndexError(f"{given} indices for an image of {ndim} axes")
    return (*items[:at], *[slice(None)] * (ndim - given), *items[at + 1 :])


def split_index(items: Sequence[Any], shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
    """Slices and whole numbers, one per axis, as (window without steps, index inside the window)."""
    window: list[slice] = []
    inside: list[Any] = []
    for item, size in zip(items, shape, strict=True):
        if isinstance(item, slice):
            start, stop, step = item.indices(size)
            if step < 1:
                raise IndexError("slices must go forwards")
            window.append(slice(start, max(start, stop)))
            inside.append(slice(None, None, step))
        else:
            at = range(size)[int(item)]
            window.append(slice(at, at + 1))
            inside.append(0)
    return tuple(window), tuple(inside)

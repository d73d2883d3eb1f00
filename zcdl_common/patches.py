"""Training images in memory, and the patches cut from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.task import Array, Sample


class Memory:
    """Room for arrays that are read again and again; what does not fit is read anew each time."""

    def __init__(self, limit: int):
        self.free = limit
        self.kept: dict[Any, Array] = {}
        self.told = False

    def get(self, key: Any, make: Callable[[], Array]) -> Array:
        """The array under `key`, made at its first use."""
        if key in self.kept:
            return self.kept[key]
        value = make()
        if value.nbytes <= self.free:
            self.free -= value.nbytes
            self.kept[key] = value
        elif not self.told:
            self.told = True
            print(
                "Memory does not hold all images at once: some are read anew for every patch, which is slow. "
                "Close other programs, use fewer images, or cut large ones into parts."
            )
        return value


@dataclass(frozen=True)
class Prepared:
    """A source or target as the network learns it, kept in memory where there is room."""

    path: Path
    make: Callable[[], Array] = field(repr=False)
    memory: Memory = field(repr=False, compare=False)

    def read(self) -> Array:
        """The prepared array."""
        return self.memory.get(id(self), self.make)


def memory_for(fraction: float = 0.4) -> int:
    """Bytes that training images may fill: a share of what is free now."""
    import psutil

    return int(fraction * psutil.virtual_memory().available)


def prepare(
    samples: Sequence[Sample],
    source: Callable[[Sample], Array],
    target: Callable[[Sample], Array] | None,
    memory: Memory,
) -> tuple[Sample, ...]:
    """The same samples, whose ``read()`` gives scaled sources and decoded targets."""

    def one(sample: Sample) -> Sample:
        ready = Prepared(sample.source.path, lambda: source(sample), memory)
        goal = None
        if target is not None and sample.target is not None:
            goal = Prepared(sample.target.path, lambda: target(sample), memory)
        return replace(sample, source=ready, target=goal)

    return tuple(one(sample) for sample in samples)


def cut(
    source: Array,
    target: Array | None,
    size: tuple[int, ...],
    rng: np.random.Generator,
    wanted: Callable[[Array], bool] | None = None,
    tries: int = 10,
) -> tuple[Array, Array | None]:
    """A random patch of `source` (Z)YXC and the same place of `target` (Z)YX[C].

    Up to `tries` places are drawn until ``wanted(target patch)`` holds; the last one is taken
    where none does. Images smaller than the patch are mirrored at their far ends.
    """
    ndim = len(size)
    source = _at_least(source, size)
    target = None if target is None else _at_least(target, size)
    for _ in range(tries if wanted is not None and target is not None else 1):
        starts = [int(rng.integers(0, n - s + 1)) for n, s in zip(source.shape[:ndim], size, strict=True)]
        place = tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))
        if wanted is None or target is None or wanted(target[place]):
            break
    return source[place], None if target is None else target[place]


def busy(image: Array, share: float, rng: np.random.Generator) -> Callable[[Array], bool] | None:
    """What `cut` may ask of a patch: in a `share` of the calls, to hold more than its image (Z)YXC does.

    That is, pixels further from the usual brightness, in the mean. Where structures cover little of the
    images, patches drawn anywhere would mostly show nothing.
    """
    if rng.random() >= share:
        return None
    sample = image[..., ::4, ::4, :]
    usual = np.median(sample, axis=tuple(range(image.ndim - 1)))
    least = np.abs(sample - usual).mean()
    return lambda patch: bool(np.abs(patch - usual).mean() > least)


def _at_least(image: Array, size: tuple[int, ...]) -> Array:
    short = [max(0, s - n) for n, s in zip(image.shape, size, strict=False)]
    if not any(short):
        return image
    return np.pad(image, [(0, s) for s in short] + [(0, 0)] * (image.ndim - len(size)), mode="symmetric")


def centre(image: Array, size: Sequence[int]) -> Array:
    """The middle of an image, at most `size` per spatial axis (Z)YX."""
    starts = [max(0, (n - s) // 2) for n, s in zip(image.shape, size, strict=False)]
    return image[tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))]

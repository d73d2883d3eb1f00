"""What the images of a domain look like, measured once, so that other images can be compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.appearance import count, describe
from zcdl_common.task import Array

MOST_IMAGES = 100
"""Images of a set that are looked at, evenly spread."""
NEAREST = 3
"""Windows of the reference that a window is compared with."""
SPREAD = 0.05
"""Standard deviation that a feature has at least: a reference may be all alike in one of them."""
QUANTILES = (np.arange(1000) + 0.5) / 1000
"""An image's brightness by itself, so that large images count no more than small ones."""


@dataclass(frozen=True)
class Domain:
    """A set of images, measured once to compare others with; from `domain_of`."""

    offset: Array
    span: Array
    """(C,) percentile 1 of the brightness of all images, and from there to percentile 99."""
    whole: bool
    """All values are whole numbers: what is compared with them is rounded, as a file would hold it."""
    centre: Array
    scale: Array
    """(F,) means and standard deviations of the features of all windows."""
    windows: Array
    """(P, 2 F), as `features` gives them."""
    owner: Array
    """(P,) image, or group of images, that each window is from."""
    level: float
    """Mean distance of a window to the nearest ones that other images have."""

    def features(self, image: Array) -> Array:
        """Features of an image (Z)YXC in units of this domain, standardised, (P, 2 F).

        The second half is the mean over all windows. It puts a window in its context: background is like any
        other background, but an image of nothing else is like no image.

        Raises
        ------
        DataError
            The number of channels is another.
        """
        if image.shape[-1] != len(self.offset):
            raise DataError(
                f"The image has {image.shape[-1]} channels, those it is compared with have "
                f"{len(self.offset)}. Compare what was translated into a domain with images of that domain."
            )
        stored = np.rint(image) if self.whole else image
        return _in_context((describe(stored, self.offset, self.span) - self.centre) / self.scale)


def domain_of(images: Sequence[Array], *, groups: Sequence[str] | None = None) -> Domain:
    """Measure what the images of a domain look like.

    Parameters
    ----------
    images
        (Z)YXC, any dtype, sizes may differ; of more than 100, 100 are taken, evenly spread. About 0.2 s an
        image and channel.
    groups
        What each image belongs to (movie, stack, well): how like real images are is measured across groups.

    Raises
    ------
    DataError
        There is no image, or a single one of a single window.
    """
    if not images:
        raise DataError("There is no image to compare others with. Name a folder that holds some.")
    chosen = evenly(range(len(images)))
    names = list(range(len(images))) if groups is None else list(groups)
    images, names = [images[i] for i in chosen], [names[i] for i in chosen]
    brightness = pooled(images)
    low, high = np.quantile(brightness, [0.01, 0.99], axis=0)
    spread = np.ptp(brightness, axis=0)
    span = np.where(high > low, high - low, np.where(spread > 0, spread, 1.0))
    found = [describe(image, low, span) for image in images]
    every = np.concatenate(found)
    # where there is one group alone its images stand for themselves, and the windows of a single image do
    owners = (owned(found, names), numbered(found), np.arange(len(every)))
    owner = next((owner for owner in owners if owner.any()), None)
    if owner is None:
        raise DataError(
            "A single small image does not tell how alike images of its kind are. "
            "Use at least two, or one of more than 96 pixels a side."
        )
    centre, scale = every.mean(0), np.maximum(every.std(0), SPREAD)
    windows = np.concatenate([_in_context((one - centre) / scale) for one in found])
    return Domain(
        offset=low,
        span=span,
        whole=all(bool((np.rint(image) == image).all()) for image in images),
        centre=centre,
        scale=scale,
        windows=windows,
        owner=owner,
        level=_level(windows, owner),
    )


def tells_spread(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether images of these sizes (Z)YX tell how alike images of their kind are; see `domain_of`."""
    return sum(map(count, shapes)) > 1


def nearest(windows: Array, others: Array) -> Array:
    """Mean distance of each window to the nearest of the others, (P,)."""
    from scipy.spatial.distance import cdist

    count = min(NEAREST, len(others))
    return np.asarray(np.partition(cdist(windows, others), count - 1)[:, :count].mean(1))


def pooled(images: Sequence[Array]) -> Array:
    """Brightness (N, C) of a set of images (Z)YXC: 1000 quantiles of each, float64; NaN counts as 0."""
    flat = (image.reshape(-1, image.shape[-1]).astype(np.float64) for image in images)
    known = (np.nan_to_num(pixels, copy=False, posinf=0.0, neginf=0.0) for pixels in flat)
    return np.concatenate([np.quantile(pixels, QUANTILES, axis=0) for pixels in known])


def evenly(items: Sequence[Any]) -> Sequence[Any]:
    """At most `MOST_IMAGES` of them."""
    return items[:: -(-len(items) // MOST_IMAGES)]


def numbered(found: Sequence[Array]) -> Array:
    """Which image each window is from, (P,), where `found` has the features of each."""
    return np.repeat(np.arange(len(found)), [len(f) for f in found])


def owned(found: Sequence[Array], groups: Sequence[Any]) -> Array:
    """Which group each window is from, (P,), where `groups` names that of each image, and 0 is the first."""
    return np.repeat(np.unique(groups, return_inverse=True)[1], [len(f) for f in found])


def _in_context(windows: Array) -> Array:
    """Each window of an image (P, F), and the mean of all, (P, 2 F)."""
    return np.concatenate([windows, np.broadcast_to(windows.mean(0), windows.shape)], axis=1)


def _level(windows: Array, owner: Array) -> float:
    """What `nearest` gives for windows of one owner among those of all others; above 0 for copies too."""
    apart = [nearest(windows[owner == one], windows[owner != one]) for one in np.unique(owner)]
    return float(max(np.concatenate(apart).mean(), SPREAD * np.sqrt(windows.shape[1])))

"""Segmentation by thresholds: Otsu's, and local ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from zcdl_common.metrics.segmentation import scores, threshold_curve
from zcdl_common.task import Array

SIGMAS = (0.0, 1.0, 2.0)
"""Gaussian smoothing tried before a threshold, pixels in YX."""
WINDOWS = (15, 31, 63, 127)
"""Sides of the neighbourhood tried for a local threshold, pixels in YX."""
OFFSETS = np.linspace(-1, 1, 41)
"""Distances from the local mean tried, in standard deviations of the image."""
MOST_CLASSES = 4
"""Several Otsu thresholds are searched exhaustively: with more classes that takes minutes."""

Labelled = tuple[Array, Array]
"""Source (Z)YXC and class indices (Z)YX."""


@dataclass(frozen=True)
class Otsu:
    """The intensities that best divide the histogram, and the class of each part, dark to bright.

    References
    ----------
    Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Transactions on
    Systems, Man, and Cybernetics 9, 62-66.
    """

    channel: int
    sigma: float
    classes: tuple[int, ...]
    aspect: float = 1.0
    """Size of a voxel in Z divided by its size in YX."""

    def __call__(self, source: Array) -> Array:
        plane = smooth(source[..., self.channel], self.sigma, self.aspect)
        return np.asarray(self.classes, np.int32)[_parts(plane, len(self.classes))]

    def __str__(self) -> str:
        order: dict[tuple[int, ...], str] = {(0, 1): "bright objects", (1, 0): "dark objects"}
        classes = "classes from dark to bright " + ", ".join(map(str, self.classes))
        return f"{order.get(self.classes, classes)}, {_preparation(self.channel, self.sigma)}"


@dataclass(frozen=True)
class Local:
    """Foreground is brighter (or darker) than the mean of its neighbourhood, by some distance."""

    channel: int
    sigma: float
    window: int
    offset: float
    """In standard deviations of the smoothed image."""
    bright: bool
    aspect: float = 1.0

    def __call__(self, source: Array) -> Array:
        contrast = _contrast(source, self.channel, self.sigma, self.window, self.aspect)
        return ((contrast if self.bright else -contrast) >= np.float32(self.offset)).astype(np.int32)

    def __str__(self) -> str:
        return (
            f"{'bright' if self.bright else 'dark'} objects, neighbourhood of {self.window} pixels, "
            f"{self.offset:+.2f} standard deviations, {_preparation(self.channel, self.sigma)}"
        )


Threshold = Otsu | Local
Table = dict[Threshold, list[float]]
"""IoU of every variant on every image."""


def otsu_table(
    images: Sequence[Labelled], n_classes: int, aspect: float, late: Callable[[], bool]
) -> tuple[Table, bool]:
    """Score Otsu's method with every smoothing and every order of the classes; False if cut short."""
    table: Table = {}
    for channel, sigma in _preparations(images):
        if table and late():
            return table, False
        parts = [_parts(smooth(source[..., channel], sigma, aspect), n_classes) for source, _ in images]
        for classes in permutations(range(n_classes)):
            lookup = np.asarray(classes, np.int32)
            table[Otsu(channel, sigma, classes, aspect)] = [
                scores(truth, lookup[part], n_classes)["iou"]
                for part, (_, truth) in zip(parts, images, strict=True)
            ]
    return table, True


def local_table(images: Sequence[Labelled], aspect: float, late: Callable[[], bool]) -> tuple[Table, bool]:
    """Score local thresholds with every smoothing, window, polarity and offset; False if cut short."""
    table: Table = {}
    smallest = min(min(truth.shape[-2:]) for _, truth in images)
    windows = [w for w in WINDOWS if w <= smallest] or WINDOWS[:1]
    for window in windows:
        for channel, sigma in _preparations(images):
            if table and late():
                return table, False
            contrasts = [_contrast(source, channel, sigma, window, aspect) for source, _ in images]
            for bright in (True, False):
                curves = [
                    threshold_curve(c if bright else -c, truth == 1, OFFSETS)
                    for c, (_, truth) in zip(contrasts, images, strict=True)
                ]
                for offset, ious in zip(OFFSETS, np.transpose(curves), strict=True):
                    table[Local(channel, sigma, window, float(offset), bright, aspect)] = ious.tolist()
    return table, True


def smooth(plane: Array, sigma: float, aspect: float) -> Array:
    """Gaussian smoothing, the same in micrometres along all axes: float32 (Z)YX."""
    from scipy import ndimage

    sigmas = ((sigma / aspect,) if plane.ndim == 3 else ()) + (sigma, sigma)
    return np.asarray(ndimage.gaussian_filter(np.asarray(plane, np.float32), sigmas))


def _parts(plane: Array, n_classes: int) -> Array:
    """Parts of the histogram, 0 the darkest; a constant image is all of the first."""
    from skimage import filters

    if n_classes == 2:
        bound = filters.threshold_otsu(plane)  # type: ignore[no-untyped-call]
        return np.asarray(plane > bound, np.intp)
    try:
        bounds = filters.threshold_multiotsu(plane, n_classes)  # type: ignore[no-untyped-call]
    except ValueError:  # fewer grey values than classes
        return np.zeros(plane.shape, np.intp)
    return np.asarray(np.digitize(plane, bounds))


def _contrast(source: Array, channel: int, sigma: float, window: int, aspect: float) -> Array:
    """Height above the local mean in standard deviations of the image: float32 (Z)YX."""
    from scipy import ndimage

    plane = smooth(source[..., channel], sigma, aspect)
    sizes = ((max(1, round(window / aspect)),) if plane.ndim == 3 else ()) + (window, window)
    return np.asarray((plane - ndimage.uniform_filter(plane, sizes)) / (plane.std() + np.float32(1e-12)))


def _preparations(images: Sequence[Labelled]) -> list[tuple[int, float]]:
    return [(channel, sigma) for sigma in SIGMAS for channel in range(images[0][0].shape[-1])]


def _preparation(channel: int, sigma: float) -> str:
    smoothing = f"after Gaussian smoothing (sigma {sigma:g} px)" if sigma else "without smoothing"
    return f"channel {channel}, {smoothing}"

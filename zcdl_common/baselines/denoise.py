"""The classical denoiser that restores the training images best, with its setting tuned on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical
from zcdl_common.baselines.held_out import folds
from zcdl_common.metrics.images import fit_to, normalise, psnr
from zcdl_common.patches import centre
from zcdl_common.task import Array

Pair = tuple[Array, Array]
"""Poor image (Z)YXC and clean image (Z)YXK of the same field."""

TUNED_ON = {2: (256, 256), 3: (16, 128, 128)}
"""Settings are tuned on the middle of each image, of at most this size."""

GAUSSIAN, MEDIAN, TOTAL_VARIATION, WAVELET, NON_LOCAL = (
    "Gaussian filter",
    "median filter",
    "total variation",
    "wavelets",
    "non-local means",
)
SETTINGS: dict[str, tuple[float, ...]] = {
    GAUSSIAN: (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0),
    MEDIAN: (3, 5, 7),
    TOTAL_VARIATION: (0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    WAVELET: (0.5, 1.0, 1.5, 2.0, 3.0),
    NON_LOCAL: (0.4, 0.6, 0.8, 1.0, 1.3),
}
"""Standard deviation in pixels, side in pixels, and three strengths in units of the noise of the image."""


@dataclass(frozen=True)
class Denoiser:
    """A filter with its setting, and the line that brings its result to the brightness of clean images."""

    kind: str
    setting: float
    aspect: float
    """Distance of planes over distance of pixels."""
    mix: Array
    """(C + 1, K): what each filtered channel, and a constant, add to each clean channel."""

    def __call__(self, image: Array) -> Array:
        """Poor image (Z)YXC -> float32 (Z)YXK in the units of clean images."""
        return (_with_one(filtered(image, self.kind, self.setting, self.aspect)) @ self.mix).astype(
            np.float32
        )

    def __str__(self) -> str:
        if self.kind == GAUSSIAN:
            return f"standard deviation {self.setting:g} pixels"
        if self.kind == MEDIAN:
            return f"{self.setting:g} x {self.setting:g} pixels"
        return f"strength {self.setting:g} times the noise"


def denoise(
    train: Sequence[Pair], *, seconds: float = 30.0, pixel_size: Sequence[float] | None = None
) -> Classical:
    """Tune Gaussian, median, total variation, wavelet and non-local means filters, and keep the best.

    Parameters
    ----------
    train
        Poor and clean image of each training pair; the first 8 are used, and of these the ones whose clean
        image is not empty, if any: onto an empty one every filter is fitted without error.
    seconds
        No setting is begun after so long; what was not tried is named in the description.
    pixel_size
        (Z)YX, any unit; filters reach equally far along Z. Unknown: voxels count as cubes.

    Returns
    -------
    Classical
        `scores` are mean PSNR (dB, after a fit of brightness and contrast) in twofold cross-validation.

    References
    ----------
    Chambolle 2004, doi:10.1023/B:JMIV.0000011325.36760.1e (total variation); Chang et al. 2000,
    doi:10.1109/83.862633 (wavelets); Buades et al. 2005, doi:10.1109/CVPR.2005.38 (non-local means).
    """
    pairs = [_middle(*pair) for pair in train[:MOST_IMAGES]]
    pairs = [pair for pair in pairs if normalise(pair[1]).any()] or pairs
    aspect = aspect_of(pixel_size)
    table, took, late = try_settings(
        lambda kind, setting: [_score(clean, filtered(poor, kind, setting, aspect)) for poor, clean in pairs],
        seconds,
    )
    held_out = {kind: _held_out(np.array(list(by.values()))) for kind, by in table.items()}
    best = max(held_out, key=lambda kind: held_out[kind])
    settings = table[best]
    setting = max(settings, key=lambda s: float(np.mean(settings[s])))
    chosen = Denoiser(best, setting, aspect, _mix(pairs, best, setting, aspect))
    ranking = ", ".join(f"{kind} {score:.1f}" for kind, score in held_out.items())
    description = f"{best} ({chosen}). Mean PSNR on {len(pairs)} training images, in dB: {ranking}."
    return Classical(best, description + late, held_out, chosen, took)


def aspect_of(pixel_size: Sequence[float] | None) -> float:
    """Distance of planes over distance of pixels; 1 in 2D, or where it is not known."""
    return pixel_size[0] / pixel_size[-1] if pixel_size and len(pixel_size) == 3 else 1.0


def try_settings(
    score: Callable[[str, float], list[float]], seconds: float
) -> tuple[dict[str, dict[float, list[float]]], dict[str, float], str]:
    """Score every setting of every method that can be begun within `seconds`, the first one always.

    Returns
    -------
    table
        Method -> setting -> what `score` gives, a number an image.
    took
        Seconds that each method took.
    late
        Sentence on what was not tried; empty where all was.
    """
    started = time.monotonic()
    table: dict[str, dict[float, list[float]]] = {}
    took: dict[str, float] = {}
    late: list[str] = []
    for kind, setting in order():
        if table and time.monotonic() - started > seconds:
            late += [kind] if kind not in late else []
            continue
        begun = time.monotonic()
        table.setdefault(kind, {})[setting] = score(kind, setting)
        took[kind] = took.get(kind, 0.0) + time.monotonic() - begun
    return table, took, f" Not all settings tried within {seconds:g} s: {', '.join(late)}." if late else ""


def order() -> Iterator[tuple[str, float]]:
    """Middle settings of every method first, so that a time limit leaves none out."""
    for _, kind, setting in sorted(
        (abs(place - (len(settings) - 1) / 2), kind, setting)
        for kind, settings in SETTINGS.items()
        for place, setting in enumerate(settings)
    ):
        yield kind, setting


def filtered(image: Array, kind: str, setting: float, aspect: float = 1.0) -> Array:
    """One filter on every channel of an image (Z)YXC of any dtype and range; float32, in its own units.

    Parameters
    ----------
    kind, setting
        A key of `SETTINGS`, and a value as they stand there.
    aspect
        Distance of planes over distance of pixels; Gaussian and median reach less far along a coarse Z.
    """
    channels = [
        _plain(image[..., c].astype(np.float32), kind, setting, aspect) for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def _plain(image: Array, kind: str, setting: float, aspect: float) -> Array:
    from scipy import ndimage
    from skimage import restoration

    flat = image.ndim == 2
    if kind == GAUSSIAN:
        sigma = setting if flat else (setting / aspect, setting, setting)
        return np.asarray(ndimage.gaussian_filter(image, sigma))
    if kind == MEDIAN:
        side = int(setting)
        planes = max(1, 2 * round((side - 1) / 2 / aspect) + 1)
        return np.asarray(ndimage.median_filter(image, side if flat else (planes, side, side)))
    spread = np.ptp(image)
    if not spread > 0:
        return image
    scaled = (image - image.min()) / spread
    noise = float(restoration.estimate_sigma(scaled))
    if kind == TOTAL_VARIATION:
        result = restoration.denoise_tv_chambolle(scaled, weight=setting * noise)
    elif kind == WAVELET:
        result = restoration.denoise_wavelet(scaled, sigma=setting * noise, rescale_sigma=False)
    else:
        result = restoration.denoise_nl_means(
            scaled, patch_size=5, patch_distance=6, h=setting * noise, sigma=noise, fast_mode=True
        )
    found = np.asarray(result, np.float32).reshape(image.shape)  # non-local means drops axes of one plane
    return np.asarray(found * spread + image.min(), np.float32)


def _middle(poor: Array, clean: Array) -> Pair:
    size = TUNED_ON[poor.ndim - 1]
    return centre(poor, size), centre(clean, size)


def _score(clean: Array, found: Array) -> float:
    """PSNR in dB of the best mix of the channels of `found`: brightness is no merit of a filter."""
    true = normalise(clean)
    if found.shape == clean.shape:
        return psnr(true, fit_to(true, found), data_range=1.0)
    rows = _with_one(found).reshape(-1, found.shape[-1] + 1)
    mixed = rows @ np.linalg.lstsq(rows, true.reshape(-1, true.shape[-1]), rcond=None)[0]
    return psnr(true, mixed.reshape(true.shape), data_range=1.0)


def _mix(pairs: Sequence[Pair], kind: str, setting: float, aspect: float) -> Array:
    """Least-squares map from filtered channels to clean ones, over all pairs."""
    results = [_with_one(filtered(poor, kind, setting, aspect)) for poor, _ in pairs]
    rows = np.concatenate([r.reshape(-1, r.shape[-1]) for r in results])
    goals = np.concatenate([c.reshape(-1, c.shape[-1]) for _, c in pairs])
    mix = np.linalg.lstsq(rows, goals.astype(np.float64), rcond=None)[0]
    return np.asarray(mix)


def _with_one(image: Array) -> Array:
    """An image with a last channel of ones, float64."""
    return np.concatenate([image, np.ones((*image.shape[:-1], 1))], axis=-1)


def _held_out(scores: Any) -> float:
    """Mean score (settings, images) of the setting that is best on one half of the images, on the other."""
    count = scores.shape[1]
    if count == 1:
        return float(scores.max())
    found = [scores[int(scores[:, fit].mean(1).argmax()), rest] for fit, rest in folds(count)]
    return float(np.mean(np.concatenate(found)))

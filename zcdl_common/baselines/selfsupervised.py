"""The classical denoiser that predicts hidden pixels of the noisy images best: tuned without any truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical
from zcdl_common.baselines.denoise import (
    TUNED_ON,
    Denoiser,
    aspect_of,
    filtered,
    try_settings,
)
from zcdl_common.patches import centre
from zcdl_common.task import Array

STRIDE = 4
"""Every so many pixels along each axis one is hidden."""


def denoise(
    images: Sequence[Array], *, seconds: float = 30.0, pixel_size: Sequence[float] | None = None
) -> Classical:
    """Calibrate the filters of `baselines.denoise` on noisy images alone, and keep the best.

    Pixels on a grid are replaced by the mean of their neighbours, and the filter's result there is compared
    with what they were. A filter that never saw a pixel cannot repeat its noise: where noise is independent
    between pixels, this error is the true one plus the noise, so the best setting can be told. The filter
    found is then used as it is: without the pixel itself it did worse by up to 2 dB where noise is weak, and
    better by up to 1 dB where it is strong.

    Parameters
    ----------
    images
        Noisy images (Z)YXC; the middle of the first 8 is used.
    seconds
        No setting is begun after so long; what was not tried is named in the description.
    pixel_size
        (Z)YX, any unit; filters reach equally far along Z. Unknown: voxels count as cubes.

    Returns
    -------
    Classical
        `scores` are in dB: variance of the images over the mean squared error at hidden pixels.

    References
    ----------
    Batson & Royer 2019, Noise2Self: blind denoising by self-supervision, ICML, arXiv:1901.11365.
    """
    parts = [centre(image, TUNED_ON[image.ndim - 1]).astype(np.float32) for image in images[:MOST_IMAGES]]
    aspect = aspect_of(pixel_size)
    table, took, late = try_settings(
        lambda kind, setting: [hidden_error(part, kind, setting, aspect) for part in parts], seconds
    )
    errors = {kind: {setting: float(np.mean(e)) for setting, e in by.items()} for kind, by in table.items()}
    best = min(errors, key=lambda kind: min(errors[kind].values()))
    setting = min(errors[best], key=lambda tried: errors[best][tried])
    channels = parts[0].shape[-1]
    chosen = Denoiser(best, setting, aspect, np.eye(channels + 1, channels))
    scores = {kind: -10 * float(np.log10(max(1e-12, min(by.values())))) for kind, by in errors.items()}
    ranking = ", ".join(f"{kind} {score:.2f}" for kind, score in scores.items())
    description = (
        f"{best} ({chosen}), calibrated without truth on {len(parts)} noisy images (J-invariance). Variance "
        f"over squared error at hidden pixels, in dB: {ranking}."
    )
    return Classical(best, description + late, scores, chosen, took)


def hidden_error(image: Array, kind: str, setting: float, aspect: float = 1.0) -> float:
    """Mean squared error of a filter at hidden pixels of (Z)YXC, over the variance; mean over channels."""
    from skimage.restoration import denoise_invariant

    grid = tuple(slice(min(STRIDE // 2, (n - 1) // 2), None, STRIDE) for n in image.shape[:-1])
    errors = []
    for channel in np.moveaxis(image, -1, 0):
        spread = float(channel.var())
        if not spread > 0:
            continue
        scaled = (channel - channel.mean()) / np.sqrt(spread)
        found = denoise_invariant(
            scaled, lambda x: filtered(x[..., None], kind, setting, aspect)[..., 0], masks=[grid]
        )
        errors.append(float(((found[grid] - scaled[grid]) ** 2).mean()))
    return float(np.mean(errors)) if errors else 0.0

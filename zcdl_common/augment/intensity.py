"""Light, noise and blur for scaled images (Z)YXC, float32, of any range: nothing is clipped."""

from __future__ import annotations

import numpy as np

from zcdl_common.task import Array


def change_intensity(image: Array, rng: np.random.Generator, strength: float) -> Array:
    """Gain, offset and gamma, drawn for each channel.

    Gamma acts between the smallest and the largest value of the channel, which therefore stay, and is
    defined for any range. Gain and gamma lie in [exp(-strength), exp(strength)], the offset in
    [-strength / 2, strength / 2].

    Parameters
    ----------
    image : float32 (Z)YXC
    strength : float
        0 changes nothing.
    """
    channels = image.shape[-1]
    gain, gamma = np.exp(np.asarray(rng.uniform(-strength, strength, (2, channels)), np.float32))
    offset = np.asarray(rng.uniform(-strength / 2, strength / 2, channels), np.float32)
    space = tuple(range(image.ndim - 1))
    low = image.min(space)
    span = image.max(space) - low
    relative = (image - low) / np.where(span > 0, span, 1)
    return (relative**gamma * span + low) * gain + offset  # type: ignore[no-any-return]


def add_noise(image: Array, rng: np.random.Generator, strength: float) -> Array:
    """Gaussian noise as of a detector plus noise that grows with the root of the signal, as of photons.

    Each part has a standard deviation drawn from [0, strength] (the second where the signal is 1 above the
    darkest pixel); half of the patches stay as they are.

    Parameters
    ----------
    image : float32 (Z)YXC
    strength : float
        In units of the image.
    """
    import cv2

    if rng.random() < 0.5:
        return image
    read, shot = (float(deviation) for deviation in rng.uniform(0, strength, size=2))
    # OpenCV draws normal numbers several times faster than NumPy; each thread has its own generator
    cv2.setRNGSeed(int(rng.integers(2**31)))
    noise = cv2.randn(np.empty(image.shape, np.float32), np.zeros(1), np.ones(1))
    noise *= np.sqrt(shot**2 * (image - image.min()) + read**2)
    noise += image
    return noise  # type: ignore[no-any-return]


def add_blur(image: Array, rng: np.random.Generator, strength: float) -> Array:
    """Gaussian blur in the YX plane, for half of the patches.

    Parameters
    ----------
    image : float32 (Z)YXC
    strength : float
        The standard deviation is drawn from [0, strength] pixels.
    """
    import cv2

    if rng.random() < 0.5:
        return image
    sigma = rng.uniform(0, strength)
    size = 2 * round(3 * sigma) + 1
    planes = image.reshape(-1, *image.shape[-3:])
    blurred = [cv2.GaussianBlur(p, (size, size), sigma, borderType=cv2.BORDER_REFLECT) for p in planes]
    return np.stack(blurred).reshape(image.shape)

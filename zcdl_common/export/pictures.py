"""The cover and the sample images of a package."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np

from zcdl_common.task import Array

SIDE = 400
"""Pixels of each of the cover's two square pictures: together they stay below 500 kB."""


def cover(test_input: Array, test_output: Array, channel_axis: Literal["first", "last"]) -> bytes:
    """Image and prediction side by side, 2:1, as PNG.

    Of a stack the middle slice is shown, of the channels the first of the image and the last of the
    prediction (in a segmentation the last class; the first is background).
    """
    from PIL import Image

    left = _picture(_channel(test_input, 0, channel_axis))
    right = _picture(_channel(test_output, -1, channel_axis))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([left, right], axis=1)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sample(
    array: Array, channel_axis: Literal["first", "last"], pixel_size: tuple[float, ...] | None
) -> bytes:
    """A test tensor (1, C, (Z), Y, X) as a TIFF that Fiji opens as a hyperstack."""
    import tifffile

    image = array[0] if channel_axis == "first" else np.moveaxis(array[0], -1, 0)
    axes = "CYX" if image.ndim == 3 else "ZCYX"
    if image.ndim == 4:
        image = np.moveaxis(image, 0, 1)
    metadata: dict[str, Any] = {"axes": axes}
    resolution = None
    if pixel_size:
        resolution = (1 / pixel_size[-1], 1 / pixel_size[-2])
        metadata |= {"unit": "um"} | ({"spacing": pixel_size[0]} if len(pixel_size) == 3 else {})
    buffer = io.BytesIO()
    plain = np.ascontiguousarray(image, np.float32)
    tifffile.imwrite(buffer, plain, imagej=True, metadata=metadata, resolution=resolution)
    return buffer.getvalue()


def _channel(array: Array, index: int, channel_axis: Literal["first", "last"]) -> Array:
    image: Array = array[0].take(index, axis=0 if channel_axis == "first" else -1)
    return image[len(image) // 2] if image.ndim == 3 else image


def _picture(image: Array) -> Array:
    """uint8 (SIDE, SIDE): the largest square in the middle, contrast from percentile 0.5 to 99.8."""
    side = min(image.shape)
    y, x = ((n - side) // 2 for n in image.shape)
    pick = np.arange(SIDE) * side // SIDE
    square = image[y : y + side, x : x + side][np.ix_(pick, pick)].astype(np.float64)
    low, high = np.percentile(square, [0.5, 99.8])
    scaled: Array = np.clip(255 * (square - low) / max(high - low, 1e-12), 0, 255)
    return scaled.astype(np.uint8)

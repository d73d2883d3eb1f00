"""Scale images for a network and back, the same way in training, prediction and export.

Every scaling is linear per channel, ``(x - offset) / span``, with parameters taken from the whole image
or from the training set, never from a patch or a tile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.statistics import mean_std, percentiles
from zcdl_common.task import Array

EPS = 1e-6
"""Added to a span before division, as the processing steps of the BioImage Model Zoo do."""


class Limits(NamedTuple):
    """``(x - offset) / span``; both float64 (C,)."""

    offset: Array
    span: Array


class Scaling(ABC):
    """Image (Z)YXC of any dtype -> network input, float32."""

    @abstractmethod
    def limits(self, image: Any) -> Limits:
        """Parameters for `image`, an array (Z)YXC or anything sliceable like one, of any size."""

    @abstractmethod
    def zoo(self, ndim: int) -> list[dict[str, Any]]:
        """The same as preprocessing steps of a zoo package; `ndim` counts spatial axes."""

    @abstractmethod
    def describe(self) -> str:
        """Part of a sentence for the methods paragraph."""

    def apply(self, array: Array, limits: Limits) -> Array:
        """Scale an image, or a block of it, by the limits of the whole.

        Parameters
        ----------
        array : (..., C), any dtype
        limits : Limits
            From the image that `array` is part of.

        Returns
        -------
        float32, shape of `array`
            Pixels that are NaN or infinite become 0: a single one would spread through the network.
        """
        scaled = np.empty(array.shape, np.float32)
        # float64 in pieces inside the ufunc: a small signal on a large offset keeps its digits
        np.subtract(array, limits.offset, out=scaled, dtype=np.float64, casting="same_kind")
        scaled /= limits.span.astype(np.float32)
        if np.dtype(array.dtype).kind == "f":
            scaled[~np.isfinite(scaled)] = 0
        return scaled

    def undo(self, array: Array, limits: Limits) -> Array:
        """Network output (..., C) back in the units of the image, float32."""
        return (array * limits.span + limits.offset).astype(np.float32)

    def __call__(self, image: Any) -> Array:
        """Scale a whole image by its own limits."""
        return self.apply(np.asarray(image), self.limits(image))


def in_units(output: Array, scale: Fixed) -> Array:
    """Network output (..., K) in the units of the targets it learned, float32.

    The first channels are those of a target; any further ones are their uncertainties.
    """
    limits = scale.limits()
    channels = len(limits.span)
    rest = output[..., channels:]
    image = output[..., :channels] * limits.span + limits.offset
    return np.concatenate([image, rest * limits.span] if rest.size else [image], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Percentile(Scaling):
    """Two percentiles of an image, channel by channel, become 0 and 1; nothing is clipped.

    Equal to ``scale_range`` of the BioImage Model Zoo over the spatial axes.
    """

    low: float = 1.0
    """Percentile that becomes 0, in [0, 100)."""
    high: float = 99.8
    """Percentile that becomes 1, in (low, 100]."""
    eps: float = EPS

    def limits(self, image: Any) -> Limits:
        low, high = percentiles([image], (self.low, self.high))
        return Limits(low, high - low + self.eps)

    def zoo(self, ndim: int) -> list[dict[str, Any]]:
        kwargs = {
            "axes": _space(ndim),
            "min_percentile": self.low,
            "max_percentile": self.high,
            "eps": self.eps,
        }
        return [{"id": "scale_range", "kwargs": kwargs}]

    def describe(self) -> str:
        return f"scaled so that percentiles {self.low:g} and {self.high:g} of each image became 0 and 1"


@dataclass(frozen=True)
class MeanStd(Scaling):
    """Every image gets mean 0 and standard deviation 1, channel by channel.

    Equal to ``zero_mean_unit_variance`` of the BioImage Model Zoo over the spatial axes.
    """

    eps: float = EPS

    def limits(self, image: Any) -> Limits:
        mean, std = mean_std([image])
        return Limits(mean, std + self.eps)

    def zoo(self, ndim: int) -> list[dict[str, Any]]:
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": _space(ndim), "eps": self.eps}}]

    def describe(self) -> str:
        return "scaled to mean 0 and standard deviation 1 of each image"


@dataclass(frozen=True)
class Fixed(Scaling):
    """The same numbers for every image, one pair a channel.

    Equal to ``fixed_zero_mean_unit_variance`` of the BioImage Model Zoo, which also adds `EPS`.
    """

    mean: tuple[float, ...]
    """What becomes 0."""
    std: tuple[float, ...]
    """What becomes 1 above `mean`."""

    @classmethod
    def mean_std(cls, images: Sequence[Any]) -> Fixed:
        """Mean and standard deviation over all pixels of a training set."""
        return cls._from(*mean_std(images))

    @classmethod
    def percentiles(cls, images: Sequence[Any], low: float = 0.0, high: float = 100.0) -> Fixed:
        """Percentiles over all pixels of a training set; minimum and maximum unless told otherwise."""
        bottom, top = percentiles(images, (low, high))
        return cls._from(bottom, top - bottom)

    @classmethod
    def _from(cls, mean: Array, std: Array) -> Fixed:
        # a constant training set says nothing about contrast: its unit is kept
        return cls(tuple(mean.tolist()), tuple(np.where(std > EPS, std, 1.0).tolist()))

    def limits(self, image: Any = None) -> Limits:
        channels = len(self.mean) if image is None else image.shape[-1]
        if channels != len(self.mean):
            raise DataError(
                f"The image has {channels} channels, the network was trained on {len(self.mean)}. "
                "Pick the same channels with the parameter 'channels'."
            )
        return Limits(np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64) + EPS)

    def zoo(self, ndim: int) -> list[dict[str, Any]]:
        """Scalars for one channel (not every reader takes lists), else lists along the channel axis."""
        kwargs: dict[str, Any] = {"mean": self.mean[0], "std": self.std[0]}
        if len(self.mean) > 1:
            kwargs = {"mean": list(self.mean), "std": list(self.std), "axis": "channel"}
        return [{"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}]

    def zoo_undo(self) -> list[dict[str, Any]]:
        """Postprocessing steps that bring an output back to the units of the images.

        Raises
        ------
        ValueError
            Channels differ: readers take one gain only, so `undo` has to be part of the network.
        """
        if len(set(zip(self.mean, self.std, strict=True))) > 1:
            raise ValueError("scales differ between output channels: put the scaling into the network")
        gain, offset = self.std[0] + EPS, self.mean[0]
        return [{"id": "scale_linear", "kwargs": {"gain": gain, "offset": offset}}]

    def describe(self) -> str:
        pairs = ", ".join(f"{m:.4g} and {s:.4g}" for m, s in zip(self.mean, self.std, strict=True))
        return f"scaled by an offset and a span fixed from the training set ({pairs})"


def _space(ndim: int) -> list[str]:
    return list("zyx"[3 - ndim :])

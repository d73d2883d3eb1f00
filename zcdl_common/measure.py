"""The facts of a data set, from its training images alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from zcdl_common.config import Config
from zcdl_common.data import Data
from zcdl_common.errors import DataError
from zcdl_common.network import Network
from zcdl_common.task import Facts, resolve


def measure(data: Data, config: Config, network: Network, device: str) -> Facts:
    """What the training images say about themselves.

    Raises
    ------
    DataError
        The images differ in dimension or channels, those held out included.
    """
    split = data.split.of("source")
    infos = [s.source.info() for s in split.train]  # type: ignore[attr-defined]
    first, reference = infos[0], split.train[0].source.path.name
    for sample in split.train + split.validation + split.test:  # those held out are read after an hour
        info = sample.source.info()  # type: ignore[attr-defined]
        if len(info.shape) != len(first.shape):
            raise DataError(
                f"{sample.source.path.name} is {len(info.shape)}D and {reference} is {len(first.shape)}D. "
                "One network learns from one kind: keep 2D and 3D images in separate folders."
            )
        if info.channels != first.channels:
            raise DataError(
                f"{sample.source.path.name} has {info.channels} channels and {reference} has "
                f"{first.channels}. All images need the same channels; choose some, "
                "for example channels = 0."
            )
    sizes = [i.pixel_size for i in infos]
    alike = None not in sizes and np.allclose(sizes, sizes[0], rtol=0.01)  # type: ignore[arg-type]
    own: dict[str, Any] = dict(resolve(network.task.facts)(data.split.train, config))
    extra = {**own.pop("extra", {}), **({"gap": data.gap} if data.gap else {})}
    return Facts(
        ndim=len(first.shape),
        channels=first.channel_names,
        shapes=tuple(i.shape for i in infos),
        dtype=first.dtype,
        pixel_size=first.pixel_size if alike else None,
        device=device,
        counts={
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
        extra=extra,
        **own,
    )

"""Score predictions that were made anywhere (Fiji, ilastik, Cellpose) against truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from zcdl_common import networks
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.folders import find_files
from zcdl_common.images import find_images
from zcdl_common.masks import Mask
from zcdl_common.network import Network
from zcdl_common.pairs import pair
from zcdl_common.task import Facts, Prediction, Sample, resolve


def compare(predictions: str, truth: str, task: str = "segment") -> list[dict[str, Any]]:
    """A row an image with its scores, and a last row with the means.

    Parameters
    ----------
    predictions, truth
        Folders of masks with the same file names.
    task
        What the masks are for: the name of a `Task`.

    Raises
    ------
    ConfigError, DataError
        There is no such task, or no prediction has a truth.
    """
    kind = _network(task).task
    images = find_images(predictions, "predictions")
    pairing = pair(images, find_files(truth, "truth"))
    if not pairing.pairs:
        raise DataError(
            f"No file in {predictions} has a partner in {truth}. They belong together by name: "
            "cell_1.tif to cell_1.tif or cell_1_mask.tif."
        )
    found = [Sample(image.name, image.group, image, Mask(image.path, image)) for image, _ in pairing.pairs]
    true = [Sample(image.name, image.group, image, Mask(path, image)) for image, path in pairing.pairs]
    measure = resolve(kind.facts)
    config = _network(task).Config()
    ndim = len(images[0].info().shape)
    facts = Facts(ndim, ("image",), (), "uint8", **measure(true, config))
    # masks made elsewhere may number their classes by other values: the first class is the first class
    theirs = Facts(ndim, ("image",), (), "uint8", **measure(found, config))
    scores = resolve(kind.scores)
    rows = [
        {
            "image": a.name,
            **scores(kind.read_target(b, facts), Prediction(kind.read_target(a, theirs)), facts),
        }
        for a, b in zip(found, true, strict=True)
    ]
    names = [name for name in rows[0] if name != "image"]
    means = {name: float(np.nanmean([row.get(name, np.nan) for row in rows])) for name in names}
    return [*rows, {"image": "mean", **means}]


def _network(task: str) -> Network:
    fitting = [network for network in networks.NETWORKS.values() if network.task.name == task]
    if not fitting:
        known = sorted({network.task.name for network in networks.NETWORKS.values()})
        raise ConfigError(f"There is no task '{task}'. There are: {', '.join(known)}.")
    return fitting[0]

"""Score predictions that were made anywhere (Fiji, ilastik, Cellpose) against truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from zcdl_common import networks
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import find_images
from zcdl_common.network import Network
from zcdl_common.task import Facts, Prediction, Sample, Task, resolve


def compare(predictions: str, truth: str, task: str = "segment", axes: str = "") -> list[dict[str, Any]]:
    """A row an image with its scores, and a last row with the means.

    Parameters
    ----------
    predictions, truth
        Folders of masks with the same file names.
    task
        What the masks are for: the name of a `Task`.
    axes
        Order of the axes where the files do not say, for example ZYX.

    Raises
    ------
    ConfigError, DataError
        There is no such task, or no prediction has a truth.
    """
    kind = _network(task).task
    images = find_images(predictions, "predictions", axes=axes)
    annotate = resolve(kind.annotations)
    pairing, truths = annotate(images, truth, "truth", {})
    if not pairing.pairs:
        raise DataError(
            f"No file in {predictions} has a partner in {truth}. They belong together by name: "
            "cell_1.tif to cell_1.tif or cell_1_mask.tif."
        )
    paired = [image for image, _ in pairing.pairs]
    masks = annotate(paired, predictions, "predictions", {})[1]
    found = [Sample(i.name, i.group, i, mask) for i, mask in zip(paired, masks, strict=True)]
    true = [Sample(i.name, i.group, i, mask) for i, mask in zip(paired, truths, strict=True)]
    config = _network(task).Config()
    ndim = len(images[0].info().shape)
    facts = Facts(ndim, ("image",), (), "uint8", **resolve(kind.facts)(true, config))
    theirs = _own_classes(kind, found, facts, config)
    scores = resolve(kind.scores)
    rows = [
        {
            "image": a.name,
            **scores(
                kind.read_target(b, facts),
                Prediction(kind.read_target(a, theirs)),
                facts,
                a.source.read(),
            ),
        }
        for a, b in zip(found, true, strict=True)
    ]
    names = [name for name in rows[0] if name != "image"]
    means = {name: float(np.nanmean([row.get(name, np.nan) for row in rows])) for name in names}
    return [*rows, {"image": "mean", **means}]


def _own_classes(kind: Task, found: list[Sample], facts: Facts, config: Any) -> Facts:
    """Masks made elsewhere may number their classes by other values: then the first is the first."""
    try:
        for sample in found:
            kind.read_target(sample, facts)
        return facts
    except DataError:
        own = replace(facts, **resolve(kind.facts)(found, config))
        if len(own.classes) != len(facts.classes):
            raise
        return own


def _network(task: str) -> Network:
    fitting = [network for network in networks.NETWORKS.values() if network.task.name == task]
    if not fitting:
        known = sorted({network.task.name for network in networks.NETWORKS.values()})
        raise ConfigError(f"There is no task '{task}'. There are: {', '.join(known)}.")
    return fitting[0]

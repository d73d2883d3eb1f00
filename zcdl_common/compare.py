"""Score predictions that were made anywhere (Fiji, ilastik, Cellpose) against truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from zcdl_common import networks
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import ImageRef, find_images
from zcdl_common.metrics.statistics import Interval
from zcdl_common.network import Network
from zcdl_common.task import Facts, Prediction, Sample, Task, resolve


def compare(predictions: str, truth: str, task: str = "", axes: str = "") -> list[dict[str, Any]]:
    """A row an image with its scores, and a last row with the means.

    Parameters
    ----------
    predictions, truth
        Folders of masks or images with the same file names; of boxes any annotations, with their images in
        one of the two folders; of translations without pairs, any real images
        of the kind that they should look like.
    task
        What the masks are for: the name of a `Task` or of a network; empty: see `network_for`.
    axes
        Order of the axes where the files do not say, for example ZYX.

    Raises
    ------
    ConfigError, DataError
        There is no such task, or no prediction has a truth.
    """
    network = network_for(task, predictions)
    kind = network.task
    images = _images(kind, predictions, truth, axes)
    if not kind.paired:
        return _with_real(kind, images, find_images(truth, "truth", axes=axes))
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
    config = network.Config()
    ndim = len(images[0].info().shape)
    facts = Facts(ndim, ("image",), (), "uint8", **resolve(kind.facts)(true, config))
    theirs = _own_classes(kind, found, facts, config)
    scores = resolve(kind.scores)
    truths = [kind.read_target(sample, facts) for sample in true]
    results = [Prediction(kind.read_target(sample, theirs)) for sample in found]
    rows = [
        {"image": sample.name, **scores(truth, result, facts, sample.source.read())}
        for sample, truth, result in zip(found, truths, results, strict=True)
    ]
    if not kind.set_scores:
        return [*rows, _means(rows)]
    return _with_sets(rows, resolve(kind.set_scores)(truths, results, facts, reference=None))


def _images(kind: Task, predictions: str, truth: str, axes: str) -> list[ImageRef]:
    """The predictions, where they are images; of boxes the images that they were found in.

    Those lie beside the true boxes or beside the found ones; pictures of found boxes are none.
    """
    if kind.owned != "boxes":
        return find_images(predictions, "predictions", axes=axes)
    for folder, parameter in ((truth, "truth"), (predictions, "predictions")):
        try:
            found = find_images(folder, parameter, axes=axes)
        except DataError:
            continue
        drawn = [image for image in found if image.path.with_suffix(".csv").exists()]
        if images := [image for image in found if image not in drawn]:
            return images
    raise DataError(
        f"Neither {truth} nor {predictions} holds images. Boxes belong to images, whose size has to be "
        "known: put the images, or copies of them, into the folder of the true boxes."
    )


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in rows[0] if name != "image"]
    means = {name: float(np.nanmean([row.get(name, np.nan) for row in rows])) for name in names}
    return {"image": "mean", **means}


def _with_real(kind: Task, images: list[ImageRef], real: list[ImageRef]) -> list[dict[str, Any]]:
    """How unlike real images of their kind those images look that have no truth; see `compare`."""
    facts = Facts(len(images[0].info().shape), ("image",), (), images[0].info().dtype)
    samples = [Sample(image.name, image.group, image, domain="target") for image in real]
    reference, scores = resolve(kind.reference)(samples, facts), resolve(kind.scores)
    pixels = [image.read() for image in images]
    rows = [
        {"image": image.name, **scores(None, Prediction(one), facts, one, reference)}
        for image, one in zip(images, pixels, strict=True)
    ]
    results = [Prediction(one) for one in pixels]
    together = resolve(kind.set_scores)([None] * len(results), results, facts, reference=reference)
    return _with_sets(rows, together)


def _with_sets(rows: list[dict[str, Any]], together: Mapping[str, Interval]) -> list[dict[str, Any]]:
    """The rows, and a last one of means and of scores of all images together."""
    sets = {name: score.mean for name, score in together.items()}
    alone = dict.fromkeys(sets.keys() - rows[0].keys(), "")
    return [*({**row, **alone} for row in rows), {**_means(rows), **sets}]


def _own_classes(kind: Task, found: list[Sample], facts: Facts, config: Any) -> Facts:
    """Masks made elsewhere may number their classes by other values: then the first is the first."""
    try:
        for sample in found:
            kind.read_target(sample, facts)
        return facts
    except DataError:
        own = replace(facts, **resolve(kind.facts)(found, config))
        if not own.classes or len(own.classes) != len(facts.classes):  # kinds of boxes have names
            raise
        return own


def network_for(task: str, predictions: str) -> Network:
    """A network of the task that was named.

    Parameters
    ----------
    task
        Name of a `Task` or of a network; empty: that of the run that `predictions` lie in, else segment.
    predictions
        Their folder.

    Raises
    ------
    ConfigError
        There is no such task.
    """
    name = task or _network_of_run(predictions) or "segment"
    if name in networks.NETWORKS:
        return networks.NETWORKS[name]
    fitting = [network for network in networks.NETWORKS.values() if network.task.name == name]
    if not fitting:
        known = ", ".join(networks.tasks())
        raise ConfigError(f"There is no task '{task}'. There are: {known}; or name a network.")
    return fitting[0]


def _network_of_run(predictions: str) -> str:
    """Name of the network whose run folder holds these predictions, else the empty text."""
    path = Path(predictions).expanduser().absolute()
    folders = [folder.parent for folder in (path, *path.parents) if folder.name == "predictions"]
    for config in (folder / "config.yaml" for folder in folders):
        if config.is_file():
            read = yaml.safe_load(config.read_text(encoding="utf-8"))
            name = str(read.get("network", "")) if isinstance(read, dict) else ""
            return name if name in networks.NETWORKS else ""
    return ""

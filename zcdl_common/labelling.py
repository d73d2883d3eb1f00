"""The task of instance segmentation: objects as label images, their facts, scores and classical method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.fragments import MOST_PIECES, is_photograph, not_labels, pieces
from zcdl_common.rois import MOST_REGIONS, is_roi_file, write_rois
from zcdl_common.segmenting import axes, read_mask
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample, WithTargets

WHOLE = 10
"""Objects that no border cuts which suffice, if they are half of all, to measure sizes on them alone."""


def label_image(sample: Sample, facts: Facts | None = None) -> Array:
    """Objects of a sample, int32 (Z)YX, numbered 1, 2, ... in the order of the file; 0 is background.

    Raises
    ------
    DataError
        The target is a colour picture, has another size than its image, holds fractions or negative
        numbers, or its numbers do not stand for objects: two values, classes, a photograph.
    """
    from skimage.segmentation import relabel_sequential

    assert sample.target is not None
    path = sample.target.path
    mask = read_mask(sample)
    if mask.size and mask.min() < 0:
        raise DataError(
            f"The label image {path.name} holds negative numbers (down to {mask.min()}). Objects need "
            "numbers from 1, background 0. Save it as unsigned 16-bit."
        )
    labels = np.asarray(relabel_sequential(mask)[0], np.int32)
    count, parts = int(labels.max(initial=0)), int(np.count_nonzero(~pieces(labels).speck))
    # a crop may part an object that bends out of it and back
    cropped = getattr(getattr(sample.target, "image", None), "region", None) is not None
    # what is drawn as one region is one object, in as many parts as it may have
    if parts > MOST_PIECES * count + cropped and not is_roi_file(path):
        values, numbers = np.unique(mask, return_counts=True)
        if is_photograph(mask, values, numbers):
            raise DataError(
                f"{path.name}: {not_labels('label image', len(values), float(np.mean(mask == 0)))}"
            )
        what = "one number" if count == 1 else f"{count} numbers"
        raise DataError(
            f"The mask {path.name} holds {what} for {'many' if parts >= 10 * count else parts} separate "
            "pieces. Here every object needs a number of its own, so that touching ones are told apart. "
            "Save a label image (Fiji: MorphoLibJ > Connected Components Labeling; Labkit and Cellpose save "
            "labels by themselves), or let nb.repair() in section 2 number the separate pieces of a copy."
        )
    return labels


def label_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """How many objects the training images hold, how large they are, and how many pixels they cover.

    Returns
    -------
    dict
        In ``extra``: ``objects`` (their number), ``empty_images`` (images without any), ``foreground``
        (share of the pixels), ``object_pixels`` (median size), ``extents`` (median over images of
        the median sides of the bounding box, (Z)YX in pixels), ``large_extents`` (sides that one object in
        twenty exceeds), and ``anisotropy`` (the longest of ``extents`` divided by each: 1 for the axis along
        which objects span most pixels). Sizes are those of objects that no border of an image cuts, where
        these are at least `WHOLE` and half of all.

    Raises
    ------
    DataError
        No image holds an object.
    """
    from scipy import ndimage

    sizes: list[Array] = []
    extents: list[Array] = []
    whole: list[Array] = []
    pixels = covered = 0
    for sample in samples:
        labels = label_image(sample)
        pixels += labels.size
        if not labels.any():
            continue
        sizes.append(np.bincount(labels.ravel())[1:])
        covered += int(sizes[-1].sum())
        boxes = np.array([[(s.start, s.stop) for s in box] for box in ndimage.find_objects(labels)])
        extents.append(boxes[..., 1] - boxes[..., 0])
        whole.append(np.all((boxes[..., 0] > 0) & (boxes[..., 1] < labels.shape), axis=1))
    if not sizes:
        assert samples[0].target is not None
        raise DataError(
            f"None of the {len(samples)} label images in {samples[0].target.path.parent} holds an object: "
            "all are 0 everywhere. Check the folder, and that the annotations were saved."
        )
    large = np.percentile(np.concatenate(extents), 95, axis=0)
    objects = sum(map(len, sizes))
    empty = len(samples) - len(sizes)
    if sum(w.sum() for w in whole) >= max(WHOLE, objects / 2):
        kept = [(e[w], s[w]) for e, s, w in zip(extents, sizes, whole, strict=True) if w.any()]
        extents, sizes = [e for e, _ in kept], [s for _, s in kept]
        # the largest objects are cut most often, and what is left of them may still be larger
        large = np.maximum(large, np.percentile(np.concatenate(extents), 95, axis=0))
    usual = np.median([np.median(e, axis=0) for e in extents], axis=0)
    return {
        "extra": {
            "objects": objects,
            "empty_images": empty,
            "foreground": covered / pixels,
            "object_pixels": float(np.median(np.concatenate(sizes))),
            "extents": tuple(usual.tolist()),
            "large_extents": tuple(large.tolist()),
            "anisotropy": tuple((usual.max() / usual).tolist()),
        }
    }


def aspect(facts: Facts) -> float:
    """Distance of planes over distance of pixels: as the files say, else as round objects would have it."""
    if facts.ndim == 2:
        return 1.0
    if facts.pixel_size:
        return facts.pixel_size[0] / facts.pixel_size[-1]
    along_z, _, along_x = facts.extra["anisotropy"]
    return float(along_z / along_x)


def scores(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """Average precision over IoU thresholds, panoptic quality, and the bias of count and size."""
    from zcdl_common.metrics import instances

    return instances.scores(truth, prediction.main)


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """The best threshold with a watershed on the training images; see `baselines.separate`."""
    from zcdl_common.baselines.separate import separate

    found = separate(WithTargets(samples, label_image), seed=seed, aspect=aspect(facts))
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def label_output(prediction: Prediction, facts: Facts) -> Output:
    """The label image."""
    return Output(prediction.main, axes(facts), True)


def outputs(prediction: Prediction, config: Any, facts: Facts) -> dict[str, Output]:
    """Images of a prediction by their suffix: labels, and the probability of objects where it comes along.

    ``prediction.extra["probability"]`` is float32 (Z)YX, as large as the image.
    """
    made = {"": label_output(prediction, facts)}
    if "probability" in prediction.extra:
        made["_probability"] = Output(prediction.extra["probability"], axes(facts))
    return made


def files(
    predictions: Sequence[Prediction],
    sources: Iterable[Array],
    facts: Facts,
    pixel_size: Sequence[float] | None,
    folder: Path,
    stem: str,
) -> tuple[list[Path], str]:
    """Write the table of objects, and ROIs for Fiji (2D images) or spots for TrackMate (movies).

    Parameters
    ----------
    predictions, sources
        One a frame; sources are images (Z)YXC. Both may be files that are read in slices.
        ``extra["scores"]``, one number a label from 1, becomes a column of the table.
    pixel_size
        (Z)YX in micrometres.
    folder, stem
        Where the files go, and how their names begin.

    Returns
    -------
    paths : list of Path
        ``<stem>_objects.csv``; ``<stem>_RoiSet.zip`` where a single 2D image shows an object;
        ``<stem>_trackmate.csv`` where there are several frames.
    note : str
        What was not written and why.
    """
    from zcdl_common import tables

    measured = []
    for found, image in zip(predictions, sources, strict=True):
        table = tables.objects(found.main, image, facts.channels, pixel_size)
        if "scores" in found.extra:
            table["score"] = found.extra["scores"][table["label"] - 1]
        measured.append(table)
    movie = len(measured) > 1
    table = tables.frames(measured) if movie else measured[0]
    written = [tables.write_table(folder / f"{stem}_objects.csv", table)]
    if movie:
        spots = tables.trackmate(table, pixel_size)
        written.append(tables.write_table(folder / f"{stem}_trackmate.csv", spots))
    elif facts.ndim == 2 and len(table) > MOST_REGIONS:
        return written, f"no ROIs: {len(table)} objects are more than {MOST_REGIONS}, use table and labels"
    elif facts.ndim == 2 and len(table):
        boxes = table[["label", "y_min_px", "x_min_px", "y_max_px", "x_max_px"]].to_numpy()
        written.append(write_rois(folder / f"{stem}_RoiSet.zip", predictions[0].main, boxes))
    return written, ""


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """What became of the objects; values as in `metrics.instances.kinds`."""
    from zcdl_common.metrics.instances import kinds

    return {"_errors": Output(kinds(truth, prediction.main), axes(facts))}

"""The task of semantic segmentation: masks as class images, their facts, scores and classical method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.fragments import NO_BACKGROUND, not_labels
from zcdl_common.rois import is_roi_file
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample, WithTargets

MOST_CLASSES = 8
"""More values than this in the masks of one data set are taken for numbered objects."""
THRESHOLDS = np.linspace(0.01, 0.99, 99)


def read_mask(sample: Sample) -> Array:
    """Mask values (Z)YX of a sample, as they stand in the file.

    Raises
    ------
    DataError
        The mask has colours or another size than its image, or holds values that are no whole numbers.
    """
    assert sample.target is not None
    mask = np.asarray(sample.target.read())
    name = sample.target.path.name
    size = sample.size
    if mask.ndim == len(size) + 1:
        if mask.shape[-1] > 1 and np.ptp(mask, axis=-1).any():
            raise DataError(
                f"The mask {name} is a colour picture. A mask needs one number a pixel. "
                "Save it as 8-bit grey, or let section 2 repair a copy."
            )
        mask = mask[..., 0]
    if mask.shape != size:
        found, wanted = (" x ".join(map(str, shape)) for shape in (mask.shape, size))
        raise DataError(
            f"The mask {name} is {found} pixels, its image {sample.source.path.name} is {wanted}. Every "
            "pixel of the image needs one of the mask. Export the mask again at the size of the image."
        )
    if mask.dtype.kind == "f":
        if not np.isfinite(mask).all() or (mask != np.round(mask)).any():
            raise DataError(
                f"The mask {name} holds fractions or NaN. A mask needs whole numbers: 0 for background. "
                "Save it as 8-bit or 16-bit."
            )
        mask = mask.astype(np.int64)
    return mask.astype(np.int64) if mask.dtype == bool else mask


def class_image(sample: Sample, facts: Facts) -> Array:
    """Class index int32 (Z)YX: 0 is ``facts.classes[0]``, the background.

    Raises
    ------
    DataError
        The mask holds a value that the training masks do not have.
    """
    mask = read_mask(sample)
    if facts.extra.get("masks_are") == "objects":
        return (mask > 0).astype(np.int32)
    classes = np.asarray(facts.classes)
    order = np.argsort(classes)
    index = order[np.searchsorted(classes, mask, sorter=order).clip(0, len(classes) - 1)]
    unknown = classes[index] != mask
    if unknown.any():
        assert sample.target is not None
        values = sorted({int(v) for v in np.unique(mask[unknown])})[:8]
        raise DataError(
            f"The mask {sample.target.path.name} holds the values {values}, which the training masks do "
            f"not have (they have {list(facts.classes)}). Correct the mask; or, if it is right, add images "
            "that show these values, or set another seed, so that some of them are trained on."
        )
    classified: Array = index.astype(np.int32)
    return classified


def mask_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Classes found in the training masks and the share of pixels that each covers.

    Raises
    ------
    DataError
        No mask holds any foreground.
    """
    counts: dict[int, int] = {}
    sets: Counter[tuple[int, ...]] = Counter()
    single, regions = 0, 0
    for sample in samples:
        mask = read_mask(sample)
        values, numbers = np.unique(mask, return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
        sets[tuple(values.tolist())] += 1
        if config.masks_are == "auto" and len(values) > 2:
            one, all_of_them = _connected(mask, values[values != 0][:50])
            single, regions = single + one, regions + all_of_them
    if len(counts) < 2:
        only = next(iter(counts), 0)
        raise DataError(
            f"All masks in {_folder(samples)} hold one value only ({only}), so there is nothing to tell "
            "apart. A mask needs 0 for background and another number where the structure is. Check the masks."
        )
    found = [v for v in counts if v != 0]
    # numbers of objects differ with their count; classes come back in image after image
    alike = len(samples) > 2 and sets.most_common(1)[0][1] >= 0.8 * len(samples)
    one_each = regions > 2 and single > 0.9 * regions and not alike
    looks_like_objects = len(found) > MOST_CLASSES or one_each
    drawn = any(s.target is not None and is_roi_file(s.target.path) for s in samples)
    objects = config.masks_are == "objects" or (config.masks_are == "auto" and (drawn or looks_like_objects))
    if objects:
        background = counts.get(0, 0)
        if background < NO_BACKGROUND * sum(counts.values()):
            raise DataError(f"{_folder(samples)}: {not_labels('mask', len(found), 0.0)}")
        counts = {0: background, 1: sum(counts.values()) - background}
    elif len(found) > 2 * MOST_CLASSES:
        raise DataError(
            f"The masks hold {len(found)} different values, too many for classes. If every number is one "
            "object, set masks_are = objects. If they are images, use the notebook pix2pix, fnet or care."
        )
    total = sum(counts.values())
    classes = tuple(sorted(counts))
    return {
        "classes": classes,
        "extra": {
            "masks_are": "objects" if objects else "classes",
            "class_shares": {c: counts[c] / total for c in classes},
        },
    }


def _folder(samples: Sequence[Sample]) -> str:
    assert samples[0].target is not None
    return str(samples[0].target.path.parent)


def _connected(mask: Array, values: Array) -> tuple[int, int]:
    """How many of `values` form one connected region in `mask`, and how many there are."""
    from scipy import ndimage

    touching = np.ones((3,) * mask.ndim)  # corners count: many programs number objects that way
    return sum(int(ndimage.label(mask == v, touching)[1] == 1) for v in values), len(values)


def scores(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """IoU, Dice, precision and recall, mean over the foreground classes and for each class."""
    from zcdl_common.metrics import segmentation

    return segmentation.scores(truth, prediction.main, facts.classes)


def decode(probability: Array, threshold: float) -> Prediction:
    """Class image from probabilities (Z)YXK.

    One channel is the probability of foreground. With several, a pixel is foreground where the
    background's share is below ``1 - threshold``, and then takes the likeliest foreground class.
    """
    foreground = foreground_probability(probability)
    if probability.shape[-1] == 1:
        main = (foreground >= threshold).astype(np.int32)
    else:
        main = np.where(foreground >= threshold, 1 + probability[..., 1:].argmax(-1), 0).astype(np.int32)
    return Prediction(main, {"probability": probability})


def foreground_probability(probability: Array) -> Array:
    """Probability (Z)YX of any foreground class."""
    return probability[..., 0] if probability.shape[-1] == 1 else 1.0 - probability[..., 0]


def choose_threshold(
    decode: Callable[..., Prediction],
    outputs: Iterable[tuple[tuple[Array, ...], Array, Sequence[int]]],
    facts: Facts,
) -> dict[str, Any]:
    """Threshold with the best mean IoU of foreground over validation images, and the whole curve."""
    from zcdl_common.metrics import segmentation

    curves = np.stack(
        [
            segmentation.threshold_curve(foreground_probability(maps[0]), truth > 0, THRESHOLDS)
            for maps, truth, _ in outputs
        ]
    )
    best = segmentation.best_threshold(curves, THRESHOLDS)
    mean = np.nanmean(curves, axis=0).tolist() if np.isfinite(curves).any() else []
    return {"threshold": best, "thresholds": THRESHOLDS.tolist(), "curve": mean, "curve_of": "IoU"}


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """The best classical segmentation on the training images; see `baselines.segment`."""
    from zcdl_common.baselines.segment import segment

    found = segment(
        WithTargets(samples, lambda sample: class_image(sample, facts)),
        len(facts.classes),
        seed=seed,
        pixel_size=facts.pixel_size,
    )
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def mask_output(prediction: Prediction, facts: Facts) -> Output:
    """The class image as a mask: 0 and 255 where there are two classes, else the values of the masks."""
    values = [0, 255] if len(facts.classes) == 2 else list(facts.classes)
    dtype = np.uint8 if max(values) < 256 else np.uint16
    return Output(np.asarray(values, dtype)[prediction.main], axes(facts))


def outputs(prediction: Prediction, config: Any, facts: Facts) -> dict[str, Output]:
    """Files of a prediction by their suffix: mask, labels of connected components, probability."""
    made = {}
    if config.output in ("mask", "all"):
        made[""] = mask_output(prediction, facts)
    if config.output in ("labels", "all"):
        made["_labels"] = Output(objects(prediction.main, config.min_object_pixels), axes(facts), True)
    if config.output in ("probability", "all"):
        probability = np.moveaxis(prediction.extra["probability"], -1, -3)
        single = probability.shape[-3] == 1
        made["_probability"] = Output(
            probability.squeeze(-3) if single else probability,
            axes(facts) if single else axes(facts, "C"),
        )
    return made


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """Where a mask is wrong: 0, 1 right back- and foreground, 2 falsely found, 3 missed, 4 other class."""
    found, true = prediction.main > 0, truth > 0
    errors = np.where(found, np.where(true, 1, 2), np.where(true, 3, 0))
    errors[found & true & (prediction.main != truth)] = 4
    return {"_errors": Output(errors.astype(np.uint8), axes(facts))}


def objects(classes: Array, smallest: int = 0) -> Array:
    """Connected pixels of one class as numbered objects, int32 (Z)YX; ones below `smallest` pixels go."""
    from skimage.measure import label

    labels: Array = label(classes, connectivity=1).astype(np.int32)
    if smallest > 1:
        sizes = np.bincount(labels.ravel())
        keep = np.flatnonzero(sizes >= smallest)
        renumber = np.zeros(len(sizes), np.int32)
        renumber[keep[keep > 0]] = np.arange(1, 1 + np.count_nonzero(keep > 0))
        labels = renumber[labels]
    return labels


def axes(facts: Facts, channel: str = "") -> str:
    """Axes of a written image; ImageJ keeps channels between Z and Y."""
    return "ZYX"[-facts.ndim :].replace("YX", f"{channel}YX")

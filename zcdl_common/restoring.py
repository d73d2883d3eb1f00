"""The task of image restoration: clean images as targets, their facts, scores and classical method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.folders import find_files, split_folders
from zcdl_common.images import ImageRef, refuse_gaps
from zcdl_common.pairs import Pairing, pair
from zcdl_common.scales import Fixed, Percentile, in_units
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample, as_float


def open_images(
    sources: Sequence[ImageRef], text: str, parameter: str, mended: Mapping[Path, Path]
) -> tuple[Pairing, tuple[ImageRef, ...]]:
    """Target images in the folder `text` by the names of the images; see `Task.annotations`.

    Several folders, separated by ;, are channels of the targets, named after their folders.

    Raises
    ------
    DataError
        A folder is missing or empty, or only some of several hold the target of an image.
    """
    folders = split_folders(text)
    by_folder = [pair(sources, find_files(folder, parameter)) for folder in folders]
    places = [dict(pairing.pairs) for pairing in by_folder]
    refuse_gaps(parameter, folders, [{image.path: path for image, path in place.items()} for place in places])
    paths = {image: tuple(p[image] for p in places) for image in sources if all(image in p for p in places)}
    pairing = Pairing(
        tuple((image, of[0]) for image, of in paths.items()),
        tuple(image for image in sources if image not in paths),
        tuple(path for one in by_folder for path in one.without_source),
    )
    return pairing, tuple(
        ImageRef(
            tuple(mended.get(path.resolve(), path) for path in of),
            image.axes,
            frame=image.frame,
            region=image.region,
        )
        for image, of in paths.items()
    )


def clean_image(sample: Sample, facts: Facts, word: str = "clean image") -> Array:
    """The clean image of a sample, float32 (Z)YXC, in its own units; errors call it `word`.

    Raises
    ------
    DataError
        It has another size than its image, or other channels than the clean training images.
    """
    assert sample.target is not None
    image = as_float(sample.target.read())
    name, size = sample.target.path.name, sample.size
    if image.shape[:-1] != size:
        found, wanted = (" x ".join(map(str, shape)) for shape in (image.shape[:-1], size))
        raise DataError(
            f"The {word} {name} is {found} pixels, its partner {sample.source.path.name} is {wanted}. "
            "The two must show the same field, pixel by pixel: crop or scale one of them."
        )
    channels = len(facts.extra["target_channels"])
    if image.shape[-1] != channels:
        raise DataError(
            f"The {word} {name} has {image.shape[-1]} channels, the first one of the training has "
            f"{channels}. Save all of them with the same channels."
        )
    if not np.isfinite(image).all():
        raise DataError(
            f"The {word} {name} holds NaN or infinite values, which the network would learn. Replace "
            "them, or let section 2 repair a copy."
        )
    return image


def image_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Channels, type and brightness of the clean training images."""
    targets = [sample.target for sample in samples if sample.target is not None]
    info = targets[0].info()  # type: ignore[attr-defined]
    limits = [Percentile().limits(target.open()) for target in targets]  # type: ignore[attr-defined]
    offset, span = (np.median([one[i] for one in limits], axis=0).tolist() for i in (0, 1))
    return {
        "extra": {
            "target_channels": info.channel_names,
            "target_offset": tuple(offset),
            "target_span": tuple(span),
        }
    }


def output_scale(facts: Facts) -> Fixed:
    """Units of restored images: the middle of the clean training images, each learned in its own range."""
    return Fixed(tuple(facts.extra["target_offset"]), tuple(facts.extra["target_span"]))


def decode(scaled: Array, facts: Facts) -> Prediction:
    """What the network returns (Z)YXK as an image in the units of the clean ones.

    The channels behind those of the image are their uncertainties, in the same units.
    """
    channels = len(facts.extra["target_channels"])
    image = in_units(scaled, output_scale(facts))
    uncertain = image[..., channels:]
    return Prediction(image[..., :channels], {"uncertainty": uncertain} if uncertain.size else {})


def scores(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """PSNR, SSIM, NRMSE and Pearson's r after percentile scaling and a fit of brightness and contrast.

    ``gain`` is the factor of that fit in the units of the clean images, which the other scores do not see.
    Two scores need no truth: the resolution, in nanometres where the pixel size is known, and, of what
    is not the source itself, the share of pixels in which the source does not support it.
    """
    from zcdl_common.metrics import images
    from zcdl_common.metrics.resolution import resolution
    from zcdl_common.metrics.support import support

    image = prediction.main
    found = images.scores(truth, image) | {"gain": images.gain(truth, image)}
    if facts.pixel_size is None:
        found["resolution_px"] = resolution(image)
    else:
        found["resolution_nm"] = 1000 * facts.pixel_size[-1] * resolution(image)
    if not np.array_equal(source, image):
        found["unsupported_percent"] = support(source, image).percent
    return found


def plane_scores(truth: Array, prediction: Prediction, facts: Facts) -> dict[str, Array]:
    """PSNR, SSIM, NRMSE and Pearson's r of every plane of a volume ZYXC, each (Z,).

    Scaled and fitted as the whole volume is, so that its mean squared error is the mean over planes; NRMSE
    is in parts of the range of the volume. NaN where the volume is empty.
    """
    from zcdl_common.metrics import images

    true = images.normalise(truth)
    if not true.any():
        return {key: np.full(len(true), np.nan) for key in ("psnr", "ssim", "nrmse", "pearson_r")}
    fitted = images.fit_to(true, prediction.main)
    span = float(np.ptp(true))
    error = np.sqrt(((fitted - true) ** 2).mean(axis=(1, 2, 3)))
    planes = list(zip(true, fitted, strict=True))
    return {
        "psnr": np.array([images.psnr(a, b, data_range=1.0) for a, b in planes]),
        "ssim": np.array([images.ssim(a, b, data_range=1.0) for a, b in planes]),
        "nrmse": error / span,
        "pearson_r": np.array([images.pearson_r(a, b) for a, b in planes]),
    }


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """The best classical denoiser on the training pairs; see `baselines.denoise`."""
    from zcdl_common.baselines import MOST_IMAGES
    from zcdl_common.baselines.denoise import denoise

    order = np.random.default_rng(seed).permutation(len(samples))[:MOST_IMAGES]
    pairs = [(samples[i].source.read(), clean_image(samples[i], facts)) for i in order]
    found = denoise(pairs, pixel_size=facts.pixel_size)
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def outputs(prediction: Prediction, config: Any, facts: Facts) -> dict[str, Output]:
    """Files of a prediction by their suffix: the image, and what else is known of each of its pixels."""
    return {"": image_output(prediction, facts), **extras(prediction)}


def extras(prediction: Prediction) -> dict[str, Output]:
    """Companions of a predicted image by the suffix of their files."""
    return {f"_{name}": _output(image) for name, image in prediction.extra.items()}


def image_output(prediction: Prediction, facts: Facts) -> Output:
    """The restored image, float32, in the units of the clean images."""
    return _output(prediction.main)


def _output(image: Array) -> Output:
    """An image (Z)YXC as it is written: ImageJ keeps channels between Z and Y."""
    axes = "ZYX"[-(image.ndim - 1) :]
    if image.shape[-1] == 1:
        return Output(image[..., 0], axes)
    return Output(np.moveaxis(image, -1, -3), axes.replace("YX", "CYX"))


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """Where a restored image is wrong, or goes beyond its source.

    Squared error and local SSIM, after the same fit as the scores; and how far restored image and source
    disagree, in standard errors (`metrics.support`). The uncertainty as well, where there is one.
    """
    from zcdl_common.metrics.support import support

    unsupported = _output(support(source, prediction.main).z)
    return extras(prediction) | errors(truth, prediction) | {"_unsupported": unsupported}


def errors(truth: Array, prediction: Prediction) -> dict[str, Output]:
    """Squared error and local SSIM of a predicted image, after the same fit as the scores."""
    from zcdl_common.metrics import images

    true = images.normalise(truth)
    fitted = images.fit_to(true, prediction.main)
    return {
        "_squared_error": _output(((fitted - true) ** 2).astype(np.float32)),
        "_ssim": _output(images.ssim_map(true, fitted, data_range=1.0).astype(np.float32)),
    }

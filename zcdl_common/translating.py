"""The task of image translation: facts of the target images, scores, and the classical method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zcdl_common import restoring
from zcdl_common.errors import DataError
from zcdl_common.scales import Fixed
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample

SCORES = ("pearson_r", "psnr", "ssim", "nrmse", "gain")


def target_image(sample: Sample, facts: Facts) -> Array:
    """The target of a sample, float32 (Z)YXC, in its own units.

    Raises
    ------
    DataError
        It has another size than its image, or other channels than the first target of the training.
    """
    assert sample.target is not None
    size, info = sample.size, getattr(sample.target, "info", None)
    if info is not None and len(info().shape) == 2 and len(size) == 3:
        raise DataError(
            f"{sample.source.path.name} is a stack of {size[0]} planes, its target {sample.target.path.name} "
            "a single plane. To predict one plane from all of them, set axes = CYX: each plane of the stack "
            "then is a channel of a 2D image."
        )
    return restoring.clean_image(sample, facts, "target image")


def standard_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Channels of the target images, and mean and standard deviation of all their pixels."""
    return _facts(samples, Fixed.mean_std)


def range_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Channels of the target images, and the range of their values, from -1 to 1 once it is taken off.

    A thousandth of the pixels at either end may lie outside: a single hot pixel would decide otherwise.
    """
    return _facts(samples, value_range)


def value_range(images: Sequence[Any]) -> Fixed:
    """Scale that takes nearly all values of images (Z)YXC to -1 to 1, channel by channel."""
    found = Fixed.percentiles(images, 0.1, 99.9)
    middle = [low + span / 2 for low, span in zip(found.mean, found.std, strict=True)]
    return Fixed(tuple(middle), tuple(span / 2 for span in found.std))


def _facts(samples: Sequence[Sample], scale: Any) -> dict[str, Any]:
    targets = [sample.target for sample in samples if sample.target is not None]
    fixed = scale([target.open() for target in targets])  # type: ignore[attr-defined]
    return {
        "extra": {
            "target_channels": targets[0].info().channel_names,  # type: ignore[attr-defined]
            "target_offset": fixed.mean,
            "target_span": fixed.std,
        }
    }


def scores(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """Pearson's r, PSNR, SSIM, NRMSE and gain, of each target channel by itself and then their mean.

    Brightness and contrast are fitted first, as for restored images, and the gain is the factor of that fit.
    Taken together, channels of unequal brightness would correlate by their differences alone. Channels
    without contrast in the truth are left out; all are NaN where none has any. Where there are several,
    Pearson's r is also given for each. ``pearson_r_limit`` is what a perfect prediction would reach, for the
    noise in the truth; NaN where that cannot be told.
    """
    from zcdl_common.metrics.noise import highest_pearson_r

    names = facts.extra["target_channels"]
    each = [
        _channel_scores(truth[..., c : c + 1], prediction.main[..., c : c + 1]) for c in range(len(names))
    ]
    known = [c for c, one in enumerate(each) if not np.isnan(one["psnr"])] or range(len(names))
    found = {key: float(np.mean([each[c][key] for c in known])) for key in SCORES}
    found["pearson_r_limit"] = float(np.mean([highest_pearson_r(truth[..., c]) for c in known]))
    if len(names) > 1:
        found |= {f"pearson_r_{name}": one["pearson_r"] for name, one in zip(names, each, strict=True)}
    if "disagreement" in prediction.extra:
        found["disagreement"] = unsteadiness(prediction)
    return found


def _channel_scores(truth: Array, found: Array) -> dict[str, float]:
    """Scores of one channel (Z)YX1; Pearson's r with its sign, since an inverted image is no good one."""
    from zcdl_common.metrics import images

    own = {"pearson_r": images.mean_pearson_r(truth, found), "gain": images.gain(truth, found)}
    return images.scores(truth, found) | own


def plane_scores(truth: Array, prediction: Prediction, facts: Facts) -> dict[str, Array]:
    """Scores of every plane of a volume ZYXC, each (Z,), means over channels; as `restoring.plane_scores`.

    Channels without contrast in the truth are left out. Pearson's r has its sign, as for whole images.
    """
    from zcdl_common.metrics import images

    each = []
    for c in range(truth.shape[-1]):
        true, found = truth[..., c : c + 1], prediction.main[..., c : c + 1]
        r = [images.mean_pearson_r(*planes) for planes in zip(true, found, strict=True)]
        each.append({**restoring.plane_scores(true, Prediction(found), facts), "pearson_r": np.array(r)})
    known = [one for one in each if not np.isnan(one["psnr"]).all()] or each
    return {key: np.mean([one[key] for one in known], axis=0) for key in each[0]}


def unsteadiness(prediction: Prediction) -> float:
    """Root mean square of the disagreement, in standard deviations of the predicted image; 0 is steady."""
    axes = tuple(range(prediction.main.ndim - 1))
    spread = np.sqrt((prediction.extra["disagreement"].astype(float) ** 2).mean(axes))
    contrast = prediction.main.astype(float).std(axes)
    return float(np.mean(spread / np.where(contrast > 0, contrast, np.inf)))


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """The best regression of each pixel on filters of several scales; see `baselines.regress`."""
    from zcdl_common.baselines import MOST_IMAGES
    from zcdl_common.baselines.regress import regress

    order = np.random.default_rng(seed).permutation(len(samples))[:MOST_IMAGES]
    pairs = [(samples[i].source.read(), target_image(samples[i], facts)) for i in order]
    found = regress(pairs, pixel_size=facts.pixel_size, seed=seed)
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """Where a predicted image is wrong, and where it changes as the image is turned.

    Squared error and local SSIM are taken after the same fit as the scores.
    """
    return restoring.extras(prediction) | restoring.errors(truth, prediction)

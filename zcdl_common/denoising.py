"""The task of denoising without clean images: facts of the noisy ones, what was removed, classical method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zcdl_common import restoring
from zcdl_common.scales import Fixed
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample


def noise_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Mean and standard deviation of the noisy images, which are what the network learns to predict."""
    info = samples[0].source.info()  # type: ignore[attr-defined]
    scale = Fixed.mean_std([sample.source.open() for sample in samples])  # type: ignore[attr-defined]
    return {
        "extra": {
            "target_channels": info.channel_names,
            "target_offset": scale.mean,
            "target_span": scale.std,
        }
    }


def scores(truth: Array | None, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """Statistics of what was removed and, where there is a truth, the scores of restoration.

    Clean images may have been exposed otherwise, which is no fault of a result: its gain is left out.
    """
    from zcdl_common.metrics import residuals

    found = {} if truth is None else restoring.scores(truth, prediction, facts, source)
    found.pop("gain", None)
    return found | residuals.scores(source, prediction.main)


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """The best classical denoiser, calibrated on the noisy images; see `baselines.selfsupervised`."""
    from zcdl_common.baselines import MOST_IMAGES
    from zcdl_common.baselines.selfsupervised import denoise

    order = np.random.default_rng(seed).permutation(len(samples))[:MOST_IMAGES]
    found = denoise([samples[i].source.read() for i in order], pixel_size=facts.pixel_size)
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def error_maps(truth: Array | None, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """What was removed, in the units of the image and, where there is a truth, the maps of restoration."""
    removed = source.astype(np.float32) - prediction.main
    made = {"_removed": restoring.image_output(Prediction(removed), facts)}
    return made if truth is None else made | restoring.error_maps(truth, prediction, facts, source)

"""The task of translation without pairs: facts of both domains, scores without a truth, classical method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zcdl_common import restoring, translating
from zcdl_common.errors import DataError
from zcdl_common.metrics.domain import Domain, domain_of, evenly, tells_spread
from zcdl_common.metrics.statistics import Interval
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample

OF_DOMAIN = ("channels", "offset", "span", "pixel_size", "shapes", "dtype")
"""What is known of either domain: ``source_channels``, ``target_channels`` and so on in `Facts.extra`."""


def domain_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Channels, range and pixel size of either domain.

    Raises
    ------
    DataError
        The images of one domain differ in channels, or any of them in dimension; or those that train are too
        few and small to say how alike images of their kind are, which is what results are measured by.
    """
    extra: dict[str, Any] = {}
    for domain in ("source", "target"):
        own = [sample.source for sample in samples if sample.domain == domain]
        infos = [image.info() for image in own]  # type: ignore[attr-defined]
        odd = next((i for i, info in enumerate(infos) if info.channels != infos[0].channels), None)
        odd = odd or next((i for i, f in enumerate(infos) if len(f.shape) != len(infos[0].shape)), None)
        if odd is not None:
            raise DataError(
                f"{own[odd].path.name} has other channels or dimensions than {own[0].path.name}. All images "
                "of a folder need the same ones; choose some channels, for example "
                f"{'target_channels' if domain == 'target' else 'channels'} = 0."
            )
        scale = translating.value_range([image.open() for image in own])  # type: ignore[attr-defined]
        sizes = {info.pixel_size for info in infos}
        found = (
            infos[0].channel_names,
            scale.mean,
            scale.std,
            sizes.pop() if len(sizes) == 1 else None,
            tuple(info.shape for info in infos),
            infos[0].dtype,
        )
        extra |= {f"{domain}_{name}": value for name, value in zip(OF_DOMAIN, found, strict=True)}
    one, other = (len(extra[f"{domain}_shapes"][0]) for domain in ("source", "target"))
    if one != other:
        raise DataError(
            f"The source images are {one}D and the images of the other kind {other}D. Planes become planes: "
            "set axes = TYX to learn from each plane of the stacks by itself, or save single planes."
        )
    for domain in ("source", "target"):
        if not tells_spread(shapes := extra[f"{domain}_shapes"]):
            path = next(sample.source.path for sample in samples if sample.domain == domain)
            raise DataError(
                f"{path.parent}: one image of {shapes[0][-2]} x {shapes[0][-1]} pixels is left to learn from "
                f"({path.name}; others are held out). A single small image does not tell how alike images of "
                "its kind are, so section 6 could judge nothing. Add images, or use larger ones, of more "
                "than 96 pixels a side."
            )
    return {"extra": extra}


def wanted(samples: Sequence[Sample], facts: Facts) -> tuple[list[Sample], list[Sample]]:
    """Images that are translated, and images of the kind they are to become, as the facts see it."""
    here = [sample for sample in samples if sample.domain == facts.domain]
    return here, [sample for sample in samples if sample.domain != facts.domain]


class Real(NamedTuple):
    """Training images of the other domain, and what they look like."""

    images: list[Array]
    domain: Domain


def reference(samples: Sequence[Sample], facts: Facts) -> Real:
    """What translated images should look like: at most 100 training images of the other domain."""
    there = wanted(samples, facts)[1]
    chosen = evenly(there)
    images = [sample.source.read() for sample in chosen]
    return Real(images, domain_of(images, groups=[sample.group for sample in chosen]))


def scores(
    truth: Array | None, prediction: Prediction, facts: Facts, source: Array, reference: Real
) -> dict[str, float]:
    """How unlike the other domain the image looks, and how much is lost on the way there and back.

    Where a true partner is known, Pearson's r, PSNR, SSIM and NRMSE as well.
    """
    from zcdl_common.metrics.distributions import cycle_error, distance_to_set

    found = {"feature_distance": distance_to_set(prediction.main, reference.domain)}
    if "back" in prediction.extra:
        span = 2 * np.asarray(facts.extra["source_span"])  # -1 to 1
        found["cycle_error"] = cycle_error(source, prediction.extra["back"], span)
    if truth is not None:
        found |= translating.scores(truth, prediction, facts, source)
    elif "disagreement" in prediction.extra:
        found["disagreement"] = translating.unsteadiness(prediction)
    return found


def set_scores(
    truths: Sequence[Array | None],
    predictions: Sequence[Prediction],
    facts: Facts,
    *,
    reference: Real,
    groups: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Interval]:
    """All results together: as a set, and in the distribution of their intensities; without intervals."""
    from zcdl_common.metrics.distributions import feature_distance, intensity_distance

    images = [prediction.main for prediction in predictions]
    return {
        "set_distance": Interval(feature_distance(images, reference.domain, groups=groups)),
        "intensity_distance": Interval(intensity_distance(images, reference.images)),
    }


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """Colours and brightness of the other domain; see `baselines.recolour`, which learns from a few."""
    from zcdl_common.baselines.recolour import LEARNED_FROM, recolour

    rng = np.random.default_rng(seed)
    here, there = (
        [part[i] for i in rng.permutation(len(part))[:LEARNED_FROM]] for part in wanted(samples, facts)
    )
    images = ([sample.source.read() for sample in part] for part in (here, there))
    found = recolour(*images, groups=[sample.group for sample in there], seed=seed)
    return Baseline(found.name, found.description, lambda image: Prediction(found.predict(image)))


def error_maps(truth: Array | None, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """The image after its way there and back, and where the translation changes as the image is turned.

    Where a true partner is known, also where it is wrong.
    """
    made = restoring.extras(prediction)
    return made if truth is None else made | restoring.errors(truth, prediction)

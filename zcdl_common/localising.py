"""The task of single-molecule localisation: positions in frames, their facts, scores and classical method.

Scores are taken at a matching radius of 250 nm unless their name says 100 or 50 nm. At 6 emitters a square
micrometre random points alone reach a Jaccard index above 0.3 at 250 nm, hence the tighter radii.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics import localisation, localisation_intervals
from zcdl_common.metrics.detection_confidence import STEPS
from zcdl_common.metrics.statistics import Comparison, Interval
from zcdl_common.scales import Fixed
from zcdl_common.smlm.localisations import Localisations, nanometres, of_frames
from zcdl_common.task import Array, Baseline, Facts, Output, Prediction, Sample

TIGHT = (100, 50)
"""Nanometres of further matching radii."""
COLUMNS = {"scores": "confidence", "photons": "photons", "error": "uncertainty", "uncertainty": "uncertainty"}
"""Companions of a prediction, and what they are in a table of localisations. A network that says nothing of
single positions has one ``error``, that of all on validation frames."""


def points_of(sample: Sample, facts: Facts) -> Array:
    """True positions of a frame float32 (N, 2): y, x in camera pixels, pixel i covers [i, i + 1).

    Those beyond the frame are left out.
    """
    assert sample.target is not None
    points = np.asarray(sample.target.read().yx, np.float32).reshape(-1, 2)
    return points[((points >= 0) & (points < sample.size)).all(axis=1)]


def point_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Light and molecules of the training frames.

    Returns
    -------
    dict
        In ``extra``: ``source_mean`` and ``source_sd`` of all pixels, (C,) each; ``frames`` and ``emitters``,
        their numbers, where positions are known; ``density`` and ``densest``, emitters a square micrometre in
        the mean frame and in the fullest.

    Raises
    ------
    DataError
        Positions are known, and there is none in any frame.
    """
    scale = Fixed.mean_std([sample.source.open() for sample in samples])  # type: ignore[attr-defined]
    extra: dict[str, Any] = {"source_mean": scale.mean, "source_sd": scale.std}
    known = [sample for sample in samples if sample.target is not None]
    if not known:
        return {"extra": extra}
    numbers = np.array([len(sample.target.read()) for sample in known])  # type: ignore[union-attr]
    if not numbers.any():
        raise DataError(
            f"The tables hold no position in any of the {len(known)} training frames. Check that they belong "
            "to these movies, and that frames are numbered alike in both."
        )
    side = nanometres(known[0].source.info().pixel_size) / 1000  # type: ignore[attr-defined]
    areas = np.array([np.prod(sample.size) for sample in known]) * np.prod(side)
    return {
        "extra": extra
        | {
            "frames": len(known),
            "emitters": int(numbers.sum()),
            "density": float(numbers.sum() / areas.sum()),
            "densest": float((numbers / areas).max()),
        }
    }


def scores(truth: Array | None, prediction: Prediction, facts: Facts, source: Array) -> dict[str, float]:
    """Scores of one frame at a matching radius of 250 nm unless said; without a truth only ``n_found``.

    Returns
    -------
    dict
        ``jaccard``, ``recall``, ``precision`` in [0, 1] and ``rmse_nm`` at 250 nm; ``jaccard_100`` and
        ``jaccard_50`` at 100 and 50 nm; ``n_true`` and ``n_found``. Random points alone reach a Jaccard index
        above 0.3 at 250 nm at 6 emitters a square micrometre, hence the tighter radii.
    """
    if truth is None:
        return {"n_found": len(prediction.main)}
    assert facts.pixel_size is not None
    true, found = of_frames([truth]), stacked([prediction])
    wide = localisation.scores(true, found, facts.pixel_size)
    tight = {
        f"jaccard_{radius}": localisation.scores(true, found, facts.pixel_size, radius)["jaccard"]
        for radius in TIGHT
    }
    names = ("jaccard", "recall", "precision", "rmse_nm")
    return {name: wide[name] for name in names} | tight | {key: wide[key] for key in ("n_true", "n_found")}


def set_scores(
    truths: Sequence[Array | None],
    predictions: Sequence[Prediction],
    facts: Facts,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    reference: None = None,
) -> dict[str, Interval]:
    """Scores of all frames together, with intervals over groups of frames; see `scores` for the radii.

    Also ``shift_y_nm`` and ``shift_x_nm``, mean found minus true position at 250 nm: half a pixel there is a
    table that counts pixels otherwise. Without any truth there are none.
    """
    known, groups = with_truth(truths, groups)
    if not len(known):
        return {}
    how: dict[str, Any] = {"groups": groups, "seed": seed}
    found = localisation_intervals.intervals(counts(truths, predictions, facts), **how)
    for radius in TIGHT:
        tight = localisation_intervals.intervals(counts(truths, predictions, facts, radius), **how)
        found[f"jaccard_{radius}"] = tight["jaccard"]
    return found


def set_comparison(
    truths: Sequence[Array | None],
    network: Sequence[Prediction],
    classical: Sequence[Prediction],
    facts: Facts,
    *,
    groups: Sequence[str] | None = None,
    **how: Any,
) -> Comparison:
    """Network and classical method by the Jaccard index at 250 nm of all frames together."""
    _, groups = with_truth(truths, groups)
    ours, theirs = (counts(truths, said, facts) for said in (network, classical))
    return localisation_intervals.compare(ours, theirs, groups=groups, **how)


def with_truth(
    truths: Sequence[Array | None], groups: Sequence[str] | None
) -> tuple[list[int], list[str] | None]:
    """Numbers of the frames whose truth is known, and their groups."""
    known = [number for number, truth in enumerate(truths) if truth is not None]
    return known, None if groups is None else [groups[number] for number in known]


def counts(
    truths: Sequence[Array | None],
    predictions: Sequence[Prediction],
    facts: Facts,
    radius: float = localisation.RADIUS,
) -> Array:
    """What became of the positions of each frame with a truth, as `localisation_intervals.count` says it."""
    assert facts.pixel_size is not None
    pairs = [(t, p) for t, p in zip(truths, predictions, strict=True) if t is not None]
    true, found = of_frames([t for t, _ in pairs]), stacked([p for _, p in pairs])
    return localisation_intervals.count(true, found, facts.pixel_size, len(pairs), radius)


def stacked(predictions: Sequence[Prediction]) -> Localisations:
    """Predictions of frames as one record, with those companions that all of them have."""
    companions = {
        column: [p.extra[name] for p in predictions]
        for name, column in COLUMNS.items()
        if predictions and all(name in p.extra for p in predictions)
    }
    return of_frames([p.main for p in predictions], **companions)


def choose_settings(
    decode: Callable[..., Prediction],
    outputs: Iterable[tuple[tuple[Array, ...], Array, Sequence[int]]],
    facts: Facts,
) -> dict[str, Any]:
    """``threshold`` with the best Jaccard index at 250 nm of all validation frames together.

    Each frame is decoded once, at the lowest threshold; those of a higher one are the same positions without
    the less sure. Of equally good thresholds the middle one is taken.

    Returns
    -------
    dict
        Also the whole ``curve`` over ``thresholds``, and what it is a ``curve_of``; and ``error_px``, the
        standard deviation in pixels along an axis of the positions that lie within 100 nm of a true one.
        Empty without frames.
    """
    assert facts.pixel_size is not None
    truths, said = [], []
    for maps, truth, shape in outputs:
        truths.append(truth)
        said.append(decode(maps, {"threshold": float(STEPS[0]), "shape": shape}))
    if not said:
        return {}
    true, found = of_frames(truths), stacked(said)
    curve = localisation.sweep(true, found, facts.pixel_size, STEPS)
    best = np.flatnonzero(curve == curve.max())
    threshold = float(STEPS[best[len(best) // 2]])
    assert found.confidence is not None
    sure = found.select(found.confidence >= threshold)
    off = localisation.match(true, sure, facts.pixel_size, TIGHT[0]).error / nanometres(facts.pixel_size)
    return {
        "threshold": threshold,
        "error_px": float(np.sqrt(np.mean(off**2))) if len(off) else None,
        "thresholds": STEPS.tolist(),
        "curve": curve.tolist(),
        "curve_of": "Jaccard index at 250 nm",
    }


def baseline(samples: Sequence[Sample], facts: Facts, seed: int) -> Baseline:
    """A filter and a fit tuned on training frames with known positions; see `baselines.localise`.

    It knows the camera, ``camera`` in ``facts.extra``: its predictions have "photons" and "uncertainty"
    (pixels) beside "scores".
    """
    from zcdl_common.baselines.emitters import Calibration
    from zcdl_common.baselines.localise import MOST_FRAMES, localise

    assert facts.pixel_size is not None
    known = [sample for sample in samples if sample.target is not None]
    (size, _), *_ = Counter(sample.size for sample in known).most_common(1) or [((0, 0), 0)]
    alike = [sample for sample in known if sample.size == size]  # one stack has frames of one size
    order = np.random.default_rng(seed).permutation(len(alike))[:MOST_FRAMES]
    chosen = [alike[number] for number in np.sort(order)]
    truth = of_frames([points_of(sample, facts) for sample in chosen])
    found = localise(
        np.stack([sample.source.read() for sample in chosen]) if chosen else np.zeros((0, *size)),
        np.column_stack([truth.frame, truth.yx]),
        float(np.mean(facts.pixel_size[-2:])),
        seed=seed,
        camera=Calibration(**facts.extra["camera"]),
    )

    def predict(frame: Array) -> Prediction:
        said = found.predict(frame[None])
        return Prediction(said.main[:, 1:], said.extra)

    return found._replace(predict=predict)


def error_maps(truth: Array, prediction: Prediction, facts: Facts, source: Array) -> dict[str, Output]:
    """None: the errors of positions are drawn, not painted."""
    return {}


def outputs(prediction: Prediction, config: Any, facts: Facts) -> dict[str, Output]:
    """None: positions are no image; see `localised.files`."""
    return {}

"""Means, intervals, and a plain word whether the network is any better, from the scores of the images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from zcdl_common.advice import found_nothing
from zcdl_common.metrics import residuals, statistics
from zcdl_common.network import DIRECTIONS
from zcdl_common.plots import metric_label
from zcdl_common.run import Run
from zcdl_common.task import Array, Baseline, Prediction, resolve

SECOND = {"psnr": "ssim"}
"""Score that is named beside the primary one where the two judge differently."""
MATTERS = 0.005
"""Difference of the second score below which it agrees."""
UNKNOWN = "Without clean images nobody can say how near the result is to the truth."
NOISELESS = 0.995
"""Limit of Pearson's r from which noise is no excuse: it would be written as 1.00."""
LOOKS = "That a translation looks real proves nothing: it may show what is not in the sample."
LEARNED = "These are images that the network learned from, as is usual for this method."


class Together(NamedTuple):
    """Scores of all test images together."""

    metrics: Mapping[str, Any] = MappingProxyType({})
    """As they stand in a summary."""
    comparison: statistics.Comparison | None = None
    """By the primary metric, where that is such a score."""


NOTHING = Together()


def of_sets(
    run: Run,
    said: Sequence[Mapping[str, Prediction]],
    truths: Sequence[Array | None],
    groups: Sequence[str],
    reference: Any,
) -> Together:
    """Scores of all results of a method together; `said` holds what each method says of each image."""
    task, facts = run.network.task, run.facts
    how: dict[str, Any] = {"groups": groups, "seed": run.config.seed}
    by_method = {name: [one[name] for one in said] for name in said[0]}
    found, comparison = {}, None
    if task.set_scores:
        score = partial(resolve(task.set_scores), reference=reference, **how)
        found = {name: score(truths, results, facts) for name, results in by_method.items()}
    if task.set_comparison:
        both = by_method["network"], by_method["classical"]
        compare = resolve(task.set_comparison)
        comparison = compare(truths, *both, facts, margin=run.network.margin, **how)
    metrics = {
        metric: {
            who: found[who][metric].record() if who in found else None
            for who in ("network", "classical", "input")
        }
        for metric, value in found.get("network", {}).items()
        if not math.isnan(value.mean)
    }
    return Together(metrics, comparison)


def summarise(
    run: Run,
    table: pd.DataFrame,
    groups: list[str],
    baseline: Baseline,
    learned: bool = False,
    sets: Together = NOTHING,
) -> dict[str, Any]:
    """Means, intervals and the verdict, as summary.json holds them; without a truth there is no verdict.

    Scores of all images together, `sets`, take the place of a mean of the same name.
    """
    primary, seed = run.network.primary, run.config.seed

    def of(column: str) -> dict[str, Any] | None:
        if column not in table:
            return None
        return statistics.bootstrap(table[column].to_numpy(), groups=groups, seed=seed).record()

    # numbers of each class in each image are for metrics.csv; how far they are off is a score of the set
    aside = ("classical_", "input_", "n_true_", "n_found_")
    names = [c for c in table.columns if c != "image" and not c.startswith(aside)]
    nothing = found_nothing(run, table)
    verdict, sentence = None, f"{UNKNOWN} {residuals.sentence(table, baseline.name)}"
    if primary in table:
        unit = "image" if learned else "test image"
        verdict, sentence = _verdict(run, table, groups, baseline.name, unit, sets.comparison)
        if nothing:
            together = sets.comparison
            mean = together.classical.mean if together else float(table[f"classical_{primary}"].mean())
            verdict = "worse" if mean > 0 else verdict
            score = f"{metric_label(primary)} {mean:.{statistics.decimals(mean)}f}"
            sentence = f"{nothing} The classical method ({baseline.name}): {score}."
        if not run.network.task.paired:
            sentence = f"{sentence} {LOOKS}"
        if "test is on simulated frames" in run.split_note:
            sentence += " This was judged on simulated frames: it holds as far as your movies are like them."
        if "strips" in run.split_note:
            sentence = "One field of view: this shows how it works, not how good it is. " + sentence
    if learned:
        sentence = f"{LEARNED} {sentence}"
    direction = DIRECTIONS[run.facts.domain] if run.network.facing else None
    if direction:
        sentence = f"From {direction}: {sentence}"
    return {
        "network": run.network.name,
        "task": run.network.task.name,
        "direction": direction,
        "n_images": len(table),
        "epochs": len(run.history()),
        "primary": primary if primary in table else None,
        "metrics": {
            name: {"network": of(name), "classical": of(f"classical_{name}"), "input": of(f"input_{name}")}
            for name in names
        }
        | dict(sets.metrics),
        "verdict": verdict,
        "found_nothing": bool(nothing),
        "learned_from": learned,
        "sentence": sentence,
        "classical": baseline.name,
        "classical_description": baseline.description,
        "split": run.split_note,
    }


def _verdict(
    run: Run,
    table: pd.DataFrame,
    groups: list[str],
    classical: str,
    unit: str,
    comparison: statistics.Comparison | None = None,
) -> tuple[statistics.Verdict, str]:
    """Network and classical method by the primary score; in words also by the second, and the input."""
    primary, seed = run.network.primary, run.config.seed

    def compared(score: str, **how: Any) -> statistics.Comparison:
        columns = (table[f"{who}{score}"].to_numpy() for who in ("", "classical_"))
        return statistics.compare(*columns, groups=groups, seed=seed, **how)

    first = comparison or compared(
        primary, margin=run.network.margin, higher_is_better=run.network.higher_is_better
    )
    said = [statistics.sentence(first, metric_label(primary), classical, unit)]
    if (other := SECOND.get(primary, "")) in table:
        said.append(statistics.disagreement(first, compared(other, margin=MATTERS), metric_label(other)))
    said += [
        _beside_input(run, table),
        _inverted_input(table),
        _limit(table) if primary == "pearson_r" else "",
    ]
    return first.verdict, " ".join(filter(None, said))


def _beside_input(run: Run, table: pd.DataFrame) -> str:
    """Say where a network does not improve its input by as much as matters."""
    primary = run.network.primary
    if f"input_{primary}" not in table:
        return ""
    untouched = float(table[f"input_{primary}"].mean())
    gain = float((table[primary] - table[f"input_{primary}"]).mean())
    gain, margin = gain if run.network.higher_is_better else -gain, run.network.margin
    if not gain < margin:
        return ""
    score = f"{untouched:.{statistics.decimals(untouched)}f}"
    how = "worse" if gain < -margin else "no better"
    return f"It is {how} than the untouched input ({score}): as it is, the network does not help."


def _inverted_input(table: pd.DataFrame) -> str:
    """Say where the untouched input is no rival, since its contrast is inverted: nothing of it is fitted."""
    if "input_gain" not in table or table["input_gain"].median() != 0:
        return ""
    return "The untouched input is inverted: in PSNR, SSIM and NRMSE it counts as a flat image."


def _limit(table: pd.DataFrame) -> str:
    """Say what the noise of the targets alone leaves to be reached."""
    if "pearson_r_limit" not in table:
        return ""
    known = table[["pearson_r", "pearson_r_limit"]].dropna()
    reached, limit = (float(mean) for mean in known.mean())
    if known.empty or limit <= reached or limit >= NOISELESS:  # at or below: it was estimated too low
        return ""
    return (
        f"Estimated from neighbouring pixels, noise of the target images leaves room up to about {limit:.2f}."
    )

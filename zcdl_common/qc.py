"""Quality control: network, classical method and truth on images the network never saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from zcdl_common import predict as use
from zcdl_common.advice import next_steps
from zcdl_common.data import Data
from zcdl_common.errors import RunError
from zcdl_common.files import replacing, write_text
from zcdl_common.metrics import statistics
from zcdl_common.network import Model
from zcdl_common.plots import metric_label
from zcdl_common.run import Run
from zcdl_common.task import Array, Baseline, Prediction, Sample, resolve

Say = Callable[[str], None]


@dataclass
class Judged:
    """One test image with all that was said about it."""

    sample: Sample
    source: Array
    truth: Array
    network: Prediction
    classical: Prediction
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Metrics by method: network, classical and, where it makes sense, input."""


def judge(run: Run, data: Data, say: Say = print) -> dict[str, Any]:
    """Score a trained run on its test images; writes ``quality_control`` and returns the summary.

    Raises
    ------
    RunError
        There are no weights, or no test images with targets.
    """
    test = [sample for sample in data.split.test if sample.target is not None]
    if not test:
        raise RunError(
            "There are no test images with known truth, so nothing can be judged. Name folders under "
            "test_source and test_target, or hold some of at least 3 images out with test_fraction = 0.15."
        )
    model = run.load()
    folder = run.quality_control
    folder.mkdir(exist_ok=True)
    settings = choose_settings(run, model, data, say)
    say("tuning the classical method on training images ...")
    baseline: Baseline = resolve(run.network.task.baseline)(data.split.train, run.facts, run.config.seed)
    say(f"classical method: {baseline.name}")
    judged = []
    for n, sample in enumerate(test, 1):
        say(f"judging {sample.name} ({n} of {len(test)})")
        judged.append(judge_one(run, model, baseline, settings, sample))
    table = table_of(judged)
    with replacing(folder / "metrics.csv") as temporary:
        table.to_csv(temporary, index=False)
    summary = summarise(run, table, [j.sample.group for j in judged], baseline)
    summary["threshold"] = settings.get("threshold")
    summary["next"] = next_steps(run, table, summary)
    write_text(folder / "summary.json", json.dumps(summary, indent=1))
    draw(run, judged, table, summary, settings)
    return summary


def choose_settings(run: Run, model: Model, data: Data, say: Say = print) -> dict[str, Any]:
    """Decoding settings from the validation images, recorded for prediction and export."""
    say("choosing the threshold on the validation images ...")
    task = run.network.task
    outputs = (  # one at a time: probabilities of many images would not fit memory
        (use.maps(run, model, sample.source.read()), task.read_target(sample, run.facts))
        for sample in data.split.validation
    )
    chosen: dict[str, Any] = resolve(task.settings)(model.decode, outputs, run.facts)
    write_text(run.quality_control / "settings.json", json.dumps(chosen))
    return run.settings()


def judge_one(run: Run, model: Model, baseline: Baseline, settings: dict[str, Any], sample: Sample) -> Judged:
    """Predict and score one image by every method."""
    task = run.network.task
    scores = resolve(task.scores)
    source, truth = sample.source.read(), task.read_target(sample, run.facts)
    judged = Judged(
        sample, source, truth, use.predict(run, model, source, settings), baseline.predict(source)
    )
    methods = {"network": judged.network, "classical": judged.classical}
    if task.input_is_prediction:
        methods["input"] = Prediction(source)
    judged.scores = {name: scores(truth, method, run.facts) for name, method in methods.items()}
    return judged


def table_of(judged: list[Judged]) -> pd.DataFrame:
    """A row an image; columns of other methods than the network carry their name."""
    rows = []
    for j in judged:
        row: dict[str, Any] = {"image": j.sample.name}
        for method, scores in j.scores.items():
            row |= {k if method == "network" else f"{method}_{k}": v for k, v in scores.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def summarise(run: Run, table: pd.DataFrame, groups: list[str], baseline: Baseline) -> dict[str, Any]:
    """Means, intervals and the verdict, as summary.json holds them."""
    primary, seed = run.network.primary, run.config.seed

    def of(column: str) -> dict[str, Any] | None:
        if column not in table:
            return None
        return statistics.bootstrap(table[column].to_numpy(), groups=groups, seed=seed).record()

    names = [c for c in table.columns if f"classical_{c}" in table]
    compared = statistics.compare(
        table[primary].to_numpy(), table[f"classical_{primary}"].to_numpy(),
        margin=run.network.margin, higher_is_better=run.network.higher_is_better, groups=groups, seed=seed,
    )  # fmt: skip
    sentence = statistics.sentence(compared, metric_label(primary), baseline.name)
    if "strips" in run.split_note:
        sentence = "One field of view: this shows how it works, not how good it is. " + sentence
    return {
        "network": run.network.name,
        "task": run.network.task.name,
        "n_images": len(table),
        "epochs": len(run.history()),
        "primary": primary,
        "metrics": {
            name: {"network": of(name), "classical": of(f"classical_{name}"), "input": of(f"input_{name}")}
            for name in names
        },
        "verdict": compared.verdict,
        "sentence": sentence,
        "classical": baseline.name,
        "classical_description": baseline.description,
        "split": run.split_note,
    }


def draw(
    run: Run, judged: list[Judged], table: pd.DataFrame, summary: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Figures of quality control, and a map of errors for every test image."""
    from zcdl_common import plots

    figures, primary = run.quality_control / "figures", run.network.primary
    examples = [
        plots.Example(
            name=j.sample.name,
            source=j.source,
            network=j.network.main,
            truth=j.truth,
            classical=j.classical.main,
            score=j.scores["network"][primary],
            classical_score=j.scores["classical"][primary],
        )
        for j in judged
    ]
    style: dict[str, Any] = {"metric": primary, "pixel_size": run.facts.pixel_size}
    style["draw"] = resolve(run.network.task.picture)
    shown = plots.examples(examples[:4], classical=summary["classical"], **style)
    plots.save(shown, figures / "examples.png")
    plots.save(plots.worst(examples, **style), figures / "worst.png")
    plots.save(plots.scores(table, summary), figures / "scores.png")
    if "thresholds" in settings:
        curve = plots.threshold_curve(settings["thresholds"], settings["iou"], settings["threshold"], primary)
        plots.save(curve, figures / "threshold_curve.png")
    save_maps(run, judged, run.quality_control / "maps")


def save_maps(run: Run, judged: list[Judged], folder: Path) -> None:
    """Error maps of every test image, as the task draws them."""
    from zcdl_common.writers import write_image

    error_maps = resolve(run.network.task.error_maps)
    for j in judged:
        for suffix, made in error_maps(j.truth, j.network, run.facts).items():
            write_image(
                folder / f"{j.sample.name}{suffix}", made.array, made.axes, pixel_size=run.facts.pixel_size
            )

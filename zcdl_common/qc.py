"""Quality control: network, classical method and truth on images the network never saw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zcdl_common import kept, likeness
from zcdl_common import predict as use
from zcdl_common.advice import MOST, next_steps
from zcdl_common.data import Data
from zcdl_common.errors import RunError
from zcdl_common.files import replacing, write_text
from zcdl_common.network import DIRECTIONS, Model
from zcdl_common.run import Run
from zcdl_common.task import Array, Baseline, Prediction, Sample, Split, Task, resolve
from zcdl_common.verdict import of_sets, summarise

Say = Callable[[str], None]
Predict = Callable[[Array], Prediction]
MOST_LOOKED_AT = 12
"""Images that are judged where none were kept apart for it."""
MOST_TOLD = 50
"""Lines about as many images; frames of movies are hundreds."""
TURNED_AT_MOST = 2**22
"""Voxels up to which the network is also asked about the turned image: volumes take minutes each time."""
UNSURE = {"uncertainty": "error it expects", "disagreement": "change when turned"}
"""Companions of a prediction that say where it is unsure, and what they are called in a figure."""


@dataclass
class Judged:
    """One test image with all that was said about it."""

    sample: Sample
    source: Array
    truth: Array | None
    network: Prediction
    classical: Prediction
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Metrics by method: network, classical and, where it makes sense, input."""

    def methods(self, task: Task) -> dict[str, Prediction]:
        """What was said, by whom; the input stands for itself where it can be compared with the truth.

        Without pairs it is compared with real images of the other kind, in grey where channels differ.
        """
        said = {"network": self.network, "classical": self.classical}
        alike = self.source.shape == self.network.main.shape
        if task.input_is_prediction and alike and (self.truth is not None or not task.paired):
            said["input"] = Prediction(self.source)
        elif not task.paired:
            grey = self.source.mean(axis=-1, keepdims=True, dtype=np.float32)
            said["input"] = Prediction(np.broadcast_to(grey, self.network.main.shape))
        return said


def judge(run: Run, data: Data, say: Say = print) -> dict[str, Any]:
    """Score a trained run on its test images; writes ``quality_control`` and returns the summary.

    Raises
    ------
    RunError
        There are no weights, or no test images; where the task has pairs, none with targets.
    """
    task = run.network.task
    split = data.split if task.paired else data.split.of(run.facts.domain)
    test, learned = to_judge(task, split)
    if not test:
        raise RunError(_nothing_to_judge(run))
    model = run.load()
    folder = run.quality_control
    folder.mkdir(parents=True, exist_ok=True)
    settings = choose_settings(run, model, data, say)
    say("tuning the classical method on training images ...")
    baseline: Baseline = resolve(task.baseline)(data.split.train, run.facts, run.config.seed)
    say(f"classical method: {baseline.name}")
    scores, reference = resolve(task.scores), None
    if task.reference:
        reference = resolve(task.reference)(data.split.train, run.facts)
        scores = partial(scores, reference=reference)
    way_back = opposite(run)
    judged = []
    told = max(1, len(test) // MOST_TOLD)
    for n, sample in enumerate(test, 1):
        if n % told == 0:
            say(f"judging {sample.name} ({n} of {len(test)})")
        judged.append(judge_one(run, model, baseline, settings, sample, scores, way_back))
    table = table_of(judged)
    with replacing(folder / "metrics.csv") as temporary:
        table.to_csv(temporary, index=False)
    groups, truths = [j.sample.group for j in judged], [j.truth for j in judged]
    sets = of_sets(run, [j.methods(task) for j in judged], truths, groups, reference)
    summary = summarise(run, table, groups, baseline, learned, sets)
    summary["threshold"] = settings.get(next(iter(run.network.task.decoding), ""))
    unlike = likeness.judge(run, data) if data.imitated else []
    summary["next"] = [*unlike, *next_steps(run, table, summary)][:MOST]
    write_text(folder / "summary.json", json.dumps(summary, indent=1))
    draw(run, judged, table, summary, settings)
    if run.network.keeps:
        along = kept.score(run, model, [(j.source, j.truth) for j in judged], scores)
        if len(along):
            kept.save(run, along)
    if run.network.task.plane_scores and run.facts.ndim == 3 and summary["primary"]:
        save_planes(run, judged)
    return summary


def _nothing_to_judge(run: Run) -> str:
    """What to type where there are no test images."""
    hold = "hold some of at least 3 images out with test_fraction = 0.15"
    if run.network.task.paired:
        return (
            "There are no test images with known truth, so nothing can be judged. Name folders under "
            f"test_source and test_target, or {hold}."
        )
    return (
        f"There are no test images to translate from {DIRECTIONS[run.facts.domain]}, so nothing can be "
        f"judged. Name a folder under test_{run.facts.domain}; they need no partners. Or {hold}."
    )


def to_judge(task: Task, split: Split) -> tuple[list[Sample], bool]:
    """The images that are judged, and whether the network has learned from any of them.

    Those of the test whose truth is known. What learns without targets is looked at without a truth too, and
    on the images it learned from where none were kept apart.
    """
    known = [sample for sample in split.test if sample.target is not None]
    if task.needs_target:
        return known if task.paired else list(split.test), False
    seen = [*split.validation, *split.train]
    others = list(split.test) or [sample for sample in seen if sample.target is not None] or seen
    looked_at = known or others[:: -(-len(others) // MOST_LOOKED_AT)]
    return looked_at, any(sample.source == other.source for sample in looked_at for other in seen)


def choose_settings(run: Run, model: Model, data: Data, say: Say = print) -> dict[str, Any]:
    """Decoding settings from the validation images, recorded for prediction and export.

    They are chosen once for the weights that there are: again where training went on.
    """
    task, known = run.network.task, run.settings()
    learned = {"epochs": len(run.history()), "weights": run.config.weights}
    if not task.settings or learned.items() <= known.items():
        return known
    run.quality_control.mkdir(parents=True, exist_ok=True)
    say("choosing the threshold on the validation images ...")
    outputs = (  # one at a time: probabilities of many images would not fit memory
        (use.maps(run, model, sample.source.read()), task.read_target(sample, run.facts), sample.size)
        for sample in data.split.validation
        if sample.target is not None
    )
    chosen: dict[str, Any] = resolve(task.settings)(model.decode, outputs, run.facts)
    write_text(run.quality_control / "settings.json", json.dumps({**chosen, **learned}))
    return run.settings()


def opposite(run: Run) -> Predict | None:
    """The way back, of a network that works in both directions: image (Z)YXC -> image as it was."""
    if run.network.facing is None:
        return None
    there = run.using(direction=DIRECTIONS["target" if run.facts.domain == "source" else "source"])
    model = there.load()
    return lambda image: use.predict(there, model, image, turned=False)


def judge_one(
    run: Run,
    model: Model,
    baseline: Baseline,
    settings: dict[str, Any],
    sample: Sample,
    scores: Callable[..., dict[str, float]],
    way_back: Predict | None = None,
) -> Judged:
    """Predict and score one image by every method.

    Whether the network contradicts itself on the turned image is asked of planes, and of volumes of up to
    `TURNED_AT_MOST` voxels; of larger ones the parameter ``disagreement`` writes it in section 7.
    """
    task = run.network.task
    source = sample.source.read()
    truth = None if sample.target is None else task.read_target(sample, run.facts)
    turned = source.ndim == 3 or math.prod(source.shape[:-1]) <= TURNED_AT_MOST
    network = use.predict(run, model, source, settings, turned=turned)
    if way_back is not None:
        network = replace(network, extra={**network.extra, "back": way_back(network.main).main})
    judged = Judged(sample, source, truth, network, baseline.predict(source))
    said = judged.methods(task)
    judged.scores = {name: scores(truth, method, run.facts, source) for name, method in said.items()}
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
            score=j.scores["network"].get(primary),
            classical_score=j.scores["classical"].get(primary),
        )
        for j in judged
    ]
    style: dict[str, Any] = {"metric": primary, "pixel_size": run.facts.pixel_size}
    style["draw"] = run.network.task.drawing(run.facts)
    style["draw_error"] = resolve(run.network.task.error_picture)
    shown = plots.examples(examples[:4], classical=summary["classical"], **style)
    plots.save(shown, figures / "examples.png")
    if summary["primary"]:
        true = [example for example in examples if example.truth is not None]
        if true:
            plots.save(plots.worst(true, **style), figures / "worst.png")
    if not run.network.task.needs_target and run.network.task.input_is_prediction:
        removed = plots.removed(examples[:4], classical=summary["classical"], pixel_size=run.facts.pixel_size)
        plots.save(removed, figures / "removed.png")
    for name, title in UNSURE.items():
        doubts = [j.network.extra.get(name) for j in judged]
        if known := [(e, u) for e, u in zip(examples, doubts, strict=True) if u is not None][:4]:
            plots.save(plots.uncertainties(known, title, run.facts.pixel_size), figures / f"{name}.png")
    plots.save(plots.scores(table, summary), figures / "scores.png")
    if run.network.task.figures:
        truths, said = [j.truth for j in judged], [j.network for j in judged]
        how = {
            "classical": [j.classical for j in judged],
            "groups": [j.sample.group for j in judged],
            "seed": run.config.seed,
        }
        made = resolve(run.network.task.figures)(truths, said, run.facts, settings, **how)
        for name, figure in made.items():
            plots.save(figure, figures / f"{name}.png")
    if "curve" in settings:
        chosen = settings[next(iter(run.network.task.decoding))]
        curve = plots.threshold_curve(settings["thresholds"], settings["curve"], chosen, settings["curve_of"])
        plots.save(curve, figures / "threshold_curve.png")
    save_maps(run, judged, run.quality_control / "maps")


def save_planes(run: Run, judged: list[Judged]) -> None:
    """Scores of every plane of the test volumes, as slices.csv and a figure."""
    from zcdl_common import plots

    task = run.network.task
    plane_scores = resolve(task.plane_scores)
    table = pd.concat(
        [
            pd.DataFrame({"image": j.sample.name, "method": who, "z": range(len(j.source)), **scores})
            for j in judged
            for who, said in j.methods(task).items()
            for scores in [plane_scores(j.truth, said, run.facts)]
        ]
    )
    with replacing(run.quality_control / "slices.csv") as temporary:
        table.to_csv(temporary, index=False)
    figure = plots.planes(table, run.network.primary)
    plots.save(figure, run.quality_control / "figures" / "scores_by_plane.png")


def save_maps(run: Run, judged: list[Judged], folder: Path) -> None:
    """Error maps of every test image, as the task draws them."""
    from zcdl_common.writers import write_image

    error_maps = resolve(run.network.task.error_maps)
    for j in judged:
        for suffix, made in error_maps(j.truth, j.network, run.facts, j.source).items():
            write_image(
                folder / f"{j.sample.name}{suffix}", made.array, made.axes, pixel_size=run.facts.pixel_size
            )

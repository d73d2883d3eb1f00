"""Models that are there before any training, judged on the validation images beside the classical method."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zcdl_common import model_folders, weights
from zcdl_common import predict as use
from zcdl_common.config import Config
from zcdl_common.download import answers
from zcdl_common.errors import DataError, RunError, UserError
from zcdl_common.files import digest
from zcdl_common.network import Model, Network
from zcdl_common.patches import centre
from zcdl_common.plots import metric_label
from zcdl_common.run import Run, open_run
from zcdl_common.task import Baseline, Facts, Prediction, Sample, Split, resolve

MOST_IMAGES = 8
LARGEST = {2: (1024, 1024), 3: (32, 128, 128)}
"""Larger images are judged on their middle."""
SECONDS = 30.0
"""No further image is begun after so long."""
SECONDS_TO_ANSWER = 3.0
"""How long a server may take to say that it is there."""
FEW = 30
"""Training images up to which fine-tuning is proposed first."""
ENOUGH = 0.5
"""A score below it, of at most 1, is nothing to be content with."""
USEFUL = 0.1
"""A model below it sees quite other things than these: not a start to propose."""
SHOWN = ("ap50", "ap70")
"""Scores in the table, where a task has them; the primary one comes first in any case."""


@dataclass(frozen=True)
class Known:
    """A trained model that fits the images."""

    name: str
    """As ``start_from`` takes it."""
    title: str
    run: Run
    model: Model
    settings: dict[str, Any]
    """Of decoding: the model's own thresholds."""
    learned: frozenset[tuple[str, str]] = frozenset()
    """Name and SHA-256 of the images that it was trained on, as far as that is recorded."""

    def predict(self, image: Any) -> Prediction:
        return use.predict(self.run, self.model, image, self.settings)


class Judged(NamedTuple):
    """What is shown."""

    rows: list[dict[str, str]]
    """A row a method; empty where no model is at hand."""
    sentences: list[str]


def judge(
    network: Network, config: Config, facts: Facts, split: Split, say: Callable[[str], None] = print
) -> Judged:
    """Score the models at hand, and the classical method tuned on training images, on validation images.

    At hand are the model that ``start_from`` names, the ready-made ones fetched before, and the one for such
    images where it can be fetched. The test images stay unread.

    Raises
    ------
    RunError
        ``start_from`` names nothing, or a run of another network.
    """
    if config.start_from:
        weights.check(config)
    known, sentences = at_hand(network, config, facts)
    samples = split.validation[:MOST_IMAGES]
    if not known or not samples:
        return Judged([], sentences)
    say("tuning the classical method on training images ...")
    baseline: Baseline = resolve(network.task.baseline)(split.train, facts, config.seed)
    methods = {each.name: each.predict for each in known} | {baseline.name: baseline.predict}
    scores, cropped = _scores(network, facts, samples, methods, say)
    means = {
        name: {key: _mean([row[key] for row in rows]) for key in rows[0]} for name, rows in scores.items()
    }
    keys = [network.primary, *(k for k in SHOWN if k in means[baseline.name] and k != network.primary)]
    titles = {each.name: each.title for each in known} | {baseline.name: f"classical: {baseline.name}"}
    rows = [
        {"method": titles[name], **{metric_label(key): f"{mean[key]:.2f}" for key in keys}}
        for name, mean in means.items()
    ]
    best = max(known, key=lambda each: means[each.name][network.primary])
    own, other = (means[name][network.primary] for name in (best.name, baseline.name))
    count = len(scores[best.name])
    where = f"{count} validation image{'s' * (count != 1)}" + " (the middle of large ones)" * cropped
    verdict = _verdict(best, own, other, metric_label(network.primary), where)
    if any((sample.name, digest(sample.source)) in best.learned for sample in samples[:count]):
        verdict += " It has learned from some of these very images, so new ones may fare worse."
    return Judged(rows, [*sentences, verdict, *_proposal(best, own, config, facts)])


def at_hand(network: Network, config: Config, facts: Facts) -> tuple[list[Known], list[str]]:
    """The models that can be judged, and a sentence about each that cannot."""
    known, sentences = [], []
    there = model_folders.at_hand()
    suited = network.ready_made(facts) if network.ready_made else ""
    if suited and suited not in (*there, config.start_from):
        try:
            _fetch(suited)
            there.append(suited)
        except DataError as problem:
            sentences.append(str(problem))
    first = [name for name in (config.start_from, suited) if name in there or name == config.start_from]
    for name in filter(None, dict.fromkeys([*first, *there])):
        try:
            known.append(_open(network, name, facts))
        except UserError as problem:
            sentences.append(f"Not compared, {name}: {problem}")
    return known, sentences


def _fetch(name: str) -> None:
    """Fetch a ready-made model that nobody asked for, unless that takes patience."""
    if not answers(model_folders.ADDRESS.format(name), SECONDS_TO_ANSWER):
        raise DataError(
            f"The ready-made model {name}, made for such images, is not on this computer and cannot be "
            f"fetched now, so it is not compared. To have it, {model_folders.by_hand(name)}."
        )
    model_folders.fetch_ready_made(name)


def _open(network: Network, name: str, facts: Facts) -> Known:
    """The model that `name` stands for, as it is.

    Raises
    ------
    UserError
        It is not for such images, or cannot be read.
    """
    folder = Path(name).expanduser()
    if (folder / "config.yaml").exists():
        return _open_run(network, folder, name, facts)
    there = model_folders.find(name)
    if there is None:
        raise DataError(
            "it is no model folder and no earlier run, and only these are judged before training."
        )
    if problem := model_folders.misfit(there, facts.ndim, len(facts.channels)):
        raise DataError(f"{problem}.")
    # what the user chose for the new network does not hold for this one
    config = network.plan(network.Config.parse({"start_from": name}), facts).config
    run = Run(there.folder, network, config, facts, {})
    model = run.build()
    if model.start(weights.read(config)):
        raise RunError("its layers differ from those that this notebook can build.")
    title = f"ready-made model {name}" if name in model_folders.READY_MADE else f"model {there.folder.name}"
    return Known(name, title, run, model, {**network.task.decoding, **there.thresholds()})


def _open_run(network: Network, folder: Path, name: str, facts: Facts) -> Known:
    run = open_run(folder)
    use.check(run, (*facts.shapes[0], len(facts.channels)), "an image of yours")
    recorded = run.files() if (folder / "data.csv").exists() else []
    learned = frozenset((row["name"], row["sha256"]) for row in recorded if row["role"] == "train")
    return Known(name, f"earlier run {run.name}", run, run.load(), run.settings(), learned)


def _scores(
    network: Network,
    facts: Facts,
    samples: tuple[Sample, ...],
    methods: dict[str, Callable[[Any], Prediction]],
    say: Callable[[str], None],
) -> tuple[dict[str, list[dict[str, float]]], bool]:
    """Scores of each method on the same images, as many as time allows; and whether any was cut."""
    task, score, begun = network.task, resolve(network.task.scores), time.monotonic()
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    size, cropped = LARGEST[facts.ndim], False
    for n, sample in enumerate(samples):
        if n and time.monotonic() - begun > SECONDS:
            break
        say(f"judging models on {sample.name} ({n + 1} of {len(samples)})")
        whole = sample.source.read()
        source, truth = centre(whole, size), centre(task.read_target(sample, facts), size)
        cropped = cropped or source.shape != whole.shape
        for name, predict in methods.items():
            scores[name].append(score(truth, predict(source), facts, source))
    return scores, cropped


def _mean(values: list[float]) -> float:
    """Mean of what is known; 0 where nothing is: an image without objects says nothing."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def _verdict(best: Known, own: float, other: float, label: str, where: str) -> str:
    compared = f"{own:.2f} here in {label} (the classical method {other:.2f}; {where})"
    if own >= max(other, ENOUGH):
        return f"The {best.title} already reaches {compared}: train only if you need more."
    return f"The {best.title} reaches {compared}: train on your own images to get further."


def _proposal(best: Known, own: float, config: Config, facts: Facts) -> list[str]:
    count = facts.counts.get("train", 0)
    if config.start_from or count > FEW or own < USEFUL:
        return []
    images = f"{count} training image{'s' * (count != 1)}"
    return [f"Only {images}: fine-tuning is proposed first; set start_from = {best.name}."]

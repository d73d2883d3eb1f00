"""What a package says about a run, in sentences and in the zoo's fields."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from zcdl_common.export.info import asked
from zcdl_common.network import DIRECTIONS, Model
from zcdl_common.run import Run


def summary_of(run: Run) -> dict[str, Any]:
    """summary.json, empty where quality control was not run, or in the other direction alone."""
    path = run.quality_control / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]


def describe(run: Run) -> str:
    """One sentence."""
    where = f"trained on {run.facts.counts['train']} {run.facts.ndim}D images"
    return f"{run.network.title}: {run.network.summary}; {where}."


def documentation(run: Run) -> str:
    """Markdown: training data, training, validation, limits."""
    facts, config, history = run.facts, run.config, run.history()
    data = f"example data set {run.example}" if run.example else "the author's own images"
    size = " x ".join(f"{p:g}" for p in facts.pixel_size) + " µm" if facts.pixel_size else "not recorded"
    parts = [
        "# Training data",
        f"{facts.counts['train']} training images from {data}, {facts.dtype}, channels: "
        f"{', '.join(facts.channels)}; pixel size ({'ZYX'[-facts.ndim :]}): {size}. {run.split_note}",
        "# Training",
        f"{len(history)} epochs, batch size {config.batch_size}, patches of "
        f"{' x '.join(map(str, config.patch_size or ()))} pixels, learning rate {config.learning_rate:g} "
        f"({config.schedule}). Input scaling: {run.scaling.describe()}",
        *_use(run),
        "# Validation",
        _validation(run),
    ]
    return "\n\n".join(parts)


def _use(run: Run) -> list[str]:
    """What to heed in other programs; nothing for most networks."""
    said = [run.network.whole]
    if run.network.facing:
        said.append(f"It works from {DIRECTIONS[run.facts.domain]}; the other direction is another package.")
    text = " ".join(filter(None, said))
    return ["# Use", text] if text else []


def _validation(run: Run) -> str:
    summary = summary_of(run)
    if not summary:
        if run.network.facing:
            return f"Not judged in this direction, from {DIRECTIONS[run.facts.domain]}."
        return "Quality control was not run before this export."
    seen = "learned from, without a target" if summary.get("learned_from") else "never saw"
    lines = [
        f"Mean over {summary['n_images']} images that the network {seen}:",
        "",
        f"| score | network | {summary['classical']} |",
        "|---|---|---|",
    ]
    for name, values in summary["metrics"].items():
        network, classical = (
            "" if (values[who] or {}).get("mean") is None else f"{values[who]['mean']:.3f}"
            for who in ("network", "classical")
        )
        if network:
            lines.append(f"| {name} | {network} | {classical} |")
    threshold = f" Threshold: {summary['threshold']:.2f}." if summary.get("threshold") else ""
    return "\n".join([*lines, "", summary["sentence"] + threshold])


def training_details(run: Run, model: Model) -> dict[str, Any]:
    """The zoo's ``config.bioimageio``, as far as a run knows it."""
    from zcdl_common.export.from_run import evaluations

    config, history, summary = run.config, run.history(), summary_of(run)
    seconds = sum(row["seconds"] for row in history)
    training = {
        "training_preprocessing": run.scaling.describe(),
        "training_epochs": len(history),
        "training_batch_size": config.batch_size,
        "initial_learning_rate": config.learning_rate,
        "learning_rate_schedule": config.schedule,
        "loss_function": getattr(config, "loss", None),
        "loss_function_kwargs": {"class_weights": list(getattr(config, "class_weights", None) or ())},
        "optimizer": getattr(config, "optimiser", "adam"),
        "optimizer_kwargs": {"weight_decay": getattr(config, "weight_decay", 0.0)},
        "regularization": f"dropout {getattr(config, 'dropout', 0.0):g}; augmentation: {config.augment}",
        "training_duration": seconds / 3600,
    }
    return {
        "architecture_type": run.network.name,
        "architecture_description": run.network.title,
        "model_parameter_count": model.parameters(),
        "task": run.network.task.zoo_name,
        "inference_time": _inference_time(run, model),
        "training": {k: v for k, v in training.items() if v is not None},
        "environmental_impact": {"hardware_type": run.facts.device.upper(), "hours_used": seconds / 3600},
        "evaluations": list(evaluations(run, summary)) if summary else [],
        "bias_risks_limitations": {"limitations": run.network.limits},
    }


def _inference_time(run: Run, model: Model) -> str:
    """Measured time of the smallest input."""
    _, sides = asked(run.network, run.config, model.geometry)
    tile = np.zeros((1, *sides, len(run.facts.channels)), np.float32)
    model.forward(tile)
    begin = time.perf_counter()
    model.forward(tile)
    size = " x ".join(map(str, sides))
    return f"{time.perf_counter() - begin:.2g} s for {size} pixels on a {run.facts.device.upper()}"

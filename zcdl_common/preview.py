"""What training will look like: patches as the network sees them, and how long it will take."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common import likeness
from zcdl_common.display import figure, message
from zcdl_common.listeners import time_text
from zcdl_common.run import Run
from zcdl_common.session import Prepared
from zcdl_common.training import ready, steps_an_epoch


def compare(prepared: Prepared) -> None:
    """Simulated frames beside the real ones, and where they differ."""
    from zcdl_common import plots

    found = likeness.compare(prepared.data, prepared.planned)
    if len(found.simulated):
        figure(plots.simulated_and_real(found))
    message("\n".join(likeness.sentences(found)), "good" if found.ok else "warning")


def preview(prepared: Prepared) -> None:
    """Patches before and after augmentation, and a measured estimate of the training time."""
    from zcdl_common import plots
    from zcdl_common.patches import Memory, memory_for

    if prepared.data.imitated:
        compare(prepared)
    run = Run(Path(), prepared.network, prepared.planned, prepared.facts, {})
    model: Any = run.build()
    samples = ready(run, prepared.data.split.train, Memory(memory_for()))
    plain = run.network.build(prepared.planned.changed(augment=False), prepared.facts)
    changed = partial(model.patch, others=samples) if hasattr(run.config, "mosaic") else model.patch
    before, after = [], []
    for i in range(6):
        seed = [prepared.planned.seed, 2, i]
        sample = samples[i * len(samples) // 6 if len(samples) > 6 else i % len(samples)]
        before.append(plain.patch(sample, np.random.default_rng(seed)))  # type: ignore[attr-defined]
        after.append(changed(sample, np.random.default_rng(seed)))
    draw = prepared.network.task.drawing(prepared.facts)
    bare = [[(source, None) for source, _ in row] for row in (before, after)]
    if prepared.data.imitated:  # simulated patches are not changed further
        figure(plots.patches(bare[0], before, draw=draw, names=("simulated", "with its target")))
    else:
        if prepared.network.task.input_is_prediction and before[0][1] is not None:  # targets hide images
            figure(plots.patches(*bare, draw=draw))
        figure(plots.patches(before, after, draw=draw))
    batch = model.batch(samples, np.random.default_rng(0))
    model.step(batch, 0.0)
    begin = time.perf_counter()
    for _ in range(2):
        float(model.step(model.batch(samples, np.random.default_rng(0)), 0.0)["loss"])
    seconds = (time.perf_counter() - begin) / 2 * steps_an_epoch(run) * (prepared.planned.epochs or 1)
    limit = prepared.planned.time_budget_minutes
    text = f"Training will take about {time_text(seconds)}"
    if limit and seconds > 60 * limit:
        text = f"All epochs would take about {time_text(seconds)}; the time limit ends training after "
        text += time_text(60 * limit)
    text += "."
    message(text + " The time left is measured again while it runs.")

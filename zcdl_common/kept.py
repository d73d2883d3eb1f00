"""How good were the weights along the way? For networks whose losses do not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd

from zcdl_common import predict as use
from zcdl_common.files import replacing
from zcdl_common.listeners import KEPT, best_epoch
from zcdl_common.network import Model
from zcdl_common.run import Run
from zcdl_common.task import Array


def score(
    run: Run,
    model: Model,
    pairs: Sequence[tuple[Array, Array | None]],
    scores: Callable[..., dict[str, float]],
) -> pd.DataFrame:
    """Epoch, mean score of the test images and of the validation images, a row for each of the weights kept.

    This is for looking at: which weights are used (the best epoch by validation images, or the last) is not
    chosen here, for a choice by test images would praise itself. Images without a score are left out of a
    mean. `model` holds its own weights again afterwards.

    Parameters
    ----------
    pairs
        Source and truth of test images, (Z)YXC.
    scores
        As `Task.scores`.
    """
    primary, rows = run.network.primary, []
    by_epoch = {int(row["epoch"]): row for row in run.history()}
    named = (re.fullmatch(r"epoch_(\d+)", path.stem) for path in run.weights.iterdir())
    for epoch in sorted(int(match[1]) for match in named if match):
        model.load(run.weights, KEPT.format(epoch))
        found = (
            scores(truth, use.predict(run, model, source, turned=False), run.facts, source)
            for source, truth in pairs
        )
        row = {"epoch": epoch, "test": float(pd.Series([one[primary] for one in found]).mean())}
        if f"val_{primary}" in by_epoch.get(epoch, {}):
            row["validation"] = by_epoch[epoch][f"val_{primary}"]
        rows.append(row)
    model.load(run.weights, run.config.weights)
    return pd.DataFrame(rows)


def save(run: Run, table: pd.DataFrame) -> None:
    """Write kept.csv and its figure, in which the epoch whose weights are used is marked."""
    from zcdl_common import plots

    with replacing(run.quality_control / "kept.csv") as temporary:
        table.to_csv(temporary, index=False)
    history = run.history()
    best = best_epoch(history, run.network.best) if run.config.weights == "best" else -1
    chosen = int(history[best]["epoch"])
    columns = {str(name): values.tolist() for name, values in table.items()}
    figure = plots.kept(columns, run.network.primary, chosen)
    plots.save(figure, run.quality_control / "figures" / "kept.png")

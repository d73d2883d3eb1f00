"""How good were the weights along the way? For networks whose losses do not say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from zcdl_common import predict as use
from zcdl_common.files import replacing
from zcdl_common.listeners import best_epoch
from zcdl_common.network import Model
from zcdl_common.run import Run
from zcdl_common.task import Array, resolve


def score(run: Run, model: Model, images: Iterable[tuple[Array, Array]]) -> pd.DataFrame:
    """Epoch, mean score of the test images and of the validation images, a row for each of the weights kept.

    Which weights are used was chosen on the validation images, epoch by epoch; this is for looking at.
    `model` holds its own weights again afterwards.

    Parameters
    ----------
    images
        Source and truth of test images, (Z)YXC.
    """
    primary, rows = run.network.primary, []
    scores = resolve(run.network.task.scores)
    by_epoch = {int(row["epoch"]): row for row in run.history()}
    pairs = list(images)
    for path in sorted(run.weights.glob("epoch_*.pt")):
        epoch = int(path.stem.split("_")[1])
        model.load(run.weights, path.stem)
        found = [scores(truth, use.predict(run, model, source), run.facts, source) for source, truth in pairs]
        row = {"epoch": epoch, "test": float(np.mean([one[primary] for one in found]))}
        if f"val_{primary}" in by_epoch.get(epoch, {}):
            row["validation"] = by_epoch[epoch][f"val_{primary}"]
        rows.append(row)
    model.load(run.weights, run.config.weights)
    return pd.DataFrame(rows)


def save(run: Run, table: pd.DataFrame) -> None:
    """Write kept.csv and its figure."""
    from zcdl_common import plots

    with replacing(run.quality_control / "kept.csv") as temporary:
        table.to_csv(temporary, index=False)
    history = run.history()
    chosen = int(history[best_epoch(history, run.network.best)]["epoch"])
    columns = {str(name): values.tolist() for name, values in table.items()}
    figure = plots.kept(columns, run.network.primary, chosen)
    plots.save(figure, run.quality_control / "figures" / "kept.png")

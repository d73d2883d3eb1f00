"""What next? At most three sentences, each from evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from zcdl_common.network import Best
from zcdl_common.plots.labels import metric_label
from zcdl_common.run import Run

MOST = 3
UNSUPPORTED = 0.5
"""Percent of the pixels of a restored image above which its structure is doubted."""
UNSTEADY = 0.5
"""Change of a predicted image as its source is turned, in parts of its contrast, that raises doubts."""
GAINS = (0.5, 2.0)
"""Factors between predicted and true brightness that pass for right, in the median."""
FAR_BELOW = {"psnr": 0.85}
"""Part of the median below which a score stands out; two thirds where nothing else is said (not in dB). A
distance stands out as far above it."""


def found_nothing(run: Run, table: pd.DataFrame) -> str:
    """Say that a network marked nothing although there is something to find; else the empty text.

    Parameters
    ----------
    table
        A row an image; ``n_found`` and ``n_true`` are numbers of objects, ``recall`` a share of pixels.
    """
    if "n_found" in table:
        nothing = table["n_found"].sum() == 0 and "n_true" in table and table["n_true"].sum() > 0
        what = "no object"
    else:
        nothing = "recall" in table and bool(table["recall"].max() == 0)
        what = "nothing of what is annotated"
    if not nothing:
        return ""
    epochs, setting = len(run.history()), next(iter(run.network.task.decoding), "threshold")
    so_far = f"{epochs} epoch{'s' * (epochs != 1)} so far"
    return (
        f"The network found {what} in any test image: train longer ({so_far}) or lower the probability "
        f"threshold ({setting})."
    )


def next_steps(run: Run, table: pd.DataFrame, summary: dict[str, Any]) -> list[str]:
    """Advice that the curves, the scores and the numbers of images support; the strongest first."""
    history = run.history()
    take = "Annotate" if run.network.task.drawn else "Take"
    if nothing := found_nothing(run, table):
        return [nothing]  # whatever else the scores seem to say follows from it
    maps = f"{run.quality_control.relative_to(run.folder).as_posix()}/maps"
    steps = [
        _unsupported(table, maps),
        _unsteady(table, maps),
        _gain(table),
        _too_few(summary, take),
        _classical(summary),
        _overfitting(history, run),
        _cut_short(history, run) or _still_falling(history, run),
        _worst(table, summary["primary"], take, run.network.higher_is_better),
    ]
    return [step for step in steps if step][:MOST]


def _unsupported(table: pd.DataFrame, maps: str) -> str:
    if "unsupported_percent" not in table:
        return ""
    flagged = table[table["unsupported_percent"] > UNSUPPORTED].sort_values("unsupported_percent")[::-1]
    if flagged.empty:
        return ""
    name, share = flagged.iloc[0][["image", "unsupported_percent"]]
    others = f" (the strongest case of {len(flagged)} images)" if len(flagged) > 1 else ""
    return (
        f"Do not trust every detail: {name}{others} shows or lacks structure in {share:.2g} % of its pixels "
        f"against what the noisy image supports: see {maps}/{name}_unsupported.tif."
    )


def _unsteady(table: pd.DataFrame, maps: str) -> str:
    if "disagreement" not in table:
        return ""
    asked, flagged = table["disagreement"].notna().sum(), (table["disagreement"] > UNSTEADY).sum()
    if not flagged:
        return ""
    name, change = table.nlargest(1, "disagreement").iloc[0][["image", "disagreement"]]
    where = f"Where it does so shows {maps}/{name}_disagreement.tif."
    if flagged == 1:
        return (
            f"Do not trust {name}: turn the image, and the prediction changes by {change:.0%} of its "
            f"contrast. {where}"
        )
    whom = "any of the predictions" if flagged == asked else f"{flagged} of {asked} images"
    return (
        f"Do not trust {whom}: turn the images, and predictions change by more than {UNSTEADY:.0%} of their "
        f"contrast, that of {name} by {change:.0%}. {where}"
    )


def _gain(table: pd.DataFrame) -> str:
    if "gain" not in table:
        return ""
    usual = float(table["gain"].median())
    if not usual > 0 or GAINS[0] <= usual <= GAINS[1]:  # 0 is no brightness: nothing was predicted
        return ""
    what = "too dim" if usual > 1 else "too bright, or hold much that is not in the truth"
    return (
        f"Do not measure brightness in the predicted images: they are {what}. A factor of {usual:.2g} "
        "(gain, median) fits them to the truth, which PSNR, SSIM and NRMSE do first and so do not see."
    )


def _too_few(summary: dict[str, Any], take: str) -> str:
    n = summary["n_images"]
    if summary["verdict"] != "unclear" or n >= 6:
        return ""
    few = f"{n} {'are' if n > 1 else 'is'} too few to tell"
    return f"{take} more test images: {few}; 6 or more independent ones are needed."


def _classical(summary: dict[str, Any]) -> str:
    if summary["verdict"] in ("same", "worse"):
        return (
            f"The classical method ({summary['classical']}) does as well on these images or better: use it, "
            "unless harder images are to come."
        )
    return ""


def _overfitting(history: list[dict[str, float]], run: Run) -> str:
    if len(history) < 10 or not _tells(run) or run.network.curves:
        return ""
    losses, checks = _ends(history, "loss"), _ends(history, "val_loss")
    rising = checks[1] > 1.1 * np.nanmin([*(row["val_loss"] for row in history), np.inf])
    if rising and losses[1] < 0.9 * losses[0]:
        return (
            f"The validation loss rises while the training loss falls: {run.facts.counts['train']} training "
            "images are learned by heart. Add images, or more augmentation."
        )
    return ""


def _cut_short(history: list[dict[str, float]], run: Run) -> str:
    epochs, limit = run.config.epochs or 0, run.config.time_budget_minutes
    if not limit or len(history) >= epochs or len(history) < 5:
        return ""
    task = run.network.task
    # alone, the loss levels off at the noise; without pairs it knows the way back alone
    blind = not task.needs_target and task.input_is_prediction
    if blind or not _tells(run):
        missed = "noise is left or detail lost" if blind else "results do not look real yet"
        return (
            f"The time limit ended training after {len(history)} of {epochs} epochs: if {missed}, give it "
            "more time (time_budget_minutes)."
        )
    if not (still := _improving(history, run.network.best, 0.01)):
        return ""
    return (
        f"The time limit ended training after {len(history)} of {epochs} epochs while {still}: give it more "
        "time (time_budget_minutes)."
    )


def _tells(run: Run) -> bool:
    """Whether the validation loss says how good results are; without pairs, it knows the way back alone."""
    return run.network.task.paired


def _still_falling(history: list[dict[str, float]], run: Run) -> str:
    if len(history) < 5:
        return "Train longer: a few epochs say little."
    if not _tells(run):
        return ""
    still = _improving(history, run.network.best, 0.05)
    if still and history[-1]["learning_rate"] > 0:
        return f"{still[:1].upper()}{still[1:]} after {len(history)} epochs: train longer (raise epochs)."
    return ""


def _improving(history: list[dict[str, float]], best: Best, share: float) -> str:
    """Say that what picks the epoch was still getting better, by more than a share of what is left; or "".

    A loss has 0 to fall to, a score 1 to rise to. Where the last epoch is kept, the loss is asked.
    """
    key = best.key or "val_loss"
    before, after = _ends(history, key)
    rises = bool(best.key) and best.mode == "max"
    if not (1 - after < (1 - share) * (1 - before) if rises else after < (1 - share) * before):
        return ""
    what = "loss" if key == "val_loss" else metric_label(key.removeprefix("val_"))
    return f"the validation {what} was still {'rising' if rises else 'falling'}"


def _ends(history: list[dict[str, float]], key: str) -> tuple[float, float]:
    """Mean of a column over the fifth of epochs before the last fifth, and over the last fifth."""
    values = np.array([row[key] for row in history])
    n = max(1, len(values) // 5)
    return float(values[-2 * n : -n].mean()), float(values[-n:].mean())


def _worst(table: pd.DataFrame, primary: str | None, take: str, higher_is_better: bool) -> str:
    if primary is None:
        return ""
    values = table[primary]
    if len(values) < 3 or values.isna().all():
        return ""
    part, usual = FAR_BELOW.get(primary, 2 / 3), values.median()
    bad = table["image"][values < part * usual if higher_is_better else values > usual / part].head(3)
    if bad.empty:
        return ""
    label, where = metric_label(primary), "below" if higher_is_better else "above"
    return (
        f"Look at {', '.join(bad)}: {label} is far {where} the others there. {take} more images like these."
    )

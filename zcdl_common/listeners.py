"""What hears the training: tables, weights, checkpoints, reasons to stop, progress."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd

from zcdl_common import checkpoint
from zcdl_common.files import replacing
from zcdl_common.fit import History, Moment
from zcdl_common.network import Best, Keeping


class Quiet:
    """Hears nothing; others override what they care about."""

    def step(self, moment: Moment) -> str | None:
        return None

    def epoch(self, moment: Moment) -> str | None:
        return None


class LossesTable(Quiet):
    """Writes losses.csv after every epoch."""

    def __init__(self, path: Path):
        self.path = path

    def epoch(self, moment: Moment) -> str | None:
        write_losses(self.path, moment.history)
        return None


def write_losses(path: Path, history: History) -> None:
    """The losses table as CSV."""
    with replacing(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def best_epoch(history: History, rule: Best) -> int:
    """Index of the best row of the losses table; the last one where the rule names no column.

    Any number is better than NaN; where there is nothing else, the last row stands.
    """
    best, index = None, len(history) - 1
    for i, row in enumerate(history if rule.key else []):
        if rule.better(row, best):
            best, index = row, i
    return index


class Weights(Quiet):
    """Saves the weights of the last and of the best epoch."""

    def __init__(self, folder: Path, rule: Best):
        self.folder, self.rule = folder, rule

    def epoch(self, moment: Moment) -> str | None:
        moment.model.save(self.folder, "last")
        if best_epoch(moment.history, self.rule) == len(moment.history) - 1:
            for path in sorted(self.folder.glob("last*")):  # cheaper than to write the networks once more
                with replacing(path.with_name("best" + path.name.removeprefix("last"))) as temporary:
                    shutil.copyfile(path, temporary)
        return None


class Checkpoints(Quiet):
    """Saves the whole state after every epoch, and mirrors it now and then."""

    def __init__(self, local: Path, remote: Path, rule: Best):
        self.mirror, self.rule = checkpoint.Mirror(local, remote), rule

    def epoch(self, moment: Moment) -> str | None:
        checkpoint.write(self.mirror.local, moment.epoch, moment.model.state(), moment.history)
        # weights/best is in the slow place at once: the state it belongs to must be there too, or going on
        # from an older one would forget which epoch it was; where the last epoch counts, any state will do
        best = best_epoch(moment.history, self.rule) == len(moment.history) - 1
        self.mirror.update(force=bool(self.rule.key) and best)
        return None


class Kept(Quiet):
    """Keeps the weights of some epochs for good, so that they can be compared.

    Parameters
    ----------
    folder
        Where weights lie.
    every
        Epochs between them; None: whenever a tenth of the epochs, or of the time limit, has passed.
    """

    def __init__(self, folder: Path, every: int | None, budget_minutes: float | None = None):
        self.folder, self.every, self.budget_minutes = folder, every, budget_minutes

    def epoch(self, moment: Moment) -> str | None:
        if self._due(moment):
            assert isinstance(moment.model, Keeping)
            moment.model.keep(self.folder, KEPT.format(moment.epoch))
        return None

    def about(self, model: Keeping) -> str:
        """How often weights are kept, and what they take on the disk, in a sentence."""
        often = f"every {epochs_text(self.every)}" if self.every else "ten times in a training"
        with tempfile.TemporaryDirectory() as folder:
            model.keep(Path(folder), KEPT.format(0))
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
        return f"Weights are kept {often.replace('every 1 epoch', 'every epoch')}, {size / 1e6:.3g} MB each."

    def _due(self, moment: Moment) -> bool:
        if self.every:
            return moment.epoch % self.every == 0

        def tenths(history: History) -> int:
            share = len(history) / moment.epochs
            if self.budget_minutes:
                share = max(share, sum(row["seconds"] for row in history) / (60 * self.budget_minutes))
            return int(10 * share)

        return tenths(moment.history) > tenths(moment.history[:-1])


KEPT = "epoch_{:05d}"
"""Name of the weights that are kept of an epoch."""


class EarlyStop(Quiet):
    """Ends training when the best epoch lies too far back."""

    def __init__(self, rule: Best, patience: int):
        self.rule, self.patience = rule, patience

    def epoch(self, moment: Moment) -> str | None:
        since = len(moment.history) - 1 - best_epoch(moment.history, self.rule)
        if since >= self.patience:
            return f"No progress for {since} epochs, so training stopped early."
        return None


class Budget(Quiet):
    """Ends training when its time is used up, earlier sessions counted in."""

    def __init__(self, minutes: float):
        self.minutes = minutes

    def step(self, moment: Moment) -> str | None:
        if moment.seconds >= 60 * self.minutes:
            return f"The time limit of {self.minutes:g} minute{'s' * (self.minutes != 1)} is reached."
        return None


class Lines(Quiet):
    """Progress as plain lines, at most one every few seconds."""

    def __init__(self, budget_minutes: float | None = None, every_seconds: float = 10.0):
        self.budget_minutes, self.every_seconds, self.last = budget_minutes, every_seconds, 0.0

    def step(self, moment: Moment) -> str | None:
        first_look = len(moment.history) == 0 and moment.step == min(10, moment.steps)
        if first_look or (moment.epoch == 1 and time.monotonic() - self.last > self.every_seconds):
            self.last = time.monotonic()
            text = f"epoch 1, step {moment.step} of {moment.steps}"
            print(text + (f", about {self.to_go(moment)} to go" if first_look else ""), flush=True)
        return None

    def epoch(self, moment: Moment) -> str | None:
        if time.monotonic() - self.last > self.every_seconds or moment.epoch in (1, moment.epochs):
            self.last = time.monotonic()
            print(f"{line(moment)}  {self.to_go(moment)} to go", flush=True)
        return None

    def to_go(self, moment: Moment) -> str:
        """Time left."""
        return time_text(remaining(moment, self.budget_minutes))


def line(moment: Moment) -> str:
    """One epoch in a line."""
    row = moment.history[-1]
    scores = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k.startswith(("loss", "val_")))
    return f"epoch {moment.epoch} of {moment.epochs}  {scores}"


def remaining(moment: Moment, budget_minutes: float | None = None) -> float:
    """Seconds that the remaining epochs take at the pace so far, or that the time limit leaves."""
    if moment.history:
        recent = [row["seconds"] for row in moment.history[-5:]]
        left = (moment.epochs - len(moment.history)) * sum(recent) / len(recent)
    else:
        steps = moment.epochs * moment.steps
        left = (steps / max(moment.step, 1) - 1) * (time.perf_counter() - moment.started)
    return left if budget_minutes is None else max(0.0, min(left, 60 * budget_minutes - moment.seconds))


def time_text(seconds: float) -> str:
    """``95`` -> ``1 min 35 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def epochs_text(epochs: int) -> str:
    """``1 epoch``, ``3 epochs``."""
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"

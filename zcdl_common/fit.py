"""The one training loop, free of backends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from zcdl_common.errors import RunError
from zcdl_common.network import Best, Model
from zcdl_common.task import Batch, Sample

History = list[dict[str, float]]
"""The losses table: a row an epoch."""


@dataclass
class Moment:
    """Where training stands; what listeners are told."""

    model: Model
    epochs: int
    steps: int
    history: History
    epoch: int = 0
    """The epoch that runs or has just ended, from 1."""
    step: int = 0
    """Steps done in it."""
    started: float = field(default_factory=time.perf_counter)
    """Clock at its begin."""

    @property
    def seconds(self) -> float:
        """Training time so far, earlier sessions included."""
        return sum(row["seconds"] for row in self.history) + time.perf_counter() - self.started


class Listener(Protocol):
    """Hears every step and epoch; a returned sentence ends training there, and says why."""

    def step(self, moment: Moment) -> str | None: ...
    def epoch(self, moment: Moment) -> str | None: ...


VALIDATION_LOSS = Best()
Rate = Callable[[Moment], float]
"""Learning rate of the next step."""


def fit(
    model: Model,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    epochs: int,
    steps: int,
    rate: Rate,
    seed: int,
    history: History,
    listeners: Sequence[Listener] = (),
) -> str:
    """Train `model` from the end of `history` on; `history` grows by a row an epoch.

    The content of a batch is a function of ``[seed, epoch, step]`` alone, so a resumed training
    sees what an uninterrupted one sees.

    Returns
    -------
    str
        Why training ended, as a sentence.

    Raises
    ------
    RunError
        The loss is no longer a number.
    """
    for epoch in range(len(history) + 1, epochs + 1):
        moment = Moment(model, epochs, steps, history, epoch)
        stop, losses, learning_rate = None, [], 0.0
        for batch in batches(model, train, seed, epoch, steps):
            learning_rate = rate(moment)
            losses.append(model.step(batch, learning_rate))
            moment.step += 1
            stop = _first(listener.step(moment) for listener in listeners)
            if stop:
                break
        # only here does the host wait for the device
        means = {key: float(np.mean([float(row[key]) for row in losses])) for key in losses[0]}
        if not all(map(math.isfinite, means.values())):
            raise RunError(
                f"The loss is no longer a number in epoch {epoch}, so training cannot go on. "
                "Use a smaller learning_rate (a tenth) and a new name."
            )
        row = {"epoch": epoch, **means, **model.validate(validation), "learning_rate": learning_rate}
        history.append({**row, "seconds": time.perf_counter() - moment.started})
        moment.started = time.perf_counter()
        reasons = [listener.epoch(moment) for listener in listeners]
        stop = stop or _first(iter(reasons))
        if stop:
            return stop
    return f"All {epochs} epochs are done." if epochs != 1 else "The one epoch is done."


def _first(reasons: Iterator[str | None]) -> str | None:
    # every listener is heard, also after one has asked to stop
    return next((reason for reason in list(reasons) if reason), None)


def batches(model: Model, samples: Sequence[Sample], seed: int, epoch: int, steps: int) -> Iterator[Batch]:
    """The batches of an epoch; the next one is made while the present one trains."""

    def make(step: int) -> Batch:
        return model.batch(samples, np.random.default_rng([seed, epoch, step]))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, 0)
        for step in range(steps):
            batch = waiting.result()
            if step + 1 < steps:
                waiting = pool.submit(make, step + 1)
            yield batch


def schedule(
    kind: Literal["cosine", "plateau", "linear", "constant"],
    learning_rate: float,
    *,
    budget_minutes: float | None = None,
    monitor: Best = VALIDATION_LOSS,
    patience: int = 10,
) -> Rate:
    """Learning rate as a function of what has been trained.

    cosine falls to a hundredth along the epochs, or along the time limit where that ends first
    (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts); linear falls to zero in the
    second half; plateau halves it whenever `monitor` has not improved for `patience` epochs.
    """

    def done(moment: Moment) -> float:
        share = (moment.epoch - 1 + moment.step / moment.steps) / moment.epochs
        if budget_minutes is not None:
            share = max(share, moment.seconds / (60 * budget_minutes))
        return min(share, 1.0)

    def cosine(moment: Moment) -> float:
        return learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done(moment))))

    def linear(moment: Moment) -> float:
        return learning_rate * min(1.0, 2 - 2 * done(moment))

    def plateau(moment: Moment) -> float:
        halvings, waited, best = 0, 0, None
        for row in moment.history:
            if best is None or monitor.better(row, best):
                best, waited = row, 0
            else:
                waited += 1
            if waited >= patience:
                halvings, waited = halvings + 1, 0
        return learning_rate * 0.5**halvings

    def constant(moment: Moment) -> float:
        return learning_rate

    return {"cosine": cosine, "plateau": plateau, "linear": linear, "constant": constant}[kind]

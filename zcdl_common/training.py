"""Train a run: prepare its images, go on where it stopped, keep what it learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zcdl_common import checkpoint, listeners, weights
from zcdl_common.data import Data
from zcdl_common.errors import RunError
from zcdl_common.fit import History, Listener, Moment, fit, schedule
from zcdl_common.network import DIRECTIONS, Keeping, Model
from zcdl_common.patches import Memory, memory_for, prepare
from zcdl_common.run import Run, write_plan
from zcdl_common.task import Sample


def ready(run: Run, samples: Sequence[Sample], memory: Memory) -> tuple[Sample, ...]:
    """Samples whose ``read()`` gives what the network learns from."""
    return prepare(
        samples,
        run.learned_source,
        run.learned_target,
        memory,
    )


def steps_an_epoch(run: Run) -> int:
    """Optimiser steps in an epoch."""
    patches = run.facts.counts["train"] * (run.config.patches_per_image or 1)
    return math.ceil(patches / (run.config.batch_size or 1))


def train(run: Run, data: Data, *, show: Sequence[Listener] = (), local: Path | None = None) -> str:
    """Train, or go on training, until the epochs are done or a reason to stop is met.

    Parameters
    ----------
    show
        Listeners that show progress.
    local
        Fast folder for the checkpoints; the run folder gets a copy now and then.

    Returns
    -------
    str
        How it ended.

    Raises
    ------
    RunError
        The loss is no longer a number, memory or disk is full, or starting weights do not fit.
    """
    if run.network.facing:  # both directions are learned, always from the same side
        run = run.using(direction=DIRECTIONS["source"])
    config, remote = run.config, run.folder / "checkpoint"
    local = local or remote
    epochs = config.epochs or 1
    saved = checkpoint.newest(local, remote)
    history: History = saved.history if saved else []
    states = listeners.Checkpoints(local, remote, run.network.best)
    keep: list[Listener] = [
        listeners.Weights(run.weights, run.network.best),
        listeners.LossesTable(run.folder / "losses.csv"),
        states,  # last: an epoch whose state is there has left nothing undone
    ]
    stops = _stops(run)
    ended = _ended(run, history, stops)
    if ended:
        return ended
    if config.freeze != "nothing" and not (config.start_from or saved):
        raise RunError(
            f"freeze = {config.freeze} keeps weights as they are, but there are none to keep yet: they would "
            "stay random. Name weights under start_from, or set freeze = nothing."
        )
    model = run.build()
    if run.network.keeps:
        assert isinstance(model, Keeping)
        every = getattr(config, "keep_every", None)
        kept = listeners.Kept(run.weights, every, config.time_budget_minutes)
        print(kept.about(model))
        keep.insert(0, kept)
    memory = Memory(memory_for())
    learn, check = ready(run, data.split.train, memory), ready(run, data.split.validation, memory)
    if saved:
        model.restore(saved.state)
        listeners.write_losses(run.folder / "losses.csv", history)
    elif config.start_from:
        weights.start(model, config)
    _fit_memory(run, model, learn)
    try:
        return fit(
            model,
            learn,
            check,
            epochs=epochs,
            steps=steps_an_epoch(run),
            rate=schedule(
                config.schedule,
                config.learning_rate or 0.0,
                budget_minutes=config.time_budget_minutes,
                monitor=run.network.progress or run.network.best,
            ),
            seed=config.seed,
            history=history,
            listeners=[*keep, *stops, *show],
        )
    except OSError as error:
        raise RunError(
            f"{run.folder} could not be written: {error.strerror or error}. Make room on that disk, then run "
            "this cell again: training goes on from the last saved epoch."
        ) from error
    except RuntimeError as error:
        if "out of memory" not in str(error).lower() and "can't allocate memory" not in str(error):
            raise
        raise RunError(
            "Memory ran out while training. Close other programs and run this cell again: it goes on from "
            "the last whole epoch. Where that does not help, use a smaller patch_size under a new name."
        ) from error
    except KeyboardInterrupt:
        if not history:  # not one whole epoch: keep what there is, so that something can be tried
            for which in ("last", "best"):
                model.save(run.weights, which)  # type: ignore[arg-type]
            return "Interrupted in the first epoch. Run this cell again to begin anew."
        return (
            f"Interrupted after {listeners.epochs_text(len(history))}; what was learned is kept and usable. "
            "Run this cell again to go on from there."
        )
    finally:  # however it ended, the slower place has the newest state too
        states.mirror.update(force=True)


def _stops(run: Run) -> list[Listener]:
    stops: list[Listener] = []
    if run.config.early_stop_epochs:
        watched = run.network.progress or run.network.best
        stops.append(listeners.EarlyStop(watched, run.config.early_stop_epochs))
    if run.config.time_budget_minutes:
        stops.append(listeners.Budget(run.config.time_budget_minutes))
    return stops


def _ended(run: Run, history: History, stops: Sequence[Listener]) -> str:
    """Why there is nothing left to train; empty where there is."""
    epochs = run.config.epochs or 1
    if len(history) >= epochs:
        done = f"all {epochs} epochs are done" if epochs != 1 else "its one epoch is done"
        return f"This run is finished: {done}. Raise epochs to train on."
    if not history:
        return ""
    moment = Moment(run, epochs, steps_an_epoch(run), history, len(history))  # type: ignore[arg-type]
    reasons = [reason for stop in stops for reason in (stop.epoch(moment), stop.step(moment)) if reason]
    return f"This run is finished: {reasons[0]} Raise that limit to train on." if reasons else ""


def _fit_memory(run: Run, model: Model, samples: Sequence[Sample]) -> None:
    """Find how many patches memory holds at once; the answer holds for the whole run."""
    known = run.facts.extra.get("patches_at_once")
    if known is None:
        known = model.fit_memory(model.batch(samples, np.random.default_rng(run.config.seed)))
        extra = {**run.facts.extra, "patches_at_once": known, "arithmetic": model.arithmetic}
        write_plan(replace(run, facts=replace(run.facts, extra=extra)))
        if known < (run.config.batch_size or 1):
            print(
                f"Memory holds {known} patches at once: the batch of {run.config.batch_size} is done in "
                "parts, with the same learning rate."
            )
    model.part = known

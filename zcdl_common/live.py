"""Training as it goes: progress, time left, what was saved, the curve, and one held-out image."""

from __future__ import annotations

import html
import time
from typing import Any

from zcdl_common.data import Data
from zcdl_common.fit import Moment
from zcdl_common.listeners import Quiet, best_epoch, remaining, time_text
from zcdl_common.network import Model
from zcdl_common.patches import centre
from zcdl_common.run import Run
from zcdl_common.task import Array, Prediction, Sample, resolve
from zcdl_common.tiles import predict_tiled

CROP = {2: (512, 512), 3: (32, 256, 256)}
"""The middle of the held-out image that is predicted."""
SHARE = 0.04
"""Most of the training time that pictures may take."""


class LiveView(Quiet):
    """Shows training in widgets that are updated in place.

    Parameters
    ----------
    run
        What is trained.
    data
        Its images; the first validation image is shown.
    every_seconds
        Least time between two pictures after an epoch; within an epoch ten times that.
    """

    def __init__(self, run: Run, data: Data, every_seconds: float = 3.0):
        import ipywidgets as widgets

        self.run, self.every_seconds = run, every_seconds
        shown = data.split.validation or data.split.train
        self.sample: Sample | None = shown[0] if shown else None
        self.bar = widgets.FloatProgress(
            min=0.0, max=1.0, description="training", layout=widgets.Layout(width="520px")
        )
        self.text = widgets.HTML("The first step takes longest.")
        self.saved = widgets.HTML()
        self.image = widgets.Image(format="png", layout=widgets.Layout(display="none", max_width="100%"))
        self.widget = widgets.VBox([self.bar, self.text, self.saved, self.image])
        self.problem = ""
        self._held_out: tuple[Array, Any, Array | None] | None = None
        self._told = self._drawn = -float("inf")
        self._cost = 0.0
        self._displayed = False

    def step(self, moment: Moment) -> str | None:
        """Move the bar; draw where epochs are long."""
        now = time.monotonic()
        if now - self._told > 0.5 or moment.step == moment.steps:
            self._tell(moment, moment.epoch - 1 + moment.step / moment.steps)
        if moment.step < moment.steps and self._due(10 * self.every_seconds):
            self._draw(moment)
        return None

    def epoch(self, moment: Moment) -> str | None:
        """Tell the losses and what was saved; draw now and then, and after the last epoch."""
        self._tell(moment, moment.epoch)
        self.saved.value = _small(saved_text(self.run, moment))
        if self._due(self.every_seconds) or moment.epoch == moment.epochs:
            self._draw(moment)
        return None

    def _tell(self, moment: Moment, done: float) -> None:
        if not self._displayed:
            from IPython.display import display

            display(self.widget)
            self._displayed, self._drawn = True, time.monotonic()
        self._told = time.monotonic()
        self.bar.value = done / moment.epochs
        self.text.value = html.escape(progress_text(moment, self.run.config.time_budget_minutes)) + (
            f"<br>No live picture: {html.escape(self.problem)}" if self.problem else ""
        )

    def _due(self, every_seconds: float) -> bool:
        return time.monotonic() - self._drawn > max(every_seconds, self._cost / SHARE)

    def _draw(self, moment: Moment) -> None:
        if self.sample is None or self.problem:
            return
        begin = time.monotonic()
        try:
            self.image.value, width = self.picture(moment)
            self.image.layout.width, self.image.layout.display = f"{width}px", None
        except Exception as error:  # a picture is no reason to lose a training
            self.problem = f"{type(error).__name__}: {error}"
        self._drawn = time.monotonic()
        self._cost = self._drawn - begin

    def picture(self, moment: Moment) -> tuple[bytes, int]:
        """The losses so far, and what the network now says of the held-out image: PNG, and its width."""
        from zcdl_common import plots

        if self._held_out is None:
            assert self.sample is not None
            self._held_out = held_out(self.run, self.sample)
        image, limits, truth = self._held_out
        task, facts, rule = self.run.network.task, self.run.facts, self.run.network.best
        found = predict(self.run, moment.model, image, limits)
        score = None
        if truth is not None:
            score = resolve(task.scores)(truth, found, facts, image).get(self.run.network.primary)
        figure = plots.live(
            moment.history, image, found.main, truth, score,
            metric=self.run.network.primary, draw=task.drawing(facts), pixel_size=facts.pixel_size,
            best=best_epoch(moment.history, rule) + 1, picked=bool(rule.key),
        )  # fmt: skip
        return plots.png(figure), int(80 * figure.get_figwidth())


def held_out(run: Run, sample: Sample) -> tuple[Array, Any, Array | None]:
    """The middle of an image (Z)YXC, the limits of its scaling, and its truth where there is one.

    The limits are those of the whole image. A truth that is no image of the same size (boxes,
    points) cannot be cut, so the image stays whole.
    """
    image = sample.source.read()
    limits = run.scaling.limits(image)
    truth = run.network.task.read_target(sample, run.facts) if sample.target else None
    ndim = run.facts.ndim
    if truth is None or truth.shape[:ndim] == image.shape[:ndim]:
        size = window(image.shape[:ndim])
        image, truth = centre(image, size), truth if truth is None else centre(truth, size)
    return image, limits, truth


def window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Part of an image (Z)YX that is shown: at most `CROP`, and no strip too thin to see."""
    widest = 3 * min(shape[-2:])
    return (*CROP[len(shape)][:-2], *(min(most, widest) for most in CROP[len(shape)][-2:]))


def predict(run: Run, model: Model, image: Array, limits: Any) -> Prediction:
    """What the network in training says of a raw image (Z)YXC."""
    maps = predict_tiled(model.forward, image, model.geometry, scale=lambda a: run.scaling.apply(a, limits))
    return model.decode(maps, {**run.settings(), "shape": image.shape[:-1], "preview": True})


def progress_text(moment: Moment, budget_minutes: float | None = None) -> str:
    """``epoch 3 of 60, step 4 of 16; about 2 min 5 s to go; loss 0.41, validation loss 0.45``."""
    ended = len(moment.history) >= moment.epoch
    left = remaining(moment, budget_minutes)
    if moment.history and not ended:
        left -= time.perf_counter() - moment.started
    parts = [f"epoch {moment.epoch} of {moment.epochs}"]
    if not ended:
        parts[0] += f", step {moment.step} of {moment.steps}"
    if moment.epoch < moment.epochs or not ended:
        parts.append(f"about {time_text(max(left, 0.0))} to go")
    if moment.history:
        row = moment.history[-1]
        losses = [f"{what} {row[key]:.3g}" for key, what in LOSSES.items() if key in row]
        parts.append(", ".join(losses))
    return "; ".join(parts)


LOSSES = {"loss": "loss", "val_loss": "validation loss"}


def saved_text(run: Run, moment: Moment) -> str:
    """What would survive a crash now: weights and training state, where they are, and since when."""
    best = best_epoch(moment.history, run.network.best) + 1
    weights = "the best so far" if best == moment.epoch else f"and of the best one, epoch {best}"
    kept = f"{moment.epoch}, {weights}" if run.network.best.key else str(moment.epoch)
    text = f"Saved at {time.strftime('%H:%M:%S')} in {run.folder}: weights of epoch {kept}."
    if moment.epoch == moment.epochs:
        return text
    states = sorted((run.folder / "checkpoint").glob("epoch_*.npz"))
    if not states:
        return text + " The training state, to go on after a crash, is not yet in that folder."
    epoch = int(states[-1].stem.split("_")[1])
    at = time.strftime("%H:%M:%S", time.localtime(states[-1].stat().st_mtime))
    return f"{text} After a crash training goes on from epoch {epoch + 1} (state saved at {at})."


def _small(text: str) -> str:
    return f'<div style="opacity:.75;line-height:1.35;max-width:60em">{html.escape(text)}</div>'

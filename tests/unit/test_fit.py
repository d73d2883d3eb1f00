"""The training loop, driven by a model of three numbers: resume, stops, schedules, failures."""

import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from zcdl_common import checkpoint, listeners
from zcdl_common.errors import RunError
from zcdl_common.fit import Moment, batches, fit, schedule
from zcdl_common.network import Best

EPOCHS, STEPS, SEED = 5, 4, 7
TRUE = (1.0, -2.0, 0.5)


class Line:
    """Fits x @ w by momentum, with a pool of earlier batches mixed in as GANs do."""

    def __init__(self):
        self.w, self.momentum, self.pool = np.zeros(3), np.zeros(3), np.zeros((0, 3))
        self.seen, self.rates = [], []

    def batch(self, samples, rng):
        x = rng.normal(size=(8, 3)) + samples[rng.integers(len(samples))]
        return {"x": x, "y": x @ TRUE + rng.normal(0, 0.1, 8), "seed": rng.integers(2**62)}

    def step(self, batch, learning_rate):
        self.seen.append(batch["x"])
        self.rates.append(learning_rate)
        x = np.concatenate([batch["x"], self.pool])
        y = np.concatenate([batch["y"], self.pool @ TRUE])
        error = x @ self.w - y
        self.momentum = 0.9 * self.momentum + x.T @ error / len(x)
        self.w = self.w - learning_rate * self.momentum
        self.pool = np.random.default_rng(int(batch["seed"])).permutation(x)[:5]
        return {"loss": (error**2).mean(), "size": np.abs(self.w).sum()}

    def validate(self, samples):
        return {"val_loss": float(((self.w - TRUE) ** 2).sum())}

    def state(self):
        return {"w": self.w, "momentum": self.momentum, "pool": self.pool}

    def restore(self, state):
        self.w, self.momentum, self.pool = state["w"], state["momentum"], state["pool"]

    def save(self, folder, which):
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{which}.npy", self.w)


class Killed(BaseException):
    """Ends a training as SIGKILL does: nothing catches it."""


class At(listeners.Quiet):
    """Does something at a step, or at the end of an epoch where the step is None."""

    def __init__(self, epoch, step, act):
        self.place, self.act = (epoch, step), act

    def step(self, moment):
        return self.act(moment) if (moment.epoch, moment.step) == self.place else None

    def epoch(self, moment):
        return self.act(moment) if (moment.epoch, None) == self.place else None


def kill(moment):
    raise Killed


def run(model, *, history=None, hear=(), epochs=EPOCHS, rate=schedule("cosine", 0.05)):  # noqa: B008
    history = [] if history is None else history
    options = {"epochs": epochs, "steps": STEPS, "rate": rate, "seed": SEED}
    said = fit(model, [0.0, 1.0], [0.0], history=history, listeners=hear, **options)
    return said, history


def scores(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    model = Line()
    np.random.seed(0)
    epochs = {
        (seed, epoch): [b["x"] for b in batches(model, [0.0, 1.0], seed, epoch, STEPS)]
        for seed in (1, 2)
        for epoch in (3, 1, 2)
    }
    np.random.seed(99)
    for (seed, epoch), before in epochs.items():
        again = [b["x"] for b in batches(Line(), [0.0, 1.0], seed, epoch, STEPS)]
        np.testing.assert_array_equal(before, again)
        np.testing.assert_array_equal(
            before[:2], [b["x"] for b in batches(model, [0.0, 1.0], seed, epoch, 2)]
        )
    every = [x.tobytes() for batch in epochs.values() for x in batch]
    assert len(set(every)) == len(every) == 2 * 3 * STEPS


def test_the_next_batch_is_made_while_a_step_runs():
    made = [threading.Event() for _ in range(STEPS)]

    class Slow(Line):
        def batch(self, samples, rng):
            found = super().batch(samples, rng)
            next(event for event in made if not event.is_set()).set()
            return found

        def step(self, batch, learning_rate):
            following = min(len(self.seen) + 1, STEPS - 1)
            assert made[following].wait(timeout=10)
            return super().step(batch, learning_rate)

    run(Slow(), epochs=1)


@pytest.mark.parametrize("place", [(1, 1), (2, 3), (3, STEPS), (4, None), (5, 2)], ids=str)
def test_a_killed_training_ends_where_an_uninterrupted_one_ends(tmp_path, place):
    whole, expected = Line(), []
    run(whole, history=expected)

    def keep():
        return listeners.Checkpoints(tmp_path, tmp_path, Best())

    with pytest.raises(Killed):
        # killed before this epoch is saved: the last whole one is what counts
        run(Line(), hear=[At(*place, kill), keep()])
    saved = checkpoint.newest(tmp_path)
    assert (saved.epoch if saved else 0) == place[0] - 1
    resumed = Line()
    resumed.restore(saved.state if saved else resumed.state())
    said, history = run(resumed, history=saved.history if saved else [], hear=[keep()])
    assert said == f"All {EPOCHS} epochs are done."
    assert scores(history) == scores(expected)
    for key, value in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[key], value)


@pytest.mark.parametrize("forgotten", ["momentum", "pool"])
def test_a_state_that_forgets_something_ends_elsewhere(forgotten):
    # the test above would not notice a loop that resumes from the beginning, or a model without memory
    whole, half, cosine = Line(), Line(), schedule("cosine", 0.05)
    run(whole)
    _, history = run(half, epochs=2, rate=lambda m: cosine(replace(m, epochs=EPOCHS)))
    resumed = Line()
    resumed.restore({**half.state(), forgotten: getattr(Line(), forgotten)})
    run(resumed, history=history)
    assert not np.array_equal(resumed.w, whole.w)


def test_raising_the_epochs_goes_on_and_a_finished_training_does_nothing():
    model = Line()
    _, history = run(model, epochs=2)
    run(model, epochs=2, history=history)
    assert len(history) == 2 and len(model.seen) == 2 * STEPS
    run(model, epochs=3, history=history)
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_an_interrupt_leaves_whole_epochs_in_the_history(tmp_path):
    def interrupt(moment):
        raise KeyboardInterrupt

    history = []
    with pytest.raises(KeyboardInterrupt):
        run(
            Line(),
            history=history,
            hear=[At(3, 2, interrupt), listeners.Checkpoints(tmp_path, tmp_path, Best())],
        )
    assert [row["epoch"] for row in history] == [1, 2]
    assert scores(checkpoint.newest(tmp_path).history) == scores(history)


def test_a_row_holds_the_means_of_its_steps_the_scores_and_the_last_rate():
    class Known(Line):
        def step(self, batch, learning_rate):
            super().step(batch, learning_rate)
            return {"loss": float(len(self.seen)), "cycle": 2.0 * len(self.seen)}

    model = Known()
    _, history = run(model, epochs=2)
    assert [row["loss"] for row in history] == [2.5, 6.5]
    assert [row["cycle"] for row in history] == [5.0, 13.0]
    assert history[0]["learning_rate"] == model.rates[STEPS - 1]
    assert set(history[0]) == {"epoch", "loss", "cycle", "val_loss", "learning_rate", "seconds"}


def test_losses_csv_holds_what_the_history_holds(tmp_path):
    import csv

    _, history = run(Line(), hear=[listeners.LossesTable(tmp_path / "losses.csv")])
    with (tmp_path / "losses.csv").open(newline="") as stream:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]
    assert rows == history


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_and_is_never_saved(tmp_path, bad):
    class Diverging(Line):
        def step(self, batch, learning_rate):
            found = super().step(batch, learning_rate)
            return {**found, "loss": bad if len(self.seen) == 2 * STEPS + 2 else found["loss"]}

    history = []
    with pytest.raises(RunError, match=r"epoch 3.*learning_rate"):
        run(Diverging(), history=history, hear=[listeners.Checkpoints(tmp_path, tmp_path, Best())])
    assert len(history) == 2
    assert checkpoint.newest(tmp_path).epoch == 2


def scored(values, losses=None):
    """A model whose validation scores are `values`, and whose validation losses are `losses`."""

    class Scored(Line):
        def validate(self, samples):
            epoch = len(self.seen) // STEPS - 1
            return {"val_map50": values[epoch]} | ({"val_loss": losses[epoch]} if losses else {})

    return Scored()


@pytest.mark.parametrize(
    ("values", "losses", "mode", "ends"),
    [
        ([3, 2, 2.5, 2.5, 1], None, "min", 4),
        ([0.1, 0.5, 0.4, 0.6, 0.5], None, "max", 5),
        ([0.1, 0.5, 0.4, 0.5, 0.9], None, "max", 4),
        ([math.nan, math.nan, 0.5, 0.6, 0.7], None, "max", 5),
        ([0, 0, 0, 0, 0.1], [5, 4, 3, 2, 1], "max", 5),  # it learns, though nothing is found yet
        ([0, 0, 0, 0, 0.1], [5, 4, 4, 6, 1], "max", 4),
        ([1, 1, 1, 1, 1], [5, 4, 6, 5, 1], "max", 4),  # nothing is left to find, and it learns by heart
    ],
)
def test_early_stop_counts_from_the_best_epoch(values, losses, mode, ends):
    said, history = run(scored(values, losses), hear=[listeners.EarlyStop(Best("val_map50", mode), 2)])
    assert len(history) == ends
    assert ("No progress for 2 epochs" in said) == (ends < EPOCHS)


@pytest.mark.parametrize(
    ("values", "losses", "rule", "best"),
    [
        ([0.1, 0.5, 0.4, 0.5, 0.3], None, Best("val_map50", "max"), 2),
        ([0.1, 0.5, 0.05, 0.5, 0.3], None, Best("val_map50", "min"), 3),
        ([0.1, 0.5, 0.4, 0.5, 0.3], None, Best(""), 5),
        ([math.nan, 0.5, math.nan, 0.7, math.nan], None, Best("val_map50", "max"), 4),
        ([math.nan, math.nan, 0.5, math.nan, 0.7], None, Best("val_map50", "min"), 3),
        ([math.nan] * 5, None, Best("val_map50", "max"), 5),
        ([0] * 5, [5, 3, 2, 4, 3], Best("val_map50", "max"), 3),
        ([0, 0.5, 0.5, 0.4, 0.5], [5, 3, 2, 1, 4], Best("val_map50", "max"), 3),
        ([0.2] * 5, [5, 3, 2, 4, 3], Best("val_map50", "min"), 3),
        ([0] * 5, [math.nan, 3, math.nan, 2, 2], Best("val_map50", "max"), 4),
        ([math.nan] * 5, [5, 3, 2, 4, 3], Best("val_map50", "max"), 5),
    ],
)
def test_the_best_weights_are_those_of_the_best_epoch(tmp_path, values, losses, rule, best):
    model, weights = scored(values, losses), {}
    note = listeners.Quiet()
    note.epoch = lambda moment: weights.update({moment.epoch: model.w})
    run(model, hear=[listeners.Weights(tmp_path / "weights", rule), note])
    np.testing.assert_array_equal(np.load(tmp_path / "weights" / "best.npy"), weights[best])
    np.testing.assert_array_equal(np.load(tmp_path / "weights" / "last.npy"), weights[EPOCHS])


def test_the_time_limit_counts_earlier_sessions_and_keeps_what_was_learned(tmp_path):
    history = [{"epoch": 1, "loss": 1.0, "val_loss": 1.0, "learning_rate": 0.1, "seconds": 120.0}]
    model = Line()
    keep = [listeners.Budget(2.0), listeners.Checkpoints(tmp_path, tmp_path, Best())]
    said, history = run(model, history=history, hear=keep)
    assert "time limit of 2 minutes" in said
    assert len(model.seen) == 1, "one step, then the limit is noticed"
    assert [row["epoch"] for row in history] == [1, 2]
    np.testing.assert_array_equal(checkpoint.newest(tmp_path).state["w"], model.w)


def test_every_listener_hears_the_step_at_which_one_stops():
    heard = []
    after = At(2, 3, lambda moment: heard.append(moment.step))
    said, history = run(Line(), hear=[At(2, 3, lambda m: "Enough."), after, At(2, None, heard.append)])
    assert said == "Enough."
    assert heard[0] == 3 and isinstance(heard[1], Moment) and len(history) == 2


def at(epoch, step, history=(), epochs=10, steps=10):
    return Moment(None, epochs, steps, list(history), epoch, step)


def test_schedules_start_at_the_learning_rate_and_end_where_they_say():
    ends = {"cosine": (0.5 * 1.01, 0.01), "linear": (1.0, 0.0), "constant": (1.0, 1.0)}
    for kind, (half, end) in ends.items():
        rate = schedule(kind, 0.3)
        assert rate(at(1, 0)) == pytest.approx(0.3)
        assert rate(at(6, 0)) == pytest.approx(0.3 * half)
        assert rate(at(10, 10)) == pytest.approx(0.3 * end)


def test_cosine_follows_the_time_limit_where_that_ends_first():
    used = [{"seconds": 30.0}]
    rate = schedule("cosine", 1.0, budget_minutes=1.0)
    assert rate(at(2, 0, used)) == pytest.approx(0.505, abs=1e-3)
    assert schedule("cosine", 1.0, budget_minutes=1000.0)(at(6, 0, used)) == pytest.approx(0.505, abs=1e-3)


def test_plateau_halves_when_progress_ends_and_again_later():
    rate = schedule("plateau", 1.0, patience=2)
    losses = [3.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5]
    rates = [rate(at(n, 0, [{"val_loss": v} for v in losses[:n]])) for n in range(len(losses) + 1)]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize(("mode", "expected"), [("max", [1, 2, 3, 4, 5]), ("min", [1, 1, 1, 1, 1])])
def test_the_slow_place_gets_the_state_of_every_best_epoch_at_once(tmp_path, mode, expected):
    remote, copied = tmp_path / "remote", []

    class Look(listeners.Quiet):
        def epoch(self, moment):
            copied.append(checkpoint.newest(remote).epoch)

    rule = Best("epoch", mode)  # every epoch is the best so far, or the first one stays it
    run(Line(), hear=[listeners.Checkpoints(tmp_path / "local", remote, rule), Look()])
    assert copied == expected


def test_where_the_last_epoch_counts_the_slow_place_waits_for_its_interval(tmp_path):
    local, remote, copied = tmp_path / "local", tmp_path / "remote", []

    class Look(listeners.Quiet):
        def epoch(self, moment):
            copied.append(checkpoint.newest(remote).epoch)

    run(Line(), hear=[listeners.Checkpoints(local, remote, Best("")), Look()])
    assert copied == [1] * EPOCHS and checkpoint.newest(local).epoch == EPOCHS


@pytest.mark.parametrize("rule", [Best(""), Best("epoch", "max")])
def test_every_epoch_writes_its_networks_once_and_both_sets_of_weights_hold_them(tmp_path, rule):
    class Two(Line):
        saved = 0

        def save(self, folder, which):
            super().save(folder, which)
            np.save(folder / f"{which}_judge.npy", -self.w)
            self.saved += 1

    model = Two()
    run(model, hear=[listeners.Weights(tmp_path, rule)])
    assert model.saved == EPOCHS
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {f"{which}{part}.npy" for which in ("last", "best") for part in ("", "_judge")}
    for part, sign in (("", 1), ("_judge", -1)):
        np.testing.assert_array_equal(np.load(tmp_path / f"best{part}.npy"), sign * model.w)


def test_a_kill_while_the_best_weights_are_copied_leaves_whole_ones(tmp_path, monkeypatch):
    """They are of this epoch or of the one before, and going on makes them those of the last."""
    real, copies, seen = listeners.shutil.copyfile, [], {}

    def killed(source, target):
        copies.append(target)
        if len(copies) == 3:
            target.write_bytes(b"half")
            raise Killed
        return real(source, target)

    states, weights = tmp_path / "states", tmp_path / "weights"

    def hear():
        note = At(None, None, None)
        note.epoch = lambda moment: seen.update({moment.epoch: moment.model.w})
        rule = Best("")
        return [note, listeners.Weights(weights, rule), listeners.Checkpoints(states, states, rule)]

    with monkeypatch.context() as patch:
        patch.setattr(listeners.shutil, "copyfile", killed)
        with pytest.raises(Killed):
            run(Line(), hear=hear())
    assert sorted(path.name for path in weights.iterdir()) == ["best.npy", "last.npy"]
    np.testing.assert_array_equal(np.load(weights / "best.npy"), seen[2])
    saved = checkpoint.newest(states)
    assert saved.epoch == 2
    model = Line()
    model.restore(saved.state)
    run(model, history=saved.history, hear=hear())
    for which in ("best", "last"):
        np.testing.assert_array_equal(np.load(weights / f"{which}.npy"), model.w)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_any_number_is_better_than_none_and_a_column_may_be_empty(mode):
    rule = Best("val_iou", mode)
    rows = nothing, score, _ = [{"val_iou": v} for v in (math.nan, 0.3, math.nan)]
    assert rule.better(score, nothing) and not rule.better(nothing, nothing)
    assert not rule.better(nothing, score)
    assert listeners.best_epoch(rows, rule) == 1
    assert listeners.best_epoch([{}, *rows, {}], rule) == 2, "an older table may lack the column"
    assert listeners.best_epoch([{"val_iou": math.nan}] * 3, rule) == 2


def test_one_is_no_plural():
    rate = schedule("constant", 0.1)
    done = [{"epoch": 1.0}]
    assert fit(Line(), [], [], epochs=1, steps=1, rate=rate, seed=0, history=done) == "The one epoch is done."
    late = SimpleNamespace(seconds=1e4)
    assert [listeners.Budget(n).step(late) for n in (1.0, 1.5)] == [
        "The time limit of 1 minute is reached.",
        "The time limit of 1.5 minutes is reached.",
    ]

import numpy as np
import pandas as pd
import pytest

from zcdl_common import listeners, session, training
from zcdl_common.errors import RunError
from zcdl_common.run import open_run


class At:
    """Does something at a step of an epoch."""

    def __init__(self, epoch, do):
        self.at, self.do = epoch, do

    def step(self, moment):
        return self.do(moment) if moment.epoch == self.at else None

    def epoch(self, moment):
        return None


def interrupt(moment):
    raise KeyboardInterrupt


def test_the_losses_table_has_a_row_an_epoch(finished):
    table = pd.read_csv(finished.folder / "losses.csv")
    assert table["epoch"].tolist() == [1, 2]
    assert {"loss", "val_loss", "val_iou", "learning_rate", "seconds"} <= set(table.columns)
    assert table["learning_rate"].is_monotonic_decreasing and (table["seconds"] > 0).all()


def test_a_score_that_was_no_number_comes_back_as_such(trained):
    path = trained.folder / "losses.csv"
    table = pd.read_csv(path)
    table.loc[1, "val_loss"] = np.nan
    table.to_csv(path, index=False)
    history = trained.history()
    assert np.isnan(history[1]["val_loss"]) and history[0]["val_loss"] == table["val_loss"][0]
    assert listeners.best_epoch(history, trained.network.best) == 0


def test_the_same_seed_repeats_a_run_bit_by_bit(finished, images_2d, make, tmp_path):
    again, _ = make.train(images_2d, tmp_path)
    one, other = finished.load("last").state(), again.load("last").state()
    assert all(np.array_equal(one[k], other[k]) for k in one)
    another, _ = make.train(images_2d, tmp_path, name="b", seed=1)
    assert not all(np.array_equal(one[k], v) for k, v in another.load("last").state().items())


def test_best_weights_are_those_of_the_best_epoch(images_2d, make, tmp_path):
    run, data = make.begin(images_2d, tmp_path, epochs=5, learning_rate=0.3, schedule="constant")
    kept = []

    class Keep:
        def step(self, moment):
            return None

        def epoch(self, moment):
            kept.append({k: v for k, v in moment.model.state().items() if k.startswith("module/")})

    session.train(run, data, [Keep()])
    losses = [row["val_loss"] for row in run.history()]
    best = run.load("best").state()
    assert all(np.array_equal(v, best[k]) for k, v in kept[int(np.argmin(losses))].items())
    last = run.load("last").state()
    assert all(np.array_equal(v, last[k]) for k, v in kept[-1].items())


def test_stopping_in_mid_epoch_and_going_on_ends_where_a_straight_run_ends(images_2d, make, tmp_path):
    straight, data = make.train(images_2d, tmp_path / "a", epochs=4)
    run, _ = make.begin(images_2d, tmp_path / "b", epochs=4)
    for epoch in (2, 4):
        session.train(run, data, [At(epoch, interrupt)])
        assert len(open_run(run.folder).history()) == epoch - 1
    session.train(run, data)
    one, other = straight.load("last").state(), run.load("last").state()
    assert all(np.array_equal(one[k], other[k]) for k in one)
    losses = [[row["val_loss"] for row in r.history()] for r in (straight, run)]
    assert losses[0] == losses[1]


def test_an_interrupt_in_the_first_epoch_keeps_something_to_try(images_2d, make, tmp_path):
    run, data = make.begin(images_2d, tmp_path)
    assert "Interrupted" in session.train(run, data, [At(1, interrupt)])
    assert run.load().parameters() > 0 and run.history() == []
    session.train(run, data)
    assert len(run.history()) == 2


def test_a_loss_that_is_no_number_ends_training_with_advice(images_2d, make, tmp_path):
    run, data = make.begin(images_2d, tmp_path, epochs=3)

    def break_it(moment):
        for parameter in moment.model.net.parameters():
            parameter.data.fill_(float("nan"))

    with pytest.raises(RunError, match=r"epoch 2.*learning_rate"):
        session.train(run, data, [At(2, break_it)])
    assert len(run.history()) == 1
    assert all(np.isfinite(v).all() for v in run.load().state().values()), "what was good is kept"


def test_memory_is_probed_once_and_recorded(images_2d, make, tmp_path, monkeypatch):
    run, data = make.begin(images_2d, tmp_path, epochs=1)
    from zcdl_common.models.unet import UNetModel

    monkeypatch.setattr(UNetModel, "fit_memory", lambda self, batch: 2)
    session.train(run, data)
    assert open_run(run.folder).facts.extra["patches_at_once"] == 2
    monkeypatch.setattr(UNetModel, "fit_memory", lambda self, batch: pytest.fail("probed again"))
    longer, data = make.begin(images_2d, tmp_path, epochs=2)
    session.train(longer, data)
    assert len(longer.history()) == 2


def test_a_batch_that_does_not_fit_memory_is_halved():
    from zcdl_common.models._torch import largest_part

    def attempt(limit):
        def run(part):
            if part > limit:
                raise RuntimeError("[enforce fail] can't allocate memory: you tried to allocate 9 bytes")

        return run

    assert [largest_part(16, attempt(n)) for n in (16, 15, 5, 1)] == [16, 8, 4, 1]
    with pytest.raises(RunError, match=r"single patch.*patch_size"):
        largest_part(16, attempt(0))
    with pytest.raises(RuntimeError, match="shape"):
        largest_part(4, lambda part: (_ for _ in ()).throw(RuntimeError("shape mismatch")))


def test_raising_a_spent_time_limit_goes_on(images_2d, make, tmp_path):
    run, data = make.begin(images_2d, tmp_path, epochs=3, time_budget_minutes=1e-5)
    session.train(run, data)
    assert "Raise that limit" in session.train(run, data)
    longer, data = make.begin(images_2d, tmp_path, epochs=3, time_budget_minutes=10)
    session.train(longer, data)
    assert len(longer.history()) == 3
    assert training.steps_an_epoch(longer) == 2


def test_memory_that_runs_out_is_said_in_plain_words(make, images_2d, tmp_path):
    run, data = make.begin(images_2d, tmp_path, epochs=3)

    def exhausted(moment):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(RunError, match=r"Memory ran out.*smaller patch_size"):
        session.train(run, data, [At(2, exhausted)])
    assert len(session.open_run(run.folder).history()) == 1
    assert "All 3 epochs" in session.train(run, data)

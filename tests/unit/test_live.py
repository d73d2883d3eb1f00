"""The live view: told every step, drawn now and then, and never a reason to lose a training."""

import time
from dataclasses import replace

import numpy as np
import pytest
from held import Held

from zcdl_common import live
from zcdl_common.data import Data
from zcdl_common.fit import Moment
from zcdl_common.network import Best
from zcdl_common.networks.unet import UNET, UNetConfig
from zcdl_common.plots import style
from zcdl_common.run import Run
from zcdl_common.task import Facts, Sample, Split


class Bright:
    """A network that takes bright pixels for foreground, and remembers what it was shown."""

    def __init__(self):
        from zcdl_common.network import Geometry

        self.geometry, self.seen = Geometry((1, 1), (0, 0)), []

    def forward(self, tiles):
        self.seen.append(tiles.shape[1:3])
        return (tiles.clip(0, 1).astype(np.float32),)

    def decode(self, maps, settings):
        from zcdl_common.segmenting import decode

        return decode(maps[0], settings["threshold"])


@pytest.fixture
def run(tmp_path):
    facts = Facts(2, ("grey",), ((64, 64),), "uint8", classes=(0, 1))
    return Run(tmp_path, UNET, UNetConfig(epochs=3), facts, {})


@pytest.fixture
def data():
    truth = np.zeros((64, 64), np.int32)
    truth[20:40, 20:40] = 1
    sample = Sample("a", "a", Held((truth[..., None] * 200).astype(np.uint8)), Held(truth))
    return Data(Split((sample,), (sample,)))


@pytest.fixture(autouse=True)
def _nothing_displayed(monkeypatch):
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda *_: None)


def moment(epoch=1, step=1, done=0, model=None, steps=4):
    history = [
        {"epoch": e, "loss": 0.5, "val_loss": 0.6 - e / 10, "learning_rate": 1e-3, "seconds": 8.0}
        for e in range(1, done + 1)
    ]
    return Moment(model or Bright(), 3, steps, history, epoch, step, time.perf_counter())


def test_the_bar_moves_with_every_step_and_is_full_at_the_end(run, data):
    view = live.LiveView(run, data)
    view.step(moment(epoch=2, step=4, done=1))
    assert view.bar.value == pytest.approx(2 / 3)
    view.epoch(moment(epoch=3, step=4, done=3))
    assert view.bar.value == 1.0


def test_the_last_epoch_is_drawn_with_the_score_of_the_prediction(run, data, monkeypatch):
    drawn = {}

    def picture(table, source, prediction, truth, score, **more):
        drawn.update(rows=len(table), score=score, prediction=prediction, **more)
        return style.new_figure(2, 1)

    monkeypatch.setattr("zcdl_common.plots.live", picture)
    view = live.LiveView(run, data, every_seconds=1000)
    view.epoch(moment(epoch=2, step=4, done=2))
    assert not drawn, "too early"
    view.epoch(moment(epoch=3, step=4, done=3))
    assert view.problem == ""
    assert (drawn["rows"], drawn["score"], drawn["metric"]) == (3, 1.0, "iou")
    assert (drawn["best"], drawn["picked"]) == (3, True)
    assert bytes(view.image.value).startswith(b"\x89PNG")


def test_the_best_epoch_that_is_marked_is_the_one_that_is_kept(run, data, monkeypatch):
    marked = []

    def picture(*_, best, **more):
        marked.append(best)
        return style.new_figure(2, 1)

    monkeypatch.setattr("zcdl_common.plots.live", picture)
    by_score = replace(run, network=replace(run.network, best=Best("val_iou", "max")))
    now = moment(epoch=3, step=4, done=3)
    for row, score in zip(now.history, (0.2, 0.7, 0.5), strict=True):
        row["val_iou"] = score
    live.LiveView(by_score, data).epoch(now)
    assert marked == [2]


def test_pictures_keep_to_their_share_of_the_time(run, data, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])

    def slow(moment):
        clock[0] += 2.0
        return b"png", 100

    view = live.LiveView(run, data, every_seconds=3.0)
    monkeypatch.setattr(view, "picture", slow)
    spent = 0.0
    for _ in range(1000):
        before = clock[0]
        view.epoch(moment(epoch=1, step=4, done=1))
        spent += clock[0] - before
        clock[0] += 1.0
    assert 0 < spent / clock[0] < 0.05


def test_a_picture_that_fails_does_not_end_the_training_and_is_said(run, data, monkeypatch):
    view = live.LiveView(run, data)

    def broken(moment):
        raise ValueError("no such <thing>")

    monkeypatch.setattr(view, "picture", broken)
    assert view.epoch(moment(epoch=3, step=4, done=3)) is None
    view.step(moment(epoch=3, step=4, done=2))
    assert "No live picture: ValueError: no such &lt;thing&gt;" in view.text.value


def test_an_interruption_passes_through(run, data, monkeypatch):
    view = live.LiveView(run, data)

    def interrupted(moment):
        raise KeyboardInterrupt

    monkeypatch.setattr(view, "picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        view.epoch(moment(epoch=3, step=4, done=3))


def test_large_images_are_cut_after_their_scaling_was_measured(run):
    image = np.zeros((600, 2000, 1), np.uint8)
    image[0, :, 0] = 255  # outside of the middle
    truth = np.zeros((600, 2000), np.int32)
    cut, limits, truth_cut = live.held_out(run, Sample("a", "a", Held(image), Held(truth)))
    assert cut.shape == (512, 512, 1)
    assert truth_cut.shape == (512, 512)
    np.testing.assert_array_equal(limits, run.scaling.limits(image))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2000, 2000), (512, 512)), ((56, 512), (168, 168)), ((90, 80, 80), (32, 240, 240))],
)
def test_the_window_is_bounded_and_no_thin_strip(shape, expected):
    assert live.window(shape) == expected


@pytest.mark.parametrize(
    ("done", "expected"), [(0, "about 55 s to go"), (1, "about 16 s to go"), (3, "epoch 3 of 3; loss")]
)
def test_time_left_and_losses(done, expected):
    now = moment(epoch=max(done, 1), step=1, done=done)
    if not done:
        now.started -= 5.0  # 12 steps at 5 s, one of them done
    assert expected in live.progress_text(now)


def test_time_left_never_exceeds_the_time_limit():
    assert "about 2 s to go" in live.progress_text(moment(epoch=1, step=4, done=1), budget_minutes=10 / 60)


def test_saved_text_names_what_where_and_from_where_training_goes_on(run):
    now = moment(epoch=2, step=4, done=2)
    assert "not yet in that folder" in live.saved_text(run, now)
    (run.folder / "checkpoint").mkdir()
    (run.folder / "checkpoint" / "epoch_000002.npz").touch()
    text = live.saved_text(run, now)
    assert str(run.folder) in text
    assert "weights of epoch 2, the best so far" in text
    assert "goes on from epoch 3" in text

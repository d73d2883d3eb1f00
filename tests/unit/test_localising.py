"""Localisation as a task: positions, facts, scores, the threshold and the classical method."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from matplotlib.figure import Figure

from zcdl_common import localising, plots
from zcdl_common.errors import DataError
from zcdl_common.metrics import localisation, localisation_intervals
from zcdl_common.metrics.localisation_intervals import intervals, rates
from zcdl_common.networks.tasks import LOCALISE
from zcdl_common.plots.labels import better, metric_label
from zcdl_common.report.terms import DEFINITIONS
from zcdl_common.smlm import simulate, tables
from zcdl_common.smlm.camera import SCMOS
from zcdl_common.smlm.localisations import Localisations, of_frames
from zcdl_common.task import Facts, Prediction, Sample, resolve

PIXEL = (0.1, 0.1)
SHAPE = (40, 48)
FACTS = Facts(2, ("c",), (SHAPE,), "uint16", pixel_size=PIXEL)


def sample(frame, yx, name="s", group="g"):
    """A frame YX with the positions in it, as images and tables give them."""
    info = SimpleNamespace(shape=frame.shape, pixel_size=PIXEL)
    image = frame[..., None]
    source = SimpleNamespace(read=lambda: image, open=lambda: image, info=lambda: info)
    truth = Localisations(np.zeros(len(yx), np.int64), np.asarray(yx, float).reshape(-1, 2))
    return Sample(name, group, source, SimpleNamespace(read=lambda: truth))


def simulated(n=12, density=1.0, seed=0):
    """Samples of simulated frames of `SHAPE`."""
    simulation = simulate.Simulation(density=(density, density), photons=(2000.0, 4000.0))
    frames, on = simulate.frames(np.random.default_rng(seed), simulation, n, SHAPE)
    return [sample(f, on.yx[on.frame == t], f"s{t}", f"g{t}") for t, f in enumerate(frames)]


def guesses(seed=0, n=10, each=30):
    """True and found positions of frames: some found, some missed, some invented."""
    rng = np.random.default_rng(seed)
    truths = [rng.uniform(0, 40, (each, 2)).astype(np.float32) for _ in range(n)]
    said = []
    for truth in truths:
        near = truth[: each * 2 // 3] + rng.normal(0, 0.7, (each * 2 // 3, 2))
        main = np.concatenate([near, rng.uniform(0, 40, (each // 4, 2))]).astype(np.float32)
        said.append(Prediction(main, {"scores": rng.uniform(0, 1, len(main)).astype(np.float32)}))
    return truths, said


# -- truth and facts -------------------------------------------------------------------------------


def test_true_positions_are_those_inside_the_frame():
    frame = np.zeros(SHAPE, np.uint16)
    points = localising.points_of(sample(frame, [(0, 0), (-0.1, 3), (39.5, 47.5), (40, 3), (3, 48.2)]), FACTS)
    assert points.tolist() == [[0, 0], [39.5, 47.5]] and points.dtype == np.float32
    assert localising.points_of(sample(frame, []), FACTS).shape == (0, 2)


def test_facts_are_light_and_density():
    samples = [sample(np.full(SHAPE, 3, np.uint16), np.full((5, 2), 2.0)), sample(np.full(SHAPE, 7), [])]
    extra = localising.point_facts(samples, None)["extra"]
    area = 4.0 * 4.8
    assert extra["source_mean"] == (5.0,) and extra["source_sd"] == (2.0,)
    assert extra["frames"] == 2 and extra["emitters"] == 5
    assert extra["density"] == pytest.approx(2.5 / area) and extra["densest"] == pytest.approx(5 / area)


def test_frames_without_tables_have_light_alone_and_empty_tables_are_said():
    blind = replace(sample(np.full(SHAPE, 3), []), target=None)
    assert set(localising.point_facts([blind], None)["extra"]) == {"source_mean", "source_sd"}
    with pytest.raises(DataError, match="no position"):
        localising.point_facts([sample(np.full(SHAPE, 3), [])], None)


# -- scores ----------------------------------------------------------------------------------------


def test_scores_of_one_frame_by_hand():
    truth = np.array([[10, 10], [20, 20], [30, 30], [5, 40]], np.float32)
    said = np.array(
        [[10.3, 10], [20, 20.8], [32.4, 30], [38, 5], [0, 0]], np.float32
    )  # 30, 80, 240 nm; no, no
    found = localising.scores(truth, Prediction(said), FACTS, None)
    assert found["n_true"] == 4 and found["n_found"] == 5
    assert found["recall"] == 3 / 4 and found["precision"] == 3 / 5 and found["jaccard"] == 3 / 6
    assert found["jaccard_100"] == pytest.approx(2 / 7) and found["jaccard_50"] == pytest.approx(1 / 8)
    assert found["rmse_nm"] == pytest.approx(np.sqrt((30**2 + 80**2 + 240**2) / 3), rel=1e-4)
    assert localising.scores(None, Prediction(said), FACTS, None) == {"n_found": 5}


def test_scores_of_a_set_are_those_of_all_frames_together():
    truths, said = guesses()
    together = localisation.scores(of_frames(truths), localising.stacked(said), PIXEL)
    found = localising.set_scores(truths, said, FACTS)
    for key in ("jaccard", "recall", "precision", "rmse_nm", "shift_y_nm", "shift_x_nm"):
        assert found[key].mean == pytest.approx(together[key], rel=1e-6)
        assert found[key].low < found[key].mean < found[key].high
    for radius in (100, 50):
        tight = localisation.scores(of_frames(truths), localising.stacked(said), PIXEL, radius)
        assert found[f"jaccard_{radius}"].mean == pytest.approx(tight["jaccard"])
    assert localising.set_scores([None] * len(said), said, FACTS) == {}
    some = localising.set_scores([None, *truths[1:]], said, FACTS, groups=list("abcdefghij"))
    assert (
        some["recall"]
        == localising.set_scores(truths[1:], said[1:], FACTS, groups=list("bcdefghij"))["recall"]
    )


def test_frames_of_one_group_are_drawn_together():
    truths, said = guesses(n=12)
    counts = localising.counts(truths, said, FACTS)
    assert intervals(counts, groups=["a"] * 6 + ["b"] * 6)["jaccard"].low is None
    double = np.concatenate([counts, counts])  # the same evidence, told twice
    once = intervals(counts, groups=[str(n) for n in range(12)])["jaccard"]
    twice = intervals(double, groups=[str(n) for n in range(12)] * 2)["jaccard"]
    alone = intervals(double)["jaccard"]
    assert twice.high - twice.low == pytest.approx(once.high - once.low)
    assert alone.high - alone.low < 0.85 * (once.high - once.low)


def test_intervals_hold_the_score_of_many_frames():
    truths, said = guesses(n=600, each=12)
    everything = localising.counts(truths, said, FACTS)
    true = rates(everything.sum(0))
    parts = [intervals(part, n=300) for part in np.split(everything, 30)]
    for key in ("jaccard", "rmse_nm"):
        held = [part[key].low <= true[key] <= part[key].high for part in parts]
        assert np.mean(held) >= 0.8  # 24 of 30 where 28.5 are expected


def test_nothing_there_and_nothing_found_are_told_apart():
    none = np.zeros((0, 2), np.float32)
    assert localising.scores(none, Prediction(none), FACTS, None)["n_true"] == 0
    assert np.isnan(localising.set_scores([none], [Prediction(none)], FACTS)["jaccard"].mean)
    missed = localising.set_scores([np.ones((3, 2), np.float32)], [Prediction(none)], FACTS)
    assert missed["jaccard"].mean == missed["recall"].mean == missed["precision"].mean == 0
    assert np.isnan(missed["rmse_nm"].mean)


def test_the_better_method_is_told_and_two_equal_ones_too():
    truths, said = guesses(n=12)
    perfect = [Prediction(t, {"scores": np.ones(len(t), np.float32)}) for t in truths]
    how = {"groups": [str(n) for n in range(12)], "margin": 0.01, "seed": 0}
    good = localising.set_comparison(truths, perfect, said, FACTS, **how)
    assert good.verdict == "better" and good.network.mean == 1 and good.independent == good.n == 12
    assert localising.set_comparison(truths, said, perfect, FACTS, **how).verdict == "worse"
    assert localising.set_comparison(truths, said, said, FACTS, **how).verdict == "same"
    with pytest.raises(DataError, match="same frames"):
        localisation_intervals.compare(
            localising.counts(truths, said, FACTS),
            localising.counts(truths[:5], said[:5], FACTS),
            margin=0.01,
        )


def test_random_points_reach_much_at_250_nanometres_and_little_at_50():
    rng = np.random.default_rng(0)
    truth, chance = (of_frames([rng.uniform(0, 64, (246, 2)) for _ in range(20)]) for _ in range(2))
    assert localisation.scores(truth, chance, PIXEL)["jaccard"] > 0.3
    assert localisation.scores(truth, chance, PIXEL, 50)["jaccard"] < 0.05


# -- threshold -------------------------------------------------------------------------------------


def test_the_threshold_is_the_best_of_all_when_each_is_decoded_and_matched_anew():
    truths, said = guesses(n=6)
    rng = np.random.default_rng(1)
    for t, p in zip(truths, said, strict=True):  # what is right is surer on average
        right = np.arange(len(p.main)) < len(t) * 2 // 3
        p.extra["scores"][:] = np.clip(rng.normal(np.where(right, 0.6, 0.35), 0.15), 0.015, 0.985)
    asked = []

    def decode(maps, settings):
        asked.append(settings)
        p = said[maps[0]]
        kept = p.extra["scores"] >= settings["threshold"]
        return Prediction(p.main[kept], {"scores": p.extra["scores"][kept]})

    outputs = [((n,), truth, SHAPE) for n, truth in enumerate(truths)]
    chosen = localising.choose_settings(decode, iter(outputs), FACTS)
    assert len(asked) == 6 and all(s["shape"] == SHAPE for s in asked)
    best = {}
    for threshold in chosen["thresholds"]:
        kept = [decode((n,), {"threshold": threshold}) for n in range(6)]
        best[threshold] = localisation.scores(of_frames(truths), localising.stacked(kept), PIXEL)["jaccard"]
    np.testing.assert_allclose(chosen["curve"], list(best.values()), atol=1e-12)
    assert best[chosen["threshold"]] == max(best.values()) and 0.2 < chosen["threshold"] < 0.7
    assert "250 nm" in chosen["curve_of"]
    assert localising.choose_settings(decode, iter([]), FACTS) == {}


def test_of_equal_thresholds_the_middle_one_is_taken():
    truth = np.array([[5, 5], [20, 20]], np.float32)
    said = Prediction(np.concatenate([truth, [[35, 35]]]), {"scores": np.array([0.8, 0.9, 0.2], np.float32)})
    chosen = localising.choose_settings(lambda maps, settings: said, [((0,), truth, SHAPE)], FACTS)
    assert chosen["threshold"] == pytest.approx(0.5, abs=0.02) and max(chosen["curve"]) == 1
    assert chosen["error_px"] == pytest.approx(0, abs=1e-6)


def test_the_error_of_positions_is_that_of_matches_along_an_axis():
    rng = np.random.default_rng(0)
    truth = (10 * np.stack(np.mgrid[:20, :20], -1).reshape(-1, 2) + 5).astype(np.float32)
    said = Prediction(truth + rng.normal(0, 0.2, truth.shape), {"scores": np.ones(len(truth))})
    chosen = localising.choose_settings(lambda maps, settings: said, [((0,), truth, (200, 200))], FACTS)
    assert chosen["error_px"] == pytest.approx(0.2, rel=0.1)


# -- the classical method --------------------------------------------------------------------------


def test_the_classical_method_finds_sparse_molecules_and_knows_photons_of_a_known_camera(monkeypatch):
    monkeypatch.setattr("zcdl_common.baselines.localise.MOST_EMITTERS", 100)
    train, test = simulated(8, 0.5), simulated(6, 0.5, seed=1)
    camera = {"offset": 100.0, "gain": 1 / SCMOS.gain, "read_noise": 1.6}
    facts = replace(FACTS, extra={"camera": camera})
    method = localising.baseline(train, facts, 0)
    said = [method.predict(s.source.read()) for s in test]
    assert all(p.main.shape == (len(p.extra["scores"]), 2) for p in said)
    found = localising.set_scores([localising.points_of(s, facts) for s in test], said, facts)
    assert found["jaccard"].mean > 0.85 and found["rmse_nm"].mean < 40
    assert abs(found["shift_y_nm"].mean) < 8 and abs(found["shift_x_nm"].mean) < 8
    photons = np.concatenate([p.extra["photons"] for p in said])
    assert 2000 < np.median(photons) < 4000
    assert set(said[0].extra) == {"scores", "photons", "uncertainty"}


# -- pictures --------------------------------------------------------------------------------------


def panel(draw, *given, **named):
    axes = Figure().subplots()
    said = draw(axes, *given, **named)
    return axes, said


def test_right_missed_and_invented_positions_are_drawn_apart():
    truth = np.array([[10, 10], [20, 20]], np.float32)
    found = np.array([[10.5, 10], [30, 5], [-1, 3]], np.float32)
    source = np.random.default_rng(0).random((*SHAPE, 1))
    axes, said = panel(plots.draw_position_errors, truth, found, pixel_size=PIXEL, source=source)
    drawn = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"o": [[20, 20]], ".": [[10, 10.5]], "x": [[5, 30], [3, -1]]}
    assert len({line.get_markeredgecolor() for line in axes.lines}) == 3
    assert axes.get_xlim() == (0, 48) and axes.get_ylim() == (40, 0) and "250 nm" in said
    axes, said = panel(plots.draw_position_errors, truth, np.zeros((0, 2)))
    assert "2.5 pixels" in said


def test_positions_are_drawn_where_they_are_and_leave_the_frame_its_size():
    source = np.random.default_rng(0).random((*SHAPE, 1))
    axes, _ = panel(plots.draw_positions, source, np.array([[3.5, 20.5], [41, 50]]), pixel_size=PIXEL)
    assert axes.lines[0].get_xydata().tolist() == [[20.5, 3.5], [50, 41]]
    assert axes.get_xlim() == (0, 48) and axes.get_ylim() == (40, 0)
    for nothing in (None, np.zeros((0, 2))):
        axes, _ = panel(plots.draw_positions, source, nothing)
        assert not axes.lines


# -- the task --------------------------------------------------------------------------------------


def test_all_hooks_of_the_task_are_there():
    hooks = ("target", "facts", "scores", "set_scores", "set_comparison", "baseline", "outputs", "files")
    hooks += ("figures", "error_maps", "picture", "error_picture", "settings")
    assert all(callable(resolve(getattr(LOCALISE, hook))) for hook in hooks)


def test_all_scores_have_names_directions_and_definitions():
    truths, said = guesses(n=2)
    found = localising.scores(truths[0], said[0], FACTS, None) | localising.set_scores(truths, said, FACTS)
    assert len({metric_label(key) for key in found}) == len(found)
    assert {key for key in found if key not in DEFINITIONS} <= {"n_true", "n_found"}
    assert better("rmse_nm") == better("frc_nm") == "lower"
    assert better("shift_y_nm") == "nearer 0" and better("jaccard_50") == "higher" and not better("n_found")


# -- real frames -----------------------------------------------------------------------------------


def test_truth_of_real_frames_lies_where_the_light_is(real_data: Path):
    folder = real_data / "deepstorm" / "random_emitters_sim"
    frames = tifffile.imread(folder / "frames.tif")
    truth = tables.read(folder / "ground_truth.csv", PIXEL)
    samples = [sample(f, truth.yx[truth.frame == t]) for t, f in enumerate(frames)]
    extra = localising.point_facts(samples, None)["extra"]
    assert extra["frames"] == 20 and 6 < extra["density"] < 6.1
    assert extra["source_mean"][0] == pytest.approx(frames.mean())
    facts = replace(FACTS, shapes=((64, 64),))
    lit = []
    for s in samples:
        y, x = localising.points_of(s, facts).astype(int).T
        lit.append(s.source.read()[y, x, 0].mean() / s.source.read().mean())
    assert min(lit) > 1.3

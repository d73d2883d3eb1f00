"""Deep-STORM as a user meets it: its plan, its parameters, frames of any size, and what it writes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from test_movies import KNOWN, SIZE, record

from zcdl_common import points, predict, session
from zcdl_common.config import Config
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import find_images
from zcdl_common.models.deepstorm import DeepStormModel
from zcdl_common.networks.deepstorm import DEEPSTORM, DeepStormConfig, plan, simulation_of
from zcdl_common.run import Run
from zcdl_common.samples.store import write_image
from zcdl_common.smlm.simulate import Simulation, frames
from zcdl_common.smlm.tables import read
from zcdl_common.task import Facts, Prediction

TINY = {
    **KNOWN, "patch_size": (16, 16), "upsampling": 4, "filters": 4, "batch_size": 4, "patches_per_image": 1,
    "epochs": 2,
}  # fmt: skip


def facts_for(size=(64, 64), device="cpu", pixel=0.1, ndim=2):
    extra = {"source_mean": (130.0,), "source_sd": (40.0,), "simulation": dict(KNOWN)}
    return Facts(
        ndim, ("c",), (size,), "uint16", (pixel,) * ndim, device=device, counts={"train": 100}, extra=extra
    )


def build(**params):
    config = DeepStormConfig.parse({**TINY, **params})
    facts = facts_for()
    return DeepStormModel(plan(config, facts).config, facts)


def run_of(model):
    return Run(Path(), DEEPSTORM, model.config, model.facts, {})


# -- the plan ---------------------------------------------------------------------------------------


def test_every_gap_is_filled_with_a_reason_and_what_is_given_stays():
    made = plan(DeepStormConfig.parse({"sigma_nm": (100, 110)}), facts_for())
    assert made.config.sigma_nm == (100, 110) and "sigma_nm" not in made.reasons
    assert made.config.density == KNOWN["density"] and "measured" in made.reasons["density"]
    asked = {n for n, f in DeepStormConfig.fields().items() if f.default is None}
    for name in (
        "upsampling",
        "filters",
        "patch_size",
        "batch_size",
        "patches_per_image",
        "epochs",
        "learning_rate",
    ):
        assert name in asked and getattr(made.config, name) is not None and made.reasons[name]
    gpu = plan(DeepStormConfig(), facts_for(device="gpu")).config
    assert gpu.upsampling > made.config.upsampling
    assert simulation_of(made.config, facts_for()).pixel_nm == 100


def test_what_cannot_work_is_refused_in_words():
    with pytest.raises(ConfigError, match="multiples of 2 x 2"):
        plan(DeepStormConfig.parse({"upsampling": 4, "patch_size": (17, 17)}), facts_for())
    with pytest.raises(ConfigError, match="stacks"):
        plan(DeepStormConfig(), facts_for((8, 64, 64), ndim=3))
    wrong = DeepStormConfig.parse({**KNOWN, "density": (3, 1)})
    with pytest.raises(ConfigError, match=r"density = \(3, 1\) is no range"):
        simulation_of(wrong, facts_for())
    with pytest.raises(ConfigError, match="density"):
        DeepStormConfig.parse({"density": 3})


# -- parameters -------------------------------------------------------------------------------------

SEEN = {
    "density": (4, 5), "photons": (4000, 5000), "background": (80, 90), "sigma_nm": (200, 210),
    "brightness": "uniform", "camera": "emccd", "camera_offset": 300, "camera_gain": 5.0, "em_gain": 20,
    "read_noise": 60, "quantum_efficiency": 0.2, "seed": 1, "patch_size": (24, 24), "batch_size": 3,
}  # fmt: skip
LEARNED = {
    "heat_sigma": 2.0, "sparsity": 20.0, "filters": 8, "upsampling": 8, "learning_rate": 1e-2,
    "freeze": "encoder",
}  # fmt: skip
ELSEWHERE = {
    "source": "test_simulated_frames_train_choose_and_judge_where_nothing_is_known",
    "target": "test_real_frames_with_known_positions_judge_in_blocks",
    "learn_from": "test_a_single_movie_with_a_table_is_divided_by_blocks",
    "augment": "test_patches_of_a_table_take_their_emitters_with_them",
    "threshold": "test_the_threshold_of_the_user_decides_which_positions_count",
    "precision": "test_precision_follows_parameter_and_device",
    "compile": "test_what_is_compiled_is_what_trains",
    "patches_per_image": "test_patches_per_image_set_the_steps",
    "epochs": "test_raised_epochs_go_on",
}


def test_every_parameter_of_its_own_is_shown_to_do_something():
    own = {n for n, f in DeepStormConfig.model_fields.items() if f is not Config.model_fields.get(n)}
    changed = {n for n in own if n not in Config.model_fields}
    assert changed <= {*SEEN, *LEARNED, *ELSEWHERE}
    text = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert not [name for name in ELSEWHERE.values() if f"def {name}(" not in text]


@pytest.mark.parametrize(("name", "value"), SEEN.items())
def test_what_is_simulated_changes_the_frames(name, value):
    if name == "em_gain":  # of a camera that has one
        one, other = build(camera="emccd"), build(camera="emccd", em_gain=value)
    else:
        one, other = build(), build(**{name: value})
    rng = (np.random.default_rng([m.config.seed, 0]) for m in (one, other))
    first, second = one.batch([], next(rng)), other.batch([], next(rng))
    assert first["source"].shape != second["source"].shape or not np.allclose(
        first["source"], second["source"]
    )


@pytest.mark.parametrize(("name", "value"), LEARNED.items())
def test_what_shapes_learning_changes_the_weights(name, value):
    one, other = build(), build(**{name: value})
    batch = one.batch([], np.random.default_rng(0))
    for model in (one, other):
        for _ in range(2):
            model.step(batch, model.config.learning_rate)
    first, second = (m.net.state_dict() for m in (one, other))
    alike = all(first[k].shape == second[k].shape and torch.equal(first[k], second[k]) for k in first)
    assert not alike or len(first) != len(second) or one.maps != other.maps


# -- frames of any size -----------------------------------------------------------------------------


class Peaky:
    """Stands for a network: every bright pixel is a position; what it sees is noted."""

    def __init__(self, model, room):
        self.geometry, self.room, self.seen = model.geometry, room, []

    def localise(self, tiles, settings):
        self.seen.append(tiles.shape)
        found = [np.argwhere(tile[..., 0] > settings["threshold"]) + 0.5 for tile in tiles]
        return [Prediction(p.astype(np.float32), {"scores": np.ones(len(p), np.float32)}) for p in found]


def bright(count, size, seed=0):
    rng = np.random.default_rng(seed)
    stack = np.full((count, *size, 1), 100, np.uint16)
    stack[rng.integers(count, size=200), rng.integers(size[0], size=200), rng.integers(size[1], size=200)] = (
        60_000
    )
    return stack


@pytest.mark.parametrize(("size", "room"), [((40, 50), 10_000), ((41, 53), 900), ((100, 90), 1500)])
def test_many_small_frames_at_once_and_tiles_of_large_ones_find_the_same(size, room):
    model = build()
    stand_in = Peaky(model, room)
    stack = bright(7, size)
    found = list(points.localise(run_of(model), stand_in, stack, {"threshold": 10.0}))
    assert len(found) == 7
    for frame, one in zip(stack, found, strict=True):
        wanted = np.argwhere(frame[..., 0] > 1000) + 0.5
        assert sorted(map(tuple, one.main.tolist())) == sorted(map(tuple, wanted.tolist()))
    assert max(np.prod(shape[:3]) for shape in stand_in.seen) <= room
    if room == 10_000:
        assert stand_in.seen[0][0] > 1, "several frames went through at once"


# -- a user's path ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Few simulated frames, and a classical method that is tuned on a few molecules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zcdl_common.baselines.localise.MOST_EMITTERS", 60)
        patch.setattr("zcdl_common.movies.SIMULATED", {"train": 4, "validation": 2, "test": 6})
        yield


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A short training on a movie whose positions are known, judged and used."""
    folder = tmp_path_factory.mktemp("storm")
    known = record(folder / "movies", count=30, shape=(44, 38))
    params = {
        **TINY, "filters": 8, "epochs": 4, "patches_per_image": 30, "batch_size": 8, "patch_size": (24, 24),
        "source": str(folder / "movies"), "target": str(folder / "movies"),
        "results": str(folder / "results"),
        "name": "run", "learning_rate": 2e-3,
    }  # fmt: skip
    config = DeepStormConfig.parse(params)
    data = open_data(config, DEEPSTORM)
    run = session.begin(session.prepare(DEEPSTORM, config, data))
    session.train(run, data, say=lambda text: None)
    return folder, run, known["cell_1"]


def test_the_network_finds_the_same_in_tiles_as_in_the_whole_frame(begun):
    _, run, _ = begun
    model = run.load()
    stack, _ = frames(np.random.default_rng(0), simulation_of(run.config, run.facts), 2, (90, 70))
    whole, tiled = [], []
    for room, into in ((10**6, whole), (2500, tiled)):
        model.room = room
        into += points.localise(run, model, stack[..., None], {"threshold": 0.1})
    for one, other in zip(whole, tiled, strict=True):
        first, second = (p.main[np.lexsort(p.main.T)] for p in (one, other))
        assert len(first) == len(second) > 10 and np.allclose(first, second, atol=1e-3)


def test_a_run_finds_the_molecules_of_a_real_movie_and_says_how_well(begun):
    _, run, known = begun
    summary = session.judge(run, say=lambda text: None)
    jaccard = summary["metrics"]["jaccard"]
    assert jaccard["network"]["mean"] > 0.4 and jaccard["classical"]["mean"] > 0.4
    assert summary["metrics"]["n_true"]["network"]["mean"] == pytest.approx(len(known) / 30)
    assert summary["n_images"] == 30 and summary["verdict"] == "unclear", "three blocks are too few to tell"
    assert "do not trust" not in " ".join(summary["next"])
    figures = {path.stem for path in (run.quality_control / "figures").glob("*.png")}
    assert {"likeness", "examples", "by_density", "by_radius", "position_errors"} <= figures
    page, _ = session.report(run)
    said = page.read_text(encoding="utf-8")
    assert "to be like 1 movie: Gaussian spots" in said and "0.5 to 1.5 molecules per µm²" in said
    assert "The camera (scmos) was simulated with an offset of 100 counts, 2 counts a photoelectron" in said
    assert ">cell_1<" in said and ">imitated<" in said, "the movie stands in the table of the data"


def test_positions_and_images_of_a_movie_are_written(begun):
    folder, run, known = begun
    (written,) = session.apply(run, str(folder / "movies"), say=lambda text: None)
    assert not written.problem
    found = read(next(p for p in written.outputs if p.name == "cell_1_localisations.csv"), SIZE)
    assert 0.3 * len(known) < len(found) < 2 * len(known) and set(found.frame) <= set(range(30))
    with tifffile.TiffFile(next(p for p in written.outputs if "rendered" in p.name)) as file:
        assert file.is_ome and file.series[0].shape[0] > 4 * 44
    error = run.settings()["error_px"]
    assert 0.05 < error < 0.6 and np.allclose(found.uncertainty, error, atol=1e-3), "as on validation frames"
    assert any("gaussian" in p.name for p in written.outputs), "drawn as wide as positions are uncertain"
    model = run.load()
    single = predict.predict(run, model, find_images(str(folder / "movies"), "source")[7].read())
    assert np.allclose(found.yx[found.frame == 7], single.main, atol=1e-3), "frame by frame it is the same"


def test_a_frame_too_large_for_memory_gets_its_table(begun, tmp_path):
    folder, run, _ = begun
    one = find_images(str(folder / "movies"), "source")[0].read()[..., 0]
    write_image(tmp_path / "single.tif", one, "YX", SIZE)
    plain, streamed = (
        predict.predict_folder(
            run, run.load(), str(tmp_path / "single.tif"), tmp_path / name, stream_above=limit
        )
        for name, limit in (("plain", 10**9), ("streamed", 10))
    )
    tables = [
        next(p for p in made[0].outputs if p.suffix == ".csv").read_text() for made in (plain, streamed)
    ]
    assert tables[0] == tables[1] and "too large" in streamed[0].note


def test_the_threshold_of_the_user_decides_which_positions_count(begun):
    folder, run, _ = begun
    model, frame = run.load(), find_images(str(folder / "movies"), "source")[3].read()
    few, many = (predict.predict(run.using(threshold=t), model, frame) for t in (0.6, 0.1))
    assert 0 < len(few.main) < len(many.main) and few.extra["scores"].min() >= 0.6


def test_test_movies_may_be_named_after_the_training(begun, tmp_path):
    _, run, _ = begun
    record(tmp_path / "others", ("x", "y"), count=20, seed=5)
    asked = run.config.changed(test_source=str(tmp_path / "others"), test_target=str(tmp_path / "others"))
    summary = session.judge(run, say=lambda text: None, asked=asked)
    assert summary["n_images"] == 40


def test_without_truth_it_is_judged_on_simulated_frames_and_says_so(tmp_path):
    record(tmp_path / "movies", table=False)
    params = {
        **TINY,
        "source": str(tmp_path / "movies"),
        "results": str(tmp_path / "results"),
        "name": "run",
        "epochs": 1,
    }
    config = DeepStormConfig.parse(params)
    data = open_data(config, DEEPSTORM)
    run = session.begin(session.prepare(DEEPSTORM, config, data))
    session.train(run, data, say=lambda text: None)
    summary = session.judge(run, say=lambda text: None)
    assert summary["n_images"] == 30 and "judged on simulated frames" in summary["sentence"]
    assert session.test_folder(run) == str(tmp_path / "movies")


def test_frames_unlike_the_simulated_ones_are_the_first_advice(tmp_path):
    record(tmp_path / "movies", table=False, count=60, background=(60, 62))
    params = {
        **TINY,
        "source": str(tmp_path / "movies"),
        "results": str(tmp_path / "results"),
        "name": "run",
        "epochs": 1,
    }
    config = DeepStormConfig.parse(params)
    data = open_data(config, DEEPSTORM)
    run = session.begin(session.prepare(DEEPSTORM, config, data))
    session.train(run, data, say=lambda text: None)
    summary = session.judge(run, say=lambda text: None)
    assert "do not trust" in summary["next"][0] and "background" in summary["next"][0]


def test_a_network_can_learn_from_a_table(tmp_path):
    record(tmp_path / "movies", ("a", "b", "c"), count=20, shape=(32, 32))
    params = {
        **{k: v for k, v in TINY.items() if k not in KNOWN}, "source": str(tmp_path / "movies"),
        "target": str(tmp_path / "movies"), "learn_from": "table", "results": str(tmp_path / "results"),
        "name": "run",
    }  # fmt: skip
    config = DeepStormConfig.parse(params)
    data = open_data(config, DEEPSTORM)
    run = session.begin(session.prepare(DEEPSTORM, config, data))
    session.train(run, data, say=lambda text: None)
    assert len(run.history()) == 2 and run.config.density is None
    assert "by group" not in run.split_note and session.judge(run, say=lambda t: None)["n_images"] == 20


def test_a_movie_of_other_channels_is_refused(begun, tmp_path):
    _, run, _ = begun
    counts, _ = frames(np.random.default_rng(0), Simulation(**KNOWN), 6, (32, 32))
    write_image(tmp_path / "two.tif", np.stack([counts, counts], 1), "TCYX", SIZE)
    (written,) = predict.predict_folder(run, run.load(), str(tmp_path), tmp_path / "out")
    assert "2 channels" in written.problem
    with pytest.raises(DataError, match="channels"):
        predict.predict(run, run.load(), np.zeros((32, 32, 2), np.uint16))

"""Every parameter is checked, recorded, and changes what it says it changes."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import networks, session
from zcdl_common.config import Config, read_params
from zcdl_common.data import open_data
from zcdl_common.errors import ConfigError, RunError
from zcdl_common.export.from_run import package_info
from zcdl_common.fit import Moment, schedule
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.parameter import facts_of
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.training import ready, steps_an_epoch

UNET = networks.get("unet")


@pytest.fixture(scope="module")
def three_classes(make, tmp_path_factory):
    """Images with the classes 0, 1 and 2, the last one rare."""
    folder = tmp_path_factory.mktemp("classes")
    make.pairs(folder, 8, classes=2)
    return folder


@pytest.fixture(scope="module")
def prepared(three_classes, make):
    """From parameters to what the session plans."""

    def prepare(**params):
        named = {"source": str(three_classes / "images"), "target": str(three_classes / "masks")}
        config = UNetConfig.parse({**named, **make.tiny, "batch_size": 8, **params})
        return session.prepare(UNET, config, open_data(config, UNET))

    return prepare


def learning(prepared):
    run = Run(Path(), UNET, prepared.planned, prepared.facts, {})
    return run, run.build(), ready(run, prepared.data.split.train, Memory(10**8))


def batch_of(prepared, seed=7):
    _, model, samples = learning(prepared)
    return model.batch(samples, np.random.default_rng(seed))


def weights_after_a_step(prepared, steps=2):
    _, model, samples = learning(prepared)
    for seed in range(steps):
        model.step(model.batch(samples, np.random.default_rng(seed)), prepared.planned.learning_rate)
    return {k: v for k, v in model.state().items() if k.startswith("module/")}


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.shape(one[k]) == np.shape(other[k]) and np.array_equal(one[k], other[k]) for k in one
    )


AUGMENTED = {
    "augment": False, "flips": False, "rotations": "any angle", "scale": 0.4, "shear": 10.0, "elastic": 5.0,
    "intensity": 0.8, "noise": 0.4, "blur": 3.0,
}  # fmt: skip
CUT = {"batch_size": 3, "patch_size": (16, 16), "min_foreground": 0.6}
LEARNED = {
    "depth": 2, "downscaling_in_xy": 2, "filters": 8, "dropout": 0.5, "loss": "dice",
    "class_weights": (1.0, 3.0, 9.0), "optimiser": "sgd", "weight_decay": 0.3, "learning_rate": 0.05,
    "freeze": "encoder", "seed": 4,
}  # fmt: skip
SPLIT = {"test_fraction": 0.4, "validation_fraction": 0.4, "group_by": "(cell)_[0-3]"}
ELSEWHERE = {
    "dataset": "test_a_download_with_a_wrong_hash_is_refused_and_leaves_nothing",
    "source": "test_facts_are_those_of_the_training_images",
    "target": "test_masks_drawn_as_imagej_regions_train_like_mask_images",
    "test_source": "test_a_test_folder_replaces_the_held_out_images",
    "test_target": "test_a_test_folder_replaces_the_held_out_images",
    "results": "test_without_a_name_runs_are_dated_and_numbered",
    "name": "test_other_training_parameters_need_another_name",
    "axes": "test_three_axis_files_train_once_axes_are_given",
    "channels": "test_several_folders_are_channels",
    "pixel_size": "test_a_pixel_size_that_is_given_wins",
    "repaired": "test_nan_is_named_and_repaired_copies_train",
    "masks_are": "test_numbers_in_masks_are_objects_or_classes_as_the_user_says",
    "epochs": "test_raised_epochs_go_on",
    "time_budget_minutes": "test_the_time_limit_ends_training_and_shortens_the_schedule",
    "early_stop_epochs": "test_training_stops_without_progress",
    "patches_per_image": "test_patches_per_image_set_the_steps",
    "schedule": "test_every_schedule_is_another_curve",
    "precision": "test_precision_follows_parameter_and_device",
    "compile": "test_what_is_compiled_is_what_trains",
    "start_from": "test_training_begins_with_the_weights_of_another_run",
    "predict_source": "test_paths_with_spaces_quotes_and_umlauts_train",
    "model": "test_the_chosen_model_takes_parameters_of_use_and_of_reading_alone",
    "weights": "test_the_best_and_the_last_weights_are_different_models",
    "output_format": "test_the_file_format_is_the_chosen_one",
    "allow_code": "test_a_package_that_carries_code_is_refused_without_a_yes",
    "authors": "test_authors_and_licence_stand_in_the_package",
    "model_licence": "test_authors_and_licence_stand_in_the_package",
    "threshold": "test_the_threshold_of_the_user_decides",
    "output": "test_what_is_saved_is_what_was_chosen",
    "min_object_pixels": "test_small_objects_are_left_out_of_labels",
}


def test_every_parameter_is_shown_to_do_something():
    shown = {*AUGMENTED, *CUT, *LEARNED, *SPLIT, *ELSEWHERE}
    assert shown == set(UNetConfig.model_fields)
    text = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    missing = [name for name in ELSEWHERE.values() if f"def {name}(" not in text]
    assert not missing


@pytest.mark.parametrize(("name", "value"), [*AUGMENTED.items(), *CUT.items()])
def test_what_shapes_the_patches_changes_a_batch(prepared, name, value):
    small = {} if name == "patch_size" else {"patch_size": (24, 24)}
    one, other = batch_of(prepared(**small)), batch_of(prepared(**small, **{name: value}))
    assert not equal(one, other)
    if name in CUT:
        return
    plain = batch_of(prepared(augment=False))
    alone = {"flips": False, "rotations": "none"}
    alone |= {k: 0.0 for k in AUGMENTED if k not in (*alone, "augment")}
    assert equal(batch_of(prepared(**alone)), plain), "nothing chosen, nothing changed"
    if value:
        only = batch_of(prepared(**{**alone, name: value}))
        assert not np.array_equal(only["source"], plain["source"])
        moves = name in ("rotations", "scale", "shear", "elastic")
        # of the first patch: what it draws moves the places of the others; half of them are left as they are
        firsts = (
            [
                batch_of(p, seed)["target"][0]
                for p in (prepared(**{**alone, name: value}), prepared(augment=False))
            ]
            for seed in range(5)
        )
        assert any(not np.array_equal(*pair) for pair in firsts) == moves


def test_a_quarter_turn_is_not_any_angle(prepared):
    found = [batch_of(prepared(rotations=r)) for r in ("none", "quarter turns", "any angle")]
    assert not equal(found[0], found[1]) and not equal(found[1], found[2])


@pytest.mark.parametrize(("name", "value"), LEARNED.items())
def test_what_shapes_learning_changes_the_weights(prepared, name, value):
    assert not equal(weights_after_a_step(prepared()), weights_after_a_step(prepared(**{name: value})))


@pytest.mark.parametrize(
    ("name", "values"),
    [("optimiser", ("adam", "adamw", "sgd", "rmsprop")),
     ("loss", ("cross-entropy", "dice", "cross-entropy + dice", "focal"))],
)  # fmt: skip
def test_every_choice_learns_something_else(prepared, name, values):
    found = [weights_after_a_step(prepared(**{name: v, "weight_decay": 0.1})) for v in values]
    for i, one in enumerate(found):
        assert not any(equal(one, other) for other in found[:i])


@pytest.mark.parametrize(("freeze", "kept"), [("encoder", "encoder"), ("all but the last layer", "")])
def test_frozen_layers_stay_as_they_are(prepared, freeze, kept):
    untouched = weights_after_a_step(prepared(freeze=freeze), 0)
    trained = weights_after_a_step(prepared(freeze=freeze, weight_decay=0.1))
    changed = {k for k in trained if not np.array_equal(trained[k], untouched[k])}
    assert any("head" in k for k in changed)
    frozen = [k for k in trained if (kept and f"net/{kept}" in k) or (not kept and "head" not in k)]
    assert frozen and not changed & set(frozen)


@pytest.mark.parametrize(("name", "value"), SPLIT.items())
def test_what_shapes_the_split_changes_it(prepared, name, value):
    one, other = prepared().data.split, prepared(**{name: value}).data.split
    assert [s.name for s in one.train] != [s.name for s in other.train]


def test_min_foreground_is_kept_where_it_can_be(prepared):
    cut = {"patch_size": (16, 16), "augment": False}
    shares = [(batch_of(prepared(min_foreground=n, **cut))["target"] > 0).mean((1, 2)) for n in (0.0, 0.4)]
    assert shares[0].min() < 0.4 <= shares[1].min()


def test_patches_per_image_set_the_steps(prepared):
    found = [steps_an_epoch(learning(prepared(patches_per_image=n))[0]) for n in (2, 16)]
    n = len(prepared().data.split.train)
    assert found == [-(-2 * n // 8), -(-16 * n // 8)]


def test_every_schedule_is_another_curve():
    history = [{"val_loss": 1.0, "seconds": 0.0}] * 15

    def curve(kind):
        rate = schedule(kind, 1.0)
        return [rate(Moment(None, 20, 10, history[: e - 1], e, 5)) for e in range(1, 21)]

    curves = {kind: curve(kind) for kind in ("cosine", "plateau", "linear", "constant")}
    assert len({tuple(c) for c in curves.values()}) == 4
    assert set(curves["constant"]) == {1.0}
    assert curves["plateau"][0] == 1.0 and curves["plateau"][-1] == 0.5
    assert curves["linear"][:9] == [1.0] * 9 and curves["linear"][-1] == pytest.approx(0.05)
    assert all(a > b for a, b in pairwise(curves["cosine"]))
    assert curves["cosine"][-1] == pytest.approx(0.01, abs=0.01)


def test_the_time_limit_ends_training_and_shortens_the_schedule(images_2d, make, tmp_path):
    run, data = make.begin(images_2d, tmp_path, time_budget_minutes=1e-5, epochs=500)
    assert "time limit" in session.train(run, data)
    assert len(run.history()) == 1 and run.load().parameters() > 0
    rate = schedule("cosine", 1.0, budget_minutes=1.0)
    late = Moment(None, 1000, 10, [{"seconds": 59.0}], 2)
    assert rate(late) < 0.02


def test_training_stops_without_progress(images_2d, make, tmp_path):
    run, data = make.begin(
        images_2d, tmp_path, early_stop_epochs=2, epochs=40, learning_rate=1.0, optimiser="sgd",
        schedule="constant",
    )  # fmt: skip
    assert "No progress for 2 epochs" in session.train(run, data)
    losses = [row["val_loss"] for row in run.history()]
    assert len(losses) < 40 and np.argmin(losses) == len(losses) - 3


def test_precision_follows_parameter_and_device(monkeypatch):
    import torch

    from zcdl_common.models import _torch

    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert _torch.arithmetic("auto", cuda) == "bfloat16"
    assert _torch.arithmetic("float32", cuda) == "float32"
    assert _torch.arithmetic("auto", cpu) == "float32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert _torch.arithmetic("auto", cuda) == "float16"
    with _torch.autocast("bfloat16", cpu):
        x = torch.ones(2, 2)
        assert (x @ x).dtype is torch.float32, "a run of a GPU goes on in float32 on a CPU"


def test_what_is_compiled_is_what_trains(prepared, monkeypatch):
    import torch

    seen = []

    def compile_slowly(module):
        def call(x):
            seen.append(module)
            return module(x)

        return call

    monkeypatch.setattr(torch, "compile", compile_slowly)  # a real compiler takes minutes
    ready = prepared(compile=True)
    model, batch = ready.network.build(ready.planned, ready.facts), batch_of(ready)
    before = model.state()
    model.step(batch, 1e-3)
    assert seen == [model.net]
    assert any(not np.array_equal(before[k], v) for k, v in model.state().items() if k in before)

    def impossible(x):
        raise torch._dynamo.exc.TorchDynamoException("no compiler")

    monkeypatch.setattr(torch, "compile", lambda module: impossible)
    other = ready.network.build(ready.planned, ready.facts)
    with pytest.raises(RunError, match="compile = false"):
        other.step(batch, 1e-3)


def test_authors_and_licence_stand_in_the_package(trained, tmp_path):
    run = trained.using(authors="A. Nyone, B. Body", model_licence="CC0-1.0")
    info = package_info(run, run.load(), tmp_path)
    assert list(info.authors) == ["A. Nyone", "B. Body"] and info.licence == "CC0-1.0"


# -- the plan ---------------------------------------------------------------------------------------


def test_the_plan_fills_every_gap_with_a_reason(three_classes):
    named = {"source": str(three_classes / "images"), "target": str(three_classes / "masks")}
    config = UNetConfig.parse(named)
    made = session.prepare(UNET, config, open_data(config, UNET))
    own = ("depth", "filters", "patch_size", "batch_size", "patches_per_image", "epochs", "learning_rate")
    assert set(made.reasons) == {*own, "class_weights"} and all(made.reasons.values())
    assert None not in [getattr(made.planned, name) for name in made.reasons]
    assert len(made.planned.class_weights) == 3
    given_one = session.prepare(UNET, config.changed(depth=1), made.data)
    assert "depth" not in given_one.reasons and given_one.planned.depth == 1


def test_rare_classes_weigh_more_in_plain_cross_entropy_alone(prepared):
    assert set(prepared(loss="dice").planned.class_weights) == {1.0}
    plain = prepared(loss="cross-entropy")
    shares = plain.facts.extra["class_shares"]
    weights = dict(zip(shares, plain.planned.class_weights, strict=True))
    assert sorted(weights, key=weights.get) == sorted(shares, key=shares.get, reverse=True) or (
        min(shares.values()) >= 0.1 and set(weights.values()) == {1.0}
    )


# -- text and files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["256, 128", "256 x 128", "256×128", "[256, 128]", "(256;128)", [256, 128], ("256", 128)]
)
def test_lists_are_read_as_people_write_them(text):
    assert UNetConfig.parse({"patch_size": text}).patch_size == (256, 128)


@pytest.mark.parametrize(
    ("text", "found"), [(0, ("0",)), ("DAPI, my actin", ("DAPI", "my actin")), ([1, "a"], ("1", "a"))]
)
def test_channels_are_names_or_numbers(text, found):
    assert UNetConfig.parse({"channels": text}).channels == found


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_means_automatic(empty):
    params = dict.fromkeys(UNetConfig.model_fields, empty)
    assert UNetConfig.parse(params) == UNetConfig()


def test_config_survives_its_file(tmp_path):
    config = UNetConfig.parse(
        {
            "source": "/ä ö/'x'",
            "patch_size": "64 64",
            "channels": "0",
            "learning_rate": 3e-5,
            "authors": "Ä, B",
        }
    )
    config.write(tmp_path / "c.yaml")
    assert UNetConfig.read(tmp_path / "c.yaml") == config
    assert read_params(tmp_path / "c.yaml")["source"] == "/ä ö/'x'"


typed = (
    st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.integers() | st.text(), max_size=3)
)


@given(st.dictionaries(st.sampled_from(sorted(UNetConfig.model_fields)), typed))
@settings(max_examples=200, deadline=None)
def test_whatever_is_typed_is_taken_or_explained(params):
    try:
        UNetConfig.parse(params)
    except ConfigError as error:
        assert any(re.search(rf"- {name}\b", str(error)) for name in params)
        assert "pydantic" not in str(error) and "validation error" not in str(error)


@pytest.mark.parametrize(
    ("text", "word"), [("a: [", "no valid YAML"), ("- 1", "holds no parameters"), ("", "holds no")]
)
def test_a_file_of_something_else_is_refused(tmp_path, text, word):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=word) as caught:
        read_params(tmp_path / "p.yaml")
    assert "p.yaml" in str(caught.value)


def test_a_missing_parameter_file_and_one_of_another_network_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no parameter file .*nowhere\.yaml"):
        read_params(tmp_path / "nowhere.yaml")
    (tmp_path / "p.yaml").write_text("network: care\nepochs: 3")
    with pytest.raises(ConfigError, match=r"'care'.*'unet'"):
        read_params(tmp_path / "p.yaml", "unet")


def test_every_parameter_has_help_label_and_section():
    for name, field in UNetConfig.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert facts_of(field)["label"] and facts_of(field)["section"], name
    assert set(Config.fields("use")) <= set(UNetConfig.fields("use"))

import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import checkup, denoising, networks, session
from zcdl_common.data import open_data
from zcdl_common.doctor import check
from zcdl_common.errors import ConfigError
from zcdl_common.models import _keras
from zcdl_common.models.care import field_of_view
from zcdl_common.models.noise2void import Noise2VoidModel
from zcdl_common.network import Best
from zcdl_common.networks.noise2void import Noise2VoidConfig, plan
from zcdl_common.patches import Prepared
from zcdl_common.task import Facts, Prediction, Sample
from zcdl_common.tiles import predict_tiled, predict_whole

TINY = {"depth": 1, "filters": 4, "batch_size": 4, "learning_rate": 1e-3, "batch_norm": True}
NOISE2VOID = networks.get("noise2void")


def facts_for(ndim=2, channels=1, size=64):
    names = tuple(f"c{i}" for i in range(channels))
    scale = {"target_offset": (100.0, 50.0)[:channels], "target_span": (50.0, 20.0)[:channels]}
    extra = {"target_channels": names, **scale}
    return Facts(ndim, names, ((size,) * ndim,), "uint16", counts={"train": 2}, extra=extra)


def build(ndim=2, channels=1, **params):
    config = Noise2VoidConfig.parse({"patch_size": (16,) * ndim, **TINY, **params})
    return Noise2VoidModel(config, facts_for(ndim, channels))


def sample(image):
    class Ready(Prepared):
        def read(self):
            return image

    return Sample("s", "s", Ready(None, None, None))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def batch_of(model, seed=0):
    image = noise(*[64] * model.facts.ndim, len(model.facts.channels))
    return model.batch([sample(image)], np.random.default_rng(seed))


def scramble(model):
    """Weights under which no path through the network is silent; fixed filters stay."""
    rng = np.random.default_rng(1)
    for layer in model.net.layers:
        if layer.trainable and layer.weights:
            layer.set_weights(
                [
                    np.abs(w) + 0.5 if w.ndim == 1 and "batch" in layer.name
                    else rng.normal(0.1, 0.2, w.shape) / np.sqrt(max(1, w[..., 0].size))
                    for w in layer.get_weights()
                ]
            )  # fmt: skip
    return model


VARIANTS = [
    {"depth": 1}, {"depth": 2}, {"depth": 2, "kernel": 5}, {"depth": 2, "batch_norm": False},
    {"depth": 1, "n2v2": True}, {"depth": 2, "n2v2": True}, {"depth": 3, "n2v2": True},
]  # fmt: skip


@pytest.mark.parametrize(("ndim", "params"), [*((2, v) for v in VARIANTS), (3, {"depth": 1})])
def test_the_halo_holds_every_pixel_that_an_output_pixel_sees_and_few_more(ndim, params):
    model = build(ndim, **params)
    for layer in model.net.layers:  # positive throughout: nothing cancels, nothing is cut off
        if layer.trainable and layer.weights and "batch" not in layer.name:
            layer.set_weights([np.abs(w) + 0.01 if w.ndim > 1 else 0 * w for w in layer.get_weights()])
    halo, stride = model.geometry.halo[0], 2**model.config.depth
    size, reach = 2 * (halo + 2 * stride), 0
    for offset in range(stride):
        place = size // 2 + offset
        image = np.zeros((1, *(size,) * ndim, 1), np.float32)
        image[(0, *(place,) * ndim)] = 1e6
        lit = np.argwhere(model.forward(image)[0][0, ..., 0])
        reach = max(reach, int(np.abs(lit - place).max()))
    assert reach <= halo < reach + 2 * stride
    assert model.config.n2v2 or halo == field_of_view(model.config.depth, model.config.kernel)


@pytest.mark.parametrize(
    ("ndim", "channels", "shape", "params"),
    [
        (2, 1, (93, 131), {"depth": 2}),
        (2, 1, (93, 131), {"depth": 2, "n2v2": True}),
        (2, 2, (70, 64), {"channels_apart": True}),
        (2, 2, (70, 64), {"channels_apart": False}),
        (3, 1, (21, 26, 30), {}),
    ],
)
def test_tiles_give_what_the_whole_image_gives(ndim, channels, shape, params):
    model = scramble(build(ndim, channels, **params))
    image = noise(*shape, channels)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (tiled,) = predict_tiled(model.forward, image, model.geometry, tile=(8,) * ndim)
    assert whole.std() > 1e-3 * np.abs(whole).max() > 0 and whole.shape == image.shape
    np.testing.assert_allclose(tiled, whole, atol=2e-5 * np.abs(whole).max())


@pytest.mark.parametrize(("loss", "batch_norm"), [("mse", True), ("mae", False)])
def test_training_leaves_the_weights_that_the_librarys_own_fit_leaves(loss, batch_norm, tmp_path):
    from n2v.models import N2V, N2VConfig

    ours = build(loss=loss, batch_norm=batch_norm)
    config = N2VConfig(
        noise(2, 16, 16, 1), unet_n_depth=1, unet_n_first=4, unet_kern_size=3, train_loss=loss,
        batch_norm=batch_norm, train_learning_rate=1e-3, train_reduce_lr=None,
    )  # fmt: skip
    theirs = N2V(config, "n2v", basedir=str(tmp_path))
    theirs.prepare_for_training()
    theirs.keras_model.set_weights(ours.net.get_weights())
    batches = [batch_of(ours, seed) for seed in range(5)]
    losses = [float(ours.step(batch, 1e-3)["loss"]) for batch in batches]
    x, y = (np.concatenate([b[key] for b in batches]) for key in ("source", "target"))
    log = theirs.keras_model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    assert np.mean(losses) == pytest.approx(log["loss"][0], rel=1e-5)
    for one, other in zip(ours.net.get_weights(), theirs.keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_blurred_pools_of_keras_layers_compute_what_the_librarys_own_compute(tmp_path):
    from n2v.models import N2V, N2VConfig

    ours = scramble(build(n2v2=True, depth=2))
    config = N2VConfig(
        noise(2, 16, 16, 1), unet_n_depth=2, unet_n_first=4, unet_kern_size=3, blurpool=True,
        skip_skipone=True, train_reduce_lr=None,
    )  # fmt: skip
    theirs = N2V(config, "n2v", basedir=str(tmp_path)).keras_model
    own = iter(ours.net.get_weights())  # theirs hold the fixed filters too
    fixed = [w.ndim == 4 and w.shape[0] == 3 and w.shape[-1] == 1 for w in theirs.get_weights()]
    theirs.set_weights([w if f else next(own) for w, f in zip(theirs.get_weights(), fixed, strict=True)])
    assert sum(fixed) == 2
    image = noise(2, 32, 48, 1)
    np.testing.assert_allclose(ours.forward(image)[0], theirs.predict(image, verbose=0), atol=1e-5)
    names = {type(layer).__name__ for layer in ours.net.layers}
    assert not names & {"MaxBlurPool2D", "Lambda"}


@pytest.mark.parametrize("apart", [True, False])
def test_channels_apart_do_not_know_of_each_other(apart):
    model = scramble(build(channels=2, channels_apart=apart))
    image = noise(1, 32, 32, 2)
    before = model.forward(image)[0]
    for channel in (0, 1):
        changed = image.copy()
        changed[..., channel] += noise(1, 32, 32, seed=7)
        differs = [not np.allclose(model.forward(changed)[0][..., c], before[..., c]) for c in (0, 1)]
        assert differs == [channel == 0 or not apart, channel == 1 or not apart]
    assert model.step(batch_of(model), 1e-3)["loss"].numpy() > 0


@pytest.mark.parametrize("params", [{"n2v2": True, "channels": 2}, {"ndim": 3}])
def test_packages_compute_the_same_in_units_of_the_images(params, tmp_path):
    import onnxruntime

    model = build(**params)
    for seed in range(3):
        model.step(batch_of(model, seed), 1e-2)
    image = noise(1, *[16] * model.facts.ndim, len(model.facts.channels))
    limits = NOISE2VOID.scale(model.facts).limits()
    expected = model.forward(image)[0] * limits.span + limits.offset
    files = model.weights(tmp_path, image).files
    onnx = onnxruntime.InferenceSession(files["onnx"])
    found = onnx.run(None, {onnx.get_inputs()[0].name: image})[0]
    np.testing.assert_allclose(found, expected, atol=1e-2)
    again = _keras.tf.keras.models.load_model(files["keras_hdf5"], compile=False)
    np.testing.assert_allclose(again.predict(image, verbose=0), expected, atol=1e-2)
    other = build(**params, seed=9)
    (tmp_path / "best.h5").write_bytes(files["keras_hdf5"].read_bytes())
    other.load(tmp_path, "best")
    np.testing.assert_allclose(other.forward(image)[0], model.forward(image)[0], atol=1e-6)


def test_state_brings_back_weights_optimiser_and_running_means():
    model = build(n2v2=True)
    model.step(batch_of(model), 1e-2)
    state = model.state()
    after = [model.step(batch_of(model, seed), 1e-2)["loss"].numpy() for seed in (1, 2)]
    again = build(n2v2=True, seed=9)
    again.restore(state)
    assert [again.step(batch_of(model, seed), 1e-2)["loss"].numpy() for seed in (1, 2)] == after


def test_looking_for_room_in_memory_leaves_no_trace():
    model = build()
    before = model.net.get_weights()
    assert model.fit_memory(batch_of(model)) == 4
    assert all(np.array_equal(a, b) for a, b in zip(before, model.net.get_weights(), strict=True))


@pytest.mark.parametrize("freeze", ["encoder", "all but the last layer"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_frozen_stays(freeze, channels):
    model = build(channels=channels, freeze=freeze)
    before = model.net.get_weights()
    model.step(batch_of(model), 0.01)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.net.get_weights(), strict=True)]
    assert not changed[0] and sum(changed[-2 * channels :]) == 2 * channels
    assert sum(changed) == 2 * channels if freeze.startswith("all") else sum(changed) > 2 * channels


def test_validation_hides_the_same_pixels_every_time_and_others_in_each_image():
    model = build()
    images = [sample(noise(40, 44, 1, seed=s)) for s in (0, 1)]
    assert model.validate(images) == model.validate(images)
    assert model.validate(images[:1]) != model.validate(images[1:])
    seen = []
    model.forward = lambda tiles: (seen.append(tiles.copy()), (np.zeros_like(tiles),))[1]
    same = [sample(np.zeros((40, 44, 1), np.float32) + np.arange(44)[:, None])] * 2
    model.validate(same)
    assert not np.array_equal(*seen)


def test_patches_are_moved_but_never_interpolated_and_lines_keep_their_direction():
    image = np.arange(40 * 40, dtype=np.float32).reshape(40, 40, 1)
    steps = {}
    for lines in ("none", "x", "z"):
        ndim = 3 if lines == "z" else 2
        model = build(ndim, structured_noise=lines)
        source = image if ndim == 2 else np.broadcast_to(image, (16, 40, 40, 1))
        rng = np.random.default_rng(0)
        patches = [model.patch(sample(source), rng)[0] for _ in range(40)]
        assert all(set(p.ravel()) <= set(image.ravel()) for p in patches)
        steps[lines] = {abs(float(p[..., 0, 1, 0].ravel()[0] - p[..., 0, 0, 0].ravel()[0])) for p in patches}
    assert steps["none"] == steps["z"] == {1.0, 40.0} and steps["x"] == {1.0}
    still = build(augment=False).patch(sample(image), np.random.default_rng(0))[0]
    assert still[0, 1, 0] - still[0, 0, 0] == 1.0


@pytest.mark.parametrize(
    ("params", "ndim", "says"),
    [
        ({"n2v2": True}, 3, "TYX"),
        ({"structured_noise": "z"}, 2, "no Z"),
        ({"structured_length": 6}, 2, "Use 7"),
        ({"masked_share": 1e-4, "patch_size": (32, 32)}, 2, "masked_share"),
        ({"patch_size": (18, 18)}, 2, "Try 16 x 16"),
    ],
)
def test_the_plan_says_what_cannot_be(params, ndim, says):
    with pytest.raises(ConfigError, match=says):
        plan(Noise2VoidConfig.parse(params), facts_for(ndim))


def test_features_are_scaled_by_the_patches_of_a_step_only_where_these_are_many():
    few, many = (plan(Noise2VoidConfig.parse({"batch_size": n}), facts_for()) for n in (16, 64))
    assert few.config.batch_norm is False and "too few" in few.reasons["batch_norm"]
    assert many.config.batch_norm is True
    assert plan(Noise2VoidConfig.parse({"batch_norm": True}), facts_for()).config.batch_norm is True


def test_the_plan_masks_what_it_says_in_volumes():
    config = plan(Noise2VoidConfig(), facts_for(3)).config
    assert config.patch_size == (8, 48, 48) and config.masked_share * np.prod(config.patch_size) > 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth", 2), ("kernel", 5), ("filters", 8), ("batch_norm", False), ("n2v2", True),
        ("channels_apart", False),
    ],
)  # fmt: skip
def test_what_shapes_the_network_changes_it(name, value):
    one, other = (build(channels=2, **params).net.get_weights() for params in ({}, {name: value}))
    assert [w.shape for w in one] != [w.shape for w in other]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("masked_share", 0.2), ("radius", 1), ("structured_noise", "x"), ("n2v2", True), ("augment", False),
        ("flips", False), ("rotations", "none"),
    ],
)  # fmt: skip
def test_what_shapes_the_batches_changes_them(name, value):
    one, other = (batch_of(build(**params))["source"] for params in ({}, {name: value}))
    assert not np.array_equal(one, other)


def test_every_own_parameter_is_shown_to_do_something():
    own = {n for n, f in Noise2VoidConfig.model_fields.items() if n in Noise2VoidConfig.__annotations__}
    assert own - {"network", "test_fraction", "target"} == {
        "n2v2", "structured_noise", "structured_length", "channels_apart", "masked_share", "radius", "loss",
        "depth", "kernel", "filters", "batch_norm", "flips", "rotations",
    }  # fmt: skip


def test_the_last_epoch_is_kept_and_the_hidden_pixels_say_when_progress_ends():
    assert NOISE2VOID.best == Best("") and NOISE2VOID.progress == Best("val_loss")
    assert NOISE2VOID.best.better({"val_loss": 2.0}, {"val_loss": 1.0}), (
        "a larger loss is no reason to go back"
    )


# -- from folders to a judgement, with and without a truth ----------------------------------------


def write(folder, count, shape=(64, 72), first=0, channels=1, truth=None, frames=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        size = (channels, *shape) if channels > 1 else shape
        clean = 1000 + 2000 * ndimage.gaussian_filter(rng.normal(size=size), 3)
        noisy = [clean + rng.normal(0, 60, size) for _ in range(max(1, frames))]
        array = np.stack(noisy) if frames else noisy[0]
        axes = ("T" if frames else "") + ("C" if channels > 1 else "") + "ZYX"[-len(shape) :]
        meta = {"imagej": True, "metadata": {"axes": axes}}
        tifffile.imwrite(folder / f"field_{i}.tif", array.clip(0).astype(np.uint16), **meta)
        if truth is not None:
            truth.mkdir(parents=True, exist_ok=True)
            meta["metadata"] = {"axes": axes.removeprefix("T")}
            tifffile.imwrite(truth / f"field_{i}.tif", clean.astype(np.float32), **meta)
    return folder


def trained(folder, **params):
    few = {**TINY, "patch_size": (16, 16), "epochs": 2, "patches_per_image": 2, "learning_rate": 0.01}
    places = {"source": str(folder / "noisy"), "results": str(folder / "runs"), "name": "run"}
    config = Noise2VoidConfig.parse({**few, **places, **params})
    data = open_data(config, NOISE2VOID)
    run = session.begin(session.prepare(NOISE2VOID, config, data))
    session.train(run, data)
    return run, data


@pytest.fixture(scope="module")
def without_truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without_truth")
    write(folder / "noisy", 5)
    run, data = trained(folder)
    return run, data, session.judge(run, say=lambda text: None)


def test_all_images_are_learned_from_or_watched_and_the_doctor_misses_no_partner(without_truth):
    _, data, _ = without_truth
    assert (len(data.split.train), len(data.split.validation), len(data.split.test)) == (4, 1, 0)
    report = checkup.examine(data, NOISE2VOID, Noise2VoidConfig())
    assert not report.findings, report.text()


def test_scales_are_mean_and_spread_of_the_training_images(without_truth):
    run, data, _ = without_truth
    pixels = np.concatenate([s.source.read().ravel() for s in data.split.train]).astype(float)
    for scale in (NOISE2VOID.scale(run.facts), NOISE2VOID.output_scale(run.facts)):
        assert scale.mean[0] == pytest.approx(pixels.mean()) and scale.std[0] == pytest.approx(pixels.std())
    scaled = run.scaling(data.split.train[0].source.read())
    found = run.build().decode((scaled,), {}).main
    np.testing.assert_allclose(found, data.split.train[0].source.read(), rtol=1e-3)


def test_without_a_truth_there_is_no_verdict_but_a_look_at_what_was_removed(without_truth):
    run, _, summary = without_truth
    assert summary["verdict"] is None and summary["primary"] is None and summary["learned_from"]
    assert "nobody can say how near" in summary["sentence"] and "learned from" in summary["sentence"]
    names = ("mean", "correlation", "white", "structure", "coarse")
    keys = {f"residual_{name}" for name in names}
    assert set(summary["metrics"]) == keys
    assert all(
        summary["metrics"][k][who]["mean"] is not None for k in keys for who in ("network", "classical")
    )
    assert json.loads((run.quality_control / "summary.json").read_text())["verdict"] is None
    assert (run.quality_control / "figures" / "removed.png").stat().st_size > 0
    removed = tifffile.imread(run.quality_control / "maps" / "field_0_removed.tif")
    assert removed.shape == (64, 72) and removed.dtype == np.float32


def test_the_report_says_what_was_looked_at(without_truth):
    run, _, _ = without_truth
    page = session.report(run)[0].read_text()
    assert "nobody can say how near" in page and "from which it had learned" in page
    assert "took no part in training" not in page and "Targets were" not in page
    assert "5 images that the network learned from" in page and "test images" not in page.split("Settings")[1]
    assert "1 for validation; none was kept apart for a test" in page and "0 for testing" not in page
    assert "Not compared" not in page and "Looked at without a truth" in page
    assert "truth, network" not in page and "the worst first" not in page
    assert "best epoch" not in page and "the last epoch is kept" in page


def test_no_epoch_is_called_the_best_and_no_column_stays_empty(without_truth, capsys):
    from zcdl_common import show

    run, data, _ = without_truth
    show.trained(run)
    show.data(NOISE2VOID, data)
    said = capsys.readouterr().out
    assert "last epoch: 2 of 2" in said and "best" not in said
    assert "noisy image" in said and NOISE2VOID.task.target_label not in said


def test_a_truth_for_the_test_gives_a_verdict_and_trains_nothing(tmp_path):
    write(tmp_path / "noisy", 4)
    write(tmp_path / "test", 2, first=20, truth=tmp_path / "clean")
    known = {"test_source": str(tmp_path / "test"), "test_target": str(tmp_path / "clean")}
    run, data = trained(tmp_path, **known)
    assert not [f for f in checkup.examine(data, NOISE2VOID, run.config).findings if "partner" in f.code]
    summary = session.judge(run, say=lambda text: None)
    assert summary["primary"] == "psnr" and summary["verdict"] == "unclear"
    assert not summary["learned_from"] and summary["n_images"] == 2
    assert {"psnr", "ssim", "residual_white"} <= set(summary["metrics"])
    assert summary["metrics"]["psnr"]["input"]["mean"] > 0
    assert summary["metrics"]["residual_white"]["input"] is None
    plain, _ = trained(tmp_path, name="plain")
    one, two = (run.load("last").net.get_weights()[0] for run in (run, plain))
    assert np.array_equal(one, two)


def test_clean_partners_of_training_images_judge_and_do_not_train(tmp_path):
    write(tmp_path / "noisy", 3, truth=tmp_path / "clean")
    run, _ = trained(tmp_path, target=str(tmp_path / "clean"))
    summary = session.judge(run, say=lambda text: None)
    assert summary["n_images"] == 3 and summary["learned_from"] and summary["verdict"] == "unclear"


def test_clean_partners_of_some_images_leave_the_others_to_learn_from(tmp_path):
    write(tmp_path / "noisy", 2, truth=tmp_path / "clean")
    write(tmp_path / "noisy", 3, first=2)
    run, data = trained(tmp_path, target=str(tmp_path / "clean"))
    assert len(data.samples) == 5 and sum(s.target is not None for s in data.samples) == 2
    assert session.judge(run, say=lambda text: None)["n_images"] == 2


def test_training_stops_when_the_hidden_pixels_are_guessed_no_better(tmp_path):
    write(tmp_path / "noisy", 3)
    still = {"learning_rate": 1e-12, "batch_norm": False, "augment": False}
    run, _ = trained(tmp_path, epochs=9, early_stop_epochs=2, **still)
    assert len(run.history()) == 3, "the first epoch, and two without progress"


def test_a_test_folder_named_after_training_may_hold_images_that_were_learned_from(tmp_path):
    write(tmp_path / "noisy", 3, truth=tmp_path / "clean")
    run, _ = trained(tmp_path)
    named = {"test_source": str(tmp_path / "noisy"), "test_target": str(tmp_path / "clean")}
    summary = session.judge(run, say=lambda text: None, asked=run.config.changed(**named))
    assert summary["n_images"] == 3 and summary["learned_from"] and summary["primary"] == "psnr"


@pytest.mark.parametrize("params", [{}, {"patch_size": (16, 16)}])
def test_one_image_is_enough(tmp_path, params):
    write(tmp_path / "noisy", 1, (160, 40))
    run, data = trained(tmp_path, **params)
    assert [s.name for s in data.samples] == ["field_0_train", "field_0_validation"]
    summary = session.judge(run, say=lambda text: None)
    assert summary["n_images"] == 2 and summary["learned_from"]
    assert session.data_of(run).split.train[0].source.region == data.split.train[0].source.region


def test_one_movie_is_enough_and_its_frames_count_as_one(tmp_path):
    write(tmp_path / "noisy", 1, frames=6)
    run, data = trained(tmp_path)
    assert len(data.split.train) == 5 and len(data.split.validation) == 1
    assert len({s.group for s in data.samples}) == 1
    assert session.judge(run, say=lambda text: None)["n_images"] == 6


def test_images_to_learn_from_may_be_the_test_images(tmp_path):
    write(tmp_path / "noisy", 3, truth=tmp_path / "clean")
    known = {"test_source": str(tmp_path / "noisy"), "test_target": str(tmp_path / "clean")}
    run, data = trained(tmp_path, **known)
    assert not check(data.split.train, task=NOISE2VOID.task, test=data.split.test).errors
    summary = session.judge(run, say=lambda text: None)
    assert summary["n_images"] == 3 and summary["learned_from"] and summary["primary"] == "psnr"


def test_maps_and_scores_with_a_truth_are_those_of_restoration_and_what_was_removed():
    facts = facts_for()
    truth, source = noise(40, 40, 1) * 50 + 100, noise(40, 40, 1, seed=2) * 50 + 100
    made = denoising.error_maps(truth, Prediction(truth), facts, source)
    assert {"_removed", "_squared_error", "_ssim"} <= set(made)
    np.testing.assert_allclose(made["_removed"].array, (source - truth)[..., 0], rtol=1e-5)
    assert set(denoising.error_maps(None, Prediction(truth), facts, source)) == {"_removed"}
    found = denoising.scores(truth, Prediction(truth), facts, source)
    assert found["psnr"] > 100 and "residual_mean" in found
    assert "psnr" not in denoising.scores(None, Prediction(truth), facts, source)

import numpy as np
import pytest

from zcdl_common import networks
from zcdl_common.errors import ConfigError, RunError
from zcdl_common.models.care import CareModel, field_of_view
from zcdl_common.networks.augmented import GeometryConfig
from zcdl_common.networks.care import CareConfig, plan
from zcdl_common.patches import Prepared
from zcdl_common.task import Facts, Sample
from zcdl_common.tiles import predict_tiled, predict_whole

TINY = {"depth": 1, "filters": 4, "batch_size": 4, "learning_rate": 1e-3, "residual": True}


def facts_for(ndim=2, channels=1, clean=1, size=64):
    names, targets = (tuple(f"{kind}{i}" for i in range(n)) for kind, n in (("c", channels), ("t", clean)))
    extra = {"target_channels": targets, "target_offset": (100.0,) * clean, "target_span": (50.0,) * clean}
    return Facts(ndim, names, ((size,) * ndim,), "uint16", counts={"train": 2}, extra=extra)


def build(ndim=2, channels=1, clean=1, **params):
    config = CareConfig.parse({"patch_size": (16,) * ndim, **TINY, **params})
    return CareModel(config, facts_for(ndim, channels, clean))


def batch_of(model, seed=0):
    rng = np.random.default_rng(seed)
    shape = (model.config.batch_size, *model.config.patch_size)
    source = rng.random((*shape, len(model.facts.channels)), np.float32)
    target = rng.random((*shape, len(model.facts.extra["target_channels"])), np.float32)
    return {"source": source, "target": target}


def scramble(model):
    """Weights under which no path through the network is silent."""
    rng = np.random.default_rng(1)
    weights = [
        rng.normal(0.1, 0.2, w.shape) / np.sqrt(max(1, w[..., 0].size)) for w in model.net.get_weights()
    ]
    model.net.set_weights(weights)
    return model


@pytest.mark.parametrize(("depth", "kernel", "ndim"), [(1, 3, 2), (2, 3, 2), (1, 5, 2), (2, 5, 2), (1, 3, 3)])
def test_no_pixel_beyond_the_halo_changes_an_output_pixel(depth, kernel, ndim):
    model = scramble(build(ndim, depth=depth, kernel=kernel))
    halo, stride = field_of_view(depth, kernel), 2**depth
    size = 2 * (halo + 2 * stride)
    image = np.random.default_rng(0).random((1, *(size,) * ndim, 1), np.float32)
    before, reach = model.forward(image)[0], 0
    for offset in range(stride):
        place = size // 2 + offset
        changed = image.copy()
        changed[(0, *(place,) * ndim)] += 100
        where = np.argwhere(np.abs(model.forward(changed)[0] - before)[0, ..., 0] > 1e-5)
        reach = max(reach, int(np.abs(where - place).max()))
    assert reach <= halo <= 1.5 * reach + stride


@pytest.mark.parametrize(
    ("ndim", "shape", "loss"), [(2, (93, 131), "laplace"), (2, (70, 64), "mse"), (3, (21, 26, 30), "mae")]
)
def test_tiles_give_what_the_whole_image_gives(ndim, shape, loss):
    model = scramble(build(ndim, loss=loss))
    image = np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (tiled,) = predict_tiled(model.forward, image, model.geometry, tile=(8,) * ndim)
    assert whole.std() > 1e-3 and whole.shape[-1] == (2 if loss == "laplace" else 1)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("loss", ["mae", "mse", "laplace"])
def test_training_leaves_the_weights_that_the_librarys_own_fit_leaves(loss):
    from csbdeep.models import CARE, Config

    ours = build(loss=loss)
    theirs = CARE(
        Config(
            "YX", unet_n_depth=1, unet_n_first=4, unet_kern_size=3, probabilistic=loss == "laplace",
            train_loss=loss, train_learning_rate=1e-3, train_reduce_lr=None,
        ),
        basedir=None,
    )  # fmt: skip
    theirs.prepare_for_training()
    theirs.keras_model.set_weights(ours.net.get_weights())
    batches = [batch_of(ours, seed) for seed in range(5)]
    losses = [float(ours.step(batch, 1e-3)["loss"]) for batch in batches]
    x, y = (np.concatenate([b[key] for b in batches]) for key in ("source", "target"))
    log = theirs.keras_model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    assert np.mean(losses) == pytest.approx(log["loss"][0], rel=1e-5)
    for one, other in zip(ours.net.get_weights(), theirs.keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole():
    whole, parts = build(), build()
    parts.part = 3
    parts.net.set_weights(whole.net.get_weights())
    for seed in range(3):
        one, two = (model.step(batch_of(whole, seed), 1e-3)["loss"] for model in (whole, parts))
        assert float(one) == pytest.approx(float(two), rel=1e-5)
    for a, b in zip(whole.net.get_weights(), parts.net.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_learning_rate_of_a_step_is_the_one_given():
    model = build()
    before = model.net.get_weights()
    model.step(batch_of(model), 0.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.net.get_weights(), strict=True))
    model.step(batch_of(model), 0.01)
    assert not np.array_equal(before[0], model.net.get_weights()[0])


def test_one_seed_gives_one_network_and_another_seed_another():
    one, same, other = build(seed=3), build(seed=3), build(seed=4)
    assert np.array_equal(one.net.get_weights()[0], same.net.get_weights()[0])
    assert not np.array_equal(one.net.get_weights()[0], other.net.get_weights()[0])


def test_state_brings_back_weights_and_optimiser():
    model = build()
    model.step(batch_of(model), 1e-2)
    state = model.state()
    after = [model.step(batch_of(model, seed), 1e-2)["loss"].numpy() for seed in (1, 2)]
    again = build(seed=9)
    again.restore(state)
    assert [again.step(batch_of(model, seed), 1e-2)["loss"].numpy() for seed in (1, 2)] == after


def test_weights_of_the_same_network_are_taken_and_of_a_deeper_one_refused():
    one, other, deeper = build(seed=1), build(seed=2), build(depth=2)
    assert one.start(other.state()) == []
    assert np.array_equal(one.net.get_weights()[0], other.net.get_weights()[0])
    assert len(one.start(deeper.state())) == len(one.net.weights)
    colour = build(channels=2, residual=False)
    assert 0 < len(one.start(colour.state())) < len(one.net.weights)


def test_saved_weights_open_in_csbdeep_and_a_wrong_or_missing_file_is_named(tmp_path):
    model = build()
    model.save(tmp_path, "best")
    other = build(seed=5)
    other.net.load_weights(tmp_path / "best.h5")
    assert np.array_equal(other.net.get_weights()[0], model.net.get_weights()[0])
    with pytest.raises(RunError, match="another network"):
        build(filters=8).load(tmp_path, "best")
    with pytest.raises(RunError, match="no weights"):
        model.load(tmp_path, "last")
    (tmp_path / "last.h5").write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot be read"):
        model.load(tmp_path, "last")


@pytest.mark.parametrize("freeze", ["encoder", "all but the last layer"])
def test_what_is_frozen_stays(freeze):
    model = build(freeze=freeze)
    before = model.net.get_weights()
    model.step(batch_of(model), 0.01)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.net.get_weights(), strict=True)]
    assert not changed[0] and changed[-1]
    assert sum(changed) == 2 if freeze.startswith("all") else sum(changed) > 2


def sample(source, target):
    class Ready(Prepared):
        def read(self):
            return self.make()

    return Sample("s", "s", *(Ready(None, lambda a=a: a, None) for a in (source, target)))


def test_most_patches_hold_signal_where_that_is_asked_for():
    target = np.zeros((64, 64, 1), np.float32)
    target[40:60, 40:60] = 1
    pair = sample(target + 5, target)
    found = {}
    for least in (0.0, 0.4):
        model = build(min_signal=least, augment=False)
        rng = np.random.default_rng(0)
        found[least] = [model.patch(pair, rng) for _ in range(100)]
    with_signal = {least: np.mean([t.max() > 0 for _, t in made]) for least, made in found.items()}
    assert with_signal[0.0] < 0.5 < 0.8 < with_signal[0.4] < 1, "an empty background is learned, too"
    assert all(np.array_equal(s - 5, t) for made in found.values() for s, t in made), "one place in both"


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", "laplace"), ("depth", 2), ("kernel", 5), ("filters", 8), ("residual", False)],
)
def test_what_shapes_the_network_changes_it(name, value):
    one, other = build(), build(**{name: value})
    image = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    a, b = (scramble(model).forward(image)[0] for model in (one, other))
    assert a.shape != b.shape or not np.allclose(a, b)


def test_every_own_parameter_is_shown_to_do_something():
    own = set(CareConfig.model_fields) - set(GeometryConfig.model_fields)
    assert own == {"loss", "min_signal", "depth", "kernel", "filters", "residual"}
    assert CareConfig().scale == 0.0, "interpolation smooths the noise that is to be learned"


def test_the_plan_says_what_cannot_be():
    facts = facts_for(channels=2)
    with pytest.raises(ConfigError, match="residual = true"):
        plan(CareConfig.parse({"residual": True}), facts)
    assert plan(CareConfig(), facts).config.residual is False
    assert plan(CareConfig(), facts_for()).config.residual is True
    with pytest.raises(ConfigError, match="2 dimensions"):
        plan(CareConfig.parse({"patch_size": (8, 16, 16)}), facts_for())
    with pytest.raises(ConfigError, match=r"Try 16 x 16"):
        plan(CareConfig.parse({"patch_size": (18, 18)}), facts_for())
    small = plan(CareConfig(), facts_for(size=40)).config.patch_size
    assert small == (40, 40)


def test_care_stands_in_the_registry_with_scales_of_its_own():
    network = networks.get("care")
    facts = facts_for()
    assert network.backend == "tensorflow" and network.output_scale(facts).mean == (100.0,)

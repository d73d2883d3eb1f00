import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from zcdl_common import networks
from zcdl_common.models.nets.unet import UNet, field_of_view
from zcdl_common.models.unet import UNetModel
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.predict import maps
from zcdl_common.task import Facts
from zcdl_common.tiles import predict_tiled, predict_whole

POOLS = {
    "2D, one level": ((2, 2),),
    "2D, three levels": ((2, 2),) * 3,
    "3D": ((2, 2, 2),),
    "3D, flat first": ((1, 2, 2), (2, 2, 2)),
    "3D, flat twice": ((1, 2, 2), (1, 2, 2)),
}


def build(classes=(0, 1), ndim=2, channels=1, pixel_size=None, **params):
    """A model that is not trained, on facts made by hand."""
    tiny = {"depth": 2, "filters": 4, "batch_size": 2, "patch_size": (16,) * ndim, "learning_rate": 0.01}
    config = UNetConfig.parse({"class_weights": (1.0,) * len(classes), **tiny, **params})
    names = tuple(f"c{i}" for i in range(channels))
    facts = Facts(ndim, names, ((32,) * ndim,), "uint16", pixel_size, classes, counts={"train": 1})
    return UNetModel(config, facts)


def scramble(net):
    """Weights and batch statistics under which no path through the network is silent."""
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if "running_var" in key:
                value.uniform_(0.5, 2)
            elif value.dtype.is_floating_point:
                value.normal_(0, 0.3)
            if key.endswith(".1.bias") or key.endswith(".4.bias"):
                value.uniform_(1, 2)  # keeps the rectifiers open
    return net.eval()


@pytest.mark.parametrize(
    ("pools", "shrink"),
    [*((p, ()) for p in POOLS.values()), (((2, 2),), (3, 3)), (((2, 2, 2),), (1, 2, 2))],
    ids=[*POOLS, "2D, downscaled", "3D, downscaled"],
)
def test_no_pixel_beyond_the_halo_changes_an_output_pixel(pools, shrink):
    ndim, halo = len(pools[0]), field_of_view(pools, shrink)
    net = scramble(UNet(1, 1, 4, pools, shrink=shrink)).double()
    factors = (*pools, shrink) if shrink else pools
    strides = [int(np.prod([p[a] for p in factors])) for a in range(ndim)]
    size = [2 * (h + 2 * s) // s * s for h, s in zip(halo, strides, strict=True)]
    reach = np.zeros(ndim, int)
    rng = np.random.default_rng(0)
    for offset in [(0,) * ndim, tuple(s - 1 for s in strides), tuple(rng.integers(0, strides))]:
        x = torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True)
        centre = [n // 2 // s * s + o for n, s, o in zip(size, strides, offset, strict=True)]
        net.logits(x)[(0, 0, *centre)].backward()
        where = np.argwhere(x.grad[0, 0].numpy() != 0)
        assert len(where)
        reach = np.maximum(reach, np.abs(where - centre).max(0))
    assert (reach <= halo).all(), f"reaches {reach}, halo is {halo}"
    assert (np.asarray(halo) <= 3 * reach + 8).all(), "a halo far beyond the reach wastes time"


@pytest.mark.parametrize(
    ("ndim", "pixel_size", "shape", "tile", "downscaling"),
    [(2, None, (93, 131), (16, 16), 1), (3, (1.0, 0.25, 0.25), (11, 50, 61), (4, 16, 16), 1),
     (3, None, (21, 26, 30), (8,) * 3, 1), (2, None, (150, 131), (24, 24), 3),
     (3, None, (21, 66, 70), (8, 16, 16), 2)],
)  # fmt: skip
def test_tiles_give_what_the_whole_image_gives(ndim, pixel_size, shape, tile, downscaling):
    model = build(
        ndim=ndim, pixel_size=pixel_size, depth=2 if ndim == 2 else 1, downscaling_in_xy=downscaling
    )
    scramble(model.net)
    image = np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)
    (whole,) = predict_whole(model.forward, image, model.geometry)
    (tiled,) = predict_tiled(model.forward, image, model.geometry, tile=tile)
    assert whole.std() > 1e-3
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_pooling_respects_anisotropy():
    model = build(ndim=3, pixel_size=(1.0, 0.25, 0.25), depth=3, patch_size=(8, 32, 32))
    assert model.kwargs["pools"] == [[1, 2, 2], [1, 2, 2], [2, 2, 2]]
    assert model.geometry.multiple == (2, 8, 8)
    assert build(ndim=3, pixel_size=None, depth=2).geometry.multiple == (4, 4, 4)


def test_downscaling_averages_the_plane_alone_and_spares_an_axis_that_is_coarse_by_then():
    model = build(ndim=3, pixel_size=None, depth=2, downscaling_in_xy=2, patch_size=(4, 16, 16))
    assert model.kwargs["shrink"] == [1, 2, 2]
    assert model.kwargs["pools"] == [[2, 1, 1], [2, 2, 2]]
    image = np.random.default_rng(0).normal(size=(1, 8, 32, 32, 1)).astype(np.float32)
    means = image.reshape(1, 8, 16, 2, 16, 2, 1).mean((3, 5))
    smooth = means.repeat(2, 2).repeat(2, 3)
    assert model.forward(image)[0].shape == image.shape
    np.testing.assert_allclose(model.forward(image)[0], model.forward(smooth)[0], atol=1e-6)


def reference_loss(kind, logits, target, weights):
    """Formulas of the publications; logits (B, K, Y, X) float64, target (B, Y, X)."""
    logp, p = log_softmax(logits, 1), softmax(logits, 1)
    truth = np.moveaxis(np.eye(logits.shape[1])[target], -1, 1)
    w = np.asarray(weights)[target]
    cross = -(logp * truth).sum(1)
    pt = (p * truth).sum(1)
    overlap, total = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    dice = 1 - ((2 * overlap + 1) / (total + 1))[1:].mean()
    return {
        "cross-entropy": (w * cross).sum() / w.sum(),
        "dice": dice,
        "cross-entropy + dice": (w * cross).sum() / w.sum() + dice,
        "focal": (w * (1 - pt) ** 2 * cross).mean(),
    }[kind]


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "cross-entropy + dice", "focal"])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 4.0)])
def test_losses_are_the_published_formulas(kind, weights):
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 2, (2, 3, 9, 7)), rng.integers(0, 3, (2, 9, 7))
    model = build((0, 1, 2), loss=kind, class_weights=weights)
    found = model.loss(torch.tensor(logits, dtype=torch.float32), torch.tensor(target))
    assert float(found) == pytest.approx(reference_loss(kind, logits, target, weights), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "focal"])
def test_two_classes_share_the_formulas_with_one_logit(kind):
    rng = np.random.default_rng(1)
    logit, target = rng.normal(0, 2, (2, 1, 9, 7)), rng.integers(0, 2, (2, 9, 7))
    both = np.concatenate([np.zeros_like(logit), logit], 1)
    found = build(loss=kind).loss(torch.tensor(logit, dtype=torch.float32), torch.tensor(target))
    assert float(found) == pytest.approx(reference_loss(kind, both, target, (1, 1)), rel=1e-5)


def test_the_validation_loss_is_the_training_loss_of_the_same_pixels(samples_2d):
    from zcdl_common.patches import Memory
    from zcdl_common.run import Run
    from zcdl_common.training import ready

    run = Run(None, networks.get("unet"), samples_2d.planned, samples_2d.facts, {})
    model = run.build()
    (sample,) = ready(run, samples_2d.data.split.validation, Memory(10**8))
    model.net.eval()
    with torch.no_grad():
        x = torch.from_numpy(sample.source.read())[None].movedim(-1, 1)
        logits = model.net.logits(x)
        expected = float(model.loss(logits, torch.from_numpy(sample.target.read().astype(np.int64))[None]))
    found = model.validate([sample])
    assert found["val_loss"] == pytest.approx(expected, rel=1e-4)
    mask = logits[0, 0].numpy() >= 0
    truth = sample.target.read() > 0
    assert found["val_iou"] == pytest.approx((mask & truth).sum() / (mask | truth).sum())


def test_a_batch_depends_on_its_random_numbers_alone(finished):
    samples = _learning(finished)
    model = finished.build()
    first = model.batch(samples, np.random.default_rng([0, 1, 2]))
    np.random.seed(5)
    torch.manual_seed(5)
    model.step(first, 0.01)
    again = model.batch(samples, np.random.default_rng([0, 1, 2]))
    other = model.batch(samples, np.random.default_rng([0, 1, 3]))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["source"], other["source"])
    assert first["source"].shape == (4, *finished.config.patch_size, 1)
    assert first["source"].dtype == np.float32 and set(np.unique(first["target"])) <= {0, 1}


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    rng = np.random.default_rng(0)
    source = np.repeat(rng.normal(size=(1, 16, 16, 1)), 4, 0).astype(np.float32)
    target = np.repeat(rng.integers(0, 2, (1, 16, 16)), 4, 0)
    batch = {"source": source, "target": target, "seed": 1}
    states = []
    for part in (4, 2, 1):
        model = build(loss="cross-entropy", batch_size=4, optimiser="sgd")
        model.part = part
        model.step(batch, 0.1)
        states.append(dict(model.net.named_parameters()))
    for state in states[1:]:
        for key, value in state.items():
            torch.testing.assert_close(value, states[0][key], rtol=1e-4, atol=1e-5)


def test_probing_memory_changes_nothing(finished):
    model, samples = finished.build(), _learning(finished)
    before = model.state()
    assert model.fit_memory(model.batch(samples, np.random.default_rng(0))) == 4
    after = model.state()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[k], after[k]) for k in before)


def test_state_goes_and_comes_back_with_the_optimiser(finished):
    samples = _learning(finished)
    one = finished.build()
    batches = [one.batch(samples, np.random.default_rng(i)) for i in range(4)]
    for batch in batches[:2]:
        one.step(batch, 0.01)
    two = finished.build()
    two.restore(one.state())
    for model in (one, two):
        for batch in batches[2:]:
            model.step(batch, 0.01)
    a, b = one.state(), two.state()
    assert any(key.startswith("optimiser/") for key in a)
    assert all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("classes", [(0, 1), (0, 3, 7)])
def test_probabilities_are_probabilities(classes):
    model = build(classes, channels=2)
    (probability,) = model.forward(np.random.default_rng(0).normal(size=(3, 16, 24, 2)).astype(np.float32))
    assert probability.shape == (3, 16, 24, 1 if len(classes) == 2 else 3)
    assert 0 <= probability.min() <= probability.max() <= 1
    if len(classes) == 3:
        np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-5)


def test_a_trained_volume_network_predicts_in_tiles_what_it_predicts_whole(finished_3d):
    model = finished_3d.load()
    assert model.geometry.multiple == (1, 4, 4)
    image = np.random.default_rng(0).integers(0, 2000, (9, 70, 75, 1)).astype(np.uint16)
    (found,) = maps(finished_3d, model, image)
    scaled = finished_3d.scaling(image)
    (tiled,) = predict_tiled(model.forward, scaled, model.geometry, tile=(4, 16, 16))
    np.testing.assert_allclose(tiled, found, atol=1e-5)


def _learning(run):
    from zcdl_common.patches import Memory
    from zcdl_common.session import data_of
    from zcdl_common.training import ready

    return ready(run, data_of(run).split.train, Memory(10**8))

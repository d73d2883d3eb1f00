"""The network of Deep-STORM, its loss, and how positions come from its maps."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from zcdl_common.models import _heat, _torch
from zcdl_common.models.nets import deepstorm as nets

FACTORS = (4, 8, 16)


def scrambled(upsampling=4, filters=2, channels=1, seed=0):
    """A network in evaluation mode whose weights and running statistics differ everywhere."""
    torch.manual_seed(seed)
    net = nets.DeepSTORM(channels, upsampling, filters)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and value.ndim == 1:
                value.uniform_(-0.5, 1.0)
    return net.eval()


def plain(net, x):
    """The network as it was published: every layer by itself, none joined with the next."""
    x = x.repeat_interleave(net.upsampling, -1).repeat_interleave(net.upsampling, -2)
    first, *others = net.encoder
    x = first(x)
    for block in others:
        x = block(F.max_pool2d(x, 2))
    for block in net.decoder:
        x = block(x.repeat_interleave(2, -1).repeat_interleave(2, -2))
    return net.head(x)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float32).view(1, -1, 2)


# -- the network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("upsampling", FACTORS)
@pytest.mark.parametrize("training", [False, True])
def test_the_faster_way_is_the_plain_network_also_at_the_borders(upsampling, training):
    net = scrambled(upsampling, channels=2).double().train(training)
    x = torch.randn(2, 2, 6, 4, dtype=torch.float64)
    found, expected = net(x), plain(net, x)
    assert found.shape == (2, 1, 6 * upsampling, 4 * upsampling)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.square().sum().backward()
    gradients = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    expected.square().sum().backward()
    for found, p in zip(gradients, net.parameters(), strict=True):
        torch.testing.assert_close(found, p.grad, rtol=1e-9, atol=1e-9 * float(p.grad.abs().max()))


def test_doubled_pixels_meet_the_weights_as_the_definition_says():
    x, weight = torch.randn(3, 5, 7, 6), torch.randn(4, 5, 3, 3)
    expected = F.conv2d(x.repeat_interleave(2, -1).repeat_interleave(2, -2), weight, padding=1)
    torch.testing.assert_close(nets.doubled(x, weight), expected, rtol=0, atol=2e-5)


def test_widths_and_layers_are_those_of_the_publication():
    net = nets.DeepSTORM(1, 8, 32)
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [32, 64, 128, 512, 128, 64, 32, 1]
    # 9 weights between each pair of layers, 1 at the end, and a scale and a shift for each feature
    pairs = 1 * 32 + 32 * 64 + 64 * 128 + 128 * 512 + 512 * 128 + 128 * 64 + 64 * 32
    assert sum(p.numel() for p in net.parameters()) == 9 * pairs + 32 + 2 * sum(widths[:-1])


@pytest.mark.parametrize(("upsampling", "multiple"), [(4, 2), (8, 1), (16, 1)])
def test_any_size_that_is_a_multiple_fits(upsampling, multiple):
    assert nets.multiple(upsampling) == multiple
    side = 3 * multiple
    with torch.inference_mode():
        made = scrambled(upsampling)(torch.zeros(1, 1, side, 5 * multiple))
        assert made.shape == (1, 1, side * upsampling, 5 * multiple * upsampling)
        if multiple > 1:  # one pixel more is lost on the way
            assert scrambled(upsampling)(torch.zeros(1, 1, side + 1, side)).shape[2] < (side + 1) * upsampling


@pytest.mark.parametrize("upsampling", FACTORS)
def test_the_field_of_view_is_exact(monkeypatch, upsampling):
    monkeypatch.setattr(nets.F, "max_pool2d", F.avg_pool2d)  # the largest hides what the others could do
    net = scrambled(upsampling).double()
    for p in net.parameters():
        p.data.abs_()
    reach, side = nets.field_of_view(upsampling), 64 // upsampling * 4
    x = torch.rand(1, 1, side, 2, dtype=torch.float64, requires_grad=True)
    middle = side // 2
    middle -= middle % nets.multiple(upsampling)
    seen = []
    for row in range(middle * upsampling, (middle + nets.multiple(upsampling)) * upsampling):
        (gradient,) = torch.autograd.grad(net(x)[0, 0, row].sum(), x)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()[:, 0] - row // upsampling
        seen += [-int(rows.min()), int(rows.max())]
    assert max(seen) == reach < middle


@pytest.mark.parametrize("upsampling", [4, 8])
def test_exported_weights_give_the_same_map_for_another_size(tmp_path, upsampling):
    import onnxruntime

    net = scrambled(upsampling, channels=1)
    kwargs = {"channels_in": 1, "upsampling": upsampling, "filters": 2}
    example = np.zeros((1, 8, 12, 1), np.float32)
    made = _torch.convert(net, example, tmp_path, ("raw", "map"), tmp_path / "deepstorm.py", kwargs)
    x = np.random.default_rng(0).normal(size=(2, 1, 14, 10)).astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(x)).numpy()
        script = torch.jit.load(made.files["torchscript"])(torch.from_numpy(x)).numpy()
    session = onnxruntime.InferenceSession(made.files["onnx"], providers=["CPUExecutionProvider"])
    (onnx,) = session.run(None, {"raw": x})
    assert np.ptp(expected) > 0.01
    for found in (script, onnx):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.ptp(expected))
    again = nets.DeepSTORM(**kwargs)
    again.load_state_dict(torch.load(made.files["pytorch_state_dict"], weights_only=True))


# -- the loss --------------------------------------------------------------------------------------


def test_an_emitter_counts_in_the_fine_pixel_it_lies_in():
    where = points((0.0, 0.0), (0.24, 0.26), (1.99, 2.99), (1.0, 1.5), (1.1, 1.6), (2.0, 1.0), (1.0, 3.0))
    where = torch.cat([where, points((-1, -1), (-0.01, 1.0), (float("nan"), float("nan")))], dim=1)
    expected = np.zeros((8, 12))
    expected[0, 0] = expected[0, 1] = expected[7, 11] = 1
    expected[4, 6] = 2
    found = _heat.impulses(where, (8, 12), 4)
    np.testing.assert_array_equal(found[0, 0].numpy(), expected)


def test_the_blur_is_a_gaussian_cut_off_after_three_pixels():
    image = np.random.default_rng(0).normal(size=(15, 11))
    found = _heat.blur(torch.from_numpy(image)[None, None], 1.3)[0, 0].numpy()
    np.testing.assert_allclose(found, ndimage.gaussian_filter(image, 1.3, mode="constant", radius=3))


def test_the_loss_is_the_published_one():
    rng = np.random.default_rng(1)
    maps = rng.normal(5, 20, (2, 1, 16, 24))
    where = np.full((2, 9, 2), -1.0)
    where[0], where[1, :4] = rng.uniform(0, (4, 6), (9, 2)), rng.uniform(0, (4, 6), (4, 2))
    squares = []
    for image, some in zip(maps[:, 0], (where[0], where[1, :4]), strict=True):
        counts, _, _ = np.histogram2d(*some.T, bins=(16, 24), range=((0, 4), (0, 6)))
        heat = ndimage.gaussian_filter(100 * counts, 1.0, mode="constant", radius=3)
        squares.append((ndimage.gaussian_filter(image, 1.0, mode="constant", radius=3) - heat) ** 2)
    found = _heat.loss(torch.from_numpy(maps), torch.from_numpy(where), 4, 1.0, 0.7)
    assert float(found) == pytest.approx(np.mean(squares) + 0.7 * np.abs(maps).mean())


def test_rows_that_only_fill_up_change_neither_loss_nor_gradient():
    maps = torch.randn(1, 1, 16, 16, requires_grad=True)
    few = points((1.2, 3.1), (2.0, 0.4))
    many = torch.cat([few, points((-1, -1)), torch.full((1, 3, 2), float("nan"))], dim=1)
    found = [torch.autograd.grad(_heat.loss(maps, where, 4), maps)[0] for where in (few, many)]
    assert torch.isfinite(found[1]).all()
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


# -- positions -------------------------------------------------------------------------------------


def drawn(positions, shape, upsampling, sigma=0.7):
    """A map (1, 1, Y, X) on which each position is a spot whose sum is that of an emitter."""
    y, x = (np.arange(n) + 0.5 for n in shape)
    image = np.zeros(shape)
    for py, px in np.asarray(positions) * upsampling:
        spot = np.exp(-(((y[:, None] - py) ** 2) + (x - px) ** 2) / (2 * sigma**2))
        image += _heat.HEIGHT * spot / spot.sum()
    return torch.from_numpy(image.astype(np.float32))[None, None]


def test_spots_are_found_where_they_were_drawn():
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(7), indexing="ij"), -1).reshape(-1, 2) * 3.0 + 2
    true = grid + rng.uniform(-1, 1, grid.shape)
    found = _heat.peaks(drawn(true, (17 * 8, 23 * 8), 8, 0.5), 8)
    assert len(found.yx) == len(true) and not found.frame.any()
    away = np.linalg.norm(found.yx.numpy()[:, None] - true, axis=2)
    assert sorted(away.argmin(0)) == list(range(len(true)))  # one each
    assert away.min(0).max() < 0.02  # a sixth of a fine pixel, however the spot lies on the grid
    np.testing.assert_allclose(found.confidence.numpy(), 1, atol=0.05)


@pytest.mark.parametrize("side", [3, 5])
def test_maxima_of_the_first_round_are_those_of_the_definition(monkeypatch, side):
    monkeypatch.setattr(_heat, "ROUNDS", 1)
    maps = 10 * torch.rand(3, 1, 20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps -= 1e-3  # what is below 0 counts as 0
    found, r = _heat.peaks(maps, 4, side, 0.3), side // 2
    for t, image in enumerate(maps[:, 0].numpy().clip(0) / 100):
        sums, totals = (ndimage.convolve(image, np.ones((n, n)), mode="constant") for n in (3, side))
        largest = ndimage.maximum_filter(sums, side, mode="constant", cval=-np.inf)
        rows = []
        for y, x in np.argwhere((sums == largest) & (totals > 0.3)):
            around = np.pad(image, r)[y : y + side, x : x + side]
            dy, dx = ndimage.center_of_mass(around)
            rows.append(((y - r + dy + 0.5) / 4, (x - r + dx + 0.5) / 4, around.sum()))
        expected, of_frame = np.array(rows), found.frame == t
        assert len(expected) > 10
        np.testing.assert_allclose(found.yx[of_frame].numpy(), expected[:, :2])
        np.testing.assert_allclose(found.confidence[of_frame].numpy(), expected[:, 2])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_emitters_in_one_place_are_counted(number):
    true = np.array([[3.3, 4.6]])
    found = _heat.peaks(number * drawn(true, (28, 36), 4), 4, floor=0.3)
    np.testing.assert_allclose(found.yx.numpy(), np.repeat(true, number, axis=0), atol=0.02)
    np.testing.assert_allclose(found.confidence.numpy(), np.arange(number, 0, -1), atol=0.1)


def test_of_equal_pixels_one_is_a_maximum_and_of_an_empty_map_none():
    maps = torch.zeros(2, 1, 12, 12)
    maps[0, 0, 4:6, 4:6] = 20
    maps[0, 0, 0, 11] = 70
    found = _heat.peaks(maps, 4)
    assert found.frame.tolist() == [0, 0]
    np.testing.assert_allclose(found.yx.numpy(), np.array([(0.5, 11.5), (5.0, 5.0)]) / 4)
    np.testing.assert_allclose(found.confidence.numpy(), [0.7, 0.8])

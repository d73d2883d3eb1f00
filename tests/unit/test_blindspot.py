from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from zcdl_common.blindspot import Line, along, blind, box, medians, neighbours, stratified


def patches(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn(shape, share, rounds=20, **options):
    """Masks (B, (Z)YXC) of many draws, one after the other."""
    found = []
    for seed in range(rounds):
        _, target = blind(patches(*shape, seed=seed), share, np.random.default_rng(seed), **options)
        found.append(target[..., shape[-1] :])
    return np.concatenate(found)


@pytest.mark.parametrize("share", [0.00198, 0.005, 0.015, 0.05])
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (16, 64, 64), (4, 64, 64)])
def test_the_stated_share_is_hidden_in_2d_and_3d(size, share):
    mask = drawn((16, *size, 2), share)
    hidden, pixels = mask.sum(), mask.size
    assert hidden / pixels == pytest.approx(share, rel=0.03)
    counts = mask.sum(axis=tuple(range(1, 1 + len(size))))
    assert counts.min() > 0, "every patch and channel has something to learn from"


@pytest.fixture(scope="module")
def n2v():
    """The package's generator and value functions, with the Keras and the NumPy that it needs."""
    import_module("zcdl_common.models.noise2void")
    return SimpleNamespace(
        DataWrapper=import_module("n2v.internals.N2V_DataWrapper").N2V_DataWrapper,
        values=import_module("n2v.utils.n2v_utils"),
    )


def test_volumes_get_as_many_blind_spots_as_the_package_means_to_give_them(n2v):
    x = patches(8, 4, 64, 64, 1)
    y = np.concatenate([x, np.zeros_like(x)], axis=-1)
    np.random.seed(0)
    values = n2v.values.pm_uniform_withCP(5)
    wrapper = n2v.DataWrapper(x, y, 8, 8, perc_pix=0.198, shape=(4, 64, 64), value_manipulation=values)
    theirs = np.mean([wrapper[i][1][..., 1].sum() / 8 for i in range(10)])
    ours = drawn((8, 4, 64, 64, 1), 0.00198).sum() / 160
    assert ours == pytest.approx(0.00198 * 4 * 64 * 64, rel=0.03)
    assert theirs < 3 < 30 < ours, "the package takes a square root for a cube root"


@pytest.mark.parametrize("size", [(60, 61), (9, 30, 31)])
def test_every_pixel_is_hidden_equally_often(size):
    mask = drawn((200, *size, 1), 0.02, rounds=10)
    counts = mask.sum(axis=(0, -1)).ravel()
    expected = 0.02 * len(mask)
    # one spot a box is steadier than chance alone, never less so
    assert stats.chisquare(counts, np.full(counts.size, counts.mean())).pvalue > 0.01
    assert counts.mean() == pytest.approx(expected, rel=0.03)


def test_blind_spots_keep_apart():
    mask = drawn((8, 64, 64, 1), 0.01)[..., 0]
    quarters = mask.reshape(len(mask), 2, 32, 2, 32).sum(axis=(2, 4))
    by_chance = 0.01 * 32 * 32
    assert quarters.var() < 0.7 * by_chance, "stratified, not drawn one by one"


def test_a_box_holds_one_spot_and_is_flat_where_the_patch_is():
    assert np.prod(box((64, 64), 0.01)) == pytest.approx(100)
    assert box((64, 64, 64), 1 / 512) == pytest.approx((8, 8, 8))
    flat = box((4, 64, 64), 1 / 512)
    assert flat[0] == 4 and np.prod(flat) == pytest.approx(512) and flat[1] == pytest.approx(flat[2])


@pytest.mark.parametrize("options", [{}, {"median": True}, {"line": Line(1, 5)}])
@pytest.mark.parametrize("size", [(32, 40), (8, 20, 24)])
def test_the_target_holds_what_was_hidden_and_the_rest_stays(size, options):
    source = patches(3, *size, 2)
    before = source.copy()
    masked, target = blind(source, 0.02, np.random.default_rng(0), **options)
    values, mask = target[..., :2], target[..., 2:].astype(bool)
    assert np.array_equal(source, before), "the patches themselves are not changed"
    assert masked.dtype == target.dtype == np.float32
    assert np.array_equal(values, np.where(mask, source, 0))
    untouched = masked == source
    if "line" in options:
        assert not untouched[~mask].all()
    else:
        assert untouched[~mask].all()
    assert untouched[mask].mean() < 0.1, "what stands there tells nothing of what stood there"


@pytest.mark.parametrize("ndim", [2, 3])
def test_values_come_from_all_of_the_window_and_from_nowhere_else(ndim):
    n, radius = 15, 3
    size = (n,) * ndim
    ramp = np.broadcast_to(np.arange(n**ndim, dtype=np.float32).reshape(size), (4000, *size))[..., None]
    spots = (np.arange(4000), *[np.full(4000, 7)] * ndim, np.zeros(4000, int))
    taken = ramp[neighbours(ramp.shape, spots, radius, np.random.default_rng(0))].astype(int)
    offsets = np.stack(np.unravel_index(taken, size)) - 7
    assert offsets.min() == -radius and offsets.max() == radius
    for axis in range(ndim):
        counts = np.bincount(offsets[axis] + radius)
        assert stats.chisquare(counts).pvalue > 0.001, "uniform, the centre included"


def test_the_window_ends_where_the_patch_ends():
    spots = (np.zeros(500, int), np.zeros(500, int), np.full(500, 9), np.zeros(500, int))
    _, y, x, _ = neighbours((1, 10, 10, 1), spots, 4, np.random.default_rng(0))
    assert set(y) == {0, 1, 2, 3, 4} and set(x) == {5, 6, 7, 8, 9}


def test_the_values_are_distributed_as_those_of_the_package(n2v):
    source = patches(1, 40, 40, 1)
    source[0, ..., 0] += np.linspace(0, 5, 40)[:, None]
    at = np.repeat([[0, 20, 39], [3, 20, 39]], 4000, axis=1)
    spots = (np.zeros(at.shape[1], int), *at, np.zeros(at.shape[1], int))
    np.random.seed(0)
    theirs = np.array(n2v.values.pm_uniform_withCP(5)(source[0, ..., 0], tuple(at), 2))
    ours = source[neighbours(source.shape, spots, 5, np.random.default_rng(0))]
    for i in range(3):
        part = slice(4000 * i, 4000 * (i + 1))
        assert stats.ks_2samp(ours[part], theirs[part]).pvalue > 0.001


@pytest.mark.parametrize("size", [(20, 24), (6, 12, 12)])
def test_medians_are_those_of_the_package(size, n2v):
    source = patches(2, *size, 1)
    spots = stratified(source.shape, 0.05, np.random.default_rng(0))
    found = medians(source, spots, 2)
    for patch in range(2):
        mine = spots[0] == patch
        coords = tuple(index[mine] for index in spots[1:-1])
        theirs = n2v.values.pm_median(2)(source[patch, ..., 0], coords, len(size))
        np.testing.assert_allclose(found[mine], theirs, rtol=1e-6)


def test_medians_leave_out_the_hidden_line():
    source = np.zeros((1, 11, 11, 1), np.float32)
    source[0, 5] = 100.0
    spot = (np.array([0]), np.array([5]), np.array([5]), np.array([0]))
    assert medians(source, spot, 1)[0] == 0.0
    source[0, [4, 6]] = np.arange(11)[:, None]
    with_line = medians(source, spot, 1, Line(1, 3))[0]
    assert with_line == np.median([4, 5, 6, 4, 5, 6])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_line_is_hidden_along_its_axis_and_ends_with_the_patch(axis):
    spots = (np.array([0]), np.array([2]), np.array([8]), np.array([0]))
    _, *at, _ = along((1, 10, 10, 1), spots, Line(axis, 7))
    start = (2, 8)[axis]
    assert set(at[1 - axis]) == {(2, 8)[1 - axis]}
    assert sorted(at[axis]) == [p for p in range(start - 3, start + 4) if 0 <= p < 10 and p != start]


def test_what_lies_in_the_line_is_random_between_minus_two_and_two():
    source = np.full((8, 32, 32, 1), 50.0, np.float32)
    masked, target = blind(source, 0.01, np.random.default_rng(0), line=Line(1, 5))
    hidden = masked[masked != 50]
    assert hidden.min() >= -2 and hidden.max() <= 2 and abs(hidden.mean()) < 0.2
    assert hidden.size == pytest.approx(4 * target[..., 1].sum(), rel=0.15)


def test_one_state_of_chance_gives_one_result():
    a, b, c = (blind(patches(2, 32, 32, 1), 0.02, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert not np.array_equal(a[1], c[1])

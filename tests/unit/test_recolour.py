import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.baselines.recolour import NAME, Recolour, recolour
from zcdl_common.errors import DataError


def shapes(rng, size=(96, 96)):
    """Bright cells on a dark background, with noise, from 0 to about 1; (Y, X)."""
    points = np.zeros(size)
    points[tuple(rng.integers(0, side, 12) for side in size)] = 1
    return np.tanh(300 * ndimage.gaussian_filter(points, 4)) + rng.normal(0, 0.03, size)


def images(seed, make, count=6):
    rng = np.random.default_rng(seed)
    return [make(shapes(rng)) for _ in range(count)]


def grey(shape):
    return (20 + 200 * shape)[..., None]


def curved(shape):
    return (1000 * np.exp(shape))[..., None]


def stained(shape):
    """Light where there is nothing; the first channel alone shows the cells."""
    rng = np.random.default_rng(int(1e6 * shape[0, 0]) % 1000)
    others = 150 + 40 * ndimage.gaussian_filter(rng.normal(size=(2, *shape.shape)), (0, 3, 3))
    return np.stack([220 - 150 * shape, *others], axis=-1)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_a_monotone_change_of_brightness_is_found_without_pairs():
    found = recolour(images(0, grey), images(1, curved))
    shape = shapes(np.random.default_rng(2))
    made = found.predict(grey(shape))
    assert made.dtype == np.float32
    assert found.name == NAME
    assert found.description.startswith("Each channel, with")
    assert np.abs(made - curved(shape)).mean() < 0.1 * curved(shape).std()


def test_inverted_images_are_turned_round():
    found = recolour(images(0, lambda shape: 255 - grey(shape)), images(1, curved))
    shape = shapes(np.random.default_rng(2))
    assert found.description.startswith("Each channel, inverted")
    assert correlation(found.predict(255 - grey(shape)), curved(shape)) > 0.95
    assert found.scores["each channel, inverted"] < found.scores["each channel"]


def test_pixels_that_are_not_finite_stop_nothing():
    source = [image.astype(np.float32) for image in images(0, stained)]
    source[0][3, 5, 1], source[1][0, 0, 2] = np.nan, np.inf
    found = recolour(source, images(1, grey))
    assert min(found.scores, key=found.scores.get).startswith("channel 1, inverted")
    assert np.isfinite(found.predict(source[0])).all()


def test_the_channel_that_shows_the_cells_is_found_among_three():
    found = recolour(images(0, stained), images(1, grey))
    assert min(found.scores, key=found.scores.get).startswith("channel 1, inverted")
    shape = shapes(np.random.default_rng(2))
    made = found.predict(stained(shape))
    assert made.shape == (96, 96, 1)
    assert correlation(made, shape) > 0.95


def test_one_channel_becomes_three_in_their_own_colours():
    target = images(
        1, lambda shape: np.stack([250 - 200 * shape, 100 + 0 * shape, 30 + 100 * shape], axis=-1)
    )
    found = recolour(images(0, grey), target)
    shape = shapes(np.random.default_rng(2))
    made = found.predict(np.stack([grey(shape)] * 2))
    assert made.shape == (2, 96, 96, 3)
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_allclose(made[..., 1], 100)
    own = np.concatenate([image.reshape(-1, 3) for image in target])
    np.testing.assert_allclose(made.mean((0, 1, 2))[[0, 2]], own.mean(0)[[0, 2]], rtol=0.15)


def test_the_transfer_is_fixed_so_that_dim_images_stay_dim():
    found = recolour(images(0, grey), images(1, grey))
    shape = shapes(np.random.default_rng(2))
    assert isinstance(found.predict, Recolour)
    assert found.predict.levels is not None
    assert found.predict(grey(0.4 * shape)).max() < 0.6 * found.predict(grey(shape)).max()


def test_where_brightness_varies_by_chance_images_are_matched_one_by_one():
    rng = np.random.default_rng(5)
    source = images(0, lambda shape: rng.uniform(0.1, 5) * grey(shape) + rng.uniform(0, 2000), 8)
    found = recolour(source, images(1, grey))
    assert found.description.startswith("Each channel, image by image")
    shape = shapes(np.random.default_rng(2))
    made = [found.predict(factor * grey(shape)) for factor in (1, 7)]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-4)


def test_pixels_that_share_a_value_become_the_mean_of_what_they_stand_for():
    quarters = np.linspace(0, 1, 5)[:, None]
    method = Recolour(np.eye(1), np.array([0.0, 0, 0, 1, 2])[:, None], quarters)
    made = method(np.array([0.0, 1.0, 1.5, 9.0, np.nan])[None, :, None])
    np.testing.assert_allclose(made[0, :, 0], [0.25, 0.75, 0.875, 1.0, 0.25])


def test_equal_seeds_give_equal_methods_and_empty_sets_are_refused():
    source, target = images(0, stained, 2), images(1, grey, 2)
    first, second = (recolour(source, target, seed=1) for _ in range(2))
    assert first.scores == second.scores
    np.testing.assert_array_equal(first.predict(source[0]), second.predict(source[0]))
    for sets in ((source, []), ([], target)):
        with pytest.raises(DataError, match="no image"):
            recolour(*sets)

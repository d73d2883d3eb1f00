import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.baselines import forest, sampled
from zcdl_common.baselines.regress import LINEAR, NOTICEABLE, TREES, correlation, regress
from zcdl_common.baselines.sampled import chances
from zcdl_common.errors import DataError
from zcdl_common.metrics.images import pearson_r
from zcdl_common.samples.translate import brightfield_to_nuclei

SHAPE = (56, 64)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 12)
    monkeypatch.setattr(sampled, "PIXELS", 2000)


def field(rng, shape=SHAPE, sigma=1.5):
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return (smooth / smooth.std())[..., None].astype(np.float32)


def linear(x):
    """Twice a pixel less its surroundings, in other units."""
    return 500 + 100 * (2 * x - ndimage.gaussian_filter(x, (*(2.0,) * (x.ndim - 1), 0)))


def parabola(x):
    """Uncorrelated with the source itself."""
    return 500 + 100 * x**2


def pairs(relation, count=4, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    sources = [field(rng, shape) for _ in range(count)]
    return [(x, relation(x)) for x in sources]


@pytest.mark.parametrize(
    ("relation", "winner", "floor"),
    [(linear, LINEAR, 0.99), (parabola, TREES, 0.95)],
    ids=["line", "parabola"],
)
def test_the_regression_that_suits_the_relation_wins_and_holds_on_new_images(relation, winner, floor):
    best = regress(pairs(relation))
    assert best.name == winner == max(best.scores, key=best.scores.get)
    assert set(best.scores) == set(best.seconds) == {LINEAR, TREES}
    assert best.description.startswith(winner) and f"{best.scores[winner]:.3f}" in best.description
    assert "no better" not in best.description and "Not used" not in best.description
    for source, target in pairs(relation, 2, seed=1):
        found = best.predict(source)
        assert found.dtype == np.float32 and found.shape == target.shape
        assert pearson_r(target, found) > floor
        assert abs(found.mean() - target.mean()) < 0.2 * target.std(), "in the units of the targets"


def test_few_bright_pixels_are_seen_and_no_mean_is_biased():
    rng = np.random.default_rng(0)
    target = rng.normal(100, 10, (200, 200, 1))
    bright = rng.random((200, 200)) < 0.01
    target[bright] += 5000
    chance = chances(target, np.ones(bright.shape, bool), 1000)
    draws = [rng.random(bright.shape) < chance for _ in range(200)]
    assert np.mean([d.sum() for d in draws]) == pytest.approx(1000, rel=0.1)
    assert np.mean([(d & bright).sum() for d in draws]) > 0.15 * 1000, "an even draw sees 10"
    means = [(target[d, 0] / chance[d]).sum() / bright.size for d in draws]
    assert np.mean(means) == pytest.approx(target.mean(), rel=0.02)
    assert chance.min() >= 1000 / bright.size / 2
    even = chances(np.zeros((20, 20, 2)), np.ones((20, 20), bool), 40)
    np.testing.assert_allclose(even, 0.1)


def test_sparse_bright_structures_are_predicted_with_the_right_mean():
    def spots(x):
        return 100 + 5000 * (x > np.quantile(x, 0.985))

    best = regress(pairs(spots, 4, (96, 96)))
    found, true = zip(*((best.predict(x), y) for x, y in pairs(spots, 3, (96, 96), seed=1)), strict=True)
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.15)
    assert pearson_r(np.array(true), np.array(found)) > 0.85


def test_a_target_that_the_source_does_not_tell_is_said_to_be_so():
    rng = np.random.default_rng(0)
    best = regress([(field(rng), field(rng)) for _ in range(4)])
    assert max(best.scores.values()) < 0.3, "held out: trees know their own images by heart"
    noise = regress([(field(rng, sigma=0.5), rng.normal(size=(*SHAPE, 1))) for _ in range(4)])
    assert noise.scores[noise.name] < NOTICEABLE and "no better than the mean" in noise.description


def test_without_any_contrast_the_constant_is_predicted():
    flat = np.full((*SHAPE, 1), 7, np.uint16)
    best = regress([(flat, np.full((*SHAPE, 1), 3.0, np.float32))] * 2)
    np.testing.assert_allclose(best.predict(flat), 3.0)
    assert set(best.scores.values()) == {0.0} and "no better than the mean" in best.description
    with_flat = regress([*pairs(linear), (flat, np.full((*SHAPE, 1), 500.0))])
    assert with_flat.scores[LINEAR] > 0.9, "a target without contrast tells nothing"
    assert np.isfinite(with_flat.predict(flat)).all()


def test_pixels_without_a_number_spoil_nothing():
    train = [(x.copy(), y.copy()) for x, y in pairs(linear)]
    for source, target in train:
        source[5:8, 5:8] = np.nan
        source[20, 20] = np.inf
        target[40:44, 3:9] = np.nan
    whole, holed = regress(pairs(linear)), regress(train)
    assert holed.scores[LINEAR] == pytest.approx(whole.scores[LINEAR], abs=0.02)
    (source, _), *_ = pairs(linear, 1, seed=1)
    spoiled = source.copy()
    spoiled[30, 30] = np.nan
    plain, found = holed.predict(source), holed.predict(spoiled)
    assert np.isfinite(found).all() and np.isnan(spoiled).sum() == 1, "the image itself is left alone"
    assert np.ptp((found - plain)[:, :10]) < 0.05 * plain.std()


def test_many_channels_in_and_several_out_in_their_own_units(monkeypatch):
    monkeypatch.setattr(sampled, "MOST_FEATURES", 400_000)
    rng = np.random.default_rng(0)

    def image():
        source = np.concatenate([field(rng) for _ in range(13)], -1)
        return source, np.stack([source[..., 3], 1000 * source[..., 7] ** 2, np.ones(SHAPE)], -1)

    train, (source, target) = [image() for _ in range(4)], image()
    best = regress(train)
    found = best.predict(source)
    assert found.shape == target.shape
    assert correlation(target, found) > 0.4
    np.testing.assert_allclose(found[..., 2], 1, rtol=1e-4)
    assert found[..., 1].mean() == pytest.approx(target[..., 1].mean(), rel=0.3)
    drawn = sampled.describe(*train[0], 1.0, rng, 4)
    assert drawn.rows.shape[1] == 13 * 17 and 4 * drawn.rows.size < 1.3 * 400_000


def test_blocks_and_threads_do_not_change_the_result(monkeypatch):
    train = pairs(parabola, 2)
    best, again = regress(train, seed=3), regress(train, seed=3)
    (source, _), *_ = pairs(parabola, 1, seed=1)
    expected = best.predict(source)
    assert best.scores == again.scores and np.array_equal(expected, again.predict(source))
    monkeypatch.setattr(forest, "BLOCK_VALUES", 500)
    np.testing.assert_allclose(best.predict(source), expected, rtol=1e-4)


def test_blocks_shrink_as_channels_grow():
    assert forest.block((2048, 2048, 1)) == forest.BLOCK[2]
    assert forest.block((64, 512, 512, 1)) == forest.BLOCK[3]
    for shape in ((900, 900, 13), (900, 900, 300), (20, 300, 300, 40)):
        assert np.prod(forest.block(shape)) * shape[-1] <= forest.BLOCK_VALUES
        small = np.zeros((*(8,) * (len(shape) - 1), 3), np.float32)
        described = forest.features(small, 1.0, forest.intensity_bounds(small))
        assert described.shape[-1] == forest.n_features(small.shape)


def test_large_images_are_seen_in_part(monkeypatch):
    monkeypatch.setattr(forest, "BLOCK", {2: (32, 32)})
    monkeypatch.setattr(sampled, "MOST_VALUES", 3 * 32 * 32)
    ((source, target),) = pairs(linear, 1, (128, 128))
    drawn = sampled.describe(source, target, 1.0, np.random.default_rng(0), 1)
    assert 0.8 * 2000 < len(drawn.test_rows) < 1.2 * 2000 and len(drawn.rows) == len(drawn.weights)
    assert regress(pairs(linear, 4, (128, 128))).scores[LINEAR] > 0.98


def test_volumes_of_different_sizes():
    rng = np.random.default_rng(0)
    sources = [field(rng, shape) for shape in ((6, 40, 44), (8, 36, 40), (1, 40, 40))]
    best = regress([(x, linear(x)) for x in sources], pixel_size=(2.0, 0.5, 0.5))
    assert best.predict.aspect == 4.0
    source = field(rng, (5, 30, 50))
    assert pearson_r(linear(source), best.predict(source)) > 0.9


def test_a_single_image_is_judged_by_its_halves():
    best = regress(pairs(linear, 1))
    assert "two halves" in best.description and best.scores[LINEAR] > 0.98


def test_an_image_of_which_one_half_has_no_target_is_learned_from():
    ((source, target),) = pairs(linear, 1)
    target[:, 30:] = np.nan
    best = regress([(source, target)])
    assert set(best.scores.values()) == {0.0}, "nothing is left to judge by"
    assert pearson_r(linear(source), best.predict(source)) > 0.9


def test_time_limit_leaves_out_images_and_trees_and_says_so():
    best = regress(pairs(linear), seconds=0.0)
    assert set(best.scores) == {LINEAR}
    assert f"Not used within 0 s: 2 images, {TREES}." in best.description
    assert "on 2 training images" in best.description


def test_nuclei_are_seen_in_simulated_transmitted_light():
    made = [brightfield_to_nuclei(np.random.default_rng(i), (128, 128), (0.3, 0.3)) for i in range(4)]
    images = [(light[..., None], dna[..., None].astype(np.float32)) for light, dna in made]
    best = regress(images[:3])
    assert pearson_r(images[3][1], best.predict(images[3][0])) > 0.5


def test_nothing_to_learn_from_is_an_error_that_says_so():
    with pytest.raises(DataError, match="None of the 0"):
        regress([])
    with pytest.raises(DataError, match="None of the 1"):
        regress([(np.zeros((8, 8, 1)), np.full((8, 8, 1), np.nan))])

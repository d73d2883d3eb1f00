import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from zcdl_common.baselines import forest, threshold
from zcdl_common.baselines import segment as module
from zcdl_common.baselines.segment import FOREST, LOCAL, OTSU, segment
from zcdl_common.errors import DataError
from zcdl_common.metrics.segmentation import scores

SHAPE = (48, 56)


def blobs(rng, shape=SHAPE, sigma=3.0, share=0.7):
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return (field > np.quantile(field, share)).astype(np.int32)


def bright(rng, shape=SHAPE):
    truth = blobs(rng, shape)
    return (100 + 80 * truth + rng.normal(0, 10, shape))[..., None].astype(np.uint16), truth


def shaded(rng, shape=SHAPE):
    """Dark objects on a background that rises by far more than their contrast."""
    truth = blobs(rng, shape, sigma=1.5, share=0.8)
    ramp = np.linspace(0, 1000, shape[-1])
    return (ramp - 60 * truth + rng.normal(0, 5, shape))[..., None].astype(np.float32), truth


def textured(rng, shape=SHAPE):
    """Objects of the background's mean brightness, rougher than it."""
    truth = blobs(rng, shape, sigma=6.0)
    return (100 + rng.normal(0, 1, shape) * (1 + 9 * truth))[..., None].astype(np.float32), truth


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 8)
    monkeypatch.setattr(module, "_TO_FIT", 500)


def train_and_test(make, count=4, **options):
    rng = np.random.default_rng(0)
    pairs = [make(rng, **options) for _ in range(count + 2)]
    return pairs[:count], pairs[count:]


def mean_iou(method, pairs, n_classes=2):
    return np.mean([scores(truth, method(source), n_classes)["iou"] for source, truth in pairs])


@pytest.mark.parametrize(
    ("make", "winner", "floor"), [(bright, None, 0.95), (shaded, FOREST, 0.8), (textured, FOREST, 0.6)]
)
def test_the_method_that_suits_the_images_wins_and_holds_on_new_ones(few_trees, make, winner, floor):
    train, test = train_and_test(make)
    best = segment(train, 2, seed=0)
    assert set(best.scores) == set(best.seconds) == {OTSU, LOCAL, FOREST}
    assert best.name == max(best.scores, key=best.scores.get)
    assert winner in (None, best.name)
    assert mean_iou(best.predict, test) > floor
    assert best.description.startswith(best.name) and "Not tried" not in best.description


def test_local_threshold_finds_dark_objects_where_otsu_sees_only_the_shading():
    train, test = train_and_test(shaded)
    local = module._tuned(*threshold.local_table(train, 1.0, lambda: False))
    otsu = module._tuned(*threshold.otsu_table(train, 2, 1.0, lambda: False))
    assert local.score > otsu.score + 0.4
    assert not local.method.bright and mean_iou(local.method, test) > 0.7


def test_otsu_is_scikit_images():
    (source, truth), *_ = train_and_test(bright)[0]
    found = threshold.Otsu(0, 0.0, (0, 1))(source)
    assert np.array_equal(found, source[..., 0] > threshold_otsu(source[..., 0].astype(np.float32)))
    assert np.array_equal(threshold.Otsu(0, 0.0, (1, 0))(source), 1 - found)
    assert found.dtype == np.int32 and found.shape == truth.shape


def test_local_table_scores_what_the_method_then_does():
    train, _ = train_and_test(shaded, 2)
    table, complete = threshold.local_table(train, 1.0, lambda: False)
    assert complete
    for method in list(table)[::37]:
        assert table[method] == pytest.approx([mean_iou(method, [pair]) for pair in train], nan_ok=True)


def test_scores_are_of_images_that_were_not_tuned_on(few_trees):
    rng = np.random.default_rng(0)
    noise = [(rng.normal(size=(*SHAPE, 1)), blobs(rng, share=0.5)) for _ in range(4)]
    best = segment(noise, 2, seed=0)
    memory = module._forest(noise, 2, 1.0, 0, lambda: False).method
    assert mean_iou(memory, noise) > 0.45 > best.scores[FOREST]


def test_result_repeats_for_a_seed(few_trees):
    train, test = train_and_test(textured)
    first, second = (segment(train, 2, seed=3) for _ in range(2))
    assert (first.scores, first.description) == (second.scores, second.description)
    assert np.array_equal(first.predict(test[0][0]), second.predict(test[0][0]))


def test_time_limit_skips_what_comes_later_and_says_so(few_trees):
    train, _ = train_and_test(bright)
    best = segment(train, 2, seed=0, seconds=0.0)
    assert (best.name, set(best.scores)) == (OTSU, {OTSU})
    assert f"Not tried within 0 s: some settings of the {OTSU}, {LOCAL}, {FOREST}." in best.description


def test_several_classes_and_channels(few_trees):
    rng = np.random.default_rng(0)

    def image():
        truth = blobs(rng) + blobs(rng)
        levels = np.array([200, 20, 120])[truth] + rng.normal(0, 8, SHAPE)
        return np.stack([rng.normal(size=SHAPE), levels], -1), truth.astype(np.int32)

    train, test = [image() for _ in range(4)], [image() for _ in range(2)]
    best = segment(train, 3, seed=0)
    assert set(best.scores) == {OTSU, FOREST}
    assert mean_iou(best.predict, test, 3) > 0.85
    otsu = module._tuned(*threshold.otsu_table(train, 3, 1.0, lambda: False)).method
    assert (otsu.channel, otsu.classes) == (1, (1, 2, 0))
    assert mean_iou(otsu, test, 3) > 0.85


def test_anisotropic_volumes(few_trees):
    train, test = train_and_test(bright, 2, shape=(10, 40, 44))
    best = segment(train, 2, seed=0, pixel_size=(2.0, 0.5, 0.5))
    assert set(best.scores) == {OTSU, LOCAL, FOREST}
    assert mean_iou(best.predict, test) > 0.9
    spot = np.zeros((21, 21, 21), np.float32)
    spot[10, 10, 10] = 1
    smoothed = threshold.smooth(spot, 2.0, aspect=4.0)
    assert smoothed[10, 10, 14] == pytest.approx(smoothed[10, 14, 10])
    assert smoothed[11, 10, 10] == pytest.approx(smoothed[10, 14, 10], rel=0.15)


def test_a_single_image_is_judged_by_halves_and_large_ones_are_cropped(few_trees, monkeypatch):
    (pair,), _ = train_and_test(bright, 1)
    best = segment([pair], 2, seed=0)
    assert "two halves" in best.description and min(best.scores.values()) > 0.8
    monkeypatch.setattr(module, "MOST_PIXELS", 400)
    truth = np.zeros((200, 300), np.int32)
    truth[150:160, 20:30] = 1
    source, cropped = module._crop(truth[..., None], truth)
    assert cropped.size <= 400 and cropped.any() and np.array_equal(source[..., 0], cropped)


@pytest.mark.parametrize("shape", [(70, 90, 2), (9, 40, 50, 1)])
def test_blocks_give_the_same_as_the_whole_image(few_trees, monkeypatch, shape):
    rng = np.random.default_rng(0)
    source = rng.normal(size=shape).astype(np.float32)
    monkeypatch.setitem(forest.SCALES, 2, (1.0, 2.0))
    monkeypatch.setitem(forest.SCALES, 3, (1.0, 2.0))
    bounds = forest.intensity_bounds(source)
    whole = forest.features(source, 2.0, bounds)
    core = tuple(slice(n // 3, n // 3 + 5) for n in shape[:-1])
    np.testing.assert_allclose(forest.features(source, 2.0, bounds, core), whole[core], atol=1e-6)
    rows = whole.reshape(-1, whole.shape[-1])
    trees = forest.fit(
        rows, (rows[:, 3] > np.median(rows[:, 3])).astype(int), np.ones(len(rows)), seed=0, aspect=2.0
    )
    at_once = trees(source)
    monkeypatch.setitem(forest.BLOCK, len(shape) - 1, (4, 16, 16)[-len(shape) + 1 :])
    assert np.mean(trees(source) != at_once) < 1e-3
    assert 0 < at_once.mean() < 1


def test_blocks_cover_every_pixel_once():
    for shape, size in itertools.product([(7, 10), (5, 8, 3)], [(3, 4, 2), (20, 20, 20)]):
        seen = np.zeros(shape, int)
        for core in forest.cores(shape, size[: len(shape)]):
            seen[core] += 1
        assert (seen == 1).all()


def test_memory_of_a_forest_does_not_grow_with_the_image(monkeypatch):
    class NoTrees:
        def predict(self, rows):
            return np.zeros(len(rows))

    monkeypatch.setitem(forest.BLOCK, 2, (64, 64))
    monkeypatch.setattr(forest, "WORKERS", 1)
    monkeypatch.setattr(forest, "intensity_bounds", lambda _: np.array([[0], [1]], np.float32))
    peaks = []
    for side in (256, 1024):
        source = np.ones((side, side, 1), np.uint16)
        tracemalloc.start()
        found = forest.Forest(NoTrees())(source)
        peaks.append(tracemalloc.get_traced_memory()[1] - found.nbytes)
        tracemalloc.stop()
    # All features of the larger image at once would be 71 MB.
    assert peaks[0] < 4e6 and peaks[1] - peaks[0] < 1e6


def test_filters_see_edges_ridges_and_spots():
    x = np.tile(np.arange(-20, 21), (41, 1))
    ridge = np.exp(-(x**2) / 8.0)[..., None]
    bounds = np.array([[0], [1]], np.float32)
    intensity, smoothed, edge, high, low = np.moveaxis(forest.features(ridge, 1.0, bounds), -1, 0)[:5]
    assert intensity[20, 20] == 1 > smoothed[20, 20]
    assert edge[20, 20] == pytest.approx(0, abs=1e-6) and edge[20, 18] > 0.1
    assert low[20, 20] < -0.1 and abs(high[20, 20]) < 1e-3


def test_drawn_pixels_are_balanced_and_their_weights_keep_the_true_share():
    truth = np.zeros((50, 50), np.int32)
    truth[:5, :10] = 1
    picks, weights = forest.draw(truth, 200, np.random.default_rng(0))
    rare = truth.ravel()[picks] == 1
    assert (rare.sum(), (~rare).sum()) == (50, 100)
    assert weights[rare].sum() == pytest.approx(0.02) and weights.sum() == pytest.approx(1)
    assert len(np.unique(picks)) == len(picks)


def test_masks_without_foreground_are_an_error():
    with pytest.raises(DataError, match="None of the 2 training masks holds foreground"):
        segment([(np.ones((8, 8, 1)), np.zeros((8, 8), np.int32))] * 2, 2, seed=0)


def test_only_the_images_that_are_used_are_read(few_trees):
    class Reading(list):
        read = 0

        def __getitem__(self, item):
            self.read += 1
            return super().__getitem__(item)

    train, _ = train_and_test(bright, 12)
    pairs = Reading(train)
    segment(pairs, 2, seed=0, seconds=0)
    assert pairs.read == module.MOST_IMAGES
    empty = [(source, np.zeros_like(truth)) for source, truth in train[:11]]
    assert segment([*empty, train[11]], 2, seed=0, seconds=0).scores[OTSU] >= 0


def test_constant_images_do_not_break_a_threshold():
    flat = np.full((20, 20, 1), 7, np.uint8)
    assert not threshold.Otsu(0, 0.0, (0, 1))(flat).any()
    assert not threshold.Otsu(0, 1.0, (0, 1, 2))(flat).any()
    assert not threshold.Local(0, 0.0, 15, 0.5, True)(flat).any()

"""The classical detection: finds what an expert's eye would, repeats itself, says what it lacks."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.baselines.blobs import blobs, shrunk
from zcdl_common.baselines.candidates import blobs_of, features, regions
from zcdl_common.baselines.ranked import best_boxes, judged
from zcdl_common.boxes import iou
from zcdl_common.errors import DataError
from zcdl_common.task import Facts, Sample

FACTS = Facts(2, ("",), (), "uint16")


@pytest.fixture(autouse=True)
def fewer_trees(monkeypatch):
    monkeypatch.setattr("zcdl_common.baselines.blobs.TREES", 20)


@dataclass(frozen=True)
class Held:
    value: np.ndarray
    path = None

    def read(self):
        return self.value


def cells(seed, shape=(80, 100), channels=3, dark=False, kinds=2, radii=(4, 8), count=8):
    """Discs of two sizes and colours on a background with noise, uint16, and their boxes."""
    rng = np.random.default_rng(seed)
    image = np.full((*shape, channels), 0.3)
    taken, boxes = np.zeros(shape, bool), []
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    for i in range(400):
        if len(boxes) == count:
            break
        kind = i % kinds
        r = radii[kind] * rng.uniform(0.9, 1.1)
        cy, cx = rng.uniform(r + 1, np.array(shape) - r - 1)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        if (ndimage.binary_dilation(disc, iterations=2) & taken).any():
            continue
        taken |= disc
        image[disc] += np.resize([[0.4, 0.1, 0.2], [0.2, 0.5, 0.2]][kind], channels)
        boxes.append([cy - r, cx - r, cy + r, cx + r, 3 * kind])
    image = (1 - image if dark else image) + rng.normal(0, 0.03, image.shape)
    return (image * 4000).clip(0).astype(np.uint16), np.array(boxes, np.float32).reshape(-1, 5)


def samples(seeds, **how):
    pairs = [cells(seed, **how) for seed in seeds]
    return [Sample(str(i), "", Held(image), Held(boxes)) for i, (image, boxes) in enumerate(pairs)]


def truth(sample, facts):
    return sample.target.read()


def found(prediction):
    scores = prediction.extra["scores"]
    assert prediction.main.shape == (len(scores), 5) and prediction.main.dtype == np.float32
    assert scores.dtype == np.float32 and (np.diff(scores) <= 0).all()
    return prediction.main, scores


@pytest.mark.parametrize(("channels", "dark"), [(1, False), (1, True), (3, True), (6, False)])
def test_discs_of_two_classes_are_found_and_told_apart(channels, dark):
    how = {"channels": channels, "dark": dark}
    baseline = blobs(samples(range(3), **how), FACTS, 0, truth=truth)
    images = [cells(seed, **how) for seed in range(10, 13)]
    results = [(*found(baseline.predict(image)), boxes) for image, boxes in images]
    precision, confidence = judged(results)
    assert precision > 0.9
    for boxes, scores, true in results:
        for kind in (0, 3):
            n = (true[:, 4] == kind).sum()
            assert abs(((scores >= confidence[kind]) & (boxes[:, 4] == kind)).sum() - n) <= 1
    assert "3 training images" in baseline.description


def test_one_seed_repeats():
    image, _ = cells(20)
    first, second = (blobs(samples(range(2)), FACTS, 7, truth=truth).predict(image) for _ in range(2))
    np.testing.assert_array_equal(first.main, second.main)
    np.testing.assert_array_equal(first.extra["scores"], second.extra["scores"])


def test_a_large_image_is_searched_in_blocks_without_gaps_or_doubles(monkeypatch):
    baseline = blobs(samples(range(3)), FACTS, 0, truth=truth)
    image, true = cells(30, shape=(100, 130), count=11)
    monkeypatch.setattr("zcdl_common.baselines.blobs.BLOCK", 64)
    boxes, scores = found(baseline.predict(image))
    assert judged([(boxes, scores, true)])[0] > 0.9
    pairs = iou(boxes, boxes) * (boxes[:, 4:] == boxes[:, 4])
    sure = scores > 0.5
    assert (pairs[sure][:, sure] - np.eye(sure.sum())).max() <= 0.51


def test_large_objects_are_found_in_a_shrunk_image_at_their_place():
    how = {"shape": (300, 400), "radii": (30, 30), "kinds": 1, "count": 7, "channels": 1}
    baseline = blobs(samples(range(3), **how), FACTS, 0, truth=truth)
    assert baseline.predict.shrink in (4, 5)
    image, true = cells(9, **how)
    boxes, _ = found(baseline.predict(image))
    assert iou(true, boxes).max(1).min() > 0.8


def test_the_images_hold_every_class_and_no_more_than_eight_are_read():
    read = []

    class Counted(Held):
        def read(self):
            read.append(1)
            return self.value

    many = samples(range(20), kinds=1, count=3, shape=(40, 50))
    image, boxes = cells(50, count=4, shape=(50, 60))
    many = [Sample(s.name, "", Counted(s.source.value), s.target) for s in many]
    many.append(Sample("rare", "", Counted(image), Held(boxes)))
    baseline = blobs(many, FACTS, 0, truth=truth)
    assert len(read) == 8
    assert {c // 2 for c in baseline.predict.trees.classes_} == {-1, 0, 3}


@pytest.mark.parametrize("shape", [(8, 8, 1), (1, 40, 1), (40, 40, 1)])
def test_an_image_with_nothing_in_it_gives_no_box_or_only_unsure_ones(shape):
    baseline = blobs(samples(range(2), channels=1), FACTS, 0, truth=truth)
    _, scores = found(baseline.predict(np.full(shape, 7, np.uint16)))
    assert (scores < 0.5).all()


def test_a_single_image_is_enough_and_says_so():
    baseline = blobs(samples([0]), FACTS, 0, truth=truth)
    assert "1 training images" in baseline.description and "not held out" in baseline.description


def test_no_box_at_all_is_said():
    empty = [Sample("a", "", Held(np.zeros((9, 9, 1), np.uint8)), Held(np.zeros((0, 5), np.float32)))]
    with pytest.raises(DataError, match="None of 1 training images holds a box"):
        blobs(empty, FACTS, 0, truth=truth)


def test_regions_are_those_of_a_disc_and_of_both_halves_of_a_dumbbell():
    y, x = np.mgrid[:60, :90] + 0.5
    disc = ((y - 30) ** 2 + (x - 25) ** 2 < 15**2) | ((y - 30) ** 2 + (x - 53) ** 2 < 15**2)
    boxes = regions(disc.astype(np.float32), (14.0,))
    for wanted in ([15, 10, 45, 68], [15, 10, 45, 39], [15, 39, 45, 68]):
        assert iou(np.array([wanted]), boxes).max() > 0.9


@pytest.mark.parametrize("diameter", [8.0, 20.0, 60.0])
def test_blobs_lie_where_discs_are(diameter):
    y, x = np.mgrid[:150, :160] + 0.5
    disc = ((y - 71.3) ** 2 + (x - 83.8) ** 2 < (diameter / 2) ** 2).astype(np.float32)
    boxes = blobs_of(disc, [diameter])
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    assert np.abs(middle - (71.3, 83.8)).max(1).min() < 0.05 * diameter + 0.5
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], diameter)


def test_features_are_means_over_the_pixels():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(40, 50, 1))
    box = np.array([[10, 10, 30, 20, 0.7]])
    size, aspect, fill, border, mean, spread, middle, rim, ring, *_ = features(plane, box)[0]
    p = plane[..., 0]
    inside = p[10:30, 10:20]
    around = (p[7:33, 8:22].sum() - inside.sum()) / (26 * 14 - 200)  # half of 1.3 times the sides, rounded
    assert (size, aspect, fill, border) == pytest.approx((np.log(200), np.log(2), 0.7, 0))
    assert (mean, spread) == pytest.approx((inside.mean(), inside.std()), abs=1e-5)
    assert middle == pytest.approx(p[15:25, 12:18].mean(), abs=1e-5)
    assert rim == pytest.approx((inside.sum() - p[12:28, 11:19].sum()) / (200 - 128), abs=1e-5)
    assert ring == pytest.approx(around, abs=1e-5)


def test_the_best_of_boxes_that_share_too_much_stays_class_by_class():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 20, 10, 30], [0, 0, 10, 4]])
    kept, scores = best_boxes(boxes, {0: np.array([0.6, 0.9, 0.3, 0.5]), 4: np.array([0.2, 0, 0, 0])}, 0.45)
    np.testing.assert_array_equal(kept, [[0, 0, 10, 8, 0], [0, 20, 10, 30, 0], [0, 0, 10, 10, 4]])
    np.testing.assert_array_equal(scores, [0.9, 0.3, 0.2])


def test_judgement_of_a_ranking_is_that_of_paper_and_pencil():
    true = np.array([[0, 0, 10, 10, 0], [20, 20, 30, 30, 0]])
    boxes = np.array([[0, 0, 10, 10, 0], [50, 50, 60, 60, 0], [20, 20, 30, 29, 0], [0, 0, 10, 9, 0]])
    precision, confidence = judged([(boxes, np.array([0.9, 0.8, 0.6, 0.3]), true)])
    assert precision == pytest.approx((51 * 1 + 50 * 2 / 3) / 101), "read at 101 recalls, as in COCO"
    assert 0.3 < confidence[0] <= 0.6
    assert judged([(boxes[:0], np.zeros(0), true)])[0] == 0


def test_shrinking_scales_brightness_between_its_percentiles():
    image = np.random.default_rng(0).uniform(100, 300, (90, 61, 2)).astype(np.float32)
    small = shrunk(image, 3)
    assert small.shape == (30, 20, 2) and small.dtype == np.float32
    low, high = np.percentile(image, [1, 99.8], axis=(0, 1))
    assert small.mean() == pytest.approx(((image - low) / (high - low)).mean(), abs=0.01)

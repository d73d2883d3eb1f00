"""Scores of objects equal those of StarDist, and say what happened where that is known by hand."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from stardist.matching import matching

from zcdl_common.errors import DataError
from zcdl_common.metrics.instances import THRESHOLDS, agreement, kinds, matches, overlaps, scores

THEIRS = {
    "ap": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "pq": "panoptic_quality",
    "mean_iou": "mean_matched_score",
}


def blobs(seed, shape=(90, 110), cut=0.9, sigma=3):
    """Connected objects of a random field, numbered."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return ndimage.label(field > cut * field.std())[0].astype(np.int32)


def perturbed(labels, seed):
    """The same objects with other borders: shifted, some merged, some lost, some invented."""
    rng = np.random.default_rng(seed)
    moved = np.roll(labels, rng.integers(-2, 3, labels.ndim), range(labels.ndim))
    new = rng.permutation(labels.max() + 1) + 1
    new[rng.random(len(new)) < 0.15] = 0
    new[rng.random(len(new)) < 0.1] = 7
    new[0] = 0
    extra = blobs(seed + 100, labels.shape, 1.6)
    return np.where(moved > 0, new[moved], np.where(extra > 0, extra + 1000, 0))


def assert_like_stardist(truth, prediction, thresholds=THRESHOLDS):
    pairs = overlaps(truth, prediction)
    for theirs in matching(truth, prediction, thresh=thresholds):
        for ours, name in THEIRS.items():
            assert agreement(pairs, theirs.thresh)[ours] == pytest.approx(getattr(theirs, name), abs=1e-6)
        assert len(matches(pairs, theirs.thresh)) == theirs.tp


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(90, 110), (14, 40, 36)])
def test_scores_of_random_objects_are_those_of_stardist(seed, shape):
    truth = blobs(seed, shape)
    assert_like_stardist(truth, perturbed(truth, seed))
    assert_like_stardist(truth, blobs(seed + 50, shape), thresholds=(0.5,))


small = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=st.integers(0, 5))


@given(small, st.data())
@settings(max_examples=150, deadline=None)
def test_scores_of_any_labels_are_those_of_stardist(truth, data):
    prediction = data.draw(hnp.arrays(np.int32, truth.shape, elements=st.integers(0, 5)))
    if truth.any() or prediction.any():
        assert_like_stardist(truth, prediction)


@given(small, st.data())
@settings(max_examples=100, deadline=None)
def test_below_one_half_as_many_objects_are_matched_as_can_be(truth, data):
    prediction = data.draw(hnp.arrays(np.int32, truth.shape, elements=st.integers(0, 5)))
    pairs = overlaps(truth, prediction)
    for theirs in matching(truth, prediction, thresh=(0.1, 0.25, 0.4)):
        chosen = matches(pairs, theirs.thresh)
        assert len(chosen) == theirs.tp
        assert len(set(pairs.i[chosen])) == len(set(pairs.j[chosen])) == len(chosen)
        assert (pairs.iou[chosen] >= theirs.thresh).all()


@pytest.mark.real
def test_scores_of_real_labels_are_those_of_stardist(real_data):
    folder = real_data / "stardist2d" / "dsb2018_256" / "test" / "target"
    paths = sorted(folder.glob("*.tif"))
    assert len(paths) == 20
    for number, path in enumerate(paths):
        truth = tifffile.imread(path)
        assert_like_stardist(truth, perturbed(truth.astype(np.int32), number))


def test_a_split_a_merged_a_lost_and_an_invented_object():
    truth, prediction = np.zeros((2, 12, 40), int)
    truth[2:10, 2:10] = 1  # split into two halves: an IoU of 0.5 each, one of them matches
    prediction[2:6, 2:10], prediction[6:10, 2:10] = 11, 12
    truth[2:10, 12:16], truth[2:10, 16:20] = 2, 3  # merged
    prediction[2:10, 12:20] = 13
    truth[2:10, 22:26] = 4  # lost
    prediction[2:10, 30:34] = 14  # invented
    found = scores(truth, prediction)
    assert found["n_true"] == found["n_found"] == 4 and found["count_bias"] == 0
    assert found["precision"] == found["recall"] == 0.5 and found["ap50"] == 2 / 6
    assert found["mean_iou"] == 0.5 and found["pq"] == 2 * 0.5 / 4
    assert found["ap55"] == found["ap90"] == 0
    assert found["size_true"] == 40 and found["size_found"] == 40 and found["size_bias"] == 0


def test_bias_says_by_how_much_count_and_size_are_off():
    truth, prediction = np.zeros((2, 10, 30), int)
    truth[:, :4], truth[:, 10:14] = 1, 2
    prediction[:, :5], prediction[:, 10:15], prediction[:, 20:25] = 1, 2, 3
    found = scores(truth, prediction)
    assert found["count_bias"] == pytest.approx(0.5) and found["size_bias"] == pytest.approx(0.25)
    assert found["mean_iou"] == pytest.approx(0.8) and found["ap80"] == pytest.approx(2 / 3)
    assert found["ap85"] == 0


def test_nothing_there_and_nothing_found_is_no_score_but_anything_found_is_zero():
    empty = np.zeros((5, 6), np.int32)
    nothing = scores(empty, empty)
    assert np.isnan([nothing[key] for key in ("ap50", "f1_50", "pq", "mean_iou", "count_bias")]).all()
    assert nothing["n_true"] == 0
    assert scores(empty, np.ones_like(empty))["ap50"] == 0
    assert scores(np.ones_like(empty), empty)["ap50"] == 0
    assert scores(np.ones_like(empty), empty)["count_bias"] == -1


def test_numbers_of_objects_do_not_matter_however_large():
    truth = blobs(3)
    prediction = perturbed(truth, 4)
    large = np.where(truth > 0, truth.astype(np.int64) * 10_000_019 + 2**33, 0)
    assert scores(large, prediction) == pytest.approx(scores(truth, prediction), nan_ok=True)
    pairs = overlaps(large, prediction.astype(np.uint16))
    assert pairs.truth.tolist() == sorted(set(large[large > 0].tolist()))
    assert pairs.truth_sizes.sum() == (truth > 0).sum()


def test_errors_are_named_pixel_by_pixel():
    truth, prediction = np.zeros((2, 1, 12), int)
    truth[0, 0:3] = prediction[0, 0:3] = 5
    truth[0, 4:6], prediction[0, 5:9] = 6, 9
    prediction[0, 10] = 2
    assert kinds(truth, prediction).tolist() == [[1, 1, 1, 0, 3, 4, 2, 2, 2, 0, 2, 0]]
    assert kinds(truth, prediction, 0.1).tolist() == [[1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 2, 0]]


def test_arrays_of_different_images_are_refused():
    with pytest.raises(DataError, match="same"):
        scores(np.zeros((4, 4), int), np.zeros((4, 5), int))

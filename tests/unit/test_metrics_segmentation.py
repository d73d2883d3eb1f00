import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from zcdl_common.errors import DataError
from zcdl_common.metrics import segmentation
from zcdl_common.metrics.segmentation import THRESHOLDS, best_threshold, confusion, scores, threshold_curve

PEERS = {"iou": jaccard_score, "dice": f1_score, "precision": precision_score, "recall": recall_score}


@pytest.fixture
def masks(rng):
    truth = rng.integers(0, 4, (5, 40, 33)).astype(np.int32)
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape))
    return truth, prediction.astype(np.int32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("key", PEERS)
def test_scores_equal_scikit_learn(masks, key):
    truth, prediction = masks
    ours = scores(truth, prediction, 4)
    theirs = PEERS[key](truth.ravel(), prediction.ravel(), labels=range(4), average=None)
    assert [ours[f"{key}_{c}"] for c in range(4)] == pytest.approx(list(theirs), abs=1e-12)
    assert ours[key] == pytest.approx(theirs[1:].mean(), abs=1e-12)


def test_keys_carry_the_mask_values(masks):
    truth, prediction = (m % 2 for m in masks)
    named = scores(truth, prediction, (0, 255))
    assert named["iou_255"] == scores(truth, prediction, 2)["iou_1"] == named["iou"]
    assert set(named) == {k + s for k in ("iou", "dice", "precision", "recall") for s in ("", "_0", "_255")}


def test_absent_classes_are_nan_and_left_out_of_the_mean():
    truth = np.array([[0, 1, 1, 0]])
    prediction = np.array([[0, 1, 0, 2]])
    result = scores(truth, prediction, 4)
    assert math.isnan(result["iou_3"])
    assert result["iou_2"] == result["precision_2"] == result["recall_2"] == 0
    assert result["iou"] == pytest.approx((0.5 + 0) / 2)
    empty = scores(np.zeros((3, 3), int), np.zeros((3, 3), int), 2)
    assert math.isnan(empty["iou"]) and empty["iou_0"] == 1


def test_confusion_does_not_depend_on_the_chunk(masks, monkeypatch):
    whole = confusion(*masks, 4)
    monkeypatch.setattr(segmentation, "_CHUNK", 7)
    assert np.array_equal(confusion(*masks, 4), whole)
    assert whole.sum() == masks[0].size
    assert whole[1, 2] == np.sum((masks[0] == 1) & (masks[1] == 2))


def test_other_shape_and_unknown_class_are_errors():
    with pytest.raises(DataError, match=r"\(2, 2\).*\(2, 3\)"):
        scores(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
    with pytest.raises(DataError, match="prediction holds class indices 0 to 5"):
        scores(np.zeros((2, 2), int), np.array([[0, 0], [0, 5]]), 2)
    with pytest.raises(DataError, match="of the same image"):
        threshold_curve(np.zeros((2, 2, 1)), np.zeros((2, 2), bool))


def loop(probability, truth, thresholds):
    result = []
    for t in np.asarray(thresholds).astype(probability.dtype):
        mask = probability >= t
        union = np.sum(mask | truth)
        result.append(np.sum(mask & truth) / union if union else np.nan)
    return np.array(result)


probabilities = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=8),
    elements=st.one_of(
        st.floats(-0.5, 1.5, width=32),
        st.sampled_from([0.0, 1.0, 0.5, 0.1, 1 / 256, np.nan, np.inf, -np.inf]),
    ),
)
steps = st.sampled_from(
    [THRESHOLDS, np.linspace(0, 1, 256), np.linspace(0.1, 0.9, 9), np.array([0.5]), np.array([0.1, 0.2, 0.9])]
)


@given(probabilities, steps, st.integers(0, 9))
def test_curve_is_identical_to_the_loop(probability, thresholds, seed):
    truth = np.random.default_rng(seed).random(probability.shape) < 0.4
    np.testing.assert_array_equal(
        threshold_curve(probability, truth, thresholds), loop(probability, truth, thresholds)
    )


def test_curve_of_a_large_image_is_identical_to_the_loop(rng):
    probability = rng.random((600, 700), dtype=np.float32)
    truth = probability + rng.normal(0, 0.2, probability.shape) > 0.6
    np.testing.assert_array_equal(threshold_curve(probability, truth), loop(probability, truth, THRESHOLDS))


def test_best_threshold_maximises_the_mean_over_images_not_over_pixels():
    curves = np.array([[0.2, 0.9, 0.7], [0.2, 0.1, 0.8], [np.nan, np.nan, np.nan]])
    assert best_threshold(curves, np.array([0.25, 0.5, 0.75])) == 0.75


def test_within_one_standard_error_of_the_best_the_mildest_threshold_is_taken():
    steps = np.array([0.3, 0.5, 0.7, 0.9])
    apart = np.array([[0.70, 0.78, 0.85, 0.90], [0.60, 0.68, 0.73, 0.76]])  # error at 0.9: 0.07
    assert best_threshold(apart, steps) == 0.7
    agreed = np.array([[0.70, 0.78, 0.80, 0.90], [0.70, 0.78, 0.80, 0.89]])  # error at 0.9: 0.005
    assert best_threshold(agreed, steps) == 0.9
    assert best_threshold(apart[:1], steps) == 0.9, "one image has no error"


def test_equally_good_thresholds_give_the_one_nearest_to_a_half():
    curve = np.where((THRESHOLDS > 0.1) & (THRESHOLDS < 0.4), 0.7, 0.2)
    assert best_threshold(curve) == THRESHOLDS[THRESHOLDS < 0.4].max()
    assert best_threshold(np.full((2, 256), 0.7)) == 0.5
    assert best_threshold(np.full((2, 256), np.nan)) == 0.5

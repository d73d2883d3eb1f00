import numpy as np
import pytest

from zcdl_common.metrics.instances import agreement, overlaps
from zcdl_common.task import Facts, Prediction
from zcdl_common.thresholds import IOU, choose_thresholds, lowest_threshold, precision_curve

FACTS = Facts(2, ("c",), ((60, 60),), "uint16")


def squares(*places, side=8):
    labels = np.zeros((60, 60), np.int32)
    for number, (y, x) in enumerate(places, 1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_the_curve_is_what_scoring_at_every_threshold_gives():
    truth = squares((2, 2), (2, 20), (20, 2), (40, 40))
    labels = squares((2, 3), (4, 20), (30, 30), (41, 40), (50, 2))
    scores = np.array([0.9, 0.4, 0.3, 0.7, 0.8], np.float32)
    thresholds = np.linspace(0, 1, 21)
    curve = precision_curve(truth, labels, scores, thresholds)
    for threshold, value in zip(thresholds, curve, strict=True):
        left = np.where(np.isin(labels, 1 + np.flatnonzero(scores > threshold)), labels, 0)
        expected = np.mean([agreement(overlaps(truth, left), iou)["ap"] for iou in IOU])
        assert value == pytest.approx(expected, nan_ok=True)


def test_no_objects_in_either_image_say_nothing():
    empty = np.zeros((60, 60), np.int32)
    assert np.isnan(precision_curve(empty, empty, np.zeros(0), np.linspace(0, 1, 3))).all()


def test_false_objects_are_kept_out_by_the_threshold_that_is_chosen():
    truth = squares((2, 2), (2, 20), (20, 2))
    labels = squares((2, 2), (2, 20), (20, 2), (30, 30), (40, 10), (10, 40))
    asked = []

    def decode(maps, settings):
        asked.append(settings)
        scores = np.array([0.9, 0.8, 0.7, 0.6, 0.62, 0.3], np.float32)
        if settings["nms_thresh"] == 0.3:  # one true object is lost where less may overlap
            return Prediction(np.where(labels == 3, 0, labels), {"scores": scores})
        return Prediction(labels, {"scores": scores})

    maps = (np.zeros((30, 30, 1), np.float32),)
    chosen = choose_thresholds(decode, [(maps, truth, truth.shape)] * 3, FACTS)
    assert 0.62 <= chosen["prob_thresh"] < 0.7
    assert chosen["nms_thresh"] == 0.4
    assert max(chosen["curve"]) == 1 and len(chosen["curve"]) == len(chosen["thresholds"])
    assert all(s["shape"] == (60, 60) for s in asked) and len(asked) == 9


def test_an_overlap_that_finds_more_is_taken():
    truth = squares((2, 2), (2, 9))

    def decode(maps, settings):
        found = truth if settings["nms_thresh"] == 0.5 else np.where(truth == 2, 0, truth)
        return Prediction(found, {"scores": np.array([0.9, 0.8], np.float32)})

    maps = (np.zeros((30, 30, 1), np.float32),)
    assert choose_thresholds(decode, [(maps, truth, truth.shape)], FACTS)["nms_thresh"] == 0.5


def test_thresholds_that_leave_too_many_candidates_are_not_tried():
    probability = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100, 1)
    assert lowest_threshold(probability, 20_000) == 0.05
    lowest = lowest_threshold(probability, 1000)
    assert 0.88 < lowest < 0.92 and (probability > lowest).sum() <= 1000
    assert lowest_threshold(np.ones((50, 50)), 10) == pytest.approx(0.95)

import numpy as np
import pytest
from held import Held
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from zcdl_common import segmenting
from zcdl_common.errors import DataError
from zcdl_common.task import Facts, Prediction, Sample


def sample(mask, name="a"):
    size = mask.shape[:2] if mask.ndim == 3 and mask.shape[-1] in (1, 3) else mask.shape
    return Sample(name, name, Held(np.zeros((*size, 1)), f"{name}.tif"), Held(mask, f"{name}_mask.tif"))


FACTS = Facts(2, ("c",), ((4, 4),), "uint8", classes=(0, 255))


@given(st.floats(0.01, 0.99))
def test_a_pixel_at_the_threshold_is_foreground(threshold):
    threshold = float(np.float32(threshold))
    probability = np.array([threshold - 1e-3, threshold, threshold + 1e-3], np.float32).reshape(1, 3, 1)
    assert segmenting.decode(probability, threshold).main.tolist() == [[0, 1, 1]]


def test_three_classes_take_the_likeliest_foreground_above_the_threshold():
    probability = np.array([[[0.6, 0.3, 0.1], [0.4, 0.2, 0.4], [0.1, 0.5, 0.4], [0.5, 0.1, 0.4]]], np.float32)
    assert segmenting.decode(probability, 0.5).main.tolist() == [[0, 2, 1, 2]]
    assert segmenting.decode(probability, 0.65).main.tolist() == [[0, 0, 1, 0]]
    assert np.array_equal(segmenting.decode(probability, 0.5).extra["probability"], probability)


def test_mask_values_become_class_indices():
    facts = Facts(2, ("c",), ((2, 2),), "uint8", classes=(0, 7, 255))
    found = segmenting.class_image(sample(np.array([[0, 7], [255, 7]], np.uint8)), facts)
    assert found.tolist() == [[0, 1], [2, 1]] and found.dtype == np.int32


def test_an_unknown_mask_value_is_named():
    with pytest.raises(DataError, match=r"b_mask\.tif holds the values \[9\].*\[0, 255\]"):
        segmenting.class_image(sample(np.array([[0, 9]], np.uint8), "b"), FACTS)


@pytest.mark.parametrize(
    ("mask", "word"),
    [(np.array([[0.0, 0.5]]), "fractions"), (np.array([[0.0, np.nan]]), "NaN"),
     (np.arange(12).reshape(2, 2, 3), "colour picture")],
)  # fmt: skip
def test_masks_that_are_none_are_refused(mask, word):
    with pytest.raises(DataError, match=rf"a_mask\.tif.*{word}"):
        segmenting.read_mask(sample(mask))


def test_grey_masks_stored_as_colour_and_whole_floats_are_masks():
    grey = np.repeat(np.array([[[0], [255]]], np.uint8), 3, -1)
    assert segmenting.class_image(sample(grey), FACTS).tolist() == [[0, 1]]
    assert segmenting.class_image(sample(np.array([[0.0, 255.0]])), FACTS).tolist() == [[0, 1]]
    binary = Facts(2, ("c",), ((1, 2),), "uint8", classes=(0, 1))
    assert segmenting.class_image(sample(np.array([[False, True]])), binary).tolist() == [[0, 1]]


def test_the_threshold_is_the_best_on_the_validation_images():
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.normal(size=(2, 64, 64)), (0, 3, 3)) > 0.05
    probability = (0.3 * truth + rng.uniform(0, 0.3, truth.shape)).astype(np.float32)[..., None]

    def decode(maps, settings):
        return segmenting.decode(maps[0], settings["threshold"])

    outputs = [((p,), t.astype(np.int32), t.shape) for p, t in zip(probability, truth, strict=True)]
    chosen = segmenting.choose_threshold(decode, outputs, FACTS)

    def iou(threshold):
        found = probability[..., 0] >= threshold
        each = [(f & t).sum() / (f | t).sum() for f, t in zip(found, truth, strict=True)]
        return np.mean(each)

    best = max(iou(t) for t in chosen["thresholds"])
    assert iou(chosen["threshold"]) == pytest.approx(best)
    assert chosen["curve"] == pytest.approx([iou(t) for t in chosen["thresholds"]])
    assert 0.2 < chosen["threshold"] < 0.4


def test_objects_are_numbered_and_small_ones_go():
    classes = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 0, 2]])
    assert segmenting.objects(classes).max() == 3
    kept = segmenting.objects(classes, 2)
    assert kept.tolist() == [[1, 1, 0, 2], [0, 0, 0, 2], [0, 0, 0, 2]]


def test_masks_are_written_in_the_values_of_the_training_masks():
    found = Prediction(np.array([[0, 1, 2]]))
    three = Facts(2, ("c",), ((1, 3),), "uint8", classes=(0, 7, 300))
    assert segmenting.mask_output(found, three).array.tolist() == [[0, 7, 300]]
    assert segmenting.mask_output(found, three).array.dtype == np.uint16
    two = segmenting.mask_output(Prediction(np.array([[0, 1]])), Facts(2, (), (), "u1", classes=(0, 1)))
    assert two.array.tolist() == [[0, 255]] and two.axes == "YX"


def test_errors_are_told_apart():
    truth, found = np.array([[0, 1, 0, 1, 1]]), Prediction(np.array([[0, 1, 1, 0, 2]]))
    made = segmenting.error_maps(truth, found, FACTS, np.zeros((*truth.shape, 1)))["_errors"]
    assert made.array.tolist() == [[0, 1, 2, 3, 4]]

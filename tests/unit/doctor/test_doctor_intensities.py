"""Pixel values."""

import numpy as np
import pytest

from zcdl_common.doctor import intensities
from zcdl_common.doctor.intensities import Range

RNG = np.random.default_rng(0)
GREY = RNG.poisson(100, (40, 50, 1)).astype(np.uint16)


def test_one_nan_or_infinity_is_an_error_with_a_repair():
    for value in (np.nan, np.inf):
        image = GREY.astype(np.float32)
        image[3, 4] = value
        (finding,) = intensities.check_missing(image, "f")
        assert finding.severity == "error" and finding.repair == "fill missing values"
        assert finding.reason.startswith("1 of 2000 values")
    assert not list(intensities.check_missing(GREY, "f"))
    assert not list(intensities.check_missing(GREY.astype(np.float32), "f"))


def test_a_constant_image_is_reported():
    (finding,) = intensities.check_constant(np.full((8, 8, 1), 7, np.uint8), "f")
    assert "every pixel is 7" in finding.reason
    assert not list(intensities.check_constant(GREY, "f"))


def test_a_set_of_constant_images_only_cannot_be_trained_on():
    assert next(intensities.check_all_constant(["a", "b"], 2)).severity == "error"
    assert not list(intensities.check_all_constant(["a"], 2))
    assert not list(intensities.check_all_constant([], 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_saturation_starts_above_one_percent_of_the_pixels(dtype):
    image = RNG.integers(0, 200, (100, 100, 1)).astype(dtype)
    image.reshape(-1)[:90] = 255
    assert not list(intensities.check_saturation(image, "f"))
    image.reshape(-1)[:300] = 255
    (finding,) = intensities.check_saturation(image, "f", severity="note")
    assert "3% of the pixels" in finding.reason and "255" in finding.reason and finding.severity == "note"


def test_one_saturated_channel_counts_and_few_photons_do_not():
    image = RNG.integers(0, 200, (100, 100, 2)).astype(np.uint8)
    image[:5, :, 1] = 255
    assert list(intensities.check_saturation(image, "f"))
    assert not list(intensities.check_saturation(RNG.poisson(1, (100, 100, 1)), "f"))


def test_floats_outside_the_unit_range_are_fine_and_noted():
    (finding,) = intensities.check_float_range(GREY.astype(np.float32), "f")
    assert finding.severity == "note" and "fine" in finding.reason
    assert not list(intensities.check_float_range(GREY.astype(np.float32) / 1000, "f"))
    assert not list(intensities.check_float_range(GREY, "f"))
    assert not list(intensities.check_float_range(np.full((4, 4, 1), np.nan, np.float32), "f"))


def test_grey_saved_as_colour_is_seen_with_and_without_alpha():
    rgb = np.repeat(GREY, 3, axis=-1)
    opaque = np.concatenate([rgb, np.full_like(GREY, 255)], axis=-1)
    for image in (rgb, opaque):
        (finding,) = intensities.check_grey_as_colour(image, "f")
        assert finding.repair == "grey from equal channels"


def test_colour_and_channels_are_not_taken_for_grey():
    colour = np.repeat(GREY, 3, axis=-1)
    colour[5, 5, 2] += 1
    assert not intensities.equal_channels(colour)
    assert not intensities.equal_channels(np.repeat(GREY, 2, axis=-1))
    assert not intensities.equal_channels(np.zeros((4, 4, 3)))


def test_the_minority_type_is_named():
    (finding,) = intensities.check_types({"a": "uint16", "b": "uint8", "c": "uint16"})
    assert finding.files == ("b",) and "2 images uint16, 1 image uint8" in finding.reason
    assert not list(intensities.check_types({"a": "uint16", "b": "uint16"}))


def test_an_image_far_dimmer_than_the_rest_matters_where_scales_are_shared():
    ranges = {str(i): Range("uint16", 100, 1000 + i) for i in range(5)} | {"dim": Range("uint16", 100, 120)}
    (finding,) = intensities.check_ranges(ranges, own_scale=False)
    assert finding.files == ("dim",) and "45 times dimmer" in finding.reason and finding.severity == "warning"
    assert next(intensities.check_ranges(ranges, own_scale=True)).severity == "note"
    ranges["dim"] = Range("uint16", 100, 300)
    assert not list(intensities.check_ranges(ranges, own_scale=False))


def test_the_range_ignores_missing_values():
    image = np.arange(1001, dtype=np.float32).reshape(1, -1, 1)
    image[0, ::7] = np.nan
    found = intensities.measure_range(image)
    assert found.low == pytest.approx(np.nanpercentile(image, 1))
    assert found.high == pytest.approx(np.nanpercentile(image, 99.8))
    assert intensities.measure_range(np.full((2, 2, 1), np.nan)) == Range("float64", 0.0, 0.0)

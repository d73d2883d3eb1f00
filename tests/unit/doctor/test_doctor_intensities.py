"""Pixel values."""

import numpy as np
import pytest
from scipy import ndimage

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


def noisy_pair(seed, low=0.02, high=0.2):
    rng = np.random.default_rng(seed)
    clean = ndimage.gaussian_filter(rng.random((128, 128)) > 0.99, 3.0, output=float)
    clean /= clean.max()
    return clean + rng.normal(0, high, clean.shape), clean + rng.normal(0, low, clean.shape)


def test_noise_is_a_share_of_the_contrast():
    noisy, clean = noisy_pair(0, low=0.0, high=0.1)
    assert intensities.measure_noise(3 * noisy + 100) == pytest.approx(0.1 / np.ptp(clean), rel=0.35)
    assert intensities.measure_noise(noisy[None]) == intensities.measure_noise(noisy)
    assert intensities.measure_noise(clean) < 0.01 and intensities.measure_noise(np.ones((64, 64))) == 0


def test_clean_images_noisier_than_the_noisy_ones_are_asked_about():
    measured = [tuple(map(intensities.measure_noise, noisy_pair(i))) for i in range(4)]
    right = {str(i): pair for i, pair in enumerate(measured)}
    swapped = {name: pair[::-1] for name, pair in right.items()}
    (finding,) = intensities.check_noise(swapped, "noisy images", "clean images")
    assert finding.severity == "warning" and "are the folders swapped?" in finding.reason
    equal = {"a": (0.1, 0.12), "b": (0.1, 0.08)}
    one_of_two = {"a": swapped["0"], "b": right["1"]}
    for fine in (right, equal, one_of_two, {}):
        assert not list(intensities.check_noise(fine, "noisy images", "clean images"))


def test_sharp_targets_of_blurred_images_are_not_called_noisy():
    clean = [noisy_pair(i, low=0.005)[1] for i in range(4)]
    pairs = {
        str(i): (intensities.measure_noise(ndimage.gaussian_filter(c, 2)), intensities.measure_noise(c))
        for i, c in enumerate(clean)
    }
    assert not list(intensities.check_noise(pairs, "noisy images", "clean images"))

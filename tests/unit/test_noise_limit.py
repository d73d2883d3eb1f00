import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.metrics.images import pearson_r
from zcdl_common.metrics.noise import LEAST_SIDE, highest_pearson_r
from zcdl_common.samples.optics import scmos

SHAPES = {"2D": (192, 256), "3D": (12, 96, 128)}


def blurred(shape, seed=0, sigma=2.0):
    """A signal that the microscope has blurred: mean 0, standard deviation 1."""
    fine = np.random.default_rng(seed).gamma(0.3, 1.0, shape)  # a few bright points, much background
    signal = ndimage.gaussian_filter(fine, ((1.0,) if len(shape) == 3 else ()) + (sigma,) * 2)
    return (signal - signal.mean()) / signal.std()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0, 2.0])
def test_it_is_what_signal_and_noise_allow_and_what_a_perfect_prediction_reaches(shape, noise):
    signal = blurred(shape)
    truth = 500 + 100 * (signal + np.random.default_rng(1).normal(0, noise, shape))
    found = highest_pearson_r(truth.astype(np.float32))
    assert found == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.03)
    assert found == pytest.approx(pearson_r(truth, signal), abs=0.03)


@pytest.mark.parametrize("photons", [3.0, 30.0, 300.0])
def test_noise_of_photons_and_camera_is_told_from_signal(photons):
    signal = photons * (1 + 0.3 * blurred((256, 256)).clip(-3, None))
    truth = scmos(signal, np.random.default_rng(0))
    assert truth.dtype == np.uint16
    assert highest_pearson_r(truth) == pytest.approx(pearson_r(truth, signal), abs=0.03)


def test_a_few_bright_spots_on_much_background_are_signal_too():
    points = np.zeros((200, 220))
    points[np.random.default_rng(0).random(points.shape) < 3e-4] = 1
    signal = ndimage.gaussian_filter(points, 3)
    assert np.mean(signal > signal.max() / 2) < 0.05
    truth = 100 + signal + np.random.default_rng(1).normal(0, 2 * signal.std(), signal.shape)
    assert highest_pearson_r(truth) == pytest.approx(pearson_r(truth, signal), abs=0.03)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 4.0])
def test_without_noise_nothing_but_the_last_percents_are_missing(sigma):
    assert highest_pearson_r(blurred((200, 200), sigma=sigma)) > 0.97


def test_an_image_of_noise_alone_leaves_nothing_to_be_predicted():
    found = [highest_pearson_r(np.random.default_rng(i).normal(size=(128, 128))) for i in range(8)]
    assert min(found) >= 0 and max(found) < 0.2


def test_brightness_and_contrast_do_not_matter():
    image = blurred((64, 80)) + np.random.default_rng(0).normal(0, 0.5, (64, 80))
    assert highest_pearson_r(7000 - 30 * image) == pytest.approx(highest_pearson_r(image))


@pytest.mark.parametrize(
    "image",
    [np.full((64, 64), 7.0), np.zeros((4, 64, 64), np.uint8), np.full((64, 64), np.nan)],
    ids=["constant", "empty volume", "no numbers"],
)
def test_what_has_no_contrast_has_no_limit(image):
    assert np.isnan(highest_pearson_r(image))


def test_small_images_say_too_little():
    rng = np.random.default_rng(0)
    assert np.isnan(highest_pearson_r(rng.normal(size=(LEAST_SIDE - 1, 100))))
    assert np.isnan(highest_pearson_r(rng.normal(size=(50, 40, LEAST_SIDE - 1))))
    assert not np.isnan(highest_pearson_r(rng.normal(size=(1, LEAST_SIDE, LEAST_SIDE))))


def test_noise_that_neighbours_share_passes_for_signal():
    signal, noise = blurred((256, 256), sigma=3), np.random.default_rng(0).normal(size=(256, 256))
    shared = ndimage.gaussian_filter(noise, 1.0)
    truth = signal + shared / shared.std()
    found = highest_pearson_r(truth)
    assert np.isnan(found) or found > pearson_r(truth, signal) + 0.1, "never too low: the limit is none then"


def test_it_is_a_number_between_0_and_1_or_none():
    rng = np.random.default_rng(0)
    images = [np.mgrid[:40, :50][1], rng.integers(0, 2, (32, 32)), np.indices((32, 32)).sum(0) % 2]
    for image in images:
        found = highest_pearson_r(image)
        assert np.isnan(found) or 0 <= found <= 1

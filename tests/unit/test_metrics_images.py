import math

import numpy as np
import pytest
from scipy.stats import pearsonr
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from zcdl_common.errors import DataError
from zcdl_common.metrics import images

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.fixture(params=[(40, 33, 2), (13, 24, 30, 1)], ids=["2d", "3d"])
def pair(request):
    rng = np.random.default_rng(1)
    truth = rng.gamma(2, 300, request.param)
    return truth.astype(np.uint16), (truth + rng.normal(0, 60, truth.shape)).astype(np.float32)


def test_psnr_nrmse_and_pearson_equal_the_references(pair):
    truth, prediction = pair
    top = float(truth.max() - truth.min())
    true = truth.astype(float)
    assert images.psnr(truth, prediction) == pytest.approx(
        peak_signal_noise_ratio(true, prediction, data_range=top)
    )
    assert images.nrmse(truth, prediction) == pytest.approx(
        normalized_root_mse(true, prediction, normalization="min-max")
    )
    assert images.pearson_r(truth, prediction) == pytest.approx(pearsonr(true.ravel(), prediction.ravel())[0])


def test_nrmse_is_a_root_of_the_mean_of_squares():
    truth = np.linspace(0, 1, 100).reshape(10, 10, 1)
    assert images.nrmse(truth, truth + 0.1) == pytest.approx(0.1)


def test_ssim_is_the_mean_over_slices_and_channels_of_the_2d_index(pair):
    truth, prediction = pair
    planes = [
        (
            truth.reshape(-1, *truth.shape[-3:])[z, ..., c],
            prediction.reshape(-1, *truth.shape[-3:])[z, ..., c],
        )
        for z in range(truth.size // math.prod(truth.shape[-3:]))
        for c in range(truth.shape[-1])
    ]
    expected = np.mean(
        [structural_similarity(t.astype(float), p.astype(float), data_range=5000, **WANG) for t, p in planes]
    )
    assert images.ssim(truth, prediction, data_range=5000) == pytest.approx(expected, abs=1e-12)
    assert images.ssim_map(truth, prediction).shape == truth.shape


def test_ssim_3d_is_another_number_than_the_slice_wise_one():
    rng = np.random.default_rng(2)
    truth = rng.random((13, 24, 30, 1))
    prediction = truth + rng.normal(0, 0.1, truth.shape)
    expected = structural_similarity(truth[..., 0], prediction[..., 0], data_range=1.0, **WANG)
    assert images.ssim_3d(truth, prediction, data_range=1.0) == pytest.approx(expected, abs=1e-12)
    assert images.ssim(truth, prediction, data_range=1.0) != pytest.approx(expected, abs=1e-4)


def test_scores_do_not_depend_on_the_brightness_scale_of_the_prediction(pair):
    truth, prediction = pair
    direct, scaled = images.scores(truth, prediction), images.scores(truth, prediction * 3 - 100)
    assert scaled == pytest.approx(direct, rel=1e-4)
    assert set(direct) == {"psnr", "ssim", "nrmse", "pearson_r"}


def test_fit_is_the_least_squares_line_of_each_channel():
    rng = np.random.default_rng(3)
    prediction = rng.random((9, 8, 2))
    truth = 2 * prediction + rng.normal(0, 0.1, prediction.shape) + [1, -4]
    fitted = images.fit_to(truth, prediction)
    for c in range(2):
        slope, offset = np.polyfit(prediction[..., c].ravel(), truth[..., c].ravel(), 1)
        np.testing.assert_allclose(fitted[..., c], slope * prediction[..., c] + offset)
    assert np.allclose(images.fit_to(truth, np.ones_like(truth)), truth.mean((0, 1)))


def test_gain_is_the_factor_that_brings_a_prediction_to_the_brightness_of_the_truth(pair):
    truth, _ = pair
    assert images.gain(truth, truth / 8 + 3) == pytest.approx(8)
    assert images.gain(truth, -truth) == 0 == images.gain(truth, np.ones_like(truth))
    two, flat = np.concatenate([truth, 5 * truth], -1), np.concatenate([truth, 0 * truth], -1)
    assert images.gain(two, np.concatenate([truth, truth], -1)) == pytest.approx(3)
    assert images.gain(flat, np.concatenate([truth / 2, truth], -1)) == pytest.approx(2)
    assert math.isnan(images.gain(0 * truth, truth))


def test_normalise_maps_percentiles_to_zero_and_one_per_channel():
    image = np.random.default_rng(4).random((50, 50, 2)) * [1, 1000]
    scaled = images.normalise(image, 2, 98)
    np.testing.assert_allclose(np.percentile(scaled, [2, 98], axis=(0, 1)), [[0, 0], [1, 1]], atol=1e-9)
    assert not images.normalise(np.full((5, 5, 1), 7)).any()


def test_equal_constant_and_misfitting_images():
    image = np.random.default_rng(5).random((12, 12, 1))
    assert images.psnr(image, image) == math.inf and images.ssim(image, image) == pytest.approx(1)
    flat = np.zeros_like(image)
    assert all(math.isnan(f(flat, image)) for f in (images.psnr, images.nrmse, images.pearson_r, images.ssim))
    with pytest.raises(DataError, match="equal size"):
        images.psnr(image, image[..., 0])
    with pytest.raises(DataError, match="at least 11 pixels"):
        images.ssim(image[:8], image[:8])


def test_an_empty_truth_gives_no_score_instead_of_a_perfect_one():
    image = np.random.default_rng(5).random((12, 12, 1))
    speck = np.zeros((64, 64, 1))
    speck[0, 0] = 1
    for truth, found in ((np.full_like(image, 7), image), (speck, np.ones_like(speck))):
        scored = images.scores(truth, found)
        assert set(scored) == {"psnr", "ssim", "nrmse", "pearson_r"}
        assert all(math.isnan(value) for value in scored.values())


def test_integers_do_not_wrap_around():
    truth, prediction = np.array([[[0], [255]]], np.uint8), np.array([[[255], [0]]], np.uint8)
    assert images.psnr(truth, prediction) == pytest.approx(0)
    assert images.nrmse(truth, prediction) == pytest.approx(1)

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.baselines.denoise import GAUSSIAN, SETTINGS, filtered
from zcdl_common.baselines.selfsupervised import denoise, hidden_error
from zcdl_common.metrics.images import fit_to, normalise, psnr


def pairs(noise, count=3, shape=(96, 100), sigma=2.5):
    """(noisy, clean) images, Gaussian noise of `noise` times the spread of the image."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        clean = 500 + 4000 * ndimage.gaussian_filter(rng.normal(size=shape), sigma)[..., None]
        found.append((clean + rng.normal(0, noise * clean.std(), clean.shape), clean))
    return found


def score(clean, found):
    return psnr(normalise(clean), fit_to(normalise(clean), found), data_range=1.0)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_without_truth_a_filter_is_found_that_is_nearly_the_best_there_is(noise):
    train = pairs(noise)
    found = denoise([noisy for noisy, _ in train])
    gain = np.mean([score(c, found.predict(n)) for n, c in train])
    tried = {
        (kind, s): np.mean([score(c, filtered(n, kind, s)) for n, c in train])
        for kind, settings in SETTINGS.items()
        for s in settings
    }
    assert gain > np.mean([score(c, n) for n, c in train]) + 2
    assert gain > max(tried.values()) - 1.0, max(tried, key=tried.get)


def test_the_error_at_hidden_pixels_is_the_true_one_plus_the_noise():
    (noisy, clean), *_ = pairs(0.5, 1, (256, 256))
    variance = noisy.var()
    for sigma in (0.7, 1.4, 2.8):
        hidden = hidden_error(noisy, "Gaussian filter", sigma)
        blind = filtered(clean, "Gaussian filter", sigma)
        floor = (noisy - clean).var() / variance
        assert hidden > floor
        assert hidden < floor + 2 * ((blind - clean) ** 2).mean() / variance + 0.2


def test_more_noise_asks_for_more_smoothing():
    weak, strong = (denoise([n for n, _ in pairs(noise)], seconds=1e9) for noise in (0.1, 2.0))
    assert weak.predict.kind != strong.predict.kind or weak.predict.setting <= strong.predict.setting
    assert max(weak.scores.values()) > max(strong.scores.values())


def test_channels_and_brightness_stay():
    noisy = np.concatenate([n for n, _ in pairs(0.5, 2)], axis=-1).astype(np.uint16)
    found = denoise([noisy])
    result = found.predict(noisy)
    assert result.shape == noisy.shape and result.dtype == np.float32
    np.testing.assert_allclose(result.mean((0, 1)), noisy.mean((0, 1)), rtol=0.01)
    assert "calibrated without truth on 1 noisy image" in found.description


def test_volumes_are_tuned_too_and_a_time_limit_is_named():
    found = denoise([n for n, _ in pairs(0.5, 1, (10, 40, 40))], pixel_size=(1.0, 0.25, 0.25), seconds=0.0)
    assert found.predict(pairs(0.5, 1, (10, 40, 40))[0][0]).shape == (10, 40, 40, 1)
    assert "Not all settings tried within 0 s" in found.description and len(found.scores) == 1


def test_a_constant_image_is_no_reason_to_fail():
    flat = np.full((64, 64, 1), 7, np.uint16)
    assert np.array_equal(denoise([flat]).predict(flat), flat)


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_pixels_are_hidden_in_thin_stacks_too(planes):
    (noisy, _), *_ = pairs(1.0, 1, (planes, 64, 60))
    error = hidden_error(noisy, GAUSSIAN, 1.4, aspect=1e6)
    (flat, _), *_ = pairs(1.0, 1, (64, 60))
    assert 0.3 < error < 2 and error == pytest.approx(hidden_error(flat, GAUSSIAN, 1.4), abs=0.3)

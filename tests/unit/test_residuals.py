import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from zcdl_common.metrics import residuals


def image(shape=(128, 120), seed=0, sigma=4.0):
    rng = np.random.default_rng(seed)
    return 1000 + 3000 * ndimage.gaussian_filter(rng.normal(size=shape), sigma)[..., None]


def white(clean, seed=1):
    """Noise of a camera: independent, stronger where it is brighter."""
    return np.random.default_rng(seed).normal(size=clean.shape) * (5 + 0.05 * np.abs(clean))


@pytest.mark.parametrize("shape", [(128, 120), (12, 48, 50)])
def test_a_perfect_denoiser_leaves_white_noise(shape):
    clean = image(shape)
    found = residuals.scores(clean + white(clean), clean)
    assert found["residual_white"] > 0.85
    assert all(found[key] < 0.05 for key in ("residual_mean", "residual_correlation", "residual_structure"))


def test_the_bounds_hold_for_noise_that_grows_with_the_light():
    shares = []
    for seed in range(40):
        clean = image((64, 64), seed, 8.0)
        noise = np.random.default_rng(seed).normal(size=clean.shape) * np.abs(clean - 900) ** 2
        correlation, error = residuals.autocorrelation(noise[..., 0])
        shares.append(np.mean(np.abs(correlation) <= residuals.BOUND * error))
    assert np.mean(shares) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda clean, noise: clean + 0.5 * noise.std(), "residual_mean"),
        (lambda clean, noise: 0.9 * clean + 0.1 * clean.mean(), "residual_structure"),
        (lambda clean, noise: ndimage.gaussian_filter(clean, (6, 6, 0)), "residual_correlation"),
    ],
)
def test_what_is_wrong_is_seen_by_its_number(spoil, key):
    clean = image()
    noise = white(clean)
    good, bad = (residuals.scores(clean + noise, of) for of in (clean, spoil(clean, noise)))
    assert bad[key] > 0.2 > 5 * good[key]
    if key != "residual_mean":
        assert bad["residual_white"] < 0.5


def test_noise_that_neighbours_share_is_not_white():
    clean = image()
    lines = np.random.default_rng(0).normal(size=(128, 1, 1)) * 40 + white(clean)
    found = residuals.scores(clean + lines, clean)
    assert found["residual_correlation"] > 0.2 and found["residual_white"] < 0.95


def test_a_filter_that_follows_the_noise_of_neighbours_is_not_taken_for_one_that_removes_structure():
    noise = np.random.default_rng(0).normal(size=(128, 128, 1))
    found = residuals.scores(noise, ndimage.uniform_filter(noise, (3, 3, 1)))
    assert found["residual_correlation"] < residuals.CLEAN and found["residual_white"] < 0.95


def test_autocorrelation_is_that_of_the_definition():
    noise = np.random.default_rng(0).normal(size=(40, 30))
    noise = noise - noise.mean()
    found = dict(
        zip(map(tuple, residuals.lags(noise.shape)), residuals.autocorrelation(noise)[0], strict=True)
    )
    assert len(found) == (11 * 11 - 1) // 2 and (0, 0) not in found
    assert found[0, 3] == pytest.approx((noise[:, 3:] * noise[:, :-3]).mean() / noise.var())
    assert found[2, -1] == pytest.approx((noise[2:, :-1] * noise[:-2, 1:]).mean() / noise.var())


def test_channels_count_alike_and_an_untouched_image_has_no_residual():
    clean = np.concatenate([image(), image(seed=5)], axis=-1)
    noisy = clean + white(clean)
    both = residuals.scores(noisy, clean)
    each = [residuals.scores(noisy[..., [c]], clean[..., [c]]) for c in (0, 1)]
    assert both["residual_mean"] == pytest.approx(np.mean([e["residual_mean"] for e in each]))
    assert residuals.scores(noisy, noisy) == {}
    constant = residuals.scores(noisy, np.full_like(noisy, noisy.mean()))
    assert constant["residual_structure"] == 0.0 and constant["residual_correlation"] > 0.2


def test_the_sentence_tells_noise_from_structure():
    table = pd.DataFrame(
        {
            "residual_structure": [0.01, 0.03],
            "residual_correlation": [0.02, 0.02],
            "classical_residual_structure": [0.3, 0.3],
            "classical_residual_correlation": [0.05, 0.05],
        }
    )
    text = residuals.sentence(table, "wavelets")
    assert text.startswith("What the network removed looks like noise (correlation with the image 0.02")
    assert "wavelets) removed holds structure" in text
    assert residuals.sentence(table[[]], "wavelets") == ""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from zcdl_common.metrics import residuals
from zcdl_common.samples.restore import noisy_filaments


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
        (lambda clean, noise: ndimage.gaussian_filter(clean, (2, 2, 0)), "residual_structure"),
    ],
)
def test_what_is_wrong_is_seen_by_its_number(spoil, key):
    clean = image()
    noise = white(clean)
    good, bad = (residuals.scores(clean + noise, of) for of in (clean, spoil(clean, noise)))
    assert bad[key] > 0.2 > 5 * good[key]
    if key != "residual_mean":
        assert bad["residual_white"] < good["residual_white"] - 0.1


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
    assert (
        constant["residual_structure"] == pytest.approx(0.0, abs=1e-9)
        and constant["residual_correlation"] > 0.2
    )


def said(source, denoised):
    return residuals.sentence(pd.DataFrame([residuals.scores(source, denoised)]), "wavelets")


@pytest.mark.parametrize("shape", [(192, 192), (12, 96, 96)])
def test_on_simulated_truth_only_the_perfect_denoiser_removes_noise(shape):
    sizes = (0.3, 0.1, 0.1)[-len(shape) :]
    noisy, truth = (
        image[..., None].astype(float) for image in noisy_filaments(np.random.default_rng(0), shape, sizes)
    )
    assert "looks like noise" in said(noisy, truth)
    for width in (0.8, 1, 2, 4):
        blurred = ndimage.gaussian_filter(truth, (*[width] * len(shape), 0))
        assert "holds structure" in said(noisy, blurred)
    assert "holds structure" in said(noisy, 0.9 * truth + 0.1 * truth.mean())


def test_a_cell_that_every_pixel_hides_is_seen():
    """The residual of an undertrained network: too bright by a tenth of the noise, all over a cell."""
    cell = ndimage.gaussian_filter((image((256, 256), sigma=24.0) > 1000).astype(float), (3, 3, 0))
    truth = 1000 + 2000 * cell
    noisy = truth + 100 * np.random.default_rng(0).normal(size=truth.shape)
    found = residuals.scores(noisy, truth + 20 * cell)
    assert found["residual_correlation"] < residuals.CLEAN and found["residual_structure"] > 0.5
    assert "holds structure" in said(noisy, truth + 20 * cell)


@pytest.mark.parametrize("seed", range(4))
def test_noise_that_grows_with_the_light_or_that_neighbours_share_is_no_structure(seed):
    rng = np.random.default_rng(100 + seed)
    clean = image((160, 160), seed, 8.0)
    dark = clean - clean.min()
    assert "looks like noise" in said(clean + rng.normal(size=clean.shape) * dark, clean)
    blotches = ndimage.gaussian_filter(rng.normal(size=clean.shape), (0.7, 0.7, 0))
    lines = rng.normal(size=(160, 1, 1)) + 2 * rng.normal(size=clean.shape)
    for shared in (blotches, lines):
        assert "is alike in neighbouring pixels" in said(clean + 100 * shared, clean)


def test_smoothed_white_noise_has_the_variance_that_is_expected_of_it_everywhere():
    noise = np.random.default_rng(0).normal(size=(512, 512)) * np.linspace(1, 9, 512)
    for width in residuals.WIDTHS:
        assert residuals.coarse(noise, width) == pytest.approx(1.0, abs=0.1)
        left = np.arange(512) < 256
        assert residuals.coarse(noise, width, np.tile(left, (512, 1))) == pytest.approx(1.0, abs=0.15)
    pairs = noise[:, ::2].repeat(2, axis=1)
    kernel = residuals.gaussians((512,), 4)[0]
    expected = 1 + float((kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum())  # each pixel with its partner
    assert residuals.coarse(pairs, 4) == pytest.approx(expected, abs=0.15)


def test_the_sentence_says_what_each_method_removed_and_by_which_numbers():
    keys = ("mean", "structure", "correlation", "coarse")
    numbers = {"": (0.0, 0.02, 0.03, 0.9), "classical_": (0.2, 0.3, 0.05, 1.0)}
    table = pd.DataFrame(
        [{f"{who}residual_{k}": v for who, row in numbers.items() for k, v in zip(keys, row, strict=True)}]
    )
    text = residuals.sentence(table, "wavelets")
    assert text.startswith("What the network removed looks like noise (likeness to the image 0.02")
    assert "wavelets) removed holds structure" in text and "changed the brightness (by 0.20" in text
    assert "is alike" in residuals.sentence(table.assign(residual_coarse=3.0), "wavelets").split(";")[0]
    assert residuals.sentence(table[[]], "wavelets") == ""

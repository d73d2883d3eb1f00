import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.metrics.resolution import cutoff, resolution
from zcdl_common.metrics.rings import rings

SPOT = 2.48
"""Resolution of points blurred by a Gaussian without noise, in its standard deviations.

Where d(r) is largest under the strongest filter: 2 u**2 + u + 1 = exp(u), u = (2 pi f sigma)**2 / 2.
"""


def points(sigma, side=256, noise=0.0, seed=0):
    """Points under a Gaussian blur; `noise` is a share of the brightest pixel. (Y, X)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side))
    image[tuple(rng.integers(0, side, (2, side * side // 100)))] = 1000
    image = ndimage.gaussian_filter(image, sigma, mode="wrap")
    return image + rng.normal(0, 1, image.shape) * noise * image.max()


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
def test_without_noise_it_is_the_width_of_the_blur(sigma):
    assert resolution(points(sigma)[..., None]) == pytest.approx(SPOT * sigma, rel=0.06)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_hides_detail_but_the_order_stays(noise):
    sigmas = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    found = [resolution(points(sigma, noise=noise)[..., None]) for sigma in sigmas]
    assert (np.diff(found) > 0).all()
    for sigma, value in zip(sigmas, found, strict=True):
        assert 0.9 * SPOT * sigma < value < 1.5 * SPOT * sigma


def test_other_noise_of_the_same_strength_changes_little():
    found = [resolution(points(2.0, noise=0.03, seed=seed)[..., None]) for seed in range(5)]
    assert np.ptp(found) < 0.15 * np.mean(found)


def test_the_number_is_that_of_the_pixels_not_of_the_field():
    small, large = (resolution(points(2.0, side)[..., None]) for side in (128, 512))
    assert small == pytest.approx(large, rel=0.1)
    wide = points(2.0, 512)[:200]
    assert resolution(wide[..., None]) == pytest.approx(large, rel=0.1)


def test_brightness_and_type_do_not_matter():
    image = points(2.0, noise=0.02)
    scaled = (image - image.min()) / np.ptp(image)
    found = resolution(image[..., None])
    assert resolution((300 - 7 * image)[..., None].astype(np.float32)) == pytest.approx(found, rel=1e-3)
    assert resolution((scaled * 60000).astype(np.uint16)[..., None]) == pytest.approx(found, rel=0.02)


def test_it_is_the_median_over_planes_and_channels():
    volume = np.stack([points(s) for s in (1.0, 2.0, 4.0)])
    apart = [resolution(plane[..., None]) for plane in volume]
    assert resolution(volume[..., None]) == np.median(apart)
    assert resolution(np.moveaxis(volume, 0, -1)) == np.median(apart)
    volume[0] = 5.0
    assert resolution(volume[..., None]) == np.mean(apart[1:]), "a constant plane says nothing"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64, 1)),
        np.full((3, 64, 64, 2), 7, np.uint8),
        np.random.default_rng(0).random((31, 200, 1)),
        np.full((64, 64, 1), np.nan),
        np.random.default_rng(0).normal(size=(256, 256, 1)),
        points(0.4)[..., None],
    ],
    ids=["zero", "constant", "tiny", "NaN", "noise", "sharper than pixels"],
)
def test_nothing_to_see_is_no_number(image):
    assert np.isnan(resolution(image))


def test_sharpening_fools_it_as_documented():
    image = points(2.0)
    sharper = image + 3 * (image - ndimage.gaussian_filter(image, 1))
    assert resolution(sharper[..., None]) < resolution(image[..., None])


def test_the_cutoff_is_a_share_of_the_highest_frequency():
    assert 2 / cutoff(points(2.0)) == resolution(points(2.0)[..., None])
    assert 0 < cutoff(points(0.9)) <= 1


@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (41, 32)])
def test_rings_sum_over_the_whole_transform(shape):
    image = np.random.default_rng(0).normal(0, 1, shape)
    y, x = (2 * np.fft.fftfreq(side) for side in shape)
    n = min(shape) // 2
    ring = np.floor(np.hypot(y[:, None], x) * n).astype(int)
    whole = [np.abs(np.fft.fft2(image))[ring == number].sum() for number in range(n)]
    each = rings(shape)
    np.testing.assert_allclose(each.sums(np.abs(np.fft.rfft2(image))), whole)
    np.testing.assert_allclose(each.radius, (np.arange(n) + 0.5) / n)

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.metrics.support import BEYOND, best_blur, explained, noise_variance, support
from zcdl_common.samples.restore import noisy_filaments

GAIN, OFFSET = 2.0, 100.0


def camera(photons, seed, read_noise=1.6):
    """Counts of a camera for expected photons of any shape: Poisson and Gaussian noise."""
    rng = np.random.default_rng([7, seed])
    return OFFSET + GAIN * (rng.poisson(photons) + rng.normal(0, read_noise, photons.shape))


def filaments(seed, shape=(192, 192)):
    """Expected photons (Z)YX of a simulated cytoskeleton."""
    size = (0.3, 0.1, 0.1)[-len(shape) :]
    return (noisy_filaments(np.random.default_rng(seed), shape, size)[1] - OFFSET) / GAIN


def drawn(shape, kind):
    """A filament or some spots of peak 1, as sharp as the microscope, and where they are above a half."""
    image = np.zeros(shape)
    if kind == "filament":
        t = np.linspace(0, 1, 2000)
        y, x = 20 + 140 * t, 90 + 50 * np.sin(3 * t)
        image[y.astype(int), x.astype(int)] = 1
    else:
        image[np.ix_([40, 90, 150], [30, 100, 160])] = 1
    image = ndimage.gaussian_filter(image, 1.5)
    image /= image.max()
    return image, image > 0.5


@pytest.mark.parametrize("light", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_true_image_is_supported(seed, light):
    photons = light * filaments(seed)
    found = support(camera(photons, seed)[..., None], photons[..., None])
    assert found.percent < 0.1
    assert found.blur <= 0.7
    assert 0.5 < found.z.std() < 1.6


def test_a_volume_and_two_channels_are_supported_by_their_noisy_image():
    photons = np.stack([filaments(0, (6, 96, 96)), filaments(1, (6, 96, 96))], axis=-1)
    found = support(camera(photons, 0), photons)
    assert found.z.shape == photons.shape and found.z.dtype == np.float32
    assert found.percent < 0.1


@pytest.mark.parametrize("kind", ["filament", "spots"])
@pytest.mark.parametrize("sign", [1, -1], ids=["added", "removed"])
def test_planted_structure_is_flagged_where_it_was_planted(kind, sign):
    """The contrast is half of what bright filaments have, and 2.5 times the noise at most."""
    photons = 2 * filaments(3)
    shape, where = drawn(photons.shape, kind)
    contrast = 0.5 * (np.percentile(photons, 99) - np.median(photons))
    other = photons + contrast * shape
    seen, shown = (photons, other) if sign > 0 else (other, photons)
    found = support(camera(seen, 1)[..., None], shown[..., None])
    z = found.z[..., 0] * sign
    assert (z > BEYOND)[where].mean() > 0.6
    near = ndimage.binary_dilation(where, iterations=6)
    assert (np.abs(z) > BEYOND)[~near].mean() < 5e-4
    assert found.percent > 0.3


def test_another_brightness_and_a_sharper_image_are_no_invention():
    photons = filaments(4)
    noisy = camera(ndimage.gaussian_filter(photons, 1.5), 2)[..., None]
    found = support(noisy, (7 - 0.3 * photons)[..., None])
    assert found.blur == 1.5 and found.percent < 0.05


def test_slow_drifts_of_brightness_are_no_structure():
    photons = filaments(5)
    shade = 1 + 0.5 * np.linspace(-1, 1, photons.shape[0])[:, None]
    assert support(camera(photons + 3 * shade, 3)[..., None], photons[..., None]).percent < 0.1


def test_smoothing_that_wipes_out_filaments_is_flagged():
    photons = 3 * filaments(6)
    noisy = camera(photons, 4)[..., None]
    smooth = ndimage.gaussian_filter(photons, 5)[..., None]
    assert support(noisy, smooth).percent > 5


def test_one_bad_channel_is_enough_and_is_the_one_that_is_marked():
    photons = np.stack([filaments(0), filaments(1)], axis=-1)
    shape, where = drawn(photons.shape[:2], "filament")
    shown = photons.copy()
    shown[..., 1] += 15 * shape
    z = np.abs(support(camera(photons, 0), shown).z)
    assert (z[..., 1] > BEYOND)[where].mean() > 0.6
    assert (z[..., 0] > BEYOND).mean() < 0.01


@pytest.mark.parametrize("order", [1, 3])
def test_noise_that_resampling_made_alike_in_neighbours_is_no_structure(order):
    photons = filaments(0, (256, 256))

    def moved(image):
        return ndimage.shift(image, (0.5, 0.3), order=order)[8:-8, 8:-8, None]

    assert support(moved(camera(photons, 0)), moved(photons)).percent < 0.2


def test_clipped_pixels_say_nothing():
    photons = filaments(2)
    top = np.percentile(photons, 97)
    noisy, clipped = camera(photons, 0)[..., None], photons.clip(None, top)[..., None]
    assert support(noisy, clipped).percent < 0.2
    assert support(noisy.clip(None, OFFSET + GAIN * top), photons[..., None]).percent < 0.2


def test_the_noise_is_measured_on_the_image_itself():
    photons = ndimage.gaussian_filter(np.random.default_rng(0).random((256, 256)), 20)
    photons = 5 + 60 * (photons - photons.min()) / np.ptp(photons)
    measured = noise_variance(camera(photons, 0), OFFSET + GAIN * photons)
    true = GAIN**2 * (photons + 1.6**2)
    middle = (photons > np.percentile(photons, 5)) & (photons < np.percentile(photons, 95))
    np.testing.assert_allclose(measured[middle], true[middle], rtol=0.2)


def test_channels_are_mixed_as_the_poor_image_mixes_them():
    good = np.random.default_rng(0).random((20, 30, 3))
    poor = good @ np.array([[1.0, 0], [2, 1], [0, -3]]) + [5, 6]
    np.testing.assert_allclose(explained(poor, good), poor, rtol=1e-5)
    assert explained(poor[..., :1], good).shape == (20, 30, 1)
    assert best_blur(poor.astype(np.float32), good.astype(np.float32)) == 0.0


@pytest.mark.parametrize("light", [0.01, 0.1, 1.0])
def test_counts_of_few_photons_are_no_structure(light):
    photons = light * filaments(0, (256, 256))
    counts = np.random.default_rng(0).poisson(photons)
    assert support(counts[..., None].astype(np.uint8), photons[..., None]).percent < 0.5


def test_a_background_clipped_to_zero_is_no_structure():
    photons = filaments(1, (256, 256))
    photons = (photons - np.median(photons)).clip(0)
    noisy = (camera(photons, 0) - OFFSET - 3).clip(0)
    assert (noisy == 0).mean() > 0.3
    assert support(noisy[..., None], photons[..., None]).percent < 0.3


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_what_cannot_be_compared_has_no_number(value):
    noise = np.random.default_rng(0).normal(size=(40, 40, 1))
    assert np.isnan(support(np.full((40, 40, 1), value), noise).percent)
    if np.isnan(value):
        assert np.isnan(support(noise, np.full((40, 40, 1), value)).percent)


def test_a_constant_answer_lacks_all_that_the_poor_image_holds():
    photons = filaments(1)
    found = support(camera(photons, 0)[..., None], np.full((*photons.shape, 1), 5.0))
    assert found.percent > 10 and (found.z < -BEYOND).mean() > 0.05
    assert (
        np.abs(support(np.random.default_rng(0).normal(size=(64, 64, 1)), np.ones((64, 64, 1))).z).max() < 5
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7, 2), (40, 1, 1)])
def test_tiny_images_do_no_harm(shape):
    rng = np.random.default_rng(0)
    assert support(rng.normal(size=shape), rng.normal(size=shape)).z.shape == shape

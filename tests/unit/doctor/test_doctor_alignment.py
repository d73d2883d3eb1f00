"""Images and targets that lie beside each other."""

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.doctor.alignment import Shift, check_shifts, measure_shift, words
from zcdl_common.samples.translate import brightfield_to_nuclei


def cells(seed=0, shape=(128, 144)):
    """Image and mask (Z)YX of blobs, larger than `shape` by nothing."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), 4)
    mask = smooth > np.percentile(smooth, 80)
    image = ndimage.gaussian_filter(mask.astype(float), 1.0) + rng.normal(0, 0.1, shape)
    return image, mask.astype(np.float32)


def moved(array, shift):
    return ndimage.shift(array, shift, order=0, mode="nearest")


def test_a_pair_that_fits_is_let_pass():
    for seed in range(5):
        shift = measure_shift(*cells(seed))
        assert shift.pixels == (0, 0) and not shift.certain


@pytest.mark.parametrize("by", [(5, -3), (0, 8), (-12, 9)])
def test_a_moved_mask_is_found_with_the_way_back(by):
    image, mask = cells()
    shift = measure_shift(image, moved(mask, by))
    assert shift.certain and np.allclose(shift.pixels, [-n for n in by], atol=1)


def test_a_shift_in_z_is_found_too():
    image, mask = cells(shape=(24, 64, 64))
    shift = measure_shift(image, moved(mask, (4, 0, 0)))
    assert shift.certain and shift.pixels[0] == -4


def test_contrast_may_be_inverted_and_images_noisy():
    image, mask = cells()
    noisy = 3 - image + np.random.default_rng(1).normal(0, 0.1, image.shape)
    assert np.allclose(measure_shift(noisy, moved(mask, (6, 6))).pixels, (-6, -6), atol=1)


def test_unrelated_pairs_and_flat_images_give_no_alarm():
    for seed in range(5):
        shift = measure_shift(cells(seed)[0], cells(seed + 50)[1])
        assert not shift.certain
    assert measure_shift(np.zeros((64, 64)), cells(shape=(64, 64))[1]) is None


@pytest.mark.parametrize("seed", range(4))
def test_bright_field_and_fluorescence_are_compared_by_their_edges(seed):
    light, stain = brightfield_to_nuclei(np.random.default_rng(seed), (256, 256), (0.3, 0.3))
    fits = measure_shift(light, stain, two_kinds=True)
    assert fits.pixels == (0, 0) and fits.there > 0.3
    for by in ((5, -4), (-9, 2)):
        away = measure_shift(light, np.roll(stain, by, (0, 1)), two_kinds=True)
        assert away.certain and np.allclose(away.pixels, [-n for n in by], atol=1)


def crowded(seed, shape=(256, 256)):
    """Two kinds of image with the same broad density of structures, whose single structures are unrelated."""
    rng = np.random.default_rng(seed)
    broad = ndimage.gaussian_filter(rng.normal(size=shape), 25)
    density = 0.005 * np.exp(2 * broad / broad.std())
    return [ndimage.gaussian_filter(rng.poisson(density).astype(float), 1.5) for _ in range(2)]


@pytest.mark.parametrize("seed", range(4))
def test_density_alone_does_not_tell_of_a_shift_between_two_kinds(seed):
    image, target = crowded(seed)
    assert measure_shift(image, target).there > 0.4, "edges agree by their density"
    shift = measure_shift(image, np.roll(target, (12, 12), (0, 1)), two_kinds=True)
    assert shift.there < 0.2 and not shift.certain


def test_the_finding_tells_direction_and_micrometres():
    (finding,) = check_shifts({"a": Shift((-3, 5), 0.8, 0.2)}, "mask", {"a": (0.5, 0.1)})
    assert "3 px (1.5 µm) up and 5 px (0.5 µm) to the right" in finding.reason
    assert words((2, 0, 0), None) == "2 px towards the last plane"


def test_a_doubtful_shift_counts_when_the_whole_set_shares_it():
    doubtful = Shift((2, 0), 0.5, 0.45)
    fits = Shift((0, 0), 0.8, 0.8)
    assert len(list(check_shifts({str(i): doubtful for i in range(5)}, "mask"))) == 5
    mixed = {str(i): fits for i in range(5)} | {"odd": doubtful}
    assert not list(check_shifts(mixed, "mask"))

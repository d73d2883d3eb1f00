"""Augmentation: target stays with source, values stay what they are, a seed repeats it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.augment import OFF, Augmentation, augment, geometry
from zcdl_common.augment.elastic import displacements
from zcdl_common.augment.intensity import add_noise, change_intensity

ANY = Augmentation(True, "any angle", 0.3, 10.0, 3.0, 0.2, 0.1, 1.0)
MOVES = replace(ANY, intensity=0.0, noise=0.0, blur=0.0)
FLIPS = replace(OFF, flips=True)
QUARTERS = replace(OFF, rotations="quarter turns")


def rng(seed):
    return np.random.default_rng(seed)


def blobs(shape, seed=0):
    """Labels of objects, beyond 16 bits."""
    binary = ndimage.gaussian_filter(rng(seed).normal(size=shape), [1.0, 4, 4][-len(shape) :]) > 0.05
    labels, _ = ndimage.label(binary)
    return (labels * 70_001).astype(np.int32)


SHAPES = [(64, 64, 1), (48, 80, 3), (70, 70, 6), (6, 64, 64, 1), (5, 40, 72, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [-2, -1])
def test_mask_stays_where_the_image_is_to_a_fraction_of_a_pixel(shape, axis):
    labels = np.indices(shape[:-1], np.int32)[axis] * 70_001  # how far along the axis; beyond 16 bits
    source = np.repeat(labels[..., None], shape[-1], -1).astype(np.float32)
    for seed in range(12):
        image, mask = augment(source, labels, rng(seed), MOVES)
        assert image.shape == shape
        assert image.dtype == np.float32
        assert mask.shape == shape[:-1]
        assert mask.dtype == np.int32
        assert set(np.unique(mask)) <= set(np.unique(labels))
        apart = (image - mask[..., None]) / 70_001
        assert abs(apart.mean()) < 0.05
        assert np.abs(apart).max() < 1.6  # nearest neighbour twice: rotation, then deformation


@pytest.mark.parametrize("shape", SHAPES)
def test_image_targets_move_with_the_source(shape):
    source = ndimage.gaussian_filter(rng(0).normal(size=shape), [*[2.0] * (len(shape) - 1), 0]).astype("f4")
    for seed in range(4):
        image, target = augment(source, source[..., :1] * 3, rng(seed), MOVES)
        np.testing.assert_allclose(target, image[..., :1] * 3, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_off_is_identity(shape):
    source, labels = rng(0).normal(size=shape).astype(np.float32), blobs(shape[:-1])
    image, mask = augment(source, labels, rng(1), OFF)
    np.testing.assert_array_equal(image, source)
    np.testing.assert_array_equal(mask, labels)


@pytest.mark.parametrize("target", [None, "labels", "image"])
def test_one_seed_repeats_and_another_differs(target):
    source = rng(0).normal(size=(32, 32, 2)).astype(np.float32)
    given = {None: None, "labels": blobs((32, 32)), "image": source[..., :1]}[target]
    (a, x), (b, y) = (augment(source, given, rng(5), ANY) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(x, y)
    others = [augment(source, given, rng(seed), ANY)[0] for seed in range(6)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(others) for b in others[:i])


def test_the_result_depends_on_no_state_but_the_generators():
    source = rng(0).normal(size=(32, 32, 1)).astype(np.float32)
    first, _ = augment(source, None, rng(5), MOVES)
    np.random.seed(1)
    augment(source, None, rng(6), MOVES)
    second, _ = augment(source, None, rng(5), MOVES)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("shape", SHAPES)
def test_geometry_keeps_the_range_of_values_outside_0_and_1(shape):
    source = (rng(0).normal(size=shape) * 1000 - 500).astype(np.float32)
    for seed in range(6):
        image, _ = augment(source, None, rng(seed), MOVES)
        assert source.min() - 1e-2 <= image.min() < -500
        assert 500 < image.max() <= source.max() + 1e-2


def reachable(shape, settings, tries=200):
    labels = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    source = labels[..., None].astype(np.float32)
    results = set()
    for seed in range(tries):
        image, mask = augment(source, labels, rng(seed), settings)
        np.testing.assert_array_equal(image[..., 0], mask)
        results.add(mask.tobytes())
    return results


def test_flips_and_quarter_turns_reach_exactly_the_symmetries_of_the_patch():
    assert len(reachable((4, 4), FLIPS)) == 4
    assert len(reachable((4, 4), QUARTERS)) == 4
    assert len(reachable((4, 4), replace(QUARTERS, flips=True))) == 8
    assert len(reachable((4, 6), replace(QUARTERS, flips=True))) == 4
    assert len(reachable((4, 6), QUARTERS)) == 2
    assert len(reachable((3, 4, 4), replace(QUARTERS, flips=True))) == 16


def test_quarter_turns_never_mix_planes():
    labels = np.repeat(np.arange(4, dtype=np.int32), 16).reshape(4, 4, 4)
    for seed in range(20):
        _, mask = augment(labels[..., None].astype("f4"), labels, rng(seed), QUARTERS)
        np.testing.assert_array_equal(mask, labels)


def test_all_planes_of_a_volume_are_warped_alike():
    plane = rng(0).normal(size=(1, 40, 40, 2)).astype(np.float32)
    for seed in range(4):
        volume, _ = augment(np.repeat(plane, 5, 0), None, rng(seed), replace(MOVES, flips=False))
        np.testing.assert_array_equal(volume, np.repeat(volume[:1], 5, 0))


def test_shear_slants_by_at_most_the_stated_angle():
    labels = np.zeros((65, 65), np.int32)
    labels[:, 31:34] = 1  # an upright line: a shear along X leans it, rows away from the middle move most
    angles = []
    for seed in range(40):
        _, mask = augment(labels[..., None].astype("f4"), labels, rng(seed), replace(OFF, shear=20.0))
        middle = [np.flatnonzero(mask[row]).mean() for row in (12, 52)]
        angles.append(np.degrees(np.arctan2(middle[1] - middle[0], 40)))
    assert 10 < np.abs(angles).max() < 24  # both axes sheared at once lean it a little further


def test_elastic_displacement_has_the_stated_size():
    ramp = np.tile(np.arange(200, dtype=np.float32)[:, None, None], (1, 200, 1))
    shifts = [augment(ramp, None, rng(seed), replace(OFF, elastic=3.0))[0] - ramp for seed in range(20)]
    moved = [s[30:-30, 30:-30] for s in shifts if s.any()]
    assert 5 <= len(moved) <= 15
    assert np.std(moved) == pytest.approx(3.0, rel=0.2)


def test_displacements_are_as_large_at_the_border_as_in_the_middle_and_smooth():
    drawn = np.array([displacements((61, 50), 3.0, rng(seed)) for seed in range(300)])
    assert drawn.shape == (300, 2, 61, 50)
    size = np.sqrt((drawn**2).mean((0, 1)))
    assert size.min() > 2.6 and size.max() < 3.4
    assert np.abs(np.diff(drawn, axis=-1)).max() < 1.6 and np.abs(np.diff(drawn, axis=-2)).max() < 1.6
    # white noise smoothed by a Gaussian of 10 pixels correlates by exp(-d^2 / 400) at a distance d
    for d in (5, 10, 20):
        found = (drawn[..., d:] * drawn[..., :-d]).mean() / (drawn**2).mean()
        assert found == pytest.approx(np.exp(-(d**2) / 400), abs=0.05)


def test_zoom_and_elastic_deformation_happen_independently():
    image = np.random.default_rng(0).random((24, 24, 1), np.float32)
    same = [
        np.array_equal(
            geometry.warp(image, None, np.random.default_rng(seed), False, 0.3, 0.0, 2.0)[0], image
        )
        for seed in range(80)
    ]
    assert 8 < sum(same) < 32, "each has a chance of one half: neither happens in a quarter of the cases"


def test_zoom_stays_between_its_limits():
    y, x = np.mgrid[:101, :101]
    disc = ((y - 50) ** 2 + (x - 50) ** 2 < 20**2).astype(np.int32)
    sizes = [
        augment(disc[..., None].astype("f4"), disc, rng(s), replace(OFF, scale=0.5))[1].sum()
        for s in range(60)
    ]
    zoom = np.sqrt(np.array(sizes) / disc.sum())
    assert 1 / 1.5 - 0.03 < zoom.min() < 0.8
    assert 1.25 < zoom.max() < 1.53


def test_intensity_is_monotone_finite_and_differs_between_channels():
    ramp = np.linspace(-3, 7, 100, dtype=np.float32).reshape(10, 10, 1).repeat(2, -1)
    for seed in range(20):
        changed = change_intensity(ramp, rng(seed), 0.5)
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert (np.diff(changed.reshape(-1, 2), axis=0) > 0).all()
        assert not np.allclose(changed[..., 0], changed[..., 1])
    flat = change_intensity(np.full((4, 4, 1), 2, np.float32), rng(0), 0.3)
    assert np.ptp(flat) == 0


def test_noise_grows_with_the_signal_and_does_not_shift_it():
    image = np.zeros((200, 400, 1), np.float32)
    image[:, 200:] = 1
    noise = [add_noise(image, rng(seed), 0.3) - image for seed in range(40)]
    added = [n for n in noise if n.any()]
    assert 10 <= len(added) <= 30
    assert added[0].dtype == np.float32
    dark, bright = (np.mean([n[:, part].std() for n in added]) for part in (slice(0, 200), slice(200, 400)))
    assert 0.05 < dark < bright < 0.42
    assert abs(np.mean(added)) < 1e-3


def test_blur_smooths_within_planes_only():
    image = np.zeros((3, 21, 21, 1), np.float32)
    image[1, 10, 10] = 100
    results = [augment(image, None, rng(seed), replace(OFF, blur=2.0))[0] for seed in range(10)]
    blurred = [r for r in results if r.max() < 99]
    assert 2 <= len(blurred) <= 9
    for result in blurred:
        assert not result[[0, 2]].any()
        assert result.sum() == pytest.approx(100, rel=1e-4)


def test_light_noise_and_blur_leave_the_target_alone():
    source = rng(0).normal(size=(16, 16, 1)).astype(np.float32)
    settings = replace(OFF, intensity=0.3, noise=0.2, blur=2.0)
    image, target = augment(source, source.copy(), rng(0), settings)
    np.testing.assert_array_equal(target, source)
    assert not np.allclose(image, source)


def test_description_names_what_is_on_and_nothing_else():
    assert OFF.describe() == "Training patches were not augmented."
    assert FLIPS.describe() == "Training patches were augmented at random: mirrored along each axis."
    sentence = ANY.describe()
    for part in (
        "rotated by any angle",
        "0.77 to 1.30",
        "sheared",
        "elastically",
        "gamma",
        "noise",
        "and blurred",
    ):
        assert part in sentence


def test_importing_the_module_loads_no_heavy_library():
    import subprocess
    import sys

    heavy = "{'albumentations', 'cv2', 'scipy', 'torch'}"
    code = f"import sys, zcdl_common.augment; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

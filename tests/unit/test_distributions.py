from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage, stats

from zcdl_common.errors import DataError
from zcdl_common.metrics import appearance
from zcdl_common.metrics.appearance import describe
from zcdl_common.metrics.distributions import (
    cycle_error,
    distance_to_set,
    feature_distance,
    intensity_distance,
)
from zcdl_common.metrics.domain import domain_of, tells_spread

ONE, NONE = np.ones(1), np.zeros(1)


def cells(rng, size=(128, 128)):
    """Bright round nuclei on a dim background, with noise, as whole numbers; (Y, X, 1)."""
    points = np.zeros(size)
    count = round(points.size / 800)
    points[tuple(rng.integers(0, side, count) for side in size)] = rng.uniform(0.5, 1.5, count)
    nuclei = np.tanh(400 * ndimage.gaussian_filter(points, 4))
    return np.rint(rng.poisson(10 + 150 * nuclei) + rng.normal(0, 2, size)).clip(0)[..., None]


@pytest.fixture(scope="module")
def real():
    rng = np.random.default_rng(0)
    return [cells(rng) for _ in range(20)]


@pytest.fixture(scope="module")
def held_out():
    rng = np.random.default_rng(1)
    return [cells(rng) for _ in range(5)]


@pytest.fixture(scope="module")
def domain(real):
    return domain_of(real)


def blurred(image, sigma=1.0):
    return ndimage.gaussian_filter(image, (sigma, sigma, 0))


def empty(image):
    return np.random.default_rng(3).poisson(10, image.shape).astype(float)


SPOILT = {
    "constant": lambda image: np.full_like(image, image.mean()),
    "black": np.zeros_like,
    "shuffled pixels": lambda image: np.random.default_rng(2).permutation(image.ravel()).reshape(image.shape),
    "background alone": empty,
    "inverted": lambda image: 180 - image,
    "blurred": blurred,
    "checkerboard": lambda image: image + 12 * (np.indices(image.shape).sum(0) % 2),
    "twice as bright": lambda image: 2 * image,
    "too few details": lambda image: blurred(image, 8),
}


def test_real_images_of_the_domain_score_about_one_and_lie_at_no_distance(domain, held_out):
    assert np.mean([distance_to_set(image, domain) for image in held_out]) == pytest.approx(1, abs=0.15)
    assert abs(feature_distance(held_out, domain)) < 0.03


@pytest.mark.parametrize("how", SPOILT)
def test_what_does_not_look_like_the_domain_scores_clearly_worse(domain, held_out, how):
    spoilt = [SPOILT[how](image) for image in held_out]
    own = [distance_to_set(image, domain) for image in held_out]
    assert min(distance_to_set(image, domain) for image in spoilt) > 1.3 * max(own)
    assert feature_distance(spoilt, domain) > 0.1


def test_an_image_whose_every_window_is_real_but_none_shows_cells_is_seen():
    rng = np.random.default_rng(6)
    background = [
        np.rint(rng.poisson(10, (128, 128, 1)) + rng.normal(0, 2, (128, 128, 1))) for _ in range(14)
    ]
    halves = [np.concatenate([cells(rng, (64, 128)), one[:64]]) for one in background]
    domain = domain_of(halves[:10])
    own = [distance_to_set(image, domain) for image in halves[10:]]
    assert min(distance_to_set(image, domain) for image in background[10:]) > 1.3 * max(own)


def test_results_that_are_all_alike_look_real_one_by_one_but_not_as_a_set(domain, held_out):
    alike = [held_out[0]] * 5
    assert np.mean([distance_to_set(image, domain) for image in alike]) < 1.3
    assert feature_distance(alike, domain) > 0.05


def test_frames_of_a_movie_are_one_result_and_not_many_alike(domain, held_out):
    frames, movies = [np.rint(image + shift) for image in held_out for shift in (0, 1)], list("aabbccddee")
    own = feature_distance(held_out, domain)
    together = feature_distance(frames, domain, groups=movies)
    assert together == pytest.approx(own, abs=0.01)
    assert feature_distance(frames, domain) > together + 0.01
    longer = feature_distance([*frames, *[held_out[0]] * 6], domain, groups=[*movies, *"aaaaaa"])
    assert longer == pytest.approx(together, abs=0.01), "a long movie counts no more than a short one"
    alone = feature_distance(frames[:2], domain, groups=["a", "a"])
    assert alone == feature_distance(frames[:2], domain), "one movie alone is made of its frames"


def test_groups_stay_with_their_images_where_some_are_left_out(domain, held_out, monkeypatch):
    from zcdl_common.metrics import domain as module

    monkeypatch.setattr(module, "MOST_IMAGES", 4)
    images, groups = [image[:64, :64] for image in held_out for _ in (0, 1)][:8], list("aabbbbaa")
    every, some = (feature_distance(images[::n], domain, groups=groups[::n]) for n in (1, 2))
    assert every == some, "of 8, every second one is taken"


def test_sets_without_spread_have_nothing_or_everything_in_common(real):
    copies = domain_of([real[0]] * 3)
    # windows of one image differ, so that even copies overlap with another image; flat images do not
    flat = domain_of([np.full((64, 64, 1), 7.0)] * 3)
    assert feature_distance([np.full((64, 64, 1), 7.0)] * 2, flat) == 0
    assert feature_distance([np.full((64, 64, 1), 90.0)] * 2, flat) == pytest.approx(1)
    assert distance_to_set(real[0], copies) < 1 < distance_to_set(real[1], copies)


def test_one_image_is_no_set(domain, held_out):
    assert np.isnan(feature_distance(held_out[:1], domain))


def test_units_do_not_matter_where_both_sets_share_them(real, held_out, domain):
    other = domain_of([image * 300.0 + 1000 for image in real])
    moved = [image * 300.0 + 1000 for image in held_out]
    assert distance_to_set(moved[0], other) == pytest.approx(distance_to_set(held_out[0], domain), rel=1e-3)
    assert feature_distance(moved, other) == pytest.approx(feature_distance(held_out, domain), abs=1e-3)


def test_fractions_count_only_where_the_domain_has_them(real, held_out, domain):
    image, moved = held_out[0], held_out[0] + 0.4 * np.sin(np.arange(128))[:, None, None]
    assert distance_to_set(moved, domain) == distance_to_set(image, domain)
    fractions = domain_of([image / 255 for image in real])
    assert distance_to_set(moved / 255, fractions) != distance_to_set(image / 255, fractions)


def test_pixels_that_are_not_finite_do_not_spoil_the_score(domain, held_out):
    image = held_out[0].copy()
    image[3, 5], image[8, 9] = np.nan, np.inf
    assert distance_to_set(image, domain) == pytest.approx(distance_to_set(held_out[0], domain), rel=0.2)


def test_sizes_may_differ_and_volumes_are_looked_at_plane_by_plane(domain, held_out):
    small, large = cells(np.random.default_rng(4), (50, 70)), cells(np.random.default_rng(4), (300, 200))
    assert distance_to_set(small, domain) < 2
    assert distance_to_set(large, domain) < 2
    volume = np.stack(held_out[:3])
    planes = np.concatenate([describe(plane, NONE, ONE) for plane in held_out[:3]])
    np.testing.assert_allclose(describe(volume, NONE, ONE), planes, atol=1e-4)


def test_images_of_one_movie_do_not_make_a_domain_look_narrow(real):
    frames = [image + shift for image in real[:4] for shift in (0, 1)]
    movies = [name for name in "abcd" for _ in range(2)]
    assert domain_of(frames, groups=movies).level > 1.3 * domain_of(frames).level
    assert domain_of(frames, groups=["one"] * 8).level == domain_of(frames).level


def test_a_single_image_is_a_domain_if_it_has_parts(real):
    assert distance_to_set(real[0], domain_of(real[:1])) < 1
    with pytest.raises(DataError, match="at least two"):
        domain_of([real[0][:64, :64]])
    with pytest.raises(DataError, match="no image"):
        domain_of([])


@pytest.mark.parametrize("shape", [(95, 40), (96, 40), (300, 200), (3, 60, 60), (9, 70, 130)])
def test_windows_are_counted_from_the_size_alone(shape):
    assert appearance.count(shape) == len(appearance.windows(np.zeros((*shape, 1))))
    assert tells_spread([shape]) == (appearance.count(shape) > 1) and tells_spread([shape] * 2)


def test_other_channels_are_refused_with_both_numbers(domain, held_out):
    with pytest.raises(DataError, match="3 channels, those it is compared with have 1"):
        distance_to_set(np.repeat(held_out[0], 3, axis=-1), domain)


def test_intensity_distance_is_the_shift_in_standard_deviations_of_the_reference():
    rng = np.random.default_rng(0)
    reference = [rng.normal(100, 20, (60, 50, 2)) for _ in range(3)]
    moved = [image + np.array([10, 30]) for image in reference]
    assert intensity_distance(reference, reference) == 0
    assert intensity_distance(moved, reference) == pytest.approx((10 + 30) / 2 / 20, rel=0.02)
    own = stats.wasserstein_distance(rng.normal(100, 40, 100_000), rng.normal(100, 20, 100_000))
    wide = [rng.normal(100, 40, (60, 50, 2)) for _ in range(3)]
    assert intensity_distance(wide, reference) == pytest.approx(own / 20, rel=0.05)
    assert np.isnan(intensity_distance(reference, [np.zeros((9, 9, 2))]))


def test_a_large_image_counts_no_more_than_a_small_one():
    dark, bright = np.zeros((8, 8, 1)), np.ones((8, 8, 1))
    large = np.ones((80, 80, 1), np.uint8)
    assert intensity_distance([dark, large], [dark, bright]) == 0


def test_cycle_error_is_the_difference_in_parts_of_the_range_of_each_channel():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 2), np.uint8)
    span = np.array([200.0, 50.0])
    assert cycle_error(image, image, span) == 0
    assert cycle_error(image, image + 0.5 * span, span) == pytest.approx(0.5)
    assert cycle_error(image, image + np.array([20.0, 0.0]), span) == pytest.approx(0.1 / np.sqrt(2))
    with pytest.raises(DataError):
        cycle_error(image, image[:10], span)


def test_local_patterns_are_counted_as_by_hand():
    image = np.random.default_rng(0).integers(0, 4, (9, 8))
    counts = np.zeros(10)
    for y in range(1, 8):
        for x in range(1, 7):
            ring = [image[y + b, x + a] >= image[y, x] for b, a in appearance.RING]
            turns = sum(ring[k] != ring[k - 1] for k in range(8))
            counts[sum(ring) if turns <= 2 else 9] += 1
    found = list(appearance._patterns(image[None, ..., None].astype(np.float32)))[:10]
    np.testing.assert_allclose(np.square(found).ravel(), counts / counts.sum(), atol=1e-6)


def test_shapes_tell_bright_spots_from_dark_ones_and_lines_from_spots():
    yy, xx = np.indices((64, 64))
    spots = np.exp(-((yy % 16 - 8) ** 2 + (xx % 16 - 8) ** 2) / 8).astype(np.float32)[None, ..., None]
    lines = np.sin(xx / 3).astype(np.float32)[None, ..., None]
    of_spots, of_dark, of_lines = (
        [float(v[0, 0]) for v in appearance._shapes(i, 2.0)] for i in (spots, -spots, lines)
    )
    assert of_spots[1] > 0.03
    assert of_dark[1] == pytest.approx(-of_spots[1], abs=1e-5)
    assert of_lines[0] == pytest.approx(1, abs=0.01)
    assert of_spots[0] < 0.75
    assert of_lines[2] == pytest.approx(0.5, abs=0.02)


def test_channels_that_lose_their_relation_are_seen():
    rng = np.random.default_rng(0)
    real = [np.repeat(cells(rng), 2, axis=-1) for _ in range(6)]
    mixed = [np.concatenate([a[..., :1], b[..., :1]], axis=-1) for a, b in pairwise(real)]
    domain = domain_of(real)
    assert min(distance_to_set(image, domain) for image in mixed) > 1.3

"""Matching of positions, and the scores, against exhaustive search and closed forms."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from zcdl_common.errors import DataError
from zcdl_common.metrics import error_map as em
from zcdl_common.metrics import frc
from zcdl_common.metrics.localisation import by_density, match, scores
from zcdl_common.smlm.localisations import Localisations

PIXEL = (0.1, 0.1)
"""100 nm."""


def emitters(rng, n, frames=1, side=8.0):
    return Localisations(rng.integers(0, frames, n), rng.uniform(0, side, (n, 2)))


def exhaustive(distance, radius):
    """Most pairs within a radius, and the least sum of their distances, by trying all (n <= m)."""
    best = (0, 0.0)
    for columns in permutations(range(distance.shape[1]), len(distance)):
        each = distance[np.arange(len(distance)), columns]
        near = each[each <= radius]
        best = max(best, (len(near), -near.sum()))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_no_other_matching_is_better(seed):
    rng = np.random.default_rng(seed)
    truth, found = emitters(rng, 5, side=6), emitters(rng, 7, side=6)
    distance = 100 * cdist(truth.yx, found.yx)
    matches = match(truth, found, PIXEL)
    lengths = np.linalg.norm(matches.error, axis=1)
    assert (lengths <= 250).all()
    np.testing.assert_allclose(lengths, distance[matches.truth, matches.found])
    count, total = exhaustive(distance, 250)
    assert len(lengths) == count and lengths.sum() == pytest.approx(-total)


@pytest.mark.parametrize("radius", [250.0, 100.0, 30.0])
def test_crowded_frames_agree_with_a_solver_of_the_whole_frame(radius):
    rng = np.random.default_rng(1)
    truth, found = emitters(rng, 600, frames=3, side=64), emitters(rng, 500, frames=3, side=64)
    matches = match(truth, found, PIXEL, radius)
    assert len(set(matches.truth)) == len(matches.truth) and len(set(matches.found)) == len(matches.found)
    assert (truth.frame[matches.truth] == found.frame[matches.found]).all()
    lengths = np.linalg.norm(matches.error, axis=1)
    count, total = 0, 0.0
    for frame in range(3):
        distance = 100 * cdist(truth.yx[truth.frame == frame], found.yx[found.frame == frame])
        near = distance <= radius
        chosen = linear_sum_assignment(np.where(near, distance, 1e7))
        count += near[chosen].sum()
        total += distance[chosen][near[chosen]].sum()
    assert len(lengths) == count
    assert lengths.sum() == pytest.approx(total)


def test_a_nearest_neighbour_may_have_to_give_way():
    # the first found is nearest to both true ones: greedy matching would leave the second alone
    truth = Localisations(np.zeros(2, int), np.array([[1.0, 1.0], [1.0, 3.0]]))
    found = Localisations(np.zeros(2, int), np.array([[1.0, 1.9], [1.0, 0.0]]))
    matches = match(truth, found, PIXEL, 150)
    assert dict(zip(matches.truth, matches.found, strict=True)) == {0: 1, 1: 0}


def test_scores_by_hand():
    truth = Localisations(np.array([0, 0, 1, 1]), np.array([[1.0, 1], [5, 5], [1, 1], [9, 9]]))
    found = Localisations(np.array([0, 1, 1]), np.array([[1.3, 1.4], [1, 2], [5, 5]]))
    result = scores(truth, found, PIXEL)
    assert result["n_matched"] == 2 and result["n_true"] == 4 and result["n_found"] == 3
    assert result["recall"] == 2 / 4 and result["precision"] == 2 / 3
    assert result["jaccard"] == 2 / 5 and result["f1"] == pytest.approx(4 / 7)
    assert result["rmse_nm"] == pytest.approx(np.sqrt((50**2 + 100**2) / 2))
    assert result["shift_y_nm"] == pytest.approx(15) and result["shift_x_nm"] == pytest.approx(70)
    assert scores(truth, found, PIXEL, 60)["n_matched"] == 1


def test_the_error_of_known_noise_is_found():
    rng = np.random.default_rng(2)
    truth = emitters(rng, 4000, frames=400, side=64)
    noisy = Localisations(truth.frame, truth.yx + rng.normal(0, 0.15, truth.yx.shape) + (0.5, 0))
    result = scores(truth, noisy, PIXEL)
    assert result["rmse_nm"] == pytest.approx(np.sqrt(2 * 15**2 + 50**2), rel=0.03)
    assert result["shift_y_nm"] == pytest.approx(50, abs=1) and abs(result["shift_x_nm"]) < 1


def test_pixels_need_not_be_square():
    truth = Localisations(np.zeros(1, int), np.array([[1.0, 1.0]]))
    found = Localisations(np.zeros(1, int), np.array([[2.0, 2.0]]))
    assert scores(truth, found, (0.3, 0.4), 500)["rmse_nm"] == pytest.approx(500)
    assert scores(truth, found, (0.3, 0.4), 499)["n_matched"] == 0


def test_nothing_true_or_found_has_scores_too():
    nothing, one = Localisations(np.zeros(0, int), np.zeros((0, 2))), emitters(np.random.default_rng(0), 1)
    for truth, found in ((nothing, one), (one, nothing)):
        result = scores(truth, found, PIXEL)
        assert result["jaccard"] == result["recall"] == result["precision"] == 0
        assert np.isnan(result["rmse_nm"])
    assert np.isnan(scores(nothing, nothing, PIXEL)["jaccard"])
    assert by_density(nothing, nothing, PIXEL) == []


def test_crowded_emitters_stand_in_another_row_than_lone_ones():
    # four within 500 nm: three neighbours in pi/4 square micrometres are 3.8; one alone; one invented
    cluster = np.array([[2.0, 2], [2, 4], [4, 2], [4, 4]])
    truth = Localisations(np.zeros(5, int), np.concatenate([cluster, [[40.0, 40]]]))
    found = Localisations(np.zeros(4, int), np.concatenate([cluster[:2], [[40.2, 40], [60, 60]]]))
    low, high = by_density(truth, found, PIXEL)
    assert (low["density_from"], low["density_to"]) == (0, 1)
    assert (low["n_true"], low["n_found"], low["n_matched"]) == (1, 2, 1)
    assert low["rmse_nm"] == pytest.approx(20)
    assert (high["density_from"], high["density_to"]) == (2, 4)
    assert high["recall"] == 0.5 and high["precision"] == 1


def test_bins_share_out_everything():
    rng = np.random.default_rng(3)
    truth, found = emitters(rng, 900, frames=4, side=64), emitters(rng, 800, frames=4, side=64)
    whole, rows = scores(truth, found, PIXEL), by_density(truth, found, PIXEL)
    for key in ("n_true", "n_found", "n_matched"):
        assert sum(row[key] for row in rows) == whole[key]
    assert len(rows) >= 4


def blinking(rng, sigma, times, n=4000, side=64.0):
    """Emitters seen `times` times in each half, with a known error in pixels."""
    places = np.repeat(rng.uniform(0, side, (n, 2)), 2 * times, axis=0)
    frame = np.tile(np.arange(2 * times), n)
    return Localisations(frame, places + rng.normal(0, sigma, places.shape)), 2 * times


@pytest.mark.parametrize(("sigma", "times"), [(0.1, 5), (0.2, 5), (0.2, 20), (0.4, 5)])
def test_fourier_ring_correlation_has_its_closed_form(sigma, times):
    """Random emitters, each seen m times a half with error s: FRC = m e / (1 + (m - 1) e).

    There e = exp(-(2 pi s q)²); it is 1/7 where e = 1 / (6 m + 1).
    """
    found, frames = blinking(np.random.default_rng(0), sigma, times)
    curve = frc.resolution(found, frames, (64, 64), PIXEL, blocks=frames)
    expected = 2 * np.pi * 100 * sigma / np.sqrt(np.log(6 * times + 1))
    assert curve.resolution == pytest.approx(expected, rel=0.05)
    e = np.exp(-((2 * np.pi * 100 * sigma * curve.frequency) ** 2))
    np.testing.assert_allclose(curve.smooth[8:], (times * e / (1 + (times - 1) * e))[8:], atol=0.06)


@pytest.mark.parametrize("pull", [1.0, 0.5], ids=["in the centres", "half way to them"])
def test_a_grid_that_positions_favour_is_no_resolution(pull):
    """Against the same positions anywhere, and those that are moved at random within a pixel of the grid."""
    found, frames = blinking(np.random.default_rng(0), 0.2, 5)
    centre = (np.floor(4 * found.yx) + 0.5) / 4
    pulled = replace(found, yx=found.yx + pull * (centre - found.yx))
    assert frc.favoured(found) == 0 and frc.favoured(pulled) == 4
    honest = frc.resolution(found, frames, (64, 64), PIXEL, blocks=frames)
    curve = frc.resolution(pulled, frames, (64, 64), PIXEL, blocks=frames)
    assert (honest.grid, curve.grid) == (0, 25)
    blunted = honest.resolution * np.hypot(0.2, 0.25 / np.sqrt(12)) / 0.2
    assert honest.resolution < curve.resolution < 1.1 * blunted
    beyond = curve.frequency > 2 / curve.resolution
    assert np.abs(curve.smooth[beyond]).max() < 1 / 7, "the grid shows where nothing else is left"


def test_few_positions_favour_nothing():
    assert frc.favoured(emitters(np.random.default_rng(0), 0)) == 0
    assert not any(frc.favoured(emitters(np.random.default_rng(seed), 30)) for seed in range(20))


def test_noise_alone_has_no_resolution_and_equal_images_no_limit():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, (2, 128, 128))
    assert np.isnan(frc.curve(one, other, 10).resolution)
    same = frc.curve(one, one, 10)
    np.testing.assert_allclose(same.correlation, 1)
    assert np.isnan(same.resolution)
    shared = frc.curve(one + other, one - other, 10).correlation  # signal and noise of equal power
    assert abs(np.mean(shared)) < 0.1
    half = frc.curve(one + rng.normal(0, 1, one.shape), one + rng.normal(0, 1, one.shape), 10).correlation
    assert np.mean(half) == pytest.approx(0.5, abs=0.05)


def test_frequencies_are_those_of_the_pixel_size():
    curve = frc.curve(*np.random.default_rng(0).normal(0, 1, (2, 64, 100)), 20.0)
    assert curve.frequency[0] == pytest.approx(0.5 / 32 / 40) and curve.frequency[-1] < 1 / 40


def test_halves_must_hold_something_and_pixels_be_square():
    found, frames = blinking(np.random.default_rng(0), 0.1, 2, n=10)
    with pytest.raises(DataError, match="two halves"):
        frc.resolution(found.select(found.frame == 0), frames, (64, 64), PIXEL)
    with pytest.raises(DataError, match="square"):
        frc.resolution(found, frames, (64, 64), (0.1, 0.2))


def field(rng, m=5):
    """A fine image of points, and its widefield image: blurred by 1.3 pixels, binned, scaled, offset."""
    from scipy.ndimage import gaussian_filter

    fine = np.zeros((40 * m, 48 * m))
    fine[tuple(rng.integers(4 * m, 36 * m, (2, 300)))] += rng.uniform(1, 3, 300)
    return fine, 100 + 7 * em.binned(gaussian_filter(fine, 1.3 * m), m)


@pytest.mark.parametrize("m", [1, 5, 8])
def test_an_image_without_fault_has_no_errors(m):
    fine, widefield = field(np.random.default_rng(0), m)
    found = em.error_map(widefield, fine)
    assert found.sigma == pytest.approx(1.3, rel=0.03)
    assert found.rsp > 0.999 and found.rse < 0.01 * np.ptp(widefield)
    np.testing.assert_allclose(found.seen, widefield, atol=0.05 * np.ptp(widefield))


def test_what_is_missing_lights_up_in_the_error_map():
    fine, widefield = field(np.random.default_rng(0))
    fine[:, 120:] = 0
    found = em.error_map(widefield, fine)
    assert found.rsp < 0.9
    lost = (widefield > 101) & (np.arange(48) >= 26)
    kept = (widefield > 101) & (np.arange(48) < 22)
    assert found.error[lost].mean() > 3 * found.error[kept].mean()
    assert found.rse == pytest.approx(np.sqrt((found.error.astype(float) ** 2).mean()), rel=1e-5)


def test_error_maps_need_the_same_field():
    fine, widefield = field(np.random.default_rng(0))
    with pytest.raises(DataError, match="no whole multiple"):
        em.error_map(widefield[:-1], fine)
    with pytest.raises(DataError, match="constant"):
        em.error_map(widefield, 0 * fine)

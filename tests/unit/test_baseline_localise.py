from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate
from scipy.optimize import curve_fit

from zcdl_common.baselines import emitters, gaussian_fit
from zcdl_common.baselines.emitters import Calibration, Localiser
from zcdl_common.baselines.hits import count_hits
from zcdl_common.baselines.localise import localise, spread
from zcdl_common.baselines.radial_symmetry import centres
from zcdl_common.baselines.spots import find
from zcdl_common.baselines.spots import windows as cut_windows
from zcdl_common.errors import DataError
from zcdl_common.samples.localise import blinking
from zcdl_common.samples.optics import scmos
from zcdl_common.smlm import psf
from zcdl_common.smlm.camera import PRESETS, expose

SIGMA, SIDE, BACKGROUND = 1.3, 21, 15.0
SCMOS = Calibration(100.0, 2.0, 1.6)
EMCCD = Calibration(100.0, 10.0, 0.5, 2.0)
WAYS = ["radial symmetry", "least squares", "maximum likelihood"]
WAYS_AND_WIDTHS = [(way, free) for way in WAYS for free in (False, True) if way != WAYS[0] or not free]


def emccd(light, rng):
    return expose(light, rng, PRESETS["emccd"])


def spots(yx, photons, sigma, shape):
    """Light YX of emitters in one frame."""
    n = len(yx)
    return psf.spots(np.zeros(n, int), yx, photons, np.full(n, sigma), (1, *shape))[0]


def localiser(fit="least squares", free=False, camera=SCMOS, factor=1.5, kind="wavelet", radius=3):
    return Localiser(kind, SIGMA, factor, fit, free, radius, SIGMA, camera)


def isolated(yx, photons=1000.0, camera=scmos, seed=0, sigma=SIGMA):
    """One emitter a frame, seen by a camera; without one, 100 + twice the expected photons."""
    light = np.stack([spots(p[None], np.array([photons]), sigma, (SIDE, SIDE)) for p in yx]) + BACKGROUND
    return 100 + 2 * light if camera is None else camera(light, np.random.default_rng(seed))


def within_a_pixel(n, seed=0):
    return 10.0 + np.random.default_rng(seed).uniform(0, 1, (n, 2))


def one_each(found, n):
    np.testing.assert_array_equal(found[:, 0], np.arange(n))
    return found[:, 1:]


def bound(photons, read_noise=1.6, excess=1.0):
    """Cramer-Rao bound of a position in the whole frame, all else unknown, averaged over a pixel."""
    theta = np.column_stack([within_a_pixel(200), np.full(200, photons), *np.full((2, 200), BACKGROUND)])
    theta[:, 4] = SIGMA
    model, slopes = gaussian_fit._slopes(theta, SIDE)
    slopes = slopes[:, :4].reshape(200, 4, -1)
    variance = excess * model.reshape(200, 1, -1) + read_noise**2
    covariance = np.linalg.inv((slopes / variance) @ slopes.transpose(0, 2, 1))
    return np.sqrt(covariance[:, [0, 1], [0, 1]].mean())


@pytest.mark.parametrize(("way", "free"), WAYS_AND_WIDTHS)
def test_without_noise_the_position_is_exact_wherever_in_the_pixel_the_emitter_is(way, free):
    steps = np.linspace(0.05, 0.95, 7)
    yx = np.array([(10 + a, 10 + b) for a in steps for b in steps])
    found = one_each(localiser(way, free)(isolated(yx, camera=None)).main, len(yx))
    worst = 0.02 if way == WAYS[0] else 1e-3
    assert np.abs(found - yx).max() < worst


def test_an_emitter_in_the_middle_of_a_pixel_is_half_a_pixel_beyond_its_index():
    for way in WAYS:
        found = localiser(way)(isolated(np.array([[7.5, 12.5]]), camera=None)).main
        np.testing.assert_allclose(found, [[0, 7.5, 12.5]], atol=1e-3)
        assert found.dtype == np.float32


@pytest.mark.parametrize(("way", "free"), WAYS_AND_WIDTHS)
def test_noise_pulls_positions_neither_to_the_centres_nor_to_the_corners_of_pixels(way, free):
    yx = within_a_pixel(800)
    found = one_each(localiser(way, free)(isolated(yx, 800.0)).main, len(yx))
    error, place = (found - yx).ravel(), (yx % 1 - 0.5).ravel()
    noise = error.std() / np.sqrt(error.size)
    assert abs(error.mean()) < 4 * noise
    slope = (error * place).mean() / (place**2).mean()
    assert abs(slope) < 4 * noise / place.std() + 0.01
    outer = np.abs(place) > 0.25
    assert abs((error * np.sign(place))[outer].mean()) < 4 * noise + 0.005


@pytest.mark.parametrize(("camera", "calibration"), [(scmos, SCMOS), (emccd, EMCCD)], ids=["scmos", "emccd"])
def test_maximum_likelihood_is_nearly_as_precise_as_any_method_can_be_and_says_so(camera, calibration):
    for photons in (700.0, 2000.0):
        yx = within_a_pixel(500, seed=1)
        frames = isolated(yx, photons, camera, seed=2)
        result = localiser(WAYS[2], camera=calibration, radius=4)(frames)
        found = one_each(result.main, len(yx))
        error = np.sqrt(((found - yx) ** 2).mean())
        least = bound(photons, calibration.read_noise, calibration.excess)
        assert 0.9 * least < error < 1.15 * least
        assert np.median(result.extra["uncertainty"]) == pytest.approx(error, rel=0.12)
        assert np.median(result.extra["photons"]) == pytest.approx(photons, rel=0.05)


def test_least_squares_is_as_uncertain_as_the_formula_says():
    yx = within_a_pixel(500)
    result = localiser(radius=4)(isolated(yx, 3000.0))
    error = np.sqrt(((one_each(result.main, 500) - yx) ** 2).mean())
    assert np.median(result.extra["uncertainty"]) == pytest.approx(error, rel=0.15)


def test_the_closed_form_of_the_likelihood_is_close_to_its_integral():
    photons, background = np.array([500.0, 2000.0]), np.array([5.0, 20.0])
    found = gaussian_fit.Spots(np.zeros((2, 2)), photons, background, np.full(2, SIGMA))
    area = SIGMA**2 + 1 / 12
    for n, b, ours in zip(photons, background, gaussian_fit.uncertainty(found, True), strict=True):
        tau = 2 * np.pi * area * b / n
        integral = integrate.quad(lambda t, tau=tau: np.log(t) / (1 + t / tau), 0, 1)[0]
        assert ours**2 == pytest.approx(area / n / (1 + integral), rel=0.05)


def test_fits_agree_with_scipy_one_by_one():
    yx = within_a_pixel(20)
    frames = isolated(yx, 600.0)
    at = np.column_stack([np.arange(20), np.full((20, 2), 10)])
    values, inside, _ = cut_windows(frames, at, 3)
    ours = gaussian_fit.fit(values, inside, SIGMA, free=True)

    def model(_, y, x, total, background, sigma):
        return gaussian_fit._model(np.array([[y, x, total, background, sigma]]), 7).ravel()

    for number, window in enumerate(values):
        start = [3.5, 3.5, 2000, 130, SIGMA]
        theirs = curve_fit(model, None, window.ravel(), start)[0]
        np.testing.assert_allclose(ours.yx[number], theirs[:2], atol=2e-3)
        assert ours.sigma[number] == pytest.approx(theirs[4], rel=5e-3)


def test_slopes_are_those_of_the_model():
    theta = np.array([[3.2, 3.9, 800.0, 12.0, 1.2]])
    slopes = gaussian_fit._slopes(theta, 7)[1]
    for i, step in enumerate((1e-5, 1e-5, 1e-2, 1e-2, 1e-5)):
        up, down = (theta + sign * step * np.eye(5)[i] for sign in (1, -1))
        numeric = (gaussian_fit._model(up, 7) - gaussian_fit._model(down, 7)) / (2 * step)
        np.testing.assert_allclose(slopes[:, i], numeric, rtol=1e-5, atol=1e-6)


def test_radial_symmetry_needs_no_background_and_no_units():
    values = np.stack([spots(np.array([[3.3, 3.8]]), np.array([n]), SIGMA, (7, 7)) + n for n in (1.0, 1e4)])
    a, b = centres(values, np.ones(values.shape, bool))
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(a, [3.3, 3.8], atol=0.02)
    assert np.isnan(centres(np.ones((1, 7, 7)), np.ones((1, 7, 7), bool))).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["wavelet", "LoG"])
def test_frames_without_light_or_of_one_value_give_nothing(way, kind):
    for frames in (np.zeros((2, 16, 16), np.uint16), np.full((2, 16, 16), 1234.56, np.float32)):
        result = localiser(way, kind=kind, factor=0.01)(frames)
        assert result.main.shape == (0, 3) and result.main.dtype == np.float32
        assert result.extra["photons"].shape == result.extra["scores"].shape == (0,)
    assert localiser(way, kind=kind)(np.zeros((0, 16, 16))).main.shape == (0, 3)
    dark = scmos(np.full((20, 32, 32), BACKGROUND), np.random.default_rng(0))
    assert len(localiser(way, kind=kind, factor=1.5)(dark).main) < 20 * 0.5


@pytest.mark.parametrize(("way", "free"), WAYS_AND_WIDTHS)
def test_hot_pixels_are_no_emitters_and_do_not_hide_them(way, free):
    yx = within_a_pixel(50)
    frames = isolated(yx, 2000.0)
    frames[:, 4, 4] += 3000
    frames[:, 17, 0] = 65535
    result = localiser(way, free, factor=0.1)(frames).main
    near = result[(np.abs(result[:, 1:] - 10.5) < 2).all(1)]
    assert len(near) == 50
    hot = (np.abs(result[:, 1:] - 4.5) < 1).all(1) | (np.abs(result[:, 1:] - [17.5, 0.5]) < 1).all(1)
    assert not hot.any()


@pytest.mark.parametrize("way", WAYS)
def test_emitters_at_the_border_are_found_inside_the_frame(way):
    yx = np.array([[0.6, 10.3], [20.4, 10.3], [10.3, 0.7], [10.3, 20.5], [0.8, 0.8], [20.3, 20.3]])
    if way == WAYS[0]:  # of a corner too few gradients are left to it
        yx = yx[:4]
    found = one_each(localiser(way)(isolated(yx, 3000.0)).main, len(yx))
    assert (found >= 0).all() and (found < SIDE).all()
    assert np.abs(found - yx).max() < (0.6 if way == WAYS[0] else 0.2)


def test_hits_are_as_many_as_can_be_then_as_close_as_can_be():
    known = np.array([[0, 5.0, 5.0], [0, 5.0, 6.0], [2, 1.0, 1.0]])
    found = np.array([[0, 5.0, 5.8], [0, 5.0, 6.9], [1, 1.0, 1.0]])
    hits = count_hits(found, known, 3, 1.0)  # 5.8 is nearer to 6.0, which 6.9 needs
    np.testing.assert_allclose(hits, [[2, 0, 0], [0, 0, 1], [0, 1, 0], [0.8**2 + 0.9**2, 0, 0]])
    assert hits.jaccard == pytest.approx(2 / 4)
    assert hits.error == pytest.approx(np.sqrt((0.8**2 + 0.9**2) / 2))
    assert hits.of(np.array([False, True, True])).jaccard == 0


def test_of_a_plateau_one_pixel_counts_and_fits_that_meet_are_one_emitter():
    between = isolated(np.array([[10.0, 10.0]]), camera=None)
    assert len(find(between, "wavelet", 1.0, SIGMA).at) == 1
    columns = np.array([[0, 5, 5, 2.0, 1, 1], [0, 5.2, 5, 3.0, 1, 1], [1, 5, 5, 1.0, 1, 1]])
    np.testing.assert_array_equal(emitters._alone(columns), [False, True, True])


def test_the_result_does_not_depend_on_how_much_is_read_at_once(monkeypatch):
    frames, _ = blinking(np.random.default_rng(0), (7, 32, 32), (0.1, 0.1))
    whole = localiser()(frames)
    monkeypatch.setattr(emitters, "PIXELS_AT_ONCE", 2 * 32 * 32)
    monkeypatch.setattr(emitters, "SPOTS_AT_ONCE", 5)
    parts = localiser()(frames[..., None])
    np.testing.assert_array_equal(whole.main, parts.main)
    np.testing.assert_array_equal(whole.extra["uncertainty"], parts.extra["uncertainty"])
    assert set(whole.main[:, 0]) == set(range(7))


ROUNDS = "least squares in rounds"


def pairs(apart, camera, n=60, photons=3000.0):
    """Two emitters a frame, some way apart in any direction."""
    rng = np.random.default_rng(3)
    turned, middle = rng.uniform(0, 2 * np.pi, n), within_a_pixel(n)
    way = apart / 2 * np.column_stack([np.sin(turned), np.cos(turned)])
    yx = np.stack([middle - way, middle + way], axis=1)
    light = np.stack([spots(p, np.full(2, photons), SIGMA, (SIDE, SIDE)) for p in yx]) + BACKGROUND
    known = np.column_stack([np.repeat(np.arange(n), 2), yx.reshape(-1, 2)])
    return camera(light, np.random.default_rng(4)), known


def found_in(frames, known, way):
    method = replace(localiser(way, factor=3.0, kind="LoG", radius=2), scale=1.0)
    return count_hits(method(frames).main, known, len(frames), 1.5)


def test_fits_in_rounds_part_emitters_that_pull_at_single_fits():
    frames, known = pairs(3.0 * SIGMA, scmos)
    single, rounds = (found_in(frames, known, way) for way in ("least squares", ROUNDS))
    assert rounds.jaccard > 0.97
    assert rounds.error < 0.7 * single.error
    frames, known = pairs(2.2 * SIGMA, scmos)
    single, rounds = (found_in(frames, known, way) for way in ("least squares", ROUNDS))
    assert rounds.hits.sum() > 0.95 * len(known) > 1.2 * single.hits.sum()
    assert rounds.error < 0.7 * single.error


def test_fits_in_rounds_leave_a_single_emitter_as_it_is():
    yx = within_a_pixel(100)
    frames = isolated(yx, 2000.0)
    result = localiser(ROUNDS, factor=2.0)(frames)
    single = localiser("least squares", factor=2.0)(frames)
    near = (np.abs(result.main[:, 1:] - 10.5) < 2).all(1)
    assert near.sum() == 100 and len(result.main) < 105
    np.testing.assert_allclose(result.main[near], single.main, atol=0.03)
    assert np.median(result.extra["photons"]) == pytest.approx(2000, rel=0.05)
    assert np.median(result.extra["uncertainty"]) == pytest.approx(
        np.median(single.extra["uncertainty"]), rel=0.2
    )
    ratio = result.extra["scores"][near] / single.extra["scores"]
    assert np.median(ratio) == pytest.approx(1, abs=0.15), "one scale for both"


def test_fits_in_rounds_find_nothing_where_nothing_is():
    for frames in (np.zeros((2, 16, 16), np.uint16), np.full((2, 16, 16), 1234.56, np.float32)):
        assert localiser(ROUNDS, factor=0.01)(frames).main.shape == (0, 3)
    assert localiser(ROUNDS)(np.zeros((0, 16, 16))).main.shape == (0, 3)
    dark = scmos(np.full((20, 32, 32), BACKGROUND), np.random.default_rng(0))
    assert len(localiser(ROUNDS)(dark).main) < 20 * 0.5


def movie(density=0.3, frames=12, seed=0, camera="scmos"):
    counts, truth = blinking(
        np.random.default_rng(seed), (frames, 32, 32), (0.1, 0.1), density, "random", camera
    )
    return counts, np.column_stack([truth.frame, truth.yx])


def test_tuning_finds_the_width_of_the_spots_and_settings_that_hold_on_new_frames():
    frames, truth = movie()
    assert spread(frames.astype(float), truth) == pytest.approx(SIGMA, abs=0.1)
    best = localise(frames, truth, 0.1, seed=0, camera=SCMOS)
    assert all(way in best.description for way in [*WAYS, ROUNDS]) and "Not all" not in best.description
    new, known = movie(seed=1)
    found = best.predict(new)
    assert set(found.extra) == {"scores", "photons", "uncertainty"}
    near = [
        np.hypot(*(known[known[:, 0] == t, 1:] - [y, x]).T).min(initial=np.inf) < 2.5
        for t, y, x in found.main
    ]
    assert np.mean(near) > 0.9 and 0.7 < len(found.main) / len(known) < 1.05


def test_where_emitters_overlap_fits_in_rounds_win():
    best = localise(*movie(density=3.0, frames=2), 0.1, seed=0, camera=SCMOS)
    assert best.predict.fit == ROUNDS and ROUNDS in best.name


def test_without_a_calibration_there_are_no_photons_and_tuning_repeats_itself():
    best, again = (localise(*movie(frames=6), 0.1, seed=0) for _ in range(2))
    assert best.description == again.description and best.predict == again.predict
    assert "likelihood" not in best.description
    assert set(best.predict(movie(seed=1)[0]).extra) == {"scores"}


def test_one_frame_is_enough_and_little_time_is_named():
    frames, truth = movie(frames=1, density=1.0)
    best = localise(frames, truth, 0.1, seed=0, seconds=0.0)
    assert "the same that it was tuned on" in best.description
    assert "Not all settings tried within 0 s" in best.description
    assert set(best.predict(frames).main[:, 0]) == {0}


def test_what_cannot_be_used_is_said():
    frames, truth = movie(frames=3)
    with pytest.raises(DataError, match=r"shape \(32, 32\).*image\[None\]"):
        localiser()(frames[0])
    with pytest.raises(DataError, match="one channel"):
        localiser()(np.zeros((2, 16, 16, 2)))
    with pytest.raises(DataError, match="3 training frames come with 0 positions"):
        localise(frames, np.zeros((0, 3)), 0.1, seed=0)
    with pytest.raises(DataError, match="the last of them in frame 4"):
        localise(frames, truth + np.array([1, 0, 0]), 0.1, seed=0)

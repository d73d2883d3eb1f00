"""The simulator is the published model, and the gate sees where real frames differ from it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from zcdl_common.errors import ConfigError, DataError
from zcdl_common.plots import png, simulated_and_real
from zcdl_common.smlm.camera import EMCCD, PRESETS, SCMOS, Camera, expose, mean, noise_map, photons, variance
from zcdl_common.smlm.gate import gate
from zcdl_common.smlm.measure import measure
from zcdl_common.smlm.propose import SIDE, lively, propose
from zcdl_common.smlm.psf import spots
from zcdl_common.smlm.simulate import Simulation, frames, lognormal

FIXED = Simulation(
    density=(1.0, 1.0), photons=(800.0, 3000.0), background=(20.0, 20.0), sigma_nm=(130.0, 130.0)
)
"""One value of everything but photons."""


def rng(seed=0):
    return np.random.default_rng(seed)


def one_spot(y, x, sigma, shape, number=1000.0):
    return spots(np.array([0]), np.array([[y, x]]), np.array([number]), np.array([sigma]), (1, *shape))[0]


@pytest.mark.parametrize(("y", "x", "sigma"), [(5.3, 7.8, 1.3), (6.0, 6.5, 0.7), (0.2, 11.9, 2.1)])
def test_a_spot_is_the_integral_of_a_gaussian_over_each_pixel(y, x, sigma):
    shape = (11, 12)

    def share(pixel, centre):
        def gauss(t):
            return np.exp(-((t - centre) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)

        return integrate.quad(gauss, pixel, pixel + 1, epsabs=1e-14)[0]

    rows, columns = ([share(i, c) for i in range(n)] for n, c in zip(shape, (y, x), strict=True))
    np.testing.assert_allclose(one_spot(y, x, sigma, shape, 1.0), np.outer(rows, columns), atol=1e-9)


def test_all_photons_arrive_and_their_centroid_is_the_position():
    image = one_spot(20.3, 22.8, 1.4, (41, 46), 1234.5)
    assert image.sum() == pytest.approx(1234.5, rel=1e-9)
    for axis, place in enumerate((20.3, 22.8)):  # pixel i covers [i, i + 1)
        profile = image.sum(axis=1 - axis)
        assert (profile * (np.arange(len(profile)) + 0.5)).sum() / image.sum() == pytest.approx(
            place, abs=1e-9
        )


def test_many_spots_are_the_sum_of_single_ones_each_in_its_frame():
    source, shape = rng(), (3, 20, 30)
    frame, number, sigma = source.integers(0, 3, 40), source.uniform(1, 9, 40), source.uniform(0.8, 2.0, 40)
    yx = source.uniform(-6, (26, 36), (40, 2))  # those beside the field shine in
    expected = np.zeros(shape)
    for t, (y, x), n, s in zip(frame, yx, number, sigma, strict=True):
        expected[t] += one_spot(y, x, s, shape[1:], n)
    np.testing.assert_allclose(spots(frame, yx, number, sigma, shape), expected, atol=1e-8)
    none = np.array([], int)
    assert not spots(none, np.empty((0, 2)), none, none, shape).any()


CAMERAS = {
    **{name: camera for name, camera in PRESETS.items() if name != "scmos"},
    "sCMOS with induced charge": Camera(gain=0.5, read_noise=2.0, quantum_efficiency=0.7, induced_charge=3.0),
    "8 bit": Camera(gain=2.0, read_noise=3.0, offset=50.0, bits=8),
}


@pytest.mark.parametrize("light", [15.0, 120.0])
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_mean_and_variance_of_a_pixel_are_the_closed_form(camera, light):
    n = 60_000
    counts = expose(np.full(n, light), rng(1), camera).astype(float)
    expected = float(variance(light, camera))
    assert abs(counts.mean() - mean(light, camera)) < 4.5 * np.sqrt(expected / n)
    spread_of_variance = np.sqrt((stats.kurtosis(counts) + 2) / n)  # relative, large n
    assert abs(counts.var(ddof=1) / expected - 1) < 4.5 * spread_of_variance
    assert photons(mean(light, camera), camera) == pytest.approx(light, rel=1e-5)


def test_multiplication_doubles_the_variance_of_the_light():
    quiet = replace(EMCCD, read_noise=0.0)
    plain = Camera(gain=EMCCD.gain / EMCCD.em_gain, read_noise=0.0)
    assert mean(50.0, quiet) == mean(50.0, plain)
    assert variance(50.0, quiet) - 1 / 12 == pytest.approx(2 * (variance(50.0, plain) - 1 / 12))


def test_each_pixel_of_an_scmos_camera_has_its_own_read_noise():
    noise = noise_map(rng(), (24, 30), median=1.0, rms=1.6)
    assert np.median(noise) == pytest.approx(1.0, rel=0.1)
    assert np.sqrt((noise**2).mean()) == pytest.approx(1.6, rel=0.25)
    camera = replace(SCMOS, read_noise=noise)
    counts = expose(np.full((2000, 24, 30), 3.0), rng(1), camera)
    ratio = counts.var(axis=0, ddof=1) / variance(np.full((24, 30), 3.0), camera)
    assert abs(ratio - 1).max() < 0.25
    dark = replace(FIXED, camera=camera)
    assert frames(rng(), dark, 2, (24, 30))[0].shape == (2, 24, 30)
    with pytest.raises(ConfigError, match="cut the map"):
        frames(rng(), dark, 2, (64, 64))


def test_counts_end_at_what_the_bits_hold():
    camera = Camera(gain=1.0, read_noise=1.0, offset=0.0, bits=8)
    assert expose(np.full(100, 1e4), rng(), camera).max() == 255
    assert expose(np.zeros(1000), rng(), camera).min() == 0


@pytest.mark.parametrize(
    "wrong",
    [{"gain": 0.0}, {"quantum_efficiency": 90.0}, {"em_gain": 0.0}, {"bits": 32}, {"read_noise": -1.0}],
)
def test_impossible_cameras_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(SCMOS, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"density": (3.0, 1.0)},
        {"photons": (0.0, 5.0)},
        {"background": (-1.0, 2.0)},
        {"pixel_nm": 0.0},
        {"on_frames": 0.5},
    ],
)
def test_impossible_simulations_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"set {next(iter(wrong))} to"):
        replace(FIXED, **wrong)


def test_the_same_seed_gives_the_same_frames_and_another_others():
    first, again, other = (frames(rng(seed), Simulation(), 6, (40, 50)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    for name in ("frame", "yx", "photons", "sigma"):
        np.testing.assert_array_equal(getattr(first[1], name), getattr(again[1], name))
    assert first[0].dtype == np.uint16
    assert (first[0] != other[0]).mean() > 0.5


@pytest.mark.parametrize("density", [0.3, 4.0])
@pytest.mark.parametrize("on_frames", [1.0, 4.0])
def test_emitters_are_as_dense_as_asked_from_the_first_frame_on(density, on_frames):
    plan = replace(FIXED, density=(density, density), on_frames=on_frames, pixel_nm=400.0)
    _, on = frames(rng(2), plan, 300, (32, 24))
    expected = density * 12.8 * 9.6
    each = np.bincount(on.frame, minlength=300)
    error = np.sqrt(expected * (2 * on_frames - 1) / 300)  # frames are alike over the on-time
    assert each.mean() == pytest.approx(expected, abs=4 * error)
    assert each[:3].mean() == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert (np.diff(on.frame) >= 0).all()
    assert ((on.yx >= 0) & (on.yx < (32, 24))).all()


def test_density_changes_from_frame_to_frame_over_its_range():
    _, on = frames(rng(), replace(FIXED, density=(1.0, 9.0), pixel_nm=400.0), 400, (16, 16))
    found = np.bincount(on.frame, minlength=400) / 6.4**2
    assert found.mean() == pytest.approx(5.0, abs=0.5)
    assert found.std() == pytest.approx(np.hypot(8 / np.sqrt(12), np.sqrt(5) / 6.4), rel=0.1)


def test_an_emitter_stays_on_for_a_geometric_number_of_frames():
    _, on = frames(rng(), replace(FIXED, density=(0.5, 0.5), on_frames=3.0, pixel_nm=400.0), 600, (16, 16))
    _, lasts = np.unique(on.photons, return_counts=True)  # its own number, the same in each frame
    assert lasts.mean() == pytest.approx(3.0, rel=0.08)
    assert (lasts == 1).mean() == pytest.approx(1 / 3, abs=0.04)
    brightest = on.photons == on.photons[0]
    assert len(np.unique(on.yx[brightest], axis=0)) == 1
    assert (np.diff(on.frame[brightest]) == 1).all()


def test_photons_and_widths_are_as_asked():
    def of(**changes):
        return frames(rng(), replace(FIXED, density=(8.0, 8.0), **changes), 60, (64, 64))[1]

    assert np.percentile(of().photons, (5, 95)) == pytest.approx((800, 3000), rel=0.04)
    exponential = of(brightness="exponential", photons=(200.0, 1500.0)).photons
    assert exponential.min() >= 200
    assert exponential.mean() == pytest.approx(1500, rel=0.04)
    assert np.ptp(of(brightness="uniform").photons) == pytest.approx(2200, rel=0.01)
    assert np.percentile(of(sigma_nm=(100.0, 160.0)).sigma, (0, 100)) == pytest.approx((1.0, 1.6), abs=0.01)
    wanted = lognormal(mean=1700.0, spread=1.3)
    made = of(photons=wanted).photons
    assert made.mean() == pytest.approx(1700, rel=0.04)
    assert (made**2).mean() / made.mean() ** 2 == pytest.approx(1.3, rel=0.04)


def test_structures_hold_the_emitters():
    line = np.stack([np.full(500, 20.5), np.linspace(5, 55, 500)], axis=1)
    movie, on = frames(rng(), FIXED, 60, (40, 60), line)
    assert (on.yx[:, 0] == 20.5).all()
    light = movie.mean(axis=0)
    assert light[20, 10:50].mean() > 3 * light[5, 10:50].mean()


@pytest.mark.parametrize("density", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("camera", [SCMOS, EMCCD], ids=["scmos", "emccd"])
def test_what_was_simulated_is_measured(camera, density):
    plan = replace(FIXED, camera=camera, density=(density, density))
    movie, on = frames(rng(5), plan, 100, (64, 64))
    found = measure(movie, camera, 100.0)
    error = 0.1 + 0.02 * density  # chance, and the background that is too high where spots overlap
    assert found.sigma_nm.value == pytest.approx(130, rel=0.03)
    assert found.photons.value == pytest.approx(on.photons.mean(), rel=error)
    assert found.density.value == pytest.approx(len(on) / 100 / 6.4**2, rel=error)
    assert found.field_density.value == pytest.approx(found.density.value, rel=0.1)
    assert found.spread.value == pytest.approx((on.photons**2).mean() / on.photons.mean() ** 2, abs=0.1)
    assert found.background.value == pytest.approx(20, abs=0.5 + 0.5 * density**1.5)
    for name in ("sigma_nm", "photons", "density", "spread", "background"):
        assert getattr(found, name).low <= getattr(found, name).value <= getattr(found, name).high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = []
    for seed in range(12):
        movie, _ = frames(rng(seed), replace(FIXED, density=(0.5, 0.5)), 30, (40, 40))
        found = measure(movie, SCMOS, 100.0).sigma_nm
        held.append(found.low <= 130 <= found.high)
    assert sum(held) >= 9


def test_what_changes_nothing_over_time_is_no_emitter_and_structures_are_crowded():
    line = np.stack([rng(1).uniform(28, 32, 5000), rng(2).uniform(0, 64, 5000)], axis=1)
    plan = replace(FIXED, density=(0.5, 0.5))
    movie, _ = frames(rng(), plan, 150, (64, 64), line)
    found = measure(movie, SCMOS, 100.0)
    assert found.field_density.value == pytest.approx(0.5, rel=0.15)
    assert 4 < found.density.value < 9  # 8 in a line of 4 pixels, which spots of 3 pixels make wider
    still = np.repeat(movie[:1], 30, axis=0)
    assert not measure(still, SCMOS, 100.0).blinks
    (match,) = gate(still, plan).matches
    assert not match.ok
    assert "Nothing blinks" in match.message
    assert propose(still, plan) == plan
    assert png(simulated_and_real(gate(still, plan))).startswith(b"\x89PNG")
    with pytest.raises(DataError, match="raw frames"):
        measure(movie[0], SCMOS, 100.0)


def test_uneven_and_fading_background_is_no_emitter(real):
    light = real + np.linspace(0, 40, 64)[:, None] + np.linspace(30, 0, len(real))[:, None, None]
    even, uneven = (measure(stack, SCMOS, 100.0) for stack in (real, np.rint(light).astype(np.uint16)))
    assert uneven.density.value == pytest.approx(even.density.value, rel=0.2)
    assert uneven.photons.value == pytest.approx(even.photons.value, rel=0.2)
    assert uneven.background.value == pytest.approx(20 + 10 + 7.5, abs=2)


@pytest.fixture(scope="module")
def real():
    return frames(rng(11), FIXED, 100, (64, 64))[0]


def test_a_simulation_matches_its_own_frames(real):
    passed = gate(real, FIXED)
    assert passed.ok, [match.message for match in passed.matches]
    assert passed.simulated.shape == passed.real.shape
    assert all(match.ratio == pytest.approx(1, abs=0.2) for match in passed.matches)
    assert gate(real, replace(FIXED, density=(0.2, 4.0), background=(5.0, 50.0))).ok
    assert png(simulated_and_real(passed)).startswith(b"\x89PNG")


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
@pytest.mark.parametrize("name", ["sigma_nm", "background", "photons", "density"])
def test_a_factor_of_one_and_a_half_is_warned_of_with_what_to_type(real, name, factor):
    low, high = getattr(FIXED, name)
    wrong = replace(FIXED, **{name: (low * factor, high * factor)})
    found = {match.quantity: match for match in gate(real, wrong).matches}
    assert not found[name].ok
    assert found[name].ratio == pytest.approx(1 / factor, rel=0.15)
    assert f"Set {name} = (" in found[name].message
    assert {key for key, match in found.items() if not match.ok} == {name}


def test_a_wrong_offset_is_named(real):
    wrong = replace(FIXED, camera=replace(SCMOS, offset=500.0))
    message = gate(real, wrong).matches[0].message
    assert "set camera_offset" in message


def test_a_proposal_holds_what_was_simulated_and_passes():
    plan = replace(FIXED, camera=EMCCD, density=(5.0, 5.0), photons=(1500.0, 2500.0))
    movie, on = frames(rng(7), plan, 60, (64, 64))
    proposed = propose(movie, Simulation(camera=EMCCD))
    assert proposed.density[0] * 4 == pytest.approx(5.0, rel=0.12)
    assert np.mean(proposed.background) == pytest.approx(20, abs=2)
    assert np.mean(proposed.sigma_nm) == pytest.approx(130, rel=0.04)
    assert np.sqrt(np.prod(proposed.photons)) == pytest.approx(np.median(on.photons), rel=0.1)
    assert proposed.camera == EMCCD
    assert gate(movie, proposed).ok


def test_of_large_stacks_the_part_that_blinks_is_looked_at():
    movie = rng().poisson(20, (16, 300, 600)).astype(np.uint16)
    movie[::8, 20:60, 480:520] += 500
    part = lively(movie)
    assert part.shape == (16, SIDE, SIDE)
    assert part.max() > 400

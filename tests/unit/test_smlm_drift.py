"""Drift put on simulated filaments, and found again."""

import numpy as np
import pytest
from scipy import fft

from zcdl_common.errors import DataError
from zcdl_common.samples.shapes import filaments
from zcdl_common.smlm import drift as drifting
from zcdl_common.smlm.drift import correct, estimate
from zcdl_common.smlm.localisations import Localisations
from zcdl_common.smlm.render import gaussian

SHAPE, FRAMES, PIXEL = (48, 64), 300, 100.0
"""Pixels of 100 nm."""


def movie(drift=None, n=20_000, error=0.15, seed=0):
    """Localisations along filaments with 15 nm of error; `drift` (frames, 2) in nanometres."""
    rng = np.random.default_rng(seed)
    along = filaments(rng, SHAPE, (0.1, 0.1), 8) * 10
    frame = np.sort(rng.integers(0, FRAMES, n))
    yx = along[rng.integers(len(along), size=n)] + rng.normal(0, error, (n, 2))
    return Localisations(frame, yx if drift is None else yx + drift[frame] / PIXEL)


def path(y, x):
    t = np.linspace(0, 1, FRAMES)
    return np.stack([y * t**1.5, x * np.sin(2.5 * t)], axis=1)


@pytest.mark.parametrize(("y", "x"), [(80, -60), (-40, 0), (300, 150)])
@pytest.mark.parametrize("blocks", [8, 12])
def test_a_known_drift_is_recovered_to_a_few_nanometres(y, x, blocks):
    truth = path(y, x)
    found = estimate(movie(truth), FRAMES, SHAPE, blocks=blocks) * PIXEL
    assert found.shape == (FRAMES, 2) and (found[0] == 0).all()
    assert np.sqrt(((found - truth) ** 2).mean()) < 3
    assert np.abs(found - truth).max() < 8


def test_without_drift_none_is_found():
    assert np.abs(estimate(movie(), FRAMES, SHAPE)).max() * PIXEL < 5


def test_blocks_are_drawn_as_gaussians():
    """Against each Gaussian drawn by itself, integrated over the pixels."""
    found = Localisations(np.zeros(400, int), np.random.default_rng(0).uniform(2, 30, (400, 2)))
    exact = gaussian(found, (32, 40), 10, drifting.BLUR / 10)
    drawn = fft.irfft2(drifting._spectrum(found.yx * 10, exact.shape), exact.shape)
    assert np.abs(drawn - (exact - exact.mean())).max() < 0.05 * exact.max()
    assert drawn.mean() == pytest.approx(0, abs=1e-9)


def test_a_grid_that_positions_favour_does_not_hold_the_drift():
    truth = path(80, -60)
    moved = movie(truth)
    centre = (np.floor(4 * moved.yx) + 0.5) / 4
    pulled = Localisations(moved.frame, (moved.yx + centre) / 2)
    assert np.sqrt(((estimate(pulled, FRAMES, SHAPE) * PIXEL - truth) ** 2).mean()) < 5


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_few_blocks_give_the_drift_too_up_to_the_last_frame(blocks):
    truth = np.linspace([0, 0], [80, -60], FRAMES)
    found = estimate(movie(truth), FRAMES, SHAPE, blocks=blocks) * PIXEL
    assert np.abs(found - truth).max() < 8


def test_correcting_gives_the_still_positions_back():
    truth = path(80, -60)
    still, moved = movie(), movie(truth)
    np.testing.assert_allclose(correct(moved, truth / PIXEL).yx, still.yx)
    gap = (correct(moved, estimate(moved, FRAMES, SHAPE)).yx - still.yx) * PIXEL
    assert np.sqrt((gap**2).mean()) < 5
    assert np.sqrt(((moved.yx - still.yx) ** 2).mean()) * PIXEL > 30


def test_coarser_images_give_the_same_drift(monkeypatch):
    truth = path(80, -60)
    monkeypatch.setattr(drifting, "LARGEST", 4**2 * SHAPE[0] * SHAPE[1])
    assert np.sqrt(((estimate(movie(truth), FRAMES, SHAPE) * PIXEL - truth) ** 2).mean()) < 5


def test_a_gross_error_of_one_shift_is_left_out(monkeypatch):
    truth = path(80, -60)
    real = drifting._shifts

    def faulty(*given):
        for number, shift in enumerate(real(*given)):
            yield shift + 40 if number == 7 else shift

    monkeypatch.setattr(drifting, "_shifts", faulty)
    assert np.sqrt(((estimate(movie(truth), FRAMES, SHAPE) * PIXEL - truth) ** 2).mean()) < 3


def test_shifts_by_chance_are_said_to_contradict_each_other():
    rng = np.random.default_rng(0)
    chance = Localisations(np.sort(rng.integers(0, FRAMES, 2000)), rng.uniform(0, 48, (2000, 2)))
    with pytest.raises(DataError, match="contradict"):
        estimate(chance, FRAMES, SHAPE)


def test_too_few_localisations_are_said():
    with pytest.raises(DataError, match="Take fewer blocks"):
        estimate(movie(n=300), FRAMES, SHAPE, blocks=10)
    with pytest.raises(DataError, match="at least 2"):
        estimate(movie(), FRAMES, SHAPE, blocks=1)

"""Images drawn from positions, and figures of them."""

import numpy as np
import pytest
from scipy.stats import norm

from zcdl_common.images import find_images
from zcdl_common.metrics.error_map import error_map
from zcdl_common.metrics.frc import curve
from zcdl_common.metrics.localisation import by_density
from zcdl_common.plots import localisation as plots
from zcdl_common.smlm.localisations import Localisations
from zcdl_common.smlm.render import gaussian, histogram, widefield, write_rendered

SHAPE = (20, 30)


def located(yx):
    yx = np.atleast_2d(np.asarray(yx, float))
    return Localisations(np.zeros(len(yx), int), yx)


def inner(rng, n=500):
    """Positions further from the rim than any Gaussian reaches."""
    return located(rng.uniform((6, 6), (14, 24), (n, 2)))


def test_pixel_i_covers_i_to_i_plus_1():
    image = histogram(
        located([[0.0, 0.0], [0.99, 0.24], [1.0, 0.25], [19.99, 29.99], [20.0, 1.0], [1.0, -0.01]]), SHAPE, 4
    )
    assert image.shape == (80, 120) and image.dtype == np.float32
    assert image.sum() == 4  # two lie beyond the image
    assert image[0, 0] == image[3, 0] == image[4, 1] == image[79, 119] == 1


def test_positions_in_one_pixel_all_count():
    assert histogram(located(np.full((100_000, 2), 3.3)), SHAPE, 1)[3, 3] == 100_000
    assert gaussian(located(np.full((3000, 2), 3.5)), SHAPE, 1, 0.01)[3, 3] == pytest.approx(3000, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.2, 1.0])
def test_no_count_is_lost(sigma):
    found = inner(np.random.default_rng(0))
    assert gaussian(found, SHAPE, 8, sigma).sum() == pytest.approx(len(found), rel=1e-5)


def test_uncertainties_of_every_size_are_drawn_and_no_count_is_lost():
    rng = np.random.default_rng(0)
    found, spread = inner(rng), np.concatenate([np.geomspace(1e-3, 1.2, 499), [1.2]])
    whole = gaussian(found, SHAPE, 5, spread)
    assert whole.sum() == pytest.approx(len(found), rel=1e-5)
    each = sum(gaussian(found.select(slice(i, i + 1)), SHAPE, 5, spread[i]) for i in range(len(found)))
    np.testing.assert_allclose(whole, each, atol=2e-4)


def test_small_chunks_change_nothing(monkeypatch):
    from zcdl_common.smlm import render

    rng = np.random.default_rng(0)
    found, spread = inner(rng), rng.uniform(0.01, 1, 500)
    whole = gaussian(found, SHAPE, 3, spread)
    monkeypatch.setattr(render, "AT_ONCE", 1000)
    np.testing.assert_allclose(gaussian(found, SHAPE, 3, spread), whole, atol=1e-5)


def test_a_gaussian_is_integrated_over_the_pixels():
    image = gaussian(located([9.87, 15.21]), SHAPE, 3, 0.7)
    y, x = (
        np.diff(norm.cdf(np.arange(3 * n + 1) / 3, at, 0.7))
        for n, at in zip(SHAPE, (9.87, 15.21), strict=True)
    )
    np.testing.assert_allclose(image, np.outer(y, x), atol=2e-5)


def test_a_position_between_pixels_keeps_its_centre_of_mass():
    image = gaussian(located([9.87, 15.21]), SHAPE, 4, 0.5)
    centres = [(image.sum(1 - axis) * (np.arange(image.shape[axis]) + 0.5)).sum() / 4 for axis in (0, 1)]
    assert centres == pytest.approx([9.87, 15.21], abs=1e-3)


def test_light_beyond_the_rim_is_lost_and_wraps_nowhere():
    image = gaussian(located([0.0, 15.0]), SHAPE, 4, 0.5)
    assert image.sum() == pytest.approx(0.5, abs=1e-3)
    assert not image[40:].any()


def test_an_image_of_nothing_is_dark():
    nothing = located(np.zeros((0, 2)))
    assert not histogram(nothing, SHAPE, 2).any() and not gaussian(nothing, SHAPE, 2, 0.5).any()


def test_the_widefield_image_is_the_mean_of_the_frames():
    frames = np.random.default_rng(0).integers(0, 65536, (7, 4, 5), dtype=np.uint16)
    np.testing.assert_allclose(widefield(iter(frames)), frames.mean(axis=0), rtol=1e-6)
    assert widefield(frames).dtype == np.float32


def test_a_rendered_image_keeps_its_own_pixel_size(tmp_path):
    image = histogram(inner(np.random.default_rng(0)), SHAPE, 8)
    path = write_rendered(tmp_path / "rendered.tif", image, (0.16, 0.16), 8)
    (file,) = find_images(str(path), "source")
    assert path.name == "rendered.ome.tif" and file.info().pixel_size == pytest.approx((0.02, 0.02))
    np.testing.assert_array_equal(np.asarray(file.read()).squeeze(), image)


def test_scale_bars_are_those_of_the_camera_pixels_in_every_panel():
    rng = np.random.default_rng(0)
    fine = gaussian(inner(rng), SHAPE, 8, 0.1)
    figure = plots.superresolved(rng.random(SHAPE), {"one": fine, "two": fine}, (0.1, 0.1), 8)
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 30)] * 3
    assert [axes.get_ylim() for axes in figure.axes] == [(20, 0)] * 3
    bars = [artist for axes in figure.axes for artist in axes.artists]
    assert len(bars) == 3 and {bar.txt_label.get_text() for bar in bars} == {"500 nm"}


def test_points_are_drawn_where_they_are():
    figure = plots.points(
        [("frame 1", np.random.default_rng(0).random(SHAPE), np.array([[3.5, 20.5]]), None)], (0.1, 0.1)
    )
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[20.5, 3.5]]


def test_figures_say_their_numbers():
    rng = np.random.default_rng(0)
    found = inner(rng)
    fine = gaussian(found, SHAPE, 8, 0.1)
    seen = gaussian(found, SHAPE, 1, 1.3)
    errors = plots.errors(seen, error_map(seen, fine), (0.1, 0.1))
    assert errors.axes[1].get_xlabel().endswith("1.30 pixels") or "1.3" in errors.axes[1].get_xlabel()
    signal = rng.normal(0, 1, (64, 64))
    halves = plots.correlation_curve(curve(signal, signal, 10.0))
    assert "every frequency" in halves.axes[0].get_title("left")
    drift = plots.drift_curve(np.array([[0.0, 0.0], [0.5, -0.2]]), (0.1, 0.1))
    assert [line.get_ydata().tolist() for line in drift.axes[0].lines] == [[0, 50], [0, -20]]
    rows = by_density(found, found, (0.1, 0.1))
    density = plots.density_curves({"network": rows})
    assert len(density.axes[0].lines[0].get_xdata()) == len(rows)
    assert density.axes[0].get_xticklabels()[-1].get_text().endswith("or more")

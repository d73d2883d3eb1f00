"""The files of localisations: tables, images, drift, and what judges them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import localised
from zcdl_common.errors import DataError
from zcdl_common.images import find_images
from zcdl_common.metrics import frc
from zcdl_common.samples.shapes import filaments
from zcdl_common.smlm import psf, steadiness, tables
from zcdl_common.smlm.drift import estimate
from zcdl_common.smlm.localisations import Localisations, of_frames
from zcdl_common.task import Facts, Prediction

PIXEL, SHAPE, FRAMES = (0.1, 0.1), (40, 48), 60
FACTS = Facts(2, ("c",), (SHAPE,), "uint16", pixel_size=PIXEL)
IMAGES = ["_error_map.png", "_error_map.tif", "_rendered.ome.tif", "_superresolved.png", "_widefield.ome.tif"]
STILL = ["_localisations.csv", "_quality.csv", *IMAGES]


def molecules(n=4000, drift=None, seed=0, frames=FRAMES):
    """Positions YX of each frame along filaments with 15 nm of error; `drift` (frames, 2) in pixels."""
    rng = np.random.default_rng(seed)
    along = filaments(rng, SHAPE, PIXEL, 6) / PIXEL
    frame = rng.integers(0, frames, n)
    yx = along[rng.integers(len(along), size=n)] + rng.normal(0, 0.15, (n, 2))
    yx = yx if drift is None else yx + drift[frame]
    return [yx[frame == t].astype(np.float32) for t in range(frames)]


def lit(points):
    """Frames YXC in which these molecules shine, one by one."""
    for yx in points:
        light = psf.spots(
            np.zeros(len(yx), int),
            yx.astype(float),
            np.full(len(yx), 1000.0),
            np.full(len(yx), 1.3),
            (1, *SHAPE),
        )
        yield light[0, ..., None] + 20.0


def said(points, **extra):
    sure = {"scores": lambda yx: np.full(len(yx), 0.9, np.float32), **extra}
    return [Prediction(yx, {name: make(yx) for name, make in sure.items()}) for yx in points]


def path(y, x, frames=FRAMES):
    """Drift that goes to (y, x) pixels, slower and slower along x."""
    t = np.linspace(0, 1, frames)
    return np.stack([y * t, x * np.sin(1.5 * t)], axis=1)


def names(paths, stem="m"):
    return sorted(p.name.removeprefix(stem) for p in paths)


# -- files -----------------------------------------------------------------------------------------


def test_a_still_movie_becomes_a_table_images_and_their_quality(tmp_path):
    points = molecules()
    frames = (frame for frame in lit(points))  # read once, one by one
    paths, note = localised.files(said(points), frames, FACTS, PIXEL, tmp_path, "m")
    assert names(paths) == sorted(STILL) and all(p.is_file() for p in paths) and "no drift" in note
    assert len(list(tmp_path.iterdir())) == len(paths)
    back = tables.read(tmp_path / "m_localisations.csv", PIXEL)
    true = of_frames(points)
    np.testing.assert_array_equal(back.frame, true.frame)
    np.testing.assert_allclose(back.yx, true.yx, atol=1e-4)
    row = pd.read_csv(tmp_path / "m_quality.csv").iloc[0]
    assert row["molecules"] == 4000 and row["frames"] == FRAMES and row["drift_corrected_nm"] == 0
    assert row["density_per_um2_and_frame"] == pytest.approx(4000 / FRAMES / 19.2)
    assert row["rsp"] > 0.98 and 20 < row["frc_nm"] < 100 and pd.isna(row["frc_note"])


def test_images_lie_upon_each_other_and_know_their_pixel_size(tmp_path):
    points = molecules()
    localised.files(said(points), lit(points), FACTS, PIXEL, tmp_path, "m")
    rendered, widefield = (tifffile.imread(tmp_path / f"m_{n}.ome.tif") for n in ("rendered", "widefield"))
    assert rendered.shape == (320, 384) and widefield.shape == SHAPE
    inside = sum(((p >= 0) & (p < SHAPE)).all(axis=1).sum() for p in points)
    assert rendered.sum() == inside
    np.testing.assert_allclose(widefield, np.mean(list(lit(points)), axis=0)[..., 0], rtol=1e-5)

    def likeness(image):
        blurred = ndimage.gaussian_filter(image, 1.3 * 8, mode="constant")
        return np.corrcoef(blurred.reshape(40, 8, 48, 8).sum((1, 3)).ravel(), widefield.ravel())[0, 1]

    shifted = [likeness(np.roll(rendered, by, axis)) for by in (4, -4) for axis in (0, 1)]
    assert likeness(rendered) > 0.999 and max(shifted) < 0.99
    for name, size in (("rendered", 0.0125), ("widefield", 0.1), ("error_map", 0.1)):
        (ref,) = find_images(str(next(tmp_path.glob(f"m_{name}*.tif"))), "source")
        assert ref.info().pixel_size == pytest.approx((size, size))


def test_a_drift_is_taken_off_and_images_are_of_what_is_left(tmp_path):
    drift, still = path(1.5, -1.0), molecules()
    moved = molecules(drift=drift)
    paths, note = localised.files(said(moved), lit(moved), FACTS, PIXEL, tmp_path, "m")
    assert names(paths) == sorted([*STILL, "_drift.csv", "_localisations_drift_corrected.csv"])
    assert "corrected" in note
    table = pd.read_csv(tmp_path / "m_drift.csv")
    assert table["frame"].tolist() == list(range(1, FRAMES + 1))
    np.testing.assert_allclose(table[["y [nm]", "x [nm]"]], 100 * drift, atol=12)
    as_found, corrected = (
        tables.read(tmp_path / f"m_localisations{name}.csv", PIXEL).yx for name in ("", "_drift_corrected")
    )
    np.testing.assert_allclose(as_found, np.concatenate(moved), atol=1e-4)
    assert np.sqrt(((corrected - np.concatenate(still)) ** 2).mean()) < 0.1
    row = pd.read_csv(tmp_path / "m_quality.csv").iloc[0]
    assert row["drift_corrected_nm"] == pytest.approx(100 * np.hypot(1.5, np.sin(1.5)), abs=15)
    assert row["rsp"] > 0.98, "the mean of the frames has the drift, and is compared with what has it too"


def test_uncertainties_are_drawn_where_they_are_known(tmp_path):
    points = molecules()
    known = said(points, uncertainty=lambda yx: np.full(len(yx), 0.2, np.float32))
    paths, _ = localised.files(known, lit(points), FACTS, PIXEL, tmp_path, "m")
    assert "_rendered_gaussian.ome.tif" in names(paths)
    smooth, counts = (tifffile.imread(tmp_path / f"m_rendered{n}.ome.tif") for n in ("_gaussian", ""))
    assert smooth.sum() == pytest.approx(counts.sum(), rel=0.02) and smooth.max() < counts.max()
    assert "uncertainty_xy [nm]" in pd.read_csv(tmp_path / "m_localisations.csv")


def test_a_single_frame_becomes_a_table_and_a_picture(tmp_path):
    points = molecules(n=60, frames=1)
    paths, note = localised.files(said(points), lit(points), FACTS, PIXEL, tmp_path, "m")
    assert names(paths) == ["_localisations.csv", "_localisations.png"] and "single frame" in note
    lazy = SimpleNamespace(shape=(*SHAPE, 1))
    paths, note = localised.files(said(points), iter([lazy]), FACTS, PIXEL, tmp_path, "m")
    assert names(paths) == ["_localisations.csv"] and "too large" in note


def test_a_table_says_what_its_resolution_cannot_tell(tmp_path):
    points = [(np.floor(4 * p) + 0.5) / 4 for p in molecules()]
    localised.files(said(points), lit(points), FACTS, PIXEL, tmp_path, "m")
    row = pd.read_csv(tmp_path / "m_quality.csv").iloc[0]
    assert 20 < row["frc_nm"] < 100 and "pixels of 25 nm" in row["frc_note"]
    one, other = np.random.default_rng(0).normal(0, 1, (2, 128, 128))
    assert "nowhere" in localised.about_resolution(frc.curve(one, other, 10))
    assert "finest" in localised.about_resolution(frc.curve(one, one, 10))


def test_an_empty_movie_is_written_too(tmp_path):
    points = [np.zeros((0, 2), np.float32)] * 30
    paths, note = localised.files(said(points), lit(points), FACTS, PIXEL, tmp_path, "m")
    assert "drift could not be told" in note and "_error_map.tif" not in names(paths)
    row = pd.read_csv(tmp_path / "m_quality.csv").iloc[0]
    assert row["molecules"] == 0 and "halves" in row["frc_note"] and pd.isna(row["rsp"])
    assert "constant" in row["error_map_why_none"]


def test_without_a_pixel_size_what_to_set_is_said(tmp_path):
    points = molecules(n=60, frames=1)
    with pytest.raises(DataError, match="Set pixel_size"):
        localised.files(said(points), lit(points), FACTS, None, tmp_path, "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("pixel", "fine"), [(0.1, 12.5), (0.16, 12.3), (0.107, 11.9), (0.03, 10)])
def test_fine_pixels_measure_about_ten_nanometres(pixel, fine):
    m = localised.magnification((256, 256), (pixel, pixel))
    assert 1000 * pixel / m == pytest.approx(fine, abs=0.1)


def test_huge_fields_are_drawn_coarser():
    shape = (2304, 2304)
    m = localised.magnification(shape, PIXEL)
    assert 1 < m < 8 and np.prod(shape) * m**2 <= localised.LARGEST
    assert localised.magnification((20_000, 20_000), PIXEL) == 1
    with pytest.raises(DataError, match="too large"):
        localised._agreement(of_frames([]), 100, shape, PIXEL)


# -- drift or chance -------------------------------------------------------------------------------


def judged(points):
    found = of_frames(points)
    drift = estimate(found, len(points), SHAPE)
    return drift, steadiness.by_chance(found, drift, SHAPE)


@pytest.mark.parametrize("seed", range(3))
def test_no_drift_is_seen_where_there_is_none(seed):
    drift, chance = judged(molecules(n=2500, seed=seed))
    assert not steadiness.is_real(drift, chance) and chance > 0


@pytest.mark.parametrize("seed", range(2))
def test_a_drift_of_four_times_the_chance_is_seen(seed):
    true = path(0.5, 0.3)
    drift, chance = judged(molecules(n=2500, drift=true, seed=seed))
    assert steadiness.size(true) > 4 * chance and steadiness.is_real(drift, chance)
    assert steadiness.size(drift) == pytest.approx(steadiness.size(true), rel=0.25)


def test_blinks_that_last_for_frames_make_no_drift():
    rng = np.random.default_rng(0)
    along = filaments(rng, SHAPE, PIXEL, 6) / PIXEL
    yx = along[rng.integers(len(along), size=600)]
    first = rng.integers(0, 200, 600)
    points = [yx[(first <= t) & (t < first + 6)] for t in range(200)]
    drift, chance = judged([p + rng.normal(0, 0.1, p.shape) for p in points])
    assert not steadiness.is_real(drift, chance)


def test_size_is_that_of_the_path_whatever_its_beginning():
    drift = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert steadiness.size(drift) == steadiness.size(drift + 7) == 2.5
    assert not steadiness.is_real(drift / 100, 0.0), "less than a twentieth of a pixel does not matter"


def test_random_molecules_have_no_drift_that_could_be_told():
    rng = np.random.default_rng(0)
    found = Localisations(np.sort(rng.integers(0, 50, 2000)), rng.uniform(0, 40, (2000, 2)))
    steady = localised.steadied(found, 50, SHAPE, PIXEL)
    assert steady.found is found and steady.drift is None


# -- figures ---------------------------------------------------------------------------------------


def drawn(truths, network, classical):
    return localised.figures(
        truths, network, FACTS, {}, classical=classical, groups=[str(n) for n in range(len(truths))]
    )


def test_figures_show_both_methods_and_a_shift_of_half_a_pixel():
    truths = molecules(n=600, frames=12)
    shifted = said([t + np.float32([0.5, 0]) for t in truths])
    made = drawn(truths, shifted, said(truths))
    assert set(made) == {"by_density", "by_radius", "position_errors"}
    network, classical = made["position_errors"].axes
    assert network.lines[-1].get_xydata() == pytest.approx(np.array([[0, 50]]), abs=8)
    assert classical.lines[-1].get_xydata() == pytest.approx(np.array([[0, 0]]), abs=1e-3)
    assert "y +" in network.get_title("left")
    lines = {line.get_label(): line.get_ydata() for line in made["by_radius"].axes[0].lines}
    assert set(lines) == {"network", "classical", "by chance"}
    assert min(lines["classical"]) == 1 and max(lines["network"][:1]) < 0.3 < 0.9 < lines["network"][2]
    assert np.all(np.diff(lines["by chance"]) >= 0) and lines["by chance"][0] < 0.2
    assert [len(axes.lines) for axes in made["by_density"].axes] == [2] * 4


def test_figures_are_drawn_of_frames_with_nothing_and_left_out_without_truth():
    none = [np.zeros((0, 2), np.float32)] * 3
    assert len(drawn(none, said(none), said(none))) == 3
    truths = molecules(n=30, frames=3)
    assert len(drawn(truths, said(none), said(truths))) == 3
    assert drawn([None] * 3, said(truths), said(truths)) == {}
    one = drawn([None, None, truths[0]], said(truths[:3]), said(truths[:3]))
    assert len(one["by_radius"].axes[0].lines) == 2, "a single frame says nothing of chance"


# -- real frames -----------------------------------------------------------------------------------


def test_true_positions_of_real_frames_explain_their_mean(real_data: Path, tmp_path):
    folder = real_data / "deepstorm" / "bundled_tubes_hd_sim"
    frames = tifffile.imread(folder / "frames.tif")
    truth = tables.read(folder / "ground_truth.csv", PIXEL)
    points = [truth.yx[truth.frame == t].astype(np.float32) for t in range(len(frames))]
    facts = replace(FACTS, shapes=((64, 64),))
    _, note = localised.files(said(points), (f[..., None] for f in frames), facts, PIXEL, tmp_path, "m")
    row = pd.read_csv(tmp_path / "m_quality.csv").iloc[0]
    assert row["rsp"] > 0.999 and row["frc_nm"] < 25 and "no drift" in note

"""Simulated samples: the same seed gives the same files, and the physics is what the docstrings say."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import datasets
from zcdl_common.samples import detect, instances, localise, optics, restore, segment, shapes, translate
from zcdl_common.samples.layout import STRICT
from zcdl_common.samples.simulate import Simulation, simulate
from zcdl_common.smlm.psf import spots

SIMULATED = {name: e for name, e in datasets.entries().items() if e.kind == "simulated"}


def rng(seed=0):
    return np.random.default_rng(seed)


def small(plan, seed=None):
    """The same plan with one small image a role."""
    keep = {key: getattr(plan, key) for key in ("make", "pairs", "arguments", "test_arguments")}
    shape = tuple(min(size, most) for size, most in zip(plan.shape[::-1], (80, 80, 8), strict=False))[::-1]
    return Simulation(**keep, shape=shape, seed=plan.seed if seed is None else seed, images=1, test_images=1)


def digests(folder):
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("name", SIMULATED)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, name):
    entry = SIMULATED[name]
    plans = {"a": small(entry.simulation), "b": small(entry.simulation), "c": small(entry.simulation, 999)}
    for folder, plan in plans.items():
        simulate(plan, tmp_path / folder, entry.axes, entry.pixel_size)
    first, again, other = (digests(tmp_path / folder) for folder in "abc")
    assert first == again
    assert first.keys() == other.keys()
    images = [key for key in first if key.endswith(".tif")]
    assert all(first[key] != other[key] for key in images)
    assert len({first[key] for key in images}) == len(images)


@pytest.mark.parametrize("name", SIMULATED)
def test_files_carry_axes_and_pixel_size_and_belong_together(tmp_path, name):
    entry = SIMULATED[name]
    plan = small(entry.simulation)
    simulate(plan, tmp_path, entry.axes, entry.pixel_size)
    for path in tmp_path.glob("*source/*.tif"):
        with tifffile.TiffFile(path) as tif:
            assert tif.series[0].axes == entry.axes
            assert tif.series[0].shape == plan.shape
            assert tif.series[0].dtype == np.uint16
            numerator, denominator = tif.pages[0].tags["XResolution"].value
            assert denominator / numerator == pytest.approx(entry.pixel_size[-1], rel=1e-4)
            if "Z" in entry.axes:
                assert tif.imagej_metadata["spacing"] == entry.pixel_size[0]
            assert tif.asarray().std() > 0
    for role in ("", "test_"):
        sources = {p.stem for p in (tmp_path / f"{role}source").iterdir()}
        target = tmp_path / f"{role}target"
        targets = {p.stem for p in target.iterdir()} if target.exists() else set()
        if role == "test_" or entry.simulation.pairs == "both":
            assert sources == targets
        else:
            assert not sources & targets
            assert bool(targets) == (entry.simulation.pairs == "unpaired")


def test_adding_images_leaves_the_others_as_they_are(tmp_path):
    plan = SIMULATED["sim_instances_2d"].simulation
    more = Simulation(make=plan.make, shape=(80, 80), seed=plan.seed, images=2, test_images=1)
    simulate(small(plan), tmp_path / "a", "YX", (0.3, 0.3))
    simulate(more, tmp_path / "b", "YX", (0.3, 0.3))
    assert digests(tmp_path / "a").items() < digests(tmp_path / "b").items()


def test_a_simulation_is_checked_strictly():
    assert STRICT["extra"] == "forbid"
    with pytest.raises(ValueError, match="imagse"):
        Simulation(make="a:b", shape=(1,), seed=0, imagse=1, test_images=1)


def test_the_spread_of_the_microscope_is_that_of_the_paper():
    axial, lateral = optics.psf_sigma(wavelength=0.52, aperture=1.2, index=1.33)
    assert lateral == pytest.approx(0.225 * 0.52 / 1.2, rel=2e-3)
    assert axial == pytest.approx(0.78 * 1.33 * 0.52 / 1.2**2, rel=1e-2)


def test_blur_spreads_a_point_by_the_stated_micrometres_and_keeps_the_light():
    pixel_size = (0.1, 0.05, 0.02)
    point = np.zeros((41, 41, 101))
    point[20, 20, 50] = 1.0
    image = optics.blur(point, pixel_size)
    assert image.sum() == pytest.approx(1.0)
    axial, lateral = optics.psf_sigma()
    for axis, sigma in enumerate((axial, lateral, lateral)):
        profile = image.sum(axis=tuple({0, 1, 2} - {axis}))
        place = (np.arange(len(profile)) - len(profile) // 2) * pixel_size[axis]
        assert np.sqrt((profile * place**2).sum()) == pytest.approx(sigma, rel=0.05)


def test_the_scmos_camera_has_poisson_and_read_noise():
    counts = optics.scmos(np.full(400_000, 20.0), rng(), read_noise=3.0, gain=2.0)
    assert counts.mean() == pytest.approx(100 + 2 * 20, abs=0.05)
    assert counts.var() == pytest.approx(4 * (20 + 9) + 1 / 12, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "pixel_size"),
    [((150, 130), (0.3, 0.3)), ((20, 60, 70), (1.0, 0.35, 0.35)), ((64, 64), (0.2, 0.4))],
)
def test_cells_are_whole_numbered_and_as_large_as_asked(shape, pixel_size):
    labels = shapes.cells(rng(), shape, pixel_size, 12, 4.0)
    count = int(labels.max())
    assert 3 <= count <= 12
    assert set(np.unique(labels)) == set(range(count + 1))
    for index in range(1, count + 1):
        assert ndimage.label(labels == index)[1] == 1
    inner = labels.copy()  # those that no border cuts
    for axis in range(labels.ndim):
        for edge in (0, -1):
            inner[np.isin(inner, np.unique(labels.take(edge, axis=axis)))] = 0
    sizes = np.bincount(inner.ravel())[1:] * np.prod(pixel_size)
    full = {2: np.pi * 16, 3: 4 / 3 * np.pi * 64}[len(shape)]
    if (sizes > 0).any():
        assert 0.3 * full < sizes[sizes > 0].mean() < 1.5 * full


def test_filaments_forget_their_direction_over_the_persistence_length():
    step, count = 0.02, 400
    field = (400, 400)
    points = shapes.filaments(rng(), field, (0.1, 0.1), count, persistence=2.0)
    assert (points >= 0).all()
    assert (points < 40).all()
    chain = shapes.filaments(rng(1), (4000, 4000), (0.1, 0.1), 1, persistence=2.0)
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    assert np.median(steps) == pytest.approx(step)
    heading = np.diff(chain, axis=0) / step
    far = int(2.0 / step)
    correlation = (heading[:-far] * heading[far:]).sum(axis=1).mean()
    assert correlation == pytest.approx(np.exp(-0.5), abs=0.15)


def test_density_counts_points_in_half_open_pixels():
    points = np.array([[0.0, 0.0], [0.49, 0.99], [0.5, 0.0], [0.999, 1.999]])
    np.testing.assert_array_equal(shapes.density(points, (2, 2), (0.5, 1.0)), [[2, 0], [1, 1]])


@pytest.mark.parametrize(
    ("shape", "pixel_size"), [((192, 192), (0.25, 0.25)), ((20, 96, 96), (1.0, 0.3, 0.3))]
)
def test_segmentation_has_three_classes_that_one_threshold_cannot_tell_apart(shape, pixel_size):
    source, target = segment.cells_with_nuclei(rng(), shape, pixel_size)
    share = np.bincount(target.ravel(), minlength=3) / target.size
    assert set(np.unique(target)) == {0, 1, 2}
    assert share.min() > 0.02
    cytoplasm, nucleus = (np.percentile(source[target == value], (10, 50, 90)) for value in (1, 2))
    assert cytoplasm[2] > nucleus[1] > cytoplasm[0]
    assert np.median(source[target == 0]) < cytoplasm[1]
    touching = ndimage.binary_dilation(target == 2) & (target == 0)
    border = np.zeros(shape, bool)
    assert (touching & ~border).mean() < 0.002  # a nucleus lies inside its cell


@pytest.mark.parametrize(
    ("shape", "pixel_size"), [((192, 192), (0.3, 0.3)), ((20, 96, 96), (1.0, 0.35, 0.35))]
)
def test_nuclei_touch_and_shine(shape, pixel_size):
    source, target = instances.nuclei(rng(2), shape, pixel_size)
    assert target.max() > 10
    pieces = ndimage.label(target > 0)[1]
    assert pieces < target.max()
    assert source[target > 0].mean() > 2 * source[target == 0].mean() - 100


@pytest.mark.parametrize(("shape", "pixel_size"), [((192, 192), (0.1, 0.1)), ((16, 96, 96), (0.3, 0.1, 0.1))])
def test_the_clean_image_is_the_expectation_of_the_noisy_one(shape, pixel_size):
    source, target = restore.noisy_filaments(rng(), shape, pixel_size)
    error = source - target
    photons = (target - optics.OFFSET) / restore.GAIN
    assert abs(error.mean()) < 0.1
    expected = restore.GAIN**2 * (photons + 1.6**2) + 1 / 12
    for low, high in ((0, 50), (50, 90), (90, 100)):
        chosen = (photons >= np.percentile(photons, low)) & (photons <= np.percentile(photons, high))
        assert error[chosen].var() == pytest.approx(expected[chosen].mean(), rel=0.08)
    neighbours = np.corrcoef(error[..., :-1].ravel(), error[..., 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.03


@pytest.mark.parametrize("structure", ["random", "filaments"])
def test_positions_lie_where_the_light_is(structure):
    movie, truth = localise.blinking(rng(), (40, 64, 64), (0.1, 0.1), density=0.5, structure=structure)
    assert truth.frame.min() >= 0
    assert truth.frame.max() < 40
    assert ((truth.yx >= 0) & (truth.yx < 64)).all()
    assert len(truth) == pytest.approx(0.5 * 6.4**2 * 40, rel=0.1)
    assert truth.photons.mean() == pytest.approx(1500, rel=0.1)
    pixel = np.floor(truth.yx).astype(int)
    lit = movie[truth.frame, pixel[:, 0], pixel[:, 1]].astype(float)
    assert np.median(lit) > np.percentile(movie, 90)
    rendered = spots(truth.frame, truth.yx, truth.photons, truth.sigma, movie.shape)
    assert np.corrcoef(rendered.ravel(), movie.ravel())[0, 1] > 0.95


def test_positions_are_written_as_thunderstorm_does(tmp_path):
    entry = SIMULATED["sim_localise"]
    simulate(small(entry.simulation), tmp_path, entry.axes, entry.pixel_size)
    with (tmp_path / "target" / "00.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["id", "frame", "x [nm]", "y [nm]", "sigma [nm]", "intensity [photon]"]
    movie = tifffile.imread(tmp_path / "source" / "00.tif")
    bright = max(rows, key=lambda row: float(row["intensity [photon]"]))
    frame = movie[int(bright["frame"]) - 1]
    y, x = (int(float(bright[f"{axis} [nm]"]) / 100) for axis in "yx")
    assert frame[y, x] > np.percentile(frame, 95)


def test_bright_field_equals_fresnel_propagation_of_a_weak_phase():
    n, size, z = 128, 0.1, 2.0
    phase = 0.01 * shapes.texture(rng(), (n, n), (size, size), 2.0)
    image = translate.brightfield(phase[None], np.array([[z]]), (size, size), cutoff=1e9)
    q2 = np.add.outer(np.fft.fftfreq(n, size) ** 2, np.fft.fftfreq(n, size) ** 2)
    field = np.fft.ifft2(
        np.fft.fft2(np.exp(1j * phase)) * np.exp(-1j * np.pi * translate.WAVELENGTH * z * q2)
    )
    inside = (slice(40, -40),) * 2  # away from the borders, which are continued differently
    np.testing.assert_allclose(image[0][inside] - 1, np.abs(field[inside]) ** 2 - 1, atol=1e-3)
    assert np.ptp(image) > 0.01


def test_a_weak_phase_is_invisible_in_focus_and_inverts_beyond():
    phase = 0.1 * shapes.texture(rng(), (1, 64, 64), (1.0, 0.2, 0.2), 2.0)
    before, focus, beyond = (
        translate.brightfield(phase, np.array([[z]]), (0.2, 0.2)) - 1 for z in (-0.5, 0.0, 0.5)
    )
    assert np.abs(focus).max() < 1e-9
    np.testing.assert_allclose(before, -beyond, atol=1e-9)
    assert np.abs(beyond).max() > 1e-3


@pytest.mark.parametrize(("shape", "pixel_size"), [((192, 192), (0.2, 0.2)), ((16, 96, 96), (0.8, 0.3, 0.3))])
def test_transmitted_light_stays_in_range_and_knows_the_nuclei(shape, pixel_size):
    light, nuclei = translate.brightfield_to_nuclei(rng(3), shape, pixel_size)
    assert light.max() < 60_000
    assert np.median(light) == pytest.approx(20_100, rel=0.02)
    stained = nuclei > 200
    assert 0.03 < stained.mean() < 0.6
    if light.ndim == 2:
        busy, where = ndimage.gaussian_gradient_magnitude(light.astype(float), 2), stained
    else:  # light crosses all planes: a column with a nucleus changes through focus
        busy, where = light.std(axis=0), stained.any(axis=0)
    assert busy[where].mean() > 1.2 * busy[~where].mean()


def test_boxes_enclose_the_cells():
    for seed in range(5):
        source, truth = detect.mixed_cells(rng(seed), (192, 192), (0.12, 0.12))
        assert len(truth.classes) == len(truth.yxyx) > 3
        assert set(truth.classes) <= set(detect.CLASSES)
        y0, x0, y1, x1 = truth.yxyx.T
        assert (y0 >= 0).all() and (x0 >= 0).all() and (y1 <= 192).all() and (x1 <= 192).all()
        outside = np.ones((192, 192), bool)
        for top, left, bottom, right in truth.yxyx.astype(int):
            outside[top:bottom, left:right] = False
            assert source[top:bottom, left:right].max() > 130
        assert np.percentile(source[ndimage.binary_erosion(outside, iterations=4)], 99.9) < 150


def test_shapes_differ_as_their_classes_say():
    longest = {name: [] for name in detect.CLASSES}
    for seed in range(8):
        _, truth = detect.mixed_cells(rng(seed), (192, 192), (0.12, 0.12))
        for name, (y0, x0, y1, x1) in zip(truth.classes, truth.yxyx, strict=True):
            if min(y0, x0) > 0 and max(y1, x1) < 192:
                longest[name].append(max(y1 - y0, x1 - x0) * 0.12)
    assert all(abs(length - 1.8) < 0.2 for length in longest["round"])
    assert np.mean(longest["rod"]) > np.mean(longest["dividing"]) > 2.4


def test_boxes_are_written_one_file_an_image(tmp_path):
    entry = SIMULATED["sim_detect"]
    simulate(small(entry.simulation), tmp_path, entry.axes, entry.pixel_size)
    rows = list(csv.DictReader((tmp_path / "target" / "00.csv").open(newline="")))
    assert list(rows[0]) == ["image", "class", "y0", "x0", "y1", "x1"]
    assert {row["image"] for row in rows} == {"00.tif"}
    assert Path(tmp_path / "source" / "00.tif").exists()

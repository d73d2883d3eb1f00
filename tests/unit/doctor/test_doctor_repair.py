"""Mended copies."""

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from zcdl_common.doctor import check, repair
from zcdl_common.doctor.repair import fill_missing, number_objects, two_values
from zcdl_common.fragments import one_piece_each
from zcdl_common.images import ImageRef
from zcdl_common.networks.tasks import DENOISE, INSTANCES, RESTORE, SEGMENT
from zcdl_common.samples.instances import nuclei
from zcdl_common.task import Sample


def with_copies(samples, folder):
    """The same samples, reading copies where the table names some."""
    table = folder / "repaired.csv"
    rows = csv.DictReader(table.open(encoding="utf-8", newline="")) if table.exists() else ()
    copies = {Path(row["file"]): folder / row["copy"] for row in rows}

    def copy(ref):
        return replace(ref, paths=tuple(copies.get(p, p) for p in ref.paths))

    return [Sample(s.name, s.group, copy(s.source), s.target and copy(s.target)) for s in samples]


def mend(folder, task, tmp_path):
    """Check, repair, and check the copies."""
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.path.rglob("*.tif")}
    report = check(folder.samples, task=task)
    lines = repair(folder.samples, report, tmp_path / "run" / "repaired")
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in before} == before
    mended = with_copies(folder.samples, tmp_path / "run" / "repaired")
    return report, lines, mended


def test_grey_is_made_of_equal_channels(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path / "data", n=4)
    image, labels = cells(9)
    rgb = np.repeat((image // 8).astype(np.uint8)[..., None], 3, axis=-1)
    folder.add("rgb.tif", rgb, (labels > 0).astype(np.uint8) * 255)
    _, lines, mended = mend(folder, SEGMENT, tmp_path)
    assert len(lines) == 1 and "grey from equal channels" in lines[0]
    assert np.array_equal(mended[-1].source.read(), rgb[..., :1])
    assert mended[:-1] == folder.samples[:-1]
    assert not {"grey-saved-as-colour", "different-channels"} & {
        f.code for f in check(mended, task=SEGMENT).findings
    }


def test_objects_of_a_binary_mask_get_numbers(tmp_path, new_folder):
    folder = new_folder(tmp_path / "data")
    _, lines, mended = mend(folder, INSTANCES, tmp_path)
    assert len(lines) == 6
    assert not check(mended, task=INSTANCES).errors
    expected = ndimage.label(folder.samples[0].target.read()[..., 0])[0]
    assert np.array_equal(mended[0].target.read()[..., 0], expected)


def test_one_colour_gets_one_number_in_all_masks(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path / "data", n=0)
    for i, colours in enumerate([((255, 0, 0), (0, 0, 255)), ((0, 0, 255), (0, 255, 0))]):
        image, labels = cells(i)
        mask = np.zeros((*labels.shape, 3), np.uint8)
        mask[labels % 2 == 1], mask[(labels > 0) & (labels % 2 == 0)] = colours
        folder.add(f"{i}.tif", image, mask)
    report, _, mended = mend(folder, SEGMENT, tmp_path)
    assert {f.code for f in report.errors} == {"mask-in-colours"}
    first, second = (s.target.read()[..., 0] for s in mended)
    colours = [s.target.read() for s in folder.samples]
    blue = [np.all(c == (0, 0, 255), axis=-1) for c in colours]
    assert len(set(first[blue[0]]) | set(second[blue[1]])) == 1
    assert set(np.unique(first)) | set(np.unique(second)) == {0, 1, 2, 3}
    assert not check(mended, task=SEGMENT).errors


def test_masks_coded_1_and_255_become_alike(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path / "data", n=3)
    image, labels = cells(9)
    folder.add("ones.tif", image, (labels > 0).astype(np.uint8))
    report, _, mended = mend(folder, SEGMENT, tmp_path)
    assert report.errors and not check(mended, task=SEGMENT).errors
    assert np.array_equal(mended[-1].target.read()[..., 0], (labels > 0) * 255)


def test_missing_values_are_filled_and_the_pixel_size_is_kept(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path / "data", n=0)
    image = cells(0)[0].astype(np.float32)
    image[10:13, 20:25] = np.nan
    sample = folder.add("a.tif", image, (cells(0)[1] > 0).astype(np.uint8) * 255)
    known = ImageRef(sample.source.paths, pixel_size=(0.3, 0.2))
    folder.samples[0] = type(sample)(sample.name, sample.group, known, sample.target)
    _, _, mended = mend(folder, SEGMENT, tmp_path)
    filled = mended[0].source.read()[..., 0]
    good = np.isfinite(image)
    assert np.isfinite(filled).all() and np.array_equal(filled[good], image[good])
    assert mended[0].source.info().pixel_size == pytest.approx((0.3, 0.2))


def test_volumes_keep_their_axes(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path / "data", n=0)
    image, labels = cells(0, (6, 48, 48))
    folder.add("a.tif", image, (labels > 0).astype(np.uint8) * 255, axes="ZYX")
    _, _, mended = mend(folder, INSTANCES, tmp_path)
    assert mended[0].target.info().axes == "ZYX"
    assert mended[0].target.read().shape == (6, 48, 48, 1)


def test_equal_names_in_training_and_test_get_copies_of_their_own(tmp_path, new_folder):
    train, test = new_folder(tmp_path / "train", n=2), new_folder(tmp_path / "test", n=2)
    report = check(train.samples, test=test.samples, task=INSTANCES)
    everything = train.samples + test.samples
    repair(everything, report, tmp_path / "repaired")
    mended = with_copies(everything, tmp_path / "repaired")
    assert len({s.target.path for s in mended}) == 4


def test_a_second_repair_keeps_the_first(tmp_path, new_folder):
    folder = new_folder(tmp_path / "data", n=2)
    where = tmp_path / "run" / "repaired"
    mend(folder, INSTANCES, tmp_path)
    image = folder.samples[0].source
    pixels = image.read()[..., 0].astype(np.float32)
    pixels[0, 0] = np.nan
    tifffile.imwrite(image.path, pixels, metadata={"axes": "YX"})
    again = with_copies(folder.samples, where)
    repair(again, check(again, task=INSTANCES), where)
    mended = with_copies(folder.samples, where)
    assert all(
        where in p.parents for p in (mended[0].source.path, mended[0].target.path, mended[1].target.path)
    )


def test_what_cannot_be_repaired_is_said_and_the_rest_is_done(tmp_path, new_folder):
    folder = new_folder(tmp_path / "data", n=3)
    report = check(folder.samples, task=INSTANCES)
    folder.samples[1].target.path.unlink()
    lines = repair(folder.samples, report, tmp_path / "repaired")
    assert len(lines) == 3 and "could not be repaired" in lines[1] and "number the objects" in lines[2]


def test_nothing_to_repair_writes_nothing(tmp_path, new_folder):
    folder = new_folder(tmp_path / "data")
    _, lines, mended = mend(folder, SEGMENT, tmp_path)
    assert lines == [] and mended == folder.samples and not (tmp_path / "run").exists()


def test_movies_and_regions_are_mended_whole(tmp_path, cells):
    movie = np.stack([cells(i)[0] for i in range(4)]).astype(np.float32)
    movie[2, 5, 5] = np.nan
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": "TYX"})
    frames = [ImageRef((path,), frame=i) for i in range(4)]
    parts = [Sample(f.name, f.group, f) for f in frames]
    cut = frames[2].crop(((0, 40), (0, 96)))
    parts.append(Sample("part", "movie", cut))
    lines = repair(parts, check(parts, task=RESTORE), tmp_path / "repaired")
    assert len(lines) == 1
    mended = with_copies(parts, tmp_path / "repaired")
    assert np.array_equal(mended[3].source.read(), parts[3].source.read())
    assert np.isfinite(mended[2].source.read()).all()
    assert np.array_equal(mended[4].source.read(), mended[2].source.read()[:40])


def test_the_pixel_size_of_a_part_is_that_of_its_file(tmp_path, new_folder, cells):
    image = cells(0)[0].astype(np.float32)
    image[3, 3] = np.nan
    whole = replace(new_folder(tmp_path, n=0).add("a.tif", image).source, pixel_size=(0.3, 0.2))
    part = [Sample("part", "a", whole.crop(((0, 40), (0, 50))))]
    repair(part, check(part, task=DENOISE), tmp_path / "repaired")
    copy = ImageRef((tmp_path / "repaired" / "source" / "a.tif",)).info()
    assert copy.shape == image.shape and copy.pixel_size == pytest.approx((0.3, 0.2))


def test_a_mended_copy_stands_for_an_original_of_several_channel_files(tmp_path, cells):
    paths = []
    for i, name in enumerate(("dapi", "actin")):
        (tmp_path / name).mkdir()
        image = cells(i)[0].astype(np.float32)
        if name == "actin":
            image[7, 7] = np.inf
        paths.append(tmp_path / name / "a.tif")
        tifffile.imwrite(paths[-1], image, metadata={"axes": "YX"})
    samples = [Sample("a", "a", ImageRef(tuple(paths)))]
    (line,) = repair(samples, check(samples, task=RESTORE), tmp_path / "repaired")
    assert "actin" in line
    mended = with_copies(samples, tmp_path / "repaired")[0].source.read()
    assert np.isfinite(mended).all() and np.array_equal(mended[..., 0], samples[0].source.read()[..., 0])


@given(hnp.arrays(np.uint8, (7, 9, 1), elements=st.integers(0, 2)))
def test_numbering_keeps_the_foreground_and_separates_pieces(mask):
    numbered = number_objects(mask)[..., 0]
    assert np.array_equal(numbered > 0, mask[..., 0] > 0)
    pieces = sum(ndimage.label(mask[..., 0] == v)[1] for v in (1, 2))
    assert set(np.unique(numbered)) - {0} == set(range(1, pieces + 1))


@given(hnp.arrays(np.float32, (5, 6, 2), elements=st.sampled_from([0.0, 1.5, -3.0, np.nan, np.inf, -np.inf])))
def test_filling_touches_only_what_is_missing(image):
    filled = fill_missing(image)
    known = np.isfinite(image)
    assert np.isfinite(filled).all() and filled.dtype == image.dtype
    assert np.array_equal(filled[known], image[known])
    for channel in range(2):
        values = image[..., channel][known[..., channel]]
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        assert filled[..., channel].min() >= low and filled[..., channel].max() <= high


def test_a_single_hole_becomes_the_median_of_its_neighbours():
    image = np.arange(25, dtype=np.float32).reshape(5, 5, 1)
    image[2, 2] = np.nan
    assert fill_missing(image)[2, 2, 0] == np.median([6, 7, 8, 11, 13, 16, 17, 18])


def test_soft_masks_are_cut_at_half_height():
    mask = np.array([[0, 3, 100], [140, 250, 255]], np.uint8)[..., None]
    assert two_values(mask)[..., 0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_larger_pieces_get_numbers_of_their_own_and_specks_go(tmp_path, new_folder):
    folder = new_folder(tmp_path / "data", n=0)
    image, labels = (a.astype(np.uint16) for a in nuclei(np.random.default_rng(3), (128, 128), (0.5, 0.5)))
    twice = labels.copy()
    twice[labels == 2] = 3
    free = np.argwhere(ndimage.distance_transform_edt(labels == 0) > 3)[0]
    twice[tuple(free)] = 5
    folder.add("a.tif", image, twice)
    folder.add("b.tif", image[::-1], labels[::-1])
    report, lines, mended = mend(folder, INSTANCES, tmp_path)
    assert [f.code for f in report.repairable] == ["objects-in-pieces"] and len(lines) == 1
    again = mended[0].target.read()[..., 0]
    assert again[tuple(free)] == 0 and again.max() == labels.max() + 1
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), again.ravel(), strict=True)}
    assert len(pairs) == labels.max() + 1, "every object has one number, and none shares it"
    kept = [n for n in np.unique(labels) if n not in (2, 3)]
    assert all((n, n) in pairs for n in kept), "the others keep theirs"
    assert not check(mended, task=INSTANCES).repairable


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_number_is_one_piece_and_nothing_but_specks_is_lost(ndim):
    rng = np.random.default_rng(ndim)
    labels = ndimage.zoom(rng.integers(0, 5, (6,) * ndim), 4, order=0) * 30_000
    found = one_piece_each(labels)
    assert found.dtype == np.uint32
    for number in np.unique(found[found > 0]):
        assert ndimage.label(found == number, np.ones((3,) * ndim))[1] == 1
    lost = (labels > 0) & (found == 0)
    assert lost.sum() < 0.1 * (labels > 0).sum() and not found[labels == 0].any()
    assert np.array_equal(one_piece_each(found), found)

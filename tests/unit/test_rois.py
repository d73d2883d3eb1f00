"""Regions drawn in Fiji or QuPath cover the pixels they should, and come back as written."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi, roiwrite
from scipy import ndimage
from skimage.draw import disk, polygon2mask

from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef, find_files
from zcdl_common.polygons import fill, trace
from zcdl_common.rois import is_roi_file, read_rois, write_rois

REAL = Path(os.environ.get("ZCDL_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPE = (50, 60)


def polygon(corners, **options):
    roi = ImagejRoi.frompoints(np.asarray(corners), **options)
    roi.roitype = ROI_TYPE.POLYGON
    return roi


def box(kind, left, top, right, bottom):
    roi = ImagejRoi()
    roi.roitype, roi.name = kind, f"{kind.name}{left}"
    roi.left, roi.top, roi.right, roi.bottom = left, top, right, bottom
    return roi


def save(tmp_path, *rois, name="a_RoiSet.zip"):
    roiwrite(tmp_path / name, list(rois), name=[f"{i:03d}" for i in range(len(rois))])
    return tmp_path / name


def per_object_iou(truth, found):
    scores = []
    for label in np.unique(truth[truth > 0]):
        mask = truth == label
        other = found == np.bincount(found[mask]).argmax()
        scores.append((mask & other).sum() / (mask | other).sum())
    return scores


@given(st.lists(st.tuples(st.floats(-5, 65), st.floats(-5, 55)), min_size=3, max_size=8))
@settings(max_examples=60, deadline=None)
def test_fill_holds_the_pixels_whose_centre_lies_inside(corners):
    window, inside = fill([np.array(corners)], SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[window] = inside
    yx = np.array(corners)[:, ::-1] - 0.5
    # the reference decides otherwise only where a centre lies on an edge
    assert (mask != polygon2mask(SHAPE, yx)).sum() <= edge_centres(np.array(corners))


def edge_centres(corners):
    """Number of pixel centres on an edge (within rounding)."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    near = np.zeros(SHAPE, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = max(np.hypot(x1 - x0, y1 - y0), 1e-12)
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2, 0, 1)
        near |= np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) < 1e-6
    return near.sum()


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
@settings(max_examples=30, deadline=None)
def test_fill_undoes_trace_for_any_mask(seed, density):
    mask = np.random.default_rng(seed).random((13, 17)) < density
    if mask.any():
        window, inside = fill(trace(mask), mask.shape)
        found = np.zeros_like(mask)
        found[window] = inside
        np.testing.assert_array_equal(found, mask)


def test_neighbouring_polygons_share_no_pixel():
    left, right = [(0, 0), (20, 0), (0, 20)], [(20, 0), (20, 20), (0, 20)]
    total = np.zeros((20, 20), int)
    for corners in (left, right):
        window, inside = fill([np.array(corners)], total.shape)
        total[window] += inside
    assert (total == 1).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
@settings(max_examples=15, deadline=None)
def test_labels_come_back_with_every_object(tmp_path_factory, seed, ndim):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.random((40, 50) if ndim == 2 else (6, 40, 50)), 2)
    labels = ndimage.label(field > np.quantile(field, 0.7))[0]
    path = write_rois(tmp_path_factory.mktemp("r") / "img", labels)
    assert path.name == "img.zip" and is_roi_file(path)
    found = read_rois(path, labels.shape)
    assert found.labels.dtype == np.int32 and not found.report and not found.notes
    assert found.labels.max() == labels.max()
    assert min(per_object_iou(labels, found.labels)) > 0.99
    np.testing.assert_array_equal(found.labels > 0, labels > 0)


class Sliced:
    """A file that is read in slices, and how much was read at once."""

    def __init__(self, array):
        self.array, self.shape, self.most, self.times = array, array.shape, 0, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.most, self.times = max(self.most, part.size), self.times + 1
        return part


def test_labels_in_a_file_become_the_same_regions_read_near_ones_together(tmp_path, monkeypatch):
    labels = ndimage.label(ndimage.gaussian_filter(np.random.default_rng(0).random((90, 120)), 2) > 0.5)[0]
    spans = [(n, w) for n, w in enumerate(ndimage.find_objects(labels), 1)]
    boxes = np.array([(n, y.start, x.start, y.stop, x.stop) for n, (y, x) in spans])
    largest = int(np.prod(boxes[:, 3:] - boxes[:, 1:3], axis=1).max())
    monkeypatch.setattr("zcdl_common.rois._TOGETHER", 2000)
    file = Sliced(labels)
    parts = write_rois(tmp_path / "parts", file, boxes)
    assert file.most <= max(2000, largest) and 1 < file.times < len(boxes)
    whole = write_rois(tmp_path / "whole", labels)
    with zipfile.ZipFile(parts) as one, zipfile.ZipFile(whole) as other:
        assert one.namelist() == other.namelist()
        assert all(one.read(name) == other.read(name) for name in one.namelist())
    assert np.array_equal(read_rois(parts, labels.shape).labels, labels)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real images: set ZCDL_REAL_DATA")
@pytest.mark.parametrize("folder", ["stardist2d/dsb2018_256", "stardist3d/bbbc050_nuclei"])
def test_real_labels_come_back_exactly(tmp_path, folder):
    for target in find_files(str(REAL / folder / "test" / "target"), "target")[:5]:
        labels = ImageRef((target,)).read()[..., 0].astype(np.int32)
        found = read_rois(write_rois(tmp_path / target.stem, labels), labels.shape)
        assert not found.report and not found.notes
        assert set(per_object_iou(labels, found.labels)) == {1.0}
        assert found.labels.max() == len(np.unique(labels)) - 1


def test_names_of_written_regions_are_unique_and_roifile_reads_them(tmp_path):
    labels = np.zeros((3, 20, 20), int)
    labels[:, 2:8, 2:8] = 4
    labels[1, 4:6, 4:6] = 0
    labels[2, 12:18, 12:18] = 9
    path = write_rois(tmp_path / "a.zip", labels)
    rois = ImagejRoi.fromfile(path)
    assert len({roi.name for roi in rois}) == len(rois) == 4
    assert sorted(roi.position for roi in rois) == [1, 2, 3, 3]
    assert (rois[0].left, rois[0].top, rois[0].right, rois[0].bottom) == (2, 2, 8, 8)
    assert [roi.composite for roi in rois] == [False, True, False, False]


def test_a_rectangle_covers_half_open_pixels(tmp_path):
    labels = read_rois(save(tmp_path, box(ROI_TYPE.RECT, 5, 7, 15, 10)), SHAPE).labels
    assert labels.sum() == 30 and labels[7:10, 5:15].all()


def test_an_oval_is_a_disk(tmp_path):
    labels = read_rois(save(tmp_path, box(ROI_TYPE.OVAL, 10, 10, 31, 31)), SHAPE).labels
    expected = np.zeros(SHAPE, bool)
    expected[disk((20, 20), 10.5)] = True
    assert (labels.astype(bool) ^ expected).sum() <= 8
    assert labels[20, 10:31].all() and not labels[20, [9, 31]].any()


def test_freehand_with_subpixel_corners(tmp_path):
    roi = ImagejRoi.frompoints(np.array([(10.4, 10.4), (20.6, 10.4), (20.6, 15.6), (10.4, 15.6)]))
    assert roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    labels = read_rois(save(tmp_path, roi), SHAPE).labels
    assert labels.sum() == 11 * 6 and labels[10:16, 10:21].all()


def test_a_composite_keeps_its_hole(tmp_path):
    roi = ImagejRoi()
    roi.roitype = ROI_TYPE.RECT
    path = []
    for corners in ([(5, 5), (25, 5), (25, 25), (5, 25)], [(10, 10), (20, 10), (20, 20), (10, 20)]):
        for i, (x, y) in enumerate(corners):
            path += [min(i, 1), x, y]
        path.append(4)
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    labels = read_rois(save(tmp_path, roi), SHAPE).labels
    assert labels.sum() == 400 - 100 and not labels[10:20, 10:20].any()


def test_a_composite_with_curves(tmp_path):
    k = 10 * 0.5523
    path = [0, 30, 20, 3, 30, 20 + k, 20 + k, 30, 20, 30, 3, 20 - k, 30, 10, 20 + k, 10, 20]
    path += [3, 10, 20 - k, 20 - k, 10, 20, 10, 3, 20 + k, 10, 30, 20 - k, 30, 20, 4]
    roi = ImagejRoi()
    roi.roitype = ROI_TYPE.RECT
    roi.multi_coordinates, roi.shape_roi_size = np.array(path, np.float32), len(path)
    assert abs(read_rois(save(tmp_path, roi), SHAPE).labels.sum() - np.pi * 100) < 8


def test_overlaps_are_reported_and_the_smaller_lies_on_top(tmp_path):
    small, large = box(ROI_TYPE.RECT, 10, 10, 14, 14), box(ROI_TYPE.RECT, 5, 5, 25, 25)
    for rois in ((small, large), (large, small)):
        (tmp_path / "a_RoiSet.zip").unlink(missing_ok=True)
        found = read_rois(save(tmp_path, *rois), SHAPE)
        assert sorted(np.bincount(found.labels.ravel())[1:]) == [16, 384]
        assert not found.report
        assert len(found.notes) == 1 and "overlap in 16 pixels" in found.notes[0]


def test_points_and_lines_are_reported_not_drawn(tmp_path):
    line = box(ROI_TYPE.LINE, 0, 0, 0, 0)
    line.x1, line.y1, line.x2, line.y2 = 1, 1, 30, 30
    point = ImagejRoi.frompoints(np.array([[5, 5]]))
    point.roitype = ROI_TYPE.POINT
    found = read_rois(save(tmp_path, line, point, box(ROI_TYPE.RECT, 5, 5, 9, 9)), SHAPE)
    assert found.labels.sum() == 16
    assert "line (1), point (1)" in found.report[0]


def test_regions_outside_and_copies_are_reported_and_numbers_have_no_gap(tmp_path):
    rois = [box(ROI_TYPE.RECT, *c) for c in ((100, 5, 110, 9), (1, 1, 5, 5), (1, 1, 5, 5), (20, 20, 24, 24))]
    found = read_rois(save(tmp_path, *rois), SHAPE)
    assert set(np.unique(found.labels)) == {0, 1, 2}
    assert any("no pixel of the image: 1" in line for line in found.report)
    assert any("hidden" in line for line in found.report)


def test_slice_positions_in_a_plane_are_reported(tmp_path):
    roi = box(ROI_TYPE.RECT, 5, 5, 9, 9)
    roi.position = 3
    found = read_rois(save(tmp_path, roi), SHAPE)
    assert found.labels.sum() == 16 and "other slices" in found.report[0]


def test_outlines_drawn_slice_by_slice_become_objects(tmp_path):
    rois = []
    for z, left in ((1, 5), (2, 6), (3, 7), (1, 30), (3, 40)):
        roi = box(ROI_TYPE.RECT, left, 10, left + 8, 18)
        roi.position = z
        rois.append(roi)
    labels = read_rois(save(tmp_path, *rois), (4, *SHAPE)).labels
    assert labels.max() == 3
    assert labels[0, 12, 7] == labels[1, 12, 8] == labels[2, 12, 9] != 0
    assert len({labels[0, 12, 7], labels[0, 12, 33], labels[2, 12, 43]}) == 3
    assert not labels[3].any()


def test_a_region_without_slice_is_drawn_on_all_and_one_beyond_is_reported(tmp_path):
    beyond = box(ROI_TYPE.RECT, 20, 5, 29, 9)
    beyond.position = 7
    found = read_rois(save(tmp_path, box(ROI_TYPE.RECT, 5, 5, 9, 9), beyond), (3, *SHAPE))
    assert found.labels.sum() == 3 * 16 and found.labels.max() == 1
    assert "drawn on all 3" in found.report[0] and "beyond the 3" in found.report[1]


def test_frames_of_a_movie_take_their_own_regions(tmp_path):
    rois = []
    for t, left in ((1, 5), (2, 25), (0, 45)):
        roi = box(ROI_TYPE.RECT, left, 5, left + 4, 9)
        roi.position = t
        rois.append(roi)
    found = read_rois(save(tmp_path, *rois), SHAPE, frame=1)
    assert found.labels[6, 26] and found.labels[6, 46] and not found.labels[6, 6]
    assert not found.report and not found.notes


def test_qupath(tmp_path):
    ring = [[5, 5], [25, 5], [25, 25], [5, 25], [5, 5]]
    hole = [[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]
    other = [[[40, 40], [44, 40], [44, 44], [40, 44], [40, 40]]]
    geometries = [
        {"type": "Polygon", "coordinates": [ring, hole]},
        {"type": "MultiPolygon", "coordinates": [other, [[[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]]]},
        {"type": "Point", "coordinates": [3, 3]},
    ]
    features = [{"type": "Feature", "geometry": g, "properties": {}} for g in geometries]
    path = tmp_path / "a.geojson"
    for document in ({"type": "FeatureCollection", "features": features}, features):
        path.write_text(json.dumps(document))
        found = read_rois(path, SHAPE)
        assert np.bincount(found.labels.ravel())[1:].tolist() == [300, 20]
        assert "point (1)" in found.report[0]


def test_an_overlay_in_a_tiff(tmp_path):
    rois = [box(ROI_TYPE.RECT, 5, 5, 9, 9).tobytes(), box(ROI_TYPE.OVAL, 20, 20, 30, 30).tobytes()]
    image = np.zeros(SHAPE, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, metadata={"Overlays": rois})
    tifffile.imwrite(tmp_path / "plain.tif", image, imagej=True)
    assert is_roi_file(tmp_path / "a.tif") and not is_roi_file(tmp_path / "plain.tif")
    assert read_rois(tmp_path / "a.tif", SHAPE).labels.max() == 2


def test_a_zip_of_images_is_no_roi_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("img.tif", b"x")
    assert not is_roi_file(tmp_path / "a.zip")


@pytest.mark.parametrize("content", [b"", b"Iout", b"no region at all" * 10])
def test_a_damaged_region_is_named(tmp_path, content):
    (tmp_path / "a.roi").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.roi cannot be read"):
        read_rois(tmp_path / "a.roi", SHAPE)


def test_a_damaged_geojson_is_named(tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(DataError, match=r"a\.geojson cannot be read"):
        read_rois(tmp_path / "a.geojson", SHAPE)


def test_no_region_at_all_is_an_error(tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(DataError, match="holds no region"):
        read_rois(tmp_path / "a.geojson", SHAPE)

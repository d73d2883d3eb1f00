"""Tables of objects hold what scikit-image measures, in the conventions that are promised."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from zcdl_common.tables import frames, objects, trackmate, write_table


def volume(shape, seed=0):
    rng = np.random.default_rng(seed)
    labels = ndimage.label(ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.1)[0] * 3
    return labels.astype(np.uint16), rng.integers(0, 4096, (*shape, 2)).astype(np.uint16)


@pytest.mark.parametrize(("shape", "size"), [((50, 60), (0.5, 0.25)), ((12, 30, 28), (2.0, 0.5, 0.25))])
def test_what_is_measured_is_what_scikit_image_measures(shape, size):
    labels, image = volume(shape)
    table = objects(labels, image, ("DNA", "actin"), size)
    axes, extent = "zyx"[-len(shape) :], "area" if len(shape) == 2 else "volume"
    regions = regionprops(labels, image)
    assert table["label"].tolist() == [region.label for region in regions]
    for row, region in zip(table.to_dict("records"), regions, strict=True):
        assert row[f"{extent}_px"] == region.area
        assert row[f"{extent}_um{len(shape)}"] == pytest.approx(region.area * np.prod(size))
        for axis, letter in enumerate(axes):
            assert row[f"{letter}_px"] == pytest.approx(region.centroid[axis] + 0.5)
            assert row[f"{letter}_um"] == pytest.approx((region.centroid[axis] + 0.5) * size[axis])
            assert row[f"{letter}_min_px"] == region.bbox[axis]
            assert row[f"{letter}_max_px"] == region.bbox[axis + len(shape)]
        for number, name in enumerate(("DNA", "actin")):
            for kind in ("mean", "min", "max"):
                measured = getattr(region, f"intensity_{kind}")[number]
                assert row[f"intensity_{kind}_{name}"] == pytest.approx(measured)


def test_channels_of_one_name_both_stand_in_the_table():
    labels, image = volume((20, 24))
    table = objects(labels, image, ("EGFP", "EGFP"))
    assert not table["intensity_mean_0"].equals(table["intensity_mean_1"])


class Sliced:
    """A file that is read in slices, and how much was read at once."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.most = max(self.most, part.size)
        return part


@pytest.mark.parametrize(("shape", "size"), [((50, 60), (0.5, 0.25)), ((12, 30, 28), None)])
def test_a_file_read_in_blocks_gives_the_table_of_the_whole_image(monkeypatch, shape, size):
    labels, image = volume(shape)
    monkeypatch.setattr("zcdl_common.tables.BLOCK", 300)
    files = Sliced(labels), Sliced(image)
    table = objects(*files, ("DNA", "actin"), size)
    assert 0 < files[0].most <= 300 and files[1].most <= 600
    pd.testing.assert_frame_equal(table, objects(labels, image, ("DNA", "actin"), size))
    image = image.astype(np.float32)
    image[tuple(n // 2 for n in shape)] = np.nan
    pd.testing.assert_frame_equal(objects(labels, Sliced(image)), objects(labels, image))
    empty = objects(Sliced(np.zeros_like(labels)), files[1])
    assert len(empty) == 0 and list(empty) == list(objects(labels, files[1].array))


def test_an_image_without_objects_gives_the_columns_alone():
    labels, image = volume((20, 20))
    empty = objects(np.zeros_like(labels), image[..., :1], ("DNA",), (1.0, 1.0))
    assert len(empty) == 0
    assert list(empty) == list(objects(labels, image[..., :1], ("DNA",), (1.0, 1.0)))
    assert "intensity_mean" in empty and "y_um" in empty


def test_without_a_pixel_size_or_an_image_there_are_only_pixels():
    table = objects(volume((20, 20))[0])
    assert not [name for name in table if name.endswith(("um", "um2")) or name.startswith("intensity")]


def test_a_movie_becomes_one_table_with_a_frame_column():
    tables = [objects(volume((20, 20), seed)[0]) for seed in range(3)]
    joined = frames(tables)
    assert list(joined)[:2] == ["frame", "label"]
    assert joined["frame"].value_counts(sort=False).tolist() == [len(table) for table in tables]


def test_spots_for_trackmate_lie_on_the_pixels_it_would_draw_them_on(tmp_path):
    labels = np.zeros((30, 40), np.uint16)
    labels[10:15, 20:29] = 4  # its middle is pixel (12, 24), which TrackMate puts at 12 and 24 times the size
    table = frames([objects(labels, pixel_size=(0.5, 0.5))] * 2)
    path = write_table(tmp_path / "m_trackmate.csv", trackmate(table, (0.5, 0.5)))
    assert path.read_text().splitlines()[0] == "x,y,z,frame,radius,quality,name"
    spots = pd.read_csv(path)
    assert spots[["x", "y", "z", "frame"]].to_numpy().tolist() == [[12.0, 6.0, 0.0, 0], [12.0, 6.0, 0.0, 1]]
    assert spots["radius"].tolist() == pytest.approx([np.sqrt(45 * 0.25 / np.pi)] * 2)
    assert spots["quality"].tolist() == [45, 45] and spots["name"].is_unique
    solid = np.zeros((5, 9, 9), int)
    solid[2, 4, 4] = 1
    spot = trackmate(frames([objects(solid)])).iloc[0]
    assert (spot["x"], spot["y"], spot["z"]) == (4, 4, 2)
    assert 4 / 3 * np.pi * spot["radius"] ** 3 == pytest.approx(1)

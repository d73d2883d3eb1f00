"""What is written comes back the same, with axes and micrometres, and appears whole or not at all."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import writers
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef, find_images
from zcdl_common.writers import open_output, stored_dtype, with_ending, write_image

RNG = np.random.default_rng(0)
SIZES = {"T": 2, "Z": 5, "C": 3, "Y": 17, "X": 19}
FORMATS = ["imagej", "ome-tiff", "ome-zarr"]
UM = {"Z": 2.0, "Y": 0.5, "X": 0.25}


@given(
    axes=st.sampled_from(["YX", "ZYX", "YXC", "ZYXC", "TZYXC", "TYX", "CYX", "XY", "TZCYX"]),
    dtype=st.sampled_from(
        ["bool", "uint8", "uint16", "int16", "int32", "uint32", "float32", "float64", "int64"]
    ),
    format=st.sampled_from(FORMATS),
)
@settings(max_examples=80, deadline=None)
def test_round_trip(tmp_path_factory, axes, dtype, format):
    array = RNG.integers(0, 2 if dtype == "bool" else 120, [SIZES[a] for a in axes]).astype(dtype)
    size = [UM[a] for a in "ZYX" if a in axes]
    path = write_image(tmp_path_factory.mktemp("w") / "img.tif", array, axes, pixel_size=size, format=format)
    assert path.exists() and [p.name for p in path.parent.iterdir()] == [path.name]
    expected = array * np.uint8(255) if dtype == "bool" else array
    for t, ref in enumerate(find_images(str(path), "source")):
        frame, rest = (expected[t], axes[1:]) if "T" in axes else (expected, axes)
        order = [rest.index(a) for a in "ZYXC" if a in rest]
        frame = frame.transpose(order) if "C" in rest else frame.transpose(order)[..., None]
        np.testing.assert_array_equal(ref.read(), frame)
        assert ref.info().pixel_size == pytest.approx(size)


@pytest.mark.parametrize("format", FORMATS)
def test_endings(tmp_path, format):
    ending = {"imagej": ".tif", "ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}[format]
    for name in ("a", "a.tif", "a.ome.tif", "a.PNG", "a.ome.zarr"):
        assert with_ending(tmp_path / name, format) == tmp_path / f"a{ending}"
    assert with_ending(tmp_path / "a.v2", format).name == f"a.v2{ending}"


def test_imagej_hyperstack_as_fiji_reads_it(tmp_path):
    array = RNG.integers(0, 2**16, (2, 5, 17, 19, 3)).astype("uint16")
    path = write_image(tmp_path / "a", array, "TZYXC", pixel_size=(2.0, 0.5, 0.25))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej and tif.series[0].axes == "TZCYX"
        found = tif.imagej_metadata
        assert (found["frames"], found["slices"], found["channels"]) == (2, 5, 3)
        assert found["unit"] == "micron" and found["spacing"] == 2.0 and found["mode"] == "composite"
        numerator, denominator = tif.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(4.0)
        np.testing.assert_array_equal(tif.asarray(), array.transpose(0, 1, 4, 2, 3))


@pytest.mark.parametrize("format", ["imagej", "ome-tiff", "ome-zarr"])
def test_the_frame_interval_of_a_movie_is_kept(tmp_path, format):
    movie = np.zeros((3, 16, 18), "uint16")
    path = write_image(tmp_path / "a", movie, "TYX", frame_interval=12.5, format=format)
    info = ImageRef((path,)).info()
    assert info.frame_interval == pytest.approx(12.5) and info.pixel_size is None
    (still,) = find_images(str(write_image(tmp_path / "b", movie[0], "YX", format=format)), "source")
    assert still.info().frame_interval is None


def test_a_frame_interval_in_minutes_is_read_in_seconds(tmp_path):
    metadata = {"axes": "TYX", "finterval": 2.0, "tunit": "min"}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 9, 9), "uint8"), imagej=True, metadata=metadata)
    assert ImageRef((tmp_path / "a.tif",)).info().frame_interval == 120


def test_ome_zarr_follows_version_0_4(tmp_path):
    path = write_image(
        tmp_path / "a",
        np.ones((5, 17, 19, 3), "uint16"),
        "ZYXC",
        pixel_size=(2, 0.5, 0.25),
        format="ome-zarr",
    )
    assert (path / ".zgroup").is_file() and (path / "0" / ".zarray").is_file()
    group = zarr.open_group(path, mode="r")
    (multiscale,) = group.attrs["multiscales"]
    assert multiscale["version"] == "0.4"
    assert [a["name"] for a in multiscale["axes"]] == ["c", "z", "y", "x"]
    assert multiscale["axes"][1] == {"name": "z", "type": "space", "unit": "micrometer"}
    (dataset,) = multiscale["datasets"]
    assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.25]}]
    assert group["0"].shape == (3, 5, 17, 19)
    assert (path / "0" / "0" / "0" / "0" / "0").is_file()


@pytest.mark.parametrize(
    ("highest", "format", "dtype"),
    [
        (1, "imagej", "uint16"),
        (65535, "imagej", "uint16"),
        (65536, "imagej", "float32"),
        (65536, "ome-tiff", "uint32"),
        (65536, "ome-zarr", "uint32"),
    ],
)
def test_labels_keep_every_object(tmp_path, highest, format, dtype):
    labels = np.zeros((20, 21), np.int64)
    labels[3:5, 3:5] = highest
    path = write_image(tmp_path / "a", labels, "YX", format=format, labels=True)
    found = ImageRef((path,)).read()[..., 0]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, labels)


def test_negative_whole_numbers_survive(tmp_path):
    values = np.array([[-5, 70000], [3, 4]], np.int64)
    for format in FORMATS:
        np.testing.assert_array_equal(
            ImageRef((write_image(tmp_path / "a", values, "YX", format=format),)).read()[..., 0], values
        )


def test_complex_images_are_refused():
    with pytest.raises(ValueError, match="complex"):
        stored_dtype(np.zeros((3, 3), complex), "imagej")


def test_above_the_limit_ome_tiff_takes_over(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "LARGE", 1000)
    array = RNG.integers(0, 255, (40, 50)).astype("uint8")
    path = write_image(tmp_path / "a.tif", array, "YX")
    assert path.name == "a.ome.tif"
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome and tif.is_bigtiff
    np.testing.assert_array_equal(ImageRef((path,)).read()[..., 0], array)


@pytest.mark.parametrize("format", FORMATS)
def test_parts_written_in_any_order_make_the_whole(tmp_path, format):
    array = RNG.random((5, 40, 50, 2)).astype("float32")
    with open_output(
        tmp_path / "a", array.shape, "float32", "ZYXC", pixel_size=(2, 1, 1), format=format
    ) as output:
        assert not output.path.exists()
        for y in (30, 0, 15):
            for x in (25, 0):
                output[:, y : y + 15, x : x + 25] = array[:, y : y + 15, x : x + 25]
        output[2, 4, 5, 1] = array[2, 4, 5, 1]
        output[1, ..., 0] = array[1, ..., 0]
        np.testing.assert_array_equal(output[1:3, 4, 7:9], array[1:3, 4, 7:9])
    np.testing.assert_array_equal(ImageRef((output.path,)).read(), array)


@pytest.mark.parametrize("format", FORMATS)
def test_a_crash_leaves_the_former_file_and_nothing_else(tmp_path, format):
    old = np.full((30, 31), 7, "uint8")
    path = write_image(tmp_path / "a", old, "YX", format=format)
    with pytest.raises(RuntimeError), open_output(path, (30, 31), "uint8", "YX", format=format) as output:
        output[:10] = 1
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(ImageRef((path,)).read()[..., 0], old)
    write_image(path, old + 1, "YX", format=format)
    np.testing.assert_array_equal(ImageRef((path,)).read()[..., 0], old + 1)


@pytest.mark.parametrize("axes", ["YXC", "Y", "YY", "AX"])
def test_axes_that_do_not_fit_are_refused(tmp_path, axes):
    with pytest.raises(ValueError, match="axes"):
        write_image(tmp_path / "a", np.zeros((3, 4)), axes)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve space")
def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="no room"):
        write_image(tmp_path / "a", np.ones((30, 31), "uint8"), "YX")
    assert not list(tmp_path.iterdir())


STREAM = """
import sys, resource
import numpy as np
from pathlib import Path
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef
from zcdl_common.writers import open_output
folder, side, format = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with open_output(folder / f"a{side}", (side, side), "uint16", "YX", format=format) as output:
    for y in range(0, side, 512):
        for x in range(0, side, 512):
            output[y : y + 512, x : x + 512] = x
source = ImageRef((output.path,)).open()
for y in range(0, side, 512):
    for x in range(0, side, 512):
        assert (source[y : y + 512, x : x + 512] == x).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("format", ["ome-tiff", "ome-zarr"])
def test_memory_stays_flat_while_the_image_grows(tmp_path, format):
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", STREAM, str(tmp_path), str(side), format],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for side in (2048, 8192)
    ]
    assert peaks[1] < 1.1 * peaks[0]

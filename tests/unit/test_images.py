"""Images are read with the right axes, channels, pixel size and dtype, or refused with a reason."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import ImageRef, find_files, find_images, stem

RNG = np.random.default_rng(0)
REAL = Path(os.environ.get("ZCDL_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
LETTERS = {"T": 4, "Z": 5, "C": 3, "Y": 17, "X": 19}


def image(shape, dtype="uint16"):
    return RNG.integers(0, 255, shape).astype(dtype)


def ref(path, **options):
    return ImageRef((path,), **options)


def channel_last(array, axes):
    """What reading must give for one frame of `array`."""
    order = [axes.index(a) for a in "ZYX" if a in axes]
    if "C" not in axes:
        return array.transpose(order)[..., None]
    return array.transpose([*order, axes.index("C")])


@given(
    axes=st.sampled_from(["YX", "ZYX", "CYX", "ZCYX", "TYX", "TZCYX", "TCYX"]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    kind=st.sampled_from(["imagej", "ome", "ome-zlib", "shaped"]),
)
@settings(max_examples=40, deadline=None)
def test_tiff_gives_back_every_frame_in_its_own_dtype(tmp_path_factory, axes, dtype, kind):
    array = image([LETTERS[a] for a in axes], dtype)
    path = tmp_path_factory.mktemp("t") / "img.tif"
    options = {"imagej": kind == "imagej"} if kind in ("imagej", "shaped") else {"ome": True}
    tifffile.imwrite(
        path,
        array,
        photometric="minisblack",
        compression="zlib" if "zlib" in kind else None,
        predictor=True if "zlib" in kind and dtype != "float32" else None,
        metadata={"axes": axes},
        **options,
    )
    refs = find_images(str(path), "source")
    assert len(refs) == (LETTERS["T"] if "T" in axes else 1)
    assert {r.group for r in refs} == {"img"}
    for t, found in enumerate(refs):
        frame = array[t] if "T" in axes else array
        expected = channel_last(frame, axes.replace("T", ""))
        assert found.read().dtype == expected.dtype
        np.testing.assert_array_equal(found.read(), expected)
        np.testing.assert_array_equal(found.open()[...], expected)
        info = found.info()
        assert (*info.shape, info.channels) == expected.shape and info.dtype == dtype


slices = st.builds(slice, st.integers(-25, 25), st.integers(-25, 25), st.integers(1, 3))


@given(st.tuples(slices, slices | st.integers(-17, 16), slices, slices | st.integers(-3, 2)))
@settings(max_examples=60, deadline=None)
def test_lazy_slices_equal_slices_of_the_whole(tmp_path_factory, index):
    array = image((5, 3, 17, 19))
    path = tmp_path_factory.mktemp("t") / "img.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZCYX"})
    whole = array.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(ref(path).open()[index], whole[index])
    region = ((1, 4), (2, 12), (3, 17))
    np.testing.assert_array_equal(ref(path).crop(region).open()[index[0]], whole[1:4, 2:12, 3:17][index[0]])


def test_regions_are_read_in_their_own_coordinates(tmp_path):
    array = image((40, 50))
    tifffile.imwrite(tmp_path / "a.tif", array)
    strip = ref(tmp_path / "a.tif").crop(((10, 40), (0, 50))).crop(((5, 20), (2, 9)))
    assert strip.info().shape == (15, 7)
    np.testing.assert_array_equal(strip.read()[..., 0], array[15:30, 2:9])
    with pytest.raises(ValueError, match="inside"):
        strip.crop(((0, 16), (0, 7)))


def test_big_endian_files_come_in_native_order(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((30, 31)), byteorder=">")
    for pixels in (ref(tmp_path / "a.tif").read(), ref(tmp_path / "a.tif").open()[...]):
        assert pixels.dtype.isnative and pixels.dtype == np.uint16


@pytest.mark.parametrize("writer", ["tiff", "tiff without metadata", "npy"])
def test_three_axes_without_metadata_are_refused_with_the_choices(tmp_path, writer):
    array, path = image((5, 30, 31)), tmp_path / ("a.npy" if writer == "npy" else "a.tif")
    if writer == "npy":
        np.save(path, array)
    else:
        tifffile.imwrite(path, array, **({} if writer == "tiff" else {"metadata": None}))
    with pytest.raises(DataError) as error:
        find_images(str(tmp_path), "source")
    assert str(path) in str(error.value)
    for choice in ("ZYX", "TYX", "CYX", "YXC"):
        assert choice in str(error.value)
    frames = find_images(str(tmp_path), "source", axes="tyx")
    assert [f.name for f in frames[:2]] == ["a_t000", "a_t001"] and frames[3].group == "a"
    np.testing.assert_array_equal(frames[3].read()[..., 0], array[3])
    assert find_images(str(tmp_path), "source", axes="ZYX")[0].info().shape == (5, 30, 31)
    assert find_images(str(tmp_path), "source", axes="CYX")[0].info().channels == 5


def test_three_planes_of_8_bit_are_not_taken_for_colour(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((3, 30, 31), "uint8"))
    with pytest.raises(DataError, match="axes"):
        find_images(str(tmp_path), "source")


def test_axes_change_what_a_file_says_but_leave_planes_and_colour_alone(tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", image((5, 30, 31)), imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "mask.tif", image((30, 31)))
    tifffile.imwrite(tmp_path / "rgb.tif", image((30, 31, 3), "uint8"), photometric="rgb")
    assert ref(tmp_path / "movie.tif", axes="TYX").info().frames == 5
    assert ref(tmp_path / "mask.tif", axes="TYX").info().shape == (30, 31)
    assert ref(tmp_path / "rgb.tif", axes="TYX").info().channels == 3


@pytest.mark.parametrize("axes", ["ZY", "AYX", "YYX", "hello"])
def test_impossible_axes_are_refused(tmp_path, axes):
    with pytest.raises(ConfigError, match="axes ="):
        find_images(str(tmp_path), "source", axes=axes)


def test_colour_pictures_keep_their_channels_and_lose_only_constant_alpha(tmp_path):
    colour = image((30, 31, 3), "uint8")
    opaque = np.dstack([colour, np.full((30, 31), 255, np.uint8)])
    varied = np.dstack([colour, image((30, 31), "uint8")])
    for name, array in (("rgb", colour), ("opaque", opaque), ("varied", varied)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"{name}.tif", array, photometric="rgb")
    for ending in ("png", "tif"):
        for name in ("rgb", "opaque"):
            found = ref(tmp_path / f"{name}.{ending}")
            assert found.info().channel_names == ("red", "green", "blue")
            np.testing.assert_array_equal(found.read(), colour)
        np.testing.assert_array_equal(ref(tmp_path / f"varied.{ending}").read(), varied)


def test_pictures_are_not_turned_into_8_bit_or_colour(tmp_path):
    from imagecodecs import png_encode

    deep = (image((30, 31, 3)).astype("uint32") * 257).astype("uint16")
    (tmp_path / "deep.png").write_bytes(png_encode(deep))
    grey = (image((30, 31)).astype("uint32") * 200).astype("uint16")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    indexed = Image.fromarray(image((30, 31), "uint8") % 4).convert("P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    indexed.save(tmp_path / "indexed.png")
    Image.fromarray(RNG.random((30, 31)) > 0.5).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(ref(tmp_path / "deep.png").read(), deep)
    np.testing.assert_array_equal(ref(tmp_path / "grey.png").read()[..., 0], grey)
    assert set(np.unique(ref(tmp_path / "indexed.png").read())) <= {0, 1, 2, 3}
    assert set(np.unique(ref(tmp_path / "bits.png").read())) == {0, 255}


def test_channels_are_picked_by_name_and_number_in_the_order_asked_for(tmp_path):
    array = image((3, 30, 31))
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, array, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "actin", "mito"]}})
    picked = ref(path, channels=("mito", "0"))
    assert picked.info().channel_names == ("mito", "DAPI")
    for pixels in (picked.read(), picked.open()[...]):
        np.testing.assert_array_equal(pixels, array[[2, 0]].transpose(1, 2, 0))
    with pytest.raises(ConfigError, match=r"channels = 'gfp'.*0 \(DAPI\), 1 \(actin\)"):
        ref(path, channels=("gfp",)).info()


def test_folders_are_channels_matched_by_name(tmp_path):
    arrays = {}
    for folder in ("dapi", "actin"):
        (tmp_path / folder).mkdir()
        for i in (10, 2):
            arrays[folder, i] = image((30, 31))
            tifffile.imwrite(tmp_path / folder / f"img{i}.tif", arrays[folder, i])
    text = f" '{tmp_path / 'dapi'}' ; {tmp_path / 'actin'}"
    refs = find_images(text, "source")
    assert [r.name for r in refs] == ["img2", "img10"]
    assert refs[0].info().channel_names == ("dapi", "actin")
    np.testing.assert_array_equal(refs[0].read(), np.dstack([arrays["dapi", 2], arrays["actin", 2]]))
    only = find_images(text, "source", channels=("actin",))[1]
    np.testing.assert_array_equal(only.read()[..., 0], arrays["actin", 10])
    (tmp_path / "actin" / "img2.tif").unlink()
    with pytest.raises(DataError, match=r"img2.tif: not in .*actin"):
        find_images(text, "source")


def test_channels_of_different_size_are_refused(tmp_path):
    for folder, size in (("a", 30), ("b", 32)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "img.tif", image((size, 31)))
    with pytest.raises(DataError, match=r"30 x 31.*32 x 31"):
        find_images(f"{tmp_path / 'a'};{tmp_path / 'b'}", "source")


@pytest.mark.parametrize("unit", [b"micron", "µm".encode(), "µm".encode("latin1"), b"\\u00B5m", b"um"])
def test_pixel_size_of_imagej(tmp_path, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        image((5, 30, 31)),
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={"axes": "ZYX", "unit": "@" * len(unit), "spacing": 2.0},
    )
    path.write_bytes(path.read_bytes().replace(b"@" * len(unit), unit))
    assert ref(path).info().pixel_size == pytest.approx((2.0, 0.5, 0.25))
    assert ref(path, pixel_size=(3.0, 1.0, 1.0)).info().pixel_size == (3.0, 1.0, 1.0)
    assert ref(path, pixel_size=(0.1,)).info().pixel_size == (0.1, 0.1, 0.1)
    with pytest.raises(ConfigError, match="3 numbers"):
        ref(path, pixel_size=(1.0, 1.0)).info()


def test_pixel_size_of_ome_in_nanometres(tmp_path):
    size = {
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 65.0,
        "PhysicalSizeYUnit": "nm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", image((30, 31)), metadata={"axes": "YX", **size})
    assert ref(tmp_path / "a.ome.tif").info().pixel_size == pytest.approx((0.065, 0.065))


def test_no_pixel_size_is_invented(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((30, 31)), resolution=(72, 72), resolutionunit="INCH")
    assert ref(tmp_path / "a.tif").info().pixel_size is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_one_image(tmp_path, version):
    array = image((2, 3, 5, 30, 31))
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("s0", data=array, chunks=(1, 1, 5, 16, 16))
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "tczyx"]
    scale = [{"type": "scale", "scale": [1, 1, 2.0, 0.5, 0.25]}]
    described = {
        "multiscales": [
            {
                "axes": axes,
                "datasets": [{"path": "s0", "coordinateTransformations": scale}],
                "version": version,
            }
        ],
        "omero": {"channels": [{"label": n} for n in ("a", "b", "c")]},
    }
    group.attrs.update(described if version == "0.4" else {"ome": described})
    refs = find_images(str(tmp_path), "source")
    assert [r.name for r in refs] == ["a_t000", "a_t001"]
    info = refs[1].info()
    assert info.pixel_size == (2.0, 0.5, 0.25) and info.channel_names == ("a", "b", "c")
    np.testing.assert_array_equal(refs[1].read(), array[1].transpose(1, 2, 3, 0))
    np.testing.assert_array_equal(refs[1].open()[2:4, :, 7, 1], array[1, 1, 2:4, :, 7])


def test_a_corrupt_tiff_among_good_ones_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "good.tif", image((30, 31)))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 this is no TIFF")
    with pytest.raises(DataError, match=r"bad\.tif"):
        find_images(str(tmp_path), "source")
    problems: list[DataError] = []
    assert [r.name for r in find_images(str(tmp_path), "source", problems=problems)] == ["good"]
    assert len(problems) == 1 and "bad.tif" in str(problems[0])


@given(
    st.integers(1, 4000),
    st.sampled_from([None, "zlib"]),
    st.sampled_from([{}, {"imagej": True}, {"ome": True}]),
)
@settings(max_examples=60, deadline=None)
def test_a_truncated_tiff_never_gives_wrong_pixels(tmp_path_factory, missing, compression, options):
    array = image((3, 40, 41))
    path = tmp_path_factory.mktemp("t") / "a.tif"
    options = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}, **options}
    tifffile.imwrite(path, array, compression=compression, **options)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - missing)])
    for way in (lambda: ref(path).read(), lambda: ref(path).open()[...]):
        try:
            pixels = way()
        except DataError as error:
            assert "a.tif" in str(error)
        else:
            np.testing.assert_array_equal(pixels[..., 0], array)


def test_a_large_imagej_stack_with_one_directory_is_whole(tmp_path):
    array = image((3, 40, 41))
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    for pixels in (ref(tmp_path / "a.tif").read(), ref(tmp_path / "a.tif").open()[...]):
        np.testing.assert_array_equal(pixels[..., 0], array)


def test_one_image_spread_over_files_is_not_taken_for_several(tmp_path):
    planes = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">urn:{t}</UUID></TiffData>'
        for t, name in enumerate("ab")
    )
    for t, name in enumerate("ab"):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:{t}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
            'Type="uint16" SizeX="31" SizeY="30" '
            f'SizeC="1" SizeZ="1" SizeT="2"><Channel ID="Channel:0" />{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", image((30, 31)), description=xml, metadata=None)
    with pytest.raises(DataError, match=r"one of 2 files that form one image"):
        find_images(str(tmp_path), "source")


def test_several_images_in_one_file_are_refused_rather_than_dropped(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(image((30, 31)))
        tif.write(image((40, 41)))
    with pytest.raises(DataError, match="2 separate images"):
        find_images(str(tmp_path), "source")


@pytest.mark.parametrize("ending", [".czi", ".nd2", ".lif", ".oib", ".ims", ".vsi"])
def test_vendor_formats_say_what_to_install(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"x")
    with pytest.raises(DataError, match=r'pip install bioio .*"pydantic<2.14"'):
        find_images(str(tmp_path), "source")


@pytest.mark.parametrize("name", ["with space", "ümläut Ω", "it's", "a;b", "100%"])
def test_paths_with_unusual_letters(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    tifffile.imwrite(folder / f"{name} 1.tif", image((30, 31)))
    for text in (str(folder), f'  "{folder}" ', f"file://{folder}"):
        assert find_images(text, "source")[0].name == f"{name} 1"


def test_files_are_found_in_natural_order_without_what_is_no_image(tmp_path):
    for name in ("img10.tif", "img2.tif", "IMG1.TIF", ".hidden.tif", "._img2.tif"):
        tifffile.imwrite(tmp_path / name, image((30, 31)))
    for name in ("Thumbs.db", "notes.docx", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in find_files(str(tmp_path), "source")] == ["IMG1.TIF", "img2.tif", "img10.tif"]


def test_a_missing_folder_suggests_its_neighbours(tmp_path):
    (tmp_path / "images_train").mkdir()
    with pytest.raises(DataError, match=r"source = .*image_train.*did you mean 'images_train'"):
        find_files(str(tmp_path / "image_train"), "source")
    with pytest.raises(DataError, match="'images_train'"):
        find_files(str(tmp_path / "image_train" / "deeper"), "source")


def test_an_empty_folder_says_what_is_read_and_what_was_found(tmp_path):
    with pytest.raises(DataError, match=r"target = .*found: nothing"):
        find_files(str(tmp_path), "target")
    (tmp_path / "a.docx").touch()
    with pytest.raises(DataError, match=r"Readable are TIFF.*found: 1 x \.docx"):
        find_files(str(tmp_path), "target")


def test_a_folder_of_folders_lists_them(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"only folders.*'test', 'train'"):
        find_files(str(tmp_path), "source")


def test_an_unreadable_single_file_is_refused(tmp_path):
    (tmp_path / "a.docx").touch()
    with pytest.raises(DataError, match=r"\.docx.*Readable"):
        find_files(str(tmp_path / "a.docx"), "source")


def test_the_same_name_twice_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((30, 31)))
    Image.fromarray(image((30, 31), "uint8")).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png and a\.tif"):
        find_images(str(tmp_path), "source")


def test_a_zip_of_a_folder_is_unpacked_once(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image((30, 31)))
    with zipfile.ZipFile(tmp_path / "my images.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "my images/a.tif")
        archive.writestr("__MACOSX/my images/._a.tif", b"x")
    first = find_files(str(tmp_path / "my images.zip"), "source")
    assert [p.name for p in first] == ["a.tif"]
    assert find_files(str(tmp_path / "my images.zip"), "source") == first


@pytest.mark.parametrize(
    "name", ["../evil.tif", "/evil.tif", "a/../../evil.tif", "..\\evil.tif", "C:\\evil.tif"]
)
def test_a_zip_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.tif", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match=r"a\.zip was not unpacked.*evil\.tif"):
        find_files(str(tmp_path / "a.zip"), "source")
    assert not list(tmp_path.parent.rglob("evil.tif"))


def test_zips_of_regions_stay_as_they_are_where_they_are_targets(tmp_path):
    for name in ("img1_RoiSet.zip", "img2.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("0001.roi", b"x")
    also = (".zip", ".roi")
    assert [p.name for p in find_files(str(tmp_path), "target", also)] == ["img1_RoiSet.zip", "img2.zip"]
    assert [p.name for p in find_files(str(tmp_path / "img2.zip"), "target", also)] == ["img2.zip"]
    with pytest.raises(DataError, match=r"1 x \.roi"):
        find_files(str(tmp_path / "img2.zip"), "source")


def test_a_zip_with_a_link_is_refused(tmp_path):
    entry = zipfile.ZipInfo("link.tif")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        find_files(str(tmp_path / "a.zip"), "source")


def test_a_damaged_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match=r"a\.zip .*damaged"):
        find_files(str(tmp_path / "a.zip"), "source")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.tif", "a"),
        ("a.ome.tif", "a"),
        ("a.b.tif", "a.b"),
        ("a.ome.zarr", "a"),
        ("a.v2", "a.v2"),
        ("a.zip", "a"),
    ],
)
def test_stem(file, name):
    assert stem(Path(file)) == name


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="no real images: set ZCDL_REAL_DATA")
@pytest.mark.parametrize(
    ("folder", "count", "shape", "channels"),
    [
        ("unet2d/dsb2018_nuclei_binary/train/source", 24, (360, 360), 1),
        ("unet3d/bbbc050_nuclei/train/source", 8, (51, 124, 127), 1),
        ("deepstorm/random_emitters_sim", 20, (64, 64), 1),
        ("cyclegan/dsb2018_histology_fluorescence/test/source", 8, (256, 256), 3),
        ("yolo/bccd/images/test", 72, (480, 640), 3),
    ],
)
def test_real_images(folder, count, shape, channels):
    refs = find_images(str(REAL / folder), "source")
    assert len(refs) == count
    assert refs[0].info().shape == shape and refs[0].info().channels == channels
    assert np.ptp(refs[0].read()) > 0

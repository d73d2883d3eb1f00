"""Example data sets: the list itself, and folders that appear whole or not at all."""

import hashlib
import http.server
import json
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from zcdl_common import datasets
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.resources import resource
from zcdl_common.samples.layout import Pick, arrange, lay_out, match

NETWORKS = {"unet", "stardist", "care", "noise2void", "deepstorm", "pix2pix", "cyclegan", "yolo", "fnet"}
ENTRIES = datasets.entries()


@pytest.fixture
def server(tmp_path):
    """Serves the folder `tmp_path/www`; gives the folder and a function name -> entry of `files`."""
    www = tmp_path / "www"
    www.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(www)))
    threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def file(name):
        content = (www / name).read_bytes()
        return {
            "url": f"http://127.0.0.1:{one.server_port}/{name}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }

    yield www, file
    one.shutdown()
    one.server_close()


def listed(tmp_path, **changes):
    """A list with one entry, `mine`."""
    entry = {
        "kind": "download",
        "title": "t",
        "description": "d",
        "networks": ["unet"],
        "licence": "CC0-1.0",
        "citation": "c",
        "note": "n",
        "confidence": "recorded",
    } | changes
    path = tmp_path / f"{hashlib.md5(repr(entry).encode()).hexdigest()}.yaml"
    path.write_text(yaml.safe_dump({"mine": entry}))
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as box:
        for name, content in members.items():
            box.writestr(name, content)


def tiff(image, **options):
    from io import BytesIO

    stream = BytesIO()
    tifffile.imwrite(stream, image, **options)
    return stream.getvalue()


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir()) if folder else []


def test_every_network_has_a_download_and_a_set_that_works_offline():
    downloads = {n for e in ENTRIES.values() if e.kind == "download" for n in e.networks}
    offline = {n for e in ENTRIES.values() if e.kind != "download" for n in e.networks}
    assert downloads == offline == NETWORKS


def test_every_network_that_works_in_3d_has_an_offline_volume():
    volumes = {n for e in ENTRIES.values() if e.kind != "download" and e.axes == "ZYX" for n in e.networks}
    assert volumes >= {"unet", "stardist", "care", "noise2void", "fnet"}


def test_only_free_licences_are_listed():
    free = {"CC0-1.0", "CC-BY-4.0", "CC-BY-3.0", "MIT", "BSD-3-Clause"}
    assert {e.licence for e in ENTRIES.values()} <= free


def test_addresses_are_encrypted_and_hashes_plausible():
    files = [file for e in ENTRIES.values() for file in e.files]
    assert all(file.url.startswith("https://") for file in files)
    assert all(len(set(file.sha256)) > 8 for file in files)
    assert {f.name for f in ENTRIES["single_molecules"].files} == {
        "ArtificialDataset_demo1.tif",
        "positions_demo1.csv",
    }


def test_an_unknown_name_shows_the_closest_and_all():
    with pytest.raises(ConfigError, match=r"Did you mean 'nuclei_2d'\?.*sim_detect") as caught:
        datasets.prepare("nuclei2d")
    assert "nuclei2d" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "torrent"}, "kind"),
        ({"licens": "MIT"}, "licens"),
        ({"files": [{"url": "ftp://x/a.zip", "sha256": "0" * 64}]}, "url"),
        ({"files": [{"url": "https://x/a.zip", "sha256": "0" * 63}]}, "sha256"),
        ({"layout": {"train": "*.tif"}}, "layout"),
        ({"layout": {"target": "*.tif"}, "files": [{"url": "https://x/a", "sha256": "0" * 64}]}, "source"),
        ({"kind": "simulated"}, "needs simulation, axes, pixel_size"),
        ({}, "needs files, layout"),
    ],
)
def test_mistakes_in_the_list_are_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        datasets.entries(listed(tmp_path, **change))
    assert "mine" in str(caught.value)


def test_the_table_tells_what_a_reader_needs():
    rows = {row["name"]: row for row in datasets.table()}
    assert rows["blood_cells"]["size"] == "7.9 MB"
    assert rows["sim_detect"]["size"] == "no download"
    assert rows["dsb2018_nuclei"]["networks"] == "stardist, unet"
    assert all(row["licence"] and row["title"] and row["description"] for row in rows.values())


@pytest.mark.parametrize(("name", "shape"), [("nuclei_2d", (512, 512)), ("nuclei_3d", (31, 61, 57))])
def test_bundled_images_are_copied_with_axes_and_labels(tmp_path, name, shape):
    folders = datasets.prepare(name, tmp_path)
    (source,) = Path(folders.source).iterdir()
    (target,) = Path(folders.target).iterdir()
    assert source.name == target.name == f"{name}.tif"
    with tifffile.TiffFile(source) as tif:
        assert tif.series[0].shape == shape
        assert tif.series[0].axes == "ZYX"[-len(shape) :]
    assert len(np.unique(tifffile.imread(target))) > 30
    assert folders.test_source == ""
    assert folders.licence == "BSD-3-Clause"


def test_bundled_images_are_found_without_loading_their_package(tmp_path):
    code = (
        "import sys; from pathlib import Path; from zcdl_common import datasets;"
        f"datasets.prepare('nuclei_2d', Path({str(tmp_path)!r}));"
        "assert not {'stardist', 'tensorflow', 'torch', 'csbdeep'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_says_what_to_install(tmp_path):
    file = listed(tmp_path, kind="bundled", package="no_such_package_here", layout={"source": "a.tif"})
    with pytest.raises(DataError, match="pip install no_such_package_here"):
        datasets.prepare("mine", tmp_path, file)


def test_a_download_becomes_paired_folders(tmp_path, server):
    www, file = server
    zip_of(
        www / "a.zip",
        {
            "top/train/images/x.tif": b"1",
            "top/train/masks/x_mask.tif": b"2",
            "top/train/images/y.tif": b"3",
            "top/train/masks/y_mask.tif": b"4",
            "top/test/images/z.tif": b"5",
            "top/readme.txt": b"6",
        },
    )
    entries = listed(
        tmp_path,
        files=[file("a.zip")],
        layout={
            "source": "**/train/images/*.tif",
            "target": "**/train/masks/*_mask.tif",
            "test_source": "**/test/images/*.tif",
        },
    )
    folders = datasets.prepare("mine", tmp_path / "cache", entries)
    assert names(folders.source) == names(folders.target) == ["x.tif", "y.tif"]
    assert Path(folders.target, "y.tif").read_bytes() == b"4"
    assert names(folders.test_source) == ["z.tif"]
    assert folders[3:] == ("", "n", "CC0-1.0", "c")
    about = json.loads(Path(folders.source).with_name("dataset.json").read_text())
    assert about["licence"] == "CC0-1.0"


def test_a_prepared_set_is_found_again_without_the_server(tmp_path, server):
    www, file = server
    (www / "a.tif").write_bytes(b"1")
    entries = listed(tmp_path, files=[file("a.tif")], layout={"source": "*.tif"})
    first = datasets.prepare("mine", tmp_path / "cache", entries)
    (www / "a.tif").unlink()
    assert datasets.prepare("mine", tmp_path / "cache", entries) == first


def test_a_file_that_was_lost_comes_back_and_an_edited_one_stays(tmp_path):
    folders = datasets.prepare("nuclei_3d", tmp_path)
    Path(folders.source, "nuclei_3d.tif").unlink()
    Path(folders.target, "nuclei_3d.tif").write_bytes(b"corrected by hand")
    datasets.prepare("nuclei_3d", tmp_path)
    assert names(folders.source) == ["nuclei_3d.tif"]
    assert Path(folders.target, "nuclei_3d.tif").read_bytes() == b"corrected by hand"


def test_a_half_prepared_folder_is_never_taken_for_a_whole_one(tmp_path, monkeypatch):
    def fails_half_way(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(datasets, "_sign", fails_half_way)
        datasets.prepare("nuclei_2d", tmp_path)
    assert list(tmp_path.iterdir()) == []
    whole = datasets.prepare("nuclei_2d", tmp_path)
    Path(whole.source).with_name("dataset.json").write_text("{torn")
    assert datasets.prepare("nuclei_2d", tmp_path) == whole
    json.loads(Path(whole.source).with_name("dataset.json").read_text())


def test_a_wrong_hash_leaves_no_data_set(tmp_path, server):
    www, file = server
    zip_of(www / "a.zip", {"x.tif": b"1"})
    entries = listed(tmp_path, files=[file("a.zip") | {"sha256": "0" * 64}], layout={"source": "*.tif"})
    with pytest.raises(DataError, match=r"a\.zip"):
        datasets.prepare("mine", tmp_path / "cache", entries)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"source": "nowhere/*.tif"}, "nowhere"),
        ({"source": "*.tif", "target": "*_mask.png"}, "no partner"),
        ({"source": {"files": "*.tif", "only": "test.txt"}}, "test.txt"),
    ],
)
def test_an_archive_of_another_layout_is_an_error(tmp_path, server, layout, message):
    www, file = server
    zip_of(www / "a.zip", {"x.tif": b"1", "y.tif": b"1", "x_mask.png": b"2"})
    layout = {k: (v if k == "target" else _inside(v)) for k, v in layout.items()}
    layout = {k: ("**/" + v if isinstance(v, str) else v) for k, v in layout.items()}
    with pytest.raises(DataError, match=message):
        datasets.prepare("mine", tmp_path / "c", listed(tmp_path, files=[file("a.zip")], layout=layout))


def _inside(value):
    return value if isinstance(value, str) else {k: f"**/{v}" for k, v in value.items()}


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ZCDL_DATA", str(tmp_path))
    assert datasets.default_cache() == tmp_path
    monkeypatch.delenv("ZCDL_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert datasets.default_cache() == tmp_path / "zcdl" / "data"


def test_stars_name_the_result_and_two_stars_do_not():
    found = match(["**/micr/*_SEM.png"], ["a/b/micr/rat1_SEM.png", "micr/rat2_SEM.png", "a/rat3_SEM.png"])
    assert found == {"a/b/micr/rat1_SEM.png": "rat1", "micr/rat2_SEM.png": "rat2"}
    assert match(["*/*.tif"], ["a/b.tif", "a/b/c.tif", "a/bXtif"]) == {"a/b.tif": "a_b"}


def files_for(folder, members):
    for name, content in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_lists_exclusions_and_every_second_file(tmp_path):
    members = {f"a/{i}.tif": bytes([i]) for i in range(6)} | {"test.txt": b"1.tif\n4.tif\n"}
    archive = files_for(tmp_path / "in", members)

    def laid(number, **pick):
        return lay_out(Pick(files="a/*.tif", **pick), archive, tmp_path / str(number), "x", "", None)

    assert laid(1, only="test.txt") == ["1", "4"]
    assert laid(2, without="test.txt") == ["0", "2", "3", "5"]
    assert laid(3, exclude="**/2.tif", part=(1, 2)) == ["1", "4"]
    assert names(tmp_path / "1") == ["1.tif", "4.tif"]


def test_two_files_of_one_name_are_not_lost_silently(tmp_path):
    archive = files_for(tmp_path / "in", {"a/x.tif": b"1", "b/x.tif": b"2"})
    with pytest.raises(DataError, match="not unique"):
        lay_out(Pick(files="**/*.tif"), archive, tmp_path / "out", "x", "", None)


def test_panels_and_channels_are_cut_as_numpy_would():
    picture = np.random.default_rng(0).integers(0, 255, (4, 12, 3), np.uint8)
    third, axes = arrange(picture, "", panel=(2, 3))
    np.testing.assert_array_equal(third, picture[:, 8:])
    assert axes == "YXS"
    volume = np.random.default_rng(0).integers(0, 255, (5, 3, 4, 6))
    two, axes = arrange(volume, "ZCYX", [1, 2])
    np.testing.assert_array_equal(two, volume[:, 1:])
    assert axes == "ZCYX"
    one, axes = arrange(volume, "ZCYX", [2])
    np.testing.assert_array_equal(one, volume[:, 2])
    assert axes == "ZYX"
    last, axes = arrange(picture, "YXC", [0, 2])
    np.testing.assert_array_equal(last, np.stack([picture[..., 0], picture[..., 2]]))
    assert axes == "CYX"
    with pytest.raises(DataError, match="3 axes"):
        arrange(picture, "ZCYX")


def test_files_without_axes_get_them_with_the_pixel_size(tmp_path):
    stack = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)
    archive = files_for(tmp_path / "in", {"a.tif": tiff(stack)})
    lay_out(Pick(files="a.tif"), archive, tmp_path / "out", "name", "ZYX", (2.0, 0.5, 0.25))
    with tifffile.TiffFile(tmp_path / "out" / "name.tif") as tif:
        assert tif.series[0].axes == "ZYX"
        assert tif.imagej_metadata["spacing"] == 2.0
        numerator, denominator = tif.pages[0].tags["XResolution"].value
        assert numerator / denominator == pytest.approx(4.0)
        np.testing.assert_array_equal(tif.asarray(), stack)


VOC = """<annotation><filename>b.jpg</filename>
<object><name> RBC </name>
<bndbox><xmin>1</xmin><ymin>315</ymin><xmax>286</xmax><ymax>480</ymax></bndbox></object>
<object><name>WBC</name>
<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>3</xmax><ymax>12</ymax></bndbox></object>
</annotation>"""


def test_voc_boxes_become_tables_without_those_that_have_no_area(tmp_path):
    archive = files_for(tmp_path / "in", {"b.xml": VOC.encode()})
    lay_out(Pick(files="*.xml", boxes=True), archive, tmp_path / "out", "x", "", None)
    assert (tmp_path / "out" / "b.csv").read_text() == "image,class,y0,x0,y1,x1\nb.jpg,RBC,315,1,480,286\n"


def test_packaged_files_are_found_here_and_missing_ones_named():
    assert resource("datasets.yaml").name == "datasets.yaml"
    assert resource("notebooks").is_dir()
    with pytest.raises(FileNotFoundError, match="no_such_thing"):
        resource("no_such_thing")


def test_a_wheel_finds_its_files_inside_and_not_beside_it(tmp_path, monkeypatch):
    from zcdl_common import resources

    package = tmp_path / "site-packages" / "zcdl_common"
    (package / "notebooks").mkdir(parents=True)
    (package.parent / "notebooks").mkdir()
    (package.parent / "datasets.yaml").write_text("of another project")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resource("notebooks") == package / "notebooks"
    with pytest.raises(FileNotFoundError):
        resource("datasets.yaml")

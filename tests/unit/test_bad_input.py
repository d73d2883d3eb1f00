"""What goes wrong at a desk: every case ends in a sentence that says what, where, why and what to do."""

import errno
import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tifffile

from zcdl_common import checkpoint, checkup, cli, networks, session
from zcdl_common.errors import ConfigError, DataError, RunError, UserError
from zcdl_common.notebook import Notebook
from zcdl_common.run import open_run
from zcdl_common.samples.translate import brightfield_to_nuclei
from zcdl_common.translating import target_image


@pytest.fixture(autouse=True)
def headless(monkeypatch, home):
    """Nobody to click, and an empty working folder."""
    monkeypatch.setenv("ZCDL_HEADLESS", "1")
    monkeypatch.delenv("ZCDL_PARAMS", raising=False)


@pytest.fixture
def open_notebook(make, tmp_path):
    """A notebook whose parameters are those of a tiny training on `folder`."""

    def opened(folder=tmp_path, **params):
        nb = Notebook("unet")
        named = {"source": str(folder / "images"), "target": str(folder / "masks"), "name": "run"}
        nb.images({**named, "results": str(tmp_path / "runs"), **make.tiny, **params})
        return nb

    return opened


def refused(call, *words, error=UserError):
    """The message of a refusal, which holds all `words`."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    return text


def files_below(folder):
    """Every file with its digest."""
    return {
        p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


# -- images -----------------------------------------------------------------------------------------


def test_a_missing_partner_file_is_named_and_the_others_are_used(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    (tmp_path / "masks" / "cell_3.tif").unlink()
    nb = open_notebook()
    refused(nb.check, "run this cell again")
    shown = capsys.readouterr().out
    assert "cell_3.tif" in shown and "mask" in shown
    assert len(nb.data.samples) == 5


def test_no_partner_at_all_says_how_files_belong_together(make, tmp_path, open_notebook):
    make.pairs(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        path.rename(path.with_name("other_" + path.name.replace("cell", "zebra")))
    refused(open_notebook().check, str(tmp_path / "images"), str(tmp_path / "masks"), "by name", "Rename")


def test_a_mask_of_another_size_is_named_by_the_check(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    make.write(tmp_path / "masks" / "cell_2.tif", np.ones((20, 20), np.uint8))
    nb = open_notebook()
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "cell_2.tif" in shown and "48 x 40" in shown and "20 x 20" in shown


def test_a_mask_of_another_size_is_refused_before_a_run_folder_is_made(make, tmp_path, open_notebook):
    make.pairs(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        make.write(path, make.blobs((20, 24), 1)[1])
    refused(open_notebook().train)
    refused(lambda: make.begin(tmp_path), "cell_", "20 x 24", "48 x 40", error=DataError)
    assert not (tmp_path / "runs").exists()


def test_colour_pictures_are_refused_where_grey_was_trained(make, trained, tmp_path, capsys):
    rgb = np.random.default_rng(0).integers(0, 255, (40, 44, 3), np.uint8)
    (tmp_path / "new").mkdir()
    tifffile.imwrite(tmp_path / "new" / "rgb.tif", rgb, photometric="rgb")
    make.write(tmp_path / "new" / "grey.tif", make.blobs((40, 44), 9)[0])
    assert cli.main(["predict", str(trained.folder), str(tmp_path / "new")]) == 1
    shown = capsys.readouterr().out
    assert "rgb.tif" in shown and "3 channels" in shown and "channels = 0" in shown
    assert [p.name for p in (trained.folder / "predictions" / "new").iterdir()] == ["grey.tif"]


def test_following_the_advice_on_colour_pictures_works(make, trained, tmp_path, open_notebook):
    rgb = np.random.default_rng(0).integers(0, 255, (40, 44, 3), np.uint8)
    (tmp_path / "new").mkdir()
    tifffile.imwrite(tmp_path / "new" / "rgb.tif", rgb, photometric="rgb")
    run_there = ["predict", str(trained.folder), str(tmp_path / "new"), "--set", "channels=0"]
    assert cli.main(run_there) == 0
    shutil.rmtree(trained.folder / "predictions")
    open_notebook(model=str(trained.folder), channels="0", predict_source=str(tmp_path / "new")).predict()
    assert (trained.folder / "predictions" / "new" / "rgb.tif").exists()


def test_2d_files_among_3d_are_named(make, tmp_path, open_notebook):
    make.pairs(tmp_path, 4, (8, 32, 32))
    make.pairs(tmp_path, 4, (32, 32), first=4)
    nb = open_notebook()
    refused(nb.check)
    text = refused(nb.train, "2D", "3D", "separate folders", error=DataError)
    assert re.search(r"cell_\d\.tif", text)
    assert not (tmp_path / "runs").exists()


def test_a_three_axis_file_without_metadata_lists_the_choices(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    tifffile.imwrite(tmp_path / "images" / "cell_1.tif", np.zeros((5, 48, 40), np.uint16), metadata=None)
    refused(open_notebook().check)
    shown = capsys.readouterr().out
    assert "cell_1.tif" in shown and "axes" in shown and "ZYX" in shown and "TYX" in shown


def test_three_axis_files_train_once_axes_are_given(make, tmp_path):
    for i in range(3):
        image, mask = make.blobs((4, 32, 32), i)
        for kind, array in (("images", image), ("masks", mask)):
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / kind / f"m_{i}.tif", array, photometric="minisblack", metadata=None)
    run, data = make.train(tmp_path, axes="TYX")
    assert run.facts.ndim == 2 and len(data.samples) == 12
    assert len({s.group for s in data.split.train} & {s.group for s in data.split.test}) == 0


@pytest.mark.parametrize("name", ["source", "target"])
def test_an_empty_folder_is_named(make, tmp_path, open_notebook, name):
    make.pairs(tmp_path)
    (tmp_path / "empty").mkdir()
    refused(open_notebook(**{name: str(tmp_path / "empty")}).check, name, "empty", "nothing")


@pytest.mark.parametrize("name", ["source", "target", "test_source", "predict_source"])
def test_a_folder_that_does_not_exist_is_named_with_its_neighbour(
    make, tmp_path, open_notebook, trained, name
):
    make.pairs(tmp_path)
    wrong = {name: str(tmp_path / "image"), "test_target": "x" if name == "test_source" else ""}
    nb = open_notebook(**wrong, model=str(trained.folder) if name == "predict_source" else "")
    refused(nb.predict if name == "predict_source" else nb.check, name, "image", "did you mean 'images'")


def test_a_corrupt_image_among_good_ones_is_named_and_stops_nothing(
    make, tmp_path, open_notebook, capsys, trained
):
    make.pairs(tmp_path)
    torn = (tmp_path / "images" / "cell_2.tif").read_bytes()[:900]
    (tmp_path / "images" / "cell_2.tif").write_bytes(torn)
    (tmp_path / "images" / "cell_4.tif").write_bytes(b"not a tiff at all")
    nb = open_notebook()
    refused(nb.check)
    shown = capsys.readouterr().out
    assert "cell_2.tif" in shown and "cell_4.tif" in shown
    assert cli.main(["predict", str(trained.folder), str(tmp_path / "images")]) == 1
    shown = capsys.readouterr().out
    assert "2 could not be predicted" in shown and "cell_2.tif" in shown and "cell_4.tif" in shown
    written = sorted(p.name for p in (trained.folder / "predictions" / "images").iterdir())
    assert written == ["cell_0.tif", "cell_1.tif", "cell_3.tif", "cell_5.tif"]


def test_a_corrupt_mask_is_named(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    (tmp_path / "masks" / "cell_2.tif").write_bytes(b"II*\0 nonsense")
    nb = open_notebook()
    refused(nb.check)
    assert "cell_2.tif" in capsys.readouterr().out
    refused(nb.train, "cell_2.tif")
    assert not (tmp_path / "runs").exists()


def test_an_all_zero_mask_is_named_and_only_zero_masks_are_refused(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    make.write(tmp_path / "masks" / "cell_1.tif", np.zeros((48, 40), np.uint8))
    nb = open_notebook()
    report = checkup.examine(nb.data, nb.network, nb.config)
    assert "cell_1.tif" in report.text()
    for path in (tmp_path / "masks").iterdir():
        make.write(path, np.zeros((48, 40), np.uint8))
    nb = open_notebook()
    refused(nb.check)
    capsys.readouterr()
    refused(nb.train, str(tmp_path / "masks"), "one value only (0)", "0 for background", error=DataError)
    assert not (tmp_path / "runs").exists()


def test_nan_is_named_and_repaired_copies_train(make, tmp_path, open_notebook, capsys):
    make.pairs(tmp_path)
    image = make.blobs((48, 40), 3)[0].astype(np.float32)
    image[5:9, 5:9] = np.nan
    make.write(tmp_path / "images" / "cell_3.tif", image)
    before = files_below(tmp_path / "images")
    nb = open_notebook()
    report = checkup.examine(nb.data, nb.network, nb.config)
    assert "cell_3.tif" in report.text() and "NaN" in report.text()
    nb.repair()
    nb.check()
    nb.train()
    assert np.isfinite([row["loss"] for row in nb.run.history()]).all()
    assert files_below(tmp_path / "images") == before


def test_nan_in_an_image_never_reaches_the_weights(make, tmp_path):
    make.pairs(tmp_path)
    for path in (tmp_path / "images").iterdir():
        image = tifffile.imread(path).astype(np.float32)
        image[0, :7] = np.nan, np.inf, -np.inf, np.nan, np.nan, 0, 0
        make.write(path, image)
    run, _ = make.train(tmp_path)
    assert all(np.isfinite(row["loss"]) for row in run.history())
    assert all(np.isfinite(v).all() for v in run.load().state().values())


def test_float_images_outside_0_1_train_and_keep_their_values(make, tmp_path):
    make.pairs(tmp_path)
    for path in (tmp_path / "images").iterdir():
        make.write(path, (tifffile.imread(path).astype(np.float32) - 400) * 37)
    run, data = make.train(tmp_path)
    assert run.facts.dtype == "float32"
    source = run.scaling(data.split.train[0].source.read())
    assert np.percentile(source, 1) == pytest.approx(0, abs=1e-4)
    assert np.percentile(source, 99.8) == pytest.approx(1, abs=1e-4)


# -- pairs of images ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fields():
    """Bright field and fluorescence (96, 96) of 20 fields."""
    return [brightfield_to_nuclei(np.random.default_rng(i), (96, 96), (0.3, 0.3)) for i in range(20)]


@pytest.fixture
def open_fnet(make, tmp_path):
    """The fnet notebook on pairs of images, which are written first."""

    def opened(pairs, rename="{}", **params):
        for i, (light, stain) in enumerate(pairs):
            make.write(tmp_path / "light" / f"field_{i}.tif", light.astype(np.uint16))
            make.write(tmp_path / "stain" / f"{rename.format(f'field_{i}')}.tif", stain)
        nb = Notebook("fnet")
        named = {"source": str(tmp_path / "light"), "target": str(tmp_path / "stain"), "name": "run"}
        nb.images({**named, "results": str(tmp_path / "runs"), **params})
        return nb

    return opened


def test_good_pairs_of_bright_field_and_fluorescence_are_left_in_peace(open_fnet, fields, capsys):
    nb = open_fnet(fields[:14])
    nb.check()
    shown = capsys.readouterr().out
    assert "nothing to complain about" in shown
    assert not [word for word in ("clean", "noisy", "mask") if word in shown]
    assert nb.prepared.facts.channels


def test_unpaired_names_lead_to_cyclegan(open_fnet, fields):
    refused(open_fnet(fields[:8], rename="stained_{}_b").check, "by name", "CycleGAN", error=DataError)


def test_unpaired_contents_under_equal_names_lead_to_cyclegan(open_fnet, fields, capsys):
    open_fnet(
        [(light, stain) for (light, _), (_, stain) in zip(fields[:10], fields[10:], strict=True)]
    ).check()
    shown = capsys.readouterr().out
    assert "do not look like pairs of the same field" in shown and "CycleGAN notebook" in shown
    assert "fluorescence image" in shown


def test_images_of_a_binned_camera_are_named_once_and_enlarged_copies_are_used(
    open_fnet, fields, tmp_path, capsys
):
    nb = open_fnet([(light.reshape(48, 2, 48, 2).mean((1, 3)), stain) for light, stain in fields[:10]])
    before = files_below(tmp_path / "light")
    text = refused(nb.check, "1 problem", "nb.repair()", error=DataError)
    shown = capsys.readouterr().out
    assert shown.count("2 times as many pixels") == 1 and "48 x 48" in shown and "96 x 96" in shown, text
    nb.repair()
    nb.check()
    assert {s.size for s in nb.data.samples} == {(96, 96)} and nb.prepared.facts.shapes[0] == (96, 96)
    assert files_below(tmp_path / "light") == before


def test_stacks_with_a_flat_target_train_once_their_planes_are_channels(open_fnet, fields, capsys):
    stacks = [(np.stack([light, light[::-1], light.T]), stain) for light, stain in fields[:6]]
    refused(open_fnet(stacks).check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "a stack of 3 planes" in shown and "single plane" in shown and "set axes = CYX" in shown
    nb = open_fnet(stacks, axes="CYX")
    nb.check()
    assert nb.prepared.facts.ndim == 2 and len(nb.prepared.facts.channels) == 3


def test_a_single_pair_of_unequal_sizes_is_refused_before_it_is_divided(open_fnet, fields):
    light, stain = fields[0]
    nb = open_fnet([(light[:90], stain)])
    refused(nb.check, "field_0.tif", "90 x 96", "96 x 96", "Crop or scale", error=DataError)
    refused(open_fnet([(np.stack([light] * 4), stain)]).check, "axes = CYX", error=DataError)


def test_a_target_that_changes_after_the_check_is_not_called_a_clean_image(open_fnet, fields, make):
    nb = open_fnet(fields[:6])
    facts, sample = nb.prepared.facts, nb.data.samples[0]
    make.write(sample.target.path, fields[0][1][:90])
    text = refused(lambda: target_image(sample, facts), "target image", "90 x 96", error=DataError)
    assert "clean" not in text


@pytest.fixture
def open_stains(make, tmp_path, fields):
    """The fnet notebook on one folder of images and two of targets, as ``change`` has left them."""

    def opened(change=lambda: None, targets=("dna", "actin"), **params):
        for i, (light, stain) in enumerate(fields[:6]):
            for kind, image in (("light", light), ("dna", stain), ("actin", stain.T // 3)):
                make.write(tmp_path / kind / f"field_{i}.tif", image[:64, :60])
        change()
        nb = Notebook("fnet")
        named = {"source": str(tmp_path / "light"), "target": "; ".join(str(tmp_path / t) for t in targets)}
        nb.images({**named, "name": "run", "results": str(tmp_path / "runs"), **params})
        return nb

    return opened


def test_two_stains_in_two_folders_are_no_mistake(open_stains):
    assert open_stains().prepared.facts.extra["target_channels"] == ("dna", "actin")


def test_a_missing_folder_among_several_is_named_with_its_neighbour(open_stains):
    nb = open_stains(targets=("dna", "actni"))
    text = refused(nb.check, "target", "actni", "did you mean 'actin'", error=DataError)
    assert "dna" not in text


def test_a_file_that_one_of_several_target_folders_lacks_is_named_with_that_folder(open_stains, tmp_path):
    nb = open_stains(lambda: (tmp_path / "actin" / "field_3.tif").unlink())
    text = refused(nb.check, "target", "field_3.tif", f"not in {tmp_path / 'actin'}", "Add", error=DataError)
    assert "field_2" not in text and not (tmp_path / "runs").exists()


def test_an_image_without_any_target_is_named_and_the_others_are_used(open_stains, tmp_path, capsys):
    nb = open_stains(lambda: [(tmp_path / kind / "field_3.tif").unlink() for kind in ("dna", "actin")])
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "field_3.tif" in shown and "no fluorescence image of the same name" in shown
    assert len(nb.data.samples) == 5


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (("dna", "light"), ("light", "named twice", "transmitted-light images", "fluorescence images")),
        (("dna", "dna"), ("dna", "named twice", "fluorescence images", "take one out")),
    ],
)
def test_a_folder_stands_for_one_channel(open_stains, targets, words):
    refused(open_stains(targets=targets).check, *words, error=ConfigError)


def test_folders_of_one_name_are_channels_of_different_names(open_stains, tmp_path):
    def nest():
        for kind in ("dna", "actin"):
            shutil.copytree(tmp_path / kind, tmp_path / "stains" / kind / "tif")

    nb = open_stains(nest, ("stains/dna/tif", "stains/actin/tif"))
    assert nb.prepared.facts.extra["target_channels"] == ("dna tif", "actin tif")


@pytest.mark.parametrize("kind", ["light", "dna"])
def test_an_image_with_other_channels_is_named(open_stains, make, tmp_path, fields, capsys, kind):
    two = np.stack([stain[:64, :60] for _, stain in fields[:2]])
    nb = open_stains(lambda: make.write(tmp_path / kind / "field_2.tif", two, "CYX"), ("dna",))
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    word = "fluorescence images" if kind == "dna" else "images"
    assert "field_2.tif: it has 2 channels" in shown and f"the other {word} have 1" in shown
    refused(nb.train, "field_2.tif", "2 channels", error=DataError)
    assert not (tmp_path / "runs").exists(), "nor after the check was passed over"


@pytest.mark.parametrize("kind", ["light", "dna"])
def test_a_stack_among_planes_is_named(open_stains, make, tmp_path, fields, capsys, kind):
    stack = np.stack([stain[:64, :60] for _, stain in fields[:3]])
    nb = open_stains(lambda: make.write(tmp_path / kind / "field_2.tif", stack, "ZYX"), ("dna",))
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "field_2.tif" in shown and "single plane" in shown and "stack" in shown and "axes" in shown
    refused(nb.train, "field_2.tif", error=DataError)
    assert not (tmp_path / "runs").exists()


def test_channels_of_unequal_size_are_named_with_both_sizes(open_stains, make, tmp_path, fields, capsys):
    nb = open_stains(lambda: make.write(tmp_path / "actin" / "field_2.tif", fields[0][1][:50, :60]))
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "64 x 60" in shown and "50 x 60" in shown and "must have the same size" in shown
    refused(nb.train, "64 x 60", "50 x 60", error=DataError)
    assert not (tmp_path / "runs").exists()


def test_test_targets_of_fewer_stains_are_named(open_stains, tmp_path, capsys):
    def test_set():
        for kind in ("light", "dna"):
            shutil.copytree(tmp_path / kind, tmp_path / "test" / kind)
            for path in (tmp_path / "test" / kind).iterdir():
                path.rename(path.with_name(f"new_{path.name}"))

    named = {f"test_{k}": str(tmp_path / "test" / v) for k, v in (("source", "light"), ("target", "dna"))}
    nb = open_stains(test_set, **named)
    refused(nb.check, "run this cell again", error=DataError)
    shown = capsys.readouterr().out
    assert "new_field_0.tif" in shown and "1 channel, the other fluorescence images have 2" in shown


def test_a_patch_larger_than_the_fields_is_refused_with_one_that_fits(open_stains):
    words = ("patch_size = 128 x 128", "larger than the smallest training image", "64 x 60", "Try 64 x 56")
    refused(open_stains(patch_size="128, 128", depth=3).settings, *words, error=ConfigError)
    open_stains(patch_size="64, 56", depth=3).settings()


def test_partners_of_images_are_not_called_masks(open_fnet, fields):
    text = refused(open_fnet(fields[:4], rename="stained_{}_b").check, "cell_1_target.tif", error=DataError)
    assert "mask" not in text and ".zip" not in text


# -- parameters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("512, 512", ("patch_size = 512 x 512", "larger than the smallest training image", "48 x 40", "Try")),
        ("16", ("patch_size = 16", "2 dimensions", "2 numbers are needed")),
        ("8, 16, 16", ("patch_size = 8 x 16 x 16", "2 dimensions", "2 numbers are needed")),
        ("15, 16", ("patch_size = 15 x 16", "multiples of 2 x 2", "Try 14 x 16")),
        ("0, 0", ("patch_size",)),
        ("-16, 16", ("patch_size",)),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_one_that_does(images_2d, open_notebook, patch, words):
    refused(lambda: open_notebook(images_2d, patch_size=patch).settings(), *words, error=ConfigError)


@pytest.mark.parametrize("network", ["unet", "fnet"])
def test_a_batch_of_one_pixel_is_refused_before_training(images_2d, network):
    named = {"source": str(images_2d / "images"), "target": str(images_2d / "masks")}
    nb = Notebook(network)
    nb.images({**named, "depth": 4, "filters": 4, "patch_size": "16, 16", "batch_size": 1})
    refused(nb.settings, "batch_size = 1", "16 x 16", "Set batch_size = 2", error=ConfigError)
    nb.images({**named, "depth": 4, "filters": 4, "patch_size": "16, 32", "batch_size": 1})
    nb.settings()


def test_the_patch_that_is_proposed_works(images_2d, open_notebook):
    text = refused(open_notebook(images_2d, patch_size="512, 512").settings, "Try")
    proposed = re.search(r"Try ([\dx ]+)\.", text).group(1)
    open_notebook(images_2d, patch_size=proposed).settings()


@pytest.mark.parametrize("network", ["unet", "fnet", "pix2pix"])
def test_the_two_numbers_that_are_given_as_an_example_work(images_2d, network):
    named = {"source": str(images_2d / "images"), "target": str(images_2d / "masks")}
    nb = Notebook(network)
    nb.images({**named, "patch_size": "8"})
    text = refused(nb.settings, "2 numbers are needed, for example", error=ConfigError)
    nb.images({**named, "patch_size": re.search(r"for example ([\d, ]+)\.", text).group(1)})
    nb.settings()


@pytest.mark.parametrize("weights", ["1", "1, 2, 3", "1, -1", "0, 0"])
def test_class_weights_that_do_not_fit_the_classes_are_refused(images_2d, open_notebook, weights):
    refused(open_notebook(images_2d, class_weights=weights).train, "class_weights", error=ConfigError)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"epoch": 5}, ("epoch:", "no such parameter", "did you mean 'epochs'")),
        ({"epoch": ""}, ("epoch:", "no such parameter", "did you mean 'epochs'")),
        ({"xyzzy": 5}, ("xyzzy", "no such parameter")),
        ({"epochs": "many"}, ("epochs = 'many'", "a whole number is needed")),
        ({"epochs": 0}, ("epochs = 0", "it must be 1 or more")),
        ({"epochs": 2.5}, ("epochs = 2.5", "a whole number is needed")),
        ({"learning_rate": "fast"}, ("learning_rate = 'fast'", "a number is needed")),
        ({"learning_rate": 7}, ("learning_rate = 7", "it must be 1")),
        ({"augment": "perhaps"}, ("augment = 'perhaps'", "true or false is needed")),
        ({"loss": "diced"}, ("loss = 'diced'", "choose one of", "'dice'")),
        ({"patch_size": "a, b"}, ("patch_size", "two whole numbers", "for example 128, 128")),
        ({"patch_size": "0"}, ("patch_size = '0'", "two whole numbers above 0", "three for stacks")),
        ({"patch_size": {"y": 3}}, ("patch_size", "128, 128")),
        ({"name": "a/b"}, ("name = 'a/b'", "letters")),
        ({"name": ".."}, ("name = '..'",)),
        ({"epochs": 0, "losss": 1}, ("2 parameters", "epochs", "did you mean 'loss'")),
    ],
)
def test_a_mistyped_parameter_is_named_with_what_would_do(params, words):
    nb = Notebook("unet")
    refused(lambda: nb.images({"dataset": "nuclei_2d", **params}), *words, error=ConfigError)


def test_the_command_line_names_a_mistyped_parameter_before_a_kernel_starts(capsys):
    assert cli.main(["run", "unet", "--set", "epoch=5"]) == 1
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_an_unknown_network_is_named(capsys):
    assert cli.main(["run", "unett"]) == 1
    assert "Did you mean 'unet'" in capsys.readouterr().err


def test_a_group_pattern_that_is_none_is_explained(images_2d, open_notebook):
    refused(open_notebook(images_2d, group_by="cell_(").check, "group_by", "cell_(", "movie")


@pytest.mark.parametrize("spelling", ["{}", "  {} ", "'{}'", "file://{}", "\"'{}'\""])
def test_paths_are_taken_as_people_paste_them(images_2d, open_notebook, spelling):
    named = {k: spelling.format(images_2d / v) for k, v in (("source", "images"), ("target", "masks"))}
    assert len(open_notebook(**named).data.samples) == 6


def test_paths_with_spaces_quotes_and_umlauts_train(make, tmp_path, open_notebook):
    spelling = '"{}"'
    folder = tmp_path / "Größe O'Neil's images (1)"
    make.pairs(folder)
    for kind in ("images", "masks"):
        (folder / kind / "cell_0.tif").rename(folder / kind / "Zelle ä'ß #1.tif")
    named = {k: spelling.format(folder / v) for k, v in (("source", "images"), ("target", "masks"))}
    nb = open_notebook(
        folder, **named, results=spelling.format(folder / "meine läufe"), name="lauf 'ü' 1",
        predict_source=spelling.format(folder / "images" / "Zelle ä'ß #1.tif"),
    )  # fmt: skip
    nb.check()
    nb.train()
    nb.predict()
    run = folder / "meine läufe" / "lauf 'ü' 1"
    assert (run / "weights" / "best.pt").exists() and (run / "report.html").exists()
    assert next(iter((run / "predictions").rglob("*.tif"))).name == "Zelle ä'ß #1.tif"
    assert len(open_run(run).history()) == 2


# -- runs -------------------------------------------------------------------------------------------


def test_a_name_in_use_is_refused_with_a_free_one_and_nothing_there_changes(images_2d, trained, make):
    before = files_below(trained.folder)
    results = trained.folder.parent
    text = refused(
        lambda: make.begin(images_2d, results, loss="dice"),
        "'run' is in use", "loss", "Nothing there was changed", "name = run_2", error=RunError,
    )  # fmt: skip
    assert str(results) in text
    assert files_below(trained.folder) == before
    made, _ = make.begin(images_2d, results, loss="dice", name="run_2")
    assert made.folder == results / "run_2"


def test_a_name_of_a_folder_of_something_else_is_refused(images_2d, make, tmp_path):
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "thesis.docx").write_text("years of work")
    refused(lambda: make.begin(images_2d, tmp_path / "runs"), "something else than a run", "name = run_2")
    assert (tmp_path / "runs" / "run" / "thesis.docx").read_text() == "years of work"


def test_a_results_folder_that_is_a_file_is_refused(images_2d, make, tmp_path):
    (tmp_path / "results.txt").write_text("a table")
    refused(
        lambda: make.begin(images_2d, tmp_path / "results.txt"), "results", "results.txt", error=UserError
    )
    assert (tmp_path / "results.txt").read_text() == "a table"


@pytest.mark.parametrize("cell", ["check", "look", "settings", "preview", "train"])
def test_a_cell_before_the_images_are_chosen_says_where_to_choose_them(cell):
    refused(getattr(Notebook("unet"), cell), "section 2", "source", "dataset", error=ConfigError)


@pytest.mark.parametrize("cell", ["judge", "predict", "export", "download"])
def test_a_cell_before_training_says_what_to_run(images_2d, open_notebook, cell):
    refused(getattr(open_notebook(images_2d), cell), "section 5", "model", error=RunError)


def test_a_run_without_weights_says_what_to_run(images_2d, make, open_notebook, tmp_path):
    run, _ = make.begin(images_2d, tmp_path / "runs")
    nb = open_notebook(images_2d, model=str(run.folder))
    for cell in (nb.judge, nb.predict, nb.export):
        refused(cell, str(run.folder), "section 5", error=RunError)


@pytest.mark.parametrize("model", ["nowhere", "nowhere.zip", "broken.zip", "images"])
def test_a_model_that_is_none_is_named(images_2d, open_notebook, model, tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    (tmp_path / "images").mkdir()
    nb = open_notebook(images_2d, model=str(tmp_path / model), predict_source=str(images_2d / "images"))
    refused(nb.predict, model)


def test_a_half_copied_run_folder_is_refused(trained, open_notebook, images_2d):
    (trained.folder / "plan.yaml").unlink()
    refused(open_notebook(images_2d, model=str(trained.folder)).predict, "plan.yaml", error=RunError)


def test_a_config_of_a_newer_version_asks_for_an_update(trained):
    text = (trained.folder / "config.yaml").read_text()
    (trained.folder / "config.yaml").write_text(text.replace("format: 1", "format: 99"))
    refused(lambda: open_run(trained.folder), "config.yaml", "99", "pip install --upgrade")


def test_images_that_changed_after_training_are_noticed(make, tmp_path):
    make.pairs(tmp_path)
    run, data = make.train(tmp_path)
    (Path(data.split.test[0].source.path)).unlink()
    refused(lambda: session.judge(run), run.name, data.split.test[0].name, "test_source", error=DataError)


# -- disks ------------------------------------------------------------------------------------------


def no_room(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_a_checkpoint_is_written_loses_nothing(images_2d, make, tmp_path, monkeypatch):
    run, data = make.train(images_2d, tmp_path)
    longer, _ = make.begin(images_2d, tmp_path, epochs=4)
    with monkeypatch.context() as full:
        full.setattr(np, "savez", no_room)
        refused(
            lambda: session.train(longer, data), "No space left", "Make room", "checkpoint", error=RunError
        )
    assert checkpoint.newest(run.folder / "checkpoint").epoch == 2
    assert not list(run.folder.rglob(".*")), "half-written files are left"
    session.train(longer, data)
    assert len(longer.history()) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX systems can")
def test_a_disk_that_fills_anywhere_in_training_is_a_sentence(images_2d, make, tmp_path):
    import resource

    run, data = make.begin(images_2d, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        text = refused(lambda: session.train(run, data), "Make room", error=RunError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(run.folder) in text
    assert not list(run.folder.rglob(".*")), "half-written files are left"
    session.train(run, data)
    assert len(run.history()) == 2


def test_a_torn_newest_checkpoint_costs_an_epoch_and_changes_nothing(images_2d, make, tmp_path):
    straight, data = make.train(images_2d, tmp_path / "straight", epochs=4)
    run, _ = make.begin(images_2d, tmp_path / "torn", epochs=4)

    class Kill:
        def step(self, moment):
            return "killed" if moment.epoch == 4 else None

        def epoch(self, moment):
            return None

    session.train(run, data, [Kill()])
    newest = max((run.folder / "checkpoint").glob("epoch_*.npz"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    assert checkpoint.newest(run.folder / "checkpoint").epoch == 3
    session.train(run, data)
    one, other = straight.load("last").state(), run.load("last").state()
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)


# -- from outside -----------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter", ["source", "target", "predict_source"])
def test_a_zip_that_leads_out_of_its_folder_is_refused(
    make, tmp_path, open_notebook, trained, images_2d, parameter
):
    trap = tmp_path / "trap.zip"
    with zipfile.ZipFile(trap, "w") as archive:
        archive.writestr("cell_1.tif", (images_2d / "images" / "cell_1.tif").read_bytes())
        archive.writestr("../../escaped.tif", b"gotcha")
    params = {parameter: str(trap)} | ({"model": str(trained.folder)} if parameter[0] == "p" else {})
    nb = open_notebook(images_2d, **params)
    refused(
        nb.predict if parameter[0] == "p" else nb.check,
        "trap.zip",
        "../../escaped.tif",
        "Pack the images again",
    )
    assert not list(tmp_path.rglob("escaped.tif")) and not list(tmp_path.parent.glob("escaped.tif"))


def test_a_download_with_a_wrong_hash_is_refused_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    from zcdl_common import datasets

    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served" / "data.zip", "w") as archive:
        archive.writestr("images/a.tif", b"")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    handler.log_message = lambda *a: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/data.zip"
    entry = {
        "kind": "download", "title": "t", "description": "d", "networks": ["unet"], "licence": "CC0-1.0",
        "citation": "c", "confidence": "computed", "layout": {"source": "images/*.tif"},
        "files": [{"url": url, "sha256": "0" * 64}],
    }  # fmt: skip
    (tmp_path / "datasets.yaml").write_text(json.dumps({"cells": entry}))
    listed = partial(datasets.prepare, cache=tmp_path / "cache", file=tmp_path / "datasets.yaml")
    monkeypatch.setattr(datasets, "prepare", listed)
    nb = Notebook("unet")
    nb.images({"dataset": "cells"})
    try:
        refused(nb.check, "data.zip", "sha256", "0" * 12, "removed")
    finally:
        server.shutdown()
        server.server_close()
    assert not list((tmp_path / "cache").rglob("*.zip")) and not list((tmp_path / "cache").rglob("*.tif"))


def test_a_package_that_carries_code_is_refused_without_a_yes(images_2d, open_notebook, tmp_path):
    package = tmp_path / "foreign.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("rdf.yaml", _foreign_description(archive))
    nb = open_notebook(images_2d, start_from=str(package))
    refused(nb.train, "foreign.zip", "code", "allow_code")
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "runs").rglob("weights/*"))


def _foreign_description(archive):
    code = b"raise SystemExit('foreign code ran')\nclass Net: ...\n"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 1, 8, 8), np.float32))
    files = {"net.py": code, "weights.pt": b"weights", "test.npy": buffer.getvalue(), "README.md": b"# r"}
    for name, content in files.items():
        archive.writestr(name, content)
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    axes = [
        {"type": "batch"},
        {"type": "channel", "channel_names": ["c"]},
        {"type": "space", "id": "y", "size": 8},
        {"type": "space", "id": "x", "size": 8},
    ]
    tensor = {"axes": axes, "test_tensor": {"source": "test.npy", "sha256": digest["test.npy"]}}
    description = {
        "type": "model", "format_version": "0.5.4", "name": "foreign", "description": "d",
        "authors": [{"name": "A. Nyone"}], "cite": [{"text": "c", "doi": "10.1234/5678"}],
        "license": "MIT", "documentation": "README.md",
        "inputs": [{"id": "raw", **tensor}], "outputs": [{"id": "out", **tensor}],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt", "sha256": digest["weights.pt"], "pytorch_version": "2.5.0",
                "architecture": {"source": "net.py", "sha256": digest["net.py"], "callable": "Net"},
            }
        },
    }  # fmt: skip
    return json.dumps(description)


def test_code_in_weights_is_never_run(trained):
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (Path("ran"),))

    (trained.folder / "weights" / "best.pt").write_bytes(pickle.dumps(Trap()))
    refused(trained.load, "best.pt", error=RunError)
    assert not Path("ran").exists()


def test_starting_weights_of_another_shape_are_refused(images_2d, make, trained, tmp_path):
    run, data = make.begin(images_2d, tmp_path / "other", depth=2, filters=8, start_from=str(trained.folder))
    refused(lambda: session.train(run, data), str(trained.folder), "depth and filters", error=RunError)


def test_every_network_is_known():
    assert networks.get("unet").name == "unet"


def test_one_folder_named_twice_is_refused(images_2d, open_notebook):
    both = {"source": str(images_2d / "images"), "target": str(images_2d / "images")}
    refused(open_notebook(images_2d, **both).check, "named twice", "target", error=ConfigError)


def test_photographs_in_place_of_masks_are_refused(images_2d, open_notebook):
    swapped = {"source": str(images_2d / "masks"), "target": str(images_2d / "images")}
    refused(open_notebook(images_2d, **swapped).train, "no background", "swapped")


def test_a_group_pattern_that_matches_nothing_is_refused(images_2d, open_notebook):
    refused(open_notebook(images_2d, group_by="plate").check, "matches no file name", r"movie\d+")


def test_a_pixel_size_with_a_decimal_comma_is_refused(images_2d, open_notebook):
    refused(lambda: open_notebook(images_2d, pixel_size="0,2").check(), "pixel_size", "more than 0")

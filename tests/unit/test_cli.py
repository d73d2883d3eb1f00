import json

import numpy as np
import pytest

from zcdl_common import cli, datasets, headless, networks
from zcdl_common.errors import ConfigError, as_options
from zcdl_common.networks.unet import UNetConfig


@pytest.fixture(autouse=True)
def headless_there(monkeypatch, home):
    """The environment comes back as it was."""
    monkeypatch.setenv("ZCDL_HEADLESS", "1")
    monkeypatch.setenv("ZCDL_PARAMS", "")
    monkeypatch.delenv("ZCDL_PARAMS")


def parsed(*arguments):
    return cli._parser().parse_args(["run", "unet", *arguments])


def test_set_options_add_up_and_keep_text_as_it_is():
    args = parsed(
        "--set", "epochs=3", "patch_size=64,64", "--set", "source=/my data #1: a/x", "name=2024-01-02"
    )
    values = cli.settings(args.set)
    config = UNetConfig.parse(values)
    assert (config.epochs, config.patch_size) == (3, (64, 64))
    assert (config.source, config.name) == ("/my data #1: a/x", "2024-01-02")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [("augment=false", "augment", False), ("learning_rate=1e-4", "learning_rate", 1e-4),
     ("group_by=[ab]=\\d+", "group_by", "[ab]=\\d+"), ("pixel_size=0.5 0.5", "pixel_size", (0.5, 0.5)),
     ("epochs=", "epochs", None), (" seed = 4", "seed", 4), ("channels=0", "channels", ("0",))],
)  # fmt: skip
def test_values_are_what_the_parameter_needs(text, name, value):
    assert getattr(UNetConfig.parse(cli.settings([text])), name) == value


def test_a_pair_without_equals_sign_is_explained():
    with pytest.raises(ConfigError, match=r"'epochs' is no parameter.*--set epochs=50"):
        cli.settings(["epochs"])
    with pytest.raises(ConfigError, match=r"'128' is no parameter.*in quotes: --set 'patch_size=64, 128'"):
        cli.settings(["patch_size=64,", "128"])


def test_a_forgotten_set_is_proposed(capsys):
    assert cli.main(["run", "stardist", "epochs=3", "name=a"]) == 1
    assert "Did you mean --set epochs=3 name=a?" in capsys.readouterr().err
    assert cli.main(["run", "stardist", "--epochs", "3"]) == 1
    shown = capsys.readouterr().err
    assert "Not understood: --epochs 3" in shown and "Did you mean" not in shown


def test_advice_is_what_can_be_typed_here(tmp_path, capsys):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / "a.npy", np.zeros((5, 40, 40), "uint8"))
    assert cli.main(["check", str(tmp_path / "images"), str(tmp_path / "masks")]) == 1
    shown = capsys.readouterr().err
    assert "\n  - --set axes=TYX: " in shown and "parameter axes" not in shown
    said = "If its planes are separate images, set axes = TYX."
    assert as_options(said) == "If its planes are separate images, add --set axes=TYX."
    assert as_options("set output = mask, or draw") == "add --set output=mask, or draw"
    assert as_options("set pixel_size = 0.5, 0.1") == "set pixel_size = 0.5, 0.1", "half of it is wrong"


def test_columns_of_the_list_stand_below_each_other(capsys):
    cli.main(["list"])
    lines = capsys.readouterr().out.split("example data sets")[1].splitlines()[1:]
    titles = [row["title"] for row in datasets.table()]
    assert len({line.index(title) for line, title in zip(lines, titles, strict=True)}) == 1


def test_list_names_networks_and_data_sets(capsys):
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in networks.NETWORKS) and "nuclei_2d" in shown


def test_check_says_what_it_found_by_its_status(images_2d, make, tmp_path, capsys):
    folders = [str(images_2d / "images"), str(images_2d / "masks")]
    assert cli.main(["check", *folders]) == 0
    assert "cell_0.tif" in capsys.readouterr().out
    make.pairs(tmp_path)
    (tmp_path / "masks" / "cell_1.tif").write_bytes(b"torn")
    assert cli.main(["check", str(tmp_path / "images"), str(tmp_path / "masks")]) == 1
    assert "cell_1.tif" in capsys.readouterr().out


@pytest.mark.parametrize(("patch", "said"), [("8", "2 numbers are needed"), ("15,16", "Try ")])
def test_check_refuses_a_patch_that_run_would_refuse(images_2d, capsys, patch, said):
    folders = [str(images_2d / "images"), str(images_2d / "masks")]
    assert cli.main(["check", *folders, "--set", f"patch_size={patch}"]) == 1
    assert said in capsys.readouterr().err


def test_check_names_the_networks_and_asks_whether_masks_are_images(make, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in networks.NETWORKS) and "default: unet" in told
    for i in range(3):
        make.write(tmp_path / "a" / f"{i}.tif", make.blobs((48, 40), i)[0])
        noise = np.random.default_rng(i).integers(1, 50, (48, 40)).astype("uint16")
        make.write(tmp_path / "b" / f"{i}.tif", noise)
        make.write(tmp_path / "c" / f"{i}.tif", np.where(np.indices(noise.shape)[0] < 9, 0, noise))
    for folder in "bc":
        assert cli.main(["check", str(tmp_path / "a"), str(tmp_path / folder)]) == 1
        assert "add --network pix2pix, fnet or care" in "".join(capsys.readouterr())


def test_compare_prints_a_row_an_image_and_the_mean(images_2d, capsys):
    masks = str(images_2d / "masks")
    assert cli.main(["compare", masks, masks]) == 0
    shown = capsys.readouterr().out
    assert "cell_5" in shown and "mean" in shown and "iou" in shown


def test_predict_prints_where_and_fails_with_a_bad_file(trained, images_2d, tmp_path, capsys):
    arguments = ["predict", str(trained.folder), str(images_2d / "images"), "--set", "output=labels"]
    assert cli.main(arguments) == 0
    assert str(trained.folder / "predictions" / "images") in capsys.readouterr().out
    assert len(list((trained.folder / "predictions" / "images").glob("*_labels.tif"))) == 6
    assert cli.main(["predict", str(tmp_path), str(images_2d / "images")]) == 1
    assert "no run folder" in capsys.readouterr().err


def test_a_user_error_is_one_paragraph_without_a_trace(capsys):
    assert cli.main(["check", "nowhere", "elsewhere"]) == 1
    shown = capsys.readouterr().err
    assert "DataError: source = 'nowhere' does not exist" in shown and "Traceback" not in shown


def test_run_hands_parameters_of_file_options_and_out_to_the_notebook(tmp_path, monkeypatch):
    handed = []
    monkeypatch.setattr(headless, "execute", lambda network, params: handed.append((network, params)) or 3)
    old = UNetConfig.parse({"dataset": "nuclei_2d", "epochs": 7, "seed": 5})
    old.write(tmp_path / "config.yaml")
    arguments = ["--params", str(tmp_path / "config.yaml"), "--set", "epochs=9", "--out", str(tmp_path / "o")]
    assert cli.main(["run", "unet", *arguments]) == 3
    (network, params) = handed[0]
    config = UNetConfig.parse(params)
    assert network.name == "unet" and (config.epochs, config.seed) == (9, 5)
    assert config.results == str(tmp_path / "o")


def test_lab_copies_the_notebooks_and_never_over_a_changed_one(tmp_path):
    folder = tmp_path / "my notebooks"
    assert cli.main(["lab", "--folder", str(folder), "--no-open"]) == 0
    (folder / "unet.ipynb").write_text("mine")
    assert cli.main(["lab", "--folder", str(folder), "--no-open"]) == 0
    assert (folder / "unet.ipynb").read_text() == "mine"


@pytest.fixture
def short_notebook(tmp_path, monkeypatch):
    """A notebook of two cells in place of the shipped one."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    def shipped(code):
        cells = [new_code_cell("params = {}", metadata={"tags": ["parameters"]}), new_code_cell(code)]
        meta = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells, metadata=meta), tmp_path / "notebooks" / "unet.ipynb")
        monkeypatch.setattr(headless, "resource", lambda name: tmp_path / name)

    return shipped


def test_a_failing_notebook_fails_the_command_and_earlier_copies_stay(short_notebook, tmp_path, capsys):
    results = ["--out", str(tmp_path / "out"), "--set", "name=a"]
    short_notebook("import json\nprint(json.dumps(params))")
    assert cli.main(["run", "unet", *results, "epochs=3"]) == 0
    first = (tmp_path / "out" / "a.ipynb").read_text()
    lines = capsys.readouterr().out.splitlines()
    handed = json.loads(next(line for line in lines if line.startswith("{")))
    assert (handed["name"], int(handed["epochs"])) == ("a", 3)
    short_notebook("from zcdl_common.errors import DataError\nraise DataError('the mask is torn')")
    assert cli.main(["run", "unet", *results]) == 1
    shown = capsys.readouterr()
    assert "DataError: the mask is torn" in shown.err and "a_2.ipynb" in shown.err
    assert (tmp_path / "out" / "a.ipynb").read_text() == first
    assert "the mask is torn" in (tmp_path / "out" / "a_2.ipynb").read_text()


def test_folders_become_absolute_since_the_kernel_works_elsewhere(tmp_path):
    (tmp_path / "im").mkdir()
    found = headless._absolute({"source": "im; im", "target": "gone", "epochs": 3})
    assert found["source"] == f"{tmp_path.resolve() / 'im'};{tmp_path.resolve() / 'im'}"
    assert found["target"] == "gone" and found["epochs"] == 3


def test_a_finished_run_refuses_another_training_parameter(trained, images_2d, capsys):
    arguments = ["predict", str(trained.folder), str(images_2d / "images"), "--set", "depth=3"]
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert "depth cannot be changed" in said and "zcdl run unet --params" in said

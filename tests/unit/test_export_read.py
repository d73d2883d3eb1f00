"""Packages of others: opened, refused, never trusted."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from zcdl_common.errors import DataError, UserError
from zcdl_common.export.description import describe
from zcdl_common.export.info import Output, PackageInfo
from zcdl_common.export.read import NETS, open_package
from zcdl_common.network import WeightsFiles
from zcdl_common.scales import Percentile

INFO = PackageInfo(
    name="U-Net nuclei",
    nickname="unet-nuclei",
    description="",
    documentation="",
    channels=("raw",),
    step=(4, 4),
    outputs=(Output("mask", ("foreground",), (16, 16)),),
    preprocessing=tuple(Percentile(2, 99).zoo(2)),
    authors=("Ada Lovelace",),
    cite=(("U-Net", "10.1007/978-3-319-24574-4_28"),),
    extra={"zcdl_common": {"threshold": 0.4}},
)
CODE = b"import os\nclass Net: pass\n"


def package(path, code=CODE, name="net.py", change=lambda record: None, more=None):
    """A package with a state dict that says b"weights" and the architecture `code`."""
    folder = path.parent / "parts"
    folder.mkdir(exist_ok=True)
    (folder / "weights.pt").write_bytes(b"weights")
    (folder / name).write_bytes(code)
    buffer = io.BytesIO()
    np.save(buffer, np.ones((1, 1, 64, 64), np.float32))
    files = {"weights.pt": b"weights", name: code, "README.md": b"# Validation", "cover.png": b""}
    files |= dict.fromkeys(("test_input.npy", "test_output.npy"), buffer.getvalue())
    files |= dict.fromkeys(("sample_input.tif", "sample_output.tif", "environment.yaml"), b"")
    weights = WeightsFiles(
        {"pytorch_state_dict": folder / "weights.pt"}, folder / name, "Net", {"base": 8}, "2.13.0"
    )
    record = yaml.safe_load(describe(INFO, weights, files, ("cover.png",), [np.ones((1, 1, 64, 64))]))
    change(record)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rdf.yaml", yaml.safe_dump(record))
        for member, data in (files | (more or {})).items():
            archive.writestr(member, data)
    return path


def test_code_inside_a_package_is_refused_without_a_yes(tmp_path):
    with pytest.raises(UserError, match=r"net\.py.*allow_code = true"):
        open_package(package(tmp_path / "model.zip"), allow_code=False)


def test_with_a_yes_weights_and_architecture_are_there_until_the_result_goes(tmp_path):
    model = open_package(package(tmp_path / "model.zip"), allow_code=True)
    assert model.files["pytorch_state_dict"].read_bytes() == b"weights"
    assert model.architecture.read_bytes() == CODE
    assert (model.callable, model.kwargs, model.own) == ("Net", {"base": 8}, False)
    assert model.config["zcdl_common"]["threshold"] == 0.4
    scale = next(step for step in model.preprocessing if step["id"] == "scale_range")
    assert (scale["kwargs"]["min_percentile"], scale["kwargs"]["axes"]) == (2, ["y", "x"])
    folder = model.folder
    del model
    assert not folder.exists()


def test_an_architecture_of_ours_needs_no_yes(tmp_path):
    code = (NETS / "unet.py").read_bytes()
    folder = tmp_path / "kept"
    model = open_package(package(tmp_path / "model.zip", code, "unet.py"), allow_code=False, folder=folder)
    assert model.own
    assert sorted(path.name for path in folder.iterdir()) == ["unet.py", "weights.pt"]


def test_one_byte_more_than_ours_is_foreign_code(tmp_path):
    code = (NETS / "unet.py").read_bytes() + b"\n"
    with pytest.raises(UserError, match="allow_code"):
        open_package(package(tmp_path / "model.zip", code, "unet.py"), allow_code=False)


def test_a_callable_of_an_installed_module_is_code_too(tmp_path):
    def borrowed(record):
        record["weights"]["pytorch_state_dict"]["architecture"] = {
            "import_from": "os",
            "callable": "system",
            "kwargs": {"command": "true"},
        }

    with pytest.raises(UserError, match=r"\(os\)"):
        open_package(package(tmp_path / "model.zip", change=borrowed), allow_code=False)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "..\\evil.py", "C:/evil.py"])
def test_names_that_point_outside_are_refused(name, tmp_path):
    path = package(tmp_path / "model.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    with pytest.raises(DataError, match="outside"):
        open_package(path, allow_code=True, folder=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_description_that_names_a_file_outside_gets_nothing(tmp_path):
    secret = tmp_path / "secret.pt"
    secret.write_bytes(b"secret")

    def outside(record):
        record["weights"]["pytorch_state_dict"] |= {"source": "../secret.pt", "sha256": None}

    with pytest.raises(DataError):
        open_package(package(tmp_path / "model.zip", change=outside), allow_code=True)


def test_changed_weights_are_found_by_their_hash(tmp_path):
    def wrong(record):
        record["weights"]["pytorch_state_dict"]["sha256"] = "0" * 64

    with pytest.raises(DataError, match=r"weights\.pt.*hash"):
        open_package(package(tmp_path / "model.zip", change=wrong), allow_code=True)


@pytest.mark.parametrize("source", ["nothing/here.zip", "missing.zip"])
def test_a_missing_file_is_named(source):
    with pytest.raises(DataError, match=source):
        open_package(source, allow_code=False)


def test_a_damaged_zip_is_named(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="damaged"):
        open_package(path, allow_code=False)


def test_a_zip_of_something_else_is_no_package(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("image.tif", b"")
    with pytest.raises(DataError, match="no BioImage Model Zoo package"):
        open_package(path, allow_code=False)


def test_a_nickname_without_internet_says_what_to_do(monkeypatch):
    import bioimageio.spec

    def offline(*_, **__):
        raise ValueError("Empty (or unavailable) id map")

    monkeypatch.setattr(bioimageio.spec, "load_description", offline)
    with pytest.raises(DataError, match=r"affable-shark.*download the package from https://bioimage.io"):
        open_package("affable-shark", allow_code=False)


def test_packages_of_the_older_format_open(tmp_path):
    def older(record):
        entry = record["weights"]["pytorch_state_dict"]
        weights = {
            "source": "weights.pt",
            "architecture": "net.py:Net",
            "architecture_sha256": entry["architecture"]["sha256"],
            "kwargs": {"base": 4},
        }
        scale = {"mode": "per_sample", "axes": "yx", "min_percentile": 1, "max_percentile": 99.8}
        tensor = {"axes": "bcyx", "data_type": "float32"}
        shape = {"reference_tensor": "raw", "scale": [1] * 4, "offset": [0] * 4}
        kept = {key: record[key] for key in ("type", "name", "authors", "cite", "tags", "timestamp")}
        record.clear()
        record.update(
            kept,
            format_version="0.4.10",
            description="older",
            license="MIT",
            documentation="README.md",
            covers=["cover.png"],
            test_inputs=["test_input.npy"],
            test_outputs=["test_output.npy"],
            inputs=[
                tensor
                | {
                    "name": "raw",
                    "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 4, 4]},
                    "preprocessing": [{"name": "scale_range", "kwargs": scale}],
                }
            ],
            outputs=[tensor | {"name": "mask", "shape": shape, "halo": [0, 0, 8, 8]}],
            weights={"pytorch_state_dict": weights},
        )

    model = open_package(package(tmp_path / "model.zip", change=older), allow_code=True)
    assert (model.callable, model.kwargs) == ("Net", {"base": 4})
    assert model.architecture.read_bytes() == CODE
    assert [step["id"] for step in model.preprocessing].count("scale_range") == 1


def test_nets_are_found():
    assert Path(NETS, "unet.py").is_file()

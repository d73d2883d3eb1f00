"""The rules of older readers, each broken once in a description that keeps them."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml

from zcdl_common.errors import ExportError
from zcdl_common.export import rules
from zcdl_common.export.description import describe
from zcdl_common.export.guide import table, where_it_opens
from zcdl_common.export.info import Output, PackageInfo
from zcdl_common.export.package import build
from zcdl_common.export.readme import write as write_readme
from zcdl_common.network import WeightsFiles

INFO = PackageInfo(
    name="U-Net nuclei",
    nickname="unet-nuclei",
    description="",
    documentation="",
    channels=("raw",),
    step=(4, 4),
    outputs=(Output("mask", ("foreground",), (16, 16)),),
    pixel_size=(0.2, 0.1),
)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def package(path, change=lambda record: None, info=INFO, files=None):
    """A package whose description is `change`d; its weights are a state dict, which no rule reads."""
    source = path.parent / "weights.pt"
    source.write_bytes(b"weights")
    net = path.parent / "net.py"
    net.write_text("")
    names = ("sample_input.tif", "sample_output.tif", "weights.pt", "net.py", "environment.yaml")
    contents = dict.fromkeys(names, b"x")
    tensor = np.ones((1, 1, 64, 64), np.float32)
    contents |= {"test_input.npy": npy(tensor), "test_output.npy": npy(tensor)} | (files or {})
    weights = WeightsFiles({"pytorch_state_dict": source}, net, "Net", {}, "2.13.0+cpu")
    record = yaml.safe_load(describe(info, weights, contents, ("cover.png",), [tensor]))
    change(record)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (contents | {"rdf.yaml": yaml.safe_dump(record)}).items():
            archive.writestr(name, data)
    return path


def test_a_description_as_we_write_it_keeps_all_rules(tmp_path):
    errors, warnings = rules.check(package(tmp_path / "model.zip"))
    assert errors == []
    assert warnings == ["No torchscript, onnx or SavedModel weights: Fiji and QuPath cannot run this model."]


def setter(*keys):
    """Set the value at a path of keys in a description: ``setter("inputs", 0, "id")(value)``."""

    def with_value(value):
        def change(record):
            place = record
            for key in keys[:-1]:
                place = place[key]
            if value is None:
                del place[keys[-1]]
            else:
                place[keys[-1]] = value

        return change

    return with_value


BROKEN = {
    "documentation is no plain text": setter("documentation")({"source": "README.md"}),
    "covers are no plain file names": setter("covers")([{"source": "cover.png"}]),
    "format_version 0.6.0": setter("format_version")("0.6.0"),
    "Neither id nor": setter("config", "bioimageio", "nickname")(None),
    "a space axis has no id": setter("inputs", 0, "axes", 2, "id")(None),
    "is not one letter": setter("inputs", 0, "axes", 2, "id")("row"),
    "has no channel_names": setter("inputs", 0, "axes", 1, "channel_names")(None),
    "channel name 'DAPI 405'": setter("inputs", 0, "axes", 1, "channel_names")(["DAPI 405"]),
    "min 38 is no multiple": setter("inputs", 0, "axes", 2, "size", "min")(38),
    "nothing is left of the smallest tile": setter("outputs", 0, "axes", 2, "halo")(18),
    "does not know the processing step 'softmax'": setter("outputs", 0, "postprocessing")(
        [{"id": "softmax"}]
    ),
    "does not know hue of 'clip'": setter("inputs", 0, "preprocessing")(
        [{"id": "clip", "kwargs": {"hue": 1}}]
    ),
    "there is no test tensor": setter("inputs", 0, "test_tensor")(None),
    "keras_v3": setter("weights", "keras_v3")({"source": "weights.keras"}),
    "older readers refuse the field strict": setter("weights", "pytorch_state_dict", "strict")(True),
    "More than one input": lambda record: record["inputs"].append(record["inputs"][0]),
    "config.stardist.thresholds is missing": lambda record: record.update(
        name="my StarDist", config={**record["config"], "stardist": {"config": {}, "weights": "weights.pt"}}
    ),
}


@pytest.mark.parametrize("phrase", BROKEN)
def test_a_broken_rule_is_an_error_that_says_what(phrase, tmp_path):
    errors, _ = rules.check(package(tmp_path / "model.zip", BROKEN[phrase]))
    assert any(phrase in error for error in errors), errors


def test_pixel_size_as_axis_scale_is_an_error(tmp_path):
    def scale(record):
        for tensor in record["inputs"] + record["outputs"]:
            for axis in tensor["axes"][2:]:
                axis["scale"] = 0.2

    errors, _ = rules.check(package(tmp_path / "model.zip", scale))
    assert len([e for e in errors if "deepImageJ multiplies" in e]) == 2


def test_an_upsampling_output_is_described_for_the_zoo_and_warned_about(tmp_path):
    output = Output("density", ("density",), (32, 32), scale=(8.0, 8.0))
    info = PackageInfo(**{**vars(INFO), "outputs": (output,)})
    assert info.smallest == (12, 12)
    _, warnings = rules.check(package(tmp_path / "model.zip", info=info))
    assert any("8 times the size" in warning for warning in warnings)


def test_half_precision_and_wrong_rank_are_found(tmp_path):
    files = {"test_input.npy": npy(np.ones((1, 1, 64, 64), np.float16)), "test_output.npy": npy(np.ones(3))}
    errors, _ = rules.check(package(tmp_path / "model.zip", files=files))
    assert any("float16" in error for error in errors)
    assert any("has 1 axes, the description 4" in error for error in errors)


def test_newer_onnx_is_found(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    entry = {"source": "weights.onnx", "opset_version": 18, "external_data": {"source": "weights.data"}}
    path = package(
        tmp_path / "model.zip",
        setter("weights", "onnx")(entry),
        files={"weights.onnx": model.SerializeToString()},
    )
    errors, _ = rules.check(path)
    assert [error.split(":")[0] for error in errors] == [
        "weights.onnx",
        "onnx opset 18",
        "onnx file version 10",
        "onnx",
    ]


def field(number, data):
    """A length-delimited field in protobuf's wire format."""
    return bytes([8 * number + 2, len(data)]) + data


def test_saved_model_at_the_wrong_place_and_new_attributes_are_found(tmp_path):
    def saved_model(name, graph):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, graph)
        entry = {"source": "tf.zip", "tensorflow_version": "1.15.0"}
        change = setter("weights", "tensorflow_saved_model_bundle")(entry)
        return rules.check(package(tmp_path / "model.zip", change, files={"tf.zip": buffer.getvalue()}))

    assert any("not at the root" in e for e in saved_model("folder/saved_model.pb", b"")[0])
    # the name alone may stand in the list of known operations; only a node's attribute counts
    frame = field(4, b"serve serving_default explicit_paddings")
    assert not any("explicit_paddings" in w for w in saved_model("saved_model.pb", frame)[1])
    node = field(1, b"pool") + field(2, b"MaxPool") + field(5, field(1, b"explicit_paddings") + field(2, b""))
    graph = frame + field(2, b"\x08\x01" + field(2, field(1, node)))
    errors, warnings = saved_model("saved_model.pb", graph)
    assert errors == []
    assert any("explicit_paddings" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("test_input", "test_output", "phrase"),
    [
        (np.ones((1, 1, 64, 64)), np.random.rand(1, 1, 64, 64), "proves nothing"),
        (np.random.rand(1, 1, 64, 64), np.full((1, 1, 64, 64), np.nan), "NaN"),
        (np.random.rand(1, 2, 64, 64), np.random.rand(1, 1, 64, 64), "test input has the shape"),
        (np.random.rand(1, 1, 64, 64), [np.random.rand(1, 1, 64, 64)] * 2, "returns 2 tensors"),
    ],
)
def test_tensors_that_prove_nothing_are_refused(test_input, test_output, phrase, tmp_path):
    with pytest.raises(ExportError, match=phrase):
        build(INFO, WeightsFiles({}), test_input, test_output, tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


def test_a_state_dict_without_its_architecture_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    tensor = np.random.rand(1, 1, 64, 64).astype(np.float32)
    with pytest.raises(ExportError, match="architecture"):
        build(INFO, WeightsFiles({"pytorch_state_dict": path}), tensor, tensor, tmp_path / "model.zip")
    assert not (tmp_path / "model.zip").exists()


@pytest.mark.parametrize(
    ("step", "least", "words"),
    [
        ((16, 16), (240, 240), "tile Y 512 X 512 (or any multiple of 16 from 240)"),
        ((4, 4), (600, 600), "tile Y 600 X 600 (or any multiple of 4 from 600)"),
        ((2, 12), (30, 60), "tile Y 512 (or any multiple of 2 from 30), X 516 (or any multiple of 12"),
        ((4, 8, 8), (32, 64, 64), "tile Z 64 (or any multiple of 4 from 32), Y 128 ("),
        ((4, 4), (50, 50), "tile Y 514 X 514 (or 50, 54, 58 ...)"),
    ],
)  # fmt: skip
def test_a_sensible_tile_stands_before_the_rule(step, least, words):
    outputs = (Output("mask", ("foreground",), (4,) * len(step)),)
    info = replace(INFO, step=step, min_size=least, outputs=outputs, pixel_size=None)
    assert words in table(where_it_opens(info, ["onnx"]))


def test_the_stardist_plugin_comes_first_and_others_say_that_they_show_raw_maps():
    rays = Output("output", ("probability", *(f"distance_{i}" for i in range(32))), (16, 16))
    scaling = {"id": "scale_range", "kwargs": {"min_percentile": 1.0, "max_percentile": 99.8}}
    stardist = {"stardist": {"thresholds": {"prob": 0.5, "nms": 0.4}}}
    info = replace(INFO, outputs=(rays,), preprocessing=(scaling,), extra=stardist)
    first, *others = where_it_opens(info, ["tensorflow_saved_model_bundle", "onnx"])
    assert "StarDist plugin" in first.program and "raw maps" not in first.values
    for row in others[:-1]:
        assert "raw maps only (probability and 32 distances)" in row.values
        assert "use the StarDist plugin" in row.values, row.program


def test_a_citation_that_ends_in_a_full_stop_is_followed_by_a_comma_alone():
    text = write_readme(replace(INFO, cite=(("A paper. Journal 1, 2–3.", "10.1/x"),)), ["onnx"])
    assert "Journal 1, 2–3, doi:10.1/x" in text


def test_the_guide_names_programs_that_can_run_the_formats():
    programs = {row.program for row in where_it_opens(INFO, ["pytorch_state_dict", "torchscript", "onnx"])}
    assert {"Fiji with deepImageJ 3.1", "ilastik"} <= programs
    assert any(program.startswith("QuPath") for program in programs)
    programs = {row.program for row in where_it_opens(INFO, ["tensorflow_saved_model_bundle"])}
    assert "ilastik" not in programs
    text = table(where_it_opens(INFO, ["onnx"], "nuclei.zip"))
    assert "nuclei.zip" in text
    assert "tile Y 512 X 512 (or any multiple of 4 from 36)" in text
    assert "0.2 x 0.1 µm (YX)" in text

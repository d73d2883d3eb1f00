"""The page on which program opens what is whole, and the tools that write it say what they found."""

import io
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from cases import CASES, FORMATS
from test_export_rules import package as described

from zcdl_common import networks
from zcdl_common.export.guide import qupath_stops

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import compatibility  # noqa: E402
import open_package  # noqa: E402
import readers  # noqa: E402

PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
READERS = readers.readers(readers.ENGINE)


def table(text):
    """Cells of the first table, its heading first."""
    lines = text[text.index("\n| ") + 1 :].split("\n\n")[0].splitlines()
    heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return heading, rows


def test_the_page_has_a_row_for_every_network_dimension_and_format():
    _, rows = table(PAGE)
    expected = {
        (name, dimension, format)
        for name, network in networks.NETWORKS.items()
        for dimension in CASES[name]
        for format in FORMATS[network.backend]
    }
    assert {tuple(row[:3]) for row in rows} == expected
    assert len(rows) == len(expected)


def test_a_cell_of_the_page_passes_or_has_a_reason():
    heading, rows = table(PAGE)
    assert len(heading) == 3 + len(READERS)
    reasons = set(re.findall(r"^(\d+)\. \S", PAGE.split("## Why not")[1].split("\n## ")[0], re.M))
    for row in rows:
        for reader, cell in zip(READERS.values(), row[3:], strict=True):
            assert (cell == "-") == (row[2] not in reader.formats), row
            found = re.fullmatch(r"pass|-|not run|(?:no|not run) \((\d+)\)", cell)
            assert found, cell
            assert found[1] is None or found[1] in reasons


def test_the_summary_of_the_readme_counts_the_page():
    _, rows = table(PAGE)
    begin, end = (mark.strip() for mark in compatibility.MARKS)
    heading, lines = table(README.split(begin)[1].split(end)[0])
    assert len(lines) == len(READERS)
    for column, line in enumerate(lines, 3):
        for format, told in zip(heading[1:], line[1:], strict=True):
            cells = [row[column] for row in rows if row[2] == format]
            run = [cell for cell in cells if not cell.startswith("not run")]
            counted = (
                "-" if set(cells) == {"-"} else f"{run.count('pass')} of {len(run)}" if run else "not run"
            )
            assert told == counted, (line[0], format)


def test_what_was_not_opened_is_not_called_a_pass():
    passed, refused = ({"format": "rdf.yaml", "result": word, "note": "why"} for word in ("passed", "FAILED"))
    onnx = {"format": "onnx", "result": "passed", "note": ""}
    said = {
        ("zoo", "a"): {"holds": "", "rows": [passed, onnx]},
        ("zoo", "b"): {"holds": "", "rows": [refused]},
        ("spec", "a"): {"holds": "", "rows": [passed]},
        ("torch", "a"): "no such version",
    }
    cells = readers.judge(said, readers.ENGINE)
    assert cells["zoo", "a", "onnx"].passed
    assert ("zoo", "a", "torchscript") not in cells
    assert cells["zoo", "b", "onnx"] == (False, "why")
    assert cells["spec", "a", "onnx"].passed
    assert cells["torch", "a", "torchscript"] == (None, "no such version")
    lines = compatibility.summary(cells, readers.ENGINE).splitlines()[2:]
    counted = dict(zip(READERS, (line.strip("| ").split(" | ")[1:] for line in lines), strict=True))
    assert counted["zoo"][:3] == ["0 of 1", "0 of 1", "1 of 2"]
    assert counted["torch"] == ["-", "not run", "-", "-", "-"]


def test_rules_say_what_a_program_takes(tmp_path):
    path = described(tmp_path / "model.zip")
    (row,) = readers.by_rules("deepimagej", path)
    assert (row["format"], row["result"]) == ("pytorch_state_dict", "passed")
    (row,) = readers.by_rules("qupath", path)
    assert row["note"] == "QuPath's extension runs TorchScript alone"
    assert qupath_stops(2, 1, ["onnx", "torchscript"]) == ""
    assert "volumes" in qupath_stops(3, 1, ["torchscript"])
    assert "one output" in qupath_stops(2, 2, ["torchscript"])


def test_a_broken_rule_fails_every_format(tmp_path):
    def unnamed(record):
        del record["config"]["bioimageio"]["nickname"]

    (row,) = readers.by_rules("deepimagej", described(tmp_path / "model.zip", unnamed))
    assert row["result"] == "FAILED"
    assert "nickname" in row["note"]


@pytest.fixture
def doubling(tmp_path):
    """Packages of a network that doubles its input: ``doubling(expected test output)``."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 4, 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", ends[:1], ends[1:])
    opset = helper.make_opsetid("", 15)
    weights = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()

    def make(expected):
        axes = [{"id": name} for name in ("batch", "channel", "y", "x")]
        scale = {"id": "scale_linear", "kwargs": {"gain": 10.0, "offset": 1.0}}
        record = {
            "inputs": [
                {"id": "raw", "axes": axes, "test_tensor": {"source": "in.npy"}, "preprocessing": [scale]}
            ],
            "outputs": [{"id": "made", "axes": axes, "test_tensor": {"source": "out.npy"}}],
            "weights": {"onnx": {"source": "weights.onnx"}},
            "config": {
                "bioimageio": {
                    "reproducibility_tolerance": [{"relative_tolerance": 1e-3, "absolute_tolerance": 1e-3}]
                }
            },
        }
        files = {"rdf.yaml": yaml.safe_dump(record).encode(), "weights.onnx": weights}
        for name, array in (("in.npy", np.ones((1, 1, 4, 4), np.float32)), ("out.npy", expected)):
            buffer = io.BytesIO()
            np.save(buffer, array)
            files[name] = buffer.getvalue()
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return str(tmp_path / "model.zip")

    return make


def test_weights_alone_are_compared_with_the_test_output(doubling):
    right = np.full((1, 1, 4, 4), 22, np.float32)
    (row,) = open_package.run(doubling(right), "onnx")
    assert row["result"] == "passed"
    wrong = right.copy()
    wrong[..., 3, 3] += 0.1
    (row,) = open_package.run(doubling(wrong), "onnx")
    assert row == {"format": "onnx", "result": "FAILED", "note": "made differs by at most 1.0e-01"}
    (row,) = open_package.run(doubling(right[..., :1]), "onnx")
    assert "shape" in row["note"]
    assert open_package.run(doubling(right), "torchscript") == []

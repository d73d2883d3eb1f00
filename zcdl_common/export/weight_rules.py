"""What older engines stop at in a weights file."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

TORCH_ENGINES = ("1.7", "1.8", "1.9", "1.10", "1.11", "1.12", "1.13", "2.0")
NEW_TENSORFLOW = (
    "explicit_paddings",
    "allowed_devices",
    "half_pixel_centers",
    "Stateless",
    "FusedBatchNormV3",
)
"""Attributes and beginnings of operations in a graph that Fiji's TensorFlow 1 plugins do not know."""

Finding = tuple[str, str]
"""("error" or "warning", text)"""


def _torchscript(entry: Mapping[str, Any], data: bytes) -> Iterator[Finding]:
    version = str(entry.get("pytorch_version"))
    if ".".join(version.split(".")[:2]) not in TORCH_ENGINES:
        engine = "2.0.0" if version.startswith("2") else "1.13.1"
        yield "warning", f"torchscript of torch {version}: deepImageJ runs it on its own {engine}."
    with zipfile.ZipFile(io.BytesIO(data)) as inner:
        number = next((n for n in inner.namelist() if n.endswith("/version")), "")
        if not number or int(inner.read(number)) > 10:
            yield "error", "torchscript: the archive has no version, or one above 10; libtorch 2.0 stops."
        code = b"".join(inner.read(n) for n in inner.namelist() if "/code/" in n and n.endswith(".py"))
    operations = set(re.findall(r"(?:torch|ops\.\w+)\.(\w+)\(", code.decode()))
    if new := operations & {"scaled_dot_product_attention", "_native_multi_head_attention"}:
        yield "warning", f"torchscript uses {', '.join(sorted(new))}, which older libtorch does not know."


def _onnx(entry: Mapping[str, Any], data: bytes) -> Iterator[Finding]:
    import onnx

    model = onnx.load_from_string(data)
    if not 6 <= int(entry["opset_version"]) <= 17:
        yield "error", f"onnx opset {entry['opset_version']}: deepImageJ's onnxruntime 1.13 knows 6 to 17."
    if model.ir_version > 8:
        yield "error", f"onnx file version {model.ir_version}: onnxruntime 1.13 reads up to 8."
    if entry.get("external_data"):
        yield "error", "onnx: weights in a second file are not found by older readers."


def _saved_model(entry: Mapping[str, Any], data: bytes) -> Iterator[Finding]:
    yield "warning", "TensorFlow weights: deepImageJ does not offer them on Apple Silicon."
    version = [int(part) for part in str(entry.get("tensorflow_version")).split(".")[:2]]
    if version >= [2, 8]:
        yield "warning", "TensorFlow 2.8 or newer: deepImageJ needs Java 11, an older Fiji has Java 8."
    with zipfile.ZipFile(io.BytesIO(data)) as inner:
        if "saved_model.pb" not in inner.namelist():
            yield "error", "saved_model.pb is not at the root of the SavedModel's zip."
            return
        data = inner.read("saved_model.pb")
    if b"serve" not in data or b"serving_default" not in data:
        yield "error", "The SavedModel lacks the tag 'serve' or the signature 'serving_default'."
    names = set(_graph_names(data))
    if new := sorted(name for name in names if name.startswith(NEW_TENSORFLOW)):
        yield "warning", f"The graph holds {', '.join(new)}: Fiji's CSBDeep and StarDist plugins stop at it."


def _graph_names(saved_model: bytes) -> Iterator[str]:
    """Operations and attributes of all nodes.

    Field numbers are those of TensorFlow's saved_model.proto, meta_graph.proto, graph.proto and
    node_def.proto; TensorFlow itself takes seconds to load, and is no dependency of half the networks.
    """
    for meta_graph in _messages(saved_model, 2):
        for graph in _messages(meta_graph, 2):
            functions = [f for library in _messages(graph, 2) for f in _messages(library, 1)]
            nodes = [*_messages(graph, 1), *(n for function in functions for n in _messages(function, 3))]
            for node in nodes:
                yield from (name.decode() for name in _messages(node, 2))
                for attribute in _messages(node, 5):
                    yield from (name.decode() for name in _messages(attribute, 1))


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """Length-delimited fields with one number, in protobuf's wire format."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        field, kind = divmod(number(), 8)
        if kind == 0:
            number()
        elif kind == 2:
            length = number()
            if field == wanted:
                yield data[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]


READERS: dict[str, Callable[[Mapping[str, Any], bytes], Iterator[Finding]]] = {
    "torchscript": _torchscript,
    "onnx": _onnx,
    "tensorflow_saved_model_bundle": _saved_model,
}
"""What can be read of the weights that run in Java: format -> (entry of the description, file)."""

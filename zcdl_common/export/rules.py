"""What readers of a package that are older or stricter than `bioimageio.core` stop at.

The rules were read in the sources of JDLL 0.6 (the reader of deepImageJ 3.1), in the limits of
tiktorch (ilastik) and of QuPath's parser. An error keeps the package from opening or makes it wrong
there; a warning limits where it runs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from zcdl_common.export.weight_rules import READERS, Finding

PROCESSING = {
    "binarize": {"threshold"},
    "clip": {"min", "max"},
    "ensure_dtype": {"dtype"},
    "sigmoid": set[str](),
    "scale_linear": {"gain", "offset", "axes", "axis"},
    "scale_range": {"min_percentile", "max_percentile", "axes", "eps", "reference_tensor"},
    "zero_mean_unit_variance": {"axes", "eps"},
    "fixed_zero_mean_unit_variance": {"mean", "std", "axis", "axes", "eps"},
}
"""Steps that JDLL knows, and the keywords that it can set."""

WEIGHT_KEYS = {
    "source",
    "sha256",
    "authors",
    "parent",
    "architecture",
    "dependencies",
    "pytorch_version",
    "tensorflow_version",
    "opset_version",
}
"""Keys of a weights entry in format 0.5.3; its readers refuse others."""


def check(path: Path) -> tuple[list[str], list[str]]:
    """Errors and warnings of a package, in sentences; both empty where every reader is content."""
    with zipfile.ZipFile(path) as archive:
        if "rdf.yaml" not in archive.namelist():
            return ["rdf.yaml is missing at the root of the zip; deepImageJ looks for nothing else."], []
        record = yaml.safe_load(archive.read("rdf.yaml"))
        findings = [
            *_header(record),
            *(finding for tensor, _ in _tensors(record) for finding in _axes(tensor)),
            *_scales(record),
            *(finding for tensor, _ in _tensors(record) for finding in _processing(tensor)),
            *(finding for tensor, _ in _tensors(record) for finding in _test_tensor(tensor, archive)),
            *_weights(record, archive),
            *_stardist(record, archive),
        ]
    errors = [text for level, text in findings if level == "error"]
    return errors, [text for level, text in findings if level == "warning"]


def _tensors(record: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    for side in ("inputs", "outputs"):
        for tensor in record.get(side) or []:
            yield tensor, side


def _header(record: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(record.get("format_version"))
    if not version.startswith(("0.4", "0.5")):
        yield "error", f"format_version {version}: deepImageJ reads 0.4 and 0.5."
    for key in ("name", "description", "documentation", "license", "git_repo"):
        if not isinstance(record.get(key) or "", str):
            yield "error", f"{key} is no plain text: deepImageJ and ilastik stop with a cast error."
    if any(not isinstance(cover, str) for cover in record.get("covers") or []):
        yield "error", "covers are no plain file names: QuPath and ilastik cannot read them."
    nickname = ((record.get("config") or {}).get("bioimageio") or {}).get("nickname")
    if not nickname and not record.get("id"):
        yield "error", "Neither id nor config.bioimageio.nickname is set: deepImageJ stops (null pointer)."
    if record.get("id"):
        yield "warning", "id is set: the zoo assigns it and refuses such an upload."
    if len(record["inputs"]) > 1:
        yield "error", "More than one input: deepImageJ and ilastik take one."
    if len(record["outputs"]) > 1:
        yield "warning", "More than one output: ilastik takes one."


def _axes(tensor: Mapping[str, Any]) -> Iterator[Finding]:
    name = tensor.get("id")
    for axis in tensor["axes"]:
        kind, axis_id = axis.get("type"), axis.get("id")
        if kind in ("space", "time") and not axis_id:
            yield "error", f"{name}: a {kind} axis has no id; older readers do not know the default."
        elif kind in ("space", "time") and len(axis_id) != 1:
            yield "error", f"{name}: the axis id '{axis_id}' is not one letter, which deepImageJ needs."
        if kind == "channel" and not axis.get("channel_names"):
            yield "error", f"{name}: the channel axis has no channel_names: deepImageJ stops (null pointer)."
        for channel in axis.get("channel_names") or []:
            if not str(channel).isidentifier():
                yield (
                    "error",
                    f"{name}: older readers refuse the channel name '{channel}': letters, digits, _.",
                )
        size = axis.get("size")
        if isinstance(size, dict) and "min" in size and size["min"] % size["step"]:
            yield "error", f"{name}.{axis_id}: min {size['min']} is no multiple of step {size['step']}; "
            "deepImageJ proposes multiples of the step."


def _scales(record: Mapping[str, Any]) -> Iterator[Finding]:
    inputs = {
        (t["id"], a.get("id")): a for t, side in _tensors(record) if side == "inputs" for a in t["axes"]
    }
    for tensor, side in _tensors(record):
        if side == "inputs":
            continue
        for axis in tensor["axes"]:
            size = axis.get("size")
            if not isinstance(size, dict) or "tensor_id" not in size:
                continue
            scale = axis.get("scale", 1)
            reference = inputs.get((size["tensor_id"], size["axis_id"]), {})
            factor = reference.get("scale", 1) / scale
            place = f"{tensor['id']}.{axis.get('id')}"
            if factor == 1 and scale != 1:
                yield (
                    "error",
                    f"{place}: scale {scale:g} means the pixel size, but deepImageJ multiplies the size of "
                    "the output by it; leave scale out of both axes.",
                )
            elif factor != 1:
                yield (
                    "warning",
                    f"{place}: the output is {factor:g} times the size of the input; deepImageJ reads the "
                    "factor the other way round and cannot tile this model.",
                )
            smallest = (reference.get("size") or {}).get("min") if reference else None
            if smallest and smallest * factor <= 2 * axis.get("halo", 0):
                yield (
                    "error",
                    f"{place}: nothing is left of the smallest tile ({smallest * factor:g}) "
                    f"without its halo (2 x {axis['halo']}).",
                )


def _processing(tensor: Mapping[str, Any]) -> Iterator[Finding]:
    name = tensor.get("id")
    for step in [*(tensor.get("preprocessing") or []), *(tensor.get("postprocessing") or [])]:
        kind, kwargs = step.get("id"), step.get("kwargs") or {}
        if kind not in PROCESSING:
            yield "error", f"{name}: deepImageJ does not know the processing step '{kind}'."
            continue
        if unknown := sorted(set(kwargs) - PROCESSING[kind]):
            yield "error", f"{name}: deepImageJ does not know {', '.join(unknown)} of '{kind}'."
        if "batch" in (kwargs.get("axes") or []):
            yield "warning", f"{name}: '{kind}' over the batch axis: deepImageJ takes its letters for axes."
        if kwargs.get("reference_tensor"):
            yield "warning", f"{name}: deepImageJ ignores reference_tensor of '{kind}'."
        if isinstance(kwargs.get("mean"), list) or isinstance(kwargs.get("gain"), list):
            yield (
                "warning",
                f"{name}: lists of numbers in '{kind}' have crashed deepImageJ; one number is safe.",
            )


def _test_tensor(tensor: Mapping[str, Any], archive: zipfile.ZipFile) -> Iterator[Finding]:
    name = tensor.get("id")
    source = _source(tensor.get("test_tensor"))
    if not source:
        yield "error", f"{name}: there is no test tensor."
        return
    array = np.load(io.BytesIO(archive.read(source)), allow_pickle=False)
    if array.ndim != len(tensor["axes"]):
        yield "error", f"{source} has {array.ndim} axes, the description {len(tensor['axes'])}."
    if array.dtype.kind not in "bfiu" or array.dtype == np.float16:
        yield "error", f"{source}: deepImageJ cannot read the type {array.dtype}."


def _source(file: Any) -> str:
    return str(file.get("source", "")) if isinstance(file, dict) else str(file or "")


def _weights(record: Mapping[str, Any], archive: zipfile.ZipFile) -> Iterator[Finding]:
    weights = record["weights"]
    if not set(READERS) & set(weights):
        yield "warning", "No torchscript, onnx or SavedModel weights: Fiji and QuPath cannot run this model."
    if not {"torchscript", "onnx", "pytorch_state_dict"} & set(weights):
        yield "warning", "TensorFlow weights alone: ilastik cannot run this model."
    if "keras_v3" in weights:
        yield "error", "keras_v3 weights: readers of format 0.5.3 and older refuse the package."
    for kind, entry in weights.items():
        if unknown := sorted(set(entry) - WEIGHT_KEYS):
            yield "error", f"weights.{kind}: older readers refuse the field {', '.join(unknown)}."
    for kind, read in READERS.items():
        if kind in weights:
            yield from read(weights[kind], archive.read(_source(weights[kind])))


def _stardist(record: Mapping[str, Any], archive: zipfile.ZipFile) -> Iterator[Finding]:
    own = (record.get("config") or {}).get("stardist")
    if "stardist" not in record["name"].lower() or not own:
        return
    for key in ("config", "thresholds", "weights"):
        if key not in own:
            yield "error", f"config.stardist.{key} is missing: deepImageJ cannot rebuild the model."
    if own.get("weights") not in archive.namelist():
        yield "error", f"config.stardist.weights names {own.get('weights')}, which is not in the package."

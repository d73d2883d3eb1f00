"""The text of rdf.yaml, in the words that new and old readers of the zoo's format share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from zcdl_common.errors import ExportError
from zcdl_common.export.info import Output, PackageInfo, identifiers
from zcdl_common.network import WeightsFiles
from zcdl_common.task import Array

Files = dict[str, bytes]

FORMAT = "0.5.4"
"""Newer formats make `documentation` and `covers` mappings, at which deepImageJ, QuPath and ilastik stop."""

ORIGINALS = ("pytorch_state_dict", "keras_hdf5", "tensorflow_saved_model_bundle", "torchscript", "onnx")
"""The first of these that is present is what was trained; the others were converted from it."""

UNKNOWN = ("not stated",)
"""Older readers refuse a package without authors."""

_GENERAL = {
    "out_of_scope_use": "Images of another microscope, stain, magnification or kind of cell than the "
    "training images, unless validated there. Not for diagnosis.",
    "bias_risks_limitations": {
        "known_biases": "The model has seen the training images only: one kind of sample, imaged in one way.",
        "risks": "It gives an answer for every image, also for one unlike any that it has learned from.",
        "limitations": "Objects should appear as large, in pixels, as in the training images.",
        "recommendations": "Before measuring, compare predictions with some annotated images of your own.",
    },
}


def describe(
    info: PackageInfo,
    weights: WeightsFiles,
    files: Files,
    covers: Sequence[str],
    outputs: Sequence[Array],
) -> str:
    """The package's rdf.yaml; `files` are all other files by name."""
    file = _references(files)
    record: dict[str, Any] = {
        "format_version": FORMAT,
        "type": "model",
        "name": info.name,
        "description": info.description,
        "version": info.version,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "authors": [{"name": name} for name in info.authors or UNKNOWN],
        "cite": [{"text": text, "doi": doi} for text, doi in info.cite],
        "license": info.licence,
        "tags": list(dict.fromkeys(info.tags)),
        "links": ["deepimagej/deepimagej", "ilastik/ilastik"] if len(outputs) == 1 else [],
        "documentation": "README.md",
        "covers": list(covers),
        "attachments": [file(path.name) for path in info.attachments],
        "inputs": [
            {
                "id": info.input_name,
                "description": info.input_description or "image as it is in the file",
                "axes": _input_axes(info),
                "test_tensor": file("test_input.npy"),
                "sample_tensor": file("sample_input.tif"),
                "data": {"type": "float32"},
                "preprocessing": [dict(step) for step in info.preprocessing],
            }
        ],
        "outputs": [
            {
                "id": output.name,
                "description": output.description,
                "axes": _output_axes(info, output),
                "test_tensor": file(f"test_{key}.npy"),
                "sample_tensor": file(f"sample_{key}.tif"),
                "data": {"type": "float32"} | ({"range": list(output.range)} if output.range else {}),
                "postprocessing": [dict(step) for step in output.postprocessing],
            }
            for output, key in zip(info.outputs, info.output_keys, strict=True)
        ],
        "weights": _weights(info, weights, files),
        "config": _config(info, outputs),
    }
    if info.git_repo:
        record["git_repo"] = info.git_repo
    if info.parent:
        record["parent"] = {"id": info.parent}
    if info.training_data:
        record["training_data"] = dict(info.training_data)
    return yaml.safe_dump(_plain(record), sort_keys=False, allow_unicode=True, width=110)


def environment(name: str) -> str:
    """Conda environment that runs the architecture file, which imports torch alone."""
    record = {
        "name": name,
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python >=3.10", "pytorch >=2.0"],
    }
    return yaml.safe_dump(record, sort_keys=False)


def _references(files: Files) -> Any:
    def reference(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    return reference


def _with_channels(info: PackageInfo, channels: Sequence[str], space: list[dict[str, Any]]) -> list[Any]:
    # explicit ids: older readers do not know the defaults
    names = identifiers(channels)
    channel: dict[str, Any] = {"type": "channel", "id": "channel", "channel_names": names}
    if names != list(channels):
        channel["description"] = ", ".join(channels)[:128]
    batch = {"type": "batch", "id": "batch"}
    return [batch, channel, *space] if info.channel_axis == "first" else [batch, *space, channel]


def _input_axes(info: PackageInfo) -> list[Any]:
    # No `scale`: the format means the pixel size by it, JDLL (deepImageJ) output size / input size.
    # Only 1, the default, is the same in both; the pixel size stands in the description and in config.
    space: list[dict[str, Any]] = []
    for axis, name in enumerate(info.axis_names):
        size = {"min": info.smallest[axis], "step": info.step[axis]}
        space.append({"type": "space", "id": name, "size": size})
        if info.pixel_size:
            space[-1]["description"] = (
                f"pixel size of the training images: {info.pixel_size[axis]:g} micrometer"
            )
    return _with_channels(info, info.channels, space)


def _output_axes(info: PackageInfo, output: Output) -> list[Any]:
    space: list[dict[str, Any]] = []
    for axis, name in enumerate(info.axis_names):
        space.append(
            {
                "type": "space",
                "id": name,
                "size": {"tensor_id": info.input_name, "axis_id": name, "offset": 0},
            }
        )
        if output.halo[axis]:
            space[-1]["halo"] = output.halo[axis]
        if output.scale and output.scale[axis] != 1:
            space[-1]["scale"] = 1 / output.scale[axis]
    return _with_channels(info, output.channels, space)


def _weights(info: PackageInfo, weights: WeightsFiles, files: Files) -> dict[str, Any]:
    file = _references(files)
    original = next((name for name in ORIGINALS if name in weights.files), "")
    if not original or set(weights.files) - set(ORIGINALS):
        raise ExportError(
            f"No package can be made of the weight formats {sorted(weights.files)}; "
            f"known are {', '.join(ORIGINALS)}."
        )
    version = weights.version.split("+")[0]
    entries: dict[str, Any] = {}
    for name in ORIGINALS:
        if name not in weights.files:
            continue
        entry: dict[str, Any] = file(weights.files[name].name)
        entry["authors"] = [{"name": author} for author in info.authors or UNKNOWN]
        if name != original:
            entry["parent"] = original
        if name in ("pytorch_state_dict", "torchscript"):
            entry["pytorch_version"] = version
        elif name == "keras_hdf5":
            entry["tensorflow_version"] = version
        elif name == "tensorflow_saved_model_bundle":
            # a frozen graph of old operations; a newer number makes deepImageJ ask for Java 11
            entry["tensorflow_version"] = "1.15.0"
        else:
            entry["opset_version"] = _opset(files[weights.files[name].name])
        if name == "pytorch_state_dict":
            if weights.architecture is None:
                raise ExportError("A pytorch_state_dict is of no use without its architecture file.")
            entry["architecture"] = {
                **file(weights.architecture.name),
                "callable": weights.callable,
                "kwargs": dict(weights.kwargs),
            }
            entry["dependencies"] = file("environment.yaml")
        entries[name] = entry
    return entries


def _opset(data: bytes) -> int:
    import onnx

    return int(
        max(o.version for o in onnx.load_from_string(data).opset_import if o.domain in ("", "ai.onnx"))
    )


def _config(info: PackageInfo, outputs: Sequence[Array]) -> dict[str, Any]:
    # the format asks for an absolute tolerance below 1 % of the largest value of every output
    largest = min(float(output.max()) for output in outputs)
    tolerance = {
        "relative_tolerance": info.tolerance,
        "absolute_tolerance": float(f"{info.tolerance * max(largest, 0.0):.1e}"),
    }
    general: dict[str, Any] = {**_GENERAL, **info.details}
    limits = {**_GENERAL["bias_risks_limitations"], **general["bias_risks_limitations"]}  # type: ignore[dict-item]
    own = dict(info.extra.get("zcdl_common", {}))
    if info.pixel_size:
        own["pixel_size_micrometer"] = dict(zip(info.axis_names, info.pixel_size, strict=True))
    return {
        **info.extra,
        "bioimageio": {
            "nickname": info.nickname,
            "reproducibility_tolerance": [tolerance],
            **general,
            "bias_risks_limitations": limits,
        },
        "deepimagej": {"allow_tiling": info.allow_tiling, "pyramidal_model": False, "model_keys": None},
        **({"zcdl_common": own} if own else {}),
    }


def _plain(value: Any) -> Any:
    """Built-in types alone, for YAML: NumPy numbers, tuples and paths come from everywhere."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)

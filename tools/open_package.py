"""Open packages in the environment at hand, which need hold no more than a reader and its backend.

    python -I tools/open_package.py {core,spec,onnx,torchscript,saved_model} package.zip ...

`compatibility.py` calls this; it prints a line of JSON for each package. The oldest engine needs
Python 3.7, so nothing newer is used here.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from importlib import util
from typing import Any

SHOWN = (
    *("bioimageio.core", "bioimageio.spec", "torch", "onnxruntime", "tensorflow-cpu", "tensorflow"),
    *("keras", "pydantic", "numpy"),
)
FORMATS = {"onnx": "onnx", "torchscript": "torchscript", "saved_model": "tensorflow_saved_model_bundle"}


def spec(package: str) -> list[dict[str, str]]:
    """The description alone."""
    from bioimageio.spec import load_description

    summary = load_description(package).validation_summary
    # newer readers keep "passed" for what was executed too
    row = _row("rdf.yaml", summary.status in ("passed", "valid-format"), _errors(summary))
    filled = getattr(summary, "metadata_completeness", None)
    return [row if filled is None else {**row, "completeness": f"{filled:.2f}"}]


def core(package: str) -> list[dict[str, str]]:
    """`bioimageio.core`'s own test of every weight format."""
    from bioimageio.core import load_description, test_model
    from loguru import logger

    logger.remove()
    rows = spec(package)
    if rows[0]["result"] == "passed":
        for name in load_description(package).weights.available_formats:
            summary = test_model(package, weight_format=name, devices=["cpu"])
            rows.append(_row(name, summary.status == "passed", _errors(summary)))
    return rows


def _row(name: str, passed: bool, note: str) -> dict[str, str]:
    return {"format": name, "result": "passed" if passed else "FAILED", "note": note}


def _errors(summary: Any) -> str:
    errors = [f"{error.loc}: {error.msg}" for detail in summary.details for error in detail.errors]
    return " ".join("; ".join(errors).split())[:200]


def run(package: str, name: str) -> list[dict[str, str]]:
    """Run the weights of one format as programs without `bioimageio.core` do, against the test output."""
    import numpy as np
    import yaml

    with zipfile.ZipFile(package) as archive:
        record = yaml.safe_load(archive.read("rdf.yaml"))
        if name not in record["weights"]:
            return []
        weights = archive.read(record["weights"][name]["source"])
        tensors = [*record["inputs"], *record["outputs"]]
        files = [archive.read(tensor["test_tensor"]["source"]) for tensor in tensors]
    raw, *wanted = [np.load(io.BytesIO(file)) for file in files]
    engine = {"onnx": _onnx, "torchscript": _torchscript}.get(name, _saved_model)
    outputs = engine(weights, process(raw, record["inputs"][0]))
    if len(outputs) != len(wanted):
        return [_row(name, False, f"{len(outputs)} outputs, the description names {len(wanted)}")]
    stated = record["config"]["bioimageio"]["reproducibility_tolerance"][0]
    passed, notes = True, []
    for tensor, output, expected in zip(record["outputs"], outputs, wanted):  # noqa: B905
        made = process(output, tensor)
        if made.shape != expected.shape:
            return [_row(name, False, f"{tensor['id']} has the shape {made.shape}, not {expected.shape}")]
        difference = np.abs(made - expected)
        allowed = stated["absolute_tolerance"] + stated["relative_tolerance"] * np.abs(expected)
        passed = passed and bool((difference <= allowed).all())
        notes.append(f"{tensor['id']} differs by at most {difference.max():.1e}")
    return [_row(name, passed, "; ".join(notes))]


def _onnx(weights: bytes, image: Any) -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: image}))


def _torchscript(weights: bytes, image: Any) -> list[Any]:
    import torch

    with torch.no_grad():
        made = torch.jit.load(io.BytesIO(weights))(torch.from_numpy(image))
    return [tensor.numpy() for tensor in (made if isinstance(made, tuple) else (made,))]


def _saved_model(weights: bytes, image: Any) -> list[Any]:
    """As Java's engines do: a session, its tag and its signature."""
    import tensorflow

    old = tensorflow.compat.v1
    with tempfile.TemporaryDirectory() as folder, old.Session(graph=old.Graph()) as session:
        zipfile.ZipFile(io.BytesIO(weights)).extractall(folder)
        signature = old.saved_model.loader.load(session, ["serve"], folder).signature_def["serving_default"]
        (source,) = signature.inputs.values()
        targets = [signature.outputs[key].name for key in sorted(signature.outputs)]
        return list(session.run(targets, {source.name: image}))


def process(array: Any, tensor: dict[str, Any]) -> Any:
    """Pre- or postprocessing of a tensor as the format defines it, in NumPy; float32."""
    import numpy as np

    names = [axis["id"] for axis in tensor["axes"]]
    for step in [*tensor.get("preprocessing", []), *tensor.get("postprocessing", [])]:
        how = step["kwargs"]
        axes = tuple(names.index(name) for name in how.get("axes", names))
        if step["id"] == "scale_range":
            ends = (how["min_percentile"], how["max_percentile"])
            low, high = np.percentile(array, ends, axis=axes, keepdims=True)
            array = (array - low) / (high - low + how["eps"])
        elif step["id"] == "zero_mean_unit_variance":
            mean, std = array.mean(axes, keepdims=True), array.std(axes, keepdims=True)
            array = (array - mean) / (std + how["eps"])
        elif step["id"] == "fixed_zero_mean_unit_variance":
            along = [-1 if name == how.get("axis") else 1 for name in names]
            array = (array - np.reshape(how["mean"], along)) / (np.reshape(how["std"], along) + 1e-6)
        elif step["id"] == "scale_linear":
            array = array * how["gain"] + how["offset"]
        else:
            raise ValueError(f"open_package.py does not know the step {step['id']}")
    return np.asarray(array, np.float32)


def holds() -> str:
    """Versions of what is in this environment."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        import importlib_metadata as metadata

    versions = {str(held.metadata["Name"]).lower(): held.version for held in metadata.distributions()}
    named = [f"{name} {versions[name]}" for name in SHOWN if name in versions]
    return ", ".join([f"Python {sys.version.split()[0]}", *named])


def main(way: str, packages: list[str]) -> None:
    """A line of JSON a package: what the environment holds, and a row a weight format."""
    if util.find_spec("zcdl_common"):
        raise SystemExit("zcdl_common is installed here, so this would prove nothing")
    reader = {"core": core, "spec": spec}.get(way, lambda package: run(package, FORMATS[way]))
    for package in packages:
        try:
            rows = reader(package)
        except Exception as error:  # whatever a reader stumbles over is its answer
            text = " ".join(str(error).split())[:200]
            rows = [_row(FORMATS.get(way, "rdf.yaml"), False, f"{type(error).__name__}: {text}")]
        print(json.dumps({"package": package, "holds": holds(), "rows": rows}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

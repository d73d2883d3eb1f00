"""Open one package in the environment at hand, which need hold no more than a reader and its backend.

    python -I tools/open_package.py {core,spec,onnx,torchscript} package.zip

`check_readers.py` calls this; it prints a line of JSON.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from importlib import metadata, util
from typing import Any

SHOWN = ("bioimageio.core", "bioimageio.spec", "torch", "onnxruntime", "pydantic", "numpy")


def spec(package: str) -> list[dict[str, str]]:
    """The description alone."""
    from bioimageio.spec import load_description

    summary = load_description(package).validation_summary
    # newer readers keep "passed" for what was executed too
    return [_row("rdf.yaml", summary.status in ("passed", "valid-format"), _errors(summary))]


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
        weights = archive.read(record["weights"][name]["source"])
        tensors = [*record["inputs"], *record["outputs"]]
        files = [archive.read(tensor["test_tensor"]["source"]) for tensor in tensors]
    raw, *wanted = (np.load(io.BytesIO(file)) for file in files)
    scaled = process(raw, record["inputs"][0])
    if name == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: scaled})
    else:
        import torch

        with torch.no_grad():
            made = torch.jit.load(io.BytesIO(weights))(torch.from_numpy(scaled))
        outputs = [tensor.numpy() for tensor in (made if isinstance(made, tuple) else (made,))]
    stated = record["config"]["bioimageio"]["reproducibility_tolerance"][0]
    rows = []
    for tensor, output, expected in zip(record["outputs"], outputs, wanted, strict=True):
        difference = np.abs(process(output, tensor) - expected)
        allowed = stated["absolute_tolerance"] + stated["relative_tolerance"] * np.abs(expected)
        note = f"{tensor['id']} differs by at most {difference.max():.1e}"
        rows.append(_row(name, bool((difference <= allowed).all()), note))
    return rows


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
            raise SystemExit(f"open_package.py does not know the step {step['id']}")
    return np.asarray(array, np.float32)


if __name__ == "__main__":
    way, path = sys.argv[1:]
    if util.find_spec("zcdl_common"):
        raise SystemExit("zcdl_common is installed here, so this would prove nothing")
    found = {"core": core, "spec": spec}[way](path) if way in ("core", "spec") else run(path, way)
    versions = {str(held.metadata["Name"]).lower(): held.version for held in metadata.distributions()}
    holds = [f"Python {sys.version.split()[0]}", *(f"{n} {versions[n]}" for n in SHOWN if n in versions)]
    print(json.dumps({"holds": ", ".join(holds), "rows": found}))

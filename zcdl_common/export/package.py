"""A finished model as a BioImage Model Zoo package: written whole, tested elsewhere, or not at all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zcdl_common.errors import ExportError
from zcdl_common.export import check, pictures, readme, rules
from zcdl_common.export.description import Files, describe, environment
from zcdl_common.export.info import PackageInfo
from zcdl_common.files import replacing
from zcdl_common.network import WeightsFiles
from zcdl_common.task import Array


class Package(NamedTuple):
    """A package that passed all tests."""

    path: Path
    checks: list[check.Check]
    """A row for each weight format."""
    warnings: list[str]
    completeness: float
    """Share of the zoo's metadata fields that are filled, as `bioimageio.core` computes it."""


def build(
    info: PackageInfo,
    weights: WeightsFiles,
    test_input: Array,
    test_output: Array | Sequence[Array],
    target: Path,
) -> Package:
    """Write the package and prove that it opens elsewhere.

    Parameters
    ----------
    test_input
        A real image (1, C, (Z), Y, X), or channel last where `info.channel_axis` says so, float32 with
        the values of the file: preprocessing is part of the package.
    test_output
        What the model makes of it, after `postprocessing`; one array for each of `info.outputs`.
    target
        The zip file. It appears only when every test has passed.

    Raises
    ------
    ExportError
        Names the weight format or field, and the reason.
    """
    outputs = [test_output] if isinstance(test_output, np.ndarray) else list(test_output)
    _check_tensors(info, test_input, outputs)
    contents = _contents(info, weights, test_input, outputs)
    with replacing(target) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
        errors, warnings = rules.check(temporary)
        if errors:
            raise ExportError(
                "The package would not open in Fiji, ilastik or QuPath:\n"
                + "\n".join(f"  - {error}" for error in errors)
            )
        result = check.verify(temporary, tuple(weights.files))
    return Package(target, result.checks, warnings + result.warnings, result.completeness)


def _contents(
    info: PackageInfo, weights: WeightsFiles, test_input: Array, outputs: Sequence[Array]
) -> dict[str, bytes]:
    """Name in the archive -> bytes; the description comes first and names them all."""
    files: Files = {"README.md": readme.write(info, tuple(weights.files)).encode()}
    covers = {path.name: path.read_bytes() for path in info.covers}
    if not covers:
        covers = {"cover.png": pictures.cover(test_input, outputs[0], info.channel_axis)}
    tensors = {"input": test_input, **dict(zip(info.output_keys, outputs, strict=True))}
    samples = {}
    for key, array in tensors.items():
        files[f"test_{key}.npy"] = _npy(array)
        samples[f"sample_{key}.tif"] = pictures.sample(array, info.channel_axis, info.pixel_size)
    own = {path.name: path.read_bytes() for path in weights.files.values()}
    if weights.architecture is not None:
        own[weights.architecture.name] = weights.architecture.read_bytes()
        own["environment.yaml"] = environment(info.nickname).encode()
    attached = {path.name: path.read_bytes() for path in info.attachments}
    for group in (covers, samples, own, attached):
        if clash := sorted((files.keys() | {"rdf.yaml"}) & group.keys()):
            raise ExportError(
                f"Two files of the package are named {', '.join(clash)}; rename the one that you add."
            )
        files.update(group)
    text = describe(info, weights, files, tuple(covers), outputs)
    return {"rdf.yaml": text.encode(), **files}


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=np.float32))
    return buffer.getvalue()


def _check_tensors(info: PackageInfo, test_input: Array, outputs: Sequence[Array]) -> None:
    if len(outputs) != len(info.outputs):
        raise ExportError(f"The model returns {len(outputs)} tensors, the package names {len(info.outputs)}.")
    axis = 1 if info.channel_axis == "first" else -1
    named = [("input", test_input, info.channels)]
    named += [(f"output {o.name}", a, o.channels) for o, a in zip(info.outputs, outputs, strict=True)]
    for name, array, channels in named:
        if array.ndim != len(info.step) + 2 or array.shape[axis] != len(channels):
            raise ExportError(
                f"The test {name} has the shape {array.shape}; {len(info.step)} spatial axes, a batch axis "
                f"and {len(channels)} channels ({', '.join(channels)}) are needed."
            )
        if not np.isfinite(array).all():
            raise ExportError(
                f"The test {name} holds NaN or infinite values, so no program could repeat it. "
                "Choose another test image, or other weights if the training diverged."
            )
        if np.ptp(array) == 0:
            raise ExportError(
                f"The test {name} is {array.flat[0]:g} everywhere, which proves nothing. "
                "Choose a test image with objects in it, or train longer."
            )

"""Versions and machine, for the record of a run."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from zcdl_common.task import resolve

PACKAGES = """
    zcdl-common numpy scipy scikit-image scikit-learn pandas tifffile albumentations torch tensorflow
    tensorflow-cpu tf-keras csbdeep stardist n2v bioimageio.core bioimageio.spec onnx ipywidgets
""".split()  # noqa: SIM905


def environment(device: str, backend: str) -> str:
    """Versions and machine, a line each; a GPU by the name that the network's backend gives it."""
    lines = [f"date: {datetime.datetime.now():%Y-%m-%d %H:%M}", f"python: {platform.python_version()}"]
    lines += [
        f"system: {platform.system()} {platform.machine()}",
        f"cores: {os.cpu_count()}",
        f"device: {device}",
    ]
    if device == "gpu":
        module = "_torch" if backend == "torch" else "_keras"
        lines.append(f"gpu: {resolve(f'zcdl_common.models.{module}:device_name')()}")
    for package in PACKAGES:
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"

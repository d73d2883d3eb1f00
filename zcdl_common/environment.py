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


def environment(device: str) -> str:
    """Versions and machine, a line each."""
    lines = [f"date: {datetime.datetime.now():%Y-%m-%d %H:%M}", f"python: {platform.python_version()}"]
    lines += [
        f"system: {platform.system()} {platform.machine()}",
        f"cores: {os.cpu_count()}",
        f"device: {device}",
    ]
    if device == "gpu":
        lines.append(f"gpu: {resolve('zcdl_common.models._torch:device_name')()}")
    for package in PACKAGES:
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"

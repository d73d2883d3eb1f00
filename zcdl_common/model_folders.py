"""Model folders as csbdeep, stardist and n2v write them, and StarDist's ready-made models by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zcdl_common.archives import unpack
from zcdl_common.config import Config
from zcdl_common.datasets import default_cache
from zcdl_common.download import ProgressLine, fetch
from zcdl_common.errors import DataError

ADDRESS = "https://github.com/stardist/stardist-models/releases/download/v0.1/python_{}.zip"
READY_MADE = {
    "2D_versatile_fluo": "4ad678d0758eed6e55625f1b5ae30771e59adb79f1239e09b9772eac8846c3dd",
    "2D_versatile_he": "f1696ef0631bd7e1c0e5c0d3017e2b4c6a95e284c6aab9c22fc2f08317817b28",
    "2D_paper_dsb2018": "4c11cf68512341d9e8ce3d1278c64ceb8ac400582739f85fcab079a2e82840d2",
    "2D_demo": "a1efaebd7103db6236655bf158b6e21cf5b38d58ec77a509802244a89a260fa4",
    "3D_demo": "ea05831eb5acc8a2fd31eaa23f4460a196a9af53b14f40affb9d80885f699f90",
}
"""SHA-256 of the archive of each model, as the stardist package knows it."""
PREFERRED = ("weights_best.h5", "weights_last.h5", "weights_now.h5")


@dataclass(frozen=True)
class ModelFolder:
    """A trained model of csbdeep, stardist or n2v."""

    folder: Path
    weights: Path
    """Keras weights, HDF5."""
    config: dict[str, Any]
    """``config.json``."""

    def thresholds(self) -> dict[str, float]:
        """``prob_thresh`` and ``nms_thresh`` of ``thresholds.json``; empty where there is none.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        path = self.folder / "thresholds.json"
        known = _read(path) if path.is_file() else {}
        return {f"{name}_thresh": float(known[name]) for name in ("prob", "nms") if name in known}


def find(text: str) -> ModelFolder | None:
    """The model folder that `text` names, or the ready-made model, fetched once; None for anything else.

    Raises
    ------
    DataError
        The folder is a part of a model only, or the ready-made model cannot be fetched.
    """
    folder = Path(text).expanduser()
    if text in READY_MADE and not folder.exists():
        folder = fetch_ready_made(text)
    description = folder / "config.json"
    if not description.is_file():
        return None
    weights = [folder / name for name in PREFERRED] + sorted(folder.glob("*.h5"))
    found = next((path for path in weights if path.is_file()), None)
    if found is None:
        raise DataError(
            f"{folder} has a config.json and no weights (*.h5), so it is a part of a model only. Copy the "
            "whole folder again."
        )
    return ModelFolder(folder, found, _read(description))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy the whole folder again.") from None


def misfit(there: ModelFolder, ndim: int, channels: int | None = None) -> str:
    """Why a model is not for such images, as a part of a sentence; "" where it is."""
    dimension, own = there.config.get("n_dim", ndim), there.config.get("n_channel_in", channels)
    if dimension != ndim:
        return f"it is for {dimension}D images, yours are {ndim}D"
    if channels is not None and own != channels:
        return f"it is for images of {own} channel{'s' * (own != 1)}, yours have {channels}"
    return ""


ARCHITECTURE = {
    "unet_n_depth": "depth",
    "unet_n_first": "filters",
    "unet_n_filter_base": "filters",
    "unet_kern_size": "kernel",
    "unet_residual": "residual",
    "batch_norm": "batch_norm",
    "blurpool": "n2v2",
    "n_rays": "n_rays",
}
"""Entries of ``config.json`` that decide which weights there are, and the parameters that stand for them."""


def unlike(there: ModelFolder, config: Config) -> str:
    """The parameters that would have to be other ones for the weights to fit, as one would type them."""
    wanted = {
        name: there.config[key]
        for key, name in ARCHITECTURE.items()
        if key in there.config and getattr(config, name, there.config[key]) != there.config[key]
    }
    return ", ".join(f"{name} = {str(value).lower()}" for name, value in wanted.items())


def at_hand() -> list[str]:
    """Names of the ready-made models that were fetched before."""
    return [name for name in READY_MADE if (default_cache() / "models" / name).is_dir()]


def by_hand(name: str) -> str:
    """How to get a ready-made model without internet, as a part of a sentence."""
    return f"download {ADDRESS.format(name)} elsewhere, unpack it, and name its folder under start_from"


def fetch_ready_made(name: str) -> Path:
    """Folder of a ready-made model, kept beside the example data and checked by its hash."""
    root = default_cache() / "models"
    folder = root / name
    if not folder.exists():
        address = ADDRESS.format(name)
        try:
            archive = fetch(address, READY_MADE[name], None, root / f"{name}.zip", ProgressLine(name))
        except DataError as error:
            raise DataError(
                f"The ready-made model {name} could not be fetched. Without internet here, {by_hand(name)}. "
                f"The reason: {error}"
            ) from None
        unpack(archive, folder)
    return next(folder.rglob("config.json"), folder / "config.json").parent

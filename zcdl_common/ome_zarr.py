"""OME-Zarr 0.4 and 0.5 through zarr alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.formats import MICROMETRES, SECONDS, Source
from zcdl_common.task import Array

_KIND = {"T": "time", "C": "channel"}
_CHUNK = {"T": 1, "C": 1, "Z": 16, "Y": 512, "X": 512}
"""Largest chunk along each axis, in pixels."""


def zarr_source(path: Path) -> Source:
    """What an OME-Zarr image (its largest resolution) or a plain zarr array says about itself.

    Raises
    ------
    DataError
        The folder is a plate of many images, or holds no image.
    """
    import zarr

    node: Any = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return _source(path, "", node, "Q" * (node.ndim - 2) + "YX", (), {})
    attributes: dict[str, Any] = dict(node.attrs)
    attributes = attributes.get("ome", attributes)
    if "plate" in attributes or "well" in attributes:
        raise DataError(
            f"{path} is a plate of many images. Name the folder of one well, such as A/1, "
            "or save its fields as files."
        )
    if "multiscales" not in attributes:
        if "0" in node and isinstance(node["0"], zarr.Group):  # as bioformats2raw writes it
            return zarr_source(path / "0")
        raise DataError(
            f"{path} holds no OME-Zarr image (no 'multiscales'). Save it again as OME-Zarr or OME-TIFF."
        )
    multiscale = attributes["multiscales"][0]
    dataset = multiscale["datasets"][0]
    array = node[dataset["path"]]
    axes = [a if isinstance(a, dict) else {"name": a} for a in multiscale.get("axes", ())]
    letters = "".join(str(a["name"])[0].upper() for a in axes) or "TCZYX"[-array.ndim :]
    scale = _scale(dataset, array.ndim) * _scale(multiscale, array.ndim)
    units = [_unit(str(a["name"]), a.get("unit")) for a in axes] or [0.0] * array.ndim
    size = {a: float(s * u) for a, s, u in zip(letters, scale, units, strict=True) if a in "TZYX" and u}
    channels = attributes.get("omero", {}).get("channels", ())
    names = tuple(str(c.get("label", "")) for c in channels)
    return _source(path, dataset["path"], array, letters, names if all(names) else (), size)


def _unit(name: str, unit: str | None) -> float:
    """Micrometres, or seconds, in the unit of an axis; 0 where it does not say."""
    return (SECONDS if name[:1].lower() == "t" else MICROMETRES).get(unit or "none", 0.0)


def _scale(entry: dict[str, Any], ndim: int) -> Array:
    """Product of the scale transformations of a multiscales entry."""
    scales = [
        np.asarray(t["scale"], float)
        for t in entry.get("coordinateTransformations", ())
        if t.get("type") == "scale"
    ]
    product: Array = np.prod([np.ones(ndim), *scales], axis=0)
    return product


def _source(
    path: Path, inside: str, array: Any, axes: str, names: tuple[str, ...], size: dict[str, float]
) -> Source:
    lazy = partial(_open, path, inside)
    return Source(axes, tuple(array.shape), np.dtype(array.dtype).str, lambda: lazy()[...], lazy, names, size)


def _open(path: Path, inside: str) -> Any:
    import zarr

    node: Any = zarr.open(path, mode="r")
    return node[inside] if inside else node


def create_zarr(path: Path, shape: Sequence[int], dtype: Any, axes: str, size: Mapping[str, float]) -> Any:
    """An empty OME-Zarr 0.4 image of one resolution; its array, to be written in parts.

    Parameters
    ----------
    shape, axes
        In the order T, C, Z, Y, X that the format prescribes.
    size
        Micrometres by axis letter, seconds for T.
    """
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2)
    chunks = tuple(min(n, _CHUNK[a]) for a, n in zip(axes, shape, strict=True))
    array = group.create_array(
        "0",
        shape=tuple(shape),
        dtype=dtype,
        chunks=chunks,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    described: list[dict[str, str]] = [{"name": a.lower(), "type": _KIND.get(a, "space")} for a in axes]
    for axis in described:
        if axis["name"].upper() in size:
            axis["unit"] = "second" if axis["name"] == "t" else "micrometer"
    scale = [float(size.get(a, 1.0)) for a in axes]
    dataset: Any = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": described, "datasets": [dataset]}]
    return array

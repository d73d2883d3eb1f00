"""TIFF, OME-TIFF, ImageJ TIFF and LSM headers."""

from __future__ import annotations

import logging
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from zcdl_common.axes import obvious_colour
from zcdl_common.errors import DataError
from zcdl_common.formats import MICROMETRES, SECONDS, Source
from zcdl_common.mapped import Mapped
from zcdl_common.task import Array

_DAMAGE = re.compile(
    r"invalid page offset|invalid offset to|circular reference|corrupted (file|tag list)|missing data"
    r"|is missing \d+|missing files|failed to re(ad|shape)|incompletely"
)
"""What tifffile logs where it goes on with fewer or blank planes."""


def tiff_source(path: Path) -> Source:
    """What a TIFF says about itself.

    Raises
    ------
    DataError
        It holds several images of different kinds.
    """
    with _complete(), tifffile.TiffFile(path) as tif:
        series = _only_series(path, tif)
        axes = _axes(series)
        names, pixel_size = _metadata(tif)
        source = Source(
            axes,
            tuple(series.shape),
            np.dtype(series.dtype).str,
            partial(_load, path),
            partial(_lazy, path),
            names,
            pixel_size,
        )
        alpha = any(int(e) in (1, 2) for e in series.keyframe.extrasamples)
    if alpha and axes.endswith("S") and source.shape[-1] in (2, 4) and _constant(source.lazy()):
        return Source(**{**vars(source), "opaque": True})
    return source


def _load(path: Path) -> Array:
    with _complete(), tifffile.TiffFile(path) as tif:
        return np.asarray(tif.series[0].asarray(level=0))


def _lazy(path: Path) -> Any:
    """Mapped where the pixels lie in one piece, else decoded chunk by chunk."""
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        if series.dataoffset is not None:
            dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            return Mapped(path, series.dataoffset, tuple(series.shape), dtype)
    import zarr

    return zarr.open_array(tifffile.TiffFile(path).series[0].aszarr(level=0), mode="r")


@contextmanager
def _complete() -> Iterator[None]:
    """Fail where tifffile merely logs that planes are missing and goes on with those there are."""
    logger, complaints = logging.getLogger("tifffile"), _Complaints()
    logger.addHandler(complaints)
    try:
        yield
    finally:
        logger.removeHandler(complaints)
    if complaints.found:
        raise ValueError(complaints.found[0])


class _Complaints(logging.Handler):
    """Collects what is logged in this thread about damage."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.thread == self._thread and _DAMAGE.search(message):
            self.found.append(message)


def _only_series(path: Path, tif: tifffile.TiffFile) -> Any:
    """The image of a file; thumbnails and labels beside it are smaller and do not count."""
    if not tif.series:
        raise ValueError("it holds no image")
    first, others = tif.series[0], tif.series[1:]
    rivals = [s for s in others if s.ndim >= first.ndim and s.size * 4 >= first.size]
    elsewhere = sorted(_files(first) - {tif.filename}) if tif.is_ome else []
    if elsewhere:
        raise DataError(
            f"{path} is one of {1 + len(elsewhere)} files that form one image (such as {elsewhere[0]}). "
            "Open it in Fiji and save it as one file, and remove the parts from the folder."
        )
    if rivals and not tif.is_svs:
        shapes = ", ".join(str(tuple(s.shape)) for s in (first, *rivals[:3]))
        raise DataError(
            f"{path} holds {1 + len(rivals)} separate images ({shapes}). "
            "Save each as a file of its own, for example in Fiji with File > Save As > Tiff."
        )
    return first


def _files(series: Any) -> set[str]:
    """Names of the files in which the planes of an image lie."""
    return {str(page.parent.filename) for page in series.pages if page is not None}


def _axes(series: Any) -> str:
    axes = str(series.axes)
    shape = tuple(series.shape)
    if series.kind == "shaped" and axes.startswith("S"):
        # tifffile writes any three slices of 8 bit as planar colour: it is a guess of the writer
        axes = "Q" + axes[1:]
    axes = axes.replace("I", "Q")
    return "YXS" if "Q" in axes and obvious_colour(shape) else axes


def _constant(lazy: Any) -> bool:
    """Whether the last sample is the same in every pixel, read in blocks of rows."""
    rows = max(1, 2**24 // max(1, int(np.prod(lazy.shape[1:]))))
    first = np.asarray(lazy[:1])[..., -1].flat[0]
    return all(
        bool((np.asarray(lazy[at : at + rows])[..., -1] == first).all())
        for at in range(0, lazy.shape[0], rows)
    )


def _metadata(tif: tifffile.TiffFile) -> tuple[tuple[str, ...], dict[str, float]]:
    """Channel names, and micrometres by axis letter, seconds for T."""
    if tif.is_ome and tif.ome_metadata:
        return ome_metadata(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        return _imagej(tif.imagej_metadata, tif.pages.first.tags)
    if tif.is_lsm and tif.lsm_metadata:
        found = {axis: float(tif.lsm_metadata.get(f"VoxelSize{axis}", 0)) * 1e6 for axis in "ZYX"}
        return (), {axis: size for axis, size in found.items() if size > 0}
    return (), {}


def ome_metadata(xml: str) -> tuple[tuple[str, ...], dict[str, float]]:
    """Channel names, pixel size and frame interval (T) of the first image of an OME-XML."""
    pixels = ET.fromstring(xml).find(".//{*}Pixels")
    if pixels is None:
        return (), {}
    size = {}
    for axis in "ZYX":
        value = float(pixels.get(f"PhysicalSize{axis}", 0))
        unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        if value * unit > 0:
            size[axis] = value * unit
    interval = float(pixels.get("TimeIncrement", 0))
    interval *= SECONDS.get(pixels.get("TimeIncrementUnit", "s"), 0)
    if interval > 0:
        size["T"] = interval
    names = [channel.get("Name") or "" for channel in pixels.findall("{*}Channel")]
    return (tuple(names) if all(names) else ()), size


def _imagej(metadata: Mapping[str, Any], tags: Any) -> tuple[tuple[str, ...], dict[str, float]]:
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip()
    scale = MICROMETRES.get(unit, MICROMETRES.get(unit.lower(), 0.0))
    size = {}
    if scale:
        for axis in "YX":
            tag = tags.get(f"{axis}Resolution")
            numerator, denominator = tag.value if tag else (0, 1)
            if numerator:
                size[axis] = scale * denominator / numerator
        if metadata.get("spacing"):
            size["Z"] = scale * abs(float(metadata["spacing"]))
    interval = float(metadata.get("finterval") or 0) * SECONDS.get(str(metadata.get("tunit", "")).strip(), 0)
    if interval > 0:
        size["T"] = interval
    labels = metadata.get("Labels") or []
    alone = metadata.get("channels", 1) == metadata.get("images", 1) == len(labels)
    return (tuple(map(str, labels)) if alone and len(set(labels)) == len(labels) else ()), size

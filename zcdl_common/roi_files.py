"""Regions of interest as ImageJ and QuPath store them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.formats import naming
from zcdl_common.polygons import ellipse
from zcdl_common.task import Array

ENDINGS = (".zip", ".roi", ".geojson")
"""Files that hold nothing but regions; for ``find_files(..., also=ENDINGS)``."""

_LARGEST = 2**28
"""Bytes that one region of interest may take when unpacked."""


@dataclass(frozen=True)
class Region:
    """One region: closed outlines (N, 2) x, y in pixels, filled by the even-odd rule."""

    outlines: tuple[Array, ...]
    name: str = ""
    z: int | None = None
    """Slice from 0; None where it names none."""
    t: int | None = None
    """Time frame from 0."""
    kind: str = ""
    """What it is where it has no area, such as "point"."""
    group: str = ""
    """Class that it was given: the group of an ImageJ region ("group 2"), the classification in QuPath."""


def is_roi_file(path: Path) -> bool:
    """Whether a file holds regions: .roi, a zip of them, .geojson, or a TIFF with an overlay."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    if suffix in (".tif", ".tiff"):
        with naming(path):
            return bool(_overlay(path))
    return suffix in (".roi", ".geojson") and path.is_file()


def read_regions(path: Path) -> list[Region]:
    """All regions of a file, in its order.

    Raises
    ------
    DataError
        The file is damaged.
    """
    with naming(path):
        if path.suffix.lower() == ".geojson":
            return [_from_qupath(f) for f in _features(json.loads(path.read_text(encoding="utf-8")))]
        return [_from_imagej(data, name) for name, data in _entries(path)]


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.lower().endswith(".roi") and "__MACOSX" not in info.filename:
                    if info.file_size > _LARGEST:
                        raise ValueError(f"its entry {info.filename} is larger than a region can be")
                    yield Path(info.filename).stem, archive.read(info)
    elif suffix in (".tif", ".tiff"):
        yield from (("", data) for data in _overlay(path))
    else:
        yield path.stem, path.read_bytes()


def _overlay(path: Path) -> list[bytes]:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        overlay = (tif.imagej_metadata or {}).get("Overlays", [])
    return [overlay] if isinstance(overlay, bytes) else list(overlay)


def _from_imagej(data: bytes, name: str) -> Region:
    from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frombytes(data)
    outlines: list[Array] = []
    kind = ""
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE):
        kind = str(roi.subtype.name).lower()
    elif roi.composite and roi.multi_coordinates is not None:
        outlines = _path(roi.multi_coordinates.tolist())
    elif roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        box: tuple[float, ...] = (roi.left, roi.top, roi.right, roi.bottom)
        if roi.subpixelrect:
            box = (roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd)
        left, top, right, bottom = box
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
        outlines = [corners if roi.roitype == ROI_TYPE.RECT else ellipse(left, top, right, bottom)]
    elif roi.roitype in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        outlines = [np.asarray(roi.coordinates(), float)]
    else:
        kind = str(roi.roitype.name).lower()
    if not kind and not any(len(o) > 2 and np.ptp(o, axis=0).all() for o in outlines):
        kind = "empty region"
    # a hyperstack names slice and frame, a plain stack counts its planes
    plane = roi.z_position or (roi.position if not roi.t_position else 0)
    frame = roi.t_position or (roi.position if not roi.z_position else 0)
    return Region(
        tuple(outlines),
        roi.name or name,
        plane - 1 if plane > 0 else None,
        frame - 1 if frame > 0 else None,
        kind,
        f"group {roi.group}" if roi.group else "",
    )


def _path(numbers: list[float]) -> list[Array]:
    """Outlines of a composite region: Java's path of moves, lines, curves and closings."""
    outlines: list[list[tuple[float, float]]] = []
    at = 0
    while at < len(numbers):
        step = int(numbers[at])
        if step == 0:
            outlines.append([(numbers[at + 1], numbers[at + 2])])
            at += 3
        elif step in (1, 2, 3):
            points = [(numbers[i], numbers[i + 1]) for i in range(at + 1, at + 1 + 2 * step, 2)]
            outlines[-1] += _curve([outlines[-1][-1], *points])
            at += 1 + 2 * step
        elif step == 4:
            at += 1
        else:
            raise ValueError(f"its path has an unknown step {step}")
    return [np.array(o) for o in outlines if len(o) > 2]


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A Bézier curve as points after its start: one for a line, sixteen for curves (de Casteljau)."""
    if len(points) == 2:
        return points[1:]
    curve = []
    for t in np.linspace(0, 1, 17)[1:]:
        level = np.array(points)
        while len(level) > 1:
            level = (1 - t) * level[:-1] + t * level[1:]
        curve.append((float(level[0][0]), float(level[0][1])))
    return curve


def _features(document: Any) -> list[dict[str, Any]]:
    """QuPath writes a collection, a list, or one feature."""
    if isinstance(document, list):
        return document
    return list(document["features"]) if document.get("type") == "FeatureCollection" else [document]


def _from_qupath(feature: dict[str, Any]) -> Region:
    geometry = feature.get("geometry") or {}
    kind = str(geometry.get("type", "empty region"))
    rings = geometry.get("coordinates") or []
    polygons = {"Polygon": [rings], "MultiPolygon": rings}.get(kind, [])
    plane = geometry.get("plane") or {}
    properties = feature.get("properties") or {}
    return Region(
        tuple(np.array(ring, float)[:, :2] for polygon in polygons for ring in polygon),
        str(properties.get("name", "")),
        int(plane["z"]) if "z" in plane else None,
        int(plane["t"]) if "t" in plane else None,
        "" if polygons else kind.lower(),
        str((properties.get("classification") or {}).get("name", "")),
    )

"""Regions of interest as label images, and back: what is drawn in Fiji or QuPath is a target."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.files import replacing
from zcdl_common.polygons import fill, trace
from zcdl_common.roi_files import ENDINGS, Region, is_roi_file, read_regions
from zcdl_common.task import Array

__all__ = ["ENDINGS", "RoiLabels", "is_roi_file", "read_rois", "write_rois"]

MOST_REGIONS = 65_535
"""Objects of an image up to which their regions are written: as many as a plain zip archive holds, and many
more than Fiji's ROI Manager shows without delay."""
_TOGETHER = 2**23
"""Pixels of a file that are read at once."""
_OBJECT = re.compile(r"object_\d+")
"""Start of the names that `write_rois` gives: the same in all slices of an object."""


@dataclass(frozen=True)
class RoiLabels:
    """Labels drawn from regions, and what a person should know about them."""

    labels: Array
    """int32 (Z)YX, 0 is background."""
    report: list[str]
    """What was left out or put where it may not belong."""
    notes: list[str]
    """What is good to know: overlaps."""


@dataclass(frozen=True)
class _Patch:
    """The pixels of a region in one plane."""

    z: int
    window: tuple[slice, slice]
    mask: Array
    name: str = ""

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))


def read_rois(path: Path, shape: Sequence[int], frame: int | None = None) -> RoiLabels:
    """Draw regions as labels 1, 2, ... in the order of the file.

    Parameters
    ----------
    path
        .roi, a zip of them, .geojson, or a TIFF whose overlay holds the regions.
    shape
        Size (Z)YX of the image.
    frame
        In a movie: keep regions of this time frame (from 0) and those that name none.

    Returns
    -------
    RoiLabels
        Where regions overlap the smaller lies on top. In 3D, regions of neighbouring slices are one
        object where they cover each other by half or more, or where `write_rois` gave them one name.

    Raises
    ------
    DataError
        The file is damaged or holds no region.
    """
    regions = read_regions(path)
    if not regions:
        raise DataError(
            f"{path} holds no region of interest. Save the regions again from Fiji's ROI Manager."
        )
    if frame is not None:
        regions = [r for r in regions if r.t in (None, frame)]
    report = []
    skipped = Counter(r.kind for r in regions if r.kind)
    if skipped:
        listed = ", ".join(f"{kind} ({n})" for kind, n in sorted(skipped.items()))
        report.append(f"left out, since only regions with an area can be objects: {listed}")
    regions = [r for r in regions if not r.kind]
    volume = (1, *shape) if len(shape) == 2 else tuple(shape)
    if len(shape) == 2:
        beyond = sum(bool(r.z) for r in regions) if frame is None else 0
        if beyond:
            report.append(f"regions of other slices of a stack, which were drawn on this plane: {beyond}")
        patches = [_patch(r, 0, volume) for r in regions]
        numbers = list(range(1, len(patches) + 1))
    else:
        patches = _through_slices(regions, volume, report)
        numbers = _join(patches)
    notes: list[str] = []
    labels = _paint(patches, numbers, volume, report, notes)
    return RoiLabels(labels.reshape(tuple(shape)), report, notes)


def write_rois(path: Path, labels: Any, boxes: Array | None = None) -> Path:
    """Write labels (Z)YX as a zip for Fiji's ROI Manager; `read_rois` gives the same pixels back.

    Each object is one region a slice: an outline along the borders of its pixels, or a composite
    region where it has holes or several parts.

    Parameters
    ----------
    path
        Gets the ending .zip.
    labels
        Integer (Z)YX, 0 is background. With `boxes` also a file YX that is read in slices.
    boxes
        Of labels YX, int (N, 5): number of an object and its box y0 x0 y1 x1 in pixels, half-open.
    """
    path = path.with_name(path.name if path.name.lower().endswith(".zip") else f"{path.name}.zip")
    plane = len(labels.shape) == 2
    found = _objects(labels[None] if plane else labels) if boxes is None else _boxed(labels, boxes)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for label, z, corner, mask in found:
            outlines = [outline + corner for outline in trace(mask)]
            name = f"object_{label:05d}" if plane else f"object_{label:05d}_z{z + 1:04d}"
            archive.writestr(f"{name}.roi", _imagej_region(outlines, name, 0 if plane else z + 1))
    return path


_Object = tuple[int, int, tuple[int, int], Array]
"""Number, slice, corner x, y of its box, and mask of an object in one plane."""


def _objects(volume: Array) -> Iterator[_Object]:
    from scipy.ndimage import find_objects

    for z, plane in enumerate(volume):
        for label, window in enumerate(find_objects(plane.astype(np.int64, copy=False)), start=1):
            if window is not None:
                yield label, z, (window[1].start, window[0].start), plane[window] == label


def _boxed(labels: Any, boxes: Array) -> Iterator[_Object]:
    """Objects in their order; those that follow each other lie near each other and are read together."""
    first = 0
    while first < len(boxes):
        low = np.minimum.accumulate(boxes[first:, 1:3])
        high = np.maximum.accumulate(boxes[first:, 3:5])
        together = max(1, int(np.argmax([*(np.prod(high - low, axis=1) > _TOGETHER), True])))
        (top, left), (bottom, right) = low[together - 1], high[together - 1]
        part = np.asarray(labels[top:bottom, left:right])
        for label, y0, x0, y1, x1 in boxes[first : first + together].tolist():
            mask = part[y0 - top : y1 - top, x0 - left : x1 - left] == label
            yield label, 0, (x0, y0), mask
        first += together


def _imagej_region(outlines: Sequence[Array], name: str, slice_number: int) -> bytes:
    from roifile import ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frompoints(np.concatenate(outlines), name=name)
    # frompoints counts the last corner as a pixel; corners are borders of pixels
    roi.right, roi.bottom = roi.right - 1, roi.bottom - 1
    roi.position = roi.z_position = slice_number
    roi.roitype = ROI_TYPE.TRACED
    if len(outlines) > 1:
        moves = [(0 if i == 0 else 1, x, y) for o in outlines for i, (x, y) in enumerate(o)]
        ends = np.cumsum([len(o) for o in outlines])
        path: list[float] = []
        for i, move in enumerate(moves, start=1):
            path += [*move, 4] if i in ends else move
        roi.roitype, roi.integer_coordinates, roi.n_coordinates = ROI_TYPE.RECT, None, 0
        roi.multi_coordinates = np.array(path, np.float32)
        roi.shape_roi_size = len(path)
    return bytes(roi.tobytes())


def _patch(region: Region, z: int, volume: Sequence[int], name: str = "") -> _Patch:
    window, mask = fill(region.outlines, (volume[1], volume[2]))
    return _Patch(z, window, mask, name)


def _through_slices(regions: Sequence[Region], volume: Sequence[int], report: list[str]) -> list[_Patch]:
    depth = volume[0]
    everywhere = sum(r.z is None for r in regions)
    if everywhere:
        report.append(f"regions that name no slice, which were drawn on all {depth}: {everywhere}")
    outside = sum(r.z is not None and r.z >= depth for r in regions)
    if outside:
        report.append(f"left out, since they lie on slices beyond the {depth} of the image: {outside}")
    patches = []
    for i, region in enumerate(regions):
        written = _OBJECT.match(region.name)
        name = written.group() if written else f"region {i}" if region.z is None else ""
        slices = range(depth) if region.z is None else [region.z]
        patches += [_patch(region, z, volume, name) for z in slices if z < depth]
    return patches


def _join(patches: Sequence[_Patch]) -> list[int]:
    """Object number of each patch: by name, else by overlap with the slice above."""
    numbers = [0] * len(patches)
    by_name: dict[str, int] = {}
    of_slice: dict[int, list[int]] = {}
    for i in sorted(range(len(patches)), key=lambda i: patches[i].z):
        patch = patches[i]
        here, above = of_slice.setdefault(patch.z, []), of_slice.get(patch.z - 1, [])
        here.append(i)
        if patch.name:
            numbers[i] = by_name.setdefault(patch.name, i + 1)
            continue
        taken = {numbers[j] for j in here}
        free = [j for j in above if not patches[j].name and numbers[j] not in taken]
        share, number = max(((_shared(patch, patches[j]), numbers[j]) for j in free), default=(0.0, 0))
        numbers[i] = number if share >= 0.5 else i + 1
    order = {number: k for k, number in enumerate(dict.fromkeys(numbers), start=1)}
    return [order[number] for number in numbers]


def _shared(a: _Patch, b: _Patch) -> float:
    """Share of the smaller patch that the other covers."""
    box = [slice(max(s.start, t.start), min(s.stop, t.stop)) for s, t in zip(a.window, b.window, strict=True)]
    if any(s.start >= s.stop for s in box):
        return 0.0
    y, x = box
    views: list[Any] = [
        p.mask[
            y.start - p.window[0].start : y.stop - p.window[0].start,
            x.start - p.window[1].start : x.stop - p.window[1].start,
        ]
        for p in (a, b)
    ]
    return int(np.count_nonzero(views[0] & views[1])) / max(1, min(a.area, b.area))


def _paint(
    patches: Sequence[_Patch],
    numbers: Sequence[int],
    volume: Sequence[int],
    report: list[str],
    notes: list[str],
) -> Array:
    labels = np.zeros(volume, np.int32)
    overlap = 0
    # larger ones first, so that none is hidden by one drawn around it
    for patch, number in sorted(zip(patches, numbers, strict=True), key=lambda item: -item[0].area):
        plane = labels[patch.z][patch.window]
        overlap += int(np.count_nonzero(patch.mask & (plane > 0) & (plane != number)))
        plane[patch.mask] = number
    if overlap:
        notes.append(f"regions overlap in {overlap} pixels, which went to the smaller region")
    painted = {n for patch, n in zip(patches, numbers, strict=True) if patch.area}
    empty = len(set(numbers)) - len(painted)
    if empty:
        report.append(
            f"left out, since they hold no pixel of the image: {empty} (was it cropped, scaled or turned "
            "after they were drawn?)"
        )
    kept = np.unique(labels)
    kept = kept[kept > 0]
    if len(kept) < len(painted):
        report.append(f"hidden by others, such as copies of themselves: {len(painted) - len(kept)}")
    if len(kept) == len(set(numbers)):
        return labels
    return np.where(labels > 0, np.searchsorted(kept, labels) + 1, 0).astype(np.int32)

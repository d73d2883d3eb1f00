"""Boxes around regions of interest, as Fiji's ROI Manager and QuPath save them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.reading import UNNAMED, listed
from zcdl_common.errors import DataError
from zcdl_common.files import replacing
from zcdl_common.roi_files import Region, read_regions
from zcdl_common.task import Array

_WRITTEN = re.compile(r"(.+)_\d{5}(?:_z\d{4})?")
"""Names that are written here: class and number."""
_NUMBERED = re.compile(r"[ _\-#:.]+\d+$")
"""What follows the class in names that people give: ``RBC 12``, ``WBC-3``."""
_LETTER = re.compile(r"[^\W\d_]")
_MOST_GROUPS = 255


def read_roi_boxes(path: Path, frame: int | None = None) -> Boxes:
    """Boxes around the outlines of regions; lines and points, which have no area, are left out.

    The class is what QuPath's classification says; in ImageJ the name without the number at its end, or where
    the name tells nothing the group ("group 2"), else "object".

    Parameters
    ----------
    path
        .roi, a zip of them, .geojson, or a TIFF whose overlay holds the regions.
    frame
        In a movie: keep regions of this time frame (from 0) and those that name none.

    Raises
    ------
    DataError
        The file is damaged or holds no region.
    """
    regions = read_regions(path)
    if not regions:
        raise DataError(
            f"{path} holds no region of interest. Save the regions again from Fiji's ROI Manager; for an "
            "image that shows no object, a CSV of boxes may hold its header alone."
        )
    kept = [r for r in regions if not r.kind and (frame is None or r.t in (None, frame))]
    return listed((_class(region) for region in kept), (_box(region).tolist() for region in kept))


def write_roi_boxes(path: Path, boxes: Boxes, classes: Sequence[str] = ()) -> Path:
    """Write rectangles as a zip for Fiji's ROI Manager, by name and group of their class.

    Parameters
    ----------
    path
        Gets the ending .zip.
    boxes
        Of one image.
    classes
        Names in the order of their groups, which start at 1; default those of `boxes`, sorted. The class
        "object" has no group.
    """
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    path = path.with_name(path.name if path.name.lower().endswith(".zip") else f"{path.name}.zip")
    group = {name: i for i, name in enumerate(classes or sorted(set(boxes.classes)), start=1)}
    group = {name: i for name, i in group.items() if i <= _MOST_GROUPS and name != UNNAMED}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, (name, (y0, x0, y1, x1)) in enumerate(
            zip(boxes.classes, boxes.yxyx.tolist(), strict=True), start=1
        ):
            top, left, bottom, right = (int(v) for v in np.rint((y0, x0, y1, x1)).clip(-5000, 60535))
            region = ImagejRoi(
                roitype=ROI_TYPE.RECT,
                name=f"{name}_{i:05d}",
                group=group.get(name, 0),
                top=top,
                left=left,
                bottom=bottom,
                right=right,
                xd=x0,
                yd=y0,
                widthd=x1 - x0,
                heightd=y1 - y0,
                options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
            )
            archive.writestr(f"{i:05d}_{_in_file(name)}.roi", region.tobytes())
    return path


def _class(region: Region) -> str:
    if region.group and not region.group.startswith("group "):
        return region.group
    written = _WRITTEN.fullmatch(region.name)
    name = written[1] if written else _NUMBERED.sub("", region.name.strip())
    tells = (written or _LETTER.search(name)) and name.casefold() != UNNAMED  # Fiji's own names are 0012-0034
    return name if tells else region.group or UNNAMED


def _box(region: Region) -> Array:
    points = np.concatenate(region.outlines)[:, ::-1]
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _in_file(name: str) -> str:
    """A class as part of the name of a file in an archive."""
    return re.sub(r"[^\w\-]+", "_", name)

"""Boxes of Pascal VOC files (XML), as labelImg, CVAT and Roboflow write them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from xml.parsers import expat

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.reading import listed, number, read_text, refuse_other_size
from zcdl_common.errors import DataError


def read_voc(path: Path, shape: Sequence[int] | None = None) -> Boxes:
    """Boxes of an annotation, also those without area.

    Corners are taken as they stand, as places between pixels: so labelImg writes them, and so converters to
    YOLO read them. (The VOC challenge itself counted pixels from 1 and included the last one [1]_, which
    would move each box by half a pixel.)

    Parameters
    ----------
    path
        Its ``<object>`` hold a ``<name>`` and a ``<bndbox>``.
    shape
        Size YX of the image, to be compared with ``<size>``.

    Raises
    ------
    DataError
        The file is damaged, no annotation, or made for an image of another size.

    References
    ----------
    .. [1] Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 2010,
       10.1007/s11263-009-0275-4.
    """
    root = _root(path)
    refuse_other_size(path, [number(root.findtext(f"size/{side}")) for side in ("height", "width")], shape)
    names, boxes = [], []
    for i, item in enumerate(root.iter("object"), start=1):
        corners = [number(item.findtext(f"bndbox/{key}")) for key in ("ymin", "xmin", "ymax", "xmax")]
        name = (item.findtext("name") or "").strip()
        if any(value != value for value in corners) or not name:
            lacks = "name" if not name else "bndbox with numbers for xmin, ymin, xmax and ymax"
            raise DataError(
                f"{path}: object {i} has no {lacks}. Every object needs a name and an upright box. Open the "
                "file in the program that wrote it, and draw or name this object again."
            )
        names.append(name)
        boxes.append(corners)
    return listed(names, boxes)


def image_name(path: Path) -> str:
    """Name of the image file for which an annotation was made; "" where it says none."""
    return (_root(path).findtext("filename") or "").strip()


def _root(path: Path) -> ET.Element:
    """The document; one with a document type is refused, since entities can blow up memory or name files."""
    text = read_text(path)
    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = _refuse
    try:
        guard.Parse(text, True)
        root = ET.fromstring(text)
    except (expat.ExpatError, ET.ParseError, ValueError) as error:
        raise DataError(
            f"{path} is no complete XML file ({error}). Was it cut short while it was copied? Save it again "
            "in the program that wrote it, or remove it and draw the boxes of this image again."
        ) from None
    if root.tag != "annotation":
        raise DataError(
            f"{path} is XML, but no Pascal VOC file: it starts with <{root.tag}> where <annotation> is "
            "needed. Export the boxes as Pascal VOC, YOLO or COCO."
        )
    return root


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type, which annotations have no use for and which is not safe")

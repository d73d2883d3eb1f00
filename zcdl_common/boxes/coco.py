"""Boxes of COCO files (JSON): one file for all images of a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.reading import listed, number, read_text, refuse_other_size
from zcdl_common.errors import DataError
from zcdl_common.files import write_text
from zcdl_common.formats import naming

_Table = Mapping[str, tuple[tuple[float, float], Boxes]]
"""By the name of an image: its size YX as the file says it, and its boxes."""


def read_coco(path: Path, image: str = "", shape: Sequence[int] | None = None) -> Boxes:
    """Boxes of one of the images of a file; of a crowd that has one box together, none.

    Parameters
    ----------
    path
        ``images``, ``categories``, and ``annotations`` with a ``bbox`` x y width height.
    image
        Name as in ``coco_images``; may be left out where there is but one.
    shape
        Size YX of the image, to be compared with what the file says.

    Raises
    ------
    DataError
        The file is damaged, no COCO file, does not name the image, or has another size for it.
    """
    table = _read(path)
    if not image and len(table) == 1:
        image = next(iter(table))
    if image not in table:
        raise DataError(f"{path} does not name the image {image!r}. It names {', '.join([*table][:5])} ...")
    said, boxes = table[image]
    refuse_other_size(path, said, shape)
    return boxes


def coco_images(path: Path) -> tuple[str, ...]:
    """Names of the images that a file speaks of, also of those without boxes, as it writes them."""
    return tuple(_read(path))


def write_coco(
    path: Path,
    images: Mapping[str, Boxes],
    sizes: Mapping[str, Sequence[int]],
    classes: Sequence[str],
) -> Path:
    """Write boxes, with their scores where they have them, as a COCO data set.

    Parameters
    ----------
    path
        A file ending in .json.
    images
        Boxes by the name of their image file.
    sizes
        Size YX of each image.
    classes
        Names in the order of their numbers, which start at 1.
    """
    number_of = {name: i for i, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for i, boxes in enumerate(images.values(), start=1):
        for k, (name, (y0, x0, y1, x1)) in enumerate(zip(boxes.classes, boxes.yxyx.tolist(), strict=True)):
            width, height = x1 - x0, y1 - y0
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": i,
                "category_id": number_of[name],
                "bbox": [x0, y0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            annotations.append(entry | ({} if boxes.scores is None else {"score": float(boxes.scores[k])}))
    document = {
        "images": [
            {"id": i, "file_name": name, "width": int(sizes[name][-1]), "height": int(sizes[name][-2])}
            for i, name in enumerate(images, start=1)
        ],
        "categories": [{"id": i, "name": name} for name, i in number_of.items()],
        "annotations": annotations,
    }
    write_text(path, json.dumps(document))
    return path


def _read(path: Path) -> _Table:
    with naming(path):
        facts = path.stat()
    return _parsed(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _parsed(path: Path, _modified: int, _size: int) -> _Table:
    """A whole file, remembered until it changes: all images of a folder ask for it."""
    try:
        document = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"{path} is no complete JSON file ({error}). Was it cut short while it was copied? Export it "
            "again."
        ) from None
    if isinstance(document, list):
        raise DataError(
            f"{path} holds COCO results without their images and categories, so names are missing. Export a "
            "COCO data set: a file with images, categories and annotations."
        )
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise DataError(
            f"{path} is JSON, but no COCO file: it needs the lists images, annotations and categories. "
            "Export the boxes as COCO, YOLO or Pascal VOC."
        )
    try:
        return _sorted(path, document)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not as COCO files are: something lacks or misuses {error}. Export it again as COCO "
            "(detection)."
        ) from None


def _sorted(path: Path, document: Mapping[str, Any]) -> _Table:
    category = {entry["id"]: str(entry["name"]).strip() for entry in document["categories"]}
    images = {entry["id"]: entry for entry in document["images"]}
    names = Counter(str(entry["file_name"]) for entry in images.values())
    if twice := [name for name, number in names.items() if number > 1]:
        raise DataError(
            f"{path} lists the image {twice[0]} {names[twice[0]]} times. Export the file again, each image "
            "once."
        )
    entries: dict[Any, list[Mapping[str, Any]]] = {key: [] for key in images}
    for i, entry in enumerate(document["annotations"], start=1):
        where = f"{path}: annotation {i}"
        box = entry.get("bbox") or ()
        if len(box) != 4 or any(number(value) != number(value) for value in box):
            raise DataError(f"{where} has no bbox of four numbers. Export upright boxes (detection).")
        if entry["category_id"] not in category:
            raise DataError(
                f"{where} is of category {entry['category_id']}, which the list of categories does not name. "
                "Add its name there, or export the file again."
            )
        if entry["image_id"] not in entries:
            raise DataError(
                f"{where} belongs to image {entry['image_id']}, which the list of images does not name. "
                "Export the file again with all of its images."
            )
        if not entry.get("iscrowd"):
            entries[entry["image_id"]].append(entry)
    return {
        str(images[key]["file_name"]): (
            (number(images[key].get("height")), number(images[key].get("width"))),
            _boxes(found, category),
        )
        for key, found in entries.items()
    }


def _boxes(entries: Sequence[Mapping[str, Any]], category: Mapping[Any, str]) -> Boxes:
    boxes = [[float(value) for value in entry["bbox"]] for entry in entries]
    scored = bool(entries) and all("score" in entry for entry in entries)
    return listed(
        (category[entry["category_id"]] for entry in entries),
        ((y, x, y + height, x + width) for x, y, width, height in boxes),
        [float(entry["score"]) for entry in entries] if scored else None,
    )

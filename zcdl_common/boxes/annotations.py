"""Boxes as annotations: files of any kind that is read here, found for their images by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zcdl_common.boxes import Boxes, of_labels
from zcdl_common.boxes.coco import coco_images, read_coco
from zcdl_common.boxes.reading import UNNAMED
from zcdl_common.boxes.regions import read_roi_boxes
from zcdl_common.boxes.table import csv_images, read_csv
from zcdl_common.boxes.voc import read_voc
from zcdl_common.boxes.yolo import NO_ANNOTATIONS, read_yolo
from zcdl_common.errors import DataError
from zcdl_common.folders import find_files
from zcdl_common.images import ImageRef
from zcdl_common.pairs import Pairing, pair
from zcdl_common.roi_files import ENDINGS, is_roi_file

_TABLES: Mapping[str, Callable[[Path], tuple[str, ...]]] = {".csv": csv_images, ".json": coco_images}
"""Endings of files that may name several images, and what tells which."""
_KINDS = (".csv", ".xml", ".txt", ".json", "regions", "labels")
"""In this order where several kinds annotate equally many images."""

_Found = dict[str, tuple[Path, str]]
"""By the name of an image (`ImageRef.group`): its file of annotations, and how that names the image."""


@dataclass(frozen=True)
class Annotation:
    """The boxes of one image, in a file of any kind."""

    path: Path
    image: ImageRef
    entry: str = ""
    """Name of the image in a file that holds the boxes of several."""

    def read(self) -> Boxes:
        """Boxes in pixels of the image, or of its region: there cut, and without those centred outside.

        Raises
        ------
        DataError
            The file is damaged, or does not belong to the image.
        """
        boxes = self._whole()
        region = self.image.region
        if region is None or not len(boxes):
            return boxes
        (top, bottom), (left, right) = region[-2:]
        centres = (boxes.yxyx[:, :2] + boxes.yxyx[:, 2:]) / 2
        inside = np.all((centres >= (top, left)) & (centres < (bottom, right)), axis=1)
        kept = boxes.at(inside)
        moved = kept.yxyx - np.array([top, left, top, left])
        return replace(kept, yxyx=moved.clip(0, np.array([bottom - top, right - left] * 2)))

    def crop(self, region: tuple[tuple[int, int], ...]) -> Annotation:
        """What belongs to the same region of the image."""
        return replace(self, image=self.image.crop(region))

    def _whole(self) -> Boxes:
        image = replace(self.image, region=None)
        suffix = self.path.suffix.lower()
        if is_roi_file(self.path):
            return read_roi_boxes(self.path, image.frame)
        info = image.info()
        shape = info.shape
        if suffix == ".xml":
            return read_voc(self.path, shape)
        if suffix == ".txt":
            return read_yolo(self.path, shape)
        if suffix == ".json":
            return read_coco(self.path, self.entry, shape)
        if suffix == ".csv":
            return read_csv(self.path, self.entry, shape, image.frame, info.frames)
        return read_label_boxes(self.path, image)


def read_label_boxes(path: Path, image: ImageRef) -> Boxes:
    """Boxes of class "object" around the objects of a label image, by rising number.

    Raises
    ------
    DataError
        It is no plane, has another size than its image, or holds no whole numbers.
    """
    axes = image.axes.replace("C", "").replace("S", "")
    labels = replace(image, paths=(path,), axes=axes, channels=None, pixel_size=None, region=None).read()
    if labels.shape[-1] > 1 and np.ptp(labels, axis=-1).any():
        raise DataError(
            f"{path} is a colour picture. A label image needs one number a pixel: 0 for background, and for "
            "each object one of its own. If this is a photograph, name the folder of its boxes instead."
        )
    labels, shape = labels[..., 0], image.info().shape
    if labels.shape != shape or labels.ndim != 2:
        found, wanted = (" x ".join(map(str, size)) for size in (labels.shape, shape))
        raise DataError(
            f"The label image {path} is {found} pixels, its image {wanted}; both must be one plane of the "
            "same size. Export the labels again at the size of the image."
        )
    if (labels.dtype.kind == "f" and (labels != np.round(labels)).any()) or labels.min(initial=0) < 0:
        raise DataError(
            f"The label image {path} holds fractions, negative numbers or NaN. Labels are 0 for background "
            "and 1, 2, ... for objects. Save it as 16-bit."
        )
    yxyx = of_labels(labels.astype(np.int64))
    return Boxes((UNNAMED,) * len(yxyx), yxyx)


def open_boxes(
    sources: Sequence[ImageRef], text: str, parameter: str, mended: Mapping[Path, Path]
) -> tuple[Pairing, tuple[Annotation, ...]]:
    """Boxes in the folder or file `text`; see `zcdl_common.task.Task.annotations`.

    Files belong to the image of the same name, tables (CSV, COCO) to all images that they name. Of several
    kinds in a folder, that which annotates the most images goes first, and the others fill its gaps; images
    are label images only where there is nothing else.

    Raises
    ------
    DataError
        Nothing is found, or nothing fits and a table that might is damaged.
    """
    own = {path.resolve() for ref in sources for path in ref.paths}
    files: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    for path in find_files(text, parameter, also=(*ENDINGS, ".xml", ".txt", ".json", ".csv")):
        kind = _kind(path)
        if path.name.lower() not in NO_ANNOTATIONS and not (kind == "labels" and path.resolve() in own):
            files[kind].append(path)
    problems: list[DataError] = []
    found = {kind: _found(sources, paths, problems) for kind, paths in files.items()}
    if problems and not any(found.values()):
        raise problems[0]
    if any(found[kind] for kind in _KINDS if kind != "labels"):
        files["labels"], found["labels"] = [], {}  # images beside annotations are photographs
    chosen: _Found = {}
    for kind in sorted(_KINDS, key=lambda kind: -len(found[kind])):
        chosen = found[kind] | chosen
    used = {path for table in found.values() for path, _ in table.values()}
    pairing = Pairing(
        tuple((ref, chosen[ref.group][0]) for ref in sources if ref.group in chosen),
        tuple(ref for ref in sources if ref.group not in chosen),
        tuple(path for paths in files.values() for path in paths if path not in used),
    )
    return pairing, tuple(
        Annotation(mended.get(path.resolve(), path), ref, chosen[ref.group][1]) for ref, path in pairing.pairs
    )


def all_boxes(path: Path) -> dict[str, Boxes]:
    """Boxes of all images that a table names, by the name that it has for them; none of other files."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return {name: read_csv(path, name) for name in csv_images(path)}
    return {name: read_coco(path, name) for name in coco_images(path)} if suffix == ".json" else {}


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _KINDS:
        return suffix
    return "regions" if is_roi_file(path) else "labels"


def _found(sources: Sequence[ImageRef], paths: Sequence[Path], problems: list[DataError]) -> _Found:
    """What the files of one kind annotate; tables that cannot be read are `problems`."""
    single = pair(sources, paths)
    found: _Found = {ref.group: (path, "") for ref, path in single.pairs}
    tables: _Found = {}
    for path in paths:
        images = _TABLES.get(path.suffix.lower())
        try:
            names = images(path) if images else ()
        except DataError as error:
            if path in single.without_source:
                problems.append(error)
            continue
        if len(names) > 1 or (names and path in single.without_source):
            found = {group: item for group, item in found.items() if item[0] != path}
            for group, name in _entries(sources, names).items():
                if group in tables:
                    raise DataError(
                        f"Both {tables[group][0]} and {path} hold boxes of {group}. Keep one of the two in "
                        "the folder, or name it alone."
                    )
                tables[group] = path, name
    return tables | found


def _entries(sources: Sequence[ImageRef], names: Sequence[str]) -> dict[str, str]:
    """How a table names each image; of two images of one name in different folders it names neither."""
    files = [Path(Path(name.replace("\\", "/")).name) for name in names]
    counts = Counter(files)
    named = {file: name for file, name in zip(files, names, strict=True) if counts[file] == 1}
    return {ref.group: named[file] for ref, file in pair(sources, list(named)).pairs}

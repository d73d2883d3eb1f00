"""Checks of boxes, and their repair: outside the image, without area, there twice, too small, forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from zcdl_common.boxes import Boxes, iou
from zcdl_common.doctor.findings import Finding, size_text
from zcdl_common.task import Array

MEND = (
    "Follow what is said there; the program in which the boxes were drawn can save them anew. Or take the "
    "file out, and its image is one without annotation."
)
"""What to do about a file of boxes that cannot be read."""
STEPS = ("remove boxes without area", "cut boxes at the border of the image", "remove repeated boxes")
"""Repairs that `mend` can do, in its order."""
LEAST_SIDE = 4
"""Pixels; below, an object covers no cell of the finest grid of a network."""
_SAME = 0.9
"""IoU from which two boxes of one class are taken for one object."""
_SPREAD = 32.0
"""How many times larger large boxes may be than small ones (99 over 1 in 100, root of the area)."""
_BLOCK = 256


def check_boxes(boxes: Boxes, shape: Sequence[int], file: str) -> Iterator[Finding]:
    """Boxes that are empty, leave the image of size `shape` (YX), or are there twice."""
    if not len(boxes):
        yield Finding(
            "note",
            "image-without-objects",
            (file,),
            "no box is drawn in this image.",
            "Right if the image shows none of your objects.",
        )
        return
    flat = without_area(boxes)
    if flat.any():
        yield Finding(
            "error",
            "boxes-without-area",
            (file,),
            f"{int(flat.sum())} of {len(boxes)} boxes have no area.",
            "Delete or redraw them in the annotation program.",
            "remove boxes without area",
        )
    yield from _outside(boxes, flat, shape, file)
    yield from _repeated(boxes, file)


def _outside(boxes: Boxes, flat: Array, shape: Sequence[int], file: str) -> Iterator[Finding]:
    limit = np.asarray(shape[-2:], float)
    low, high = boxes.yxyx[:, :2], boxes.yxyx[:, 2:]
    beyond = np.any((low < -1) | (high > limit + 1), axis=1) & ~flat
    away = ~_centred(boxes, shape) & ~flat
    if away.any():
        yield Finding(
            "error",
            "boxes-outside-image",
            (file,),
            f"{int(away.sum())} of {len(boxes)} boxes lie outside the image of {size_text(shape[-2:])} "
            "pixels: was the image resized or turned after the boxes were drawn?",
            "Use the images on which the boxes were drawn, or export the boxes again. If only these boxes "
            "are wrong, delete them.",
        )
    if (beyond & ~away).any():
        yield Finding(
            "warning",
            "boxes-beyond-border",
            (file,),
            f"{int((beyond & ~away).sum())} of {len(boxes)} boxes reach over the border of the image of "
            f"{size_text(shape[-2:])} pixels. If all of them seem too large, the image was resized.",
            "Look whether the boxes lie on their objects; if so, cut them at the border.",
            "cut boxes at the border of the image",
        )


def _repeated(boxes: Boxes, file: str) -> Iterator[Finding]:
    exact = int((~_first(boxes)).sum())
    if exact:
        yield Finding(
            "warning",
            "boxes-twice",
            (file,),
            f"{exact} of {len(boxes)} boxes are there twice: the network would be asked for two objects in "
            "one place.",
            "Delete one of each two.",
            "remove repeated boxes",
        )
    near = _overlapping(boxes.at(_first(boxes)))
    if near:
        yield Finding(
            "warning",
            "boxes-on-one-object",
            (file,),
            f"{near} of {len(boxes)} boxes cover another one of their class by more than {_SAME:.0%}: was an "
            "object marked twice?",
            "Delete one of each two, unless two objects lie on top of each other.",
        )


def check_sizes(drawn: Sequence[tuple[str, Boxes]]) -> Iterator[Finding]:
    """Boxes (each with its file) too small to be seen by a network, or of sizes too far apart for one."""
    sized = [(file, boxes.yxyx[~without_area(boxes)]) for file, boxes in drawn]
    everything = np.concatenate([np.zeros((0, 4)), *(yxyx for _, yxyx in sized)])
    if not len(everything):
        return
    small = [(file, int(np.count_nonzero(_shorter(yxyx) < LEAST_SIDE))) for file, yxyx in sized]
    tiny = sum(number for _, number in small)
    if tiny:
        yield Finding(
            "warning" if tiny > 0.05 * len(everything) else "note",
            "tiny-boxes",
            tuple(dict.fromkeys(file for file, number in small if number)),
            f"{tiny} of {len(everything)} boxes have a side below {LEAST_SIDE} pixels: too small to be told "
            "from noise.",
            "Delete boxes that were drawn by a slip of the mouse. If the objects are that small, enlarge the "
            "images, or take them with more magnification.",
        )
    extent = np.sqrt((everything[:, 2:] - everything[:, :2]).prod(axis=1))
    low, high = (float(value) for value in np.percentile(extent, (1, 99)))
    if high > _SPREAD * low:
        yield Finding(
            "warning",
            "sizes-far-apart",
            (),
            f"boxes measure from about {low:.0f} to about {high:.0f} pixels. One network hardly learns "
            f"objects that differ more than {_SPREAD:.0f}-fold in size.",
            "Are all images of one magnification? If not, scale them to one, or train a network for each.",
        )


def check_unannotated(files: Sequence[str]) -> Iterator[Finding]:
    """Images for which no annotation was found."""
    if files:
        yield Finding(
            "warning",
            "images-without-annotation",
            tuple(files),
            "no boxes were found for this image: does it show none of your objects, or was it forgotten?",
            "If it shows none, save an annotation without boxes (an empty .txt, an XML without objects, in a "
            "table a row with the name of the image alone): the network then learns from its background. "
            "Else draw the boxes, and give their file the name of the image.",
        )


def mend(boxes: Boxes, shape: Sequence[int], steps: Sequence[str]) -> Boxes:
    """Boxes without what `steps` of `STEPS` take away or cut; those centred outside the image stay.

    Parameters
    ----------
    shape
        Size YX of the image.
    """
    if "remove boxes without area" in steps:
        boxes = boxes.at(~without_area(boxes))
    if "cut boxes at the border of the image" in steps:
        limit = np.array([*shape[-2:], *shape[-2:]], float)
        cut = np.where(_centred(boxes, shape)[:, None], boxes.yxyx.clip(0, limit), boxes.yxyx)
        boxes = Boxes(boxes.classes, cut, boxes.scores)
    return boxes.at(_first(boxes)) if "remove repeated boxes" in steps else boxes


def without_area(boxes: Boxes) -> Array:
    """Which of the boxes have no area, bool (N,): flat ones, or turned round."""
    flat: Array = np.any(boxes.yxyx[:, 2:] <= boxes.yxyx[:, :2], axis=1)
    return flat


def _centred(boxes: Boxes, shape: Sequence[int]) -> Array:
    """Which boxes have their centre in the image."""
    centres = (boxes.yxyx[:, :2] + boxes.yxyx[:, 2:]) / 2
    inside: Array = np.all((centres >= 0) & (centres <= np.asarray(shape[-2:])), axis=1)
    return inside


def _first(boxes: Boxes) -> Array:
    """Which boxes are not the same as an earlier one, of the same class."""
    seen: dict[tuple[str, tuple[float, ...]], int] = {}
    rows = zip(boxes.classes, map(tuple, boxes.yxyx.tolist()), strict=True)
    return np.array([seen.setdefault(row, i) == i for i, row in enumerate(rows)], bool)


def _overlapping(boxes: Boxes) -> int:
    """How many boxes cover an earlier one of their class."""
    names = np.unique(np.array(boxes.classes, str), return_inverse=True)[1]
    covering = np.zeros(len(boxes), bool)
    for start in range(0, len(boxes), _BLOCK):
        rows = slice(start, start + _BLOCK)
        same = iou(boxes.yxyx[rows], boxes.yxyx) > _SAME
        same &= names[rows, None] == names
        covering[rows] = np.tril(same, start - 1).any(axis=1)
    return int(covering.sum())


def _shorter(yxyx: Array) -> Array:
    return np.asarray((yxyx[:, 2:] - yxyx[:, :2]).min(axis=1))

"""Checks of masks: what their numbers stand for, and whether the task can use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median

from zcdl_common.doctor.findings import Finding, counted
from zcdl_common.doctor.masks import MOST_COLOURS, Mask
from zcdl_common.fragments import MOST_PIECES, NO_BACKGROUND, SPECK, not_labels
from zcdl_common.rois import RoiLabels


def check_masks(masks: Mapping[str, Mask], task: str, *, classes: bool = False) -> Iterator[Finding]:
    """What is wrong with the masks of a set (file -> `Mask`) for ``segment`` or ``instances``.

    `classes` says that the user called their numbers classes, whatever they look like.
    """
    yield from _photographs(masks, "label image" if task == "instances" else "mask")
    numbered = any(_numbers(mask) for mask in masks.values())
    for file, mask in masks.items():
        yield from _unusable(file, mask)
        if task == "instances" and mask.lowest < 0:
            yield _negative(file, mask)
        elif task == "instances" and mask.regions:
            yield from _in_parts(file, mask)
        elif task == "instances" and (_numbers(mask) or (numbered and mask.fragments.numbers)):
            yield from _in_pieces(file, mask)
        elif task == "instances":
            yield from _not_numbered(file, mask)
    yield from _empty(masks)
    if task == "segment":
        if not classes:
            yield from _numbered(masks)
        yield from _two_codes(masks)
        yield from _inverted(masks)
        yield from _mostly_foreground(masks)


def _unusable(file: str, mask: Mask) -> Iterator[Finding]:
    if mask.kind == "colours" and mask.colours > MOST_COLOURS:
        yield Finding(
            "error",
            "mask-is-a-photograph",
            (file,),
            f"the mask has more than {MOST_COLOURS} colours: a photograph, an overlay, or saved as JPEG.",
            "Export the mask itself from the annotation program, as TIFF or PNG with one number a pixel.",
        )
    elif mask.kind == "colours":
        yield Finding(
            "error",
            "mask-in-colours",
            (file,),
            "the mask is a colour picture; a mask needs one number a pixel.",
            "Save the masks as 8- or 16-bit grey images, or let Repair give every colour a number (black "
            "becomes background).",
            "numbers from colours",
        )
    elif mask.kind == "soft":
        yield Finding(
            "error",
            "soft-mask",
            (file,),
            "the mask has grey values along its borders, as JPEG compression, smoothing or resizing leave "
            "them; each would count as a class or object of its own.",
            "Save masks as TIFF or PNG, never JPEG, and resize them without interpolation; or let Repair "
            "cut at half height (one class, good enough at the borders).",
            "two values",
        )
    elif mask.kind == "full":
        yield Finding(
            "warning",
            "mask-without-background",
            (file,),
            f"every pixel of the mask is {mask.values[0]}: there is no background (0) in it.",
            "Check that the mask was saved, not only its outline or an empty selection.",
        )
    if mask.equal_channels:
        yield Finding(
            "note",
            "mask-saved-as-colour",
            (file,),
            "the mask has several channels that are all the same; the first one is used.",
            "Save masks as 8-bit grey, or let Repair do it.",
            "grey from equal channels",
        )


def _negative(file: str, mask: Mask) -> Finding:
    return Finding(
        "error",
        "negative-numbers",
        (file,),
        f"the mask holds negative numbers (down to {mask.lowest}); here 0 is background and every object has "
        "a number from 1.",
        "Give what is no object the number 0, and save the mask as unsigned 16-bit.",
    )


def _photographs(masks: Mapping[str, Mask], word: str) -> Iterator[Finding]:
    """Grey pictures, and numbers that lossy compression has spoilt; nothing can repair either."""
    grey = {f: m for f, m in masks.items() if m.kind == "photograph"}
    bare = {f: m for f, m in grey.items() if 1 - m.share < NO_BACKGROUND}
    spoilt = {f: m for f, m in grey.items() if f not in bare}
    remedies = (
        f"Name the folder of {word}s as target, that of the images as source.",
        f"Export the {word}s again from the program in which they were drawn, as TIFF or PNG, never JPEG: "
        "nothing can bring the numbers back.",
    )
    for code, found, remedy in zip(("images-as-targets", "no-labels"), (bare, spoilt), remedies, strict=True):
        if found:
            share = 1 - max(m.share for m in found.values())
            reason = not_labels(word, max(m.colours for m in found.values()), share)
            yield Finding("error", code, tuple(found), reason[0].lower() + reason[1:], remedy)


def _not_numbered(file: str, mask: Mask) -> Iterator[Finding]:
    if mask.kind not in ("binary", "classes") or mask.objects < 2:
        return
    what = "two values" if mask.kind == "binary" else f"only the values {list(mask.values)}"
    yield Finding(
        "error",
        "objects-not-numbered",
        (file,),
        f"the mask holds {what} for {mask.objects} separate objects; here every object needs a number "
        "of its own.",
        "Save a label image (Fiji: MorphoLibJ > Connected Components Labeling; Labkit and Cellpose save "
        "labels by themselves), or let Repair number the separate objects. Objects that touch become one: "
        "look at the result.",
        "number the objects",
    )


def check_regions(drawn: RoiLabels, file: str) -> Iterator[Finding]:
    """What became of the regions of a file that could not all be drawn as they stand."""
    for severity, lines in (("warning", drawn.report), ("note", drawn.notes)):
        for line in lines:
            yield Finding(
                severity,  # type: ignore[arg-type]
                "regions-of-interest",
                (file,),
                f"{line}.",
                "Open the image in Fiji, drag the file of regions onto it, and correct what is not "
                "as it should be.",
            )


def _in_parts(file: str, mask: Mask) -> Iterator[Finding]:
    """What is drawn as one region is one object, in as many parts as it may have; mostly it has one."""
    found = mask.fragments
    if found.larger > MOST_PIECES * found.numbers:
        yield Finding(
            "warning",
            "regions-in-parts",
            (file,),
            f"{counted(found.numbers, 'region')} in {found.larger} separate parts; each region counts as one "
            "object.",
            "If the parts are objects of their own: select such regions in Fiji's ROI Manager, More > Split, "
            "delete those that were split, and save again.",
        )


def _numbers(mask: Mask) -> bool:
    """Whether most numbers are one object each, specks aside."""
    found = mask.fragments
    few = 0 < found.larger <= MOST_PIECES * found.numbers
    return mask.kind == "objects" or (mask.kind == "classes" and few)


def _in_pieces(file: str, mask: Mask) -> Iterator[Finding]:
    found = mask.fragments
    if not found.parted and not found.specks:
        return
    number, place = found.example
    where = ", ".join(f"{axis} {i}" for axis, i in zip("zyx"[-len(place) :], place, strict=True))
    several = f"{counted(found.parted, 'number')} of {found.numbers} in several separate pieces"
    specks = f"{counted(found.specks, 'speck')} away from the object of the same number"
    what = " and ".join([several] * bool(found.parted) + [specks] * bool(found.specks))
    yield Finding(
        "error" if found.larger > MOST_PIECES * found.numbers else "warning",
        "objects-in-pieces",
        (file,),
        f"{what}: look at number {number}, near {where}.",
        "Right where one object lies on top of another and parts it. Otherwise correct it, or let Repair "
        f"give every larger piece a number of its own, and make pieces below {100 * SPECK:.0f} % of the "
        "largest of their number background.",
        "number the larger pieces and remove the specks",
    )


def _empty(masks: Mapping[str, Mask]) -> Iterator[Finding]:
    empty = tuple(file for file, mask in masks.items() if mask.kind == "empty")
    if not empty:
        return
    if len(empty) == len(masks):
        yield Finding(
            "error",
            "all-masks-empty",
            empty,
            "all masks are 0 everywhere: there is nothing to learn.",
            "Check the folder of masks, and that annotations were saved and not only drawn.",
        )
    else:
        yield Finding(
            "warning",
            "empty-mask",
            empty,
            "the mask is 0 everywhere: the network will learn that there is nothing in this image.",
            "Right if the image really shows none; otherwise save the mask again.",
        )


def _numbered(masks: Mapping[str, Mask]) -> Iterator[Finding]:
    numbered = tuple(file for file, mask in masks.items() if mask.kind == "objects")
    usable = sum(mask.kind in ("binary", "classes", "objects") for mask in masks.values())
    if numbered and 2 * len(numbered) > usable:
        yield Finding(
            "note",
            "objects-are-numbered",
            numbered,
            "each object has its own number; they will be used as one class.",
            "If the numbers are classes, set masks_are to classes. If you want separate objects, "
            "StarDist is made for it: open its notebook.",
        )


def _two_codes(masks: Mapping[str, Mask]) -> Iterator[Finding]:
    """Some masks write the structure as 1 and others as 255."""
    by_value: dict[int, list[str]] = {}
    for file, mask in masks.items():
        if mask.kind == "binary" and mask.values[0] == 0:
            by_value.setdefault(mask.values[1], []).append(file)
    if 1 in by_value and 255 in by_value:
        yield Finding(
            "error",
            "masks-coded-differently",
            tuple(f for value, files in by_value.items() if value != 255 for f in files),
            f"some masks say {' and others '.join(map(str, sorted(by_value)))} where the structure is; "
            "they would count as different classes.",
            "Save all masks in one way (0 and 255), or let Repair do it.",
            "two values",
        )


def _inverted(masks: Mapping[str, Mask]) -> Iterator[Finding]:
    """Masks that call background what the others call foreground.

    Theirs is large where the others' is small, and dark where the others' is bright.
    """
    binary = {f: m for f, m in masks.items() if m.kind == "binary" and abs(m.contrast) > 0.3}
    if len(binary) < 4:
        return
    usual = median(m.contrast for m in binary.values())
    share = median(m.share for m in binary.values())
    odd = tuple(f for f, m in binary.items() if m.contrast * usual < 0 and (m.share > 0.5) != (share > 0.5))
    if odd and len(odd) < len(binary) / 2:
        yield Finding(
            "warning",
            "mask-inverted",
            odd,
            "foreground and background look exchanged, compared with the other masks.",
            "Open image and mask side by side. In Fiji: Edit > Invert, save again.",
        )


MOSTLY = 0.85
"""Share of foreground above which masks are more likely inverted than right."""


def _mostly_foreground(masks: Mapping[str, Mask]) -> Iterator[Finding]:
    """A whole set of masks with 0 for the structure, which no comparison among them shows."""
    large = tuple(f for f, m in masks.items() if m.kind == "binary" and m.share > MOSTLY)
    if large and 2 * len(large) > len(masks):
        share = median(masks[file].share for file in large)
        yield Finding(
            "warning",
            "masks-mostly-foreground",
            large,
            f"the structure covers {100 * share:.0f} % of the images: are the masks inverted?",
            "Right if it really covers so much. Otherwise open a mask in Fiji: Edit > Invert, save again.",
        )

"""Which target belongs to which image: by name, never by the order of the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zcdl_common.errors import ConfigError
from zcdl_common.folders import stem
from zcdl_common.images import ImageRef

Item = TypeVar("Item")

# fmt: off
SUFFIXES = (
    "cp_masks", "masks", "mask", "labels", "label", "segmentation", "seg", "groundtruth", "ground_truth",
    "truth", "gt", "targets", "target", "annotations", "annotation", "boxes", "roiset", "rois", "roi",
    "instances", "clean", "high", "images", "image", "img", "source", "raw", "input", "noisy", "low",
)
# fmt: on
"""Parts of names that say what a file is, not which one: of targets and of images."""

_WORD = "(?:" + "|".join(sorted(SUFFIXES, key=len, reverse=True)) + ")"
_AROUND = re.compile(rf"^{_WORD}[ _.\-]+(?=.)|(?:[ _.\-]+{_WORD})+$", re.IGNORECASE)


@dataclass(frozen=True)
class Pairing:
    """Images with their targets, and what is left over on either side."""

    pairs: tuple[tuple[ImageRef, Path], ...]
    without_target: tuple[ImageRef, ...]
    without_source: tuple[Path, ...]


def core(name: str) -> str:
    """A name without what is common, in lower case: ``Img1_cp_masks`` and ``img1.tif`` are both img1."""
    return _AROUND.sub("", stem(Path(name))).casefold()


def pair(sources: Sequence[ImageRef], targets: Sequence[Path]) -> Pairing:
    """Pair images with target files by equal names, else by names without common suffixes.

    All frames of one file share its target file. Where two files could take one place after their
    suffixes are taken off, neither does: guessing would train on wrong pairs.

    Parameters
    ----------
    sources
        Images; their `group` (name of the file without ending) is compared, without regard to case.
    targets
        Files of any kind.
    """
    found: dict[str, Path] = {}
    left = list(targets)
    for key in (str, str.casefold, core):
        names = {ref.group for ref in sources} - set(found)
        claims = _single((key(name), name) for name in names)
        offers = _single((key(stem(path)), path) for path in left)
        found |= {name: offers[k] for k, name in claims.items() if k in offers}
        taken = set(found.values())
        left = [path for path in left if path not in taken]
    return Pairing(
        tuple((ref, found[ref.group]) for ref in sources if ref.group in found),
        tuple(ref for ref in sources if ref.group not in found),
        tuple(left),
    )


def group_of(name: str, pattern: str) -> str:
    r"""Group of an image: what `pattern` (``group_by``) matches in its name, else the name itself.

    A pattern with brackets gives what the brackets hold: ``(well[A-H]\d+)_``.

    Raises
    ------
    ConfigError
        The pattern is no regular expression.
    """
    try:
        match = re.search(pattern, name) if pattern else None
    except re.error as error:
        raise ConfigError(
            f"group_by = {pattern!r} is no valid text pattern ({error}). For files such as movie3_t01.tif "
            r"write movie\d+, where \d+ stands for a number and .* for anything; put a backslash before a "
            r"bracket, star or plus that is part of the name."
        ) from None
    if not match:
        return name
    return "_".join(part for part in match.groups() if part) or match.group() or name


def _single(items: Iterable[tuple[str, Item]]) -> dict[str, Item]:
    """Items by key, without those whose key is not theirs alone."""
    table: dict[str, list[Item]] = {}
    for key, item in items:
        table.setdefault(key, []).append(item)
    return {key: group[0] for key, group in table.items() if len(group) == 1}

"""From the files of an archive to folders of pairs, as datasets.yaml describes it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass

from zcdl_common.boxes import area
from zcdl_common.boxes.table import write_csv
from zcdl_common.boxes.voc import image_name, read_voc
from zcdl_common.errors import DataError
from zcdl_common.samples.store import write_image
from zcdl_common.task import Array

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")
Patterns = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]


@dataclass(frozen=True, config=STRICT)
class Pick:
    """Which files, and what becomes of them.

    Patterns are matched against the whole path inside the archive: ``*`` stands for part of a
    name, ``**/`` for any folders above. What the stars matched is the name of the result, so files whose
    stars matched the same belong together, whatever else their names say.
    """

    files: Patterns
    """Patterns of the files to take."""
    exclude: Patterns = ()
    """Patterns of files to leave out, with the reason beside them."""
    only: str = ""
    """Pattern of a text file with one name a line: take these alone."""
    without: str = ""
    """Pattern of a text file with one name a line: leave these out."""
    part: tuple[int, int] | None = None
    """(first, step): every step-th file."""
    axes: str = ""
    """Axes of the files where they do not say: they are written anew with axes and pixel size."""
    pixel_size: tuple[float, ...] | None = None
    """(Z)YX in micrometres, where it differs from the rest of the data set."""
    channels: tuple[int, ...] = ()
    """Channels to keep, from 0."""
    panel: tuple[int, int] | None = None
    """(index, number): one of several pictures that stand side by side in the file."""
    boxes: bool = False
    """The files are Pascal VOC annotations: they become CSV tables of boxes."""


def lay_out(
    pick: Pick, archive: Path, folder: Path, name: str, axes: str, pixel_size: tuple[float, ...] | None
) -> list[str]:
    """Copy, or write anew, what `pick` names into `folder`.

    Parameters
    ----------
    pick : Pick
        What to take.
    archive : Path
        Folder that holds the unpacked files.
    folder : Path
        Folder to fill; made.
    name : str
        Name of the result where the pattern has no star.
    axes, pixel_size
        Of the whole data set; `pick` may have its own axes.

    Returns
    -------
    list of str
        Names of the results, without suffix.

    Raises
    ------
    DataError
        No file matches: the archive is not laid out as datasets.yaml says.
    """
    chosen = _choose(pick, archive, name)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, path in chosen.items():
        if pick.boxes:
            boxes = read_voc(path)
            boxes = boxes.at(area(boxes.yxyx) > 0)  # an example is right as it comes
            write_csv(folder / f"{stem}.csv", {stem + Path(image_name(path)).suffix: boxes})
        elif path.suffix.lower() in IMAGES and (pick.axes or axes or pick.channels or pick.panel):
            content, order = arrange(read(path), pick.axes or axes, pick.channels, pick.panel)
            write_image(folder / f"{stem}.tif", content, order, pick.pixel_size or pixel_size)
        else:
            shutil.copyfile(path, folder / f"{stem}{path.suffix.lower()}")
    return list(chosen)


def _choose(pick: Pick, archive: Path, name: str) -> dict[str, Path]:
    paths = {p.relative_to(archive).as_posix(): p for p in sorted(archive.rglob("*")) if p.is_file()}
    left_out = {r for pattern in pick.exclude for r in match([pattern], paths)}
    found = match(pick.files, [r for r in paths if r not in left_out])
    if pick.only:
        listed = _listed(pick.only, paths)
        found = {r: stem for r, stem in found.items() if stem in listed}
    if pick.without:
        listed = _listed(pick.without, paths)
        found = {r: stem for r, stem in found.items() if stem not in listed}
    relative = sorted(found)
    if pick.part:
        relative = relative[pick.part[0] :: pick.part[1]]
    if not relative:
        raise unexpected(f"no file matches {', '.join(pick.files)}")
    chosen = {found[r] or name: paths[r] for r in relative}
    if len(chosen) < len(relative):
        raise unexpected(
            f"{len(relative)} files match {', '.join(pick.files)}, but their names are not unique"
        )
    return chosen


def match(patterns: Sequence[str], relative: Sequence[str] | dict[str, Path]) -> dict[str, str]:
    """Paths that match one of the patterns, with the text that the stars matched, joined by ``_``."""
    rules = [re.compile(_rule(pattern)) for pattern in patterns]
    found = ((path, rule.fullmatch(path)) for path in relative for rule in rules)
    return {path: "_".join(hit.groups()) for path, hit in found if hit}


def _rule(pattern: str) -> str:
    pieces = re.split(r"(\*\*/|\*)", pattern)
    meaning = {"**/": r"(?:.*/)?", "*": r"([^/]*)"}
    return "".join(meaning.get(piece, re.escape(piece)) for piece in pieces)


def _listed(pattern: str, paths: dict[str, Path]) -> set[str]:
    lists = match([pattern], paths)
    if len(lists) != 1:
        raise unexpected(f"{len(lists)} files match {pattern}, where one list of names is expected")
    lines = paths[next(iter(lists))].read_text(encoding="utf-8").split()
    return set(lines) | {Path(line).stem for line in lines}


def unexpected(what: str) -> DataError:
    """The archive holds something else than its entry says."""
    return DataError(
        f"The data set is not laid out as datasets.yaml says: {what}. Please report it; meanwhile choose "
        "another data set with: zcdl list"
    )


def read(path: Path) -> Array:
    """Pixels of a TIFF, NumPy file or picture, as the file has them."""
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        return np.asarray(tifffile.imread(path))
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    from skimage.io import imread

    return np.asarray(imread(path))


def arrange(
    image: Array, axes: str, channels: Sequence[int] = (), panel: tuple[int, int] | None = None
) -> tuple[Array, str]:
    """Cut, choose channels, and bring the axes into ImageJ's order.

    Parameters
    ----------
    image : ndarray
        As read.
    axes : str
        Its axes, for example ZCYX; empty for a picture: YX, or YXS with colours.
    channels : sequence of int
        Channels to keep; one alone loses its axis. Empty: all.
    panel : tuple of int, optional
        (index, number) of pictures side by side along X.

    Returns
    -------
    image : ndarray
        The part that was asked for.
    axes : str
        Its axes.
    """
    axes = axes or ("YX" if image.ndim == 2 else "YXS")
    if image.ndim != len(axes):
        raise unexpected(f"an image has {image.ndim} axes where {axes} is expected")
    if panel:
        index, number = panel
        width = image.shape[axes.index("X")] // number
        image = image.take(range(index * width, (index + 1) * width), axis=axes.index("X"))
    if "C" in axes:
        image = np.moveaxis(image, axes.index("C"), axes.replace("C", "").index("Y"))
        axes = axes.replace("C", "").replace("Y", "CY")
        if channels:
            image = image.take(channels if len(channels) > 1 else channels[0], axis=axes.index("C"))
            axes = axes if len(channels) > 1 else axes.replace("C", "")
    return np.ascontiguousarray(image), axes

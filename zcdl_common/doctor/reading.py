"""Read one image and its target once, run the checks of single files, keep what the others need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from zcdl_common.boxes import Boxes
from zcdl_common.doctor import (
    alignment,
    boxes,
    duplicates,
    intensities,
    labels,
    masks,
    matching,
    objects,
    resizing,
    shapes,
)
from zcdl_common.doctor.findings import Finding
from zcdl_common.errors import DataError, UserError
from zcdl_common.task import Array, Lazy, Sample, Task

_SEEN = 2048


@dataclass
class Look:
    """What is kept of one image and its target after the files were read."""

    sample: Sample
    file: str
    test: bool
    target_file: str = ""
    size: shapes.Size | None = None
    target_size: shapes.Size | None = None
    target_type: str = ""
    """Of an image as target."""
    pixel_size: tuple[float, ...] | None = None
    target_pixel_size: tuple[float, ...] | None = None
    scale: resizing.Scale | None = None
    """Where image and target differ in size by a factor."""
    range: intensities.Range | None = None
    constant: bool = False
    prints: list[duplicates.Print] = field(default_factory=list)
    mask: masks.Mask | None = None
    boxes: Boxes | None = None
    shift: alignment.Shift | None = None
    match: matching.Pair | None = None
    noise: tuple[float, float] | None = None
    """Of image and target, as a share of their ranges."""
    levels: tuple[float, float] | None = None
    """Of the usual pixel of image and target between their darkest and brightest (`measure_level`)."""
    unlabelled: tuple[int, int] = (0, 0)
    findings: list[Finding] = field(default_factory=list)
    read: bool = False


def masked(task: Task) -> bool:
    """Whether the target is a mask."""
    return task.name in ("segment", "instances")


def imaged(task: Task) -> bool:
    """Whether the target is an image of the same field."""
    return task.paired and task.input_is_prediction


def alone(task: Task) -> bool:
    """Whether the network learns from images without partners."""
    return not (task.paired and task.needs_target)


def two_kinds(task: Task) -> bool:
    """Whether image and target show a field in two ways, so that neither is the better one."""
    return task.name == "translate"


def look_at(sample: Sample, file: str, test: bool, task: Task, word: str, *, whole: bool) -> Look:
    """Read image and target of `sample` if `whole`, else their headers, and check them.

    Parameters
    ----------
    sample : Sample
    file : str
        Name of the image in findings.
    test : bool
        Whether it is a test image.
    task : Task
    word : str
        What to call the target.
    whole : bool
    """
    look = Look(sample, file, test)
    image = _attempt(look, sample.source, file, whole)
    if image is not None and image.ndim >= 3 and image.size:
        look.read = True
        look.size = shapes.Size(image.shape[:-1], image.shape[-1])
        look.findings += _image(look, image, task)
    if task.name == "detect":
        _boxes(look)
    elif task.name == "localise":
        if whole or not getattr(sample.source, "frame", None):
            _positions(look)
    elif sample.target is not None:
        look.target_file = str(sample.target.path)
        target = _attempt(look, sample.target, look.target_file, whole)
        if target is not None and look.size is not None and image is not None:
            look.findings += _target(look, image, target, task, word)
    if not whole:
        _headers(look, task, word)
    return look


def _boxes(look: Look) -> None:
    """Boxes are read of all images: it is quick, and a single wrong one spoils a training."""
    target = look.sample.target
    if target is None:
        return
    look.target_file = str(target.path)
    if getattr(target, "entry", ""):  # the file holds the boxes of other images, too
        look.target_file += f" ({look.sample.name})"
    try:
        look.boxes = target.read()
        assert isinstance(look.boxes, Boxes)
    except Exception as error:
        look.findings.append(unreadable((look.target_file,), _said(error), boxes.MEND))
        return
    if look.size is not None:
        look.findings += boxes.check_boxes(look.boxes, look.size.shape, look.target_file)


def _positions(look: Look) -> None:
    """Tables of positions, of which reading a frame checks the whole: movies have a hundred thousand."""
    target = look.sample.target
    if target is None:
        return
    look.target_file = str(target.path)
    try:
        target.read()
    except Exception as error:
        remedy = "Mend that; or leave target empty, since positions are not needed to train."
        look.findings.append(unreadable((look.target_file,), _said(error), remedy))


def _attempt(look: Look, lazy: Lazy, file: str, whole: bool) -> Array | None:
    """Pixels, or None and a finding: one bad file must not hide what is wrong with the others."""
    try:
        info = lazy.info() if hasattr(lazy, "info") else None
        if lazy is look.sample.source and info is not None:
            look.pixel_size = info.pixel_size
            look.size = shapes.Size(tuple(info.shape), info.channels)
        elif info is not None:
            look.target_pixel_size = info.pixel_size
            look.target_size = shapes.Size(tuple(info.shape), info.channels)
        pixels = np.asarray(lazy.read()) if whole else None
        if pixels is not None and pixels.dtype.kind not in "buif":
            raise DataError(f"its pixels are of the type {pixels.dtype}, not numbers of grey.")
        return pixels.astype(np.uint8) if pixels is not None and pixels.dtype == bool else pixels
    except Exception as error:
        look.findings.append(unreadable((file,), _said(error)))
        return None


def _said(error: Exception) -> str:
    said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return f"the file cannot be read: {said}"


def unreadable(files: tuple[str, ...], reason: str, remedy: str = "") -> Finding:
    """A file that no check can look into."""
    return Finding(
        "error",
        "unreadable",
        files,
        reason,
        remedy
        or "Open it in Fiji. If that fails too, copy it again from where it came; else save it as TIFF.",
    )


def _headers(look: Look, task: Task, word: str) -> None:
    if look.size is not None and look.target_size is not None and (masked(task) or imaged(task)):
        look.findings += _sizes(look, task, word)


def _sizes(look: Look, task: Task, word: str) -> list[Finding]:
    """Whether image and target fit each other in size, once both are known."""
    assert look.size is not None and look.target_size is not None
    if imaged(task):
        factor = resizing.common_factor(look.size, look.target_size, look.pixel_size, look.target_pixel_size)
        if factor is not None:
            sizes = look.size.shape, look.target_size.shape
            look.scale = resizing.Scale(look.file, look.target_file, *sizes, factor)
            return []
    return list(
        shapes.check_pair(
            look.size,
            look.target_size,
            look.file,
            word=word,
            projection=two_kinds(task),
            drawn=task.drawn,
        )
    )


def _image(look: Look, image: Array, task: Task) -> Iterator[Finding]:
    yield from _pixels(image, look.file, task)
    yield from shapes.check_time(image, look.file)
    constant = list(intensities.check_constant(image, look.file))
    look.constant = bool(constant)
    yield from constant
    look.range = intensities.measure_range(image)
    look.prints.append(
        duplicates.Print(
            look.file, look.sample.group, look.test, duplicates.digest(image), duplicates.thumbnail(image)
        )
    )


def _pixels(image: Array, file: str, task: Task) -> Iterator[Finding]:
    yield from intensities.check_missing(image, file)
    yield from intensities.check_grey_as_colour(image, file)
    severity = "note" if task.drawn else "warning"
    yield from intensities.check_saturation(image, file, severity=severity)  # type: ignore[arg-type]


def _target(look: Look, image: Array, target: Array, task: Task, word: str) -> Iterator[Finding]:
    assert look.size is not None
    if not (masked(task) or imaged(task)):
        return
    regions = getattr(look.sample.target, "regions", None)  # of annotations that may be drawn
    drawn = regions() if regions else None
    if drawn is not None:
        yield from labels.check_regions(drawn, look.target_file)
    target = channel_last(target, image.ndim - 1)
    look.target_size = shapes.Size(target.shape[:-1], target.shape[-1])
    unequal = _sizes(look, task, word)
    yield from unequal
    if masked(task):
        look.mask = masks.measure_mask(target, None if unequal else image, regions=drawn is not None)
    else:
        look.target_type = str(target.dtype)
        yield from _pixels(target, look.target_file, task)
        yield from intensities.check_constant(target, look.target_file)
    if unequal or look.constant:
        return
    if look.mask is not None:
        if look.mask.kind not in ("binary", "classes", "objects"):
            return
        plane = target[..., 0]
        look.unlabelled = _unlabelled(image, plane)
        shown = (plane != 0).astype(np.float32)
    else:
        shown = _grey(target)
        if not two_kinds(task) and look.scale is None:
            look.noise = intensities.measure_noise(_grey(image)), intensities.measure_noise(shown)
    if look.scale is None:
        look.shift = alignment.measure_shift(_grey(image), shown, two_kinds=two_kinds(task))
    if task.stained:
        look.levels = intensities.measure_level(_grey(image)), intensities.measure_level(shown)
    if two_kinds(task):
        small, other = matching.portrait(image), matching.portrait(target)
    else:
        small, other = look.prints[0].thumbnail, duplicates.thumbnail(shown[..., np.newaxis])
    if small is not None and other is not None:
        look.match = matching.Pair(look.file, look.size.shape, small, other)


def _unlabelled(image: Array, plane: Array) -> tuple[int, int]:
    from scipy import ndimage

    cut = (slice(0, _SEEN),) * plane.ndim
    numbers = plane[cut].astype(np.int64)
    if len(np.unique(numbers)) == 2:
        numbers = ndimage.label(numbers)[0]
    return objects.unlabelled_objects(_grey(image[cut]), numbers)


def _grey(image: Array) -> Array:
    return np.asarray(image.mean(axis=-1, dtype=np.float32))


def channel_last(target: Array, spatial: int) -> Array:
    """A target as (Z)YXC, whether or not its reader keeps a channel axis."""
    if target.ndim == 2 or (target.ndim == spatial == 3 and target.shape[-1] > 4):
        return target[..., np.newaxis]
    return target

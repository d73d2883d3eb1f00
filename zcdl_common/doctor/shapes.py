"""Checks of partners, sizes, axes and channels: everything that the headers of the files tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.doctor.findings import Finding, counted, size_text
from zcdl_common.task import Array

FEW = {
    "segment": 5,
    "instances": 5,
    "restore": 5,
    "denoise": 1,
    "translate": 10,
    "unpaired": 20,
    "detect": 20,
    "localise": 1,
}
"""Training images below which a network of that task seldom learns enough to carry over to others."""


@dataclass(frozen=True)
class Size:
    """Size of one image."""

    shape: tuple[int, ...]
    """(Z)YX in pixels."""
    channels: int


def check_partners(
    without_target: Sequence[str], without_source: Sequence[str], target: str, *, drawn: bool = True
) -> Iterator[Finding]:
    """Images without target, and targets without image. `drawn`: targets are annotations, not images."""
    how = "Give both files of a pair the same name, or add or take out the single one. "
    if without_target:
        yield Finding(
            "error",
            "missing-partner",
            tuple(without_target),
            f"no {target} of the same name was found for this image.",
            how.strip() + f" An image that shows no objects still needs a {target} (all 0)." * drawn,
        )
    if without_source:
        yield Finding(
            "error",
            "missing-image",
            tuple(without_source),
            f"no image of the same name was found for this {target}.",
            how.strip(),
        )


def check_pair(
    source: Size, target: Size, file: str, *, word: str, projection: bool, drawn: bool = True
) -> Iterator[Finding]:
    """Sizes of image and target.

    `projection`: a plane may be the target of a stack (translation). `drawn`: targets are annotations.
    """
    if source.shape == target.shape:
        return
    sizes = size_text(source.shape), size_text(target.shape)
    if len(source.shape) != len(target.shape):
        if projection and len(target.shape) == 2 and source.shape[-2:] == target.shape:
            yield Finding(
                "error",
                "stack-with-flat-target",
                (file,),
                f"the image is a stack of {source.shape[0]} planes, its {word} a single plane.",
                "To predict one plane from all of them, set axes = CYX: each plane of the stack then is a "
                "channel of a 2D image.",
            )
            return
        reason = f"the image is {_dimensions(source)}, its {word} {_dimensions(target)}."
        remedy = "Save both with the same axes; if the image is a time-lapse, set axes to TYX."
    elif source.shape[1:] == target.shape[1:] and len(source.shape) == 3:
        reason = f"the image has {counted(source.shape[0], 'plane')}, its {word} {target.shape[0]}."
        remedy = (
            "Cut the longer stack so that both hold the same planes (Fiji: Image > Stacks > Tools > "
            "Make Substack)."
        )
    elif (*source.shape[:-2], source.shape[-1], source.shape[-2]) == target.shape:
        reason = f"the image measures {sizes[0]} pixels, its {word} {sizes[1]}: one is turned."
        remedy = "Turn one of them by 90° or transpose it, and check that they then show the same."
    else:
        reason = f"the image measures {sizes[0]} pixels, its {word} {sizes[1]}."
        remedy = (
            f"Use the {word} that was {'drawn on' if drawn else 'taken with'} this very image, or crop or "
            "scale one of them to the size of the other" + f" ({word}s without interpolation)" * drawn + "."
        )
    yield Finding("error", "different-sizes", (file,), reason, remedy)


def check_dimensions(sizes: Mapping[str, Size], ndim: int | None = None) -> Iterator[Finding]:
    """2D files among 3D files, or files that do not fit the chosen dimension."""
    counts = Counter(len(s.shape) for s in sizes.values())
    wanted = ndim or (counts.most_common(1)[0][0] if counts else 2)
    odd = tuple(f for f, s in sizes.items() if len(s.shape) != wanted)
    if odd:
        found = "a stack (ZYX)" if wanted == 2 else "a single plane (YX)"
        rest = "single planes" if wanted == 2 else "stacks"
        yield Finding(
            "error",
            "2d-among-3d",
            odd,
            f"this file is {found} where {rest} are expected.",
            "Keep 2D and 3D files in different folders. If a third axis is time, set axes to TYX; if it is "
            "channels, to CYX.",
        )


def check_channels(sizes: Mapping[str, Size], images: str = "images") -> Iterator[Finding]:
    """Files with another number of channels than the other `images`, such as RGB among grey ones."""
    counts = Counter(s.channels for s in sizes.values())
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    for file, size in sizes.items():
        if size.channels != usual:
            colour = " (a colour picture?)" if size.channels in (3, 4) else ""
            yield Finding(
                "error",
                "different-channels",
                (file,),
                f"it has {counted(size.channels, 'channel')}{colour}, the other {images} have {usual}.",
                "Save all images with the same channels, or choose those to use with the parameter channels.",
            )


def check_depths(sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Stacks of very different numbers of planes; small differences do no harm."""
    depths = {f: s.shape[0] for f, s in sizes.items() if len(s.shape) == 3}
    if len(depths) < 2:
        return
    low, high = min(depths.values()), max(depths.values())
    if 2 * low < high:
        yield Finding(
            "warning",
            "unequal-depth",
            tuple(f for f, d in depths.items() if 2 * d < high),
            f"the stacks have between {low} and {high} planes; no patch can be deeper than the thinnest.",
            "Leave out the thin stacks if they show only part of the objects.",
        )
    elif low < high:
        yield Finding(
            "note",
            "unequal-depth",
            (),
            f"the stacks have between {low} and {high} planes. Patches are cut to fit.",
            "Nothing, if plane distance and objects are the same.",
        )


def check_patch(sizes: Mapping[str, Size], patch_size: Sequence[int] | None) -> Iterator[Finding]:
    """Images smaller than a training patch."""
    if patch_size is None:
        return
    fitting = {f: s.shape for f, s in sizes.items() if len(s.shape) == len(patch_size)}
    small = tuple(
        f for f, shape in fitting.items() if any(n < p for n, p in zip(shape, patch_size, strict=True))
    )
    if small:
        least = tuple(min(shape[axis] for shape in fitting.values()) for axis in range(len(patch_size)))
        proposed = (max(min(n, p) // 16 * 16, 16) for n, p in zip(least, patch_size, strict=True))
        yield Finding(
            "error",
            "patch-larger-than-image",
            small,
            f"patch_size is {size_text(patch_size)} pixels, but this image is smaller (the smallest is "
            f"{size_text(least)}).",
            f"Set patch_size to {', '.join(map(str, proposed))}, leave it empty (automatic), or take the "
            "small images out.",
        )


def check_count(images: int, task: str) -> Iterator[Finding]:
    """Too few images."""
    enough = FEW.get(task, 5)
    if images == 0:
        yield Finding(
            "error", "no-images", (), "there is no image to learn from.", "Check the folder in section 2."
        )
    elif images < enough:
        one = images == 1 and task != "localise"
        yield Finding(
            "warning",
            "few-images",
            (),
            f"only {counted(images, 'image')} to learn from."
            + (
                " It will be divided into strips for training, validation and test: this shows how it works, "
                "not how good it is."
                if one
                else ""
            ),
            f"Add more, from different days and samples: {enough} or more is a start, and 6 test images are "
            "needed for a judgement.",
        )


def looks_like_time(image: Array) -> bool:
    """Whether the planes of a stack (Z)YXC look like frames of a movie.

    In a movie any two frames resemble each other and are equally bright and sharp; in a z-stack,
    planes far apart differ. Stacks of fewer than five planes, and very noisy ones, are let pass.
    """
    if image.ndim != 4 or image.shape[0] < 5:
        return False
    from scipy import ndimage

    step = max(1, image.shape[0] // 16)
    planes = np.nan_to_num(image[::step].astype(np.float32).mean(axis=-1))[..., :512, :512]
    flat = np.stack([ndimage.gaussian_filter(plane, 2) for plane in planes]).reshape(len(planes), -1)
    mean, spread = flat.mean(axis=1), flat.std(axis=1)
    if spread.min() <= 1e-6 * max(abs(float(mean.max())), 1e-12):
        return False
    alike = np.corrcoef(flat)
    steady = np.std(spread) < 0.05 * np.mean(spread) and np.std(mean) < 0.05 * abs(np.mean(mean))
    return bool(alike.min() > 0.7 and steady)


def check_time(stack: Array, file: str) -> Iterator[Finding]:
    """A time-lapse that was saved with its frames as planes."""
    if looks_like_time(stack):
        yield Finding(
            "warning",
            "time-saved-as-z",
            (file,),
            f"its {stack.shape[0]} planes look like frames of a movie: all show the same field, equally "
            "bright and sharp.",
            "If they are frames, set axes to TYX and train in 2D (Fiji: Image > Properties, exchange "
            "slices and frames). If it is a z-stack, go on.",
        )


def _dimensions(size: Size) -> str:
    kind = "a stack" if len(size.shape) == 3 else "a single plane"
    return f"{kind} ({size_text(size.shape)})"

"""Checks of the pixel values of one image, and of how the images of a set compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from zcdl_common.doctor.findings import Finding, Severity, counted
from zcdl_common.task import Array

SATURATED = 0.01
"""Share of pixels at the maximum from which an image counts as saturated."""
_FAR = 10.0
"""How many times brighter or dimmer than the others an image must be to be mentioned."""


NOISIER = 2.0
"""How many times noisier than its image a clean image must be to be mentioned; of real pairs the images are
noisier, at least 4 times."""
NOISY = 0.02
"""Noise, as a share of the contrast, below which an image is never called noisy."""
_NOISE = 512
DARK = 0.15
"""`measure_level` below which a background is dark; of simulated stains it is 0.04."""
GREY = (0.35, 0.65)
"""`measure_level` of transmitted light, with darker and brighter structures; 0.48 where simulated."""


@dataclass(frozen=True)
class Range:
    """Intensities of one image."""

    dtype: str
    low: float
    """1st percentile."""
    high: float
    """99.8th percentile."""


def measure_range(image: Array) -> Range:
    """Type and robust range of an image of any shape; values that are missing do not count.

    Above two million pixels every n-th one is taken: percentiles do not need them all.
    """
    values = image.reshape(-1)[:: max(1, image.size // 2_000_000)]
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Range(str(image.dtype), 0.0, 0.0)
    low, high = np.percentile(finite.astype(np.float64), (1, 99.8))
    return Range(str(image.dtype), float(low), float(high))


def measure_noise(image: Array) -> float:
    """Standard deviation of the noise of an image (Z)YX as a share of its robust range; 0 if that is empty.

    By the finest wavelets of the middle of the middle plane [1]_.

    References
    ----------
    .. [1] Donoho, Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81:425 (1994),
       doi:10.1093/biomet/81.3.425
    """
    from skimage.restoration import estimate_sigma

    plane = image if image.ndim == 2 else image[len(image) // 2]
    y, x = (max(0, (n - _NOISE) // 2) for n in plane.shape)
    part = np.nan_to_num(plane[y : y + _NOISE, x : x + _NOISE].astype(np.float64))
    span = measure_range(part)
    if span.high <= span.low:
        return 0.0
    return float(estimate_sigma(part)) / (span.high - span.low)  # type: ignore[no-untyped-call]


def check_noise(noises: Mapping[str, tuple[float, float]], source: str, target: str) -> Iterator[Finding]:
    """Clean images that are noisier than the noisy ones, in three quarters of the pairs.

    Parameters
    ----------
    noises : mapping of file to (noise of the image, noise of its target)
        As shares of their ranges.
    source, target : str
        What they are called: "noisy images" and "clean images".
    """
    worse = tuple(f for f, (image, clean) in noises.items() if clean > max(NOISY, NOISIER * image))
    if noises and 4 * len(worse) >= 3 * len(noises):
        image, clean = (100 * median(noises[f][i] for f in worse) for i in (0, 1))
        yield Finding(
            "warning",
            "noisier-targets",
            worse,
            f"the {target} are noisier than the {source} (noise of {clean:.2g} % of the contrast against "
            f"{image:.2g} %): are the folders swapped?",
            f"Name the folder of {source} as source and that of {target} as target.",
        )


def measure_level(image: Array) -> float:
    """Where the median of an image lies between its 1st (0) and 99th (1) percentile; 0.5 where equal."""
    values = image.reshape(-1)[:: max(1, image.size // 2_000_000)]
    finite = values[np.isfinite(values)].astype(np.float64)
    low, usual, high = np.percentile(finite, (1, 50, 99)) if finite.size else (0.0, 0.0, 0.0)
    return float((usual - low) / (high - low)) if high > low else 0.5


def check_stain(levels: Mapping[str, tuple[float, float]], source: str, target: str) -> Iterator[Finding]:
    """Images on a dark background and targets on a mid-grey one, in three quarters of at least four pairs.

    Parameters
    ----------
    levels : mapping of file to (level of the image, level of its target)
        Of `measure_level`.
    source, target : str
        What they are called: "transmitted-light images" and "fluorescence images".
    """
    odd = tuple(f for f, (one, other) in levels.items() if one < DARK and GREY[0] < other < GREY[1])
    if len(levels) >= 4 and 4 * len(odd) >= 3 * len(levels):
        yield Finding(
            "warning",
            "folders-exchanged",
            odd,
            f"the {source} have a dark background, as fluorescence has, and the {target} a mid-grey one with "
            "darker and brighter structures, as transmitted light has: are the folders swapped?",
            f"Name the folder of {source} as source and that of {target} as target. If they are, go on.",
        )


def check_missing(image: Array, file: str) -> Iterator[Finding]:
    """NaN and infinite values."""
    if not np.issubdtype(image.dtype, np.inexact):
        return
    missing = int(np.size(image) - np.count_nonzero(np.isfinite(image)))
    if missing:
        yield Finding(
            "error",
            "missing-values",
            (file,),
            f"{missing} of {image.size} values are not a number (NaN) or infinite; a single one is enough to "
            "spoil the training.",
            "Save the image again without the processing step that made them (often a division by "
            "zero), or let Repair fill them from their neighbours.",
            "fill missing values",
        )


def check_constant(image: Array, file: str) -> Iterator[Finding]:
    """An image in which every pixel has one value."""
    first = image.reshape(-1)[0]
    if bool(np.all(image == first)):
        yield Finding(
            "warning",
            "constant-image",
            (file,),
            f"every pixel is {first:g}: there is nothing in this image to learn from.",
            "Take it out of the folder, or save it again if it should show something.",
        )


def check_saturation(image: Array, file: str, *, severity: Severity = "warning") -> Iterator[Finding]:
    """More than 1 % of the pixels at the largest value: detail that no network brings back.

    Parameters
    ----------
    image : (Z)YXC
        Channels are judged one by one. Images with fewer than 16 grey levels are left alone:
        the largest of few values is common without any saturation.
    file : str
        Named in the finding.
    severity : str
        Where only outlines matter saturation deserves a note, elsewhere a warning.
    """
    worst, level = 0.0, 0.0
    for channel in range(image.shape[-1]):
        values = image[..., channel]
        finite = values[np.isfinite(values)]
        if not finite.size:
            continue
        top = finite.max()
        share = float(np.mean(finite == top))
        if share > max(worst, SATURATED) and len(np.unique(finite[:: max(1, finite.size // 100_000)])) >= 16:
            worst, level = share, float(top)
    if worst > SATURATED:
        yield Finding(
            severity,
            "saturated",
            (file,),
            f"about {worst:.0%} of the pixels are at the largest value ({level:g}): what was "
            "brighter is lost.",
            "Lower exposure, gain or laser power, or check whether the contrast was stretched before "
            "the image was saved; use the original files if it was.",
        )


def equal_channels(image: Array) -> bool:
    """Whether an image (Z)YXC is grey saved as colour: three equal channels, or four with a flat alpha."""
    if image.shape[-1] not in (3, 4):
        return False
    alpha = image[..., 3:]
    flat = alpha.size == 0 or bool(np.all(alpha == alpha.reshape(-1)[0]))
    grey = bool(np.all(image[..., 0] == image[..., 1]) and np.all(image[..., 0] == image[..., 2]))
    return flat and grey and bool(np.any(image[..., 0] != image[..., 0].reshape(-1)[0]))


def check_grey_as_colour(image: Array, file: str) -> Iterator[Finding]:
    """A grey image that was saved as RGB."""
    if equal_channels(image):
        yield Finding(
            "warning",
            "grey-saved-as-colour",
            (file,),
            f"it has {image.shape[-1]} channels that are all the same: a grey image saved as RGB. A network "
            "trained on it would ask for RGB images for ever.",
            "In Fiji: Image > Type > 8-bit (or 16-bit), save again; or let Repair keep one channel. Repair "
            "all images alike, those to predict as well.",
            "grey from equal channels",
        )


def check_types(types: Mapping[str, str], image: str = "image") -> Iterator[Finding]:
    """Files of different bit depth in one set (`types`: file -> dtype); `image` is what to call one."""
    counts = Counter(types.values())
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    found = ", ".join(f"{counted(n, image)} {name}" for name, n in counts.most_common())
    yield Finding(
        "warning",
        "different-bit-depths",
        tuple(f for f, name in types.items() if name != usual),
        f"the {image}s differ in type ({found}): some may have been converted, which changes what the "
        "grey values mean.",
        "Export all images in the same way from the original files.",
    )


def check_ranges(ranges: Mapping[str, Range], *, own_scale: bool) -> Iterator[Finding]:
    """Images ten times brighter or dimmer than the rest of the set.

    Parameters
    ----------
    ranges : mapping of file to `Range`
        At least four are needed to say what is usual.
    own_scale : bool
        Whether the network scales every image by its own statistics (then it is only a note) or
        all by those of the training set (then such images suffer).
    """
    spans = {file: r.high - r.low for file, r in ranges.items() if r.high > r.low}
    if len(spans) < 4:
        return
    usual = median(spans.values())
    for file, span in spans.items():
        if not usual / _FAR <= span <= usual * _FAR:
            times, word = (span / usual, "brighter") if span > usual else (usual / span, "dimmer")
            yield Finding(
                "note" if own_scale else "warning",
                "different-brightness",
                (file,),
                f"its contrast is about {times:.0f} times {word} than that of the other images "
                f"(grey values {ranges[file].low:g} to {ranges[file].high:g}).",
                "Nothing, if it was imaged like the others: each image is scaled by its own range."
                if own_scale
                else "Check exposure and file type. All images share one scale here, so this one will be "
                "poorly represented; leave it out or train it apart.",
            )


def check_all_constant(constant: Sequence[str], read: int) -> Iterator[Finding]:
    """No image of the set shows anything."""
    if read and len(constant) == read:
        yield Finding(
            "error",
            "all-images-constant",
            tuple(constant),
            "all images are empty: each has a single value everywhere.",
            "Open one in Fiji. If it shows something there, tell the axes of the files (parameter `axes`).",
        )

"""Whether image and target lie on top of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.doctor.findings import Finding
from zcdl_common.task import Array

_FARTHEST = 32
_WINDOW = 1024
_SMOOTH = 1.5
_CROWD = 8
"""Pixels over which the density of edges is taken out between images of two kinds."""


@dataclass(frozen=True)
class Shift:
    """How edges of image and target agree.

    Correlations are between -1 and 1.
    """

    pixels: tuple[int, ...]
    """(Z)YX by which the target has to be moved to agree best with the image."""
    there: float
    """Correlation after that move."""
    here: float
    """Correlation as the files are."""

    @property
    def certain(self) -> bool:
        """Whether the target is out of place beyond doubt.

        The margins were set on registered pairs (nuclei, tissue in electron microscopy, bright-field
        and fluorescence, wide-field at two exposures): none of them passes, copies moved by 4 pixels do.
        """
        moved = max(abs(n) for n in self.pixels) >= 2
        return (
            moved and self.there >= 0.3 and self.there - self.here >= 0.15 and self.here <= 0.75 * self.there
        )


def edges(image: Array) -> Array:
    """Strength of the edges of an image or mask (Z)YX, float32.

    Edges do not depend on which side is the bright one, so that a mask, a fluorescence image and
    a bright-field image of one specimen can be compared.
    """
    from scipy import ndimage

    values = np.nan_to_num(image.astype(np.float32))
    low, high = np.percentile(values, (1, 99.8))
    scaled = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
    return np.asarray(ndimage.gaussian_gradient_magnitude(scaled, _SMOOTH, mode="nearest"))


def measure_shift(image: Array, target: Array, *, two_kinds: bool = False) -> Shift | None:
    """Displacement of `target` against `image`, both (Z)YX of equal size, by correlation of their edges.

    At most 32 pixels (a quarter of the size) are searched in the central 1024 x 1024 pixels. None
    where one of them shows no edges.

    Images of two kinds, such as bright field and fluorescence, agree in where there are many edges long
    before their edges lie upon each other; with `two_kinds` that density is taken out first. Where the
    edges then do not agree anywhere, `Shift.certain` is False: nothing can be told.

    References
    ----------
    .. [1] Anuta, Spatial registration of multispectral and multitemporal digital imagery using fast
       Fourier transform techniques, IEEE Trans Geosci Electron 8:353 (1970),
       doi:10.1109/TGE.1970.271435
    """
    from scipy import fft

    a, b = (edges(_centre(x)) for x in (image, target))
    if two_kinds:
        a, b = (_without_density(x) for x in (a, b))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    if scale < 1e-6 * a.size**0.5:
        return None
    surface = fft.irfftn(fft.rfftn(a) * np.conj(fft.rfftn(b)), s=a.shape) / scale
    for axis, size in enumerate(a.shape):
        reach = min(_FARTHEST, size // 4)
        surface = np.take(surface, np.arange(-reach, reach + 1), axis=axis, mode="wrap")
    middle = tuple(n // 2 for n in surface.shape)
    best = np.unravel_index(int(np.argmax(surface)), surface.shape)
    move = tuple(int(i) - m for i, m in zip(best, middle, strict=True))
    return Shift(move, float(surface[best]), float(surface[middle]))


def _without_density(strength: Array) -> Array:
    from scipy import ndimage

    sigma = (0,) * (strength.ndim - 2) + (_CROWD, _CROWD)
    return np.asarray(strength - ndimage.gaussian_filter(strength, sigma, mode="nearest"))


def _centre(image: Array) -> Array:
    cut = []
    for size in image.shape:
        start = max(0, (size - _WINDOW) // 2)
        cut.append(slice(start, start + _WINDOW))
    return image[tuple(cut)]


def check_shifts(
    shifts: Mapping[str, Shift],
    target: str,
    pixel_sizes: Mapping[str, Sequence[float] | None] | None = None,
) -> Iterator[Finding]:
    """Targets that lie beside their images.

    A shift that single pairs leave in doubt counts where three quarters of at least four pairs
    share it.

    Parameters
    ----------
    shifts : mapping of file to Shift
    target : str
        What to call the target: "mask".
    pixel_sizes : mapping of file to (Z)YX in µm
    """
    usual = _shared(list(shifts.values()))
    for file, shift in shifts.items():
        common = usual is not None and _close(shift.pixels, usual)
        if shift.certain or (common and shift.there >= 0.2):
            size = (pixel_sizes or {}).get(file)
            yield Finding(
                "warning",
                "shifted",
                (file,),
                f"the {target} fits its image better when moved {words(shift.pixels, size)} "
                f"(edges then agree to {shift.there:.2f} instead of {shift.here:.2f})"
                + ("; most pairs of this set share that shift." if common else "."),
                "Look at image and target on top of each other. Register the pairs (Fiji: Plugins > "
                "Registration > Descriptor-based or StackReg), or move the target by that much; the network "
                "would learn the shift.",
            )


def _shared(shifts: Sequence[Shift]) -> tuple[int, ...] | None:
    clear = [s.pixels for s in shifts if s.there >= 0.2]
    if len(clear) < 4 or len({len(p) for p in clear}) > 1:
        return None
    usual = tuple(int(n) for n in np.median(clear, axis=0).round())
    agree = sum(_close(p, usual) for p in clear)
    return usual if max(abs(n) for n in usual) >= 2 and agree >= 0.75 * len(clear) else None


def _close(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def words(shift: Sequence[int], pixel_size: Sequence[float] | None) -> str:
    """``(-3, 5)`` is "3 px up and 5 px to the right", with µm where the pixel size (Z)YX is known."""
    names = (
        ("towards the first plane", "towards the last plane"),
        ("up", "down"),
        ("to the left", "to the right"),
    )
    parts = []
    for axis, n in enumerate(shift):
        if not n:
            continue
        length = f"{abs(n)} px"
        if pixel_size is not None and len(pixel_size) == len(shift):
            length += f" ({abs(n) * pixel_size[axis]:.3g} µm)"
        parts.append(f"{length} {names[axis - len(shift)][n > 0]}")
    return " and ".join(parts)

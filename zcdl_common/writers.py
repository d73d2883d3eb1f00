"""Write images so that Fiji opens them with axes and micrometres; whole or in parts."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from zcdl_common.errors import DataError
from zcdl_common.files import replacing
from zcdl_common.indexing import full_index, split_index
from zcdl_common.mapped import Mapped
from zcdl_common.task import Array

Format = Literal["imagej", "ome-tiff", "ome-zarr"]

LARGE = 2**32 - 2**25
"""Bytes above which a classic TIFF overflows, less room for its tags."""

_ORDER: dict[Format, str] = {"imagej": "TZCYX", "ome-tiff": "TZCYX", "ome-zarr": "TCZYX"}
"""Order of the axes that each format prescribes."""
_WHOLE = tuple(map(np.dtype, ("u1", "u2", "i2", "u4", "i4")))
_HELD: dict[Format, tuple[np.dtype[Any], ...]] = {
    "imagej": _WHOLE[:2],
    "ome-tiff": _WHOLE,
    "ome-zarr": _WHOLE,
}
"""Whole-number types of each format, the smallest first."""
_ENDINGS: dict[Format, str] = {"imagej": ".tif", "ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}
_STRIPPED = (
    ".ome.tif",
    ".ome.tiff",
    ".ome.zarr",
    ".zarr",
    ".tif",
    ".tiff",
    ".npy",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
)


def write_image(
    path: Path,
    array: Array,
    axes: str,
    *,
    pixel_size: Sequence[float] | None = None,
    frame_interval: float | None = None,
    format: Format = "imagej",
    labels: bool = False,
) -> Path:
    """Write an image, mask or label image; the file appears whole or not at all.

    Parameters
    ----------
    path
        Its ending is replaced by that of the format: .tif, .ome.tif or .ome.zarr.
    array
        Any size and dtype. Booleans become masks of 0 and 255 (uint8). Types that a format lacks
        become the smallest that holds every value, floating point ones float32.
    axes
        A letter of T, Z, C, Y, X per axis of `array`, in its order.
    pixel_size
        (Z)YX in micrometres.
    frame_interval
        Seconds from one time frame to the next.
    format
        ``imagej`` gives way to ``ome-tiff`` above 4 GB.
    labels
        The values are object numbers: uint16 up to 65,535 objects, else float32 (ImageJ, which has
        no larger integers) or uint32.

    Returns
    -------
    Path
        The file or folder that was written.
    """
    array = np.asarray(array)
    if format == "imagej" and array.nbytes > LARGE:
        format = "ome-tiff"
    pixels = _as_dtype(array, stored_dtype(array, format, labels))
    size: dict[str, Any] = {"pixel_size": pixel_size, "frame_interval": frame_interval}
    with open_output(path, pixels.shape, pixels.dtype, axes, **size, format=format) as output:
        output[...] = pixels
    return output.path


class Output:
    """An image file under construction: assign to slices of it, in the axes that were asked for."""

    def __init__(self, path: Path, raw: Any, order: Sequence[int], shape: tuple[int, ...]) -> None:
        self.path = path
        """Where the finished file will be."""
        self.shape, self.dtype = shape, np.dtype(raw.dtype).newbyteorder("=")
        self._raw, self._order = raw, tuple(order)

    def __setitem__(self, index: Any, values: Any) -> None:
        window, inside = self._window(index)
        block = np.empty([w.stop - w.start for w in window], self.dtype)
        block[inside] = values
        self._raw[tuple(window[i] for i in self._order)] = block.transpose(self._order)

    def __getitem__(self, index: Any) -> Array:
        window, inside = self._window(index)
        block = np.asarray(self._raw[tuple(window[i] for i in self._order)], self.dtype)
        pixels: Array = block.transpose(np.argsort(self._order))[inside]
        return pixels

    def _window(self, index: Any) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
        window, inside = split_index(full_index(index, len(self.shape)), self.shape)
        if any(isinstance(i, slice) and i.step != 1 for i in inside):
            raise IndexError("an output is written in whole blocks, without steps")
        return window, inside


@contextmanager
def open_output(
    path: Path,
    shape: Sequence[int],
    dtype: Any,
    axes: str,
    *,
    pixel_size: Sequence[float] | None = None,
    frame_interval: float | None = None,
    format: Format = "imagej",
) -> Iterator[Output]:
    """Yield a sliceable image that is written to `path` part by part, with flat memory.

    Parameters are those of `write_image`; `dtype` must be one that the format holds
    (`stored_dtype`). When the block ends well the file takes its place, otherwise it is removed.
    """
    shape, dtype = tuple(int(n) for n in shape), np.dtype(dtype)
    _check(axes, shape)
    if format == "imagej" and int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > LARGE:
        format = "ome-tiff"
    final = with_ending(path, format)
    order = [axes.index(a) for a in _ORDER[format] if a in axes]
    stored = "".join(axes[i] for i in order)
    sizes = tuple(shape[i] for i in order)
    size = dict(zip([a for a in "ZYX" if a in axes], pixel_size, strict=True)) if pixel_size else {}
    size |= {"T": frame_interval} if frame_interval and "T" in axes else {}
    if format == "ome-zarr":
        from zcdl_common.ome_zarr import create_zarr

        with _replacing_folder(final) as temporary:
            yield Output(final, create_zarr(temporary, sizes, dtype, stored, size), order, shape)
    else:
        create = _create_imagej if format == "imagej" else _create_ome
        with replacing(final) as temporary:
            offset = create(temporary, sizes, dtype, stored, size)
            _reserve(temporary)
            raw = Mapped(temporary, offset, sizes, dtype.newbyteorder("<"))
            yield Output(final, raw, order, shape)


def with_ending(path: Path, format: Format) -> Path:
    """`path` with the ending of the format in place of that of an image."""
    ending = next((e for e in sorted(_STRIPPED, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    return path.with_name(path.name[: len(path.name) - len(ending)] + _ENDINGS[format])


def stored_dtype(array: Array, format: Format, labels: bool = False) -> np.dtype[Any]:
    """The dtype under which a format keeps every value of `array` (floating point: to single precision)."""
    kind = array.dtype.kind
    if kind == "b":
        return np.dtype(np.uint8)
    if kind == "f":
        return np.dtype(np.float32)
    if kind not in "iu":
        raise ValueError(f"images of dtype {array.dtype} cannot be written")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if labels:
        if low < 0:
            raise ValueError(f"labels start at 0, found {low}")
        wide = np.float32 if format == "imagej" else np.uint32
        return np.dtype(np.uint16 if high < 2**16 else wide)
    own = array.dtype.newbyteorder("=")
    types = _HELD[format]
    return own if own in types else next((t for t in types if _holds(t, low, high)), np.dtype(np.float32))


def _holds(dtype: np.dtype[Any], low: int, high: int) -> bool:
    return np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max


def _as_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    return array.astype(dtype) * dtype.type(255) if array.dtype == bool else array.astype(dtype, copy=False)


def _check(axes: str, shape: Sequence[int]) -> None:
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set("TZCYX"):
        raise ValueError(f"axes {axes!r} do not describe an image of shape {tuple(shape)}")
    if 0 in shape:
        raise ValueError(f"an image of shape {tuple(shape)} has no pixels")


def _create_imagej(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str, size: dict[str, float]
) -> int:
    metadata: dict[str, Any] = {"axes": axes}
    if "X" in size:
        metadata["unit"] = "micron"
    if "T" in size:
        metadata |= {"finterval": size["T"], "tunit": "sec"}
    if "Z" in size:
        metadata["spacing"] = size["Z"]
    if "C" in axes:
        metadata["mode"] = "composite" if shape[axes.index("C")] <= 7 else "grayscale"
    resolution = (1 / size["X"], 1 / size["Y"]) if {"Y", "X"} <= set(size) else None
    return _create(path, shape, dtype, imagej=True, metadata=metadata, resolution=resolution)


def _create_ome(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str, size: dict[str, float]
) -> int:
    metadata: dict[str, Any] = {"axes": axes}
    if "T" in size:
        metadata |= {"TimeIncrement": size["T"], "TimeIncrementUnit": "s"}
    for axis, value in ((a, n) for a, n in size.items() if a != "T"):
        metadata |= {f"PhysicalSize{axis}": value, f"PhysicalSize{axis}Unit": "µm"}
    large = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize > LARGE
    return _create(path, shape, dtype, ome=True, metadata=metadata, bigtiff=large)


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], **options: Any) -> int:
    """An empty TIFF whose pixels lie in one piece; the offset of the first."""
    written = tifffile.imwrite(
        path, shape=shape, dtype=dtype, byteorder="<", photometric="minisblack", returnoffset=True, **options
    )
    assert written is not None
    return int(written[0])


def _reserve(path: Path) -> None:
    """Claim the disk space of a file that has holes: a full disk must not end the process later."""
    size = path.stat().st_size
    try:
        if hasattr(os, "posix_fallocate"):
            with path.open("rb+") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return  # a file system that cannot reserve
        raise DataError(
            f"{path.parent} has no room for an image of {size / 1e9:.2f} GB. Free some space, or choose "
            "another results folder."
        ) from None


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    old = path.with_name(f".{os.getpid()}.old.{path.name}")
    try:
        yield temporary
        if path.exists():
            path.replace(old)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)

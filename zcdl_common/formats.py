"""Read image files: their header first, their pixels when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.axes import obvious_colour
from zcdl_common.errors import DataError, UserError
from zcdl_common.mapped import Mapped
from zcdl_common.task import Array

TIFF = (".tif", ".tiff", ".btf", ".tf8", ".lsm")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
VENDOR = (".czi", ".nd2", ".lif", ".oib", ".oif", ".ims", ".vsi")
EXTENSIONS = (*TIFF, *PICTURES, ".npy", ".zarr", *VENDOR)
READ = "TIFF, OME-TIFF, ImageJ TIFF (.tif, .tiff), .png, .jpg, .bmp, .npy and OME-Zarr (.zarr)"

MICROMETRES = {
    "m": 1e6,
    "meter": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "Å": 1e-4,
    "angstrom": 1e-4,
    "inch": 25400.0,
}
"""Length of a unit, as OME, ImageJ and OME-Zarr spell it, in micrometres."""

SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds", ""), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
}
"""Length of a unit of time, likewise, in seconds."""

_VENDOR_PLUGIN = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
}


@dataclass(frozen=True)
class Source:
    """An image file: what it says about itself, and ways to its pixels in its own order of axes."""

    axes: str
    """A letter per axis; Q where the file does not say."""
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array]
    """All pixels."""
    lazy: Callable[[], Any]
    """Something that reads what is sliced."""
    channel_names: tuple[str, ...] = ()
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    """Micrometres by axis letter; seconds for T."""
    opaque: bool = False
    """Whether the last colour sample is an alpha channel that is the same everywhere."""


def is_image(path: Path) -> bool:
    """Whether `path` looks like an image that can be read; an OME-Zarr folder is one."""
    if path.is_dir():
        return path.suffix.lower() == ".zarr" or any((path / n).is_file() for n in (".zattrs", "zarr.json"))
    return path.suffix.lower() in EXTENSIONS and path.is_file()


def open_source(path: Path) -> Source:
    """Header of a file, remembered until the file changes.

    Raises
    ------
    DataError
        The file is damaged, of no known format, or needs a package that is not installed.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}.") from None
    return _open(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4096)
def _open(path: Path, _modified: int, _size: int) -> Source:
    suffix = path.suffix.lower()
    with naming(path):
        if path.is_dir():
            from zcdl_common.ome_zarr import zarr_source

            return zarr_source(path)
        if suffix in TIFF:
            from zcdl_common.tiff import tiff_source

            return tiff_source(path)
        if suffix in PICTURES:
            return _picture(path)
        if suffix == ".npy":
            return _numpy(path)
        if suffix in VENDOR:
            return _vendor(path)
    raise DataError(f"{path}: files ending in '{path.suffix}' cannot be read. Readable are {READ}.")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a library raise into an error that names the file."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise DataError(
            f"{path} cannot be read, it seems damaged or incomplete ({reason.splitlines()[0][:200]}). "
            "Open it in Fiji to check, copy it again, or remove it from the folder."
        ) from error


def _numpy(path: Path) -> Source:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    mapped = Mapped(path, array.offset, array.shape, array.dtype) if array.flags.c_contiguous else array
    axes = "YXS" if obvious_colour(array.shape) else "Q" * (array.ndim - 2) + "YX"
    load = partial(np.load, path, allow_pickle=False)
    return Source(axes, array.shape, array.dtype.str, load, lambda: mapped)


def _picture(path: Path) -> Source:
    from PIL import Image

    load = partial(_load_picture, path)
    with Image.open(path) as image:
        bands, size = image.getbands(), (image.height, image.width)
    if bands == ("R", "G", "B") and not _is_deep_colour(path):  # the usual case needs no decoding
        return Source("YXS", (*size, 3), "|u1", load, load)
    pixels = load()
    opaque = bands[-1] == "A" and bool(np.ptp(pixels[..., -1]) == 0)
    return Source("YXS"[: pixels.ndim], pixels.shape, pixels.dtype.str, load, load, opaque=opaque)


def _is_deep_colour(path: Path) -> bool:
    """Whether a picture is a PNG of 16 bit with several samples, which Pillow turns into 8 bit."""
    with path.open("rb") as stream:
        start = stream.read(26)
    return start[:4] == b"\x89PNG" and start[24] == 16 and start[25] != 0


def _load_picture(path: Path) -> Array:
    """Pixels of a PNG, JPEG or BMP as stored: palette indices stay indices, 16 bit stay 16 bit."""
    if _is_deep_colour(path):
        from imagecodecs import png_decode

        return np.asarray(png_decode(path.read_bytes()))
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def _vendor(path: Path) -> Source:
    suffix = path.suffix.lower()
    try:
        BioImage = import_module("bioio").BioImage
    except ImportError:
        plugin = _VENDOR_PLUGIN.get(suffix, "bioio-bioformats")
        raise DataError(
            f"{path} is in a microscope maker's format ({suffix}), which needs one more package. "
            f'Install it with\n  pip install bioio {plugin} "pydantic<2.14"\n'
            "or save the images as OME-TIFF from Fiji (Plugins > Bio-Formats > Bio-Formats Exporter)."
        ) from None
    image = BioImage(path)
    if len(image.scenes) > 1:
        raise DataError(
            f"{path} holds {len(image.scenes)} images (scenes or positions). Save each as one OME-TIFF, "
            "for example in Fiji with Plugins > Bio-Formats > Bio-Formats Exporter."
        )
    sizes = image.physical_pixel_sizes
    return Source(
        image.dims.order,
        tuple(image.shape),
        np.dtype(image.dtype).str,
        lambda: image.data,
        lambda: image.dask_data,
        tuple(map(str, image.channel_names or ())),
        {axis: float(v) for axis, v in zip("ZYX", (sizes.Z, sizes.Y, sizes.X), strict=True) if v},
    )

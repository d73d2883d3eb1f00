"""Images on disk: what they are, and their pixels as (Z)YXC when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zcdl_common.axes import check_axes, resolve_axes
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.folders import find_files, split_folders, stem
from zcdl_common.formats import Source, naming, open_source
from zcdl_common.lazy_image import LazyImage, Part, native
from zcdl_common.task import Array

__all__ = ["ImageInfo", "ImageRef", "LazyImage", "Region", "find_files", "find_images", "stem"]

Region = tuple[tuple[int, int], ...]
"""(start, stop) per spatial axis (Z)YX, in pixels, half-open."""


@dataclass(frozen=True)
class ImageInfo:
    """What is known about an image without reading its pixels."""

    shape: tuple[int, ...]
    """Spatial size (Z)YX in pixels."""
    channels: int
    channel_names: tuple[str, ...]
    frames: int
    """Time frames in the file."""
    dtype: str
    axes: str
    """Axes of the file in its own order, those of length one left out; S are colour samples."""
    pixel_size: tuple[float, ...] | None
    """(Z)YX in micrometres."""


@dataclass(frozen=True)
class ImageRef:
    """One image on disk: one time frame of a file, or a region of it. Read when asked for."""

    paths: tuple[Path, ...]
    """Several files are channels, in this order, named after their folders."""
    axes: str = ""
    """Order of the axes where the file does not say."""
    channels: tuple[str, ...] | None = None
    """Numbers (from 0) or names of the channels that are kept, in this order."""
    frame: int | None = None
    region: Region | None = None
    pixel_size: tuple[float, ...] | None = None
    """(Z)YX in micrometres, instead of what the file says."""

    @property
    def path(self) -> Path:
        return self.paths[0]

    @property
    def group(self) -> str:
        """Name of the file without its ending, the same for all frames of a movie."""
        return stem(self.path)

    @property
    def name(self) -> str:
        """Like `group`, with the frame: ``cells_t003``."""
        return self.group if self.frame is None else f"{self.group}_t{self.frame:03d}"

    def info(self) -> ImageInfo:
        """Size, channels and pixel size, from the headers alone.

        Raises
        ------
        DataError
            A file is damaged, does not say what its axes are, or differs in size from its partners.
        ConfigError
            A channel or the pixel size does not fit the file.
        """
        files = [_File.open(path, self.axes) for path in self.paths]
        first = files[0]
        for other in files[1:]:
            if other.shape != first.shape or other.frames != first.frames:
                raise DataError(
                    f"{first.path} is {_size(first)}, {other.path} is {_size(other)} (Z, Y, X): "
                    "files that are channels of one image must have the same size."
                )
        names = _channel_names(files)
        picks = _picks(self.channels, names, first.path)
        region = self.region or tuple((0, n) for n in first.shape)
        return ImageInfo(
            shape=tuple(stop - start for start, stop in region),
            channels=len(picks),
            channel_names=tuple(names[i] for i in picks),
            frames=first.frames,
            dtype=str(np.result_type(*(native(np.empty(0, f.source.dtype)).dtype for f in files))),
            axes=first.axes.replace("_", ""),
            pixel_size=_pixel_size(self.pixel_size, first),
        )

    def read(self) -> Array:
        """Pixels (Z)YXC in the dtype of the file.

        Raises
        ------
        DataError
            As `info`, or the pixels cannot be decoded.
        """
        piecewise = self.region is not None or self.info().frames > 1
        with naming(self.path):
            return self._view(lazy=piecewise)[...]

    def open(self) -> LazyImage:
        """The same image, of which only what is sliced is read."""
        with naming(self.path):
            return self._view(lazy=True)

    def crop(self, region: Region) -> ImageRef:
        """A region of this image, in its own coordinates."""
        shape = self.info().shape
        if len(region) != len(shape) or any(
            not 0 <= a < b <= n for (a, b), n in zip(region, shape, strict=True)
        ):
            raise ValueError(f"region {region} does not lie inside an image of size {shape}")
        origin = [start for start, _ in self.region or ((0, 0),) * len(shape)]
        shifted = tuple((a + o, b + o) for (a, b), o in zip(region, origin, strict=True))
        return replace(self, region=shifted)

    def _view(self, lazy: bool) -> LazyImage:
        files = [_File.open(path, self.axes) for path in self.paths]
        if self.frame is None and files[0].frames > 1:
            raise DataError(f"{self.path} holds {files[0].frames} time frames where one image is needed.")
        self.info()  # sizes agree, channels exist
        frame = self.frame or 0
        parts = [Part(f.source.lazy() if lazy else f.source.load(), f.axes, f.channels, frame) for f in files]
        picks = _picks(self.channels, _channel_names(files), self.path)
        return LazyImage(parts, picks, self.region or tuple((0, n) for n in files[0].shape))


@dataclass(frozen=True)
class _File:
    """A file with its axes settled."""

    path: Path
    source: Source
    axes: str

    @classmethod
    def open(cls, path: Path, override: str) -> _File:
        source = open_source(path)
        return cls(path, source, resolve_axes(path, source.axes, source.shape, override))

    def size(self, axis: str) -> int:
        return self.source.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.size(axis) for axis in "ZYX" if axis in self.axes)

    @property
    def frames(self) -> int:
        return self.size("T")

    @property
    def channels(self) -> int:
        return self.size("C") * self.size("S") - self.source.opaque


def find_images(
    text: str,
    parameter: str,
    *,
    axes: str = "",
    channels: tuple[str, ...] | None = None,
    pixel_size: tuple[float, ...] | None = None,
    problems: list[DataError] | None = None,
) -> list[ImageRef]:
    """Images that a folder, a file, a zip or several folders separated by ; hold, a frame each.

    Parameters
    ----------
    text, parameter
        Path as typed, and the name of the parameter that it was typed into.
    axes, channels, pixel_size
        As in `ImageRef`.
    problems
        Where given, files that cannot be used are left out and their errors appended; otherwise
        the first one is raised.

    Raises
    ------
    DataError
        Nothing is found, names occur twice, or a folder lacks a channel of an image.
    """
    check_axes(axes)
    folders = split_folders(text)
    tables = [_by_name(find_files(folder, parameter), parameter) for folder in folders]
    _refuse_gaps(folders, tables, parameter)
    images: list[ImageRef] = []
    for name in tables[0]:
        ref = ImageRef(tuple(table[name] for table in tables), axes, channels, pixel_size=pixel_size)
        try:
            frames = ref.info().frames
        except DataError as error:
            if problems is None:
                raise
            problems.append(error)
            continue
        images += [replace(ref, frame=t) for t in range(frames)] if frames > 1 else [ref]
    return images


def _by_name(files: Sequence[Path], parameter: str) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for path in files:
        twin = table.setdefault(stem(path).casefold(), path)
        if twin is not path:
            raise DataError(
                f"{parameter}: {twin.name} and {path.name} in {path.parent} have the same name but for the "
                "ending. Keep one of them, or rename one."
            )
    return table


def _refuse_gaps(folders: Sequence[str], tables: Sequence[dict[str, Path]], parameter: str) -> None:
    every = {name: path for table in tables for name, path in table.items()}
    gaps = [
        f"  - {path.name}: not in {folder}"
        for folder, table in zip(folders, tables, strict=True)
        for name, path in every.items()
        if name not in table
    ]
    if gaps:
        more = f"\n  ... and {len(gaps) - 10} more" if len(gaps) > 10 else ""
        raise DataError(
            f"{parameter} names {len(folders)} folders, each a channel, and every image must be in all of "
            "them by the same file name:\n"
            + "\n".join(gaps[:10])
            + more
            + "\nAdd these files, or remove their partners."
        )


def _size(file: _File) -> str:
    frames = f", {file.frames} frames" if file.frames > 1 else ""
    return " x ".join(map(str, file.shape)) + frames


def _channel_names(files: Sequence[_File]) -> list[str]:
    names: list[str] = []
    for file in files:
        own = list(file.source.channel_names)[: file.channels]
        if len(own) < file.channels:
            colours = ["red", "green", "blue", "alpha"]
            plain = [f"channel {i}" for i in range(file.channels)]
            own = colours[: file.channels] if "S" in file.axes and file.channels in (3, 4) else plain
        if len(files) > 1:
            folder = file.path.parent.name
            own = [folder] if file.channels == 1 else [f"{folder} {name}" for name in own]
        names += own
    return names


def _picks(wanted: tuple[str, ...] | None, names: Sequence[str], path: Path) -> list[int]:
    """Positions of the wanted channels: a name first, else a number from 0."""
    if wanted is None:
        return list(range(len(names)))
    lower = [name.casefold() for name in names]
    picks = []
    for text in map(str, wanted):
        if text.casefold() in lower:
            picks.append(lower.index(text.casefold()))
        elif text.isdecimal() and int(text) < len(names):
            picks.append(int(text))
        else:
            listed = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            raise ConfigError(f"channels = {text!r}: {path} has no such channel. Its channels are {listed}.")
    return picks


def _pixel_size(given: tuple[float, ...] | None, file: _File) -> tuple[float, ...] | None:
    axes = [axis for axis in "ZYX" if axis in file.axes]
    if given is None:
        sizes = [file.source.pixel_size.get(axis) for axis in axes]
        return tuple(s for s in sizes if s) if all(sizes) else None
    if len(given) == 1:
        return tuple(given) * len(axes)
    if len(given) < len(axes):
        raise ConfigError(
            f"pixel_size = {given}: {file.path} has the axes {', '.join(axes)}, so write {len(axes)} numbers."
        )
    return tuple(given[-len(axes) :])

"""Images on disk: what they are, and their pixels as (Z)YXC when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.axes import check_axes
from zcdl_common.errors import DataError
from zcdl_common.folders import find_files, split_folders, stem
from zcdl_common.image_file import ImageFile, channel_names, describe_size, pick_channels, pixel_size_of
from zcdl_common.lazy_image import LazyImage, native
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
    frame_interval: float | None = None
    """Seconds from one time frame to the next."""


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
    chosen_by: str = "channels"
    """The parameter that chose the channels, as a message calls it."""

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
        files = self._files()
        first = files[0]
        names = channel_names(files)
        picks = pick_channels(self.channels, names, first.path, self.chosen_by)
        region = self.region or tuple((0, n) for n in first.shape)
        return ImageInfo(
            shape=tuple(stop - start for start, stop in region),
            channels=len(picks),
            channel_names=tuple(names[i] for i in picks),
            frames=first.frames,
            dtype=str(np.result_type(*(native(np.empty(0, f.source.dtype)).dtype for f in files))),
            axes=first.axes.replace("_", ""),
            pixel_size=pixel_size_of(self.pixel_size, first),
            frame_interval=first.source.pixel_size.get("T"),
        )

    def read(self) -> Array:
        """Pixels (Z)YXC in the dtype of the file.

        Raises
        ------
        DataError
            As `info`, or the pixels cannot be decoded.
        """
        return self._view(whole=self.region is None and self.info().frames == 1)[...]

    def open(self) -> LazyImage:
        """The same image, of which only what is sliced is read."""
        return self._view(whole=False)

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

    def _files(self) -> list[ImageFile]:
        files = [ImageFile.open(path, self.axes) for path in self.paths]
        for other in files[1:]:
            if (other.shape, other.frames) != (files[0].shape, files[0].frames):
                raise DataError(
                    f"{files[0].path} is {describe_size(files[0])}, {other.path} is {describe_size(other)}: "
                    "files that are channels of one image must have the same size."
                )
        return files

    def _view(self, whole: bool) -> LazyImage:
        files = self._files()
        if self.frame is None and files[0].frames > 1:
            raise DataError(f"{self.path} holds {files[0].frames} time frames where one image is needed.")
        parts = [file.part(self.frame or 0, whole) for file in files]
        picks = pick_channels(self.channels, channel_names(files), self.path, self.chosen_by)
        return LazyImage(parts, picks, self.region or tuple((0, n) for n in files[0].shape))


def movie(frames: Sequence[ImageRef]) -> Iterator[Array]:
    """Pixels (Z)YXC of frames of one file, one after the other; its header is read once."""
    if len(frames) == 1:
        yield frames[0].read()
        return
    first = frames[0].open()
    for frame in frames:
        yield first.at(frame.frame or 0)[...]


def find_images(
    text: str,
    parameter: str,
    *,
    axes: str = "",
    channels: tuple[str, ...] | None = None,
    pixel_size: tuple[float, ...] | None = None,
    chosen_by: str = "channels",
    problems: list[DataError] | None = None,
) -> list[ImageRef]:
    """Images that a folder, a file, a zip or several folders separated by ; hold, a frame each.

    Parameters
    ----------
    text, parameter
        Path as typed, and the name of the parameter that it was typed into.
    axes, channels, pixel_size, chosen_by
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
    refuse_gaps(parameter, folders, tables)
    images: list[ImageRef] = []
    for name in tables[0]:
        paths = tuple(table[name] for table in tables)
        ref = ImageRef(paths, axes, channels, pixel_size=pixel_size, chosen_by=chosen_by)
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


def refuse_gaps(parameter: str, folders: Sequence[str], tables: Sequence[Mapping[Any, Path]]) -> None:
    """Refuse folders that are channels where a file of one is in none of the others.

    Parameters
    ----------
    tables
        Files of each folder, under keys that name the image they belong to.

    Raises
    ------
    DataError
        Lists what is missing where.
    """
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

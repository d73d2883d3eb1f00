"""One image file with its axes settled, its channels and its pixel size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zcdl_common.axes import resolve_axes
from zcdl_common.errors import ConfigError
from zcdl_common.formats import Source, naming, open_source
from zcdl_common.lazy_image import Part


@dataclass(frozen=True)
class ImageFile:
    """A file with its axes settled: a letter each of T Z C Y X S, ``_`` for those dropped."""

    path: Path
    source: Source
    axes: str

    @classmethod
    def open(cls, path: Path, override: str = "") -> ImageFile:
        """Read the header; `override` is what the user says of the axes."""
        source = open_source(path)
        return cls(path, source, resolve_axes(path, source.axes, source.shape, override))

    def part(self, frame: int, whole: bool) -> Part:
        """The pixels: in memory where `whole`, else read when sliced."""
        with naming(self.path):
            raw = self.source.load() if whole else self.source.lazy()
        return Part(self.path, raw, self.axes, self.channels, frame)

    def size(self, axis: str) -> int:
        """Length of an axis, 1 where the file lacks it."""
        return self.source.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial size (Z)YX."""
        return tuple(self.size(axis) for axis in "ZYX" if axis in self.axes)

    @property
    def frames(self) -> int:
        return self.size("T")

    @property
    def channels(self) -> int:
        return self.size("C") * self.size("S") - self.source.opaque


def describe_size(file: ImageFile) -> str:
    """Size in words: ``51 x 124 x 127 (Z Y X)``."""
    frames = f", {file.frames} frames" if file.frames > 1 else ""
    axes = " ".join(axis for axis in "ZYX" if axis in file.axes)
    return f"{' x '.join(map(str, file.shape))} ({axes}{frames})"


def channel_names(files: Sequence[ImageFile]) -> list[str]:
    """Names of all channels: those of the file, colours, or the folders of several files."""
    names: list[str] = []
    for file, folder in zip(files, _folder_names(files), strict=True):
        own = list(file.source.channel_names)[: file.channels]
        if len(own) < file.channels:
            colours = ["red", "green", "blue", "alpha"]
            plain = [f"channel {i}" for i in range(file.channels)]
            own = colours[: file.channels] if "S" in file.axes and file.channels in (3, 4) else plain
        if len(files) > 1:
            own = [folder] if file.channels == 1 else [f"{folder} {name}" for name in own]
        names += own
    return names


def _folder_names(files: Sequence[ImageFile]) -> list[str]:
    """Name of the folder of each file, with those above it where several are called alike."""
    above = [file.path.absolute().parent.parts for file in files]
    names = [[" ".join(parts[-depth:]) for parts in above] for depth in range(1, max(map(len, above)) + 1)]
    return next((found for found in names if len(set(found)) == len(files)), names[0])


def pick_channels(
    wanted: tuple[str, ...] | None, names: Sequence[str], path: Path, parameter: str = "channels"
) -> list[int]:
    """Positions of the wanted channels: a name first, else a number from 0.

    Raises
    ------
    ConfigError
        There is no such channel; the message lists those there are.
    """
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
            raise ConfigError(
                f"{parameter} = {text!r}: {path} has no such channel. Its channels are {listed}."
            )
    return picks


def pixel_size_of(given: tuple[float, ...] | None, file: ImageFile) -> tuple[float, ...] | None:
    """Pixel size (Z)YX in micrometres: what the user gives, else what the file says of all its axes.

    Raises
    ------
    ConfigError
        Fewer numbers than spatial axes are given.
    """
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

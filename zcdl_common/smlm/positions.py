"""Positions as annotations: localisation tables, found for their movies by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.folders import find_files
from zcdl_common.images import ImageRef
from zcdl_common.pairs import Pairing, pair
from zcdl_common.smlm.localisations import Localisations, check_fit
from zcdl_common.smlm.tables import HDF5, read

ENDINGS = (".csv", ".txt", ".tsv", *HDF5)


@dataclass(frozen=True)
class Positions:
    """The molecules of one frame, in the table of its movie."""

    path: Path
    image: ImageRef

    def read(self) -> Localisations:
        """Those of the frame, as frame 0; in pixels of the image, or of its region.

        Raises
        ------
        DataError
            The file is no localisation table, or not that of the movie.
        """
        whole = replace(self.image, region=None)
        info = whole.info()
        stamp = self.path.stat().st_mtime_ns if self.path.exists() else 0
        shape = (info.shape[-2], info.shape[-1])
        table, starts = _table(self.path, info.pixel_size, info.frames, shape, stamp)
        frame = self.image.frame or 0
        found = table.select(np.arange(starts[frame], starts[frame + 1]))
        region = self.image.region or tuple((0, n) for n in shape)
        start, stop = np.transpose(region[-2:])
        inside = np.all((found.yx >= start) & (found.yx < stop), axis=1)
        if self.image.region is not None:
            found = found.select(inside)
        return replace(found, frame=np.zeros_like(found.frame), yx=found.yx - start)

    def crop(self, region: tuple[tuple[int, int], ...]) -> Positions:
        """What belongs to the same region of the frame."""
        return replace(self, image=self.image.crop(region))


@lru_cache(maxsize=8)
def _table(
    path: Path, pixel_size: tuple[float, ...] | None, frames: int, shape: tuple[int, int], stamp: int
) -> tuple[Localisations, np.ndarray]:
    """A table in the order of frames, and where each frame begins; `stamp` changes with the file."""
    found = read(path, pixel_size)
    check_fit(found, frames, shape, path.name)
    found = found.select(np.argsort(found.frame, kind="stable"))
    return found, np.searchsorted(found.frame, np.arange(frames + 1))


def open_positions(
    sources: Sequence[ImageRef], text: str, parameter: str, mended: Mapping[Path, Path]
) -> tuple[Pairing, tuple[Positions, ...]]:
    """Tables in the folder or file `text` by the names of their movies; see `task.Task.annotations`.

    One table and one movie belong together whatever their names.

    Raises
    ------
    DataError
        There is no table.
    """
    named = Path(text).expanduser()
    if named.suffix.lower() in ENDINGS and named.is_file():
        tables = [named]
    else:
        tables = [path for path in find_files(text, parameter, also=ENDINGS) if is_table(path)]
    if not tables:
        raise DataError(
            f"{parameter} = {text}: there is no localisation table in it. Put a CSV as ThunderSTORM writes "
            "it beside each movie, under the same name (movie_1.tif and movie_1.csv)."
        )
    movies = {image.path for image in sources}
    if len(movies) == len(tables) == 1:
        pairing = Pairing(tuple((image, tables[0]) for image in sources), (), ())
    else:
        pairing = pair(sources, tables)
    return pairing, tuple(Positions(mended.get(path.resolve(), path), image) for image, path in pairing.pairs)


def is_table(path: Path) -> bool:
    """Whether a file may be a localisation table, by its ending."""
    return path.suffix.lower() in ENDINGS

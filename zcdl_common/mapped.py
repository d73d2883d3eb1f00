"""Pixels that lie in one piece in a file: read and written in parts, with flat memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.task import Array


@dataclass(frozen=True)
class Mapped:
    """An array in C order at `offset` of a file.

    The file is mapped for the length of one access only: pages that a lasting map has touched
    count as the memory of the process until it ends.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, index: Any) -> Array:
        return np.array(self._map("r")[index])

    def __setitem__(self, index: Any, values: Any) -> None:
        self._map("r+")[index] = values

    def _map(self, mode: Any) -> Array:
        return np.memmap(self.path, self.dtype, mode, self.offset, self.shape)

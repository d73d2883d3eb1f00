"""Points in frames of any size: many small frames at once, large ones tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np

from zcdl_common.run import Run
from zcdl_common.task import Prediction
from zcdl_common.tiles import default_tile, read, tiles


def localise(
    run: Run, model: Any, frames: Iterable[Any], settings: Mapping[str, Any]
) -> Iterator[Prediction]:
    """Find the points of frames YXC of one size, raw as they come from the file.

    The network and the search for peaks work where the model is; only positions come back. Of a frame that
    is cut into tiles, each point comes from the tile whose core holds it.

    Parameters
    ----------
    model : Model
        With ``localise(tiles, settings) -> list of Prediction`` of scaled tiles float32 (B, Y, X, C), and
        ``room``, the pixels that it takes at once.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return
    size = first.shape[:-1]
    scale = run.scaling
    limits = scale.limits(first)
    core = default_tile(model.geometry, size, model.room)
    cut = tiles(size, model.geometry, core)
    pixels = math.prod(w.stop - w.start for w in cut[0].window)
    frames, at_once = chain([first], frames), max(1, model.room // pixels)
    while group := list(islice(frames, at_once)):
        found: list[list[Prediction]] = [[] for _ in group]
        for piece in cut:
            block = np.stack([scale.apply(read(frame, piece.window), limits) for frame in group])
            start = np.array([w.start for w in piece.window], np.float32)
            for parts, one in zip(found, model.localise(block, settings), strict=True):
                points = one.main + start
                own = piece.owns(points) & np.all(points < size, axis=1)
                parts.append(Prediction(points[own], {k: v[own] for k, v in one.extra.items()}))
        yield from (_joined(parts) for parts in found)


def _joined(parts: list[Prediction]) -> Prediction:
    if len(parts) == 1:
        return parts[0]
    extra = {key: np.concatenate([p.extra[key] for p in parts]) for key in parts[0].extra}
    return Prediction(np.concatenate([p.main for p in parts]), extra)

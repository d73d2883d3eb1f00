"""Use a trained network: one image, a folder, or an image larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zcdl_common import owned
from zcdl_common.agreement import disagreement, learned
from zcdl_common.errors import DataError, UserError
from zcdl_common.images import ImageRef, find_images, movie
from zcdl_common.network import Across, Model
from zcdl_common.points import localise
from zcdl_common.run import Run
from zcdl_common.task import Array, Output, Prediction, resolve
from zcdl_common.tiles import Forward, Tile, default_tile, predict_tiled, predict_tiles, spread, tiles
from zcdl_common.writers import open_output, write_image

IN_MEMORY = 2**27
"""Voxels times channels up to which an image is predicted in memory; larger ones are streamed."""
BOX_TILE = 2**24
"""Pixels of a tile of a detector: its maps are coarse, and it sees far."""


@dataclass(frozen=True)
class Written:
    """What became of one image."""

    file: str
    outputs: tuple[Path, ...] = ()
    problem: str = ""
    note: str = ""
    source: ImageRef | None = None
    """The image, or its first frame."""


def predict(
    run: Run,
    model: Model,
    image: Any,
    settings: dict[str, Any] | None = None,
    *,
    turned: bool | None = None,
) -> Prediction:
    """Predict one image (Z)YXC, raw as it comes from the file.

    Parameters
    ----------
    turned
        Whether the network is also asked about the turned image, where the task knows how; None: as the
        parameter ``disagreement`` says. The prediction then has a companion of that name, unless the
        network was trained with its images in one orientation alone.

    Raises
    ------
    DataError
        The image has other channels or dimensions than the training images.
    """
    asked = {**(settings or run.settings()), "shape": tuple(image.shape[:-1])}
    if run.network.task.owned == "points":
        check(run, image.shape, "the image")
        return next(localise(run, model, [image], asked))
    if run.network.task.owned == "boxes":
        return owned.gather_boxes(_pieces(run, model, image, BOX_TILE), model.decode, asked)
    if run.network.task.owned:
        labels = np.zeros(asked["shape"], np.int32)
        return Prediction(labels, _objects(run, model, image, asked, labels))
    found = model.decode(maps(run, model, image), asked)
    wanted = getattr(run.config, "disagreement", False) if turned is None else turned
    if not (run.network.task.turned and wanted) or len(ways := learned(run.config)) == 1:
        return found
    differs = disagreement(lambda seen: model.decode(maps(run, model, seen), asked).main, image, ways)
    return replace(found, extra={**found.extra, "disagreement": differs})


def maps(run: Run, model: Model, image: Any) -> tuple[Array, ...]:
    """Dense maps ((Z)YXK) of one raw image (Z)YXC; see `predict`."""
    check(run, image.shape, "the image")
    scale = _scale(run, image)
    return predict_tiled(_forward(model, image, scale), image, model.geometry, scale=scale)


def _scale(run: Run, image: Any) -> Callable[[Array], Array]:
    """How every part of an image becomes network input."""
    limits = run.scaling.limits(image)
    return lambda part: run.scaling.apply(part, limits)  # type: ignore[no-any-return]


ALIKE = (
    "it was cut into tiles that share one normalisation: brightness and contrast may differ a little from "
    "images in one piece"
)


def _by_tiles(model: Model, shape: Sequence[int]) -> bool:
    """Whether an image (Z)YX is cut into tiles that each would be normalised by what it shows itself."""
    return isinstance(model, Across) and len(tiles(tuple(shape), model.geometry)) > 1


def _forward(model: Model, image: Any, scale: Callable[[Array], Array]) -> Forward:
    """What predicts the tiles of an image."""
    if not isinstance(model, Across) or not _by_tiles(model, image.shape[:-1]):
        return model.forward
    return model.across(spread(image, model.geometry, scale=scale))


def _objects(run: Run, model: Model, image: Any, settings: dict[str, Any], labels: Any) -> dict[str, Array]:
    """Draw the objects of an image into `labels`, tile by tile where it is large; returns a row for each."""
    room = owned.budget(sum(len(m.channels) for m in model.maps))
    return owned.gather(_pieces(run, model, image, room), model.decode, settings, labels)


def _pieces(run: Run, model: Model, image: Any, room: int) -> Iterator[tuple[Tile, tuple[Array, ...]]]:
    """Maps of tiles of up to `room` pixels that see all that decides about the objects they own."""
    check(run, image.shape, "the image")
    geometry = owned.with_objects(model.geometry, run.facts.extra["large_extents"])
    tile = default_tile(geometry, image.shape[:-1], room)
    return predict_tiles(model.forward, image, geometry, tile=tile, scale=_scale(run, image))


def check(run: Run, shape: Sequence[int], name: str) -> None:
    """Refuse what the network was not trained for; `shape` is (Z)YXC."""
    facts = run.facts
    if len(shape) - 1 != facts.ndim:
        raise DataError(
            f"{name} is {len(shape) - 1}D, but this network was trained on {facts.ndim}D images. "
            + ("If its planes are separate images, set axes = TYX." if len(shape) == 4 else "")
        )
    if shape[-1] != len(facts.channels):
        channels = "target_channels" if facts.domain == "target" else "channels"
        rgb = (
            f" It is a colour picture: choose one channel, for example {channels} = 0."
            if shape[-1] == 3
            else ""
        )
        raise DataError(
            f"{name} has {shape[-1]} channels, but this network was trained on {len(facts.channels)} "
            f"({', '.join(facts.channels)}).{rgb}"
        )


def predict_folder(
    run: Run,
    model: Model,
    source: str,
    target: Path,
    *,
    stream_above: int = IN_MEMORY,
    progress: Callable[[int, int, str], None] = lambda done, of, name: None,
) -> list[Written]:
    """Predict every image of a folder, file or zip into `target`, under the names of the inputs.

    A file that cannot be used is reported in its row and does not stop the others. Time frames of
    one file become one file again.
    """
    config = run.config
    problems: list[DataError] = []
    channels, chosen_by = config.channels_of(run.facts.domain)
    refs = find_images(
        source,
        "predict_source",
        axes=config.axes,
        channels=channels,
        pixel_size=config.pixel_size,
        chosen_by=chosen_by,
        problems=problems,
    )
    done = [Written(source, problem=str(problem)) for problem in problems]
    movies = [list(frames) for _, frames in groupby(refs, key=lambda ref: ref.path)]
    for n, frames in enumerate(movies):
        name = frames[0].path.name
        progress(n, len(movies), name)
        try:
            done.append(_one(run, model, frames, target, stream_above))
        except Exception as problem:  # whatever it is, the other files are done all the same
            said = str(problem) if isinstance(problem, UserError) else f"{type(problem).__name__}: {problem}"
            done.append(Written(name, problem=said))
    progress(len(movies), len(movies), "")
    if run.network.task.gathered and target.exists():
        names = {frames[0].group: frames[0].path.name for frames in movies}
        resolve(run.network.task.gathered)(target, run.facts, names)
    return done


def _one(run: Run, model: Model, frames: list[ImageRef], target: Path, stream_above: int) -> Written:
    ref, paths, task = frames[0], [], run.network.task
    info = ref.info()
    check(run, (*info.shape, info.channels), ref.path.name)
    pixel_size = info.pixel_size
    # the size decides how an image is read; a wrong guess costs memory or time, never the result
    if np.prod(info.shape, dtype=float) * info.channels > stream_above and len(frames) == 1:
        written, note = _stream(run, model, ref, target, pixel_size)
        said = [
            "too large for memory: it was written tile by tile",
            note,
            ALIKE * _by_tiles(model, info.shape),
        ]
        note = "; ".join(filter(None, said))
        return Written(ref.path.name, tuple(written), note=note, source=ref)
    outputs, files = resolve(task.outputs), resolve(task.files) if task.files else None
    made, kept = [], []
    for prediction in _frame_by_frame(run, model, frames):
        made.append(outputs(prediction, run.config, run.facts))
        kept += [prediction] if files else []
    for suffix, first in made[0].items():
        array, axes = first.array, first.axes
        if len(frames) > 1:
            array, axes = np.stack([m[suffix].array for m in made]), "T" + axes
        about: Any = {"pixel_size": pixel_size, "frame_interval": info.frame_interval, "labels": first.labels}
        name = target / f"{ref.group}{suffix}"
        paths.append(write_image(name, array, axes, format=run.config.output_format, **about))
    note = ALIKE * _by_tiles(model, info.shape)
    if files:
        more, note = files(kept, movie(frames), run.facts, pixel_size, target, ref.group)
        paths += more
    return Written(ref.path.name, tuple(paths), note=note, source=ref)


def _frame_by_frame(run: Run, model: Model, frames: list[ImageRef]) -> Iterator[Prediction]:
    if run.network.task.owned == "points":  # of small frames, many at once
        return localise(run, model, movie(frames), run.settings())
    return (predict(run, model, image) for image in movie(frames))


class _Decoding:
    """Takes blocks of maps and passes on what they decode to."""

    def __init__(self, out: Any, decode: Callable[[Array], Output]):
        self.out, self.decode = out, decode

    def __setitem__(self, place: Any, block: Array) -> None:
        made, along = self.decode(block), iter(place)
        self.out[tuple(slice(None) if axis == "C" else next(along) for axis in made.axes)] = made.array


def _stream(run: Run, model: Model, ref: ImageRef, target: Path, pixel_size: Any) -> tuple[list[Path], str]:
    """Files that were written, and what is to be said of them."""
    image, settings, shape = ref.open(), run.settings(), ref.info().shape
    format: Literal["ome-zarr", "ome-tiff"] = (
        "ome-zarr" if run.config.output_format == "ome-zarr" else "ome-tiff"
    )
    if run.network.task.owned in ("boxes", "points"):
        found = predict(run, model, image, settings)
        return _described(run, found, image, pixel_size, target, ref.group)  # type: ignore[no-any-return]
    if run.network.task.owned:
        axes = "ZYX"[-len(shape) :]
        with open_output(
            target / ref.group, shape, np.uint32, axes, pixel_size=pixel_size, format=format
        ) as out:
            extra = _objects(run, model, image, settings, out)
            found = Prediction(out, extra)  # type: ignore[arg-type]  # sliced as an array is
            more, note = _described(run, found, image, pixel_size, target, ref.group)
            return [out.path, *more], note
    scale = _scale(run, image)
    to_output = resolve(run.network.task.stream)

    def decode(block: Array) -> Output:
        return to_output(model.decode((block,), settings), run.facts)  # type: ignore[no-any-return]

    probe = decode(np.zeros((1,) * run.facts.ndim + (_map_channels(model, run),), np.float32))
    along = iter(shape)
    whole = [n if axis == "C" else next(along) for axis, n in zip(probe.axes, probe.array.shape, strict=True)]
    with open_output(
        target / ref.group, whole, probe.array.dtype, probe.axes, pixel_size=pixel_size, format=format
    ) as out:
        predict_tiled(
            _forward(model, image, scale),
            image,
            model.geometry,
            scale=scale,
            out=lambda _shape, _dtype: _Decoding(out, decode),
        )
        return [out.path], "its main result alone"


def _described(run: Run, found: Prediction, image: Any, pixel_size: Any, folder: Path, stem: str) -> Any:
    """The files of a large image that are no images, where they can be written."""
    if not run.network.task.files:
        return [], ""
    try:
        return resolve(run.network.task.files)([found], [image], run.facts, pixel_size, folder, stem)
    except Exception as problem:  # the labels took hours: they are kept whatever becomes of a table
        return [], f"tables and ROIs could not be written ({type(problem).__name__}: {problem})"


def _map_channels(model: Model, run: Run) -> int:
    sides = [2 * step for step in model.geometry.multiple]  # a single pixel, halved, cannot be normalised
    tile = np.zeros((1, *sides, len(run.facts.channels)), np.float32)
    return int(model.forward(tile)[0].shape[-1])

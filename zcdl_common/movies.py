"""Movies of single molecules: what a network of them learns from, and what judges it.

Positions in real frames are rarely known, so it learns from simulated frames that are like them. Those that
choose and judge are written as files like any others; patches to train on are simulated anew for each step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from zcdl_common.config import Config
from zcdl_common.datasets import default_cache
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.files import write_text
from zcdl_common.images import ImageRef, find_images
from zcdl_common.localising import point_facts
from zcdl_common.samples.store import write_image, write_positions
from zcdl_common.smlm.asked import camera_of, completed
from zcdl_common.smlm.measure import MOST
from zcdl_common.smlm.positions import open_positions
from zcdl_common.smlm.propose import SIDE, busiest
from zcdl_common.smlm.simulate import Simulation, frames
from zcdl_common.split import by_group
from zcdl_common.task import Array, Sample, Split

SIMULATED = {"train": 20, "validation": 5, "test": 20}
"""Simulated movies by role; those to train on measure brightness and tune the classical method."""
LENGTH, FIELD = 5, 64
"""Frames of a simulated movie, and pixels of its sides."""
BLOCK = 10
"""Consecutive frames that are kept together, since molecules stay on for some: they count as one."""
MOST_JUDGED = 400
"""Frames with known positions that are judged, evenly spaced blocks of them."""
PIXEL = (0.01, 1.0)
"""Micrometres that a camera pixel may cover: finer ones are of rendered images, coarser ones show no spot."""
PLAN = "simulation.yaml"
VERSION = 1
"""Of what is simulated from the same plan; to be raised where that changes."""


def divide(
    config: Any, samples: Sequence[Sample], test: Sequence[Sample]
) -> tuple[Split, tuple[Sample, ...]]:
    """What trains, chooses and judges; and the real frames that simulated ones are like.

    See `zcdl_common.task.Task.divide`.

    Raises
    ------
    DataError, ConfigError
        The size of a pixel is not known, or nothing tells where molecules are.
    """
    known, held = ([s for s in part if s.target is not None] for part in (samples, test))
    side = pixel_nm((*samples, *test))
    if config.learn_from == "table":
        if not known:
            raise ConfigError(
                "learn_from = table: there is no table of positions that the network could learn from. Name "
                "one under target, or set learn_from = simulation."
            )
        return _learned_from_tables(config, known, held), ()
    real = tuple(samples)
    simulation = completed(config, side, excerpt(real))
    roles = simulated(simulation, config.seed)
    test = judged(held or known) or roles["test"]
    known_ones = f"{len(test)} real frames with known positions"
    where = "simulated frames" if test is roles["test"] else known_ones
    note = (
        "The network learns from simulated frames that are like the real ones, made anew for every step; "
        f"the best epoch and the threshold are chosen on {len(roles['validation'])} simulated frames that it "
        f"does not train on. The test is on {where}."
    )
    return Split(roles["train"], roles["validation"], test, note), real


def _learned_from_tables(config: Config, known: Sequence[Sample], held: Sequence[Sample]) -> Split:
    """Movies divided as other files are; a single one by blocks of frames."""
    one = len({sample.group for sample in known}) == 1
    split = by_group(_in_blocks(known) if one else known, config, held)
    test = judged(split.test)
    note = (
        f"There is one movie; its {len(known)} frames were divided at random by blocks of {BLOCK} (seed "
        f"{config.seed}). Blocks of one movie show the same structure: expect less of another movie."
        if one
        else split.note
    )
    return replace(split, test=test, note=note)


def _in_blocks(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples, each a member of the block of its movie."""

    def block(sample: Sample) -> str:
        frame = getattr(sample.source, "frame", None)
        return sample.group if frame is None else f"{sample.group}, frames from {frame // BLOCK * BLOCK + 1}"

    return [replace(sample, group=block(sample)) for sample in samples]


def judged(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Frames in blocks of their movies: all, or evenly spaced ones of about `MOST_JUDGED` frames."""
    blocks = _in_blocks(samples)
    groups = list(dict.fromkeys(sample.group for sample in blocks))
    kept = set(groups[:: -(-len(blocks) // MOST_JUDGED) or 1])
    return tuple(sample for sample in blocks if sample.group in kept)


def pixel_nm(samples: Sequence[Sample]) -> float:
    """Side of a pixel of the frames in nanometres, the same in all movies.

    Raises
    ------
    DataError
        It is not known, differs, or is none of a camera; pixels are no squares, or the frames no grey planes.
    """
    movies = {sample.source.path: sample for sample in reversed(samples)}
    sides = {path.name: _pixel_nm(movie) for path, movie in movies.items()}
    one, other = min(sides, key=sides.__getitem__), max(sides, key=sides.__getitem__)
    if sides[other] > 1.01 * sides[one]:
        raise DataError(
            f"Pixels of {one} are {sides[one]:g} nm wide, those of {other} {sides[other]:g} nm: a network "
            "knows spots of one width in pixels. Train one for each microscope, from folders of their own; "
            "or, where only the files are wrong, set pixel_size."
        )
    return _pixel_nm(samples[0])


def _pixel_nm(sample: Sample) -> float:
    info = sample.source.info()  # type: ignore[attr-defined]
    name = sample.source.path.name
    if len(info.shape) != 2:
        raise DataError(
            f"{name} was read as a stack in Z ({' x '.join(map(str, info.shape))}). If it is a movie, set "
            "axes = TYX; localisation in 3D is not what this network does."
        )
    if info.channels != 1:
        raise DataError(
            f"{name} has {info.channels} channels ({', '.join(info.channel_names)}); molecules are sought in "
            "one. Set channels to the one that shows them, for example channels = 0."
        )
    if info.pixel_size is None:
        raise DataError(
            f"{name} does not say how large its pixels are, and positions are measured in nanometres. Set "
            "pixel_size to what a camera pixel covers in the sample, in micrometres: 0.1 is usual."
        )
    height, width = info.pixel_size[-2:]
    if not np.isclose(height, width, rtol=0.01):
        raise DataError(
            f"{name} says that its pixels are {height:g} x {width:g} µm; square ones are needed. Correct "
            "that with pixel_size, for example 0.1."
        )
    if not PIXEL[0] <= width <= PIXEL[1]:
        raise DataError(
            f"A pixel of {name} would cover {width:g} µm of the sample, and single molecules are seen with "
            "pixels of about 0.1 µm. Set pixel_size in micrometres: 0.1 where pixels are 100 nm wide. What "
            "counts is the camera's pixel divided by the magnification."
        )
    return round(1000 * float(width), 3)


def excerpt(samples: Sequence[Sample]) -> Array:
    """Frames TYX of the longest movie, evenly spaced; of large ones the part in which most changes.

    Not of several movies: where molecules are differs from one to the other.
    """
    longest, _ = Counter(sample.group for sample in samples).most_common(1)[0]
    movie = [sample for sample in samples if sample.group == longest]
    chosen = movie[:: max(1, -(-len(movie) // MOST))]
    size = chosen[0].size
    refs: Any = [sample.source for sample in chosen if sample.size == size]
    if max(size) > SIDE:
        few = np.stack([ref.read()[..., 0] for ref in refs[::8]])
        refs = [ref.crop(busiest(few)) for ref in refs]
    return np.stack([ref.read()[..., 0] for ref in refs])


def simulated(simulation: Simulation, seed: int) -> dict[str, tuple[Sample, ...]]:
    """Simulated frames with their positions, by role; written once and found again later."""
    size = {"movies": SIMULATED, "frames": LENGTH, "pixels": FIELD}
    record = {"version": VERSION, "seed": seed, **size, **asdict(simulation)}
    text = json.dumps(record, sort_keys=True)
    folder = default_cache() / f"simulated-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not (folder / PLAN).exists():
        temporary = folder.with_name(f".{os.getpid()}.{folder.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        for number, (role, movies) in enumerate(SIMULATED.items()):
            _write(temporary / role, role, movies, simulation, [seed, number])
        write_text(temporary / PLAN, yaml.safe_dump(json.loads(text), sort_keys=False))
        if folder.exists():  # left by a disk that was cleaned
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    return {role: _samples(folder / role) for role in SIMULATED}


def _write(folder: Path, role: str, movies: int, simulation: Simulation, seed: list[int]) -> None:
    folder.mkdir(parents=True)
    size = (simulation.pixel_nm / 1000,) * 2
    for movie in range(movies):
        rng = np.random.default_rng([*seed, movie])
        counts, emitters = frames(rng, simulation, LENGTH, (FIELD, FIELD))
        write_image(folder / f"{role}_{movie:02d}.tif", counts, "TYX", size)
        write_positions(folder / f"{role}_{movie:02d}.csv", emitters, size)


def _samples(folder: Path) -> tuple[Sample, ...]:
    images: list[ImageRef] = find_images(str(folder), "source", axes="TYX")
    pairing, targets = open_positions(images, str(folder), "target", {})
    pairs = zip(pairing.pairs, targets, strict=True)
    return tuple(Sample(image.name, image.group, image, target) for (image, _), target in pairs)


def movie_facts(samples: Sequence[Sample], config: Any) -> dict[str, Any]:
    """Facts of a task of localisation; see `localising.point_facts`.

    In ``extra`` also ``camera``, as `baselines.emitters.Calibration` takes it, and of simulated frames
    ``simulation``: what they were made from.
    """
    made = dict(point_facts(samples, config))
    plan = samples[0].source.path.parent.parent / PLAN
    extra = dict(made.get("extra", {}))
    if config.learn_from == "simulation":
        record = yaml.safe_load(plan.read_text(encoding="utf-8"))
        extra["simulation"] = {
            name: record[name] for name in ("density", "photons", "background", "sigma_nm")
        }
    extra["camera"] = calibration(config)
    return {**made, "extra": extra}


def calibration(config: Any) -> Mapping[str, float]:
    """What a camera makes of photons, as `baselines.emitters.Calibration` takes it."""
    camera = camera_of(config)
    return {
        "offset": camera.offset,
        "gain": camera.em_gain / camera.gain,
        "read_noise": float(camera.read_noise) / camera.em_gain,
        "excess": 2.0 if camera.em_gain > 1 else 1.0,
        "efficiency": camera.quantum_efficiency,
    }

"""From folders to samples: pairing, and the split."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zcdl_common import datasets, places
from zcdl_common.config import Config
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import find_images
from zcdl_common.network import Network
from zcdl_common.pairs import Pairing, group_of
from zcdl_common.strips import strips
from zcdl_common.task import Sample, Split, resolve


class Folders(NamedTuple):
    """Where the images of a run come from."""

    source: str
    target: str
    test_source: str
    test_target: str
    example: str = ""
    """Name of the example data set, where it is one."""


@dataclass(frozen=True)
class Data:
    """Samples by role, and what pairing could not place."""

    split: Split
    example: str = ""
    pairings: tuple[Pairing, ...] = ()
    problems: tuple[DataError, ...] = field(default=(), compare=False)
    gap: int | None = None
    """Pixels between the strips of a single image."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All of them, training images first."""
        return self.split.train + self.split.validation + self.split.test


def folders_of(config: Config) -> Folders:
    """The folders a config names; an example data set is fetched or made first.

    Raises
    ------
    ConfigError
        Neither folders nor a data set are named, or the data set is none for this network.
    """
    if config.source:
        named = (config.source, config.target, config.test_source, config.test_target)
        return Folders(*map(places.staged, named))
    if config.dataset:
        suited = _examples(config.network)
        if suited and config.dataset in datasets.entries() and config.dataset not in suited:
            raise ConfigError(
                f"dataset = {config.dataset} is no data set for {config.network}. Choose one of: "
                f"{', '.join(suited)}; or name folders of your own."
            )
        ready = datasets.prepare(config.dataset)
        return Folders(ready.source, ready.target, ready.test_source, ready.test_target, config.dataset)
    examples = _examples(config.network)
    raise ConfigError(
        "No images are chosen. Name your folders in section 2 (source and target), or an example data set"
        + (f", for instance dataset = {examples[0]}." if examples else ".")
    )


def _examples(network: str) -> list[str]:
    """Names of the data sets that suit a network, those that suit it best first."""
    suited = {
        name: e.networks.index(network) for name, e in datasets.entries().items() if network in e.networks
    }
    return sorted(suited, key=suited.__getitem__)


def open_data(config: Config, network: Network, gap: int | None = None) -> Data:
    """Find, pair and split the images that `config` names.

    Parameters
    ----------
    gap
        Pixels between the strips of a single image, where a run has divided it before.

    Raises
    ------
    DataError, ConfigError
        Folders are missing or empty, nothing pairs, or too few images are left to learn from.
    """
    folders = folders_of(config)
    if not folders.target and network.task.needs_target:
        raise ConfigError(
            f"target is empty: this network also needs a folder of {network.task.target_label}, "
            f"with the same file names as the {network.task.source_label} in {folders.source}."
        )
    if folders.test_source and not folders.test_target and network.task.needs_target:
        raise ConfigError(
            f"test_target is empty: the test images in {folders.test_source} can only judge the network with "
            f"a folder of their {network.task.target_label}. Without any, leave test_source empty."
        )
    for one, other in ((folders.source, folders.target), (folders.test_source, folders.test_target)):
        if one and other and Path(one).expanduser().resolve() == Path(other).expanduser().resolve():
            raise ConfigError(
                f"{one} is named twice, for the {network.task.source_label} and for the "
                f"{network.task.target_label}. Name the folder of {network.task.target_label} under target."
            )
    problems: list[DataError] = []
    samples, pairing = _samples(config, network, folders.source, folders.target, "", problems)
    test: tuple[Sample, ...] = ()
    pairings = [pairing]
    if folders.test_source:
        test, pairing = _samples(config, network, folders.test_source, folders.test_target, "test_", problems)
        pairings.append(pairing)
    if not samples:
        raise DataError(
            f"No image in {folders.source} has a partner in {folders.target}. Partners are found by name: "
            "cell_1.tif belongs to cell_1.tif, cell_1_mask.tif or cell_1.zip. Rename the files accordingly."
            if not problems
            else f"None of the images can be used. The first reason: {problems[0]}"
        )
    if len(samples) == 1:
        split, gap = strips(samples[0], config, bool(test) or config.test_fraction == 0, gap)
        split = replace(split, test=test or split.test)
    else:
        split, gap = by_group(samples, config, test, divide=not network.task.needs_target), None
    return Data(split, folders.example, tuple(pairings), tuple(problems), gap)


def with_test(data: Data, config: Config, network: Network) -> Data:
    """The same data, with the test folders that `config` names in place of its own test images.

    Raises
    ------
    DataError, ConfigError
        A folder is missing or holds no image with a partner.
    """
    problems: list[DataError] = []
    source, target = places.staged(config.test_source), places.staged(config.test_target)
    test, pairing = _samples(config, network, source, target, "test_", problems)
    if not test:
        raise (
            problems[0]
            if problems
            else DataError(
                f"No image in test_source = {config.test_source} has a partner in test_target = "
                f"{config.test_target}. Partners are found by name: cell_1.tif belongs to cell_1.tif or "
                "cell_1_mask.tif."
            )
        )
    note = f"The test images are those in {config.test_source}, chosen after the training."
    split = replace(data.split, test=test, note=note)
    return replace(data, split=split, pairings=(pairing,), problems=tuple(problems))


def _samples(
    config: Config, network: Network, source: str, target: str, prefix: str, problems: list[DataError]
) -> tuple[tuple[Sample, ...], Pairing]:
    sources = find_images(
        source,
        prefix + "source",
        axes=config.axes,
        channels=config.channels,
        pixel_size=config.pixel_size,
        problems=problems,
    )
    if config.group_by and sources and all(group_of(i.name, config.group_by) == i.name for i in sources):
        raise ConfigError(
            f"group_by = {config.group_by!r} matches no file name, for example {sources[0].name}. Write what "
            r"the names of one group share: movie\d+ for movie3_t01.tif, well_[A-H]\d+ for well_B7_2.tif."
        )
    mended = repaired_copies(config.repaired)
    if target:
        annotate = resolve(network.task.annotations)
        pairing, targets = annotate(sources, target, prefix + "target", mended)
    else:
        pairing, targets = Pairing(tuple((image, image.path) for image in sources), (), ()), repeat(None)
    known = [(image, goal) for (image, _), goal in zip(pairing.pairs, targets, strict=False)]
    if known and not network.task.needs_target:  # what is known of a few images is no reason to lose the rest
        known += [(image, None) for image in pairing.without_target]
    samples = []
    for image, goal in known:
        group = group_of(image.name, config.group_by) if config.group_by else image.group
        whole = replace(image, paths=tuple(mended.get(p.resolve(), p) for p in image.paths))
        samples.append(Sample(image.name, group, whole, goal))
    return tuple(samples), pairing


def repaired_copies(folder: str) -> dict[Path, Path]:
    """Originals and the mended copies that take their place, from the table that the repair wrote.

    Raises
    ------
    ConfigError
        The folder holds no such table.
    """
    if not folder:
        return {}
    table = Path(folder) / "repaired.csv"
    if not table.exists():
        raise ConfigError(f"repaired = {folder}: there is no repaired.csv in it. Run nb.repair() again.")
    with table.open(newline="", encoding="utf-8") as stream:
        return {Path(r["file"]).resolve(): Path(folder) / r["copy"] for r in csv.DictReader(stream)}


def by_group(
    samples: Sequence[Sample], config: Config, test: Sequence[Sample] = (), *, divide: bool = False
) -> Split:
    """Divide by group: no movie, stack or well stands on both sides.

    Parameters
    ----------
    divide
        Whether the images of a single group may be divided all the same: what learns from the very images
        that it is used on has nothing to hold out.

    Raises
    ------
    DataError
        There is one group only, so nothing can be held out.
    """
    group = {sample.name: sample.group for sample in samples}
    if divide and len(set(group.values())) == 1:
        group = {name: name for name in group}
    groups = sorted(set(group.values()))
    if len(groups) == 1:
        raise DataError(
            f"All {len(samples)} images belong to one group ({groups[0]}), so none can be held out to judge "
            "the training. Add images of another movie, stack or well; or, where the frames of a file show "
            r"different fields, make each a group of its own with group_by = t\d+."
        )
    order = np.random.default_rng([config.seed, 0]).permutation(groups).tolist()
    n_test = 0
    if not test and config.test_fraction > 0 and len(groups) > 2:
        n_test = min(max(1, round(config.test_fraction * len(groups))), len(groups) - 2)
    left = len(groups) - n_test
    least = 2 if left >= 8 else 1  # a single image is a poor judge of epochs and thresholds
    n_validation = min(max(least, round(config.validation_fraction * left)), left - 1)
    roles = {g: "test" if i < n_test else "validation" if i < n_test + n_validation else "train"
             for i, g in enumerate(order)}  # fmt: skip
    by_role = {
        role: tuple(s for s in samples if roles[group[s.name]] == role)
        for role in ("train", "validation", "test")
    }
    single = "frames" if any(getattr(s.source, "frame", None) is not None for s in samples) else "files"
    what = single if len(groups) == len(samples) else "groups of files"
    held = f"the test images are a folder of their own ({len(test)})" if test else f"{n_test} for the test"
    note = (
        f"The {len(groups)} {what} were divided at random (seed {config.seed}) before anything was cut: "
        f"{len(groups) - n_test - n_validation} for training, {n_validation} for validation; {held}."
    )
    return Split(by_role["train"], by_role["validation"], tuple(test) or by_role["test"], note=note)

"""From folders to samples: pairing, and the split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from zcdl_common import datasets, places
from zcdl_common.config import Config
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.folders import split_folders
from zcdl_common.found import samples_of
from zcdl_common.movies import judged
from zcdl_common.network import DIRECTIONS, Network
from zcdl_common.pairs import Pairing
from zcdl_common.split import by_group, unlike
from zcdl_common.strips import strips
from zcdl_common.task import Domain, Sample, Split, resolve


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
    imitated: tuple[Sample, ...] = ()
    """Real images that simulated ones, which are learned from, are like."""

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
            f"target is empty: this network also needs a folder of {network.task.target_label}"
            + f", with the same file names as the {network.task.source_label} in {folders.source}."
            * network.task.paired
        )
    if folders.test_source and not folders.test_target and network.task.needs_target and network.task.paired:
        raise ConfigError(
            f"test_target is empty: the test images in {folders.test_source} can only judge the network with "
            f"a folder of their {network.task.target_label}. Without any, leave test_source empty."
        )
    for one, other in ((folders.source, folders.target), (folders.test_source, folders.test_target)):
        _refuse_twice(network, one, other)
    problems: list[DataError] = []
    if not network.task.paired:
        return _two_domains(config, network, folders, problems)
    samples, pairing = samples_of(
        config, network, folders.source, folders.target, ("source", "target"), problems
    )
    test: tuple[Sample, ...] = ()
    pairings = [pairing]
    if folders.test_source:
        named = ("test_source", "test_target")
        test, pairing = samples_of(config, network, folders.test_source, folders.test_target, named, problems)
        pairings.append(pairing)
    if not samples:
        like = "cell_1_mask.tif or cell_1.zip" if network.task.drawn else "or cell_1_target.tif"
        other = network.task.without_partners and f"Are these pairs? {network.task.without_partners} "
        raise DataError(
            f"No image in {folders.source} has a partner in {folders.target}. {other}Partners are found by "
            f"name: cell_1.tif belongs to cell_1.tif, {like}. Rename the files accordingly."
            if not problems
            else f"None of the images can be used. The first reason: {problems[0]}"
        )
    rest: dict[str, Any] = {}
    if network.task.divide:
        split, rest["imitated"] = resolve(network.task.divide)(config, samples, test)
    elif len(samples) == 1:
        split, rest["gap"] = strips(samples[0], config, bool(test) or config.test_fraction == 0, gap)
        split = replace(split, test=test or split.test)
    else:
        split = by_group(samples, config, test, divide=not network.task.needs_target)
    return Data(split, folders.example, tuple(pairings), tuple(problems), **rest)


def _refuse_twice(network: Network, source: str, target: str) -> None:
    """Refuse a folder that is named for images and targets, or as two channels of one of them."""
    named = [[Path(f).expanduser().resolve() for f in split_folders(text) if f] for text in (source, target)]
    images, targets = network.task.source_label, network.task.target_label
    for folder in named[1]:  # tables of positions lie beside their movies, and are none
        if folder in named[0] and network.task.owned != "points":
            raise ConfigError(
                f"{folder} is named twice, for the {images} and for the {targets}. Name the folder of "
                f"{targets} under target."
            )
    for parts, label in zip(named, (images, targets), strict=True):
        if twice := [str(folder) for folder in parts if parts.count(folder) > 1]:
            raise ConfigError(
                f"{twice[0]} is named twice for the {label}. Folders separated by ; are channels, so each "
                "can stand there once: take one out, or name the one you meant."
            )


def _two_domains(config: Config, network: Network, folders: Folders, problems: list[DataError]) -> Data:
    """Two sets of images that have nothing to do with each other, each divided by itself.

    Test images of the same name are partners, so that there is a truth to compare with.
    """
    parts, notes = [], []
    texts: dict[Domain, str] = {"source": folders.source, "target": folders.target}
    for domain, text in texts.items():
        samples = _of_domain(config, network, domain, text, "", problems)
        if len(samples) < 2:
            raise DataError(
                f"{text} holds {len(samples)} image that can be used, and 2 are needed, since one of them "
                "chooses and does not train. Cut it into several, or add images."
                if not problems
                else f"Too few of the images can be used. The first reason: {problems[0]}"
            )
        parts.append(by_group(samples, config, _test_domain(config, network, domain, folders, problems)))
        notes.append(f"{domain}: {parts[-1].note}")
    one, other = parts
    split = Split(one.train + other.train, one.validation + other.validation, one.test + other.test)
    notes += [unlike(split.test)] * bool(folders.test_source and folders.test_target)
    return Data(replace(split, note=" ".join(filter(None, notes))), folders.example, problems=tuple(problems))


def _of_domain(
    config: Config, network: Network, domain: Domain, text: str, role: str, problems: list[DataError]
) -> list[Sample]:
    """Images of one domain, under names of their own."""
    found, _ = samples_of(config, network, text, "", (f"{role}{domain}", ""), problems, domain)
    return [replace(one, domain=domain, name="target_" * (domain == "target") + one.name) for one in found]


def _test_domain(
    config: Config, network: Network, domain: Domain, folders: Folders, problems: list[DataError]
) -> tuple[Sample, ...]:
    """Test images of one domain, with those of the same name in the other as their targets."""
    texts: dict[Domain, str] = {"source": folders.test_source, "target": folders.test_target}
    if not texts[domain]:
        return ()
    here, there = (
        _of_domain(config, network, one, texts[one], "test_", problems) if texts[one] else []
        for one in (domain, "target" if domain == "source" else "source")
    )
    # frames of a movie have names of their own; equal names of images of unequal sizes are chance
    partners = {(one.source.name, one.size): one.source for one in there}  # type: ignore[attr-defined]
    return tuple(
        replace(one, target=partners.get((one.source.name, one.size)))  # type: ignore[attr-defined]
        for one in here
    )


def with_test(data: Data, config: Config, network: Network) -> Data:
    """The same data, with the test folders that `config` names in place of its own test images.

    Where nothing is paired, images of either folder may be without a partner in the other.

    Raises
    ------
    DataError, ConfigError
        A folder is missing or holds no image with a partner.
    """
    problems: list[DataError] = []
    source, target = places.staged(config.test_source), places.staged(config.test_target)
    pairing = Pairing((), (), ())
    if network.task.paired:
        test, pairing = samples_of(config, network, source, target, ("test_source", "test_target"), problems)
    else:
        folders = Folders("", "", source, target)
        one, other = (_test_domain(config, network, domain, folders, problems) for domain in DIRECTIONS)
        test = one + other
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
    if network.task.divide:
        test = judged(test)
    note = f"The test images are those in {source or target}, chosen after the training. {unlike(test)}"
    split = replace(data.split, test=test, note=note.rstrip())
    return replace(data, split=split, pairings=(pairing,), problems=tuple(problems))

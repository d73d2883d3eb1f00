"""Images found in folders, with the targets that belong to them, as samples."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from zcdl_common.config import Config
from zcdl_common.errors import ConfigError, DataError
from zcdl_common.images import find_images
from zcdl_common.network import Network
from zcdl_common.pairs import Pairing, group_of
from zcdl_common.task import Domain, Sample, resolve


def samples_of(
    config: Config,
    network: Network,
    source: str,
    target: str,
    parameters: tuple[str, str],
    problems: list[DataError],
    domain: Domain = "source",
) -> tuple[tuple[Sample, ...], Pairing]:
    """Samples of the images in `source`, with their targets in `target`, "" where there are none.

    Parameters
    ----------
    source, target
        Folders as typed.
    parameters
        Names of the parameters that they were typed into.
    problems
        Errors of files that cannot be used are appended.

    Raises
    ------
    DataError, ConfigError
        A folder is missing, or a parameter does not fit the files.
    """
    channels, chosen_by = config.channels_of(domain)
    sources = find_images(
        source,
        parameters[0],
        axes=config.axes,
        channels=channels,
        pixel_size=config.pixel_size,
        chosen_by=chosen_by,
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
        pairing, targets = annotate(sources, target, parameters[1], mended)
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

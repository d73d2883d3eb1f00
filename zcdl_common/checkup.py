"""What the doctor is shown of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from zcdl_common import doctor
from zcdl_common.config import Config
from zcdl_common.data import Data
from zcdl_common.doctor.findings import Finding, namesakes
from zcdl_common.doctor.kinship import looks_paired
from zcdl_common.doctor.matching import portrait
from zcdl_common.errors import DataError
from zcdl_common.network import DIRECTIONS, Network
from zcdl_common.pairs import core
from zcdl_common.task import Array, Lazy, Sample, Split

MOST_PAIRS = 50
"""Images of either kind that are compared where the names are the same."""


def examine(data: Data, network: Network, config: Config) -> doctor.Report:
    """What the doctor finds in the images, before anything is measured or trained."""
    if data.gap is not None:  # the strips of one image differ in size; the plan looks at the one that trains
        config = config.changed(patch_size=None)
    if data.imitated:  # simulated images, which train, need no doctor
        simulated = data.split.train[0].source.path.parents[1]
        known = {sample.source for sample in data.imitated}
        test = [s for s in data.split.test if s.source not in known]
        real = tuple(s for s in test if not s.source.path.is_relative_to(simulated))
        data = replace(data, split=Split(data.imitated, (), real))
    if network.task.paired:
        return _examined(data.split, network, config, data.problems, data.pairings)
    one, other = (
        _examined(data.split.of(domain), network, config, data.problems if domain == "source" else ())
        for domain in DIRECTIONS
    )
    findings = tuple(dict.fromkeys([*one.findings, *other.findings, *_pairs_after_all(data.split)]))
    folders = namesakes(str(sample.source.path) for sample in data.samples)
    return doctor.Report(findings, (*one.table, *other.table), one.total + other.total, folders)


def _pairs_after_all(split: Split) -> Iterator[Finding]:
    """Whether images of the two kinds that bear the same names show the same fields."""
    files: list[dict[str, Sample]] = [{}, {}]
    held_out = tuple(sample for sample in split.test if sample.target is None)
    for sample in split.train + split.validation + held_out:
        files[sample.domain == "target"].setdefault(core(str(sample.source.path)), sample)
    both = sorted(set(files[0]) & set(files[1]))
    looked_at = [{key: of[key].source for key in both[:: -(-len(both) // MOST_PAIRS) or 1]} for of in files]
    yield from looks_paired(
        *({str(s.path): p for s in of.values() if (p := _portrait(s)) is not None} for of in looked_at)
    )


def _portrait(image: Lazy) -> Array | None:
    try:
        return portrait(image.read())
    except Exception:  # it is a finding already
        return None


def _examined(
    split: Split, network: Network, config: Config, problems: Sequence[DataError], pairings: Any = ()
) -> doctor.Report:
    train, test = split.train + split.validation, split.test
    if not network.task.paired:
        train, test = (tuple(replace(s, target=None) for s in part) for part in (train, test))
    return doctor.check(
        train, task=network.task, test=test, unmatched=pairings, problems=problems, config=config
    )

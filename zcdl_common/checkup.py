"""What the doctor is shown of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zcdl_common import doctor
from zcdl_common.config import Config
from zcdl_common.data import Data
from zcdl_common.errors import DataError
from zcdl_common.network import DIRECTIONS, Network
from zcdl_common.task import Split


def examine(data: Data, network: Network, config: Config) -> doctor.Report:
    """What the doctor finds in the images, before anything is measured or trained."""
    if data.gap is not None:  # the strips of one image differ in size; the plan looks at the one that trains
        config = config.changed(patch_size=None)
    if network.task.paired:
        return _examined(data.split, network, config, data.problems, data.pairings)
    one, other = (
        _examined(data.split.of(domain), network, config, data.problems if domain == "source" else ())
        for domain in DIRECTIONS
    )
    findings = tuple(dict.fromkeys(one.findings + other.findings))
    return doctor.Report(findings, (*one.table, *other.table), one.total + other.total)


def _examined(
    split: Split, network: Network, config: Config, problems: Sequence[DataError], pairings: Any = ()
) -> doctor.Report:
    train, test = split.train + split.validation, split.test
    if not network.task.paired:
        train, test = (tuple(replace(s, target=None) for s in part) for part in (train, test))
    return doctor.check(
        train, task=network.task, test=test, unmatched=pairings, problems=problems, config=config
    )

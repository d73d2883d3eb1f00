"""The sections of a report in their order."""

from __future__ import annotations

from zcdl_common.report.blocks import Block
from zcdl_common.report.judgement import judgement
from zcdl_common.report.outcome import outcome
from zcdl_common.report.overview import overview
from zcdl_common.report.record import Record


def contents(record: Record) -> list[Block]:
    """The whole report, whatever the run has come to so far."""
    return [*overview(record), *judgement(record), *outcome(record)]

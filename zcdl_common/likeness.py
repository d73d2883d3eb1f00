"""Whether simulated frames are like the real ones: what decides about a network that has seen no others."""

from __future__ import annotations

import math
from typing import Any

from zcdl_common.data import Data
from zcdl_common.errors import DataError
from zcdl_common.movies import excerpt, pixel_nm
from zcdl_common.run import Run
from zcdl_common.smlm.asked import simulation_of
from zcdl_common.smlm.gate import Gate, Match, gate
from zcdl_common.smlm.measure import Quantity


def compare(data: Data, planned: Any) -> Gate:
    """Real frames beside what is simulated for them by the parameters `planned`, which have no gaps.

    Of frames that are too few or too small to be measured nothing is compared, and the one match says so.
    """
    frames = excerpt(data.imitated)
    try:
        return gate(frames, simulation_of(planned, pixel_nm(data.imitated)), planned.seed)
    except DataError as problem:
        unknown = Quantity(math.nan, math.nan, math.nan)
        match = Match("density", unknown, unknown, False, f"Nothing can be compared. {problem}")
        return Gate(frames, frames[:0], (match,))


def sentences(found: Gate) -> list[str]:
    """What was compared, and where they differ what to type."""
    return [match.message for match in found.matches]


def judge(run: Run, data: Data) -> list[str]:
    """Save the figure of both; says, where they differ, that results are not to be trusted."""
    from zcdl_common import plots

    found = compare(data, run.config)
    if len(found.simulated):
        plots.save(plots.simulated_and_real(found), run.quality_control / "figures" / "likeness.png")
    differ = [match.message for match in found.matches if not match.ok]
    if not differ:
        return []
    return [f"Simulated frames are not like the real ones, so do not trust the results: {' '.join(differ)}"]

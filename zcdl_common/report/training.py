"""What the losses table says."""

from __future__ import annotations

import math

from zcdl_common.report.record import Record


def best_row(record: Record) -> tuple[str, dict[str, str]] | None:
    """Column that decides and the row whose weights are kept; None where the last epoch is.

    Rows whose score is missing or no number never win.
    """
    from zcdl_common.listeners import best_epoch
    from zcdl_common.network import Best

    rule = record.network.best if record.network else Best()
    rows = [{key: _number(row.get(key)) for key in (rule.key, "val_loss")} for row in record.losses]
    if not rule.key or all(math.isnan(row[rule.key]) for row in rows):
        return None
    return rule.key, record.losses[best_epoch(rows, rule)]


def _number(text: str | None) -> float:
    """NaN for what is no finite number."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan

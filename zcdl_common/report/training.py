"""What the losses table says."""

from __future__ import annotations

import math

from zcdl_common.report.record import Record


def best_row(record: Record) -> tuple[str, dict[str, str]] | None:
    """Column that decides and the row whose weights are kept; None where the last epoch is.

    Rows whose score is missing or no number never win.
    """
    from zcdl_common.network import Best

    rule = record.network.best if record.network else Best()
    rows = [row for row in record.losses if _is_number(row.get(rule.key))]
    if not rule.key or not rows:
        return None
    best, least = rows[0], float(rows[0][rule.key])
    for row in rows[1:]:
        if rule.better(float(row[rule.key]), least):
            best, least = row, float(row[rule.key])
    return rule.key, best


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False

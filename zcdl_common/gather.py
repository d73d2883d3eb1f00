"""A progress sheet for a teacher: every participant's judged runs, a row a run."""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zcdl_common.errors import DataError
from zcdl_common.files import replacing

COLUMNS = ("who", "run", "network", "images", "epochs", "score", "value", "classical", "verdict", "when")
SUMMARY = "quality_control/summary.json"


def gather(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What the runs below some folders reached.

    Parameters
    ----------
    folders : sequence of Path
        Each holds a folder a participant, whose name says who it is; runs lie anywhere below.

    Returns
    -------
    list of dict
        A row a run, in the order of names and times. Who, run, network, number of test images, epochs, name
        of the main score, its mean of the network and of the classical method (3 digits), verdict, and when
        the run began (time of that computer, to the minute). Empty text where something is not known; a
        summary that cannot be read has a row that says so.

    Raises
    ------
    DataError
        A folder does not exist, or no run below it was judged.
    """
    rows = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder}. Name the one that holds a folder a participant.")
        found = sorted(folder.rglob(SUMMARY))
        if not found:
            raise DataError(
                f"No judged run lies below {folder}: a run has a {SUMMARY} once section 6 of its notebook "
                "was run. Put a folder a participant there, with the zcdl_runs of that person in it."
            )
        rows += [_row(path, folder) for path in found]
    return sorted(rows, key=lambda row: (row["who"].lower(), row["when"]))


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the sheet as CSV; spreadsheet programs read names in any script."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def _row(path: Path, folder: Path) -> dict[str, Any]:
    run = path.parents[1]
    inside = run.relative_to(folder).parts
    # a run right in the folder: the folder itself is the participant's
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row["who"] = inside[0] if len(inside) > 1 else folder.resolve().name
    row["run"] = run.resolve().name
    row["when"] = _when(run)
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        primary = summary["primary"]
        row |= {"network": summary["network"], "images": summary["n_images"], "epochs": summary["epochs"]}
        if primary:
            means = summary["metrics"][primary]
            row |= {
                "score": primary,
                "value": _mean(means["network"]),
                "classical": _mean(means["classical"]),
            }
        row["verdict"] = summary["verdict"] or "no verdict"
    except (OSError, ValueError, KeyError, TypeError):
        row["verdict"] = "cannot be read"
    return row


def _when(run: Path) -> str:
    """When it began, as it says itself: times of files change as they are copied."""
    try:
        text = (run / "environment.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    said = re.search(r"^date: *(.+)$", text, re.M)
    changed = datetime.datetime.fromtimestamp((run / SUMMARY).stat().st_mtime)
    return said[1].strip() if said else f"{changed:%Y-%m-%d %H:%M}"


def _mean(score: dict[str, float | None] | None) -> float | str:
    mean = score["mean"] if score else None
    return "" if mean is None else round(mean, 3)

"""Open a package as another program would: `bioimageio.core`, in a process of its own.

``python -m zcdl_common.export.check package.zip`` prints a row for each weight format.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zcdl_common.errors import ExportError

TIMEOUT = 1800
"""Seconds after which a test counts as failed; it takes some for a small network."""

_HARMLESS = ("all elements agree", "github_user", "Missing tags from bioimage.io categories")


class Check(NamedTuple):
    """Test of one weight format."""

    format: str
    passed: bool
    tolerance: str
    """By how much the output may differ from the test output."""
    seconds: float
    reason: str
    """Why it failed; empty where it passed."""


class Result(NamedTuple):
    """Test of a package."""

    checks: list[Check]
    completeness: float
    warnings: list[str]


def verify(path: Path, formats: Sequence[str] = ()) -> Result:
    """Run `bioimageio.core`'s own test on every weight format.

    Parameters
    ----------
    path
        Zip file of a package.
    formats
        Weight formats to test; empty: all.

    Raises
    ------
    ExportError
        The package is invalid, or a format fails: which, and why.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "zcdl_common.export.check",
            str(path.resolve()),
            *formats,
            "--json",
            str(report),
        ]
        try:
            done = subprocess.run(
                command, env=_environment(folder), cwd=folder, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise ExportError(
                f"The test of {path.name} did not end within {TIMEOUT // 60} minutes."
            ) from None
        if not report.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ExportError(f"The test of {path.name} broke off: {lines[-1]}")
        found = json.loads(report.read_text())
    if found["invalid"]:
        raise ExportError(
            "The description is not valid for the BioImage Model Zoo:\n"
            + "\n".join(f"  - {line}" for line in found["invalid"])
        )
    checks = [Check(**row) for row in found["checks"]]
    if failed := [row for row in checks if not row.passed]:
        raise ExportError(
            "The package gives other results elsewhere:\n"
            + "\n".join(f"  - {row.format} (tolerance {row.tolerance}): {row.reason}" for row in failed)
        )
    return Result(checks, found["completeness"], found["warnings"])


def _environment(folder: str) -> dict[str, str]:
    """Environment of somebody else: no legacy Keras, no GPU, an empty cache."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return environment | {
        "CI": "1",
        "BIOIMAGEIO_CACHE_PATH": folder,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def run(path: Path, formats: Sequence[str] = ()) -> dict[str, Any]:
    """The test itself, in this process: ``invalid``, ``checks``, ``completeness``, ``warnings``."""
    from bioimageio import core
    from bioimageio.spec import InvalidDescr, load_description
    from loguru import logger

    logger.remove()
    model: Any = load_description(path)
    summary = model.validation_summary
    test: Any = core.test_model
    if isinstance(model, InvalidDescr):
        lines = [f"{_place(e.loc)}: {_short(e.msg)}" for detail in summary.details for e in detail.errors]
        return {"invalid": lines, "checks": [], "completeness": 0.0, "warnings": []}
    rows = []
    for name in formats or list(model.weights.available_formats):
        start = time.perf_counter()
        if name not in model.weights.available_formats:
            rows.append(Check(name, False, "-", 0.0, "the package does not hold this format"))
            continue
        test(model, weight_format=name, devices=["cpu"])
        own = [detail for detail in summary.details if detail.loc == ("weights", name)]
        errors = [_short(e.msg) for detail in own for e in detail.errors]
        failed = [detail.name for detail in own if detail.status == "failed"]
        reason = "; ".join(errors[:2]) or "; ".join(failed) or ("" if own else "nothing was tested")
        rows.append(
            Check(name, not reason, _tolerance(model, name), round(time.perf_counter() - start, 1), reason)
        )
    warnings = [f"{_place(w.loc)}: {_short(w.msg)}" for detail in summary.details for w in detail.warnings]
    return {
        "invalid": [],
        "checks": [row._asdict() for row in rows],
        "completeness": summary.metadata_completeness,
        "warnings": [w for w in dict.fromkeys(warnings) if not any(text in w for text in _HARMLESS)],
    }


def _tolerance(model: Any, name: str) -> str:
    from bioimageio.spec.model.v0_5 import ReproducibilityTolerance

    stated = [
        t
        for t in model.config.bioimageio.reproducibility_tolerance
        if not t.weights_formats or name in t.weights_formats
    ]
    tolerance = stated[0] if stated else ReproducibilityTolerance()
    share, rest = 100 * tolerance.relative_tolerance, tolerance.absolute_tolerance
    return f"{share:g} % of an output value, plus {rest:g} in its units"


def _place(loc: Sequence[Any]) -> str:
    return ".".join(str(part) for part in loc) or "package"


def _short(text: str) -> str:
    """The first lines of a message, on one line."""
    return " ".join(text.split())[:400]


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it as JSON where ``--json FILE`` asks for it."""
    names = list(arguments)
    target = Path(names.pop(names.index("--json") + 1)) if "--json" in names else None
    path, *formats = [name for name in names if name != "--json"]
    found = run(Path(path), formats)
    if target:
        target.write_text(json.dumps(found))
    for line in found["invalid"]:
        print(f"invalid  {line}")
    for row in found["checks"]:
        print(
            f"{'passed' if row['passed'] else 'FAILED'}  {row['format']}  {row['tolerance']}  {row['reason']}"
        )
    return int(bool(found["invalid"]) or not all(row["passed"] for row in found["checks"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

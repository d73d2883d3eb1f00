"""Which program opens what these notebooks export: a table in docs/compatibility.md, every cell a run.

    .venv/bin/python tools/compatibility.py
    .venv/bin/python tools/compatibility.py zcdl_runs/demo/export/demo.zip

Without packages, a tiny training of every network and dimension (those of the contract tests) is exported
to ``zcdl_runs/compatibility`` first; then the page is written, and its summary in the README. What is there
already, a package or an answer, is kept: a run that broke off goes on, and ``--networks unet care`` does a
part. With packages, the page of these is printed.

It runs on Linux. deepImageJ's engines need Python 3.10 and 3.7, and its torch, 2.0.0, is a download of 2 GB
unless uv's own variables, such as ``UV_EXTRA_INDEX_URL``, name an index of CPU builds; ``--torch`` names
another version.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from readers import ALL, ENGINE, Said, Table, ask, formats_of, judge, readers

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.export import rules

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from cases import CASES, FORMATS  # noqa: E402

PAGE, README = ROOT / "docs" / "compatibility.md", ROOT / "README.md"
MADE = ROOT / "zcdl_runs" / "compatibility"
COMMAND = ".venv/bin/python tools/compatibility.py"
MARKS = ("<!-- begin of tools/compatibility.py -->\n", "<!-- end of tools/compatibility.py -->")
"""What stands between them in the README is written by this tool."""
INTRODUCTION = (
    "Tiny trainings of every network, one for 2D and one for 3D where it does both, exported and then opened "
    "by each reader in an environment of its own, made for this, which holds nothing of this project."
)
LEGEND = (
    "**pass**: opened and run, and the output is the package's own test output within its tolerance; for a "
    "description or a rule, nothing stops it. **-**: this reader is for other weights. "
    "**no**, **not run**: the number is that of the reason below."
)
ENGINE_NOTE = (
    f"deepImageJ runs TorchScript on torch {ENGINE}. No CPU build of that was at hand, so the column of "
    "TorchScript says nothing about it."
)


def wanted() -> list[tuple[str, str]]:
    """Every network and dimension, as the contract tests train them: 2D first."""
    pairs = [(name, dimension) for name in networks.NETWORKS for dimension in CASES[name]]
    return sorted(pairs, key=lambda pair: pair[1])


def place(name: str, dimension: str) -> Path:
    """Where the package of a network lies."""
    return MADE / f"{name}-{dimension}.zip"


def make(name: str, dimension: str) -> Path:
    """The package of a tiny training; made where it is not there yet."""
    package = place(name, dimension)
    if not package.exists():
        network = networks.get(name)
        own = {"epochs": 1, "name": package.stem, "results": str(MADE / "runs")}
        config = network.Config.parse({**CASES[name][dimension], **own, "authors": ("Ada Example",)})
        data = open_data(config, network)
        run = session.begin(session.prepare(network, config, data))
        session.train(run, data, say=lambda text: None)
        session.export(run, say=lambda text: None).path.replace(package)
        print(f"made {package.name}", file=sys.stderr, flush=True)
    return package


def page(rows: Iterable[tuple[str, str]], said: Said, packages: Sequence[Path], torch: str) -> str:
    """The whole page in Markdown; `rows` are names of packages and a format of each."""
    known, table = readers(torch), judge(said, torch)
    reasons: dict[str, int] = {}

    def show(name: str, package: str, format: str) -> str:
        if format not in known[name].formats:
            return "-"
        cell = table.get((name, package, format))
        if cell is None or cell.passed:
            return "pass" if cell else "not run"
        note = f"{known[name].program}: {cell.note or 'no reason given'}"
        word = "not run" if cell.passed is None else "no"
        return f"{word} ({reasons.setdefault(note, len(reasons) + 1)})"

    lines = [
        [*package.rsplit("-", 1), format, *(show(name, package, format) for name in known)]
        for package, format in rows
    ]
    limits = defaultdict(list)
    for package in packages:
        for warning in rules.check(package)[1]:
            limits[warning].append(package.stem)
    filled = [
        [package, row["completeness"]]
        for (name, package), line in said.items()
        if name == "zoo" and not isinstance(line, str)
        for row in line["rows"]
        if "completeness" in row
    ]
    holds = {name: line["holds"] for (name, _), line in said.items() if not isinstance(line, str)}
    made = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "tensorflow-cpu", "tf2onnx"))
    parts = [
        "# Which program opens which package",
        f"Written on {datetime.now(UTC):%Y-%m-%d} by",
        f"```bash\n{COMMAND}{'' if torch == ENGINE else f' --torch {torch}'}\n```",
        f"{INTRODUCTION} Exported with Python {sys.version.split()[0]}, {made}.",
        markdown(["network", "dimension", "weights", *(r.program for r in known.values())], lines),
        f"{LEGEND} {sum(cell.startswith('not run') for row in lines for cell in row)} cells are not run yet.",
        ENGINE_NOTE if torch != ENGINE else "",
        "## Why not",
        "\n".join(f"{n}. {reason}" for reason, n in reasons.items()) or "Nothing failed.",
        "## What limits a package that opens",
        "\n".join(f"- {text} ({', '.join(names)})" for text, names in limits.items()) or "Nothing.",
        "## What was in each environment",
        markdown(["reader", "held"], [[r.program, holds.get(n, "not run")] for n, r in known.items()]),
        "## How complete the description is",
        "As `bioimageio.core` counts it; 1 is everything. Quality control, which adds scores, was not run "
        "for these tiny trainings.",
        markdown(["package", "completeness"], filled),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def summary(table: Table, torch: str) -> str:
    """How many packages each reader opens, by format."""
    rows = []
    for name, reader in readers(torch).items():
        row = [reader.program]
        for format in ALL:
            found = [cell.passed for (who, _, what), cell in table.items() if (who, what) == (name, format)]
            run = [passed for passed in found if passed is not None]
            told = f"{sum(run)} of {len(run)}" if run else "not run"
            row.append(told if format in reader.formats else "-")
        rows.append(row)
    return markdown(["packages that pass, of those opened by", *ALL], rows)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or print that of the packages that are named; 1 where something could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", type=Path, metavar="PACKAGE.zip")
    parser.add_argument("--networks", nargs="+", choices=networks.NETWORKS, default=list(networks.NETWORKS))
    parser.add_argument("--only", nargs="+", choices=readers(ENGINE), default=list(readers(ENGINE)))
    parser.add_argument("--torch", default=ENGINE, help="version of torch that reads TorchScript alone")
    parser.add_argument("--known", action="store_true", help="write what earlier runs found; run nothing")
    options = parser.parse_args(arguments)
    if options.packages:
        packages, rows = options.packages, [(p.stem, f) for p in options.packages for f in formats_of(p)]
    else:
        pairs = [pair for pair in wanted() if pair[0] in options.networks]
        packages = [make(*pair) for pair in pairs if not options.known or place(*pair).exists()]
        rows = [(f"{n}-{d}", f) for n, d in wanted() for f in FORMATS[networks.get(n).backend]]
    said: Said = {}
    for name, reader in readers(options.torch).items():
        if name in options.only:
            said |= ask(name, reader, packages, MADE / "answers.json", not options.known)
    text = page(rows, said, packages, options.torch)
    if options.packages:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
        before, _, after = re.split("|".join(MARKS), README.read_text(encoding="utf-8"))
        table = MARKS[0] + summary(judge(said, options.torch), options.torch) + "\n" + MARKS[1]
        README.write_text(before + table + after, encoding="utf-8")
    return int(any(isinstance(line, str) for line in said.values()))


if __name__ == "__main__":
    sys.exit(main())

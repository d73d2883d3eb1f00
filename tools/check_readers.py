"""Open exported packages with the readers that people have: the zoo's, ilastik's, deepImageJ's engines.

    .venv/bin/python tools/check_readers.py zcdl_runs/demo/export/demo.zip

Every reader gets an environment of its own, made and thrown away by uv, which holds the reader and its
backend and nothing of this project; `open_package.py` runs in it. The old engines need Python 3.10, and
torch 2.0.0 is a download of 2 GB: ``--only`` names the readers that matter. For CPU builds of torch set
uv's own variables, such as ``UV_EXTRA_INDEX_URL`` or ``UV_FIND_LINKS``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROBE = Path(__file__).with_name("open_package.py")


class Reader(NamedTuple):
    """The packages that read for a program, and what `open_package.py` does with them."""

    program: str
    way: str
    python: str
    packages: tuple[str, ...]


BACKENDS = ("torch==2.13.0", "onnxruntime", "pydantic<2.14")
BARE = ("numpy<2", "pyyaml")
READERS = {
    "zoo": Reader("BioImage Model Zoo", "core", "3.11", ("bioimageio.core==0.11.0", *BACKENDS)),
    # the pins of ilastik's tiktorch 26.5
    "ilastik": Reader(
        "ilastik", "core", "3.11", ("bioimageio.core==0.10.2", "bioimageio.spec==0.5.9.1", *BACKENDS)
    ),
    "spec": Reader("oldest reader", "spec", "3.11", ("bioimageio.spec==0.5.3.6", "pydantic<2.14")),
    # the engines of JDLL 0.6, which deepImageJ 3.1 takes for every newer version too
    "onnx": Reader("deepImageJ, ONNX", "onnx", "3.10", ("onnxruntime==1.13.1", *BARE)),
    "torch": Reader("deepImageJ, TorchScript", "torchscript", "3.10", ("torch==2.0.0", *BARE)),
}


def read(reader: Reader, package: Path) -> Iterator[dict[str, str]]:
    """Rows of the table for one reader and one package."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "uv", "run", "--quiet", "--isolated", "--no-project"),
            *("--python", reader.python, *(f"--with={name}" for name in reader.packages)),
            *("python", "-I", str(PROBE), reader.way, str(package.resolve())),
        ]
        own = {"BIOIMAGEIO_CACHE_PATH": folder, "CI": "1", "CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True)
    first = {"program": reader.program, "package": package.stem}
    if done.returncode:
        note = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield first | {"format": "-", "result": "FAILED", "holds": ", ".join(reader.packages), "note": note}
        return
    found = json.loads(done.stdout.splitlines()[-1])
    for row in found["rows"]:
        yield first | {"holds": found["holds"]} | row


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each package, reader and weight format; 1 where one does not pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE.zip")
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS), metavar="READER")
    options = parser.parse_args(arguments)
    columns = ("program", "package", "format", "result", "note", "holds")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    passed = True
    for package in options.packages:
        for name in options.only:
            for row in read(READERS[name], package):
                print("| " + " | ".join(row[column] for column in columns) + " |", flush=True)
                passed &= row["result"] == "passed"
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())

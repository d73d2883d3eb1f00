"""The programs that open a package, each in an environment of its own.

uv makes every environment and throws it away; it holds a reader and its backend and nothing of this
project, and `open_package.py` runs in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from zcdl_common.export import rules, weight_rules
from zcdl_common.export.guide import qupath_stops

PROBE = Path(__file__).with_name("open_package.py")
ALL = ("pytorch_state_dict", "torchscript", "onnx", "keras_hdf5", "tensorflow_saved_model_bundle")
ENGINE = "2.0.0"
"""deepImageJ's torch, also for every newer 2.x."""


class Reader(NamedTuple):
    """A program, what `open_package.py` does in its place, and the packages that read for it."""

    program: str
    way: str
    formats: tuple[str, ...]
    python: str = ""
    packages: tuple[str, ...] = ()


class Cell(NamedTuple):
    """What a reader made of the weights of one format."""

    passed: bool | None
    """None: nothing was run."""
    note: str


Said = dict[tuple[str, str], dict[str, Any] | str]
"""(reader, package) -> what `open_package.py` prints of it, or why nothing was run."""
Table = dict[tuple[str, str, str], Cell]
"""(reader, package, format) -> what came of it; what a reader does not take is not in it."""


BACKENDS = ("torch==2.13.0", "onnxruntime==1.31.1", "pydantic<2.14")
KERAS = ("tensorflow-cpu==2.21.0",)
BARE = ("numpy<2", "pyyaml")
OLDEST = ("tensorflow-cpu==1.15.0", "protobuf<3.21", "numpy<1.19", "pyyaml")


def readers(torch: str) -> dict[str, Reader]:
    """The readers by name; those without packages are rules, applied here."""
    return {
        "zoo": Reader(
            "BioImage Model Zoo: bioimageio.core 0.11.0",
            *("core", ALL, "3.11", ("bioimageio.core==0.11.0", *BACKENDS, *KERAS)),
        ),
        "older": Reader(
            "an older bioimageio.core: 0.9.6",
            *("core", ALL, "3.11", ("bioimageio.core==0.9.6", *BACKENDS, *KERAS)),
        ),
        # the pins of ilastik's tiktorch 26.5, which no longer takes TensorFlow
        "ilastik": Reader(
            "ilastik: bioimageio.core 0.10.2",
            *("core", ALL, "3.11", ("bioimageio.core==0.10.2", "bioimageio.spec==0.5.9.1", *BACKENDS)),
        ),
        "spec": Reader(
            "the oldest description: bioimageio.spec 0.5.3.6",
            *("spec", ALL, "3.11", ("bioimageio.spec==0.5.3.6", "pydantic<2.14")),
        ),
        "deepimagej": Reader("deepImageJ, its rules", "rules", tuple(weight_rules.READERS)),
        "qupath": Reader("QuPath, its rules", "rules", ("torchscript",)),
        # the engines of JDLL 0.6, which deepImageJ 3.1 takes for every newer version too
        "onnx": Reader(
            "deepImageJ's ONNX Runtime: 1.13.1",
            *("onnx", ("onnx",), "3.10", ("onnxruntime==1.13.1", *BARE)),
        ),
        "torch": Reader(
            f"TorchScript alone: torch {torch}",
            *("torchscript", ("torchscript",), "3.11", (f"torch=={torch}", *BARE)),
        ),
        "tensorflow": Reader(
            "the TensorFlow of Fiji's plugins: 1.15.0",
            *("saved_model", ("tensorflow_saved_model_bundle",), "3.7", OLDEST),
        ),
    }


def ask(name: str, reader: Reader, packages: Sequence[Path], answers: Path, run: bool = True) -> Said:
    """What a reader says of each package; what the file `answers` knows is not asked again.

    Without `run` nothing is asked: what is not known is left out.
    """
    if reader.way == "rules":
        return {
            (name, package.stem): {
                "holds": "the rules of this project",
                "rows": list(by_rules(name, package)),
            }
            for package in packages
        }
    probe = PROBE.read_bytes()
    keys = {
        package.resolve(): hashlib.sha256(package.read_bytes() + probe + repr(reader).encode()).hexdigest()
        for package in packages
    }
    known, why = _known(answers), "the reader did not come to it"
    try:
        for line in _open(reader, [package for package in keys if run and keys[package] not in known]):
            known = _known(answers) | {keys[Path(line["package"])]: line}
            answers.parent.mkdir(parents=True, exist_ok=True)
            answers.write_text(json.dumps(known))
            print(f"{reader.program}: {line['package']}", file=sys.stderr, flush=True)
    except RuntimeError as error:
        why = str(error)
    said = {(name, package.stem): known.get(key, why) for package, key in keys.items()}
    return said if run else {key: line for key, line in said.items() if not isinstance(line, str)}


def _known(answers: Path) -> dict[str, Any]:
    return dict(json.loads(answers.read_text())) if answers.exists() else {}


def _open(reader: Reader, packages: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Run `open_package.py` in an environment of its own; RuntimeError tells the error that ended it."""
    if not packages:
        return
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [
            *(sys.executable, "-m", "uv", "run", "--quiet", "--isolated", "--no-project"),
            *("--python", reader.python, *(f"--with={name}" for name in reader.packages)),
            *("python", "-I", str(PROBE), reader.way, *map(str, packages)),
        ]
        own = {"BIOIMAGEIO_CACHE_PATH": folder, "CI": "1", "CUDA_VISIBLE_DEVICES": "-1"}
        own |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        bare = {k: v for k, v in os.environ.items() if k not in ("TF_USE_LEGACY_KERAS", "PYTHONPATH")}
        with subprocess.Popen(
            command, cwd=folder, env=bare | own, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            yield from (json.loads(text) for text in process.stdout or () if text.startswith('{"package"'))
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
    if process.returncode:
        raise RuntimeError(last or f"exit code {process.returncode}")


def by_rules(name: str, package: Path) -> Iterator[dict[str, str]]:
    """What deepImageJ's or QuPath's rules say of each weight format."""
    errors, _ = rules.check(package)
    record = _record(package)
    space = sum(axis["type"] == "space" for axis in record["inputs"][0]["axes"])
    for format in formats_of(package):
        stops = qupath_stops(space, len(record["outputs"]), [format]) if name == "qupath" else ""
        note = " ".join(errors) or stops
        yield {"format": format, "result": "FAILED" if note else "passed", "note": note}


def formats_of(package: Path) -> list[str]:
    """Weight formats in a package, always in the same order."""
    return [format for format in ALL if format in _record(package)["weights"]]


def _record(package: Path) -> dict[str, Any]:
    with zipfile.ZipFile(package) as archive:
        return dict(yaml.safe_load(archive.read("rdf.yaml")))


def judge(said: Said, torch: str) -> Table:
    """A cell for each format that the readers were asked for."""
    table: Table = {}
    for (name, package), line in said.items():
        if isinstance(line, str):
            table |= {(name, package, format): Cell(None, line) for format in readers(torch)[name].formats}
            continue
        for row in line["rows"]:
            passed, named = row["result"] == "passed", (row["format"],)
            if row["format"] == "rdf.yaml":  # refused, or all that was read: it stands for every format
                named = ALL if not passed or readers(torch)[name].way == "spec" else ()
            table |= {(name, package, format): Cell(passed, row["note"]) for format in named}
    return table

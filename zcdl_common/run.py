"""The run folder: everything about one training, readable long after the kernel is gone."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from zcdl_common import checkpoint, networks
from zcdl_common.config import Config, read_params
from zcdl_common.data import Data
from zcdl_common.environment import environment
from zcdl_common.errors import RunError
from zcdl_common.files import digest, write_text
from zcdl_common.fit import History
from zcdl_common.network import BACK, Model, Network
from zcdl_common.task import Array, Facts, Sample

COLUMNS = ("name", "file", "target", "sha256", "target_sha256", "role", "shape", "dtype", "pixel_size",
           "domain")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training: its folder, parameters and facts."""

    folder: Path
    network: Network
    config: Config
    facts: Facts
    reasons: Mapping[str, str]
    split_note: str = ""
    example: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    @property
    def quality_control(self) -> Path:
        """Each direction has a folder of its own: they are judged on other images, against other ones."""
        return self.folder / "quality_control" / (BACK if self.facts.domain == "target" else "")

    @cached_property
    def scaling(self) -> Any:
        """How images become network input."""
        return self.network.scale(self.facts)

    def learned_source(self, sample: Sample) -> Array:
        """The image of a sample as the network learns it, in the scale of its domain."""
        if sample.domain == self.facts.domain or self.network.target_scale is None:
            return self.scaling(sample.source.read())  # type: ignore[no-any-return]
        return self.network.target_scale(self.facts)(sample.source.read())

    def learned_target(self, sample: Sample) -> Array:
        """The target of a sample as the network learns it."""
        target, scale = self.network.task.read_target(sample, self.facts), self.network.target_scale
        return target if scale is None else scale(self.facts)(target)

    def build(self) -> Model:
        """The untrained network."""
        return self.network.build(self.config, self.facts)

    def load(self, which: str | None = None) -> Model:
        """The trained network.

        Raises
        ------
        RunError
            There are no weights yet.
        """
        wanted = which or self.config.weights
        if not list(self.weights.glob(f"{wanted}*")):
            raise RunError(
                f"There are no trained weights in {self.folder}. Run section 5 (Train) first, or name "
                "another finished run under 'model'."
            )
        model = self.build()
        model.load(self.weights, "best" if wanted == "best" else "last")
        return model

    def history(self) -> History:
        """The losses table; empty before the first epoch."""
        path = self.folder / "losses.csv"
        if not path.exists():
            return []
        with path.open(newline="") as stream:
            return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(stream)]

    def settings(self) -> dict[str, Any]:
        """Decoding settings chosen on validation images; the user's own come first."""
        path = self.quality_control / "settings.json"
        chosen = json.loads(path.read_text()) if path.exists() else {}
        own = {name: getattr(self.config, name, None) for name in self.network.task.decoding}
        given = {name: value for name, value in own.items() if value is not None}
        return {**self.network.task.decoding, **chosen, **given}

    def files(self) -> list[dict[str, str]]:
        """Rows of data.csv.

        Raises
        ------
        RunError
            The run was unpacked from a package, which holds no images.
        """
        path = self.folder / "data.csv"
        if not path.exists():
            raise RunError(
                f"{self.folder} was unpacked from a package and does not know the images it was trained on. "
                "Section 7 works with it: name your images under predict_source. To judge or export it, set "
                "model to the run folder that it came from."
            )
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def using(self, **values: Any) -> Run:
        """The same run with other values of parameters that do not identify it."""
        config, facing = self.config.changed(**values), self.network.facing
        return replace(self, config=config, facts=facing(config, self.facts) if facing else self.facts)


def create(
    folder: Path, network: Network, config: Config, facts: Facts, reasons: Mapping[str, str], data: Data
) -> Run:
    """Write what was chosen before the first step is done."""
    run = Run(folder, network, config, facts, dict(reasons), data.split.note, data.example)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"The results folder {folder.parent} cannot be used: {error.strerror or error}. Name another one "
            "under results, one that you may write to."
        ) from None
    write_text(folder / "environment.txt", environment(facts.device, network.backend))
    write_text(folder / "data.csv", data_table(data))
    write_plan(run)
    config.write(folder / "config.yaml")  # last: a folder with a config is a whole run
    return run


def write_plan(run: Run) -> None:
    """Facts, reasons and the split as plan.yaml."""
    record = {
        "facts": _plain(asdict(run.facts)),
        "reasons": dict(run.reasons),
        "split": run.split_note,
        "example": run.example,
    }
    write_text(run.folder / "plan.yaml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def open_run(folder: Path) -> Run:
    """Open a run folder of this or an older version.

    Raises
    ------
    RunError
        The folder is no run, or a part of one.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").exists():
        raise RunError(
            f"{folder} is no run folder: it has no config.yaml. Name a folder that section 5 (Train) made, "
            "for example zcdl_runs/my_run."
        )
    if not (folder / "plan.yaml").exists():
        raise RunError(
            f"{folder} lacks plan.yaml, so it is only a part of a run. Copy the whole folder again, or "
            "train anew."
        )
    params = read_params(folder / "config.yaml")
    name = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")).get("network", "")
    network = networks.get(name)
    plan = yaml.safe_load((folder / "plan.yaml").read_text(encoding="utf-8"))
    config = network.Config.parse(params)
    facts, reasons = facts_from(plan["facts"]), plan.get("reasons", {})
    run = Run(folder, network, config, facts, reasons, plan.get("split", ""), plan.get("example", ""))
    return run.using()


def facts_from(record: Mapping[str, Any]) -> Facts:
    """Facts as `write_plan` wrote them."""
    return Facts(**{k: _tuples(v) for k, v in record.items() if k in Facts.__dataclass_fields__})


def place(results: Path, name: str, network: Network, config: Config, data: Data) -> tuple[Path, Run | None]:
    """Folder of a run, and the run that is already there.

    Without a name the first free or matching ``<network>_<date>[_n]`` is taken.

    Raises
    ------
    RunError
        The name is in use for a training with other parameters or images.
    """
    base = name or f"{network.name}_{datetime.date.today():%Y-%m-%d}"
    if results.exists() and not results.is_dir():
        raise RunError(f"results = {results} is a file. Name a folder in which runs are kept.")
    n = 1
    while True:
        folder = results / (base if n == 1 else f"{base}_{n}")
        if not folder.exists() or not any(folder.iterdir()):
            return folder, None
        differs = _differences(folder, network, config, data)
        if not differs:
            return folder, open_run(folder)
        if name and checkpoint.never_trained(folder):  # an attempt that failed does not keep its name
            return folder, None
        if name:
            free = next(f"{base}_{i}" for i in range(2, 10_000) if not (results / f"{base}_{i}").exists())
            raise RunError(
                f"The name '{name}' is in use in {results}: {differs}. Nothing there was changed. "
                f"Use another name, for example name = {free}."
            )
        n += 1


def _differences(folder: Path, network: Network, config: Config, data: Data) -> str:
    if not (folder / "config.yaml").exists():
        return "that folder holds something else than a run"
    there = open_run(folder)
    if there.network.name != network.name:
        return f"it is a run of {there.network.name}"
    if names := [n for n in config.same_run(there.config) if n not in ("source", "target")]:
        return f"that run was trained with another {', '.join(names)}"
    if {(r["name"], r["role"], r["sha256"], r["target_sha256"]) for r in there.files()} != {
        (sample.name, role, *_digests(sample)) for sample, role in _roles(data)
    }:
        return "that run was trained on other images or targets"
    return ""


def changed_files(run: Run, data: Data) -> list[str]:
    """Names of images whose file, or whose target's, is not the one that `run` recorded."""
    known = {(row["name"], row["role"]): (row["sha256"], row["target_sha256"]) for row in run.files()}
    now = {(sample.name, role): _digests(sample) for sample, role in _roles(data)}
    return [name for (name, role), digests in now.items() if known.get((name, role), digests) != digests]


def _digests(sample: Sample) -> tuple[str, str]:
    """Of the image and of its target."""
    return digest(sample.source), digest(sample.target) if sample.target else ""


def _roles(data: Data) -> list[tuple[Sample, str]]:
    split, first = data.split, {sample.group: sample for sample in reversed(data.imitated)}
    movies = [(replace(sample, name=name), "imitated") for name, sample in reversed(first.items())]
    return movies + [
        (sample, role)
        for role, samples in (("train", split.train), ("validation", split.validation), ("test", split.test))
        for sample in samples
    ]


def data_table(data: Data) -> str:
    """data.csv: every file with its role and digest."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for sample, role in _roles(data):
        info = sample.source.info()  # type: ignore[attr-defined]
        size = " x ".join(f"{p:g}" for p in info.pixel_size) if info.pixel_size else ""
        shape = " x ".join(map(str, info.shape))
        known = [sample.name, sample.source.path, sample.target and sample.target.path, *_digests(sample)]
        table.writerow([*known, role, shape, info.dtype, size, sample.domain])
    return out.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value


def newest_runs(results: Path, network: str) -> Sequence[Path]:
    """Run folders of a network, the newest first."""
    found = [p.parent for p in results.glob("*/config.yaml") if (p.parent / "plan.yaml").exists()]
    own = [f for f in found if f"network: {network}" in (f / "config.yaml").read_text(encoding="utf-8")]
    return sorted(own, key=lambda f: (f / "config.yaml").stat().st_mtime, reverse=True)

"""Read a run folder for the report: whatever is there, and what could not be read."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zcdl_common.config import read_params
from zcdl_common.errors import RunError, UserError
from zcdl_common.network import Network
from zcdl_common.report import words

_COMPANION = re.compile("_(objects|RoiSet|trackmate|labels|probability|uncertainty|disagreement)$")
"""What the names of files that belong to a prediction end in."""

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Record:
    """What a run folder holds; a part that is missing or unreadable is empty."""

    folder: Path
    name: str
    """Of the network."""
    network: Network | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    data: Rows = field(default_factory=list)
    losses: Rows = field(default_factory=list)
    control: str = "quality_control"
    """Folder of the quality control, below the run folder."""
    metrics: Rows = field(default_factory=list)
    summary: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)
    predictions: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """Facts of the plan."""
        return _mapping(self.plan.get("facts"))

    @property
    def title(self) -> str:
        """The network as people call it."""
        return self.network.short_title if self.network else self.name or "Network"

    @property
    def n_tested(self) -> int:
        """Test images that were scored."""
        return int(self.summary.get("n_images") or len(self.metrics))

    @property
    def unit(self) -> str:
        """What the parts of the data set are: images, or strips of a single one."""
        return "strip" if "strips" in str(self.plan.get("split") or "") else "image"

    @property
    def tested_unit(self) -> str:
        """What was scored; beside a single training image there may be a folder of test images."""
        shared = {row.get("file") for row in self.role("train")} & {
            row.get("file") for row in self.role("test")
        }
        return self.unit if shared else "image"

    @property
    def predicted(self) -> dict[str, list[str]]:
        """Images that were predicted, each with the names of its files; an OME-Zarr folder is one file."""
        images: dict[str, list[str]] = {}
        for name in dict.fromkeys(re.sub(r"(\.zarr)/.*", r"\1", name) for name in self.predictions):
            folder, _, file = name.rpartition("/")
            stem = _COMPANION.sub("", re.sub(r"(\.ome)?\.\w+$", "", file))
            images.setdefault(f"{folder}/{stem}", []).append(file)
        return images

    @property
    def learned_from(self) -> bool:
        """Whether the scored images are some that the network learned from."""
        return bool(self.summary.get("learned_from"))

    @property
    def truth_known(self) -> bool:
        """Whether any scored image has a truth; without pairs or targets, test images alone may have one."""
        if self.network is None or (self.network.task.paired and self.network.task.needs_target):
            return True
        return bool({"psnr", "jaccard"} & set(self.summary.get("metrics") or {}))

    @property
    def tested(self) -> str:
        """How many of what were scored."""
        if self.learned_from:
            return f"{words.many(self.n_tested, self.unit)} that the network learned from"
        return words.many(self.n_tested, f"test {self.tested_unit}")

    def role(self, role: str) -> Rows:
        """Rows of data.csv with one role."""
        return [row for row in self.data if row.get("role") == role]


def how_many(rows: Rows) -> str:
    """Count rows of data.csv; "31 + 31" of source and target images where nothing is paired."""
    there = sum(row.get("domain") == "target" for row in rows)
    return f"{len(rows) - there} + {there}" if there else str(len(rows))


def read_record(folder: Path, network: Network | None = None, judged: Path | None = None) -> Record:
    """Read a run folder.

    Parameters
    ----------
    folder
        The run folder.
    network
        The network of the run; None: the one that config.yaml names, if it is known here.
    judged
        Folder of the quality control, below `folder`: each direction has one; None: ``quality_control``.

    Raises
    ------
    RunError
        The folder does not exist.
    """
    if not folder.is_dir():
        raise RunError(f"There is no run folder {folder}. Check the path, or run sections 1 to 3 first.")
    problems: list[str] = []

    def read(name: str, reader: Callable[[Path], Any], empty: Any) -> Any:
        path = folder / name
        if not path.is_file():
            return empty
        try:
            return reader(path)
        except (OSError, ValueError, KeyError, csv.Error, yaml.YAMLError, UserError) as error:
            problems.append(f"{name} ({type(error).__name__})")
            return empty

    config = read("config.yaml", _read_config, {})
    name = network.name if network else str(config.get("network", ""))
    judged = judged or folder / "quality_control"
    control = judged.relative_to(folder).as_posix()
    return Record(
        folder=folder,
        name=name,
        network=network or _find_network(name),
        config=config,
        plan=read("plan.yaml", _read_yaml, {}),
        environment=read("environment.txt", _read_environment, {}),
        data=read("data.csv", _read_csv, []),
        losses=read("losses.csv", _read_csv, []),
        control=control,
        metrics=read(f"{control}/metrics.csv", _read_csv, []),
        summary=read(f"{control}/summary.json", _read_json, {}),
        settings=read(f"{control}/settings.json", _read_json, {}),
        figures={path.stem: path for path in sorted(judged.glob("figures/*.png")) if path.name[0] != "."},
        predictions=_list(folder, "predictions"),
        exports=_list(folder, "export"),
        unreadable=tuple(problems),
    )


def _find_network(name: str) -> Network | None:
    from zcdl_common.networks import NETWORKS

    return NETWORKS.get(name)


def _list(folder: Path, part: str) -> tuple[str, ...]:
    """Files below a part of the run folder, hidden and temporary ones aside."""
    found = (path.relative_to(folder) for path in (folder / part).rglob("*") if path.is_file())
    return tuple(sorted(path.as_posix() for path in found if not path.name.startswith(".")))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    return _mapping(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))


def _read_config(path: Path) -> Mapping[str, Any]:
    return {"network": _read_yaml(path).get("network", ""), **read_params(path)}


def _read_json(path: Path) -> Mapping[str, Any]:
    return _mapping(json.loads(path.read_text(encoding="utf-8")))


def _read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as stream:
        return [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(stream)]


def _read_environment(path: Path) -> Mapping[str, str]:
    """Lines ``name: value``; ``name==version`` of a pip freeze is understood too."""
    lines = path.read_text(encoding="utf-8").replace("==", ":").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same safe loader, faster where libyaml is there: plans of large sets are long."""

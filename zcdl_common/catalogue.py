"""The entries of datasets.yaml: read, checked, found by name."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from zcdl_common.download import megabytes
from zcdl_common.errors import ConfigError
from zcdl_common.resources import resource
from zcdl_common.samples.layout import STRICT, Pick
from zcdl_common.samples.simulate import Simulation

ABOUT = ("title", "description", "networks", "note", "licence", "citation", "doi", "confidence")
"""Fields that describe a data set; none of its files depends on them."""
Picked = Annotated[Pick, BeforeValidator(lambda v: {"files": v} if isinstance(v, str) else v)]


@dataclass(frozen=True, config=STRICT)
class File:
    """A file to download."""

    url: Annotated[str, Field(pattern="^https?://")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: int | None = None

    @property
    def name(self) -> str:
        """Last part of the address."""
        return unquote(Path(urlsplit(self.url).path).name)


@dataclass(frozen=True, config=STRICT)
class Dataset:
    """One entry of datasets.yaml."""

    kind: Literal["download", "bundled", "simulated"]
    title: str
    description: str
    """One sentence: what is to be seen, and how much of it."""
    networks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the networks that it suits, the best suited first."""
    licence: str
    """SPDX name where there is one."""
    citation: str
    doi: str = ""
    note: str = ""
    """What a user has to know before drawing conclusions from it."""
    axes: str = ""
    """Axes of the files where they do not say."""
    pixel_size: tuple[float, ...] | None = None
    """(Z)YX in micrometres."""
    paired: bool = True
    """Whether source and target of one name show the same."""
    files: tuple[File, ...] = ()
    confidence: Literal["", "recorded", "corroborated", "computed"] = ""
    """Of the hashes: one maintained public source, several, or computed at a pinned commit."""
    package: str = ""
    folder: str = ""
    layout: dict[Literal["source", "target", "test_source", "test_target"], Picked] = Field(
        default_factory=dict
    )
    simulation: Simulation | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        by_kind: dict[str, dict[str, object]] = {
            "download": {"files": self.files, "layout": self.layout, "confidence": self.confidence},
            "bundled": {"package": self.package, "layout": self.layout},
            "simulated": {"simulation": self.simulation, "axes": self.axes, "pixel_size": self.pixel_size},
        }
        missing = [name for name, value in by_kind[self.kind].items() if not value]
        if missing:
            raise ValueError(f"a {self.kind} data set needs {', '.join(missing)}")
        if self.layout and "source" not in self.layout:
            raise ValueError("the layout needs a source")
        return self


@cache
def entries(file: Path | None = None) -> dict[str, Dataset]:
    """All data sets by name.

    Parameters
    ----------
    file : Path, optional
        Another list than the datasets.yaml of this package.

    Raises
    ------
    ConfigError
        The list does not hold what a data set needs; all mistakes are named.
    """
    path = file or resource("datasets.yaml")
    try:
        return TypeAdapter(dict[str, Dataset]).validate_python(
            yaml.safe_load(path.read_text(encoding="utf-8"))
        )
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"  - {'.'.join(str(p) for p in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise ConfigError(f"{path} has mistakes:\n" + "\n".join(lines)) from None


def find(name: str, file: Path | None = None) -> Dataset:
    """The data set of this name.

    Raises
    ------
    ConfigError
        There is none; close names and the whole list are shown.
    """
    known = entries(file)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise ConfigError(f"dataset = {name!r}: no such data set. {hint}Choose one of: {', '.join(known)}")
    return known[name]


def download_size(entry: Dataset) -> str:
    """Size of the download as people read it; empty where it is not known."""
    if entry.kind != "download":
        return "no download"
    sizes = [file.bytes for file in entry.files]
    known = sum(size or 0 for size in sizes)
    return "" if None in sizes else megabytes(known)

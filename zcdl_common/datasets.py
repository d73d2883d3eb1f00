"""The example data sets of datasets.yaml, as checked folders on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from zcdl_common.archives import is_archive, unpack
from zcdl_common.catalogue import ABOUT, Dataset, download_size, entries, find
from zcdl_common.download import ProgressLine, fetch
from zcdl_common.files import write_text
from zcdl_common.samples.bundled import package_folder
from zcdl_common.samples.layout import lay_out, unexpected
from zcdl_common.samples.simulate import simulate

__all__ = ["Dataset", "Folders", "default_cache", "entries", "find", "prepare", "table"]

ROLES = ("source", "target", "test_source", "test_target")


class Folders(NamedTuple):
    """A data set on disk, ready to be used like a user's folders; "" where there is none."""

    source: str
    target: str
    test_source: str
    test_target: str
    note: str
    licence: str
    citation: str


def default_cache() -> Path:
    """Where data sets are kept: $ZCDL_DATA, else the cache folder of this system."""
    if chosen := os.environ.get("ZCDL_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "zcdl" / "data"


def prepare(name: str, cache: Path | None = None, file: Path | None = None) -> Folders:
    """Fetch, copy or make a data set, once; later calls find it.

    Parameters
    ----------
    name : str
        Entry of datasets.yaml.
    cache : Path, optional
        Folder to keep it in; default: `default_cache`.
    file : Path, optional
        Another list than the datasets.yaml of this package.

    Returns
    -------
    Folders
        Absolute paths, and what is to be said about the data.

    Raises
    ------
    ConfigError
        There is no data set of this name.
    DataError
        It cannot be fetched, or is not what it should be.
    """
    entry = find(name, file)
    root = (cache or default_cache()).absolute()
    final = root / f"{name}-{_fingerprint(entry)}"
    if not _whole(final):
        temporary = root / f".{os.getpid()}.{final.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            (temporary / "source").mkdir(parents=True)
            _fill(entry, name, root, temporary)
            _sign(entry, temporary)
            _move(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    found = {role: str(final / role) if (final / role).is_dir() else "" for role in ROLES}
    return Folders(**found, note=entry.note, licence=entry.licence, citation=entry.citation)


def table(file: Path | None = None) -> list[dict[str, str]]:
    """A row a data set: name, kind, title, networks, size, licence, doi, description, note."""
    return [
        {
            "name": name,
            "kind": entry.kind,
            "title": entry.title,
            "networks": ", ".join(entry.networks),
            "size": download_size(entry),
            "licence": entry.licence,
            "doi": entry.doi,
            "description": entry.description,
            "note": entry.note,
        }
        for name, entry in entries(file).items()
    ]


def _fingerprint(entry: Dataset) -> str:
    """Changes with the content of an entry, not with its description.

    For simulated data it also changes with the code that makes them.
    """
    record = TypeAdapter(Dataset).dump_python(entry, mode="json")
    content = {key: value for key, value in record.items() if key not in ABOUT}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    if entry.kind == "simulated":
        for path in sorted(Path(__file__).with_name("samples").glob("*.py")):
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:8]


def _fill(entry: Dataset, name: str, root: Path, folder: Path) -> None:
    if entry.simulation is not None:
        assert entry.pixel_size is not None
        simulate(entry.simulation, folder, entry.axes, entry.pixel_size)
        return
    archive = folder / "archive"
    origin = package_folder(entry.package, entry.folder) if entry.package else archive
    for number, file in enumerate(entry.files):
        kept = fetch(
            file.url,
            file.sha256,
            file.bytes,
            root / "downloads" / file.sha256[:12] / file.name,
            ProgressLine(file.name),
        )
        if is_archive(kept):
            unpack(kept, archive / str(number))
        else:
            archive.mkdir(exist_ok=True)
            shutil.copyfile(kept, archive / file.name)
    names: dict[str, list[str]] = {
        role: lay_out(pick, origin, folder / role, name, entry.axes, entry.pixel_size)
        for role, pick in entry.layout.items()
    }
    shutil.rmtree(archive, ignore_errors=True)
    for source, target in (ROLES[:2], ROLES[2:]):
        if entry.paired and target in entry.layout:
            alone = set(names[source]) ^ set(names[target])
            if alone:
                raise unexpected(f"{len(alone)} files have no partner ({', '.join(sorted(alone)[:3])})")


def _sign(entry: Dataset, folder: Path) -> None:
    """Write what the data set is and which files belong to it; last of all, so it proves completeness."""
    files = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    about = {key: getattr(entry, key) for key in ABOUT}
    write_text(folder / "dataset.json", json.dumps(about | {"files": files}, indent=1, ensure_ascii=False))


def _whole(folder: Path) -> bool:
    """Whether every file that belongs to the data set is still there."""
    try:
        files: list[str] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["files"]
        return all((folder / name).is_file() for name in files)
    except (OSError, ValueError, KeyError):
        return False


def _move(temporary: Path, final: Path) -> None:
    """Put the finished folder in its place; one that is there already gets back what it lacks.

    Files that are still there stay: someone may have corrected a mask.
    """
    if not final.exists():
        try:
            os.replace(temporary, final)
            return
        except OSError:
            if not final.exists():
                raise  # else another process was faster
    for path in sorted(temporary.rglob("*")):
        place = final / path.relative_to(temporary)
        if path.is_file() and (path.name == "dataset.json" or not place.exists()):
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)

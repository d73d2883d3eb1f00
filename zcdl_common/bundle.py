"""An offline bundle for teaching: notebooks, wheels for every system, data, finished runs, checksums."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zcdl_common import datasets, wheels
from zcdl_common.download import megabytes
from zcdl_common.errors import ConfigError, RunError
from zcdl_common.files import sha256, write_text
from zcdl_common.resources import resource

KIT = Path(__file__).with_name("kit")


class Part(NamedTuple):
    """Something in the bundle."""

    name: str
    """Folder, relative to the bundle."""
    files: int
    bytes: int


class Bundle(NamedTuple):
    """What was made."""

    folder: Path
    parts: list[Part]
    missing: list[str]
    """Wheels that the package index does not have; where there are any, the bundle is not whole."""


def make(
    folder: Path,
    platforms: Sequence[str],
    pythons: Sequence[str] = (),
    notebooks: Sequence[str] = (),
    data: Sequence[str] = (),
    runs: Sequence[Path] = (),
    torch_index: str | None = None,
) -> Bundle:
    """Make a bundle, or bring one up to date; wheels that are there already are not fetched again.

    Parameters
    ----------
    folder : Path
        Where it goes: a new or empty folder, or an earlier bundle.
    platforms : sequence of str
        Names in `wheels.PLATFORMS`.
    pythons : sequence of str
        Versions such as ``"3.12"``; default: the one that runs here.
    notebooks : sequence of str
        Names of notebooks; default: all.
    data : sequence of str
        Data sets beside those that suit the notebooks and need no download.
    runs : sequence of Path
        Finished runs, for those who come late.
    torch_index : str, optional
        As in `wheels.collect`.

    Raises
    ------
    ConfigError
        A name is not known, or the folder holds something else.
    RunError
        A folder is no run, or two runs have one name.
    DataError
        Data or wheels cannot be fetched.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "START_HERE.txt").is_file():
        raise ConfigError(f"{folder} holds other files. Name a new folder: --out FOLDER")
    wanted = wheels.targets(platforms, pythons or [f"{sys.version_info.major}.{sys.version_info.minor}"])
    chosen = choose(notebooks)
    sets = suited(chosen, data)
    for run in runs:
        if not (run / "config.yaml").is_file() or not (run / "weights").is_dir():
            raise RunError(
                f"{run} is no finished run: it has no config.yaml or no weights. Name a run folder."
            )
    if len({run.resolve().name for run in runs}) < len(runs):
        raise RunError(
            "Two of the finished runs have the same name: one would cover the other. Rename a folder."
        )

    folder.mkdir(parents=True, exist_ok=True)
    _kit(folder, wanted)  # first of all: by START_HERE.txt an unfinished bundle is known and goes on
    for name in ("notebooks", "data", "runs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in chosen:
        _copy(path, folder / "notebooks" / path.relative_to(resource("notebooks")))
    for name in sets:
        kept = Path(datasets.prepare(name).source).parent
        shutil.copytree(kept, folder / "data" / kept.name)
    for run in runs:
        shutil.copytree(run, folder / "runs" / run.resolve().name)
    missing = _wheels(folder / "wheels", wanted, torch_index)
    _kit(folder, wanted)
    sign(folder)
    return Bundle(folder, parts(folder), missing)


def choose(names: Sequence[str]) -> list[Path]:
    """Notebooks of these names; all where none is named.

    Those in folders below (lessons) come along by the same names.

    Raises
    ------
    ConfigError
        There is no such notebook.
    """
    known = sorted(resource("notebooks").rglob("*.ipynb"))
    for name in names:
        if name not in {path.stem for path in known}:
            there = ", ".join(sorted({path.stem for path in known}))
            raise ConfigError(f"There is no notebook {name!r}. Choose from: {there}")
    return [path for path in known if not names or path.stem in names]


def suited(notebooks: Sequence[Path], more: Sequence[str]) -> list[str]:
    """Names of the data sets for some notebooks that need no download, and of those asked for.

    Raises
    ------
    ConfigError
        There is no such data set.
    """
    networks = {path.stem for path in notebooks}
    ready = [n for n, e in datasets.entries().items() if e.kind != "download" and networks & set(e.networks)]
    return [*ready, *(name for name in more if datasets.find(name) and name not in ready)]


def parts(folder: Path) -> list[Part]:
    """Every part with its size."""
    found = []
    for path in sorted([*folder.glob("wheels/*"), *(folder / n for n in ("notebooks", "data", "runs"))]):
        files = [p for p in path.rglob("*") if p.is_file()]
        if files:
            found.append(
                Part(path.relative_to(folder).as_posix(), len(files), sum(p.stat().st_size for p in files))
            )
    return found


def whole(bundle: Bundle) -> Part:
    """All parts together."""
    return Part("in all", sum(p.files for p in bundle.parts), sum(p.bytes for p in bundle.parts))


def sign(folder: Path) -> None:
    """Write SHA256SUMS, as `sha256sum --check` reads it too."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / "SHA256SUMS", "".join(lines))


def check(folder: Path, platforms: Sequence[str] = ()) -> bool:
    """Whether the bundle is whole, by its own check; what is wrong is printed."""
    return not subprocess.call([sys.executable, str(folder / "check.py"), *platforms])


def _wheels(folder: Path, wanted: Sequence[wheels.Target], torch_index: str | None) -> list[str]:
    missing = []
    needed: dict[Path, set[str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        built = wheels.build(resource("requirements").parent, Path(temporary))
        for target in wanted:
            place = folder / target.platform
            own = place / built.name
            _copy(built, own)
            print(
                f"{target}: fetching {len(wheels.locked(target)) + 1} packages and what torch needs",
                flush=True,
            )
            rows = wheels.collect(target, place, own, torch_index)
            lines = [
                f"{package}  # {file or 'MISSING: the package index has no wheel'}\n"
                for package, file in rows
            ]
            write_text(place / f"requirements-{target.python}.txt", "".join(lines))
            files = {file for _, file in rows if file}
            needed[place] = needed.get(place, set()) | files
            size = megabytes(sum((place / file).stat().st_size for file in files))
            print(f"{target}: {len(files)} wheels, {size}", flush=True)
            missing += [f"{package} for {target}" for package, file in rows if not file]
    for place, files in needed.items():  # of an earlier bundle
        for path in [*place.glob("*.whl"), *place.glob("requirements-*.txt")]:
            listed = {f"requirements-{target.python}.txt" for target in wanted}
            if path.name not in files | listed:
                path.unlink()
    for place in folder.iterdir():
        if place not in needed:
            shutil.rmtree(place)
    return missing


def _kit(folder: Path, wanted: Sequence[wheels.Target]) -> None:
    """Scripts and words; Windows gets the line ends that it needs."""
    lines = [f"{p.name:<16} {p.files:>5} files {megabytes(p.bytes):>10}" for p in parts(folder)]
    for path in sorted(KIT.glob("*.*")):
        text = path.read_text(encoding="utf-8").replace("@CONTENTS@", "\n".join(lines))
        text = text.replace("@PYTHONS@", ", ".join(sorted({target.python for target in wanted})))
        ends = "\r\n" if path.suffix in (".bat", ".txt") else "\n"
        (folder / path.name).write_text(text, encoding="utf-8", newline=ends)
    (folder / "install.sh").chmod(0o755)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)

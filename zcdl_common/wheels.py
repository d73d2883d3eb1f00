"""Wheels for computers other than this one: which they need, from where, and whether all were found."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import canonicalize_name, parse_wheel_filename

from zcdl_common.errors import ConfigError, DataError
from zcdl_common.resources import resource

LISTS = ("core.txt", "tensorflow.txt")
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
"""The usual index has torch for Linux with CUDA, which is several times larger."""
_MANYLINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]  # pip does not expand these itself


@dataclass(frozen=True)
class Platform:
    """What packages ask about a computer."""

    tags: tuple[str, ...]
    """Platform tags of wheels that run there, the best first."""
    os_name: str
    sys_platform: str
    platform_system: str
    platform_machine: str


PLATFORMS = {
    "windows": Platform(("win_amd64",), "nt", "win32", "Windows", "AMD64"),
    "macos": Platform(tuple(mac_platforms((14, 0), "arm64")), "posix", "darwin", "Darwin", "arm64"),
    "linux": Platform(
        (*_MANYLINUX, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
        "posix",
        "linux",
        "Linux",
        "x86_64",
    ),
}


@dataclass(frozen=True)
class Target:
    """A kind of computer and its version of Python, such as ``Target("windows", "3.12")``."""

    platform: str
    python: str

    def __str__(self) -> str:
        return f"{self.platform}, Python {self.python}"

    def tags(self) -> frozenset[Tag]:
        """Every tag that a wheel for this computer may carry."""
        major, minor = map(int, self.python.split("."))
        platforms = PLATFORMS[self.platform].tags
        of_cpython = cpython_tags((major, minor), platforms=platforms)
        of_any = compatible_tags((major, minor), f"cp{major}{minor}", platforms)
        return frozenset([*of_cpython, *of_any])

    def asks(self, requirement: Requirement) -> bool:
        """Whether a requirement holds on this computer, by its marker."""
        there = PLATFORMS[self.platform]
        environment = {
            "os_name": there.os_name,
            "sys_platform": there.sys_platform,
            "platform_system": there.platform_system,
            "platform_machine": there.platform_machine,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "extra": "",
        }
        return requirement.marker is None or requirement.marker.evaluate(environment)


def targets(platforms: Sequence[str], pythons: Sequence[str]) -> list[Target]:
    """Every platform with every version of Python.

    Raises
    ------
    ConfigError
        There is no such platform, or this package does not run on such a Python.
    """
    for name in platforms:
        if name not in PLATFORMS:
            raise ConfigError(f"platform {name!r} is not known. Choose from: {', '.join(PLATFORMS)}")
    for python in pythons:
        if python not in ("3.11", "3.12", "3.13"):
            raise ConfigError(f"Python {python} cannot be served. Choose from: 3.11, 3.12, 3.13")
    return [Target(platform, python) for platform in platforms for python in pythons]


def locked(target: Target) -> list[Requirement]:
    """What the locked lists want on this computer beside torch, in the order of names.

    Raises
    ------
    ConfigError
        The lists are not there: they belong to the repository, not to the installed package.
    """
    wanted = {}
    for name in LISTS:
        for requirement in _read(name):
            if target.asks(requirement):
                wanted[canonicalize_name(requirement.name)] = _plain(requirement)
    return [wanted[name] for name in sorted(wanted)]


def collect(target: Target, folder: Path, own: Path, torch_index: str | None = None) -> list[tuple[str, str]]:
    """Bring every wheel that this computer needs into `folder`.

    Parameters
    ----------
    target : Target
        The computer.
    folder : Path
        Where wheels go; those that lie there are not fetched again.
    own : Path
        Wheel of this project, in that folder.
    torch_index : str, optional
        Package index for torch; default: the one with CPU builds for Linux, else the usual one.

    Returns
    -------
    list of (str, str)
        ``("numpy==2.4.6", "numpy-2.4.6-...whl")`` a package; no file name where the index has no wheel.

    Raises
    ------
    DataError
        pip fails for another reason than a wheel that does not exist.
    """
    lock = locked(target)
    index = CPU_TORCH if torch_index is None and target.platform == "linux" else torch_index
    (torch,) = _read("torch.txt")
    found = {"torch": _fetch(torch, target, folder, ["--index-url", index] if index else [])}
    missing = _download([str(r) for r in lock], target, folder, [])
    for requirement in lock:
        there = None if str(requirement) in missing else wheel(requirement, target, folder)
        found[canonicalize_name(requirement.name)] = (str(requirement), there.name if there else "")
    # torch brings packages that depend on its build, so that no list can name them
    waiting = [found["torch"][1]]
    while waiting:
        name = waiting.pop()
        for requirement in _needs(folder / name, target) if name else ():
            if canonicalize_name(requirement.name) not in found:
                extra = ["--extra-index-url", index] if index else []
                got = _fetch(requirement, target, folder, extra)
                found[canonicalize_name(requirement.name)] = got
                waiting.append(got[1])
    version = parse_wheel_filename(own.name)[1]
    return [*(found[name] for name in sorted(found)), (f"zcdl-common=={version}", own.name)]


def wheel(requirement: Requirement, target: Target, folder: Path) -> Path | None:
    """The newest wheel in `folder` that meets a requirement and runs on this computer."""
    fitting = []
    for path in folder.glob("*.whl"):
        name, version, _, tags = parse_wheel_filename(path.name)
        same = name == canonicalize_name(requirement.name) and version in requirement.specifier
        if same and tags & target.tags():
            fitting.append((version, path))
    return max(fitting)[1] if fitting else None


def build(repository: Path, folder: Path) -> Path:
    """Wheel of this project.

    Raises
    ------
    DataError
        It cannot be built; pip's last words are told.
    """
    before = set(folder.glob("*.whl"))
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(repository))
    (made,) = set(folder.glob("*.whl")) - before
    return made


def _read(name: str) -> list[Requirement]:
    try:
        text = (resource("requirements") / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "The lists of packages are not here: a bundle is made in a copy of the repository, not from the "
            "installed package alone. Fetch it (git clone, or Download ZIP), then: make setup"
        ) from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def _plain(requirement: Requirement) -> Requirement:
    return Requirement(f"{requirement.name}{requirement.specifier}")


def _needs(path: Path, target: Target) -> Iterator[Requirement]:
    """What the wheel itself says that it needs on this computer."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        facts = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    for line in facts.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if target.asks(requirement):
            yield _plain(requirement)


def _fetch(requirement: Requirement, target: Target, folder: Path, options: list[str]) -> tuple[str, str]:
    there = wheel(requirement, target, folder)
    if there is None and not _download([str(requirement)], target, folder, options):
        there = wheel(requirement, target, folder)
    if there is None:
        return str(requirement), ""
    return f"{requirement.name}=={parse_wheel_filename(there.name)[1].public}", there.name


def _download(wanted: Sequence[str], target: Target, folder: Path, options: list[str]) -> list[str]:
    """Let pip fetch wheels for another computer; returns what its index does not have."""
    major, minor = target.python.split(".")
    there = ["--python-version", target.python, "--implementation", "cp", "--abi", f"cp{major}{minor}"]
    for tag in PLATFORMS[target.platform].tags:
        there += ["--platform", tag]
    left, missing = [w for w in wanted if wheel(Requirement(w), target, folder) is None], []
    while left:
        try:
            _pip(
                "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), *there, *options, *left
            )
            break
        except _NotThere as error:
            lost = [w for w in left if w == str(error)]
            if not lost:
                raise DataError(f"pip looked for {error}, which nobody asked for.") from None
            missing += lost
            left = [w for w in left if w not in lost]
    return missing


class _NotThere(Exception):
    """The index has no wheel for this requirement."""


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lost = re.search(r"No matching distribution found for (\S+)", done.stderr)
        if lost and arguments[0] == "download":
            raise _NotThere(lost[1])
        words = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise DataError(
            f"pip {arguments[0]} failed:\n{words}\nIs this computer online? The same command "
            "goes on where it ended."
        )

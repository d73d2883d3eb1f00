"""Find the files that a person means by a folder, a file or a zip."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from zcdl_common.errors import DataError
from zcdl_common.formats import EXTENSIONS, READ, is_image
from zcdl_common.parameter import clean_path

_DOUBLE = (".ome.tif", ".ome.tiff", ".ome.zarr", ".ome.btf")
_COMPANIONS = (".zip", ".roi", ".geojson", ".json", ".csv", ".xml", ".txt")
"""Files that go with images: annotations and tables."""


def stem(path: Path) -> str:
    """Name of a file without what says its format: ``img.ome.tif`` is ``img``."""
    for double in _DOUBLE:
        if path.name.lower().endswith(double):
            return path.name[: -len(double)]
    return path.stem if path.suffix.lower() in (*EXTENSIONS, *_COMPANIONS) else path.name


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key under which img2 comes before img10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p]


def split_folders(text: str) -> list[str]:
    """``"dapi; actin"`` as two folders; a name that holds a semicolon stays whole where it exists."""
    text = clean_path(text)
    if ";" not in text or Path(text).expanduser().exists():
        return [text]
    return [part for part in (clean_path(p) for p in text.split(";")) if part]


def find_files(text: str, parameter: str, also: Sequence[str] = ()) -> list[Path]:
    """Images in a folder or zip, or the single image that `text` names, in natural order.

    Parameters
    ----------
    text
        Path as typed or pasted. An OME-Zarr folder is one image. A zip is unpacked into the
        temporary folder.
    parameter
        Name of the parameter, for messages.
    also
        Further endings that count, such as ``(".zip", ".roi", ".geojson")`` for targets drawn as
        regions of interest.

    Raises
    ------
    DataError
        The path does not exist, holds no image, or is a zip that would write outside its folder.
    """
    path = _existing(text, parameter)
    if _counts(path, also) and not _archive_of_images(path, also):
        return [path]
    if path.is_file() and path.suffix.lower() == ".zip":
        path = _only_folder(unpack(path, _cache(path)))
    if path.is_file():
        raise DataError(
            f"{parameter} = {str(path)!r}: files ending in '{path.suffix}' cannot be read. "
            f"Readable are {READ}."
        )
    entries = sorted((p for p in path.iterdir() if not _ignored(p)), key=natural)
    found = [p for p in entries if _counts(p, also)]
    if not found:
        raise DataError(_nothing_in(path, parameter, entries))
    return found


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip into `folder`, which appears whole or not at all; done before: nothing to do.

    Raises
    ------
    DataError
        It is no zip, is damaged, leads out of its folder, holds links, or does not fit on the disk.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not _ignored(Path(m.filename))]
            for member in opened.infolist():
                _refuse_unsafe(archive, member)
            need, free = sum(m.file_size for m in members), shutil.disk_usage(folder.parent).free
            if need > free:
                raise DataError(
                    f"{archive} unpacks to {need / 1e9:.1f} GB, and {folder.parent} has {free / 1e9:.1f} GB "
                    "left. Make room, or unpack it yourself and name that folder."
                )
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                opened.extractall(Path(temporary) / "files", members)
                (Path(temporary) / "files").mkdir(exist_ok=True)
                (Path(temporary) / "files").replace(folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{archive} cannot be unpacked: {error}. Make the zip again, or copy it again."
        ) from None
    return folder


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename.replace("\\", "/")
    outside = ".." in PurePosixPath(name).parts or name.startswith("/") or PureWindowsPath(name).drive
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        what = "leads out of its folder" if outside else "is a link"
        raise DataError(
            f"{archive} was not unpacked: its entry {member.filename!r} {what}, which no zip of images "
            "needs. Make a new zip of the images alone."
        )


def _existing(text: str, parameter: str) -> Path:
    text = clean_path(text)
    if not text:
        raise DataError(f"{parameter} is empty. Write the path of the folder that holds the images.")
    path = Path(text).expanduser()
    if not path.exists() and "\\" in text:
        path = Path(text.replace("\\", "/")).expanduser()
    if path.exists():
        return path
    parent = next(p for p in (path.parent, *path.parent.parents, Path(".")) if p.exists())
    wanted = path.relative_to(parent).parts[0] if path.is_relative_to(parent) else path.name
    siblings = [p.name for p in parent.iterdir()] if parent.is_dir() else []
    close = difflib.get_close_matches(wanted, siblings, n=3, cutoff=0.6)
    listed = ", ".join(repr(name) for name in close)
    hint = f"did you mean {listed}?" if close else "check the spelling."
    raise DataError(
        f"{parameter} = {text!r} does not exist. In {parent.resolve()} there is no {wanted!r}; {hint}"
    )


def _ignored(path: Path) -> bool:
    return (
        path.name.startswith((".", "~"))
        or path.name in ("Thumbs.db", "desktop.ini")
        or "__MACOSX" in path.parts
    )


def _counts(path: Path, also: Sequence[str]) -> bool:
    return is_image(path) or (path.is_file() and path.suffix.lower() in also)


def _archive_of_images(path: Path, also: Sequence[str]) -> bool:
    """A zip named as target may hold regions of interest or the target images themselves."""
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as opened:
        return not any(name.lower().endswith(".roi") for name in opened.namelist())


def _cache(archive: Path) -> Path:
    facts = archive.stat()
    mark = hashlib.sha256(f"{archive.resolve()}|{facts.st_size}|{facts.st_mtime_ns}".encode()).hexdigest()[
        :16
    ]
    # each user has an own folder: on a shared computer another's cannot be written to
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"zcdl_unpacked_{user}" / mark / archive.stem


def _only_folder(folder: Path) -> Path:
    """Zips of a folder hold that folder, not its files."""
    entries = [p for p in folder.iterdir() if not _ignored(p)]
    if len(entries) == 1 and entries[0].is_dir() and not is_image(entries[0]):
        return _only_folder(entries[0])
    return folder


def _nothing_in(path: Path, parameter: str, entries: Sequence[Path]) -> str:
    folders = [p.name for p in entries if p.is_dir()]
    files = Counter(p.suffix.lower() or "no ending" for p in entries if not p.is_dir())
    if folders and not files:
        listed = ", ".join(repr(name) for name in folders[:8])
        where = f"{parameter} = {str(path)!r}"
        return f"{where} holds only folders ({listed}) and no image. Name one of these folders."
    found = ", ".join(f"{n} x {ending}" for ending, n in files.most_common(5)) if files else "nothing"
    return (
        f"{parameter} = {str(path)!r} holds no image that can be read. Readable are {READ}; found: {found}."
    )

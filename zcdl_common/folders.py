"""Find the files that a person means by a folder, a file or a zip."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zcdl_common.archives import unpack
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
        folder = _cache(path)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            unpack(path, folder, limit=shutil.disk_usage(folder.parent).free)
        path = _only_folder(folder)
    if path.is_file():
        raise DataError(
            f"{parameter} = {str(path)!r}: files ending in '{path.suffix}' cannot be read. "
            f"Readable are {READ}."
        )
    entries = sorted((p for p in path.iterdir() if not _ignored(p)), key=natural)
    found = [p for p in entries if _counts(p, also)]
    if not found:
        raise DataError(_nothing_in(path, parameter, entries, also))
    return found


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


def _nothing_in(path: Path, parameter: str, entries: Sequence[Path], also: Sequence[str]) -> str:
    folders = [p.name for p in entries if p.is_dir()]
    files = Counter(p.suffix.lower() or "no ending" for p in entries if not p.is_dir())
    if folders and not files:
        listed = ", ".join(repr(name) for name in folders[:8])
        where = f"{parameter} = {str(path)!r}"
        return f"{where} holds only folders ({listed}) and no image. Name one of these folders."
    found = ", ".join(f"{n} x {ending}" for ending, n in files.most_common(5)) if files else "nothing"
    readable = f"{READ}{''.join(f', {ending}' for ending in also)}"
    return (
        f"{parameter} = {str(path)!r} holds no {'file' if also else 'image'} that can be read. Readable are "
        f"{readable}; found: {found}."
    )

"""Unpack an archive that nobody has looked into: nothing leaves the folder, nothing fills the disk."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from zcdl_common.errors import DataError

LIMIT = 50 * 10**9
"""Bytes that an archive may hold unless the caller knows better."""

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, EOFError),
    *(RuntimeError, NotImplementedError),  # encrypted, or packed by a method that Python lacks
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # one name for a file and a folder
)
_Member = tuple[str, IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether `unpack` can open the file: zip, tar, tar.gz, tar.bz2 or tar.xz."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path, limit: int = LIMIT) -> Path:
    """Unpack a zip or tar archive into a new folder, whole or not at all.

    Leftovers of macOS (``__MACOSX``, ``._name``, ``.DS_Store``) are left out.

    Parameters
    ----------
    archive : Path
        Zip, tar, tar.gz, tar.bz2 or tar.xz.
    folder : Path
        Folder to make; it must not exist.
    limit : int
        Most bytes that the unpacked files may take together. They are counted as they are
        written, because the sizes that an archive states may be false.

    Raises
    ------
    DataError
        The archive is damaged, encrypted, too large, or holds absolute paths, ``..``, links
        or devices; or `folder` exists.
    """
    if folder.exists():
        raise DataError(
            f"{folder} exists already, so {archive.name} was not unpacked over it. Choose another folder."
        )
    if not is_archive(archive):
        raise DataError(
            f"{archive} is no zip or tar archive, or a damaged one. Pack the folder again as zip."
        )
    temporary = folder.with_name(f".{os.getpid()}.{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    left = limit
    try:
        with closing(_members(archive)) as members:
            for name, stream in members:
                if _is_junk(name):
                    continue
                left = _write(stream, temporary / name, left)
                if left < 0:
                    raise DataError(
                        f"{archive} unpacks to more than {limit} bytes, the limit; it may be made to fill "
                        "the disk. If you trust it, unpack it by hand and give the folder instead."
                    )
        os.replace(temporary, folder)
    except _DAMAGED as error:
        raise DataError(f"{archive} cannot be unpacked: {error}. Copy or download it again.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write(stream: IO[bytes], path: Path, left: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        while left >= 0 and (piece := stream.read(1 << 20)):
            left -= len(piece)
            if left >= 0:
                out.write(piece)
    return left


def _members(archive: Path) -> Generator[_Member, None, None]:
    """Checked name and content of every file; one bad name stops it all."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as box:
            for item in box.infolist():
                kind = stat.S_IFMT(item.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refusal(archive, item.filename, "a link or device")
                if not item.is_dir():
                    name = _checked(archive, item.filename)
                    with box.open(item) as stream:
                        yield name, stream
        return
    with tarfile.open(archive, "r:*") as tape:
        for entry in tape:
            if not (entry.isreg() or entry.isdir()):
                raise _refusal(archive, entry.name, "a link or device")
            if entry.isreg():
                content = tape.extractfile(entry)
                assert content is not None
                yield _checked(archive, entry.name), content


def _checked(archive: Path, name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    windows = PureWindowsPath(name)
    if path.is_absolute() or windows.drive or windows.root:
        raise _refusal(archive, name, "an absolute path")
    if ".." in path.parts:
        raise _refusal(archive, name, "a path that leads out of the folder")
    return str(path)


def _refusal(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive} was not unpacked: its entry '{name}' is {what}, which could overwrite files elsewhere. "
        "Pack the images again as a plain zip of files and folders."
    )


def _is_junk(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] == ".DS_Store"

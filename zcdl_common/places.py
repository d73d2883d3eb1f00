"""Where things lie: results, Google Drive, fast local copies."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from zcdl_common.errors import RunError

DRIVE = Path("/content/drive")
LOCAL = Path("/content/zcdl_local")


def on_colab() -> bool:
    """Whether this kernel runs on Google Colab."""
    return "google.colab" in sys.modules or (
        "COLAB_RELEASE_TAG" in os.environ and find_spec("google") is not None
    )


def in_kernel() -> bool:
    """Whether output goes to a notebook; that ipykernel is loaded does not say so."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def headless() -> bool:
    """Whether nobody can click: parameters come from a file or the command line."""
    return bool(os.environ.get("ZCDL_PARAMS") or os.environ.get("ZCDL_HEADLESS")) or not in_kernel()


def mount_drive() -> bool:
    """Ask for the user's Drive on Colab; returns whether results outlive the session."""
    if not on_colab():
        return True
    from google.colab import drive  # type: ignore[import-not-found]

    try:
        drive.mount(str(DRIVE))
    except Exception:  # declined or timed out: Colab raises different things for it
        print(
            "Drive is not connected: RESULTS DIE WITH THIS SESSION. Run this cell again to connect it, or "
            "take the results home at the end: nb.download() in a new cell."
        )
        return False
    return True


def results_folder(text: str) -> Path:
    """Folder of all runs: as named, else on the mounted Drive, else ``./zcdl_runs``."""
    if text:
        return Path(text).expanduser()
    if on_colab() and (DRIVE / "MyDrive").exists():
        return DRIVE / "MyDrive" / "zcdl_runs"
    return Path("zcdl_runs")


def fast_copy(folder: Path) -> Path:
    """Folder on the local disk for what lies on Drive, where every access is slow; else the same."""
    if DRIVE not in folder.absolute().parents:
        return folder
    return LOCAL / folder.absolute().relative_to(DRIVE)


def staged(text: str) -> str:
    """Copy what is new in input folders on Drive to the local disk; returns the paths to read from."""
    return ";".join(_stage(Path(part.strip())) for part in text.split(";")) if text else text


def _stage(path: Path) -> str:
    path = path.expanduser()
    local = fast_copy(path)
    if local != path and path.exists():
        files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        copies = {local / p.relative_to(path): p for p in files}
        new = {copy: p for copy, p in copies.items() if not copy.exists() or _stamp(copy) != _stamp(p)}
        if new:
            print(f"copying {len(new)} files of {path} to the local disk ...")
        for copy, file in new.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(copy.name + ".partial")
            shutil.copy2(file, partial)  # with its time, by which a later change is noticed
            partial.replace(copy)
        for old in local.iterdir() if local.is_dir() else ():
            if old.is_file() and old not in copies:  # taken away on Drive; the copy is nobody's only one
                old.unlink()
    return str(local if local.exists() else path)


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, int(facts.st_mtime)


def download(folder: Path) -> Path:
    """Pack a folder into a zip beside it; on Colab the browser is offered the file.

    Raises
    ------
    RunError
        There is no such folder yet.
    """
    if not folder.exists():
        raise RunError(f"There is nothing to download: {folder} does not exist yet. Run the section first.")
    archive = Path(shutil.make_archive(str(folder.with_name(folder.name + "_download")), "zip", folder))
    if on_colab():
        from google.colab import files

        files.download(str(archive))
    print(f"packed: {archive}")
    return archive

"""Fetch files over an unreliable line so that only the right file ever arrives."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from zcdl_common.archives import unpack
from zcdl_common.errors import DataError
from zcdl_common.files import sha256 as digest_of

__all__ = ["ProgressLine", "answers", "fetch", "megabytes", "unpack"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None: unknown)."""

TRIES = 4
TIMEOUT_SECONDS = 30.0
_PIECE = 1 << 20
_PASSING = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
"""Faults of the network that may be gone a moment later."""


def fetch(
    url: str,
    sha256: str,
    bytes: int | None,
    target: Path,
    progress: Progress | None = None,
    pause_seconds: float = 1.0,
) -> Path:
    """Download `url` to `target`, and only a file with the right hash ever stands there.

    What has arrived is kept in ``<target>.part``, so that an interrupted download continues.

    Parameters
    ----------
    url : str
        An http or https address.
    sha256 : str
        Expected SHA-256, 64 hexadecimal digits.
    bytes : int or None
        Expected size; None where it is not known.
    target : Path
        File to write. One that is there already and has the right hash is kept as it is.
    progress : callable, optional
        Hears ``(bytes here, bytes in all or None)`` as the download advances, see `ProgressLine`.
    pause_seconds : float
        Wait before the second attempt; it doubles with each further one.

    Raises
    ------
    DataError
        The address is no http(s), the server cannot be reached or refuses, the disk is too full, or
        size or hash are wrong (then nothing is kept).
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DataError(
            f"{url} cannot be downloaded: only addresses that begin with https:// or http:// can."
        )
    if target.is_file() and digest_of(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if part.exists() and bytes is not None and part.stat().st_size > bytes:
        part.unlink()
    continued = part.exists()
    _check_room(target, (bytes or 0) - (part.stat().st_size if continued else 0))
    _insist(url, part, bytes, progress, pause_seconds)
    problem = _problem(part, sha256, bytes)
    if problem and continued:  # the first half may stem from an older version of the file
        part.unlink()
        _insist(url, part, bytes, progress, pause_seconds)
        problem = _problem(part, sha256, bytes)
    if problem:
        part.unlink()
        raise DataError(
            f"The download of {target.name} from {url} is not the file it should be: {problem}. It was "
            "removed. Try again; if it happens twice, the file behind the address has changed: please "
            "report it."
        )
    os.replace(part, target)
    return target


def _problem(part: Path, sha256: str, size: int | None) -> str:
    found_size = part.stat().st_size
    if size is not None and found_size != size:
        return f"expected {size} bytes, found {found_size}"
    found = digest_of(part)
    return "" if found == sha256 else f"expected sha256 {sha256}, found {found}"


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DataError(
            f"{target.name} needs {megabytes(needed)}, but {target.parent} has only {megabytes(free)} left. "
            "Free some space, or point the environment variable ZCDL_DATA to a folder on another disk."
        )


def _insist(url: str, part: Path, size: int | None, progress: Progress | None, pause: float) -> None:
    """Try again after passing faults, each time from where the last attempt ended."""
    for attempt in range(1, TRIES + 1):
        try:
            _continue(url, part, size, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file: not the same file
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise DataError(
                    f"The server refused {url}: {error.code} {error.reason}. The file may have moved; "
                    "open the address in a browser, or choose another data set with: zcdl list"
                ) from None
            reason: object = f"{error.code} {error.reason}"
        except _PASSING as error:
            reason = getattr(error, "reason", None) or error
        if attempt < TRIES:
            time.sleep(pause * 2 ** (attempt - 1))
    kept = part.stat().st_size if part.exists() else 0
    raise DataError(
        f"{url} could not be downloaded in {TRIES} attempts ({reason}). Is this computer online, and does a "
        f"proxy or firewall allow the address? {megabytes(kept)} are kept and the same call continues from "
        "there. Bundled and simulated data sets need no internet: zcdl list"
    ) from None


def _continue(url: str, part: Path, size: int | None, progress: Progress | None) -> None:
    here = part.stat().st_size if part.exists() else 0
    if here and here == size:
        return
    request = urllib.request.Request(
        url, headers={"User-Agent": "zcdl-common", "Accept-Encoding": "identity"}
    )
    if here:
        request.add_header("Range", f"bytes={here}-")
    with _opener().open(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status != 206 or not response.headers.get("Content-Range", "").startswith(
            f"bytes {here}-"
        ):
            here = 0  # the server sends the file from its beginning
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else size
        with part.open("ab" if here else "wb") as stream:
            while piece := response.read(_PIECE):
                stream.write(piece)
                here += len(piece)
                if size is not None and here > size:
                    return  # not the file we want: do not fill the disk with it
                if progress:
                    progress(here, total)
    if total is not None and here < total:
        raise ConnectionError(f"the connection ended after {here} of {total} bytes")


def answers(url: str, seconds: float) -> bool:
    """Whether the server behind an address says anything within so many seconds.

    Asked in a thread of its own: no limit of time holds while the name of a server is looked up.
    """
    heard: list[bool] = []

    def ask() -> None:
        try:
            _opener().open(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError as error:
            error.close()
        except _PASSING:
            return
        heard.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(heard)


def _opener() -> urllib.request.OpenerDirector:
    """Speaks http and https alone: a redirect to another scheme leads nowhere."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def megabytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


class ProgressLine:
    """One line that grows in a terminal or notebook, one line every tenth elsewhere."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._shown = -1

    def __call__(self, here: int, total: int | None) -> None:
        live = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
        step = int(here * (100 if live else 10) / total) if total else here // (_PIECE * 10)
        if step == self._shown:
            return
        self._shown = step
        share = f" of {megabytes(total)} ({100 * here // total} %)" if total else ""
        end = "\n" if not live or here == total else ""
        start = "\r" if live else ""
        print(f"{start}{self.name}: {megabytes(here)}{share}", end=end, file=sys.stderr, flush=True)

"""Full training state on disk, so that a killed training goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zcdl_common.errors import RunError
from zcdl_common.files import replacing, sha256, write_text
from zcdl_common.task import Array

GENERATIONS = 2
"""States kept, so that a torn newest one costs an epoch and not the training."""
HISTORY = "__history__"


class Saved(NamedTuple):
    """A training state as it was after a whole epoch."""

    epoch: int
    state: dict[str, Array]
    history: list[dict[str, float]]


def write(folder: Path, epoch: int, state: Mapping[str, Array], history: list[dict[str, float]]) -> Path:
    """Save the state after `epoch` whole epochs; older generations beyond the last two go.

    Raises
    ------
    RunError
        The disk is full. What was saved before is still there.
    """
    target = folder / f"epoch_{epoch:06d}.npz"
    record = np.frombuffer(json.dumps(history).encode(), np.uint8)
    arrays: dict[str, Any] = {**state, HISTORY: record}
    try:
        with replacing(target) as temporary:
            np.savez(temporary, **arrays)
        # the digest comes last: a state without one was torn and is passed over
        write_text(target.with_suffix(".sha256"), sha256(target))
    except OSError as error:
        target.unlink(missing_ok=True)
        raise RunError(
            f"The training state could not be saved in {folder}: {error.strerror or error}. "
            "Make room on that disk, then run this cell again: training goes on from the last saved epoch."
        ) from error
    for old in sorted(folder.glob("epoch_*.npz"))[:-GENERATIONS]:
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink()
    return target


def never_trained(folder: Path) -> bool:
    """Whether a run folder holds the plan of a training and nothing that was learned."""
    learned = (folder / "losses.csv", folder / "weights", folder / "checkpoint")
    planned = (folder / "config.yaml").exists() and (folder / "data.csv").exists()
    return planned and not any(p.is_file() or (p.is_dir() and any(p.iterdir())) for p in learned)


def newest(*folders: Path) -> Saved | None:
    """The newest whole state in any of `folders`; torn or altered ones are passed over."""
    found = sorted((path for f in folders for path in f.glob("epoch_*.npz")), key=lambda p: p.name)
    for path in reversed(found):
        digest = path.with_suffix(".sha256")
        if digest.exists() and digest.read_text().strip() == sha256(path):
            with np.load(path, allow_pickle=False) as stored:
                state = {key: stored[key] for key in stored.files if key != HISTORY}
                history = json.loads(stored[HISTORY].tobytes())
            return Saved(int(path.stem.split("_")[1]), state, history)
    return None


class Mirror:
    """Copies of the newest state in a second, slower place such as a mounted Drive."""

    def __init__(self, local: Path, remote: Path, every_seconds: float = 60.0):
        self.local, self.remote, self.every_seconds = local, remote, every_seconds
        self.last = -np.inf

    def update(self, force: bool = False) -> bool:
        """Copy when the interval is over; returns whether it did."""
        if self.local == self.remote or (not force and time.monotonic() - self.last < self.every_seconds):
            return False
        try:
            return self._copy()
        except OSError as error:  # the local state is whole: a slow or full Drive must not end training
            print(f"The copy in {self.remote} could not be brought up to date: {error.strerror or error}.")
            return False

    def _copy(self) -> bool:
        newest_file = max(self.local.glob("epoch_*.npz"), default=None)
        if newest_file is None:
            return False
        for part in (newest_file, newest_file.with_suffix(".sha256")):
            with replacing(self.remote / part.name) as temporary:
                shutil.copyfile(part, temporary)
        for old in sorted(self.remote.glob("epoch_*.npz"))[:-GENERATIONS]:
            old.with_suffix(".sha256").unlink(missing_ok=True)
            old.unlink()
        self.last = time.monotonic()
        return True

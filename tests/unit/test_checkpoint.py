"""Training states on disk: whole or passed over, two generations, mirrored."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import checkpoint
from zcdl_common.errors import RunError

HISTORY = [{"epoch": 1, "loss": 0.25, "val_loss": float("nan"), "seconds": 1.5}]


def state(value):
    """A state with what real ones hold: odd names, scalars, empty arrays, several types."""
    return {
        "module/net/encoder.0.weight": np.full((2, 3), value, np.float32),
        "optimiser/adam/0/step": np.asarray(float(value)),
        "counter": np.asarray(value, np.int64),
        "pool/a": np.zeros((0, 4, 4, 1), np.float16),
        "kernel:0": np.arange(4) > value,
    }


def write(folder, *epochs):
    for epoch in epochs:
        checkpoint.write(folder, epoch, state(epoch), [{**HISTORY[0], "epoch": epoch}])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(saved, epoch):
    assert saved.epoch == epoch and saved.history[0]["epoch"] == epoch
    expected = state(epoch)
    assert saved.state.keys() == expected.keys()
    for key, value in expected.items():
        assert saved.state[key].dtype == value.dtype
        np.testing.assert_array_equal(saved.state[key], value)


def test_a_state_comes_back_as_it_was(tmp_path):
    write(tmp_path, 3)
    saved = checkpoint.newest(tmp_path)
    same(saved, 3)
    assert np.isnan(saved.history[0]["val_loss"])


def test_no_state_is_no_error(tmp_path):
    assert checkpoint.newest(tmp_path, tmp_path / "missing") is None


def test_two_generations_are_kept_and_other_files_stay(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"mine")
    write(tmp_path, 8, 9, 10, 11)
    assert names(tmp_path) == [
        "epoch_000010.npz", "epoch_000010.sha256", "epoch_000011.npz", "epoch_000011.sha256", "mine.npz",
    ]  # fmt: skip


def newest_file(folder):
    return max(folder.glob("epoch_*.npz"))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


OLDER = "epoch_000004.sha256"
TORN = {
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "one byte altered": alter_a_byte,
    "no digest": lambda path: path.with_suffix(".sha256").unlink(),
    "empty digest": lambda path: path.with_suffix(".sha256").write_text(""),
    "digest of another": lambda path: shutil.copy(path.parent / OLDER, path.with_suffix(".sha256")),
    "file gone, digest there": lambda path: path.unlink(),
}


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN.keys())
def test_a_torn_newest_state_costs_one_epoch(tmp_path, tear):
    write(tmp_path, 4, 5)
    tear(newest_file(tmp_path))
    same(checkpoint.newest(tmp_path), 4)
    write(tmp_path, 5)
    same(checkpoint.newest(tmp_path), 5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_any_altered_byte_is_noticed(tmp_path_factory, place, change):
    folder = tmp_path_factory.mktemp("altered")
    write(folder, 1)
    content = bytearray(newest_file(folder).read_bytes())
    content[place % len(content)] ^= change
    newest_file(folder).write_bytes(content)
    assert checkpoint.newest(folder) is None


def test_the_newer_of_two_folders_is_taken_and_a_torn_one_gives_way(tmp_path):
    local, remote = tmp_path / "local", tmp_path / "remote"
    write(local, 1, 2, 3)
    write(remote, 9, 10)
    same(checkpoint.newest(local, remote), 10)
    same(checkpoint.newest(remote, local), 10)
    for epoch in (9, 10):
        truncate(remote / f"epoch_{epoch:06d}.npz")
    same(checkpoint.newest(local, remote), 3)


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(path, **arrays):
    path.write_bytes(b"PK half of a state")
    full_disk()


@pytest.mark.parametrize(
    ("place", "fake"),
    [
        ("zcdl_common.checkpoint.np.savez", full_disk),
        ("zcdl_common.checkpoint.np.savez", half_written),
        ("zcdl_common.files.os.replace", full_disk),
        ("zcdl_common.files.os.fsync", full_disk),
        ("zcdl_common.checkpoint.write_text", full_disk),
    ],
)
def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path, monkeypatch, place, fake):
    write(tmp_path, 1, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(place, fake)
        with pytest.raises(RunError, match=r"No space left.*Make room"):
            write(tmp_path, 3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write(tmp_path, 3)
    same(checkpoint.newest(tmp_path), 3)


def test_the_history_in_a_state_is_plain_json(tmp_path):
    # pickled content would run code of whoever wrote the file
    write(tmp_path, 1)
    with np.load(newest_file(tmp_path), allow_pickle=False) as stored:
        assert json.loads(stored[checkpoint.HISTORY].tobytes())[0]["epoch"] == 1


def test_the_mirror_copies_at_intervals_and_when_forced(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    local, remote = tmp_path / "local", tmp_path / "drive" / "run"
    mirror = checkpoint.Mirror(local, remote, every_seconds=60)
    assert not mirror.update(), "nothing to copy yet"
    copied = []
    for epoch, seconds in [(1, 0), (2, 30), (3, 61), (4, 90), (5, 125)]:
        clock[0] = 1000.0 + seconds
        write(local, epoch)
        if mirror.update():
            copied.append(epoch)
    assert copied == [1, 3, 5]
    same(checkpoint.newest(remote), 5)
    assert len(list(remote.glob("*.npz"))) == checkpoint.GENERATIONS
    write(local, 6)
    assert mirror.update(force=True)
    same(checkpoint.newest(remote), 6)


def test_a_mirror_onto_itself_does_nothing(tmp_path):
    write(tmp_path, 1)
    before = names(tmp_path)
    assert not checkpoint.Mirror(tmp_path, tmp_path).update(force=True)
    assert names(tmp_path) == before


def test_a_torn_copy_in_the_mirror_leaves_its_older_generation(tmp_path, monkeypatch):
    local, remote = tmp_path / "local", tmp_path / "remote"
    mirror = checkpoint.Mirror(local, remote, every_seconds=0)
    for epoch in (1, 2):
        write(local, epoch)
        mirror.update()
    write(local, 3)
    real = shutil.copyfile

    def unplugged(source, target):
        if str(source).endswith(".sha256"):
            raise OSError(errno.EIO, "the drive is gone")
        return real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", unplugged)
        assert not mirror.update()  # said, but training goes on
    same(checkpoint.newest(remote), 2)
    same(checkpoint.newest(local, remote), 3)

import zipfile
from pathlib import Path

import pytest

from zcdl_common import places
from zcdl_common.errors import RunError


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A mounted Drive and a local disk, both below tmp_path."""
    monkeypatch.setattr(places, "DRIVE", tmp_path / "drive")
    monkeypatch.setattr(places, "LOCAL", tmp_path / "local")
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    return tmp_path / "drive" / "MyDrive"


def test_results_go_where_they_are_sent(drive, monkeypatch):
    assert places.results_folder("") == Path("zcdl_runs")
    assert places.results_folder("~/x") == Path.home() / "x"
    monkeypatch.setattr(places, "on_colab", lambda: True)
    assert places.results_folder("") == drive / "zcdl_runs"


def test_folders_on_drive_are_copied_once(drive, tmp_path, capsys):
    (drive / "im").mkdir()
    (drive / "im" / "a.tif").write_bytes(b"1")
    here = tmp_path / "elsewhere"
    here.mkdir()
    staged = places.staged(f"{drive / 'im'}; {here}").split(";")
    assert staged == [str(tmp_path / "local" / "MyDrive" / "im"), str(here)]
    assert (Path(staged[0]) / "a.tif").read_bytes() == b"1"
    assert places.staged(str(drive / "im")) == staged[0]
    assert capsys.readouterr().out.count("copying") == 1
    (drive / "im" / "a.tif").write_bytes(b"mended")
    (drive / "im" / "b.tif").write_bytes(b"2")
    places.staged(str(drive / "im"))
    assert (Path(staged[0]) / "a.tif").read_bytes() == b"mended"
    (drive / "im" / "b.tif").unlink()
    (drive / "im" / "masks").mkdir()
    (drive / "im" / "masks" / "a.tif").write_bytes(b"3")
    masks = Path(places.staged(str(drive / "im" / "masks")))
    assert (masks / "a.tif").read_bytes() == b"3"
    places.staged(str(drive / "im"))
    assert sorted(p.name for p in Path(staged[0]).iterdir()) == ["a.tif", "masks"]
    assert places.staged("") == "" and places.staged(str(drive / "gone")) == str(drive / "gone")


def test_checkpoints_of_runs_on_drive_are_written_locally(drive, tmp_path):
    assert places.fast_copy(drive / "zcdl_runs" / "a") == tmp_path / "local" / "MyDrive" / "zcdl_runs" / "a"
    assert places.fast_copy(tmp_path / "runs") == tmp_path / "runs"


def test_a_download_is_a_zip_of_the_folder(tmp_path):
    (tmp_path / "run" / "weights").mkdir(parents=True)
    (tmp_path / "run" / "weights" / "best.pt").write_bytes(b"w")
    with zipfile.ZipFile(places.download(tmp_path / "run")) as archive:
        assert archive.read("weights/best.pt") == b"w"
    with pytest.raises(RunError, match="nothing to download"):
        places.download(tmp_path / "gone")


def test_a_loaded_ipykernel_alone_makes_no_notebook(monkeypatch):
    import ipykernel  # noqa: F401

    monkeypatch.delenv("ZCDL_HEADLESS", raising=False)
    monkeypatch.delenv("ZCDL_PARAMS", raising=False)
    assert not places.in_kernel() and places.headless()

"""The progress sheet of a class."""

import csv
import json
import os

import pytest

from zcdl_common import cli
from zcdl_common.errors import DataError
from zcdl_common.gather import COLUMNS, gather, write


def judged(run, date="", **facts):
    """A run folder with a summary like that of quality control."""
    (run / "quality_control" / "back").mkdir(parents=True)
    (run / "quality_control" / "back" / "summary.json").write_text("{}")
    summary = {"network": "unet", "n_images": 4, "epochs": 7, "primary": "iou", "verdict": "better"}
    means = {"network": {"mean": 0.87654}, "classical": {"mean": 0.5}, "input": None}
    summary |= {"metrics": {"dice": {}, "iou": means}} | facts
    (run / "quality_control" / "summary.json").write_text(json.dumps(summary))
    if date:
        (run / "environment.txt").write_text(f"date: {date}\npython: 3.11\n")
    return run


@pytest.fixture
def room(tmp_path):
    """Two participants with three runs, and one who has not begun."""
    folder = tmp_path / "class"
    judged(folder / "Zoë" / "zcdl_runs" / "second", "2026-02-02 11:00", verdict="worse")
    judged(folder / "Zoë" / "zcdl_runs" / "first", "2026-02-02 10:00")
    nothing = {"primary": None, "metrics": {}, "verdict": None, "network": "noise2void"}
    judged(folder / "anna" / "deep" / "er" / "n2v", "2026-02-02 12:00", **nothing)
    (folder / "late").mkdir()
    return folder


def test_a_row_a_run_in_the_order_of_names_and_times(room):
    rows = gather([room])
    assert [(row["who"], row["run"], row["verdict"]) for row in rows] == [
        ("anna", "n2v", "no verdict"), ("Zoë", "first", "better"), ("Zoë", "second", "worse")
    ]  # fmt: skip
    assert rows[1] == {
        "who": "Zoë", "run": "first", "network": "unet", "images": 4, "epochs": 7, "score": "iou",
        "value": 0.877, "classical": 0.5, "verdict": "better", "when": "2026-02-02 10:00",
    }  # fmt: skip
    assert rows[0]["score"] == rows[0]["value"] == rows[0]["classical"] == ""


def test_without_a_date_the_time_of_the_file_is_told(tmp_path):
    run = judged(tmp_path / "ben" / "a")
    os.utime(run / "quality_control" / "summary.json", (1e9, 1e9))
    assert gather([tmp_path])[0]["when"][:7] == "2001-09"


def test_what_cannot_be_read_is_said_and_stops_nobody(room):
    (room / "anna" / "deep" / "er" / "n2v" / "quality_control" / "summary.json").write_text('{"network": "un')
    judged(room / "late" / "x", metrics={})
    assert [row["verdict"] for row in gather([room])] == [
        "cannot be read",
        "cannot be read",
        "better",
        "worse",
    ]


def test_several_folders_and_a_participants_own(room, tmp_path):
    judged(tmp_path / "carl" / "only")
    assert {row["who"] for row in gather([room, tmp_path / "carl"])} == {"anna", "Zoë", "carl"}


def test_where_there_is_nothing_the_teacher_hears_what_to_do(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        gather([tmp_path / "typo"])
    with pytest.raises(DataError, match="section 6"):
        gather([tmp_path])


def test_the_command_shows_a_table_and_writes_the_sheet(room, tmp_path, capsys):
    sheet = tmp_path / "sheets" / "monday.csv"
    assert cli.main(["gather", str(room), "--out", str(sheet)]) == 0
    shown = capsys.readouterr().out
    assert "Zoë" in shown and "2 participants, 3 runs" in shown
    with sheet.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1] == {name: str(value) for name, value in gather([room])[1].items()}
    assert tuple(rows[0]) == COLUMNS
    write([], sheet)
    assert sheet.read_text(encoding="utf-8-sig").strip() == ",".join(COLUMNS)

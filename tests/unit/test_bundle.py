"""The offline bundle without its downloads: contents, checksums, scripts."""

import hashlib
import json
import subprocess
import sys

import pytest

from zcdl_common import bundle, cli, wheels
from zcdl_common.errors import ConfigError, RunError

SMALL = "py3-none-any.whl"


@pytest.fixture
def made(tmp_path, monkeypatch, home):
    """A bundle of one notebook, whose wheels are empty files."""

    def build(repository, folder):
        assert (repository / "pyproject.toml").is_file()
        path = folder / f"zcdl_common-1.0-{SMALL}"
        path.write_text("own")
        return path

    def collect(target, folder, own, torch_index):
        rows = [(str(r), f"{r.name}-1-{SMALL}") for r in wheels.locked(target)]
        for _, file in rows:
            (folder / file).write_text(file)
        return [*rows, ("zcdl-common==1.0", own.name)]

    monkeypatch.setattr(wheels, "build", build)
    monkeypatch.setattr(wheels, "collect", collect)
    run = tmp_path / "late"
    (run / "weights").mkdir(parents=True)
    (run / "config.yaml").write_text("network: yolo\n")
    (run / "weights" / "best.pt").write_text("weights")
    out = tmp_path / "a bundle"
    return bundle.make(out, ["windows", "linux"], ["3.11", "3.12"], ["yolo"], runs=[run])


def checked(folder, *systems):
    done = subprocess.run(
        [sys.executable, str(folder / "check.py"), *systems], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_everything_is_there_and_signed(made):
    folder = made.folder
    assert [p.name for p in (folder / "notebooks").iterdir()] == ["yolo.ipynb"]
    assert json.loads(next((folder / "data").glob("sim_detect-*/dataset.json")).read_text())["files"]
    assert (folder / "runs" / "late" / "weights" / "best.pt").read_text() == "weights"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        expected, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected
    signed = {line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files - signed == {"SHA256SUMS"}
    sizes = {part.name: part for part in made.parts}
    assert sizes.keys() == {"wheels/linux", "wheels/windows", "notebooks", "data", "runs"}
    assert sizes["notebooks"].bytes == (folder / "notebooks" / "yolo.ipynb").stat().st_size
    assert checked(folder)[0] == 0


def test_the_lists_hold_what_the_lock_wants_for_each_computer(made):
    for target in wheels.targets(["windows", "linux"], ["3.11", "3.12"]):
        path = made.folder / "wheels" / target.platform / f"requirements-{target.python}.txt"
        lines = [line.split("  # ") for line in path.read_text().splitlines()]
        assert {p for p, _ in lines} == {str(r) for r in wheels.locked(target)} | {"zcdl-common==1.0"}
        assert all((path.parent / file).is_file() for _, file in lines)


def test_the_check_names_what_is_damaged_or_gone(made):
    one, two = sorted((made.folder / "wheels" / "linux").glob("n*.whl"))[:2]
    one.write_text("changed")
    two.unlink()
    status, text = checked(made.folder)
    assert status == 1 and "This bundle is NOT whole." in text
    assert f"wheels/linux/{one.name} is damaged" in text and f"is missing ({two.name})" in text
    assert checked(made.folder, "windows")[0] == 0, "another system's wheels are not needed there"
    assert checked(made.folder, "macos")[0] == 1, "the bundle has none for it"


def test_a_wheel_that_could_not_be_had_ends_the_command(tmp_path, monkeypatch, made, capsys):
    collect = wheels.collect

    def lacking(target, folder, own, torch_index):
        return [
            (p, "" if p.startswith("numba==") else f) for p, f in collect(target, folder, own, torch_index)
        ]

    monkeypatch.setattr(wheels, "collect", lacking)
    words = [
        "bundle",
        "--platforms",
        "linux",
        "--notebooks",
        "yolo",
        "--python",
        "3.12",
        "--out",
        str(made.folder),
    ]
    assert cli.main(words) == 1
    assert "numba==" in capsys.readouterr().err
    assert [p.name for p in (made.folder / "wheels").iterdir()] == ["linux"], "what is not asked for goes"
    assert not list((made.folder / "wheels" / "linux").glob("numba-*")), "wheels of an earlier bundle go"
    status, text = checked(made.folder)
    assert status == 1 and "could not be had when the bundle was made" in text


def test_scripts_never_ask_the_internet_and_suit_their_systems(made):
    read = {p.name: p.read_bytes().decode() for p in made.folder.iterdir() if p.is_file()}
    assert "--no-index" in read["install.py"] and "--find-links" in read["install.py"]
    for name in ("install.py", "install.sh", "install.bat", "check.py"):
        assert "http" not in read[name]
    for python in ("3.11", "3.12", "3.13"):
        assert python in read["install.sh"] and python in read["install.bat"]
    assert read["install.bat"].count("\r\n") == read["install.bat"].count("\n"), "Windows needs its line ends"
    assert "\r" not in read["install.sh"] + read["install.py"]
    start = read["START_HERE.txt"]
    assert "3.11, 3.12." in start and "wheels/windows" in start and "@" not in start
    if sys.platform != "win32":
        subprocess.run(["bash", "-n", str(made.folder / "install.sh")], check=True)
    compile(read["install.py"], "install.py", "exec")


def test_install_refuses_a_python_that_the_bundle_does_not_serve(made, tmp_path):
    for path in (made.folder / "wheels").glob("*/requirements-*.txt"):
        path.unlink()
    goal = tmp_path / "goal"
    done = subprocess.run(
        [sys.executable, str(made.folder / "install.py"), str(goal)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and not goal.exists()
    assert "not supported" in done.stderr or f"This Python is {sys.version_info.major}." in done.stderr


def test_wrong_names_are_told_before_anything_is_made(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no notebook 'unett'"):
        bundle.make(out, ["linux"], notebooks=["unett"])
    with pytest.raises(ConfigError, match="no such data set"):
        bundle.make(out, ["linux"], notebooks=["unet"], data=["nucleii"])
    with pytest.raises(RunError, match="no finished run"):
        bundle.make(out, ["linux"], notebooks=["unet"], runs=[tmp_path])
    for name in ("a", "b"):
        (tmp_path / name / "run" / "weights").mkdir(parents=True)
        (tmp_path / name / "run" / "config.yaml").touch()
    with pytest.raises(RunError, match="the same name"):
        bundle.make(out, ["linux"], notebooks=["unet"], runs=[tmp_path / "a/run", tmp_path / "b/run"])
    assert not out.exists()
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        bundle.make(tmp_path, ["linux"])


def test_data_sets_that_suit_the_notebooks_come_along():
    sets = bundle.suited(bundle.choose(["care"]), ["sem_noisy"])
    assert "sim_restore_2d" in sets and sets[-1] == "sem_noisy"
    assert not {"sim_detect", "u2os_denoising"} & set(sets), "another task; a download nobody asked for"

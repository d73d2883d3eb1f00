"""Promises about the repository as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "zcdl_common").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
sys.path.insert(0, str(ROOT / "tools"))

from check_colab import differences, pins  # noqa: E402

# Read at run time where a user has it; never a dependency (DESIGN: vendor formats).
OPTIONAL = {"bioio", "google", "n2v"}


def lock(name: str) -> dict[str, str]:
    """Pins of a lock, whatever system they are for."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return pins(re.sub(r" *;.*", "", text))


def test_no_file_is_longer_than_300_lines():
    files = [*PACKAGE, *(ROOT / "tools").glob("*.py")]
    long = {str(path): n for path in files if (n := len(path.read_text("utf-8").splitlines())) > 300}
    assert not long


def test_no_module_is_called_after_nothing():
    assert not [
        path for path in PACKAGE if path.stem in {"utils", "util", "helpers", "base", "misc", "common"}
    ]


def test_every_package_that_is_imported_is_declared():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(text).name) for texts in groups for text in texts}
    distributions = packages_distributions()
    missing = set()
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names} - OPTIONAL - {"zcdl_common"}:
                # tensorflow comes as tensorflow-cpu too
                owners = {canonicalize_name(owner) for owner in [name, *distributions.get(name, [])]}
                if name not in sys.stdlib_module_names and not owners & declared:
                    missing.add(f"{path.name}: {name}")
    assert not missing


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_locks_hold_neither_addresses_nor_local_paths(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines and not [line for line in lines if re.search(r"[/\\@]|^-", line)]


def test_the_core_lock_holds_every_dependency_inside_its_range():
    core = lock("core")
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert core[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_locks_that_are_installed_together_agree():
    for backend in ("tensorflow", "gpu"):
        together = [lock(name) for name in ("core", backend, "dev")]
        for name in set().union(*together):
            versions = {pinned[name] for pinned in together if name in pinned}
            assert len(versions) == 1, f"{name} {versions}"
    assert not {"torch", "torchvision", "ultralytics", "albumentationsx", "bm3d"} & set().union(*together)


def test_what_is_added_on_colab_is_what_colab_lacks():
    listed, present = lock("colab"), lock("colab-constraints")
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert needed - {"jupyterlab", "papermill"} <= listed.keys() | present.keys()
    assert not listed.keys() & present.keys()


def test_the_colab_check_tells_what_to_add_and_what_to_drop():
    found = differences({"a": "1", "b": "2", "d": "4"}, {"b": "9"}, {"a": "1", "b": "9", "c": "3"})
    assert [line.split(":")[0] for line in found] == [
        "b is on Colab (9)",
        "c==3 is missing on Colab",
        "d is needed by nothing",
    ]


def test_what_the_readme_tells_to_type_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", readme)) <= targets


def test_citation_and_changelog_speak_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"].split(".dev")[0]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = "Unreleased" if "dev" in PROJECT["version"] else PROJECT["version"]
    assert f"## [{heading}]" in changelog


def test_workflows_are_bounded_and_ask_for_no_more_than_they_need():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert {path.stem for path in workflows} == {"ci", "notebooks", "weekly", "release"}
    for path in workflows:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] in ({}, {"contents": "read"}), path.name
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] <= 360, f"{path.name}: {name}"
            for step in job["steps"]:
                assert re.search(r"@(v\d+|release/v\d+)$", step.get("uses", "@v1")), step


def test_workflows_name_tests_that_a_checkout_has():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for name in re.findall(r"\btests/\w+", path.read_text(encoding="utf-8")):
            assert list((ROOT / name).glob("test_*.py")), f"{path.name}: {name}"


def test_the_wheel_holds_notebooks_and_data_sets_but_not_their_sources(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"zcdl_common/notebooks/{notebook.name}" in names
    assert "zcdl_common/datasets.yaml" in names
    outside = {name for name in names if not name.startswith(("zcdl_common/", "zcdl_common-"))}
    assert not outside and not [name for name in names if "notebooks/src" in name]

"""Wheels for other computers: lists, markers and tags, without any download."""

import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zcdl_common import wheels
from zcdl_common.errors import ConfigError
from zcdl_common.wheels import Target

OWN = "zcdl_common-1.0-py3-none-any.whl"


def names(target):
    return {canonicalize_name(requirement.name): str(requirement) for requirement in wheels.locked(target)}


def test_each_platform_gets_what_its_markers_say():
    linux, windows, macos = (names(Target(p, "3.11")) for p in ("linux", "windows", "macos"))
    assert "tensorflow-cpu" in linux and "tensorflow" not in linux
    for other in (windows, macos):
        assert "tensorflow" in other and "tensorflow-cpu" not in other
    assert "pywinpty" in windows.keys() - linux.keys() - macos.keys()
    assert "appnope" in macos.keys() - linux.keys() - windows.keys()
    assert "pexpect" in linux.keys() & macos.keys() - windows.keys()
    assert "torch" not in linux, "torch comes from its own list"
    assert all("==" in line and ";" not in line for line in windows.values())


def test_the_version_of_python_counts_not_the_one_that_runs_here():
    assert "aiohttp" in names(Target("linux", "3.12"))
    assert "aiohttp" not in names(Target("linux", "3.11")) | names(Target("linux", "3.13"))
    assert "overrides" in names(Target("linux", "3.11")).keys() - names(Target("linux", "3.12")).keys()


@pytest.mark.parametrize(
    ("file", "fits"),
    [("a-1-py3-none-any.whl", {"linux", "windows", "macos"}), ("a-1-cp311-cp311-win_amd64.whl", {"windows"}),
     ("a-1-cp312-cp312-win_amd64.whl", set()), ("a-1-cp38-abi3-win_amd64.whl", {"windows"}),
     ("a-1-cp311-cp311-win32.whl", set()), ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", {"linux"}),
     ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", {"linux"}),
     ("a-1-cp311-cp311-manylinux_2_34_x86_64.whl", set()),
     ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", set()),
     ("a-1-cp311-cp311-macosx_14_0_arm64.whl", {"macos"}), ("a-1-cp311-cp311-macosx_15_0_arm64.whl", set()),
     ("a-1-cp311-cp311-macosx_10_9_universal2.whl", {"macos"}), ("a-1-py2-none-any.whl", set()),
     ("a-1-cp311-cp311-macosx_10_9_x86_64.whl", set()), ("a-2-py3-none-any.whl", set()),
     ("b-1-py3-none-any.whl", set())],
)  # fmt: skip
def test_only_wheels_that_run_there_count(tmp_path, file, fits):
    (tmp_path / file).touch()
    for platform in wheels.PLATFORMS:
        found = wheels.wheel(Requirement("A==1"), Target(platform, "3.11"), tmp_path)
        assert (found is not None) == (platform in fits), platform


def test_a_build_of_torch_meets_the_plain_version(tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    assert wheels.wheel(Requirement("torch==2.13.0"), Target("linux", "3.11"), tmp_path)


def test_unknown_computers_are_refused():
    with pytest.raises(ConfigError, match=r"'amiga' is not known\. Choose from: windows, macos, linux"):
        wheels.targets(["amiga"], ["3.11"])
    with pytest.raises(ConfigError, match=r"Choose from: 3\.11, 3\.12, 3\.13"):
        wheels.targets(["linux"], ["3.9"])
    assert len(wheels.targets(["linux", "macos"], ["3.11", "3.12"])) == 4


class Index:
    """Stands for pip: writes the wheels that it has and refuses the first that it has not, as pip does."""

    def __init__(self, have):
        self.have, self.calls = have, []

    def __call__(self, *arguments):
        self.calls.append(arguments)
        folder = arguments[arguments.index("--dest") + 1]
        wanted = [word for word in arguments if not word.startswith("-") and _wanted(word)]
        for word in wanted:
            if word not in self.have:
                raise wheels._NotThere(word)
        for word in wanted:
            name, needs = self.have[word]
            with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
                lines = "".join(f"Requires-Dist: {need}\n" for need in needs)
                archive.writestr("x.dist-info/METADATA", f"Name: x\n{lines}\n")
                archive.writestr("x/vendored/y.dist-info/METADATA", "Requires-Dist: nothing\n")


def _wanted(word):
    return word[:1].isalpha() and any(sign in word for sign in "=<>") and "/" not in word


def test_collect_takes_what_torch_brings_and_names_what_is_not_there(tmp_path, monkeypatch):
    lock = [Requirement("numpy==2.0"), Requirement("rare==1.0"), Requirement("filelock==4.0")]
    monkeypatch.setattr(wheels, "locked", lambda target: lock)
    torch = ["filelock", "sympy>=1.13", 'triton==3; sys_platform == "linux"', 'old>1; python_version < "3.9"',
             'opt>1; extra == "opt"']  # fmt: skip
    index = Index(
        {
            "torch==2.13.0": ("torch-2.13.0-cp312-cp312-win_amd64.whl", torch),
            "numpy==2.0": ("numpy-2.0-cp312-cp312-win_amd64.whl", ["not-asked"]),
            "filelock==4.0": ("filelock-4.0-py3-none-any.whl", []),
            "sympy>=1.13": ("sympy-1.14-py3-none-any.whl", ["mpmath<1.4"]),
            "mpmath<1.4": ("mpmath-1.3-py3-none-any.whl", []),
        }
    )
    monkeypatch.setattr(wheels, "_pip", index)
    target = Target("windows", "3.12")
    rows = dict(wheels.collect(target, tmp_path, tmp_path / OWN))
    assert rows == {
        "torch==2.13.0": "torch-2.13.0-cp312-cp312-win_amd64.whl",
        "numpy==2.0": "numpy-2.0-cp312-cp312-win_amd64.whl",
        "filelock==4.0": "filelock-4.0-py3-none-any.whl",
        "sympy==1.14": "sympy-1.14-py3-none-any.whl",
        "mpmath==1.3": "mpmath-1.3-py3-none-any.whl",
        "rare==1.0": "",
        "zcdl-common==1.0": OWN,
    }
    assert all("win_amd64" in call and "3.12" in call and "--no-deps" in call for call in index.calls)
    assert not any("--index-url" in call for call in index.calls)
    index.calls.clear()
    wheels.collect(target, tmp_path, tmp_path / OWN)
    assert [call[-1] for call in index.calls] == ["rare==1.0"], "what lies there is not fetched again"


def test_torch_for_linux_comes_from_the_index_of_cpu_builds(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "locked", lambda target: [])
    index = Index({"torch==2.13.0": ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", [])})
    monkeypatch.setattr(wheels, "_pip", index)
    rows = wheels.collect(Target("linux", "3.11"), tmp_path, tmp_path / OWN)
    assert rows[0][0] == "torch==2.13.0", "the lists name versions without their builds"
    call = index.calls[0]
    assert call[call.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"

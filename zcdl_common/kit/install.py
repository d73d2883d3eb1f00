"""Install the notebooks from this folder alone, without internet; install.sh and install.bat call this.

python install.py            into the folder zcdl_workshop of your user
python install.py FOLDER     elsewhere
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent
SYSTEMS = {
    ("Windows", "AMD64"): "windows",
    ("Darwin", "arm64"): "macos",
    ("Linux", "x86_64"): "linux",
}
OPEN_SH = """#!/usr/bin/env bash
# Opens the notebooks in JupyterLab. No internet is used.
cd "$(dirname "$0")"
exec .venv/bin/python -m jupyterlab .
"""
OPEN_BAT = """@echo off\r
rem Opens the notebooks in JupyterLab. No internet is used.\r
cd /d "%~dp0"\r
.venv\\Scripts\\python.exe -m jupyterlab .\r
pause\r
"""


def main(goal: Path) -> None:
    """Check, install, copy; what a person has changed is never overwritten."""
    system = SYSTEMS.get((platform.system(), platform.machine()))
    if system is None:
        sys.exit(
            f"This computer ({platform.system()}, {platform.machine()}) is not supported: the notebooks run "
            "on Windows and Linux with Intel or AMD processors, and on Macs with Apple silicon."
        )
    wheels = BUNDLE / "wheels" / system
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = wheels / f"requirements-{version}.txt"
    if not wanted.is_file():
        known = [path.stem.partition("-")[2] for path in sorted(wheels.glob("requirements-*.txt"))]
        sys.exit(
            f"This Python is {version}; for {system} this bundle serves {', '.join(known) or 'none'}. "
            "START_HERE.txt says where Python comes from."
        )
    if system == "windows" and len(str(goal)) > 60:  # files in packages have up to 167 letters, Windows 259
        sys.exit(f"{goal} is too long a path for Windows. Name a shorter one: install.bat C:\\zcdl_workshop")
    print("1 of 4: is the bundle whole?", flush=True)
    if subprocess.call([sys.executable, str(BUNDLE / "check.py"), system]):
        sys.exit("Nothing was installed. Copy the bundle again, or ask the teacher.")

    print(f"2 of 4: installing into {goal} (some minutes)", flush=True)
    goal.mkdir(parents=True, exist_ok=True)
    subprocess.check_call([sys.executable, "-m", "venv", str(goal / ".venv")])
    python = goal / ".venv" / ("Scripts/python.exe" if system == "windows" else "bin/python")
    # settings of pip on this computer could name a server: none of them counts here
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | {
        "PIP_CONFIG_FILE": os.devnull
    }
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--find-links",
        str(wheels),
        "--no-deps",
    ]
    if subprocess.call([str(python), "-m", "pip", "install", *options, "-r", str(wanted)], env=clean):
        sys.exit(
            "The installation stopped; the lines above say why. Is the disk full? About 5 GB are needed."
        )

    print("3 of 4: copying notebooks, data and finished runs", flush=True)
    copy(BUNDLE / "notebooks", goal)
    copy(BUNDLE / "runs", goal / "zcdl_runs")
    ask = "from zcdl_common.datasets import default_cache; print(default_cache())"
    kept = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True).stdout
    copy(BUNDLE / "data", Path(kept.strip()))

    print("4 of 4: does it start?", flush=True)
    for module in ("torch", "tensorflow", "jupyterlab", "zcdl_common"):
        subprocess.check_call(
            [str(python), "-c", f"import {module}"], env=clean | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        )
    names = {"windows": "open_notebooks.bat", "macos": "open_notebooks.command"}
    opener = goal / names.get(system, "open_notebooks.sh")
    opener.write_bytes((OPEN_BAT if system == "windows" else OPEN_SH).encode("ascii"))
    opener.chmod(0o755)
    print(f"\nReady. Start with: {opener}")


def copy(source: Path, target: Path) -> None:
    """Copy what `target` does not have yet."""
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        there = target / path.relative_to(source)
        if path.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, there)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path.home() / "zcdl_workshop").expanduser().absolute())

"""Check that the notebooks' install line leaves Colab's own packages as they are.

The line is ``pip install --no-deps -r requirements/colab.txt``. It is right when the list holds exactly
what Colab lacks, and when all of it works with the versions that Colab has.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
LIST = REQUIREMENTS / "colab.txt"
KNOWN = REQUIREMENTS / "colab-constraints.txt"
PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.gpu.txt"


def pins(text: str) -> dict[str, str]:
    """Package to version of the ``name==version`` lines, local builds (+cu128) left out."""
    found = re.findall(r"^([\w.-]+)==([\w.!]+)\s*$", text, re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def solve(constraints: dict[str, str], python: str, preferred: str = "") -> dict[str, str]:
    """All that the package needs on Colab, at versions that fit `constraints`.

    Raises
    ------
    SystemExit
        There are none; says which packages stand against each other.
    """
    with tempfile.TemporaryDirectory() as folder:
        fixed, output = Path(folder, "constraints.txt"), Path(folder, "solved.txt")
        fixed.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
        output.write_text(preferred)
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--python-version", python, "--python-platform", "x86_64-manylinux_2_28"),
            *("--constraint", str(fixed), "--output-file", str(output)),
            *("--override", str(REQUIREMENTS / "overrides.txt")),
            *("--override", str(REQUIREMENTS / "overrides-colab.txt")),
            *(str(ROOT / "pyproject.toml"), str(REQUIREMENTS / "colab.in")),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"No versions fit what Colab has (Python {python}):\n{done.stderr}")
        return pins(output.read_text())


def differences(listed: dict[str, str], present: dict[str, str], solved: dict[str, str]) -> list[str]:
    """What is wrong with the list, a line each."""
    return [
        *(
            f"{name} is on Colab ({present[name]}): drop it from colab.txt"
            for name in listed
            if name in present
        ),
        *(
            f"{name}=={version} is missing on Colab: add it to colab.txt"
            for name, version in solved.items()
            if name not in present and name not in listed
        ),
        *(f"{name} is needed by nothing: drop it from colab.txt" for name in listed if name not in solved),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Check the list, or write it; 1 where it does not fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--freeze", type=Path, default=KNOWN, help="pip freeze of a Colab runtime")
    parser.add_argument("--published", action="store_true", help="the list that Colab publishes today")
    parser.add_argument("--python", default="3.13", help="Python of that runtime")
    parser.add_argument("--write", action="store_true", help="write requirements/colab.txt")
    options = parser.parse_args(arguments)
    if options.published:
        with urlopen(PUBLISHED, timeout=60) as page:
            present = pins(page.read().decode())
    else:
        present = pins(options.freeze.read_text(encoding="utf-8"))

    if options.write:
        # The versions that the tests run with come first, where they fit.
        preferred = "".join((REQUIREMENTS / f"{name}.txt").read_text() for name in ("core", "tensorflow"))
        solved = solve(present, options.python, "\n".join(set(re.findall(r"^\S+==\S+$", preferred, re.M))))
        lines = [f"{name}=={version}" for name, version in sorted(solved.items()) if name not in present]
        header = "# What Colab lacks; install it with --no-deps. Written by: make lock\n"
        LIST.write_text(header + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        print(f"{len(lines)} packages to add on Colab, {len(solved) - len(lines)} are there")
        return 0

    listed = pins(LIST.read_text(encoding="utf-8"))
    problems = differences(listed, present, solve({**listed, **present}, options.python))
    print("\n".join(problems) or f"colab.txt fits: {len(listed)} packages to add, none to change")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

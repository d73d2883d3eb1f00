"""Is this bundle whole? Needs Python alone, no other package and no internet.

python check.py            everything
python check.py windows    what one system needs: windows, macos or linux
"""

import hashlib
import re
import sys
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent


def lists(bundle: Path, systems: list[str]) -> list[str]:
    """What is wrong with the wheels: every line of every list must have its file."""
    wrong = []
    for system in systems:
        found = sorted((bundle / "wheels" / system).glob("requirements-*.txt"))
        if not found:
            wrong.append(f"wheels/{system}: no list of packages; this bundle was not made for {system}")
        for path in found:
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "==" in line]
            for line in lines:
                package, _, file = (part.strip() for part in line.partition("#"))
                if not file.endswith(".whl"):
                    wrong.append(
                        f"{system}, {path.stem}: {package} could not be had when the bundle was made"
                    )
                elif not (path.parent / file).is_file():
                    wrong.append(f"{system}, {path.stem}: {package} is missing ({file})")
            print(f"{system}, Python {path.stem.partition('-')[2]}: {len(lines)} packages listed")
    return wrong


def sums(bundle: Path, systems: list[str]) -> list[str]:
    """Which files are missing or not what they were."""
    wrong, checked = [], 0
    for line in (bundle / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        expected, name = line.split("  ", 1)
        system = re.match(r"wheels/(\w+)/", name)
        if system and system[1] not in systems:
            continue
        checked += 1
        if not (bundle / name).is_file():
            wrong.append(f"{name} is missing")
            continue
        with (bundle / name).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                wrong.append(f"{name} is damaged: copy it again")
    print(f"{checked} files compared with SHA256SUMS")
    return wrong


def main(systems: list[str], bundle: Path = BUNDLE) -> int:
    """Say what is wrong; returns 1 where anything is."""
    systems = systems or sorted(path.name for path in (bundle / "wheels").iterdir() if path.is_dir())
    wrong = lists(bundle, systems) + sums(bundle, systems)
    for line in wrong:
        print(f"  WRONG  {line}")
    print("This bundle is NOT whole." if wrong else "This bundle is whole.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Build notebooks/*.ipynb from notebooks/src/*.py; with --check, only say what differs.

A cell starts with ``# %% [markdown]`` or ``# %% Title tags=["parameters"]``; the title is shown in Colab.
``{{include: FILE}}`` inserts a file beside the source, ``{{parameters: SECTION}}`` a table of parameters,
and ``{{network.title}}``, ``{{version}}``, ``{{repository}}``, ``{{badge}}``, ``{{install}}`` a fact. The
network is the one that the source is named after.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(
    r"^# %%[ \t]*(?P<markdown>\[markdown\])?(?P<title>.*?)(?:tags=(?P<tags>\[.*\]))?[ \t]*$", re.M
)
FIELD = re.compile(r"\{\{\s*([\w.]+)(?:\s*:\s*(.+?))?\s*\}\}")


def project(root: Path = ROOT) -> dict[str, str]:
    """Name, version and address, all from pyproject.toml; `ref` is the tag, or main between releases."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version, repository = table["version"], table["urls"]["Repository"]
    released = "dev" not in version
    ref = f"v{version}" if released else "main"
    package = f"{table['name']}=={version}" if released else f"{repository}/archive/{ref}.zip"
    # With --no-deps nothing that Colab brings can change; the list holds all that Colab lacks.
    install = f"%pip install -q --no-deps -r {repository}/raw/{ref}/requirements/colab.txt {package}"
    return {"version": version, "repository": repository, "ref": ref, "install": install}


def badge(repository: str, ref: str, path: str) -> str:
    """Markdown of the button that opens `path` of the repository in Colab."""
    colab = "https://colab.research.google.com"
    link = f"{colab}/github/{repository.removeprefix('https://github.com/')}/blob/{ref}/{path}"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({link})"


def table(config: Any, section: str) -> str:
    """Parameters of one section as a Markdown table, from the fields of the network's Config."""
    rows = ["| parameter | name | default | meaning |", "|---|---|---|---|"]
    for name, field in config.fields(section).items():
        default = "automatic" if field.default in (None, "") else f"`{field.default}`"
        label, meaning = field.json_schema_extra["label"], " ".join(field.description.split())
        rows.append(f"| {label} | `{name}` | {default} | {meaning} |")
    return "\n".join(rows)


def expand(text: str, facts: dict[str, Any], source: Path) -> str:
    """Replace the fields in `text`, also inside what they insert; exit where one names nothing."""

    def value(match: re.Match[str]) -> str:
        name, argument = match.groups()
        if name == "include":
            return expand((source.parent / argument).read_text(encoding="utf-8").strip(), facts, source)
        if name == "parameters":
            return table(facts["network"].Config, argument)
        first, *rest = name.split(".")
        found = facts[first]
        for part in rest:
            found = getattr(found, part)
        return str(found)

    try:
        return FIELD.sub(value, text)
    except (KeyError, AttributeError, OSError) as error:
        raise SystemExit(f"{source}: {text.strip()[:60]!r} names what does not exist: {error}") from None


def build(source: Path, target: Path, root: Path = ROOT) -> str:
    """The notebook, as JSON text, that `source` describes and `target` will hold."""
    from zcdl_common.networks import NETWORKS

    facts: dict[str, Any] = dict(project(root))
    facts["badge"] = badge(facts["repository"], facts["ref"], target.relative_to(root).as_posix())
    if source.stem in NETWORKS:
        facts["network"] = NETWORKS[source.stem]
    parts = list(MARKER.finditer(text := source.read_text(encoding="utf-8")))
    ends = [part.start() for part in parts[1:]] + [len(text)]
    cells: list[Any] = []
    section, number = "top", 0
    for part, end in zip(parts, ends, strict=True):
        body = text[part.end() : end].strip("\n")
        if part["markdown"]:
            body = expand(re.sub(r"^# ?", "", body, flags=re.M), facts, source)
            cell = new_markdown_cell(body)
            if heading := re.search(r"^## (.+)$", body, re.M):
                section, number = re.sub(r"\W+", "-", heading[1].lower()).strip("-")[:50], 0
        else:
            title = part["title"].strip()
            body = expand(body, facts, source)
            cell = new_code_cell(f"# @title {title}\n{body}" if title else body)
            if title:
                cell.metadata["cellView"] = "form"  # Colab folds the code behind its title
        if part["tags"]:
            cell.metadata["tags"] = ast.literal_eval(part["tags"])
        number += 1
        # An id that says where the cell stands survives edits of its text, and so do links to it.
        cell["id"] = f"{section}-{number}"
        cells.append(cell)
    notebook = new_notebook(cells=cells)
    notebook.metadata = {
        "accelerator": "GPU",
        "colab": {"name": target.name, "provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build or check every notebook; 1 where one has no source or differs from it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a notebook differs")
    check = parser.parse_args(arguments).check
    folder = root / "notebooks"
    sources = {
        folder / source.relative_to(folder / "src").with_suffix(".ipynb"): source
        for source in sorted((folder / "src").rglob("*.py"))
    }
    stale = [path for path in folder.rglob("*.ipynb") if path not in sources and ".ipynb_" not in str(path)]
    problems = [f"{path.relative_to(root)} has no source in notebooks/src" for path in stale]
    for target, source in sources.items():
        text = build(source, target, root)
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        if check:
            problems.append(f"{target.relative_to(root)} differs from its source; run: make notebooks")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
            print(f"built {target.relative_to(root)}")
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

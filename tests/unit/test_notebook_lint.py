"""The rules that every shipped notebook keeps."""

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECTIONS = [
    "1 Start",
    "2 Your images",
    "3 Settings",
    "4 Starting weights",
    "5 Train",
    "6 Quality control",
    "7 Use on new images",
    "8 Export",
]
FORBIDDEN = {
    "a definition": (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    "a try": (ast.Try, ast.TryStar),
    "a loop": (ast.For, ast.AsyncFor, ast.While, ast.comprehension),
}
BACKENDS = {"torch", "tensorflow", "tf", "keras", "tf_keras", "csbdeep", "stardist", "n2v"}
ABSOLUTE = re.compile(r"^(/\w|~|[A-Za-z]:[\\/]|\\\\)")


def code_problems(source: str, is_parameters: bool) -> list[str]:
    """Rules that a code cell breaks."""
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("# @title")]
    found = [f"{len(lines)} lines"] if len(lines) > 5 and not is_parameters else []
    nodes = list(ast.walk(ast.parse(TransformerManager().transform_cell(source))))
    found += [what for what, kinds in FORBIDDEN.items() if any(isinstance(n, kinds) for n in nodes)]
    names = {n.id for n in nodes if isinstance(n, ast.Name)}
    names |= {alias.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    names |= {(n.module or "").split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}
    found += [f"backend {name}" for name in sorted(names & BACKENDS)]
    texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return found + [f"absolute path {text}" for text in texts if ABSOLUTE.match(text)]


def problems(notebook: nbformat.NotebookNode, path: str, ref: str) -> list[str]:
    """Rules that a notebook breaks; `path` is where it stands in the repository."""
    found = []
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        found.append(f"{len(tagged)} cells tagged parameters")
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            found += [f"cell {number}: {p}" for p in code_problems(cell.source, cell in tagged)]
            if cell.outputs or cell.execution_count:
                found.append(f"cell {number}: outputs")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sections = re.findall(r"^## (\d.*?)\s*$", prose, re.M)
    if sections != SECTIONS:
        found.append(f"sections {sections}")
    if not re.match(r"# \S", notebook.cells[0].source):
        found.append("no title")
    links = re.findall(r"\(https://colab\.research\.google\.com/github/[^/]+/[^/]+/blob/([^)]+)\)", prose)
    if f"{ref}/{path}" not in links or any(link != f"{ref}/{path}" for link in links):
        found.append(f"badges {links}")
    return found


@pytest.fixture
def ref() -> str:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return "main" if "dev" in version else f"v{version}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path, ref):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook, f"notebooks/{path.name}", ref) == []


def sound() -> nbformat.NotebookNode:
    badge = "https://colab.research.google.com/github/o/r/blob/main/notebooks/x.ipynb"
    return new_notebook(
        cells=[
            new_markdown_cell(f"# X\n[![Open]({'badge.svg'})]({badge})"),
            *(new_markdown_cell(f"## {section}") for section in SECTIONS),
            new_code_cell(
                'params = {\n"a": 1,\n"b": 2,\n"c": 3,\n"d": 4,\n}', metadata={"tags": ["parameters"]}
            ),
            new_code_cell("if missing:\n    %pip install -q thing\nnb = Notebook('stardist')"),
        ]
    )


def test_the_rules_accept_a_sound_notebook():
    assert problems(sound(), "notebooks/x.ipynb", "main") == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("a\n" * 6, "6 lines"),
        ("def f(): pass", "a definition"),
        ("class A: pass", "a definition"),
        ("try:\n    f()\nexcept E: pass", "a try"),
        ("for a in b: print(a)", "a loop"),
        ("[a for a in b]", "a loop"),
        ("import torch", "backend torch"),
        ("from tensorflow.keras import layers", "backend tensorflow"),
        ("open('/content/drive/x')", "absolute path /content/drive/x"),
        (r"open('C:\\data')", r"absolute path C:\data"),
    ],
)
def test_the_rules_name_what_a_code_cell_must_not_hold(source, complaint):
    assert code_problems(source, is_parameters=False) == [complaint]


def test_the_rules_name_what_a_notebook_lacks_or_has_twice():
    notebook = sound()
    notebook.cells[2], notebook.cells[3] = notebook.cells[3], notebook.cells[2]
    notebook.cells[-1].metadata["tags"] = ["parameters"]
    notebook.cells[-1].execution_count = 3
    found = problems(notebook, "notebooks/y.ipynb", "main")
    assert [line.split(" [")[0] for line in found] == [
        "2 cells tagged parameters",
        "cell 11: outputs",
        "sections",
        "badges",
    ]

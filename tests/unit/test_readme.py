"""Every promise of README and CONTRIBUTING that a machine can check."""

import argparse
import re
import shlex
import sys
import tomllib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from packaging.specifiers import SpecifierSet
from PIL import Image

from zcdl_common import catalogue, cli, networks
from zcdl_common.axes import check_axes
from zcdl_common.citations import CITATIONS
from zcdl_common.formats import READ
from zcdl_common.pairs import core

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = {"README": README, "CONTRIBUTING": CONTRIBUTING}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NINE = {"unet", "stardist", "care", "noise2void", "deepstorm", "pix2pix", "cyclegan", "yolo", "fnet"}
PLACEHOLDER = re.compile(r"NAME|\*|\.\.\.|[<>{}]")
sys.path.insert(0, str(ROOT / "tools"))

import build_notebooks  # noqa: E402
import readme_figures  # noqa: E402


def code(page: str) -> list[str]:
    """What stands in code blocks, a line each, and between single backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


def commands(page: str, program: str) -> list[str]:
    return [line for line in code(page) if re.match(rf"(\.venv/bin/)?{program} ", line)]


def table(page: str, *heading: str) -> list[list[str]]:
    """Rows of the table whose heading begins like this."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| " + " | ".join(heading)))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


TEACHING = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
ZCDL = sorted({line for page in (*PAGES.values(), TEACHING) for line in commands(page, "zcdl")})


def subcommands() -> set[str]:
    actions = cli._parser()._actions
    return set(next(a for a in actions if isinstance(a, argparse._SubParsersAction)).choices)


@pytest.mark.parametrize("line", ZCDL)
def test_every_zcdl_command_is_understood(line):
    words = shlex.split(line)[1:]
    if len(words) == 1 and words[0] in subcommands():  # spoken of, not to be typed as it stands
        return
    args = cli._parser().parse_args(words)
    network = networks.get(getattr(args, "network", "unet"))
    config = network.Config.parse(cli.settings(getattr(args, "set", [])))
    if config.dataset or args.command is cli._data:
        assert catalogue.find(config.dataset or args.name)


def test_every_data_set_that_is_named_exists():
    found = re.findall(r"dataset=(\w+)", README)
    assert found and all(catalogue.find(name) for name in found)


def test_the_commands_that_a_reader_needs_are_shown():
    shown = {line.split()[1] for line in ZCDL}
    assert shown >= {"run", "check", "predict", "export", "compare", "list", "data", "lab", "demo"}


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_and_variable_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    lines = commands(PAGES[page], "make")
    assert lines
    for line in lines:
        for word in shlex.split(line)[1:]:
            name, equals, _ = word.partition("=")
            assert re.search(rf"^{name} \?=|\$\({name}\)", MAKEFILE, re.M) if equals else name in targets, (
                line
            )


def test_the_two_commands_come_in_this_order():
    assert [line for line in code(README) if line in ("make demo", "make test")][:2] == [
        "make demo",
        "make test",
    ]


def test_the_table_of_networks_agrees_with_the_registry():
    rows = table(README, "notebook", "what it is for")
    status = {names(row[0])[0]: row[-1].strip("*") for row in rows}
    assert status.keys() == NINE
    assert {name for name, text in status.items() if text != "planned"} == set(networks.NETWORKS)
    for row in rows:
        name, dois = names(row[0])[0], re.findall(r"https://doi\.org/([^)]+)\)", row[3])
        assert dois and set(dois) <= CITATIONS.keys()
        if name in networks.NETWORKS:
            assert tuple(dois) == networks.get(name).cite
        for doi in dois:
            author, year = re.search(rf"\[(\S+) (\d+)\]\(https://doi\.org/{re.escape(doi)}", row[3]).groups()
            assert CITATIONS[doi].startswith(author) and f"({year})" in CITATIONS[doi]


def test_badges_are_those_of_the_builder():
    facts = build_notebooks.project()
    badges = {
        build_notebooks.badge(facts["repository"], facts["ref"], f"notebooks/{name}.ipynb")
        for name in networks.NETWORKS
    }
    shown = set(re.findall(r"\[!\[Open in Colab\]\([^)]+\)\]\([^)]+\)", README))
    assert shown == badges, "copy the badges from the notebooks"
    assert README.count("https://colab.research.google.com/github") == len(badges)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_this_repository_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


@pytest.mark.parametrize("page", PAGES)
def test_addresses_of_the_repository_are_the_one_in_pyproject(page):
    found = re.findall(r"https://github\.com/[\w.-]+/zcdl[\w-]*", PAGES[page])
    assert set(found) <= {PROJECT["urls"]["Repository"]}


def test_pictures_are_made_by_the_command_small_and_all_of_them_shown():
    shown = set(re.findall(r"\]\(docs/images/([^)]+)\)", README))
    assert shown == set(readme_figures.PICTURES) == {path.name for path in readme_figures.IMAGES.iterdir()}
    for name in shown:
        path = readme_figures.IMAGES / name
        assert path.stat().st_size <= readme_figures.LARGEST
        with Image.open(path) as image:
            assert np.ptp(np.asarray(image.convert("L"))) > 100
    alternatives = re.findall(r"!\[([^]]*)\]\(docs", README)
    assert len(alternatives) == len(shown) and all(len(text) > 20 for text in alternatives)


def test_a_picture_too_large_is_packed_or_refused():
    noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    png = BytesIO()
    Image.fromarray(noise).save(png, "PNG")
    assert readme_figures.small(png.getvalue(), 10**6) == png.getvalue()
    packed = readme_figures.small(png.getvalue(), 20_000)
    assert len(packed) <= 20_000 and Image.open(BytesIO(packed)).size == (100, 100)
    with pytest.raises(SystemExit, match="too large"):
        readme_figures.small(png.getvalue(), 1000)


def test_every_parameter_in_the_mapping_from_zerocostdl4mic_exists():
    rows = table(README, "ZeroCostDL4Mic", "here")
    fields = {field for network in networks.NETWORKS.values() for field in network.Config.model_fields}
    used = [name for row in rows for name in names(row[1])]
    said = [name for row in rows for name in names(row[2]) if re.fullmatch(r"[a-z_]+", name)]
    assert len(rows) > 15 and set(used) | set(said) <= fields
    assert all(names(row[0]) and (names(row[1]) or row[1] == "none") for row in rows)
    assert not {name for row in rows for name in names(row[0])} & (
        fields - {"batch_size", "downscaling_in_xy"}
    )


def test_axes_and_names_of_the_examples_are_read_as_the_text_says():
    plain = next(line for line in README.splitlines() if "Plain TIFF stacks" in line)
    for axes in ("ZYX", "TYX", "CYX", "YXC"):
        assert f"`{axes}`" in plain and check_axes(axes) == axes
    pairs = next(line for line in README.splitlines() if "Names make the pairs" in line)
    assert {core(name) for name in names(pairs)} == {"cell_01"} and len(names(pairs)) == 4
    for kind in ("TIFF", "OME-TIFF", "ImageJ TIFF", "OME-Zarr"):
        assert kind in READ and kind in README


def test_no_time_is_promised_to_the_minute():
    times = re.findall(r"[^.;|(]*\b(?:seconds?|minutes?|hours?)\b[^.;|)]*", README)
    assert times
    for text in times:
        assert re.search(r"\b(about|some|several)\b", text.lower()), text


def test_pip_lines_install_torch_first_and_the_locks_as_they_are():
    lines = [line for line in code(README) if "pip install" in line]
    assert "requirements/torch.txt" in lines[0] and "--no-deps" not in lines[0]
    assert lines[1:] and all("--no-deps" in line for line in lines[1:])
    lists = [name for line in lines for name in re.findall(r"-r (\S+)", line)]
    assert all((ROOT / name).is_file() for name in lists)
    assert "requirements/core.txt" in lists and "requirements/tensorflow.txt" in lists
    assert "--editable ." in lines[2], "the package itself comes after all that it needs"


@pytest.mark.parametrize("page", PAGES)
def test_python_versions_are_those_that_the_package_takes(page):
    allowed = SpecifierSet(PROJECT["requires-python"])
    versions = set(re.findall(r"(?:Python|-|to|or|,) ?(3\.\d+)\b", PAGES[page]))
    assert versions and all(version in allowed for version in versions)


def test_files_and_folders_named_in_contributing_exist():
    paths = [name for name in code(CONTRIBUTING) if "/" in name and not re.search(r"[\s=]", name)]
    paths = [
        name for name in paths if not PLACEHOLDER.search(name) and not name.startswith((".venv", "zcdl_runs"))
    ]
    assert len(paths) > 20
    inside = [ROOT, ROOT / "zcdl_common"]
    assert not [name for name in paths if not any((folder / name).exists() for folder in inside)]


def test_confidential_data_and_honest_limits_are_spoken_of():
    assert "your images are sent to Google" in README
    assert "One field of view: this shows how it works, not how good it is." in README
    assert "independent of [ZeroCostDL4Mic]" in README and "10.1038/s41467-021-22518-0" in README

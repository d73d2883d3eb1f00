import json
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from build_notebooks import build, main, project  # noqa: E402

SOURCE = """\
# %% [markdown]
# # {{network.title}}
#
# {{badge}}
# {{include: _shared/hello.md}}
# %% [markdown]
# ## 1 Start
# %% Install tags=["install", "nbval-skip"]
{{install}}
# %% [markdown]
# ## 2 Your images
# %% tags=["parameters"]
params = {"name": ""}
# %%
nb.images(params)
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with the U-Net's source alone."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = tmp_path / "notebooks" / "src"
    (folder / "_shared").mkdir(parents=True)
    (folder / "_shared" / "hello.md").write_text("Made for {{network.name}}, version {{version}}.\n")
    (folder / "unet.py").write_text(SOURCE)
    return tmp_path


def built(repository):
    main([], repository)
    return nbformat.read(repository / "notebooks" / "unet.ipynb", as_version=4)


def test_committed_notebooks_equal_their_sources(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_cells_carry_their_text_tags_and_folded_titles(repository):
    notebook = built(repository)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "markdown", "code", "markdown", "code", "code"]
    install, parameters, images = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert install.metadata == {"cellView": "form", "tags": ["install", "nbval-skip"]}
    assert install.source.startswith("# @title Install\n%pip install -q --no-deps -r https://")
    assert parameters.metadata == {"tags": ["parameters"]} and parameters.source == 'params = {"name": ""}'
    assert images.metadata == {} and images.source == "nb.images(params)"
    assert not any(cell.outputs or cell.execution_count for cell in (install, parameters, images))


def test_fields_are_filled_from_the_network_and_the_project_also_inside_shared_text(repository):
    from zcdl_common.networks import get

    facts = project(repository)
    title = built(repository).cells[0].source
    assert title.startswith(f"# {get('unet').title}\n")
    assert title.endswith(f"Made for unet, version {facts['version']}.")
    owner = facts["repository"].removeprefix("https://github.com/")
    assert f"/github/{owner}/blob/{facts['ref']}/notebooks/unet.ipynb)" in title


def test_links_and_install_line_of_a_release_are_pinned_to_its_tag(repository):
    page = repository / "pyproject.toml"
    version = project(repository)["version"]
    page.write_text(page.read_text().replace(f'version = "{version}"', 'version = "2.5.1"'))
    text = "".join(cell.source for cell in built(repository).cells)
    assert "/blob/v2.5.1/notebooks/unet.ipynb" in text
    assert "/raw/v2.5.1/requirements/colab.txt zcdl-common==2.5.1" in text


def test_ids_stay_when_text_changes_and_cells_are_added_in_another_section(repository):
    before = [cell.id for cell in built(repository).cells]
    assert len(set(before)) == len(before)
    source = repository / "notebooks" / "src" / "unet.py"
    longer = SOURCE.replace("# ## 1 Start\n", "# ## 1 Start\n# More.\n# %%\nnb.device()\n")
    source.write_text(longer.replace("nb.images(params)", "nb.images(params, 3)"))
    after = [cell.id for cell in built(repository).cells]
    assert before[-3:] == after[-3:] and before[:2] == after[:2]


def test_check_names_what_differs_and_writes_nothing(repository, capsys):
    built(repository)
    assert main(["--check"], repository) == 0
    target = repository / "notebooks" / "unet.ipynb"
    record = json.loads(target.read_text())
    record["cells"][0]["source"] = ["edited by hand"]
    target.write_text(json.dumps(record))
    (repository / "notebooks" / "stray.ipynb").write_text("{}")
    edited = target.read_text()
    assert main(["--check"], repository) == 1
    complaint = capsys.readouterr().err
    assert "unet.ipynb differs" in complaint and "stray.ipynb has no source" in complaint
    assert target.read_text() == edited


@pytest.mark.parametrize("text", ["{{network.titel}}", "{{include: _shared/nothing.md}}", "{{nonsense}}"])
def test_a_field_that_names_nothing_is_an_error_with_the_file(repository, text):
    source = repository / "notebooks" / "src" / "unet.py"
    source.write_text(f"# %% [markdown]\n# {text}\n")
    with pytest.raises(SystemExit, match=r"unet\.py"):
        build(source, repository / "notebooks" / "unet.ipynb", repository)


def test_parameter_tables_show_every_field_of_a_section(repository):
    from zcdl_common.networks import get

    source = repository / "notebooks" / "src" / "unet.py"
    source.write_text("# %% [markdown]\n# {{parameters: training}}\n")
    rows = built(repository).cells[0].source.splitlines()[2:]
    names = [row.split("|")[2].strip(" `") for row in rows]
    assert names == list(get("unet").Config.fields("training"))

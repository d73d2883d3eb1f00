"""The form: values that can be used reach the parameters, others do not; it says the same as the command."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import cli
from zcdl_common.errors import ConfigError
from zcdl_common.form import Form
from zcdl_common.form.browser import Browser, nearest, subfolders
from zcdl_common.form.words import command_line
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.parameter import value_text

PLANNED = {
    "epochs": (60, "enough for most data"),
    "patch_size": ((128, 128), "as large as the smallest image allows"),
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def form(params=None, *sections, planned=PLANNED):
    params = {} if params is None else params
    return Form(UNetConfig, params, sections or ("settings", "augmentation", "training"), planned)


def test_a_typed_value_reaches_the_parameters_with_its_type():
    params = {}
    shown = form(params)
    shown.fields["epochs"].input.value = "3"
    shown.fields["patch_size"].input.value = "64 x 96"
    shown.fields["loss"].input.value = "focal"
    shown.fields["flips"].input.value = False
    assert params == {"epochs": 3, "patch_size": (64, 96), "loss": "focal", "flips": False}


@pytest.mark.parametrize(
    ("name", "wrong"), [("epochs", "abc"), ("epochs", "0"), ("patch_size", "a b"), ("scale", "7")]
)
def test_a_wrong_value_is_told_in_the_words_of_the_config_and_the_last_good_one_stays(name, wrong):
    params = {"epochs": 5}
    shown = form(params)
    shown.fields[name].input.value = wrong
    with pytest.raises(ConfigError) as error:
        UNetConfig.parse({name: wrong})
    line = str(error.value).splitlines()[1].removeprefix("  - ")
    note = shown.fields[name].note.value.replace("&#x27;", "'")
    assert line in note
    assert "&#9888;" in note, "told by a sign and not by colour alone"
    assert params == {"epochs": 5}


def test_a_right_value_takes_the_message_away():
    shown = form()
    shown.fields["epochs"].input.value = "abc"
    shown.fields["epochs"].input.value = "4"
    assert "alert" not in shown.fields["epochs"].note.value


def test_empty_means_automatic_and_shows_value_and_reason():
    params = {"patch_size": (64, 64)}
    shown = form(params)
    field = shown.fields["patch_size"]
    assert "automatic" not in field.note.value
    field.input.value = ""
    assert "patch_size" not in params
    assert field.input.placeholder == "automatic: 128 x 128"
    assert "automatic: 128 x 128, as large as the smallest image allows" in field.note.value


def test_an_emptied_field_with_a_default_shows_the_default_again():
    shown = form({"scale": 0.3})
    shown.fields["scale"].input.value = ""
    assert shown.fields["scale"].input.value == "0.1"


def test_at_most_eight_fields_of_a_section_are_open_and_the_others_folded():
    shown = form()
    assert shown.more.selected_index is None
    assert set(shown.fields) == {
        name for section in ("settings", "augmentation", "training") for name in UNetConfig.fields(section)
    }
    assert "precision" in shown.folded
    assert "epochs" not in shown.folded
    for section in ("settings", "augmentation", "training"):
        assert sum(name not in shown.folded for name in UNetConfig.fields(section)) <= 8


def test_folded_changes_are_counted_in_the_title():
    shown = form()
    shown.fields["dropout"].input.value = "0.5"
    assert "1 changed" in shown.more.get_title(0)


def test_labels_speak_the_words_of_the_task():
    shown = form({}, "images", planned={})
    assert shown.fields["target"].input.description == "masks"


def test_paths_are_taken_as_people_paste_them():
    params = {}
    form(params, "images", planned={}).fields["source"].input.value = ' "C:\\my images" '
    assert params["source"] == "C:\\my images"


def test_a_dataset_that_is_not_in_the_list_is_still_shown():
    shown = form({"dataset": "mine"}, "images", planned={})
    assert shown.fields["dataset"].input.value == "mine"


text = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    licence=text,
    name=st.from_regex(r"[0-9a-z]{1,9}", fullmatch=True),
    epochs=st.integers(1, 500),
    rate=st.floats(1e-7, 1.0),
    augment=st.booleans(),
)
def test_the_command_line_says_the_same_as_the_form(licence, name, epochs, rate, augment):
    params = {
        "name": name,
        "model_licence": licence.strip(),
        "epochs": epochs,
        "learning_rate": rate,
        "augment": augment,
        "patch_size": (64, 32),
    }
    words = shlex.split(command_line(UNetConfig, params))
    assert words[:3] == ["zcdl", "run", "unet"]
    assert UNetConfig.parse(cli.settings(words[4:])) == UNetConfig.parse(params)


def test_the_command_line_names_only_what_differs_from_the_defaults():
    assert command_line(UNetConfig, {"source": "", "seed": 0}) == "zcdl run unet"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), ((128, 64), "128 x 64"), ((0.5, 1.0), "0.5, 1"), (1e-3, "0.001"), (("a", "b c"), "a, b c")],
)
def test_values_as_people_write_them(value, expected):
    assert value_text(value) == expected


def test_the_browser_counts_images_and_hands_over_the_marked_folder(tmp_path):
    for n in range(3):
        (tmp_path / "masks 10").mkdir(exist_ok=True)
        np.save(tmp_path / "masks 10" / f"{n}.npy", np.zeros((2, 2)))
    (tmp_path / "masks 2").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert [name for name, _ in subfolders(tmp_path)] == ["masks 2 (no images)", "masks 10 (3 images)"]
    chosen = []
    browser = Browser(lambda: str(tmp_path / "masks 10" / "not there"), chosen.append)
    browser.button.click()
    assert browser.folder == tmp_path / "masks 10"
    browser.up.click()
    assert browser.take.description == f"Use {tmp_path.name}"
    browser.list.index = 1
    assert browser.take.description == "Use masks 10"
    browser.take.click()
    assert chosen == [str(tmp_path / "masks 10")]
    assert browser.panel.layout.display == "none"


def test_the_browser_begins_at_the_nearest_folder_that_exists(tmp_path):
    assert nearest(f'"{tmp_path}/no/such"') == tmp_path
    assert nearest("") == Path.cwd()


def test_a_chosen_folder_reaches_the_parameters(tmp_path):
    params = {}
    shown = form(params, "images", planned={})
    shown.fields["source"]._chosen(str(tmp_path))
    assert params["source"] == str(tmp_path)

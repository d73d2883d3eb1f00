"""What was typed and trained before is offered, complete and unasked never used."""

import os

import pytest

from zcdl_common import drafts
from zcdl_common.config import ConfigError
from zcdl_common.data import Data
from zcdl_common.form import Form
from zcdl_common.networks.unet import UNET, UNetConfig
from zcdl_common.run import create
from zcdl_common.task import Facts, Split


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(results, name, epochs, done, **params):
    """A run folder with `done` rows in its losses table."""
    config = UNetConfig.parse({"name": name, "epochs": epochs, **params})
    facts = Facts(2, ("grey",), ((64, 64),), "uint8", classes=(0, 1))
    run = create(results / name, UNET, config, facts, {"patch_size": "fits"}, Data(Split((), ())))
    rows = [f"{epoch},0.5,0.6,0.001,2.0" for epoch in range(1, done + 1)]
    (run.folder / "losses.csv").write_text("\n".join(["epoch,loss,val_loss,learning_rate,seconds", *rows]))
    return run


def test_what_was_typed_is_offered_to_the_next_kernel_and_not_taken_by_itself(tmp_path):
    Form(UNetConfig, {"dataset": "nuclei_2d"}, ("settings",), {}).fields["patch_size"].input.value = "64, 64"
    params = {"dataset": "nuclei_2d"}
    shown = Form(UNetConfig, params, ("images",), {})
    assert params == {"dataset": "nuclei_2d"}
    (offer,) = drafts.offers(UNetConfig, params)
    assert offer.text == "use last settings"
    assert offer.changes == ("patch_size",)
    assert "patch size (pixels) = 64 x 64" in shown.widget.children[0].children[1].value
    shown._take(offer)
    assert UNetConfig.parse(params).patch_size == (64, 64)


def test_nothing_is_offered_where_nothing_differs():
    params = {"epochs": 3}
    drafts.save(UNetConfig, params, "")
    assert drafts.offers(UNetConfig, params) == []


def test_edits_lie_in_the_results_folder_and_in_the_chosen_one(tmp_path):
    (tmp_path / "chosen").mkdir()
    drafts.save(UNetConfig, {"results": str(tmp_path / "chosen")}, "")
    assert drafts.draft_file("", "unet").is_file()
    assert (tmp_path / "chosen" / ".zcdl_unet.yaml").is_file()


def test_a_mistyped_results_folder_is_not_made(tmp_path):
    drafts.save(UNetConfig, {"results": str(tmp_path / "typo")}, "")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    "torn", ["format: 1\nepochs: [", "", "epochs: much\n", "network: care\nepochs: 3\n", "format: 99"]
)
def test_a_draft_that_cannot_be_read_is_passed_over(torn):
    drafts.save(UNetConfig, {"epochs": 3}, "")
    drafts.draft_file("", "unet").write_text(torn)
    assert drafts.offers(UNetConfig, {}) == []


def test_an_unfinished_run_is_offered_and_goes_on_as_the_same_run(tmp_path):
    own = {"source": "images", "target": "masks", "flips": False, "patch_size": (64, 64)}
    run = trained(tmp_path / "zcdl_runs", "nuclei_1", 100, 37, **own)
    (offer,) = drafts.offers(UNetConfig, {})
    assert offer.text == "continue nuclei_1 (37 of 100 epochs)"
    again = UNetConfig.parse(offer.params)
    assert again.same_run(run.config) == []
    assert again.patch_size is None, "what was automatic stays automatic"
    assert (again.name, again.epochs, again.source, again.flips) == ("nuclei_1", 100, "images", False)


def test_finished_and_not_begun_runs_and_those_of_other_networks_are_not_offered(tmp_path):
    results = tmp_path / "zcdl_runs"
    trained(results, "finished", 5, 5)
    trained(results, "not_begun", 5, 0)
    other = trained(results, "other", 5, 2).folder / "config.yaml"
    other.write_text(other.read_text().replace("network: unet", "network: care"))
    assert drafts.offers(UNetConfig, {}) == []


def test_a_broken_run_folder_does_not_break_the_form(tmp_path):
    run = trained(tmp_path / "zcdl_runs", "broken", 5, 2)
    (run.folder / "plan.yaml").write_text("facts: 3")
    assert drafts.offers(UNetConfig, {}) == []


def test_only_the_newest_unfinished_runs_are_offered(tmp_path):
    for n in range(5):
        folder = trained(tmp_path / "zcdl_runs", f"run_{n}", 9, 1).folder
        os.utime(folder / "config.yaml", (n, n))
    assert [o.text.split()[1] for o in drafts.offers(UNetConfig, {})] == ["run_4", "run_3", "run_2"]


def test_a_wrong_value_is_never_kept():
    with pytest.raises(ConfigError):
        drafts.save(UNetConfig, {"epochs": 0}, "")
    assert not drafts.draft_file("", "unet").exists()


def test_an_edit_counts_also_where_it_cannot_be_kept(tmp_path):
    (tmp_path / "zcdl_runs").write_text("a file, where a folder should be")
    params = {}
    shown = Form(UNetConfig, params, ("settings",), {})
    shown.fields["epochs"].input.value = "7"
    assert params == {"epochs": 7}
    assert "could not be kept" in shown.message.value

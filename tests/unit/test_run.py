import shutil

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zcdl_common import environment, networks, run, session
from zcdl_common.errors import RunError
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.task import Facts

CONFIG_1 = """\
format: 1
network: unet
dataset: ''
source: /data/my cells/images
target: /data/my cells/masks
test_source: ''
test_target: ''
results: /data/runs
name: nuclei
axes: ''
channels:
- '0'
pixel_size: null
test_fraction: 0.15
validation_fraction: 0.15
group_by: ''
epochs: 60
time_budget_minutes: null
batch_size: 4
patch_size:
- 128
- 128
learning_rate: 0.001
schedule: cosine
patches_per_image: 16
augment: true
seed: 0
masks_are: auto
depth: 3
filters: 16
loss: cross-entropy + dice
class_weights:
- 1.0
- 1.0
threshold: null
output: mask
"""
PLAN_1 = """\
facts:
  ndim: 2
  channels: [DAPI]
  shapes:
  - [256, 256]
  dtype: uint16
  pixel_size: [0.5, 0.5]
  classes: [0, 255]
  target_channels: []
  device: cpu
  counts: {train: 1, validation: 1, test: 1}
  extra:
    masks_are: classes
    class_shares: {0: 0.75, 255: 0.25}
reasons:
  depth: a size that fits
split: The 3 files were divided at random (seed 0).
example: ''
"""


def test_a_run_of_format_1_opens(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG_1)
    (tmp_path / "plan.yaml").write_text(PLAN_1)
    opened = run.open_run(tmp_path)
    assert opened.network.name == "unet" and opened.name == tmp_path.name
    assert opened.config.patch_size == (128, 128) and opened.config.channels == ("0",)
    assert opened.facts.pixel_size == (0.5, 0.5) and opened.facts.classes == (0, 255)
    assert opened.facts.extra["class_shares"] == {0: 0.75, 255: 0.25}
    assert opened.build().geometry.multiple == (8, 8)
    assert opened.settings() == {"threshold": 0.5} and opened.history() == []


def test_config_yaml_repeats_the_run(finished):
    again = UNetConfig.read(finished.folder / "config.yaml")
    assert again == finished.config
    assert not again.same_run(finished.config)


letters = st.characters(categories=["L", "N", "P", "S", "Zs"])
names = st.text(letters, min_size=1, max_size=8)
sizes = st.integers(1, 5000)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    names,
)
facts = st.builds(
    Facts,
    ndim=st.sampled_from([2, 3]),
    channels=st.lists(names, min_size=1, max_size=3).map(tuple),
    shapes=st.lists(st.tuples(sizes, sizes), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    pixel_size=st.none() | st.tuples(st.floats(1e-4, 10), st.floats(1e-4, 10)),
    classes=st.lists(st.integers(0, 300), max_size=4).map(tuple),
    counts=st.dictionaries(st.sampled_from(["train", "test"]), sizes),
    extra=st.dictionaries(names, values | st.lists(values, max_size=3).map(tuple), max_size=4),
)


@given(facts, st.dictionaries(names, names, max_size=3), names)
@settings(max_examples=30, deadline=None)
def test_facts_come_back_from_plan_yaml_as_they_went(tmp_path_factory, found, reasons, split):
    folder = tmp_path_factory.getbasetemp() / "plan"
    folder.mkdir(exist_ok=True)
    UNetConfig().write(folder / "config.yaml")
    run.write_plan(run.Run(folder, networks.get("unet"), UNetConfig(), found, reasons, split))
    opened = run.open_run(folder)
    assert opened.facts == found
    assert opened.reasons == reasons and opened.split_note == split


def test_numpy_numbers_in_facts_are_written_as_numbers(tmp_path):
    found = Facts(2, ("a",), ((np.int64(3), 4),), "uint8", extra={"x": np.float32(0.5), "y": np.arange(2)[0]})
    run.write_plan(run.Run(tmp_path, networks.get("unet"), UNetConfig(), found, {}))
    assert yaml.safe_load((tmp_path / "plan.yaml").read_text())["facts"]["extra"] == {"x": 0.5, "y": 0}


def test_the_same_name_and_parameters_open_the_same_run(images_2d, make, trained):
    again, _ = make.begin(images_2d, trained.folder.parent)
    assert again.folder == trained.folder and len(again.history()) == 2


def test_a_finished_run_is_reported_and_not_trained_again(images_2d, make, trained):
    again, data = make.begin(images_2d, trained.folder.parent)
    before = (trained.weights / "best.pt").read_bytes()
    assert "finished" in session.train(again, data) and "Raise epochs" in session.train(again, data)
    assert (trained.weights / "best.pt").read_bytes() == before


def test_raised_epochs_go_on(images_2d, make, trained):
    again, data = make.begin(images_2d, trained.folder.parent, epochs=3)
    session.train(again, data)
    assert [row["epoch"] for row in again.history()] == [1, 2, 3]
    assert again.history()[:2] == trained.history() or len(again.history()) == 3
    assert run.open_run(again.folder).config.epochs == 3


@pytest.mark.parametrize(
    "changed", [{"loss": "dice"}, {"seed": 3}, {"filters": 8}, {"flips": False}, {"patch_size": "16, 16"}]
)
def test_other_training_parameters_need_another_name(images_2d, make, trained, changed):
    with pytest.raises(RunError, match=rf"another {next(iter(changed))}.*name = run_2"):
        make.begin(images_2d, trained.folder.parent, **changed)


def test_an_attempt_that_never_trained_does_not_keep_its_name(images_2d, make, tmp_path):
    failed, _ = make.begin(images_2d, tmp_path, loss="dice")
    (failed.folder / "notes.txt").write_text("mine")
    begun, data = make.begin(images_2d, tmp_path)
    assert begun.folder == failed.folder and run.open_run(begun.folder).config.loss == "cross-entropy"
    assert (begun.folder / "notes.txt").read_text() == "mine"
    session.train(begun, data)
    with pytest.raises(RunError, match="another loss"):
        make.begin(images_2d, tmp_path, loss="dice")


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": "last"},
        {"threshold": 0.7},
        {"output": "all"},
        {"authors": "A B"},
        {"early_stop_epochs": 9},
    ],
)
def test_parameters_of_use_stay_with_the_run(images_2d, make, trained, changed):
    again, _ = make.begin(images_2d, trained.folder.parent, **changed)
    assert again.folder == trained.folder
    name = next(iter(changed))
    assert getattr(run.open_run(again.folder).config, name) == getattr(again.config, name)
    assert getattr(again.config, name) != getattr(trained.config, name)


def test_other_images_need_another_name(make, tmp_path, trained):
    make.pairs(tmp_path / "others", 6, first=50)
    for path in sorted((tmp_path / "others").rglob("*.tif")):
        path.rename(path.with_name(path.name.replace("cell_5", "cell_")))
    with pytest.raises(RunError, match="trained on other images"):
        make.begin(tmp_path / "others", trained.folder.parent)


def test_the_same_images_elsewhere_are_the_same_run(images_2d, make, tmp_path, trained):
    shutil.copytree(images_2d, tmp_path / "moved", dirs_exist_ok=True)
    again, _ = make.begin(tmp_path / "moved", trained.folder.parent)
    assert again.folder == trained.folder


def test_without_a_name_runs_are_dated_and_numbered(images_2d, make, tmp_path):
    one, _ = make.begin(images_2d, tmp_path, name="")
    same, _ = make.begin(images_2d, tmp_path, name="")
    other, _ = make.begin(images_2d, tmp_path, name="", loss="dice")
    assert one.name.startswith("unet_20") and same.folder == one.folder
    assert other.name == one.name + "_2"


def test_a_run_records_what_was_chosen_before_the_first_step(images_2d, make, tmp_path):
    begun, data = make.begin(images_2d, tmp_path)
    assert not begun.history()
    rows = begun.files()
    assert {r["name"]: r["role"] for r in rows} == {
        s.name: role for role in ("train", "validation", "test") for s in getattr(data.split, role)
    }
    assert all(len(r["sha256"]) == 64 and r["shape"] == "48 x 40" and r["dtype"] == "uint16" for r in rows)
    config = yaml.safe_load((begun.folder / "config.yaml").read_text())
    assert config["format"] == 1 and None not in [config[k] for k in begun.reasons]
    text = (begun.folder / "environment.txt").read_text()
    assert "torch: " in text and "python: 3" in text and "device: " in text


def test_runs_on_ome_zarr_images_open_again(make, tmp_path):
    from zcdl_common.writers import write_image

    for i in range(3):
        image, mask = make.blobs((32, 32), i)
        write_image(tmp_path / "images" / f"c{i}", image, "YX", format="ome-zarr")
        make.write(tmp_path / "masks" / f"c{i}.tif", mask)
    first, _ = make.begin(tmp_path)
    again, _ = make.begin(tmp_path)
    assert again.folder == first.folder


def test_the_newest_run_of_a_network_is_found(images_2d, make, tmp_path):
    import os

    made = [make.begin(images_2d, tmp_path, name=f"r{i}")[0].folder for i in range(3)]
    for age, folder in zip((5, 50, 1), made, strict=True):
        stamp = (folder / "config.yaml").stat().st_mtime - age
        os.utime(folder / "config.yaml", (stamp, stamp))
    assert run.newest_runs(tmp_path, "unet") == [made[2], made[0], made[1]]
    assert run.newest_runs(tmp_path, "care") == []


def test_a_limit_that_was_taken_away_no_longer_holds(images_2d, make, tmp_path):
    limited, data = make.begin(images_2d, tmp_path, epochs=3, time_budget_minutes=1e-5, early_stop_epochs=1)
    session.train(limited, data)
    free, data = make.begin(images_2d, tmp_path, epochs=3)
    assert free.config.time_budget_minutes is None and free.config.early_stop_epochs is None
    session.train(free, data)
    assert len(free.history()) == 3


@pytest.mark.parametrize(("backend", "module"), [("torch", "_torch"), ("tensorflow", "_keras")])
def test_a_gpu_is_named_by_the_backend_that_trains_on_it(monkeypatch, backend, module):
    monkeypatch.setattr(environment, "resolve", lambda name: lambda: name)
    assert f"gpu: zcdl_common.models.{module}:device_name" in environment.environment("gpu", backend)
    assert "gpu:" not in environment.environment("cpu", backend)

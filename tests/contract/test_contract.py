"""What every network promises, tested on real code and simulated images."""

import signal

import numpy as np
import pytest
from cases import CASES, FORMATS

from zcdl_common import checkpoint, networks, predict, session
from zcdl_common.export.from_run import as_run
from zcdl_common.run import open_run

NETWORKS = sorted(networks.NETWORKS)


def case(name, dimension="2d"):
    assert name in CASES, f"tests/contract/cases.py needs a tiny training for {name}"
    return CASES[name][dimension]


def weights_of(run):
    return run.load("last").state()


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_weights_and_checkpoint_are_written(name, trained):
    run, _ = trained(name, case(name))
    history = run.history()
    assert [row["epoch"] for row in history] == [1, 2]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    assert checkpoint.newest(run.folder / "checkpoint").epoch == 2
    assert {"best", "last"} <= {p.stem for p in run.weights.iterdir()}
    rows = run.files()
    roles = {row["role"] for row in rows}
    assert roles - {"imitated"} == {"train", "validation", "test"}
    assert ("imitated" in roles) == bool(run.network.task.divide), "the movies that were simulated alike"
    assert all(len(row["sha256"]) == 64 for row in rows)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_changes_the_weights(name, trained):
    run, _ = trained(name, case(name))
    before, after = run.build().state(), weights_of(run)
    assert any(not np.array_equal(before[k], after[k]) for k in before if k.startswith("module/"))


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_loaded_predict_the_same(name, trained):
    run, data = trained(name, case(name))
    image = data.split.test[0].source.read()
    model = run.build()
    model.restore(checkpoint.newest(run.folder / "checkpoint").state)
    one, two = (predict.maps(run, m, image) for m in (model, open_run(run.folder).load("last")))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_finished_run_is_reported_and_not_trained_again(name, trained):
    run, data = trained(name, case(name))
    before = {p: p.stat().st_mtime_ns for p in run.weights.iterdir()}
    assert "finished" in session.train(run, data)
    assert before == {p: p.stat().st_mtime_ns for p in run.weights.iterdir()}


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NETWORKS)
def test_killed_training_ends_where_an_uninterrupted_one_ends(name, kills, child, wait_for):
    params = {**case(name), "epochs": kills + 2}
    whole, _, whole_folder = child(name, params, "whole")
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    for kill in range(kills):
        process, progress, folder = child(name, params, "killed")
        wait_for(process, progress, kill + 2, 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(open_run(folder).history()) == kill + 1
    process, _, folder = child(name, params, "killed")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    one, two = (checkpoint.newest(f / "checkpoint").state for f in (whole_folder, folder))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[k], two[k]) for k in one)
    columns = ("loss", "val_loss", "learning_rate")
    losses = [[[row[c] for c in columns] for row in open_run(f).history()] for f in (whole_folder, folder)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("dimension", ["2d", "3d"])
@pytest.mark.parametrize("name", NETWORKS)
def test_export_passes_and_opens_as_a_run_again(name, dimension, trained, tmp_path):
    if dimension not in CASES[name]:
        pytest.skip(f"{name} has no {dimension}")
    run, data = trained(name, case(name, dimension))
    exported = session.export(run, say=lambda text: None)
    assert exported.path.exists()
    assert {row["format"] for row in exported.tests} == set(FORMATS[run.network.backend])
    assert all(row["passed"] for row in exported.tests)
    again = open_run(as_run(exported.path, tmp_path))
    image = data.split.test[0].source.read()
    one, two = (predict.maps(r, r.load("best"), image) for r in (run, again))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_volumes_are_predicted_with_their_pixel_size(name, trained):
    if "3d" not in CASES[name]:
        pytest.skip(f"{name} has no 3d")
    run, data = trained(name, case(name, "3d"))
    written = session.apply(run, str(data.split.test[0].source.path), say=lambda text: None)
    assert [w.problem for w in written] == [""]
    from zcdl_common.images import find_images

    (found,) = find_images(str(written[0].outputs[0]), "result")
    expected = data.split.test[0].source.info()
    assert found.info().shape == expected.shape
    assert found.info().pixel_size == pytest.approx(expected.pixel_size, rel=1e-3)

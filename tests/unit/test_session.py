import contextlib
import json
import shutil

import numpy as np
import pytest
import tifffile

from zcdl_common import places, session
from zcdl_common.config import Config
from zcdl_common.errors import DataError, RunError
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.run import open_run


def test_the_chosen_model_takes_parameters_of_use_and_of_reading_alone(trained):
    config = UNetConfig.parse(
        {"model": str(trained.folder), "threshold": 0.8, "weights": "last", "channels": "0", "loss": "dice"}
    )
    run = session.chosen_model(config)
    assert (run.config.threshold, run.config.weights, run.config.channels) == (0.8, "last", ("0",))
    assert run.config.loss == "cross-entropy"


def test_a_package_becomes_a_run_once_and_never_another_run(trained, tmp_path):
    import zipfile

    def packed(name, weights):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(trained.folder / "config.yaml", "zcdl_config.yaml")
            archive.write(trained.folder / "plan.yaml", "zcdl_plan.yaml")
            archive.writestr("weights.pt", weights)
        return path

    own = (trained.weights / "best.pt").read_bytes()
    first = packed("run.zip", own)
    results = tmp_path / "elsewhere"
    config = UNetConfig.parse({"model": str(first), "results": str(results)})
    assert session.chosen_model(config).folder == session.chosen_model(config).folder == results / "run"
    packed("run.zip", own + b"another model of the same name")
    assert session.chosen_model(config).folder == results / "run_2"
    assert (results / "run" / "weights" / "best.pt").read_bytes() == own


def test_predictions_lie_under_the_name_of_their_folder(trained, images_2d, tmp_path):
    for name in ("day.1", "day.2"):
        shutil.copytree(images_2d / "images", tmp_path / name)
        session.apply(trained, str(tmp_path / name), say=lambda text: None)
    found = {p.name: len(list(p.iterdir())) for p in (trained.folder / "predictions").iterdir()}
    assert found == {"day.1": 6, "day.2": 6}


def test_folders_of_the_same_name_do_not_overwrite_each_others_predictions(trained, make, tmp_path):
    folders = [make.pairs(tmp_path / day, 1)[0] for day in ("monday", "tuesday", "monday")]
    written = [session.apply(trained, str(f), say=lambda text: None)[0].outputs[0] for f in folders]
    assert [p.parent.name for p in written] == ["images", "images_2", "images"]


def test_a_prediction_that_wrote_nothing_is_not_recorded(trained, make, tmp_path):
    table, quiet = trained.folder / "predictions.yaml", lambda text: None
    nowhere = tmp_path / "monday" / "images"
    with contextlib.suppress(DataError):
        assert all(w.problem for w in session.apply(trained, str(nowhere), say=quiet))
    assert not table.exists() or str(nowhere) not in table.read_text()
    table.write_text(f"images: {nowhere}\n")  # as it was recorded once
    source, _ = make.pairs(tmp_path / "tuesday", 1)
    assert session.apply(trained, str(source), say=quiet)[0].outputs[0].parent.name == "images"
    assert table.read_text().strip() == f"images: {source}"


def test_a_failed_prediction_leaves_the_record_of_an_earlier_one(trained, make, tmp_path):
    source, _ = make.pairs(tmp_path / "day", 1)
    session.apply(trained, str(source), say=lambda text: None)
    before = (trained.folder / "predictions.yaml").read_text()
    shutil.rmtree(source)
    with contextlib.suppress(DataError):
        session.apply(trained, str(source), say=lambda text: None)
    assert (trained.folder / "predictions.yaml").read_text() == before


def test_without_new_images_a_test_image_is_predicted(trained):
    role = {row["file"]: row["role"] for row in trained.files()}
    assert role[session.test_folder(trained)] == "test"


def test_a_test_folder_is_predicted_whole(make, tmp_path):
    make.pairs(tmp_path)
    source, target = make.pairs(tmp_path / "test", 2, first=20)
    run, _ = make.train(tmp_path, test_source=str(source), test_target=str(target))
    assert session.test_folder(run) == str(source)


def test_an_image_of_several_channels_is_predicted_whole(make, tmp_path):
    make.pairs(tmp_path)
    for path in (tmp_path / "images").iterdir():
        make.write(tmp_path / "actin" / path.name, 2 * tifffile.imread(path))
    run, _ = make.train(tmp_path, source=f"{tmp_path / 'images'};{tmp_path / 'actin'}")
    written = session.apply(run, session.test_folder(run), say=lambda text: None)
    assert [w.problem for w in written] == [""]
    assert len(session.test_folder(run).split(";")) == 2


def test_judging_writes_scores_that_can_be_computed_again(trained, make):
    summary = session.judge(trained, say=lambda text: None)
    on_disk = json.loads((trained.quality_control / "summary.json").read_text())
    assert on_disk["verdict"] == summary["verdict"] == "unclear"
    assert on_disk["n_images"] == 1 and on_disk["primary"] == "iou"
    test = next(row for row in trained.files() if row["role"] == "test")
    session.apply(trained, test["file"], say=lambda text: None)
    mask = tifffile.imread(next((trained.folder / "predictions").rglob("*.tif"))) > 0
    truth = tifffile.imread(test["target"]) > 0
    iou = (mask & truth).sum() / (mask | truth).sum()
    assert on_disk["metrics"]["iou"]["network"]["mean"] == pytest.approx(iou)
    assert on_disk["metrics"]["iou"]["network"]["ci95"] is None, "one image has no interval"
    for name in ("metrics.csv", "settings.json", "figures/examples.png", "figures/scores.png"):
        assert (trained.quality_control / name).stat().st_size > 0
    assert len(list((trained.quality_control / "maps").iterdir())) == 1
    assert on_disk["threshold"] == trained.settings()["threshold"]
    assert isinstance(trained.config, Config)


def test_the_report_is_rewritten_after_every_section(trained):
    page, pdf = session.report(trained)
    before = page.read_text()
    session.judge(trained, say=lambda text: None)
    session.report(trained)
    assert page.read_text() != before and pdf.read_bytes().startswith(b"%PDF")
    assert open_run(trained.folder).folder == trained.folder
    assert np.isfinite(trained.history()[-1]["val_loss"])


def test_a_package_of_the_last_weights_opens_as_a_run(images_2d, make, tmp_path):
    run, _ = make.train(images_2d, tmp_path, weights="last")
    again = session.finished(session.export(run, say=lambda text: None).path, str(tmp_path / "elsewhere"))
    state, same = again.load().state(), run.load("last").state()
    assert all(np.array_equal(state[k], same[k]) for k in same if k.startswith("module/"))
    with pytest.raises(RunError, match=r"package.*predict_source"):
        session.judge(again)


def test_a_new_run_does_not_go_on_from_one_whose_folder_is_gone(images_2d, make, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "DRIVE", tmp_path / "drive")
    monkeypatch.setattr(places, "LOCAL", tmp_path / "local")
    old, _ = make.train(images_2d, tmp_path / "drive" / "runs")
    assert list((tmp_path / "local" / "runs" / "run" / "checkpoint").iterdir())
    shutil.rmtree(old.folder)
    new, data = make.begin(images_2d, tmp_path / "drive" / "runs", loss="focal")
    assert "All 2 epochs are done" in session.train(new, data)


def test_the_threshold_is_chosen_when_training_ends_and_again_when_it_went_on(images_2d, make, tmp_path):
    run, data = make.train(images_2d, tmp_path, epochs=1)
    chosen = run.settings()
    assert chosen["epochs"] == 1 and len(chosen["curve"]) > 10, "without any quality control"
    said = []
    session.train(run, data, say=said.append)
    assert not said, "a finished run keeps what was chosen"
    more, data = make.begin(images_2d, tmp_path, epochs=2)
    session.train(more, data, say=said.append)
    assert said and more.settings()["epochs"] == 2 and more.settings()["curve"] != chosen["curve"]


def test_scores_from_before_more_training_are_called_outdated(images_2d, make, trained):
    session.judge(trained, say=lambda text: None)
    assert "Outdated" not in session.report(trained)[0].read_text()
    more, data = make.begin(images_2d, trained.folder.parent, epochs=3)
    session.train(more, data)
    assert "Outdated" in session.report(more)[0].read_text()
    session.judge(more, say=lambda text: None)
    assert "Outdated" not in session.report(more)[0].read_text()


def test_a_finished_network_is_judged_on_the_test_folders_named_later(images_2d, make, tmp_path):
    first = make.pairs(tmp_path / "first", 2, first=30)
    run, _ = make.train(images_2d, tmp_path, test_source=str(first[0]), test_target=str(first[1]))
    shutil.rmtree(tmp_path / "first")
    source, target = make.pairs(tmp_path / "later", 3, first=40)
    asked = UNetConfig.parse({"test_source": str(source), "test_target": str(target)})
    summary = session.judge(run, lambda text: None, asked)
    rows = (run.quality_control / "metrics.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["cell_40", "cell_41", "cell_42"]
    assert summary["n_images"] == 3 and str(source) in summary["split"]
    learned = UNetConfig.parse(
        {"test_source": str(images_2d / "images"), "test_target": str(images_2d / "masks")}
    )
    with pytest.raises(DataError, match="trained with"):
        session.judge(run, lambda text: None, learned)


def test_images_that_changed_since_are_not_judged_as_if_they_had_not(make, tmp_path):
    make.pairs(tmp_path)
    run, data = make.train(tmp_path)
    changed = data.split.test[0]
    make.write(changed.target.path, 255 - tifffile.imread(changed.target.path))
    with pytest.raises(DataError, match=f"{changed.name} changed since"):
        session.judge(run, say=lambda text: None)


def test_a_package_says_nothing_of_where_the_images_lie(trained, tmp_path):
    from zcdl_common.export.from_run import package_info

    info = package_info(trained, trained.load(), tmp_path)
    for path in info.attachments:
        assert str(tmp_path.parent.parent) not in path.read_text()
    assert str(trained.config.source) not in (tmp_path / "zcdl_config.yaml").read_text()


def test_a_run_keeps_the_arithmetic_it_began_with(make, images_2d, tmp_path):
    from dataclasses import replace

    run, _ = make.train(images_2d, tmp_path)
    recorded = open_run(run.folder).facts
    assert recorded.extra["arithmetic"] == "float32"
    other = replace(recorded, extra={**recorded.extra, "arithmetic": "bfloat16"})
    assert run.network.build(run.config, other).arithmetic == "bfloat16"


def test_fewer_epochs_than_are_done_leave_the_run_alone(make, images_2d, tmp_path):
    from zcdl_common.data import open_data

    run, _ = make.train(images_2d, tmp_path, epochs=3)
    before = (run.folder / "config.yaml").read_text()
    asked = UNetConfig.parse({**run.config.model_dump(), "epochs": 2})
    with pytest.raises(RunError, match=r"has 3 epochs done.*another name"):
        session.begin(session.prepare(run.network, asked, open_data(asked, run.network)))
    assert (run.folder / "config.yaml").read_text() == before

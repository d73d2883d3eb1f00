"""The verbs of a notebook as plain calls, in the order of its cells and out of it."""

import numpy as np
import pytest
import tifffile

from zcdl_common.errors import RunError
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.notebook import Notebook


@pytest.fixture(autouse=True)
def headless(monkeypatch, home):
    monkeypatch.setenv("ZCDL_HEADLESS", "1")
    monkeypatch.delenv("ZCDL_PARAMS", raising=False)


@pytest.fixture
def params(images_2d, make, tmp_path):
    folders = {"source": str(images_2d / "images"), "target": str(images_2d / "masks")}
    return {**folders, **make.tiny, "results": str(tmp_path / "runs"), "name": "mine"}


def test_all_sections_in_order(params, tmp_path, capsys):
    nb = Notebook("unet")
    nb.images(params)
    for verb in (
        "check",
        "look",
        "settings",
        "preview",
        "starting_weights",
        "train",
        "judge",
        "use",
        "predict",
    ):
        getattr(nb, verb)()
    folder = tmp_path / "runs" / "mine"
    for name in ("config.yaml", "plan.yaml", "data.csv", "losses.csv", "environment.txt", "weights/best.pt",
                 "weights/last.pt", "quality_control/summary.json", "report.html", "report.pdf"):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    assert list((folder / "predictions").rglob("*.tif"))
    assert nb.download("predictions").name == "predictions_download.zip"
    shown = capsys.readouterr().out
    assert "0 (60 % of the pixels), 255 (40 % of the pixels)" in shown and "unknown" in shown
    said = ("divided at random", "because", "Training will take about", "epoch 2 of 2", "All 2 epochs", "iou")
    assert not [text for text in said if text not in shown]


def test_a_voxel_size_that_is_not_known_is_told(make, tmp_path, capsys):
    source, target = make.pairs(tmp_path, 4, (8, 32, 32))
    nb = Notebook("unet")
    nb.images({"source": str(source), "target": str(target), "axes": "ZYX"})
    nb.settings()
    assert "set pixel_size" in capsys.readouterr().out
    nb.params["pixel_size"] = "1, 0.5, 0.5"
    nb.settings()
    assert "set pixel_size" not in capsys.readouterr().out


def test_a_fresh_kernel_runs_sections_1_and_7_alone(trained, images_2d, tmp_path):
    nb = Notebook("unet")
    nb.images({})
    nb.params |= {"model": str(trained.folder), "predict_source": str(images_2d / "images")}
    nb.use()
    nb.predict()
    assert len(list((trained.folder / "predictions" / "images").iterdir())) == 6


def test_an_earlier_run_is_judged_on_the_test_folders_of_section_2(params, trained, make, tmp_path):
    source, target = make.pairs(tmp_path / "new", 2, first=60)
    nb = Notebook("unet")
    nb.images({**params, "name": "run", "test_source": str(source), "test_target": str(target)})
    nb.judge()
    assert "cell_61" in (trained.quality_control / "metrics.csv").read_text()


def test_a_restarted_kernel_goes_on_by_the_name(params, trained, tmp_path):
    nb = Notebook("unet")
    nb.images({**params, "name": "run"})
    nb.predict()
    assert list((trained.folder / "predictions").rglob("*.tif"))


def test_without_a_name_the_newest_run_is_proposed(params, trained):
    nb = Notebook("unet")
    nb.images({**params, "name": ""})
    with pytest.raises(RunError, match=r"newest one here is .*run: set model"):
        nb.predict()


def test_parameters_of_a_file_win_and_are_read_once(params, tmp_path, monkeypatch):
    UNetConfig.parse({**params, "epochs": 1}).write(tmp_path / "p.yaml")
    monkeypatch.setenv("ZCDL_PARAMS", str(tmp_path / "p.yaml"))
    nb = Notebook("unet")
    (tmp_path / "p.yaml").unlink()
    nb.images({"dataset": "nuclei_2d", "epochs": 50})
    assert nb.config.epochs == 1 and nb.config.source == params["source"]


def test_changed_parameters_find_the_images_again(params, make, tmp_path):
    nb = Notebook("unet")
    nb.images(params)
    first, prepared = nb.data, nb.prepared
    assert nb.data is first and nb.prepared is prepared, "found and measured once"
    nb.params["seed"] = 3
    assert nb.data is not first and nb.prepared is not prepared


def test_use_parameters_act_after_training(params, tmp_path):
    nb = Notebook("unet")
    nb.images(params)
    nb.train()
    nb.params |= {"output": "probability", "threshold": 0.9}
    nb.predict()
    (path,) = (tmp_path / "runs" / "mine" / "predictions").rglob("*.tif")
    assert path.name.endswith("_probability.tif") and tifffile.imread(path).dtype == np.float32
    nb.params["threshold"] = ""
    assert nb.run.config.threshold is None


def test_interrupting_keeps_a_usable_model(params, monkeypatch, capsys):
    from zcdl_common import show

    class Interrupt:
        def step(self, moment):
            if moment.epoch == 2:
                raise KeyboardInterrupt

        def epoch(self, moment):
            return None

    nb = Notebook("unet")
    nb.images({**params, "epochs": 3})
    with monkeypatch.context() as stopped:
        stopped.setattr(show, "listeners", lambda run, data: [Interrupt()])
        nb.train()
    assert "Interrupted after 1 epoch;" in capsys.readouterr().out
    nb.predict()
    nb.train()
    assert len(nb.run.history()) == 3


def test_an_error_shows_its_sentence_alone():
    assert RunError("it broke")._render_traceback_() == ["\nRunError: it broke\n"]

import contextlib
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from zcdl_common import model_folders, weights
from zcdl_common.errors import ConfigError, DataError, RunError
from zcdl_common.models.care import CareModel
from zcdl_common.models.stardist import StarDistModel
from zcdl_common.networks import care
from zcdl_common.networks.stardist import StarDistConfig, plan
from zcdl_common.task import Facts

FACTS = Facts(
    2, ("c",), ((64, 64),), "uint16", counts={"train": 2},
    extra={"extents": (14.0, 14.0), "large_extents": (20.0, 20.0), "anisotropy": (1.0, 1.0)},
)  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """A model folder as stardist itself writes it."""
    from stardist.models import Config2D, StarDist2D

    config = Config2D(
        "YX", n_rays=16, grid=(4, 4), unet_n_depth=1, unet_n_filter_base=4, net_conv_after_unet=16
    )
    with contextlib.redirect_stdout(io.StringIO()):
        model = StarDist2D(config, name="theirs", basedir=str(tmp_path))
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    return model


def test_a_folder_of_stardist_gives_architecture_and_weights(written):
    asked = StarDistConfig.parse({"start_from": str(written.logdir)})
    planned = plan(asked, FACTS)
    config = planned.config
    assert (config.n_rays, config.grid, config.depth, config.filters) == (16, (4, 4), 1, 4)
    assert "theirs" in planned.reasons["grid"] and planned.reasons["patch_size"]
    model = StarDistModel(config, FACTS)
    assert weights.start(model, config) == []
    for one, other in zip(model.net.get_weights(), written.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_the_user_chose_stays(written):
    config = plan(StarDistConfig.parse({"start_from": str(written.logdir), "n_rays": 32}), FACTS).config
    assert config.n_rays == 32 and config.grid == (4, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_dim": 3}, "3D"),
        ({"n_classes": 2}, "kinds of objects"),
        ({"rays_json": {"name": "Rays_Cartesian", "kwargs": {}}}, "golden spiral"),
    ],
)
def test_models_of_another_kind_are_refused_in_words(written, change, said):
    path = written.logdir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=said):
        plan(StarDistConfig.parse({"start_from": str(written.logdir)}), FACTS)


def test_a_residual_network_can_be_trained_further_and_needs_its_folder_no_more(tmp_path):
    from stardist import Rays_GoldenSpiral
    from stardist.models import Config3D, StarDist3D

    flatness = (2.0, 1.0, 1.0)
    config = Config3D(
        "ZYX", rays=Rays_GoldenSpiral(12, anisotropy=flatness), anisotropy=flatness, grid=(1, 2, 2),
        backbone="resnet", resnet_n_filter_base=4, net_conv_after_resnet=16,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = StarDist3D(config, name="demo", basedir=str(tmp_path))
    theirs.keras_model.save_weights(str(theirs.logdir / "weights_best.h5"))
    sides = {"extents": (7.0, 14.0, 14.0), "anisotropy": (2.0, 1.0, 1.0)}
    facts = Facts(3, ("c",), ((32, 64, 64),), "uint16", counts={"train": 2}, extra=sides)
    planned = plan(StarDistConfig.parse({"start_from": str(theirs.logdir)}), facts).config
    assert (planned.depth, planned.filters, planned.n_rays, planned.grid) == (0, 4, 12, (1, 2, 2))
    model = StarDistModel(planned, facts)
    assert weights.start(model, planned) == []
    image = np.random.default_rng(0).random((1, 16, 32, 32, 1), np.float32)
    for one, other in zip(model.forward(image), theirs.keras_model.predict(image, verbose=0), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_array_equal(model.rays.vertices, Rays_GoldenSpiral(12, anisotropy=flatness).vertices)
    shutil.rmtree(theirs.logdir)  # a run of it opens from its own config
    again = StarDistModel(planned, facts)
    assert [w.shape for w in again.net.get_weights()] == [w.shape for w in model.net.get_weights()]


def test_thresholds_come_from_the_folder(written):
    there = model_folders.find(str(written.logdir))
    assert there.thresholds() == {}
    (written.logdir / "thresholds.json").write_text('{"prob": 0.48, "nms": 0.3}')
    assert there.thresholds() == {"prob_thresh": 0.48, "nms_thresh": 0.3}


@pytest.mark.parametrize("filters", [4, 8])
def test_what_keeps_the_weights_of_csbdeep_from_fitting_is_named(tmp_path, capsys, filters):
    from csbdeep.models import CARE, Config

    theirs = CARE(Config("YX", unet_n_first=4, unet_n_depth=1), "theirs", basedir=str(tmp_path))
    theirs.keras_model.save_weights(str(theirs.logdir / "weights_best.h5"))
    asked = {"start_from": str(theirs.logdir), "depth": 1, "filters": filters}
    scales = {"target_channels": ("c",), "target_offset": (0.0,), "target_span": (1.0,)}
    facts = replace(FACTS, extra=scales)
    config = care.plan(care.CareConfig.parse(asked), facts).config
    model = CareModel(config, facts)
    if filters == 4:  # only the last layer, of one pixel, fits
        weights.start(model, config)
        assert "All may fit with kernel = 5, as it was there." in capsys.readouterr().out
    else:
        with pytest.raises(RunError, match="Set filters = 4, kernel = 5 as it was there"):
            weights.start(model, config)
    fitting = care.plan(care.CareConfig.parse({**asked, "filters": 4, "kernel": 5}), facts).config
    assert weights.start(CareModel(fitting, facts), fitting) == []


def test_a_part_of_a_model_is_named(written):
    (written.logdir / "weights_best.h5").unlink()
    with pytest.raises(DataError, match="part of a model"):
        model_folders.find(str(written.logdir))


def test_a_description_that_was_cut_off_is_named(written):
    there = model_folders.find(str(written.logdir))
    (written.logdir / "thresholds.json").write_text('{"prob": 0.')
    with pytest.raises(DataError, match=r"thresholds\.json cannot be read.*Copy the whole folder again"):
        there.thresholds()
    (written.logdir / "config.json").write_text("[1]")
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        model_folders.find(str(written.logdir))


def test_other_folders_and_names_are_nothing_to_it(tmp_path):
    assert model_folders.find(str(tmp_path)) is None
    assert model_folders.find("some-zoo-nickname") is None


def test_without_internet_a_ready_made_model_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args):
        raise DataError("the server cannot be reached")

    monkeypatch.setattr(model_folders, "fetch", refuse)
    monkeypatch.setattr(model_folders, "default_cache", lambda: tmp_path)
    with pytest.raises(DataError, match=r"python_2D_versatile_fluo\.zip elsewhere, unpack it, and name"):
        model_folders.find("2D_versatile_fluo")


def test_a_ready_made_model_is_fetched_once_and_found(tmp_path, monkeypatch, written):
    asked = []

    def fetch(address, digest, size, target, progress):
        asked.append((address, digest))
        target.parent.mkdir(parents=True, exist_ok=True)
        made = shutil.make_archive(
            str(target.with_suffix("")), "zip", written.logdir.parent, written.logdir.name
        )
        return target.parent / made

    monkeypatch.setattr(model_folders, "fetch", fetch)
    monkeypatch.setattr(model_folders, "default_cache", lambda: tmp_path / "cache")
    for _ in range(2):
        found = model_folders.find("2D_demo")
        assert found.config["n_rays"] == 16 and found.weights.name == "weights_best.h5"
    assert len(asked) == 1 and asked[0][1] == model_folders.READY_MADE["2D_demo"]


def test_names_and_hashes_are_those_of_stardist():
    from csbdeep.models.pretrained import _MODELS
    from stardist.models import StarDist2D, StarDist3D

    known = {**_MODELS[StarDist2D], **_MODELS[StarDist3D]}
    for name, digest in model_folders.READY_MADE.items():
        assert known[name]["hash"] == digest and known[name]["url"] == model_folders.ADDRESS.format(name)

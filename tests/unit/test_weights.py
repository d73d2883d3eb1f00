import numpy as np
import pytest

from zcdl_common import session, weights
from zcdl_common.errors import RunError
from zcdl_common.networks.unet import UNetConfig
from zcdl_common.run import open_run


def test_training_begins_with_the_weights_of_another_run(finished, images_2d, make, tmp_path):
    run, data = make.begin(
        images_2d, tmp_path, start_from=str(finished.folder), freeze="all but the last layer", epochs=1
    )
    session.train(run, data)
    old, new = finished.load().state(), run.load("last").state()
    kept = [k for k in old if "encoder" in k]
    assert kept and all(np.array_equal(old[k], new[k]) for k in kept), "frozen layers are those of the run"
    scratch = run.build().state()
    assert not all(np.array_equal(scratch[k], new[k]) for k in kept)


def test_weights_that_fit_in_part_are_taken_and_the_others_named(finished, images_2d, make, tmp_path, capsys):
    run, _ = make.begin(images_2d, tmp_path, start_from=str(finished.folder), depth=2)
    model = run.build()
    left_out = weights.start(model, run.config)
    old, new = finished.load().state(), model.state()
    assert np.array_equal(new["module/net/encoder.0.0.weight"], old["module/net/encoder.0.0.weight"])
    assert any("encoder.2" in name for name in left_out) and "not fitting" in capsys.readouterr().out


def test_a_resumed_training_does_not_begin_anew(finished, images_2d, make, tmp_path):
    params = {"start_from": str(finished.folder), "epochs": 4}
    straight, data = make.begin(images_2d, tmp_path / "a", **params)
    session.train(straight, data)
    halves, data = make.begin(images_2d, tmp_path / "b", **params)

    class Stop:
        def step(self, moment):
            return None

        def epoch(self, moment):
            return "enough" if moment.epoch == 2 else None

    session.train(halves, data, [Stop()])
    session.train(open_run(halves.folder), data)
    one, other = straight.load("last").state(), halves.load("last").state()
    assert all(np.array_equal(one[k], other[k]) for k in one)


def test_a_source_that_is_nowhere_is_named_and_takes_no_name(images_2d, make, tmp_path):
    with pytest.raises(RunError, match="nowhere: there is nothing at this path"):
        make.begin(images_2d, tmp_path, start_from=str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()
    run, data = make.begin(images_2d, tmp_path, epochs=1)
    session.train(run, data)
    assert len(run.history()) == 1


def test_a_source_without_weights_takes_no_name(images_2d, make, tmp_path):
    other, _ = make.begin(images_2d, tmp_path, name="other")
    with pytest.raises(RunError, match="no trained weights"):
        make.begin(images_2d, tmp_path, start_from=str(other.folder))
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_network_is_named_with_what_to_name_instead(trained, tmp_path):
    path = trained.folder / "config.yaml"
    path.write_text(f"format: 1\nnetwork: stardist\nsource: {tmp_path}\n")
    for check in (weights.check, weights.read):
        with pytest.raises(RunError, match=r"a run of StarDist, and this.*trains U-Net.*Name a run of U-Net"):
            check(UNetConfig.parse({"start_from": str(trained.folder)}))


def test_names_and_addresses_are_not_taken_for_paths(trained):
    for start in ("affable-shark", "https://example.org/model.zip", "2D_demo", str(trained.folder)):
        weights.check(UNetConfig.parse({"start_from": start}))


def test_section_4_says_at_once_that_a_start_is_nowhere(images_2d, tmp_path, monkeypatch):
    from zcdl_common.notebook import Notebook

    monkeypatch.setenv("ZCDL_HEADLESS", "1")
    nb = Notebook("unet")
    nb.params.update({"source": str(images_2d / "images"), "start_from": str(tmp_path / "nowhere")})
    with pytest.raises(RunError, match="nothing at this path"):
        nb.starting_weights()

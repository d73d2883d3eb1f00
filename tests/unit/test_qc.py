import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile

from zcdl_common import networks, qc, session, verdict
from zcdl_common.errors import RunError
from zcdl_common.task import Baseline, Facts, Prediction, Sample


@pytest.fixture(scope="module")
def judged(make, tmp_path_factory):
    """A run judged on a test folder of seven images."""
    folder = tmp_path_factory.mktemp("judged")
    make.pairs(folder)
    source, target = make.pairs(folder / "test", 7, first=30)
    run, _ = make.train(folder, test_source=str(source), test_target=str(target), epochs=3)
    return run, session.judge(run, say=lambda text: None)


def test_every_image_has_a_row_with_network_and_classical_method(judged):
    run, summary = judged
    table = pd.read_csv(run.quality_control / "metrics.csv")
    assert table["image"].tolist() == [f"cell_{i}" for i in range(30, 37)]
    for name in ("iou", "dice", "precision", "recall"):
        for column in (name, f"classical_{name}"):
            assert table[column].between(0, 1).all()
        stated = summary["metrics"][name]
        assert stated["network"]["mean"] == pytest.approx(table[name].mean())
        assert stated["classical"]["mean"] == pytest.approx(table[f"classical_{name}"].mean())
        assert stated["input"] is None


def test_seven_images_have_an_interval_around_the_mean(judged):
    network = judged[1]["metrics"]["iou"]["network"]
    low, high = network["ci95"]
    assert low <= network["mean"] <= high and low < high


def test_the_verdict_follows_the_scores(judged):
    run, summary = judged
    table = pd.read_csv(run.quality_control / "metrics.csv")
    difference = table["iou"] - table["classical_iou"]
    assert summary["verdict"] in ("better", "worse", "same", "unclear")
    if (difference > 0.05).all():
        assert summary["verdict"] == "better"
    if (difference < -0.05).all():
        assert summary["verdict"] == "worse"
    assert json.loads((run.quality_control / "summary.json").read_text()) == json.loads(json.dumps(summary))


@pytest.mark.parametrize(("shift", "word"), [(0.2, "better"), (-0.2, "worse"), (0.0, "same")])
def test_summaries_of_made_up_scores(finished, shift, word):
    classical = np.linspace(0.5, 0.7, 8)
    table = pd.DataFrame({"image": list("abcdefgh"), "iou": classical + shift, "classical_iou": classical})
    baseline = Baseline("Otsu", "a threshold", Prediction)
    summary = verdict.summarise(finished, table, list("abcdefgh"), baseline)
    assert summary["verdict"] == word and "Otsu" in summary["sentence"]
    one_group = verdict.summarise(finished, table, ["a"] * 8, baseline)
    assert one_group["verdict"] == "unclear", "eight frames of one movie are one image"


def judged_scores(name, **columns):
    """A summary of made-up scores of three images, for a network by name."""
    network = networks.get(name)
    config, epochs = SimpleNamespace(seed=0), [{"loss": 1.0}] * 4
    run = SimpleNamespace(network=network, config=config, history=lambda: epochs, split_note="")
    table = pd.DataFrame({"image": list("abc"), **columns})
    return verdict.summarise(run, table, list("abc"), Baseline("Otsu", "a threshold", Prediction))


def test_finding_nothing_is_the_verdict_however_few_the_images():
    counts = {"n_true": [3.0] * 3, "n_found": [0.0] * 3}
    summary = judged_scores("stardist", ap50=[0.0] * 3, classical_ap50=[0.7, 0.8, 0.9], **counts)
    assert summary["verdict"] == "worse" and summary["found_nothing"]
    assert "found no object in any test image" in summary["sentence"] and "0.800" in summary["sentence"]
    assert "too few" not in summary["sentence"]


@pytest.mark.parametrize(("gain", "words"), [(-1.0, "worse than"), (0.1, "no better than"), (2.0, "")])
def test_a_restoration_is_held_against_its_untouched_input(gain, words):
    untouched = np.array([20.0, 22.0, 24.0])
    scores = {"psnr": untouched + gain, "classical_psnr": untouched, "input_psnr": untouched}
    sentence = judged_scores("care", **scores)["sentence"]
    assert (f"{words} the untouched input (22.00)" in sentence) == bool(words)
    assert ("untouched" in sentence) == bool(words)


def test_an_inverted_input_is_said_to_count_as_a_flat_image():
    scores = {"psnr": [20.0, 22.0, 24.0], "classical_psnr": [19.0] * 3, "input_psnr": [10.0] * 3}
    inverted = "The untouched input is inverted: in PSNR, SSIM and NRMSE it counts as a flat image."
    for gains, told in (([0.0] * 3, True), ([0.0, 0.0, 0.1], True), ([1.0, 0.0, 0.3], False)):
        for name in ("care", "pix2pix"):
            scored = dict(scores)
            if name == "pix2pix":
                scored = {k.replace("psnr", "pearson_r"): np.array(v) / 100 for k, v in scores.items()}
            assert (inverted in judged_scores(name, **scored, input_gain=gains)["sentence"]) == told


def limited(name="fnet", reached=(0.7, 0.72, 0.74), limit=(0.9, 0.92, 0.94), score="pearson_r"):
    classical = {f"classical_{score}": [0.5, 0.51, 0.52]}
    return judged_scores(name, **{score: list(reached)}, **classical, pearson_r_limit=list(limit))["sentence"]


def test_what_noise_leaves_to_be_reached_is_said_beside_the_score():
    for name in ("fnet", "pix2pix"):
        assert limited(name).endswith(
            "Estimated from neighbouring pixels, noise of the target images leaves room up to about 0.92."
        )


@pytest.mark.parametrize(
    "limit",
    [(np.nan,) * 3, (0.6, 0.7, 0.8), (0.72,) * 3, (0.998, 0.999, 0.9995), (np.nan, np.nan, 0.73)],
    ids=["unknown", "below the score", "at the score", "no noise", "below where it is known"],
)
def test_no_limit_is_named_where_it_makes_no_sense(limit):
    assert "leaves room" not in limited(limit=limit)


def test_the_limit_is_compared_with_the_images_it_is_known_of():
    said = limited(reached=(0.9, 0.9, 0.1), limit=(np.nan, np.nan, 0.6))
    assert "up to about 0.60" in said
    assert "leaves room" not in limited(reached=(np.nan,) * 3)
    assert "leaves room" not in limited("care", (20, 21, 22), score="psnr"), "it is a limit of Pearson's r"


def test_the_threshold_is_chosen_without_the_test_images(judged):
    run, _ = judged
    roles = {row["role"]: row["name"] for row in run.files()}
    seen = []
    data = session.data_of(run)
    for sample in data.split.test:
        assert sample.name not in (roles["validation"], roles["train"])

    class Refuses:
        def __iter__(self):
            seen.append(1)
            return iter(())

    from dataclasses import replace

    blind = replace(data, split=replace(data.split, test=Refuses()))
    before = run.settings()["threshold"]
    assert qc.choose_settings(run, run.load(), blind, lambda text: None)["threshold"] == before
    assert not seen


def test_error_maps_say_where_the_mask_is_wrong(judged):
    run, _ = judged
    table = pd.read_csv(run.quality_control / "metrics.csv").set_index("image")
    for i in (30, 36):
        errors = tifffile.imread(run.quality_control / "maps" / f"cell_{i}_errors.tif")
        counts = np.bincount(errors.ravel(), minlength=4)
        assert counts[1] / counts[1:4].sum() == pytest.approx(table.loc[f"cell_{i}", "iou"])


@pytest.mark.parametrize("channels", [1, 2])
def test_planes_of_volumes_are_scored_by_method(tmp_path, channels):
    """With other channels than the truth, the input is no attempt at it."""
    rng = np.random.default_rng(0)
    truth = rng.random((3, 16, 16, 1))
    source = rng.random((3, 16, 16, channels))
    run = SimpleNamespace(
        network=networks.get("care"), facts=Facts(3, ("c",), (), "uint8"), quality_control=tmp_path
    )
    judged = [
        qc.Judged(Sample(name, name, None), source, truth, Prediction(truth * 2), Prediction(truth**2))
        for name in "ab"
    ]
    qc.save_planes(run, judged)
    table = pd.read_csv(tmp_path / "slices.csv")
    assert table.columns.tolist() == ["image", "method", "z", "psnr", "ssim", "nrmse", "pearson_r"]
    methods = ["network", "classical", "input"][: 4 - channels]
    assert table["method"].unique().tolist() == methods
    assert len(table) == 2 * len(methods) * 3 and table["z"].max() == 2
    scores = table.groupby("method")["pearson_r"].mean()
    assert scores["network"] == pytest.approx(1) and scores["classical"] < 0.99
    assert (tmp_path / "figures" / "scores_by_plane.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("shape", "asked"), [((2, 8, 8), True), ((3, 8, 8), False), ((64, 64), True)], ids=str
)
def test_large_volumes_are_not_asked_turned(monkeypatch, shape, asked):
    told = []

    def predict(run, model, source, settings, turned):
        told.append(turned)
        return Prediction(source)

    monkeypatch.setattr(qc.use, "predict", predict)
    monkeypatch.setattr(qc, "TURNED_AT_MOST", 128)
    run = SimpleNamespace(network=networks.get("fnet"), facts=None)
    image = SimpleNamespace(read=lambda: np.zeros((*shape, 1)))
    baseline = SimpleNamespace(predict=Prediction)
    qc.judge_one(run, None, baseline, {}, Sample("a", "a", image), lambda *given: {"psnr": 1.0})
    assert told == [asked]


def test_without_test_images_nothing_is_judged(images_2d, make, tmp_path):
    run, _ = make.train(images_2d, tmp_path, test_fraction=0.0)
    with pytest.raises(RunError, match=r"test_source.*test_fraction"):
        session.judge(run, say=lambda text: None)

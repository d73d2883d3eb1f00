from dataclasses import replace

import numpy as np
import pytest
from held import Held
from scipy import ndimage

from zcdl_common import denoising, networks, restoring, translating
from zcdl_common.data import open_data
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef
from zcdl_common.metrics.images import pearson_r
from zcdl_common.metrics.noise import highest_pearson_r
from zcdl_common.task import Facts, Prediction, Sample, resolve


def smooth(seed, shape=(64, 72), sigma=2.0):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (image / image.std()).astype(np.float32)


def facts_of(*names, ndim=2):
    units = {"target_offset": (0.0,) * len(names), "target_span": (1.0,) * len(names)}
    return Facts(ndim, ("light",), (), "uint16", extra={"target_channels": names, **units})


def scored(truth, found, extra=None, names=("dna", "actin")):
    return translating.scores(truth, Prediction(found, extra or {}), facts_of(*names), truth)


# -- scores -------------------------------------------------------------------------------------------


def test_channels_of_unequal_brightness_do_not_pass_for_correlation():
    truth = np.stack([100 + smooth(0), 9000 + smooth(1)], -1)
    guess = np.stack([100 + smooth(2), 9000 + smooth(3)], -1)
    assert pearson_r(truth, guess) > 0.99, "all pixels together correlate by the channels"
    found = scored(truth, guess)
    assert abs(found["pearson_r"]) < 0.3 and found["psnr"] < 20 and found["ssim"] < 0.5


def test_a_prediction_too_dim_has_good_scores_and_a_gain_that_says_so():
    truth = 100 + 10 * smooth(0)[..., None]
    found = scored(truth, truth / 8, names=("dna",))
    assert found["gain"] == pytest.approx(8, rel=1e-4) and found["psnr"] > 60
    restored = restoring.scores(truth, Prediction(truth / 8), facts_of("dna"), truth)
    assert restored["gain"] == pytest.approx(8, rel=1e-4)
    assert "gain" not in denoising.scores(truth, Prediction(truth / 8), facts_of("dna"), truth)


def test_each_channel_is_scored_by_itself_then_comes_the_mean():
    truth = np.stack([smooth(0), 1000 * smooth(1)], -1)
    found = scored(truth, truth + np.stack([smooth(2), 100 * smooth(3)], -1))
    each = [
        scored(truth[..., c : c + 1], (truth + np.stack([smooth(2), 100 * smooth(3)], -1))[..., c : c + 1],
               names=(name,))
        for c, name in enumerate(("dna", "actin"))
    ]  # fmt: skip
    for key in translating.SCORES:
        assert found[key] == pytest.approx(np.mean([one[key] for one in each])), key
    assert found["pearson_r_dna"] == pytest.approx(each[0]["pearson_r"]) == pytest.approx(0.7, abs=0.1)
    assert found["pearson_r_actin"] == pytest.approx(each[1]["pearson_r"]) and each[1]["pearson_r"] > 0.98
    assert "pearson_r_dna" not in each[0], "a single channel needs no name"


def test_an_empty_stain_spoils_neither_scores_nor_those_of_planes():
    truth = np.stack([smooth(0, (5, 64, 72)), np.zeros((5, 64, 72), np.float32)], -1)
    guess, facts = Prediction(truth + smooth(1, (5, 64, 72))[..., None]), facts_of("dna", "actin", ndim=3)
    alone = translating.plane_scores(truth[..., :1], Prediction(guess.main[..., :1]), facts)
    for key, found in translating.plane_scores(truth, guess, facts).items():
        assert np.isfinite(found).all() and np.array_equal(found, alone[key]), key
    empty = translating.plane_scores(0 * truth, guess, facts)
    assert all(np.isnan(found).all() for found in empty.values())
    assert np.isfinite(scored(truth, guess.main)["psnr"])


def test_planes_of_an_inverted_volume_have_a_negative_r():
    truth = smooth(0, (5, 64, 72))[..., None]
    planes = translating.plane_scores(truth, Prediction(7 - 2 * truth), facts_of("dna", ndim=3))
    assert planes["pearson_r"] == pytest.approx([-1] * 5)


def test_the_limit_of_noise_is_the_mean_of_the_channels():
    noise = np.random.default_rng(0).normal(0, 1, (64, 72, 2)) * [0.5, 1.0]
    truth = np.stack([smooth(0), smooth(1)], -1) + noise
    found = scored(truth, truth)["pearson_r_limit"]
    assert found == pytest.approx(np.mean([highest_pearson_r(truth[..., c]) for c in (0, 1)]))
    assert found == pytest.approx((1 / np.sqrt(1.25) + 1 / np.sqrt(2)) / 2, abs=0.05)
    assert np.isnan(scored(truth[:12], truth[:12])["pearson_r_limit"]), "too small to tell"


def test_a_stain_that_an_image_lacks_does_not_cost_it_the_scores_of_the_others():
    truth = np.stack([smooth(0), np.full((64, 72), 5.0)], -1)
    found = scored(truth, truth + np.stack([0.5 * smooth(2), smooth(3)], -1))
    assert found["pearson_r"] == found["pearson_r_dna"] == pytest.approx(0.9, abs=0.05)
    assert np.isnan(found["pearson_r_actin"]) and not np.isnan(found["pearson_r_limit"])
    empty = scored(np.zeros((64, 72, 2)), truth)
    assert all(np.isnan(empty[key]) for key in (*translating.SCORES, "pearson_r_limit"))


def test_a_constant_answer_correlates_with_nothing_and_counts():
    truth = smooth(0)[..., None]
    for value in (0.0, 3.3, 1e7, -1e-9):
        assert scored(truth, np.full_like(truth, value), names=("dna",))["pearson_r"] == pytest.approx(
            0, abs=0.01
        )
    both = np.stack([smooth(0), smooth(1)], -1)
    half = np.stack([smooth(0), np.full((64, 72), 3.3)], -1)
    assert scored(both, half)["pearson_r"] == pytest.approx(0.5)


def test_unsteadiness_is_in_parts_of_the_contrast():
    main = np.stack([2 * smooth(0), 300 * smooth(1)], -1)
    spread = np.broadcast_to(np.array([0.5, 30.0], np.float32), main.shape)
    doubtful = Prediction(main, {"disagreement": spread})
    assert translating.unsteadiness(doubtful) == pytest.approx((0.25 + 0.1) / 2, rel=1e-3)
    peaks = np.zeros_like(spread)
    peaks[::2] = np.sqrt(2) * spread[::2]
    assert translating.unsteadiness(replace(doubtful, extra={"disagreement": peaks})) == pytest.approx(
        0.175, rel=1e-3
    )
    assert scored(main, main, {"disagreement": spread})["disagreement"] == pytest.approx(0.175, rel=1e-3)
    assert "disagreement" not in scored(main, main)
    steady = Prediction(np.ones_like(main), {"disagreement": np.zeros_like(spread)})
    assert translating.unsteadiness(steady) == 0


def test_error_maps_show_the_error_and_where_the_answer_turns():
    truth = smooth(0)[..., None]
    wrong = truth.copy()
    wrong[20:30, 20:30] += 3
    doubt = np.full_like(truth, 0.1)
    maps = translating.error_maps(truth, Prediction(wrong, {"disagreement": doubt}), facts_of("dna"), truth)
    assert set(maps) == {"_disagreement", "_squared_error", "_ssim"}
    assert maps["_squared_error"].array[22:28, 22:28].mean() > 10 * maps["_squared_error"].array[40:].mean()
    assert (maps["_disagreement"].array == np.float32(0.1)).all()
    assert all(output.array.shape == (64, 72) for output in maps.values())


# -- facts --------------------------------------------------------------------------------------------


@pytest.fixture
def stained(make, tmp_path):
    """Samples of light and one 16-bit stain, whose images differ in brightness."""

    def write(images):
        samples = []
        for i, image in enumerate(images):
            refs = [
                ImageRef((make.write(tmp_path / kind / f"f{i}.tif", a),))
                for kind, a in (("light", smooth(i)), ("dna", image))
            ]
            samples.append(Sample(f"f{i}", f"f{i}", *refs))
        return samples

    return write


def bright(i, gain=1000):
    return (20000 + gain * (i + 1) * smooth(i)).clip(0, 65535).astype(np.uint16)


def test_standard_facts_are_mean_and_spread_of_all_pixels(stained):
    images = [bright(0), bright(1), bright(2), np.full((64, 72), 60000, np.uint16), bright(4)]
    extra = translating.standard_facts(stained(images), None)["extra"]
    assert len(extra["target_channels"]) == 1
    assert extra["target_offset"] == pytest.approx([np.mean(images)])
    assert extra["target_span"] == pytest.approx([np.std(images)])


def test_range_facts_bring_nearly_all_values_to_one_around_0(stained):
    images = [bright(i) for i in range(4)]
    facts = replace(facts_of("dna"), **translating.range_facts(stained(images), None))
    scaled = restoring.output_scale(facts)(np.stack(images)[..., None])
    low, high = np.percentile(scaled, [0.1, 99.9])
    assert (low, high) == pytest.approx((-1, 1), abs=1e-4)


def test_a_hot_pixel_does_not_decide_the_range(stained):
    images = [bright(i, 100) for i in range(3)]
    calm = translating.range_facts(stained(images), None)["extra"]
    images[0][5, 5] = 65535
    images[1][6, 6] = 0
    hot = translating.range_facts(stained(images), None)["extra"]
    assert hot["target_span"] == pytest.approx(calm["target_span"], rel=0.05)
    assert hot["target_offset"] == pytest.approx(calm["target_offset"], rel=0.01)


def test_targets_without_contrast_have_a_scale_all_the_same(stained):
    flat = [np.full((64, 72), 7, np.uint16)] * 3
    for facts in (translating.standard_facts, translating.range_facts):
        found = replace(facts_of("dna"), **facts(stained(flat), None))
        there = restoring.output_scale(found)(flat[0][..., None])
        assert np.isfinite(there).all()
        assert restoring.decode(there, found).main == pytest.approx(7)


def test_each_network_of_the_task_learns_in_the_scale_of_its_facts():
    tasks = {name: networks.get(name).task for name in ("fnet", "pix2pix")}
    assert resolve(tasks["fnet"].facts) is translating.standard_facts
    assert resolve(tasks["pix2pix"].facts) is translating.range_facts


# -- classical method ---------------------------------------------------------------------------------


def test_the_classical_method_answers_in_the_units_of_the_targets(monkeypatch):
    from zcdl_common.baselines import forest, sampled

    monkeypatch.setattr(forest, "TREES", 8)
    monkeypatch.setattr(sampled, "PIXELS", 1000)
    read = []

    class Read(Held):
        def read(self):
            read.append(self.path.name)
            return self.array

    samples = []
    for i in range(12):
        light = smooth(i)[..., None]
        stains = np.concatenate([500 + 100 * light, 0.1 * light**2], -1)
        samples.append(Sample(f"s{i}", f"s{i}", Read(light, f"s{i}.tif"), Held(stains, f"s{i}.tif")))
    found = translating.baseline(samples, facts_of("dna", "actin"), seed=0)
    assert len(set(read)) == 8, "a classical method is tuned on eight images at most"
    light = smooth(99)[..., None]
    image = found.predict(light).main
    assert image.shape == (64, 72, 2) and image.dtype == np.float32
    assert pearson_r(500 + 100 * light, image[..., :1]) > 0.95
    assert abs(image[..., 0].mean() - 500) < 30 and abs(image[..., 1].mean() - 0.1) < 0.05
    assert found.name in found.description
    other = translating.baseline(samples, facts_of("dna", "actin"), seed=0)
    assert np.array_equal(other.predict(light).main, image), "one seed, one method"


# -- targets that cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((64, 71, 1)), ("target image", "64 x 71", "64 x 72", "crop or scale")),
        (np.zeros((64, 72, 3)), ("target image", "3 channels", "has 1. Save")),
        (np.full((64, 72, 1), np.nan), ("target image", "NaN", "repair")),
    ],
)
def test_a_target_that_does_not_fit_is_named_and_called_a_target(array, words):
    sample = Sample("a", "a", Held(smooth(0)[..., None], "light.tif"), Held(array, "stain_7.tif"))
    with pytest.raises(DataError, match=r"stain_7\.tif") as error:
        translating.target_image(sample, facts_of("dna"))
    assert all(word in str(error.value) for word in words) and "clean" not in str(error.value)


def test_a_plane_as_the_target_of_a_stack_asks_for_channels(make, tmp_path):
    stack = make.write(tmp_path / "light.tif", np.zeros((5, 20, 24), np.uint16), "ZYX")
    plane = make.write(tmp_path / "stain.tif", np.zeros((20, 24), np.uint16))
    sample = Sample("a", "a", ImageRef((stack,)), ImageRef((plane,)))
    with pytest.raises(DataError, match="axes = CYX") as error:
        translating.target_image(sample, facts_of("dna", ndim=3))
    assert all(word in str(error.value) for word in ("light.tif", "stain.tif", "5 planes", "single plane"))
    as_channels = replace(sample, source=ImageRef((stack,), axes="CYX"))
    assert translating.target_image(as_channels, facts_of("dna")).shape == (20, 24, 1)


def test_a_target_is_read_in_its_own_units():
    values = np.random.default_rng(0).integers(0, 65536, (64, 72, 1), np.uint16)
    sample = Sample("a", "a", Held(smooth(0)[..., None]), Held(values))
    found = translating.target_image(sample, facts_of("dna"))
    assert found.dtype == np.float32 and np.array_equal(found, values)


@pytest.mark.parametrize("name", ["fnet", "care"])
def test_images_without_partners_are_sent_to_whom_they_are_for(make, tmp_path, name):
    """The task says so, not its name."""
    for part, image in (("images", "a"), ("targets", "b")):
        make.write(tmp_path / part / f"{image}.tif", make.blobs((48, 40), 0)[0])
    network = networks.get(name)
    config = network.Config.parse({k: str(tmp_path / v) for k, v in FOLDERS.items()})
    with pytest.raises(DataError) as said:
        open_data(config, network)
    sent = "Are these pairs? Images without partners are for the CycleGAN notebook. Partners are" in str(
        said.value
    )
    assert sent == (name == "fnet") and str(said.value).endswith("Rename the files accordingly.")
    other = replace(network, task=replace(network.task, without_partners="Draw them."))
    with pytest.raises(DataError, match=r"Are these pairs\? Draw them\..*accordingly\.$"):
        open_data(config, other)


FOLDERS = {"source": "images", "target": "targets"}

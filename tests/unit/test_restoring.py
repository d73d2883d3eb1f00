from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import restoring
from zcdl_common.errors import DataError
from zcdl_common.images import find_images
from zcdl_common.task import Facts, Prediction, Sample


@pytest.fixture
def folders(tmp_path):
    """Poor 8-bit and clean 16-bit images of two channels, one pair of 3D without channels beside it."""
    rng = np.random.default_rng(0)
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
    for i in range(3):
        low = rng.integers(0, 255, (40, 50), np.uint8)
        high = (np.stack([low, 255 - low]).astype(np.uint16) + i) * 100
        tifffile.imwrite(tmp_path / "low" / f"a{i}.tif", low)
        tifffile.imwrite(tmp_path / "high" / f"a{i}_clean.tif", high, imagej=True, metadata={"axes": "CYX"})
    return tmp_path


def samples_in(folder):
    sources = find_images(str(folder / "low"), "source", axes="YX")
    pairing, targets = restoring.open_images(sources, str(folder / "high"), "target", {})
    assert not pairing.without_target and not pairing.without_source
    return [Sample(i.name, i.group, i, t) for (i, _), t in zip(pairing.pairs, targets, strict=True)]


def facts_of(samples):
    return Facts(2, ("c",), ((40, 50),), "uint8", **restoring.image_facts(samples, None))


def test_pairs_of_other_depth_and_channels_are_opened_and_measured(folders):
    samples = samples_in(folders)
    facts = facts_of(samples)
    assert len(facts.extra["target_channels"]) == 2
    clean = [restoring.clean_image(sample, facts) for sample in samples]
    assert clean[0].dtype == np.float32 and clean[0].shape == (40, 50, 2)
    assert max(image.max() for image in clean) > 255, "16 bit stay 16 bit"
    low, high = np.percentile(clean, [1, 99.8], axis=(1, 2))
    np.testing.assert_allclose(facts.extra["target_offset"], np.median(low, axis=0))
    np.testing.assert_allclose(facts.extra["target_span"], np.median(high - low, axis=0), rtol=1e-6)


def test_what_is_learned_comes_back_in_the_units_of_the_clean_images(folders):
    samples = samples_in(folders)
    facts = facts_of(samples)
    clean = restoring.clean_image(samples[1], facts)
    scaled = restoring.output_scale(facts)(clean)
    assert -0.5 < scaled.min() < scaled.max() < 1.5
    found = restoring.decode(scaled, facts)
    np.testing.assert_allclose(found.main, clean, rtol=1e-5)
    assert found.main.dtype == np.float32 and not found.extra
    sure = restoring.decode(np.concatenate([scaled, np.full_like(scaled, 0.1)], axis=-1), facts)
    np.testing.assert_allclose(
        sure.extra["uncertainty"][0, 0], 0.1 * np.array(facts.extra["target_span"]), rtol=1e-5
    )
    assert set(restoring.outputs(sure, None, facts)) == {"", "_uncertainty"}
    assert restoring.outputs(found, None, facts)[""].axes == "CYX"


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 40, 49), np.uint16), "40 x 49 pixels"),
        (np.zeros((3, 40, 50), np.uint16), "3 channels"),
        (np.full((2, 40, 50), np.nan, np.float32), "NaN"),
    ],
)
def test_a_clean_image_that_does_not_fit_is_named(folders, array, says):
    samples = samples_in(folders)
    facts = facts_of(samples)
    path = folders / "high" / "a1_clean.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(DataError, match=r"a1_clean\.tif") as error:
        restoring.clean_image(samples[1], facts)
    assert says in str(error.value)


def test_scores_do_not_punish_another_brightness_but_noise():
    rng = np.random.default_rng(0)
    truth = rng.random((32, 32, 1)).astype(np.float32) * 1000
    facts = Facts(2, ("c",), (), "float32", extra={"target_channels": ("c",)})
    brighter = restoring.scores(truth, Prediction(5 * truth + 300), facts, truth)
    noisy = restoring.scores(truth, Prediction(truth + rng.normal(0, 200, truth.shape)), facts, truth)
    assert brighter["psnr"] > 60 and brighter["ssim"] > 0.999
    assert noisy["psnr"] < 20 and noisy["pearson_r"] < brighter["pearson_r"]


def test_what_needs_no_truth_is_scored_too():
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.random((96, 96, 1)), (2, 2, 0)) * 1000
    source = truth + rng.normal(0, 20, truth.shape)
    facts = Facts(2, ("c",), (), "float32", extra={"target_channels": ("c",)})
    restored, untouched = (restoring.scores(truth, Prediction(i), facts, source) for i in (truth, source))
    assert restored["unsupported_percent"] < 0.05
    assert "unsupported_percent" not in untouched, "an image supports itself"
    assert restored["resolution_px"] == pytest.approx(2.48 * 2, rel=0.2)
    in_nm = restoring.scores(truth, Prediction(truth), replace(facts, pixel_size=(0.1, 0.1)), source)
    assert in_nm["resolution_nm"] == pytest.approx(100 * restored["resolution_px"])
    assert "resolution_px" not in in_nm


def test_planes_are_scored_as_parts_of_their_volume():
    rng = np.random.default_rng(0)
    truth = rng.random((4, 32, 32, 1)) * 500
    noise = rng.normal(0, 1, truth.shape) * np.array([1, 50, 100, 400])[:, None, None, None]
    found = Prediction(3 * truth + noise)
    facts = Facts(3, ("c",), (), "float32", extra={"target_channels": ("c",)})
    volume = restoring.scores(truth, found, facts, truth)
    planes = restoring.plane_scores(truth, found, facts)
    assert {name: len(values) for name, values in planes.items()} == dict.fromkeys(
        ("psnr", "ssim", "nrmse", "pearson_r"), 4
    )
    assert (np.diff(planes["psnr"]) < 0).all() and (np.diff(planes["nrmse"]) > 0).all()
    assert planes["ssim"].mean() == pytest.approx(volume["ssim"])
    assert (planes["nrmse"] ** 2).mean() == pytest.approx(volume["nrmse"] ** 2)
    assert (10 ** (-planes["psnr"] / 10)).mean() == pytest.approx(10 ** (-volume["psnr"] / 10))


def test_planes_of_an_empty_volume_have_no_scores():
    facts = Facts(3, ("c",), (), "float32", extra={"target_channels": ("c",)})
    found = Prediction(np.random.default_rng(0).random((2, 16, 16, 1)))
    planes = restoring.plane_scores(np.zeros((2, 16, 16, 1)), found, facts)
    assert all(len(values) == 2 and np.isnan(values).all() for values in planes.values())


def test_error_maps_are_large_where_the_error_is():
    truth = np.random.default_rng(0).random((40, 40, 1)).astype(np.float32)
    wrong = truth.copy()
    wrong[10:20, 10:20] = 0.5
    facts = Facts(2, ("c",), (), "float32", extra={"target_channels": ("c",)})
    maps = restoring.error_maps(truth, Prediction(wrong), facts, truth)
    squared, ssim = maps["_squared_error"].array, maps["_ssim"].array
    assert squared[12:18, 12:18].mean() > 10 * squared[25:, 25:].mean()
    assert ssim[12:18, 12:18].mean() < ssim[27:, 27:].mean() - 0.2
    assert maps["_unsupported"].array.shape == (40, 40) and maps["_unsupported"].axes == "YX"
    assert "_uncertainty" not in maps
    sure = Prediction(wrong, {"uncertainty": np.full_like(wrong, 0.1)})
    assert (restoring.error_maps(truth, sure, facts, truth)["_uncertainty"].array == np.float32(0.1)).all()


def test_the_baseline_reads_a_few_training_pairs_and_gives_clean_units(folders):
    samples = samples_in(folders)
    facts = facts_of(samples)
    found = restoring.baseline(samples, facts, seed=0)
    restored = found.predict(samples[0].source.read()).main
    assert restored.shape == (40, 50, 2)
    clean = restoring.clean_image(samples[0], facts)
    assert abs(restored.mean() - clean.mean()) < 0.1 * clean.mean()


def test_frames_and_regions_of_images_are_those_of_their_clean_partners(folders):
    sample = samples_in(folders)[0]
    region = ((5, 25), (10, 40))
    part = replace(sample, source=sample.source.crop(region), target=sample.target.crop(region))
    facts = facts_of([sample])
    np.testing.assert_array_equal(
        restoring.clean_image(part, facts), restoring.clean_image(sample, facts)[5:25, 10:40]
    )
    assert Path(part.target.path).name == "a0_clean.tif"

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from sklearn.metrics import jaccard_score

from zcdl_common import networks
from zcdl_common.compare import compare
from zcdl_common.errors import ConfigError, DataError


def write_masks(folder, masks):
    folder.mkdir()
    for i, mask in enumerate(masks):
        tifffile.imwrite(folder / f"m_{i}.tif", mask)
    return str(folder)


@pytest.fixture
def truth(make):
    return [make.blobs((40, 44), i)[1] for i in range(3)]


@pytest.fixture
def found(make):
    return [make.blobs((40, 44), 10 + i)[1] for i in range(3)]


def test_scores_are_those_of_scikit_learn(tmp_path, truth, found):
    rows = compare(write_masks(tmp_path / "a", found), write_masks(tmp_path / "b", truth))
    expected = [jaccard_score(t.ravel() > 0, f.ravel() > 0) for t, f in zip(truth, found, strict=True)]
    assert [row["image"] for row in rows] == ["m_0", "m_1", "m_2", "mean"]
    assert [row["iou"] for row in rows[:-1]] == pytest.approx(expected)
    assert rows[-1]["iou"] == pytest.approx(np.mean(expected))


def test_other_numbers_for_the_same_class_do_not_matter(tmp_path, truth):
    ones = [(t > 0).astype(np.uint8) for t in truth]
    rows = compare(write_masks(tmp_path / "a", ones), write_masks(tmp_path / "b", truth))
    assert rows[-1]["iou"] == 1


def test_a_class_that_was_never_found_is_missed_and_no_other_takes_its_place(tmp_path, make):
    truth = [make.blobs((40, 44), i, classes=2)[1] for i in range(3)]
    found = [np.where(t == 1, 0, t).astype(np.uint8) for t in truth]
    rows = compare(write_masks(tmp_path / "a", found), write_masks(tmp_path / "b", truth))
    assert rows[-1]["iou_2"] == 1 and rows[-1]["iou_1"] == 0


def test_predictions_that_found_nothing_score_nothing(tmp_path, truth):
    empty = [np.zeros_like(t) for t in truth]
    rows = compare(write_masks(tmp_path / "a", empty), write_masks(tmp_path / "b", truth))
    assert rows[-1]["iou"] == 0


def test_regions_drawn_in_fiji_are_truth_too(tmp_path, truth, found):
    from skimage.measure import label

    from zcdl_common.rois import write_rois

    (tmp_path / "rois").mkdir()
    for i, mask in enumerate(truth):
        write_rois(tmp_path / "rois" / f"m_{i}.zip", label(mask > 0))
    predictions = write_masks(tmp_path / "a", found)
    drawn, painted = (
        compare(predictions, str(tmp_path / "rois")),
        compare(predictions, write_masks(tmp_path / "b", truth)),
    )
    assert drawn[-1]["iou"] == pytest.approx(painted[-1]["iou"])


def test_predictions_of_a_run_are_scored_by_its_task(tmp_path):
    labels = np.zeros((40, 40), np.uint16)
    labels[2:10, 2:20], labels[10:20, 2:20] = 1, 2
    truth = write_masks(tmp_path / "truth", [labels])
    run = tmp_path / "run"
    (run / "predictions").mkdir(parents=True)
    found = write_masks(run / "predictions" / "test", [labels])
    assert "iou" in compare(found, truth)[-1], "no run is known yet"
    networks.get("stardist").Config().write(run / "config.yaml")
    assert "ap50" in compare(found, truth)[-1]
    assert "iou" in compare(found, truth, "unet")[-1]
    assert "ap50" in compare(truth, truth, "stardist")[-1]


def test_what_cannot_be_compared_is_said(tmp_path, truth, found):
    a, b = write_masks(tmp_path / "a", found), write_masks(tmp_path / "b", [t[:20] for t in truth])
    with pytest.raises(DataError, match="m_0"):
        compare(a, b)
    with pytest.raises(ConfigError, match=r"no task 'segmant'.*segment"):
        compare(a, b, "segmant")
    for path in (tmp_path / "b").iterdir():
        path.rename(path.with_name("other" + path.name))
    with pytest.raises(DataError, match="partner"):
        compare(a, b)


def test_images_without_a_truth_are_compared_with_real_ones(tmp_path):
    rng = np.random.default_rng(0)
    for folder, count, level in (("real", 6, 50), ("same", 3, 50), ("flat", 3, 0)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            image = 100 + level * ndimage.gaussian_filter(rng.normal(size=(96, 96)), 2)
            tifffile.imwrite(tmp_path / folder / f"{folder}_{i}.tif", image.astype(np.float32))
    same, flat = (
        compare(str(tmp_path / f), str(tmp_path / "real"), "unpaired")[-1] for f in ("same", "flat")
    )
    assert same["feature_distance"] < 2 < flat["feature_distance"]
    assert same["set_distance"] < 0.2 < flat["set_distance"]

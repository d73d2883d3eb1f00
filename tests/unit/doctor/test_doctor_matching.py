"""Targets that belong to other images."""

import numpy as np
import pytest

from zcdl_common.doctor import check
from zcdl_common.doctor.duplicates import thumbnail
from zcdl_common.doctor.matching import Pair, check_matches, correlations, measure_fits, portrait
from zcdl_common.networks.tasks import INSTANCES, SEGMENT
from zcdl_common.samples.translate import brightfield_to_nuclei


def pairs(cells, order, shape=(128, 128), target=lambda image, labels: labels > 0):
    """Pairs whose i-th target is made from image ``order[i]``."""
    drawn = [cells(i, shape) for i in range(len(order))]
    return [
        Pair(f"{i}.tif", shape, thumbnail(drawn[i][0][..., None]), thumbnail(target(*drawn[j])[..., None]))
        for i, j in enumerate(order)
    ]


@pytest.mark.parametrize("target", [lambda image, labels: labels > 0, lambda image, labels: image * 2.0])
def test_right_pairs_pass_and_renamed_ones_are_told_with_the_file_that_fits(cells, target):
    assert not list(check_matches(pairs(cells, range(6), target=target), "mask"))
    (finding,) = check_matches(pairs(cells, [1, 2, 3, 4, 5, 0], target=target), "mask")
    assert finding.severity == "warning" and len(finding.files) == 6
    assert "6 of 6 masks fit another image" in finding.reason
    assert "that of 0.tif fits 1.tif" in finding.reason and "that of 2.tif fits 3.tif" in finding.reason


def test_two_exchanged_among_many_are_found(cells):
    (finding,) = check_matches(pairs(cells, [0, 1, 3, 2, 4, 5]), "mask")
    assert finding.files == ("2.tif", "3.tif") and "2 of 6" in finding.reason


def test_targets_that_fit_no_image_tell_nothing(cells):
    foreign = [
        p._replace(target=q.target)
        for p, q in zip(pairs(cells, range(6)), pairs(cells, range(12))[6:], strict=True)
    ]
    assert not list(check_matches(foreign, "mask"))
    assert not list(check_matches(pairs(cells, range(1)), "mask")) and not list(check_matches([], "mask"))


def test_images_that_all_look_alike_are_let_pass(cells):
    one = pairs(cells, range(1))[0]
    assert not list(check_matches([one._replace(file=name) for name in "abc"], "mask"))


def test_only_equal_sizes_are_compared(cells):
    small, large = pairs(cells, range(2)), pairs(cells, range(2), (160, 160))
    fits = measure_fits([*small, *large])
    assert np.all(fits[:2, 2:] == 0) and np.all(fits[2:, :2] == 0) and np.all(fits.diagonal() > 0.5)


@pytest.mark.parametrize(("task", "word"), [(INSTANCES, "label images"), (SEGMENT, "masks")])
def test_the_check_of_files_finds_renamed_masks(tmp_path, new_folder, cells, task, word):
    folder = new_folder(tmp_path, n=0)
    for i in range(6):
        folder.add(f"{i}.tif", cells(i, (256, 256))[0], cells((i + 1) % 6, (256, 256))[1])
    found = {f.code: f for f in check(folder.samples, task=task).findings}
    assert f"6 of 6 {word} fit another image" in found["targets-of-other-images"].reason


def test_portraits_give_the_correlations_of_numpy(cells):
    images, targets = ([portrait(cells(i)[0][..., None]) for i in seeds] for seeds in (range(3), range(5, 8)))
    found = correlations(images, targets)
    assert images[0].shape == (2, 32, 32) and found.shape == (4, 3, 3)
    expected = np.corrcoef(images[2][1].ravel(), targets[0][0].ravel())[0, 1]
    assert found[2, 2, 0] == pytest.approx(expected, abs=1e-5)
    assert portrait(np.zeros((64, 64, 1))) is None


def test_exchanged_fluorescence_of_bright_field_images_is_found():
    drawn = [brightfield_to_nuclei(np.random.default_rng(i), (256, 256), (0.3, 0.3)) for i in range(6)]
    known = [[portrait(kind[..., None]) for kind in pair] for pair in drawn]
    right = [Pair(f"{i}.tif", (256, 256), *both) for i, both in enumerate(known)]
    assert not list(check_matches(right, "fluorescence image"))
    exchanged = [p._replace(target=right[i - 1].target) for i, p in enumerate(right)]
    (finding,) = check_matches(exchanged, "fluorescence image")
    assert len(finding.files) == 6 and "that of 1.tif fits 0.tif" in finding.reason

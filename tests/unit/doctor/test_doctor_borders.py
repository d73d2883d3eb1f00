"""Objects that borders cut, and those that were left out because borders cut them."""

import numpy as np
import pytest

from zcdl_common.doctor.borders import check_borders, expected_at_border
from zcdl_common.doctor.masks import MARGIN, Mask, measure_mask
from zcdl_common.samples.instances import nuclei

SIZE = (0.5, 0.5)


def cleared(labels):
    """Without what touches the border."""
    rim = np.ones(labels.shape, bool)
    rim[..., MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    return np.where(np.isin(labels, np.unique(labels[rim])), 0, labels)


def fields(n=6, shape=(160, 160), size=SIZE):
    return [nuclei(np.random.default_rng(seed), shape, size) for seed in range(n)]


def found(pairs):
    masks = {
        str(i): (measure_mask(labels[..., None], image[..., None]), labels.shape)
        for i, (image, labels) in enumerate(pairs)
    }
    return {f.code: f for f in check_borders(masks)}


def test_complete_labels_give_no_finding():
    assert not found(fields())


def test_labels_without_any_object_at_the_border_are_a_warning():
    finding = found((image, cleared(labels)) for image, labels in fields())["no-object-at-border"]
    assert finding.severity == "warning" and finding.repair is None
    assert "left out" in finding.reason and "exclude on edges" in finding.remedy


def test_a_specimen_in_the_middle_of_the_image_has_no_objects_at_the_border():
    pairs = [(np.pad(image, 20, constant_values=100), np.pad(labels, 20)) for image, labels in fields()]
    assert not found(pairs)


def test_objects_that_do_not_stand_out_make_it_a_note():
    noise = np.random.default_rng(0).normal(0, 1, (160, 160))
    finding = found((noise, cleared(labels)) for _, labels in fields())["no-object-at-border"]
    assert finding.severity == "note" and "do show" not in finding.reason


def test_few_objects_and_crops_around_single_ones_tell_nothing():
    assert not found((image, cleared(labels)) for image, labels in fields(1, (64, 64)))
    single = np.zeros((40, 40), np.int32)
    single[10:30, 10:30] = 1
    assert not found([(single * 100.0, single)] * 50)


def test_most_objects_cut_is_a_note():
    finding = found(fields(4, (3, 96, 96), (4.0, 0.5, 0.5)))["objects-cut-by-border"]
    assert finding.severity == "note" and "flat" in finding.reason


def test_as_many_are_expected_at_the_border_as_chance_puts_there():
    rng, shape, clear, cut = np.random.default_rng(0), np.array([100, 140]), [], 0
    for _ in range(4000):
        extent = rng.integers(5, 30, 2)
        start = rng.integers(1 - extent, shape)
        if (start >= MARGIN).all() and (start + extent <= shape - MARGIN).all():
            clear.append(extent)
        else:
            cut += 1
    assert expected_at_border(clear, shape) == pytest.approx(cut, rel=0.05)
    assert expected_at_border([], shape) == 0


@pytest.mark.parametrize(("place", "touches"), [(1, True), (2, False), (8, False), (9, True)])
def test_a_rim_of_one_pixel_still_counts_as_the_border(place, touches):
    mask = np.zeros((20, 20, 1), np.uint8)
    mask[place : place + 10, 5:15] = 1
    assert measure_mask(mask).touching == ((touches, False),)


def test_masks_of_other_tasks_have_no_rim():
    assert Mask("binary").rim is None
    image, labels = fields(1)[0]
    assert measure_mask((labels > 0)[..., None].astype(np.uint8), image[..., None]).rim is None
    assert measure_mask(labels[..., None], image[..., None]).rim == pytest.approx(1, abs=0.5)

"""Pairs that are none, and unpaired images that are pairs."""

import itertools

import numpy as np
import pytest

from zcdl_common.doctor.kinship import check_kinship, looks_paired, measure_kinship
from zcdl_common.doctor.matching import Pair, correlations, portrait
from zcdl_common.samples.translate import brightfield_to_nuclei


@pytest.fixture(scope="module")
def fields():
    """Portraits of bright field and fluorescence of 20 fields."""
    drawn = [brightfield_to_nuclei(np.random.default_rng(i), (128, 128), (0.3, 0.3)) for i in range(20)]
    return [tuple(portrait(kind[..., None]) for kind in pair) for pair in drawn]


def named(fields, targets=None):
    targets = [t for _, t in fields] if targets is None else targets
    return [
        Pair(f"/d/{i}.tif", (128, 128), image, target)
        for i, ((image, _), target) in enumerate(zip(fields, targets, strict=True))
    ]


def test_the_closed_form_equals_all_shuffles(fields):
    images, targets = zip(*fields[:6], strict=True)
    kinship = measure_kinship(images, targets)
    by_hand = []
    for one in correlations(images, targets):
        sums = [one[range(6), order].sum() for order in itertools.permutations(range(6))]
        by_hand.append(abs(np.trace(one) - np.mean(sums)) / np.std(sums))
    assert kinship.deviations == pytest.approx(max(by_hand), rel=1e-5)
    assert kinship.share == pytest.approx(max(by_hand) / 5, rel=1e-5) and kinship.share <= 1


def test_pairs_of_two_kinds_pass_whichever_is_the_bright_side(fields):
    assert measure_kinship(*zip(*fields[:10], strict=True)).share > 0.8
    assert not list(check_kinship(named(fields[:10]), "images", "target images"))
    turned = [-target for _, target in fields[:10]]
    assert not list(check_kinship(named(fields[:10], turned), "images", "target images"))


def test_targets_of_other_fields_lead_to_cyclegan(fields):
    pairs = named(fields[:10], [target for _, target in fields[10:]])
    (finding,) = check_kinship(pairs, "images", "fluorescence images")
    assert finding.severity == "warning" and len(finding.files) == 10
    assert "do not look like pairs of the same field" in finding.reason
    assert "their own fluorescence images" in finding.reason
    assert "for unpaired images use the CycleGAN notebook" in finding.remedy


def test_few_pairs_and_frames_of_one_field_tell_nothing(fields):
    strangers = named(fields[:10], [target for _, target in fields[10:]])
    assert not list(check_kinship(strangers[:7], "images", "target images"))
    rng = np.random.default_rng(0)
    light, stain = brightfield_to_nuclei(rng, (128, 128), (0.3, 0.3))
    frames = [
        tuple(portrait(kind[..., None] + rng.normal(0, 20, (128, 128, 1))) for kind in (light, stain))
        for _ in range(10)
    ]
    assert measure_kinship(*zip(*frames, strict=True)).deviations < 3
    for turn in range(10):
        targets = [frames[i - turn][1] for i in range(10)]
        assert not list(check_kinship(named(frames, targets), "images", "target images"))


def test_unpaired_folders_that_hold_pairs_are_recognised_by_name_and_content(fields):
    sources = {f"/a/field_{i}.tif": image for i, (image, _) in enumerate(fields)}
    targets = {f"/b/field_{i}_target.tif": target for i, (_, target) in enumerate(fields)}
    (finding,) = looks_paired(sources, targets)
    assert finding.severity == "note" and len(finding.files) == 20
    assert "these are pairs: 20 files" in finding.reason and "pix2pix or fnet learn more" in finding.remedy


def test_unpaired_folders_without_common_fields_pass(fields):
    sources = {f"/a/{i}.tif": image for i, (image, _) in enumerate(fields[:10])}
    same_names = {f"/b/{i}.tif": target for i, (_, target) in enumerate(fields[10:])}
    other_names = {f"/b/x{i}.tif": target for i, (_, target) in enumerate(fields[:10])}
    few = {f"/b/{i}.tif": target for i, (_, target) in enumerate(fields[:7])}
    for targets in (same_names, other_names, few, {}):
        assert not list(looks_paired(sources, targets))

"""Real pairs that fit must pass; the same pairs moved must not."""

import numpy as np
import pytest

from zcdl_common.doctor import check
from zcdl_common.images import ImageRef
from zcdl_common.networks.tasks import INSTANCES, RESTORE, SEGMENT, TRANSLATE
from zcdl_common.task import Sample

pytestmark = pytest.mark.real

SETS = [
    ("unet2d/dsb2018_nuclei_binary", SEGMENT),
    ("unet2d/isbi2012_membranes", SEGMENT),
    ("stardist2d/dsb2018_256", INSTANCES),
    ("care2d/hagen2021_bpae", RESTORE),
    ("pix2pix/ecoli_bf_to_fluo", TRANSLATE),
    ("pix2pix/hagen2021_actin_to_mito", TRANSLATE),
    ("unet3d/bbbc050_nuclei", SEGMENT),
    ("stardist3d/bbbc050_nuclei", INSTANCES),
]


class Moved:
    """A target whose content was moved by 5 pixels down and 4 to the left."""

    def __init__(self, ref):
        self.ref, self.path = ref, ref.path

    def read(self):
        return np.roll(self.ref.read(), (5, -4), (-3, -2))


def samples(folder, most):
    axes = "ZYX" if "bbbc050" in str(folder) else ""
    files = sorted((folder / "source").iterdir())[:most]
    pairs = [(f, folder / "target" / f.name) for f in files]
    return [Sample(f.stem, f.stem, *(ImageRef((p,), axes=axes) for p in (f, t))) for f, t in pairs]


@pytest.mark.parametrize(("name", "task"), SETS)
def test_real_pairs_pass(real_data, name, task):
    report = check(
        samples(real_data / name / "train", 10), test=samples(real_data / name / "test", 4), task=task
    )
    assert not report.errors
    # the contrast of these was stretched until some pixels saturated
    assert {f.code for f in report.warnings} <= ({"saturated"} if task in (RESTORE, TRANSLATE) else set())


@pytest.mark.parametrize(("name", "task"), [s for s in SETS if "actin_to_mito" not in s[0]])
def test_real_pairs_that_were_moved_are_found(real_data, name, task):
    moved = [
        Sample(s.name, s.group, s.source, Moved(s.target)) for s in samples(real_data / name / "train", 6)
    ]
    report = check(moved, task=task)
    shifted = [f for f in report.warnings if f.code == "shifted"]
    assert len(shifted) >= 0.75 * len(moved)


class Cleared(Moved):
    """A label image without the objects that touch its border."""

    def read(self):
        labels = self.ref.read()
        rim = np.ones(labels.shape, bool)
        rim[2:-2, 2:-2] = False
        return np.where(np.isin(labels, np.unique(labels[rim])), 0, labels)


def test_real_labels_without_the_objects_at_the_border_are_found(real_data):
    whole = samples(real_data / "stardist2d/dsb2018_256" / "train", 10)
    cleared = [Sample(s.name, s.group, s.source, Cleared(s.target)) for s in whole]
    assert {f.code for f in check(cleared, task=INSTANCES).warnings} >= {"no-object-at-border"}


def test_two_stains_whose_edges_do_not_agree_tell_nothing_of_a_shift(real_data):
    pairs = samples(real_data / "pix2pix/hagen2021_actin_to_mito" / "train", 12)
    moved = [Sample(s.name, s.group, s.source, Moved(s.target)) for s in pairs]
    assert {f.code for f in check(moved, task=TRANSLATE).warnings} <= {"saturated"}


@pytest.mark.parametrize("name", ["target_dapi", "target_map2", "target_nfh"])
def test_real_stacks_with_a_flat_target_are_told_to_be_channels(real_data, name):
    folder = real_data / "fnet/isl_phase_to_fluo"
    files = [f for part in ("train", "test") for f in sorted((folder / part / "source").iterdir())]
    for axes, errors in (("ZYX", {"stack-with-flat-target"}), ("CYX", set())):
        pairs = [
            Sample(f.stem, f.stem, ImageRef((f,), axes), ImageRef((f.parents[1] / name / f.name,)))
            for f in files
        ]
        report = check(pairs, task=TRANSLATE)
        assert {f.code for f in report.errors} == errors
        assert {f.code for f in report.warnings} == {"few-images"}

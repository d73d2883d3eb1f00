"""Real pairs that fit must pass; the same pairs moved must not."""

import numpy as np
import pytest

from zcdl_common.doctor import check
from zcdl_common.images import ImageRef
from zcdl_common.task import Sample

pytestmark = pytest.mark.real

SETS = [
    ("unet2d/dsb2018_nuclei_binary", "segment"),
    ("unet2d/isbi2012_membranes", "segment"),
    ("stardist2d/dsb2018_256", "instances"),
    ("care2d/hagen2021_bpae", "restore"),
    ("unet3d/bbbc050_nuclei", "segment"),
    ("stardist3d/bbbc050_nuclei", "instances"),
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
    assert {f.code for f in report.warnings} <= ({"saturated"} if task == "restore" else set())


@pytest.mark.parametrize(("name", "task"), SETS)
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
    assert {f.code for f in check(cleared, task="instances").warnings} >= {"no-object-at-border"}

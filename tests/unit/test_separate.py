"""The classical method finds objects, parts those that touch, and is judged on images it was not tuned on."""

import numpy as np
import pytest

from zcdl_common.baselines import separate as module
from zcdl_common.baselines.separate import separate
from zcdl_common.baselines.threshold import Otsu
from zcdl_common.baselines.watershed import Mask, without_small
from zcdl_common.errors import DataError
from zcdl_common.metrics.instances import scores
from zcdl_common.samples.instances import nuclei


def images(count, shape=(128, 128), pixel_size=(0.5, 0.5), seed=0):
    made = []
    for number in range(count):
        source, labels = nuclei(np.random.default_rng([seed, number]), shape, pixel_size)
        made.append((source[..., None], labels.astype(np.int32)))
    return made


def ball(shape, centre, radius, spacing):
    distance = [(np.arange(n) - c) * s for n, c, s in zip(shape, centre, spacing, strict=True)]
    return sum(np.ix_(*[d**2 for d in distance])) < radius**2


def test_touching_objects_are_parted_and_new_images_are_scored_as_promised():
    found = separate(images(6), seed=0)
    assert set(found.scores) == {module.OTSU, module.LOCAL}
    assert f"{found.scores[found.name]:.3f}" in found.description and found.name in found.description
    pieces = Mask(found.predict.foreground(images(1)[0][0]) > 0).pieces
    parted = found.predict(images(1)[0][0])
    assert parted.dtype == np.int32 and parted.max() > pieces.max()
    fresh = [scores(labels, found.predict(source))["ap50"] for source, labels in images(6, seed=1)]
    assert np.mean(fresh) > 0.4
    assert np.mean(fresh) == pytest.approx(found.scores[found.name], abs=0.15)


def test_the_best_setting_tried_is_taken():
    train = images(3)
    found = separate(train, seed=0)

    def mean(method):
        return np.mean([scores(labels, method(source))["ap50"] for source, labels in train])

    method = found.predict
    for other in (
        {"spacing": np.inf},
        {"spacing": method.spacing / 3},
        {"smallest": 10 * method.smallest + 400},
        {"foreground": Otsu(0, 0.0, (1, 0))},
    ):
        changed = type(method)(**{**vars(method), **other})
        assert mean(method) >= mean(changed)


def test_planes_far_apart_count_as_far_apart():
    shape, spacing = (12, 48, 48), (4.0, 1.0, 1.0)
    touching = ball(shape, (4, 24, 24), 10, spacing) | ball(shape, (8, 24, 24), 10, spacing)
    parted = Mask(touching, aspect=4.0).parted(spacing=10.0, smoothing=1.0)
    assert parted.max() == 2
    assert parted[4, 24, 24] != parted[8, 24, 24]
    assert np.array_equal(parted > 0, touching)
    # as cubes the two are one flat thing
    assert Mask(touching, aspect=1.0).parted(spacing=10.0, smoothing=1.0).max() == 1


def test_volumes_are_tuned_on_and_predicted():
    train = images(2, (12, 64, 64), (2.0, 0.5, 0.5))
    found = separate(train, seed=0, aspect=4.0, seconds=10)
    labels = found.predict(train[0][0])
    assert labels.shape == (12, 64, 64)
    assert scores(train[0][1], labels)["ap50"] > 0.3


def test_every_piece_keeps_an_object_however_small():
    mask = np.zeros((40, 40), bool)
    mask[5:20, 5:20] = mask[21, 21] = mask[30:33, 30:39] = True
    labels = Mask(mask).parted(spacing=100.0, smoothing=2.0)
    assert labels.max() == 3 and np.array_equal(labels > 0, mask)
    assert without_small(labels, 20).max() == 2
    assert np.array_equal(np.unique(without_small(labels, 20)), [0, 1, 2])


def test_a_full_and_an_empty_mask_are_no_trouble():
    assert Mask(np.ones((6, 6), bool)).parted(3.0, 1.0).tolist() == np.ones((6, 6)).tolist()
    assert not Mask(np.zeros((6, 6), bool)).parted(3.0, 1.0).any()


def test_a_time_limit_still_gives_both_thresholds_a_turn_and_is_said(monkeypatch):
    clock = iter(np.arange(0, 1e5, 1.0))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    found = separate(images(2), seed=0, seconds=3)
    assert set(found.scores) == {module.OTSU, module.LOCAL}
    assert "Not all settings tried within 3 s" in found.description


def test_one_image_judges_itself_by_halves_and_only_eight_are_read():
    assert "two halves" in separate(images(1), seed=0).description

    class Counting(list):
        asked = 0

        def __getitem__(self, index):
            self.asked += 1
            return super().__getitem__(index)

    many = Counting(images(3, (64, 64)) * 5)
    separate(many, seed=0, seconds=5)
    assert many.asked == module.MOST_IMAGES


def test_labels_without_objects_are_refused_and_sparse_ones_searched():
    source, labels = images(1, (64, 64))[0]
    empty = (source, np.zeros_like(labels))
    with pytest.raises(DataError, match="holds an object"):
        separate([empty] * 10, seed=0)
    found = separate([empty] * 20 + [(source, labels)], seed=0, seconds=5)
    assert found.predict(source).any()


@pytest.mark.parametrize("corner", [0, 972])
def test_objects_far_from_the_middle_of_a_large_image_are_tuned_on(corner):
    (source, labels), *_ = images(1)
    place = (slice(corner, corner + 128),) * 2
    large, where = np.full((1100, 1100, 1), source.min()), np.zeros((1100, 1100), np.int32)
    large[place], where[place] = source, labels
    found = separate([(large, where)] * 2, seed=0, seconds=5)
    assert scores(labels, found.predict(large)[place])["ap50"] > 0.3

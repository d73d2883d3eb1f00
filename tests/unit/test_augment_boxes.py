"""Boxes move with what they surround, stay within the patch, and a seed repeats them."""

from dataclasses import replace

import numpy as np
import pytest

from zcdl_common.augment import OFF, Augmentation
from zcdl_common.augment.boxes import KEPT, augment_boxes, clip_boxes, combine, cut_boxes, flip_and_turn_boxes
from zcdl_common.boxes import of_labels

MOVES = replace(OFF, flips=True, rotations="quarter turns", scale=0.5)
ALL = Augmentation(scale=0.5, blur=1.0)


def rng(seed):
    return np.random.default_rng(seed)


def scene(shape=(90, 120), count=6, seed=0):
    """A channel an object, whose value is 1 in it: what becomes of it can be read from the pixels."""
    drawn = rng(seed)
    image = np.zeros((*shape, count), np.float32)
    boxes = []
    for channel in range(count):
        y, x = drawn.integers(0, np.array(shape) - 20)
        high, wide = drawn.integers(6, 20, 2)
        image[y : y + high, x : x + wide, channel] = 1
        boxes.append([y, x, y + high, x + wide, channel])
    return image, np.array(boxes, np.float32)


def seen(patch):
    """Box and area of what is left of each object, by channel."""
    inside = patch > 0.5
    return {
        c: (of_labels(inside[..., c].astype(int))[0], inside[..., c].sum())
        for c in range(patch.shape[-1])
        if inside[..., c].any()
    }


def by_class(boxes):
    assert len(set(boxes[:, 4])) == len(boxes)
    return {int(box[4]): box[:4] for box in boxes}


@pytest.mark.parametrize("size", [(64, 64), (40, 70), (100, 80), (150, 160)])
@pytest.mark.parametrize(("scale", "within"), [(0.0, 0), (0.5, 1.0)])
def test_boxes_of_a_window_are_those_of_the_objects_in_it(size, scale, within):
    image, boxes = scene()
    whole = {c: a for c, (_, a) in seen(image).items()}
    for seed in range(40):
        patch, moved = cut_boxes(image, boxes, size, rng(seed), scale)
        assert patch.shape == (*size, 6) and patch.dtype == np.float32 and moved.dtype == np.float32
        truth, found = seen(patch), by_class(moved)
        for c, box in found.items():
            if c in truth:
                np.testing.assert_allclose(box, truth[c][0], atol=within)
        if scale == 0:
            assert set(found) == {c for c, (_, a) in truth.items() if a >= KEPT * whole[c]}


def test_windows_reach_every_corner_and_zoom_within_its_limits():
    image = np.mgrid[:50, :60].transpose(1, 2, 0).astype(np.float32)
    corners = {tuple(cut_boxes(image, np.zeros((0, 5)), (48, 59), rng(s))[0][0, 0]) for s in range(200)}
    assert corners == {(y, x) for y in range(3) for x in range(2)}
    sides = []
    for seed in range(200):
        box = np.array([[22, 27, 26, 33, 0]], np.float32)
        moved = cut_boxes(image, box, (48, 56), rng(seed), 0.5)[1]
        sides += [(b[2] - b[0]) / 4 for b in moved if b[0] > 0 and b[2] < 48]
    assert 1 / 1.53 < min(sides) < 0.72 and 1.38 < max(sides) < 1.53


def test_an_image_smaller_than_the_patch_lies_on_its_median_and_is_never_repeated():
    image = np.full((20, 30, 1), 7, np.float32)
    image[5:9, 5:9] = -3
    for seed in range(10):
        patch, boxes = cut_boxes(image, np.array([[5, 5, 9, 9, 2]]), (40, 50), rng(seed))
        assert (patch == -3).sum() == 16 and (patch == 7).sum() == 40 * 50 - 16
        y0, x0, y1, x1 = boxes[0, :4].astype(int)
        assert (patch[y0:y1, x0:x1] == -3).all() and boxes[0, 4] == 2


def test_a_box_stays_while_enough_of_it_is_in_view():
    boxes = np.array([[-6.9, 0, 3.1, 9, 0], [-7.1, 0, 2.9, 9, 1], [0, 95, 10, 105, 2], [20, 20, 20, 30, 3]])
    kept = clip_boxes(boxes, (50, 100))
    np.testing.assert_allclose(kept, [[0, 0, 3.1, 9, 0], [0, 95, 10, 100, 2]], rtol=1e-6)
    assert clip_boxes(np.zeros((0, 5)), (50, 100)).shape == (0, 5)


def test_a_box_that_reaches_out_of_the_image_counts_by_what_the_image_holds():
    image = np.zeros((30, 30, 1), np.float32)
    _, boxes = cut_boxes(image, np.array([[-5, 0, 15, 30, 0]]), (30, 30), rng(0))
    np.testing.assert_array_equal(boxes, [[0, 0, 15, 30, 0]])


@pytest.mark.parametrize(("shape", "ways"), [((40, 40), 8), ((40, 60), 4)])
def test_flips_and_turns_reach_all_symmetries_with_the_boxes_along(shape, ways):
    image, boxes = scene(shape)
    patches = set()
    for seed in range(100):
        patch, moved = flip_and_turn_boxes(image, boxes, rng(seed), True, True)
        patches.add(patch.tobytes())
        truth, found = seen(patch), by_class(moved)
        assert set(truth) == set(found)
        for c, box in found.items():
            np.testing.assert_allclose(box, truth[c][0], atol=1e-4)
    assert len(patches) == ways


def test_flips_and_turns_keep_fractions_of_a_pixel():
    _, boxes = flip_and_turn_boxes(
        np.zeros((30, 50, 1), np.float32), np.array([[1.25, 2.5, 3, 4.75, 9]]), rng(1), True, False
    )
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    np.testing.assert_allclose([heights[0], widths[0], boxes[0, 4]], [1.75, 2.25, 9], rtol=1e-5)


def test_a_mosaic_shows_four_images_that_meet_in_one_point():
    parts = [
        (np.full((80, 80, 2), i, np.float32), np.array([[0, 0, 80, 80, i]], np.float32)) for i in range(4)
    ]
    centres = []
    for seed in range(50):
        patch, boxes = combine(parts, (60, 100), rng(seed))
        truth = by_class(np.c_[of_labels(patch[..., 0].astype(int) + 1), range(4)])
        found = by_class(boxes)
        # of an image of 80 pixels a part holds less than the share that keeps a box, or all that is in it
        for c, box in found.items():
            np.testing.assert_array_equal(box, truth[c])
        for c, box in truth.items():
            assert (c in found) == ((box[2] - box[0]) * (box[3] - box[1]) >= KEPT * 6400)
        centres.append(truth[0][2:])
    low, high = np.min(centres, 0) / (60, 100), np.max(centres, 0) / (60, 100)
    assert (low >= 0.19).all() and (low < 0.3).all() and (high <= 0.81).all() and (high > 0.7).all()


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_all_moves_together_keep_boxes_on_their_objects(mosaic):
    images = []
    for i in range(4):  # the objects of each image have channels of their own
        image, boxes = scene(seed=i, count=3)
        wide = np.zeros((90, 120, 12), np.float32)
        wide[..., 3 * i : 3 * i + 3] = image
        boxes[:, 4] += 3 * i
        images.append((wide, boxes))
    kept = 0
    for seed in range(40):
        patch, boxes = augment_boxes(images, 1, (96, 96), rng(seed), MOVES, mosaic)
        assert (boxes[:, :2] < boxes[:, 2:4]).all() and boxes[:, :4].min(initial=0) >= 0
        assert boxes[:, :4].max(initial=0) <= 96
        for c in set(boxes[:, 4]):
            places = boxes[boxes[:, 4] == c, :4]
            inside = (patch[..., int(c)] > 0.5).astype(int)
            if len(places) == 1 and inside.any() and (patch[..., 3:6].any() or mosaic):
                truth = of_labels(inside)[0]
                # an image may come twice in a mosaic, and the second time only a rest of the object
                if not mosaic or np.abs(places[0] - truth).max() <= 1:
                    np.testing.assert_allclose(places[0], truth, atol=1)
                    kept += 1
    assert kept > 50


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_any_channels_and_values_and_one_seed_repeats(channels, mosaic):
    image = (rng(0).normal(size=(70, 90, channels)) * 1000 - 5000).astype(np.float32)
    images = [(image, scene((70, 90))[1]), (image[:40] + 1, np.zeros((0, 5), np.float32))]
    first = [augment_boxes(images, 0, (64, 64), rng(seed), ALL, mosaic) for seed in range(5)]
    np.random.seed(3)
    again = [augment_boxes(images, 0, (64, 64), rng(seed), ALL, mosaic) for seed in range(5)]
    for (a, x), (b, y) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(x, y)
        assert a.shape == (64, 64, channels) and a.dtype == np.float32 and a.max() < -500
        assert x.shape[1] == 5 and x.dtype == np.float32
    assert all(not np.array_equal(a[0], b[0]) for i, a in enumerate(first) for b in first[:i])


def test_a_mosaic_comes_as_often_as_it_is_asked_for():
    images = [(np.full((32, 32, 1), i, np.float32), np.zeros((0, 5), np.float32)) for i in range(50)]
    mixed = [np.ptp(augment_boxes(images, 3, (32, 32), rng(s), OFF, 0.4)[0]) > 0 for s in range(200)]
    assert 0.3 < np.mean(mixed) < 0.5


@pytest.mark.parametrize("setting", [{"rotations": "any angle"}, {"shear": 5.0}, {"elastic": 2.0}])
def test_changes_that_boxes_cannot_follow_are_refused(setting):
    with pytest.raises(ValueError, match="quarter turns"):
        augment_boxes([scene()], 0, (32, 32), rng(0), replace(OFF, **setting))

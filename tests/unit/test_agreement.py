from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.agreement import _turned, disagreement, learned
from zcdl_common.augment.geometry import flip_and_turn

SHAPES = [(21, 34, 1), (16, 16, 2), (5, 18, 25, 1), (3, 12, 12, 2)]


def blurred(image):
    """Takes no notice of directions in the image plane."""
    return ndimage.gaussian_filter(image, [0.5] * (image.ndim == 4) + [2.0, 2.0, 0.0])


def sheared(image):
    """Each pixel looks to its left: that is another neighbour once the image is turned."""
    return image - 0.5 * np.roll(image, 1, axis=-2)


def orientations(array):
    """The 8 symmetries of the square on the Y and X axes of (Z)YXC, each with its inverse."""
    y, x = array.ndim - 3, array.ndim - 2
    for swapped in (False, True):
        for up in (False, True):
            for left in (False, True):
                flips = tuple(axis for axis, flip in ((y, up), (x, left)) if flip)

                def there(a, swapped=swapped, flips=flips):
                    return np.swapaxes(np.flip(a, flips), y, x) if swapped else np.flip(a, flips)

                def back(a, swapped=swapped, flips=flips):
                    return np.flip(np.swapaxes(a, y, x) if swapped else a, flips)

                yield there, back


def brute_force(predict, image):
    found = [back(predict(there(image))) for there, back in orientations(image)]
    assert len(found) == 8 and all(f.shape[:-1] == image.shape[:-1] for f in found)
    return np.std(np.asarray(found, float), axis=0)


def image_of(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_who_does_not_mind_turns_agrees_with_itself_everywhere(shape):
    image = image_of(shape)
    assert not disagreement(lambda x: 3 * x**2 - 1, image).any()
    found = disagreement(blurred, image)
    assert found.shape == shape and found.dtype == np.float32
    assert found.max() < 1e-6 < 0.05 < blurred(image).std()


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_standard_deviation_over_all_eight_orientations(shape):
    image = image_of(shape)
    expected = brute_force(sheared, image)
    assert expected.mean() > 0.3
    np.testing.assert_allclose(disagreement(sheared, image), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 11, 1), (9, 9, 1), (2, 6, 9, 1)])
def test_an_answer_that_only_counts_columns_is_known_in_closed_form(shape):
    def columns(image):
        return np.broadcast_to(np.arange(image.shape[-2], dtype=float)[:, None], image.shape)

    height, width = shape[-3:-1]
    y, x = np.mgrid[:height, :width]
    expected = np.std([x, width - 1 - x, y, height - 1 - y], axis=0)
    found = disagreement(columns, np.zeros(shape))
    np.testing.assert_allclose(found, np.broadcast_to(expected[..., None], shape), atol=1e-5)


def test_small_changes_on_a_large_offset_keep_their_digits():
    image = image_of((12, 14, 1))
    found = disagreement(lambda x: 1e7 + sheared(x).astype(float), image)
    np.testing.assert_allclose(found, brute_force(sheared, image), rtol=1e-4, atol=1e-5)


def test_planes_are_never_exchanged_and_channels_neither():
    order = np.broadcast_to(np.arange(4.0)[:, None, None, None], (4, 8, 10, 1))
    assert not disagreement(
        lambda image: order if image.shape == order.shape else order.swapaxes(1, 2), order
    ).any()
    image = image_of((8, 10, 3))
    found = disagreement(lambda x: np.concatenate([x[..., :2], sheared(x[..., 2:])], -1), image)
    assert not found[..., :2].any() and found[..., 2].mean() > 0.1


def test_answers_may_have_other_channels_than_the_image_and_the_image_stays_as_it_was():
    image = image_of((9, 13, 2))
    before = image.copy()
    assert disagreement(lambda x: sheared(x).sum(-1, keepdims=True), image).shape == (9, 13, 1)
    assert np.array_equal(image, before)


def test_each_turned_image_lies_in_memory_as_the_network_needs_it():
    seen = []
    disagreement(lambda x: (seen.append(x), x)[1], image_of((6, 9, 1)))
    assert all(x.flags["C_CONTIGUOUS"] for x in seen)
    assert len({x.tobytes() + bytes(x.shape) for x in seen}) == 8, "eight different images"


TRAINED = [
    (True, True, "quarter turns", (8, 8), 8),
    (True, True, "any angle", (8, 8), 8),
    (True, True, "quarter turns", (8, 12), 4),
    (True, True, "none", (8, 8), 4),
    (True, False, "quarter turns", (8, 8), 4),
    (True, False, "quarter turns", (4, 8, 12), 2),
    (True, False, "none", (8, 8), 1),
    (False, True, "quarter turns", (8, 8), 1),
]


@pytest.mark.parametrize(("on", "flips", "rotations", "patch", "count"), TRAINED)
def test_only_what_training_may_have_shown_is_asked_for(on, flips, rotations, patch, count):
    """All that training makes of a patch, planes left as they are, and nothing else."""
    config = SimpleNamespace(augment=on, flips=flips, rotations=rotations, patch_size=patch)
    ways = learned(config)
    assert len(ways) == len(set(ways)) == count and ways[0] == 0
    image = image_of((*patch[-2:], 1))
    rng = np.random.default_rng(0)
    shown = {
        np.ascontiguousarray(
            flip_and_turn(image, None, rng, flips and on, rotations != "none" and on)[0]
        ).tobytes()
        for _ in range(300)
    }
    assert {_turned(image, way).tobytes() for way in ways} == shown


def test_other_ways_are_not_asked_and_count_nothing():
    image, asked = image_of((12, 12, 1)), []

    def answer(seen):
        asked.append(seen)
        return sheared(seen)

    found = disagreement(answer, image, (0, 2, 4, 6))
    assert len(asked) == 4
    same = [(there, back) for there, back in orientations(image)][:4]  # flips alone
    expected = np.std([back(sheared(there(image))) for there, back in same], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)

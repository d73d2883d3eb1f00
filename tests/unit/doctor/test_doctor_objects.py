"""Objects in masks, and points."""

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.doctor import objects
from zcdl_common.doctor.masks import Mask, measure_mask


def nuclei(n=20, seed=0, shape=(160, 160)):
    """Image (Y, X) of bright discs and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    cells = [(i, j) for i in range(shape[0] // 32) for j in range(shape[1] // 32)]
    for number, k in enumerate(rng.permutation(len(cells))[:n], start=1):
        cy, cx = (32 * c + 16 + rng.integers(-4, 5) for c in cells[k])
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= rng.integers(6, 9) ** 2] = number
    image = 100 + 80 * ndimage.gaussian_filter((labels > 0).astype(float), 1) + rng.normal(0, 5, shape)
    return image.astype(np.float32), labels


@pytest.mark.parametrize("sign", [1, -1])
def test_forgotten_objects_are_counted_bright_or_dark(sign):
    image, labels = nuclei()
    left = np.where(labels <= 15, labels, 0)
    missing, labelled = objects.unlabelled_objects(sign * image, left)
    assert labelled == 15 and 3 <= missing <= 5


def test_nothing_is_missed_where_all_is_labelled_or_nothing_stands_out():
    image, labels = nuclei()
    assert objects.unlabelled_objects(image, labels) == (0, 20)
    noise = np.random.default_rng(1).normal(0, 1, image.shape)
    assert objects.unlabelled_objects(noise, np.where(labels < 8, labels, 0))[0] == 0


def test_debris_and_dim_objects_are_not_taken_for_forgotten_ones():
    image, labels = nuclei(12)
    free = ndimage.distance_transform_edt(labels == 0)
    y, x = np.unravel_index(np.argmax(free), free.shape)
    image[y - 1 : y + 2, x - 1 : x + 2] += 100
    assert objects.unlabelled_objects(image, labels)[0] == 0


def test_two_forgotten_objects_warn_and_one_does_not():
    assert next(objects.check_unlabelled({"a": (2, 15)})).files == ("a",)
    assert not list(objects.check_unlabelled({"a": (1, 15), "b": (2, 50), "c": (0, 3)}))


def test_objects_larger_than_the_patch_propose_a_larger_one():
    masks = {"a": Mask("objects", objects=2, extents=((70, 40), (72, 30)))}
    (finding,) = objects.check_object_sizes(masks, (64, 64))
    assert "patch_size to 80, 64" in finding.remedy
    assert not list(objects.check_object_sizes(masks, (96, 96)))
    assert not list(objects.check_object_sizes(masks, None))


def test_a_thick_structure_fills_whole_patches_and_a_thin_one_that_spans_the_image_does_not():
    block = np.zeros((200, 200, 1), np.uint8)
    block[20:180, 20:180] = 1
    line = np.zeros((200, 200, 1), np.uint8)
    line[90:100] = 1
    (finding,) = objects.check_thickness({"a": measure_mask(block)}, (64, 64))
    assert "patch_size to 1" in finding.remedy
    assert not list(objects.check_thickness({"a": measure_mask(line)}, (64, 64)))


def test_objects_across_the_whole_image_are_reported():
    wide = Mask("objects", objects=1, extents=((30, 128),))
    assert next(objects.check_field_of_view({"a": (wide, (128, 128))})).code == "objects-larger-than-image"
    small = Mask("objects", objects=1, extents=((30, 30),))
    assert not list(objects.check_field_of_view({"a": (small, (128, 128))}))

"""Images that are there twice."""

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.doctor.duplicates import Print, check_duplicates, digest, near_pairs, thumbnail


def scene(seed, noise=0.0, shape=(96, 128)):
    """Blobs on an uneven background (Y, X, 1); `noise` relative to the blobs."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random(shape) > 0.995, 3.0, output=float)
    light = 0.5 * blobs.max() * np.linspace(0, 3, shape[1])[None]
    grain = np.random.default_rng(1000 + seed).normal(0, noise * blobs.max(), shape)
    return ((blobs + light + grain) * 1e5).astype(np.uint16)[..., None]


def prints(**images):
    return [
        Print(name, name, name.startswith("test"), digest(image), thumbnail(image))
        for name, image in images.items()
    ]


def codes(found, separate_test=True):
    return {(f.severity, f.code, f.files) for f in check_duplicates(found, separate_test=separate_test)}


def test_the_digest_is_of_pixels_shape_and_type():
    image = scene(0)
    assert digest(image) == digest(image.copy()) == digest(np.asfortranarray(image))
    assert len({digest(image), digest(image.astype(np.int32)), digest(image.reshape(128, 96, 1))}) == 3


def test_different_fields_under_one_lamp_are_no_twins():
    assert not codes(prints(**{f"image{i}": scene(i, 0.05) for i in range(12)}))


def test_equal_pixels_across_the_test_are_an_error():
    found = codes(prints(a=scene(0), b=scene(1), test_a=scene(0)))
    assert found == {("error", "test-image-in-training", ("a", "test_a"))}


def test_equal_pixels_inside_the_training_set_warn():
    assert codes(prints(a=scene(0), b=scene(0))) == {("warning", "same-image-twice", ("a", "b"))}


def test_neighbouring_frames_warn_across_the_test_and_are_noted_inside():
    again = (scene(0, 0.03) * 0.9 + 200).astype(np.uint16)
    assert codes(prints(a=scene(0, 0.02), test_b=again)) == {
        ("warning", "almost-the-same-image", ("a", "test_b"))
    }
    assert codes(prints(a=scene(0, 0.02), b=again)) == {("note", "almost-the-same-image", ("a", "b"))}
    assert {s for s, *_ in codes(prints(a=scene(0, 0.02), b=again), separate_test=False)} == {"warning"}


def test_frames_of_one_group_may_resemble_each_other():
    one, other = prints(a=scene(0, 0.02), b=scene(0, 0.03))
    same_group = [one, Print("b", "a", False, other.digest, other.thumbnail)]
    assert not codes(same_group)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored_copies_are_found(turns, mirrored):
    image = scene(0, shape=(96, 96))
    copy = np.rot90(image[:, ::-1] if mirrored else image, turns)
    how = near_pairs(np.stack([thumbnail(image), thumbnail(copy)]))[0, 1]
    assert ("mirrored" in how) == mirrored or turns == 2
    assert bool(how) == bool(turns or mirrored)


def test_images_without_structure_have_no_thumbnail():
    assert thumbnail(np.full((64, 64, 1), 9)) is None
    assert thumbnail(np.zeros((16, 16, 1))) is None
    assert thumbnail(scene(0)).shape == (32, 32)


def test_a_test_folder_with_the_training_images_themselves_is_named_and_nothing_is_to_be_deleted():
    train = prints(a=scene(0), b=scene(1))
    test = [Print(p.file, p.group, True, p.digest, p.thumbnail) for p in train]
    (finding,) = check_duplicates([*train, *test], separate_test=True)
    assert finding.severity == "error" and "test_source is the training folder" in finding.reason
    assert "2 files" in finding.reason and "leave it empty" in finding.remedy
    assert "elete" not in finding.remedy


def test_a_copy_in_the_test_folder_is_taken_out_of_there():
    (finding,) = check_duplicates(prints(a=scene(0), test_a=scene(0)), separate_test=True)
    assert "out of the test folder" in finding.remedy

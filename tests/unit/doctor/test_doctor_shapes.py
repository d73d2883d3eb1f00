"""Partners, sizes, axes, channels, patches."""

import numpy as np
import pytest
from scipy import ndimage

from zcdl_common.doctor import shapes
from zcdl_common.doctor.shapes import Size


def codes(findings):
    return [(f.severity, f.code) for f in findings]


def test_single_files_are_named_on_their_side():
    image, mask = shapes.check_partners(["a.tif"], ["b.tif"], "mask")
    assert image.files == ("a.tif",) and "no mask" in image.reason and image.severity == "error"
    assert mask.files == ("b.tif",) and "no image" in mask.reason
    assert not list(shapes.check_partners([], [], "mask"))


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ((64, 80), (64, 81), "64 x 80 pixels, its mask 64 x 81"),
        ((64, 80), (80, 64), "turned"),
        ((10, 64, 64), (9, 64, 64), "10 planes, its mask 9"),
        ((10, 64, 64), (64, 64), "a stack (10 x 64 x 64), its mask a single plane"),
    ],
)
def test_unequal_partners_are_an_error_that_says_how(source, target, said):
    (finding,) = shapes.check_pair(Size(source, 1), Size(target, 1), "f", word="mask", projection=False)
    assert finding.severity == "error" and said in finding.reason


def test_equal_sizes_pass_whatever_the_channels():
    assert not list(shapes.check_pair(Size((8, 9), 3), Size((8, 9), 1), "f", word="mask", projection=False))


def test_a_flat_target_of_a_stack_asks_for_channels_in_translation_only():
    stack, plane = Size((13, 64, 64), 1), Size((64, 64), 1)
    (finding,) = shapes.check_pair(stack, plane, "f", word="target", projection=True)
    assert (finding.severity, finding.code) == ("error", "stack-with-flat-target")
    assert "stack of 13 planes" in finding.reason and "set axes = CYX" in finding.remedy
    (finding,) = shapes.check_pair(stack, plane, "f", word="mask", projection=False)
    assert finding.code == "different-sizes" and "CYX" not in finding.remedy


def test_the_odd_dimension_is_named():
    sizes = {"a": Size((8, 8), 1), "b": Size((8, 8), 1), "c": Size((3, 8, 8), 1)}
    (finding,) = shapes.check_dimensions(sizes)
    assert finding.files == ("c",) and "a stack (ZYX) where single planes" in finding.reason
    (finding,) = shapes.check_dimensions(sizes, ndim=3)
    assert finding.files == ("a", "b")
    assert not list(shapes.check_dimensions({"a": sizes["a"], "b": sizes["b"]}))


def test_colour_among_grey_is_named():
    sizes = {"a": Size((8, 8), 1), "b": Size((8, 8), 1), "c": Size((8, 8), 3)}
    (finding,) = shapes.check_channels(sizes)
    assert finding.files == ("c",) and "3 channels" in finding.reason and finding.severity == "error"
    assert not list(shapes.check_channels({"a": sizes["a"], "b": sizes["b"]}))


def test_very_unequal_depths_warn_and_small_differences_are_noted():
    def depths(*numbers):
        return {str(i): Size((n, 64, 64), 1) for i, n in enumerate(numbers)}

    assert codes(shapes.check_depths(depths(50, 20))) == [("warning", "unequal-depth")]
    assert codes(shapes.check_depths(depths(50, 45))) == [("note", "unequal-depth")]
    assert not list(shapes.check_depths(depths(50, 50)))


def test_a_patch_larger_than_an_image_proposes_one_that_fits():
    sizes = {"a": Size((360, 200), 1), "b": Size((512, 512), 1)}
    (finding,) = shapes.check_patch(sizes, (256, 256))
    assert finding.severity == "error" and finding.files == ("a",)
    assert "patch_size to 256, 192" in finding.remedy
    assert not list(shapes.check_patch(sizes, (256, 192)))
    assert not list(shapes.check_patch(sizes, None))


def test_few_images_are_said_and_none_is_an_error():
    assert codes(shapes.check_count(0, "segment")) == [("error", "no-images")]
    (one,) = shapes.check_count(1, "segment")
    assert one.severity == "warning" and "strips" in one.reason
    assert codes(shapes.check_count(4, "segment")) == [("warning", "few-images")]
    assert not list(shapes.check_count(5, "segment"))
    assert codes(shapes.check_count(5, "detect")) == [("warning", "few-images")]


def specimen(planes, depth):
    """Blobs in (Z)YX1 that spread over `depth` planes; a movie if they fill all planes alike."""
    rng = np.random.default_rng(3)
    volume = np.zeros((planes, 96, 96), np.float32)
    for z, y, x in zip(rng.integers(0, planes, 60), *rng.integers(5, 91, (2, 60)), strict=True):
        volume[z if depth else slice(None), y, x] = 1
    volume = ndimage.gaussian_filter(volume, (depth, 3, 3))
    noise = rng.normal(0, 0.05 * volume.max(), volume.shape)
    return (volume + noise)[..., None].astype(np.float32)


def test_a_movie_saved_as_a_stack_is_seen():
    (finding,) = shapes.check_time(specimen(12, 0), "movie.tif")
    assert finding.code == "time-saved-as-z" and "12 planes" in finding.reason


def test_a_real_stack_a_short_one_and_a_plane_are_no_movies():
    assert not shapes.looks_like_time(specimen(12, 1.5))
    assert not shapes.looks_like_time(specimen(12, 0)[:4])
    assert not shapes.looks_like_time(specimen(12, 0)[0])
    assert not shapes.looks_like_time(np.zeros((8, 32, 32, 1)))


def test_clean_images_are_not_spoken_of_as_masks():
    missing = [f for drawn in (True, False) for f in shapes.check_partners(["a"], [], "target", drawn=drawn)]
    assert ["no objects" in f.remedy for f in missing] == [True, False]
    unequal = [
        f.remedy
        for drawn in (True, False)
        for f in shapes.check_pair(
            Size((8, 8), 1), Size((8, 9), 1), "f", word="clean image", projection=False, drawn=drawn
        )
    ]
    assert ["drawn" in text and "interpolation" in text for text in unequal] == [True, False]
    assert "clean image that was taken with this very image" in unequal[1]

"""Pairs that differ in size by a factor."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zcdl_common.doctor.resizing import Scale, check_scales, common_factor, enlarge
from zcdl_common.doctor.shapes import Size


def factor(source, target, *pixel_sizes):
    return common_factor(Size(source, 1), Size(target, 1), *pixel_sizes)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((512, 512), (1024, 1024), 2),
        ((1024, 1024), (512, 512), Fraction(1, 2)),
        ((512, 400), (768, 600), Fraction(3, 2)),
        ((360, 360), (480, 480), Fraction(4, 3)),
        ((13, 100, 120), (13, 200, 240), 2),
        ((101, 101), (67, 67), Fraction(2, 3)),
        ((512, 510), (1025, 1020), None),  # one row more than the factor says: which?
        ((512, 512), (512, 512), None),
        ((512, 512), (500, 500), None),
        ((512, 512), (1024, 512), None),
        ((64, 128), (128, 64), None),
        ((512, 512), (640, 700), None),
        ((10, 100, 100), (20, 200, 200), None),
        ((10, 100, 100), (200, 200), None),
    ],
)
def test_only_simple_factors_along_both_axes_count(source, target, expected):
    assert factor(source, target) == expected


def test_pixel_sizes_tell_another_scale_from_a_part_of_the_field():
    assert factor((64, 64), (128, 128), (0.2, 0.2), (0.1, 0.1)) == 2
    assert factor((64, 64), (128, 128), (0.2, 0.2), (0.2, 0.2)) is None
    assert factor((64, 64), (128, 128), (0.2, 0.2), None) == 2


def test_a_folder_of_one_factor_is_one_finding_about_the_smaller_files():
    alike = [Scale(f"s{i}", f"t{i}", (64, 64), (128, 128), Fraction(2)) for i in range(5)]
    (finding,) = check_scales(alike, "fluorescence image", 5)
    assert finding.files == ("s0", "s1", "s2", "s3", "s4") and finding.severity == "error"
    assert "in all 5 pairs" in finding.reason and "2 times as many" in finding.reason
    assert "images to predict" in finding.remedy and finding.repair == "enlarge to the size of its partner"
    small = Scale("s9", "t9", (96, 96), (64, 64), Fraction(2, 3))
    two = list(check_scales([*alike, small], "target image", 7))
    assert [f.files for f in two] == [finding.files, ("t9",)]
    assert "in 5 of 7 pairs" in two[0].reason and "the image has 1.5 times as many" in two[1].reason
    assert "images to predict" not in two[1].remedy
    assert not list(check_scales([], "target image", 3))


def test_both_cover_the_same_field_after_enlarging():
    y, x = np.mgrid[:40, :50] + 0.5
    ramp = (100 * y + 7 * x).astype(np.float32)[..., None]
    large = enlarge(ramp, (80, 100))[..., 0]
    fine_y, fine_x = (np.mgrid[:80, :100] + 0.5) / 2
    inside = (slice(2, -2), slice(2, -2))
    assert np.allclose(large[inside], (100 * fine_y + 7 * fine_x)[inside], rtol=1e-5)


@given(
    st.sampled_from([np.uint8, np.uint16, np.int32]).flatmap(lambda d: hnp.arrays(d, (4, 5, 2))),
    st.sampled_from([(8, 10), (6, 8), (9, 11)]),
)
def test_whole_numbers_keep_their_type_and_range(image, shape):
    large = enlarge(image, shape)
    assert large.dtype == image.dtype and large.shape == (*shape, 2)
    for channel in range(2):
        assert large[..., channel].min() >= image[..., channel].min()
        assert large[..., channel].max() <= image[..., channel].max()

"""Targets go to images by name, never by the order of the files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcdl_common.errors import ConfigError
from zcdl_common.images import ImageRef
from zcdl_common.pairs import group_of, pair


def refs(*names):
    return [ImageRef((Path("images") / name,)) for name in names]


def paths(*names):
    return [Path("masks") / name for name in names]


def matched(pairing):
    return {ref.path.name: target.name for ref, target in pairing.pairs}


@pytest.mark.parametrize(
    "target",
    [
        "img1.png", "IMG1.tif", "img1_mask.tif", "img1_masks.tif", "img1-label.tif", "img1_labels.tif",
        "img1_cp_masks.png", "img1_seg.tif", "img1_gt.tif", "img1_target.tif", "img1_RoiSet.zip", "img1.roi",
        "img1.geojson", "img1.ome.tif", "img1.tif.geojson", "img1_seg_mask.tif", "mask_img1.tif",
    ],
)  # fmt: skip
def test_one_target_by_any_common_name(target):
    pairing = pair(refs("img1.tif", "img10.tif"), paths(target))
    assert matched(pairing) == {"img1.tif": target}
    assert [r.name for r in pairing.without_target] == ["img10"] and not pairing.without_source


def test_suffixes_on_both_sides():
    pairing = pair(refs("cell_01_raw.tif", "cell_02_raw.tif"), paths("cell_02_mask.tif", "cell_01_mask.tif"))
    assert matched(pairing) == {"cell_01_raw.tif": "cell_01_mask.tif", "cell_02_raw.tif": "cell_02_mask.tif"}


def test_prefixes_on_both_sides():
    pairing = pair(refs("image_001.tif", "image_002.tif"), paths("label_002.tif", "label_001.tif"))
    assert matched(pairing) == {"image_001.tif": "label_001.tif", "image_002.tif": "label_002.tif"}


def test_equal_names_come_before_common_suffixes():
    pairing = pair(refs("a.tif", "a_mask.tif"), paths("a_mask.tif", "a.tif"))
    assert matched(pairing) == {"a.tif": "a.tif", "a_mask.tif": "a_mask.tif"}


def test_two_candidates_are_not_guessed_between():
    pairing = pair(refs("a.tif"), paths("a_mask.tif", "a_label.tif"))
    assert not pairing.pairs and len(pairing.without_source) == 2 and len(pairing.without_target) == 1


def test_equal_counts_with_other_names_are_not_paired_by_order():
    pairing = pair(refs("a.tif", "b.tif"), paths("c.tif", "d.tif"))
    assert not pairing.pairs


def test_all_frames_of_a_movie_share_its_target():
    frames = [ImageRef((Path("movie.tif"),), frame=t) for t in range(3)]
    pairing = pair(frames, paths("movie_labels.tif"))
    assert [ref.frame for ref, _ in pairing.pairs] == [0, 1, 2]


@given(st.sets(st.text("abcXY019_- .", min_size=1, max_size=8).map(str.strip).filter(bool)), st.randoms())
def test_equal_names_always_pair_in_any_order(names, random):
    files = [f"{name}.tif" for name in sorted(names)]
    shuffled = files.copy()
    random.shuffle(shuffled)
    pairing = pair(refs(*files), paths(*shuffled))
    assert matched(pairing) == {name: name for name in files}


@pytest.mark.parametrize(
    ("name", "pattern", "group"),
    [
        ("movie3_t01", r"movie\d+", "movie3"),
        ("plate1_A02_f3", r"_([A-H]\d\d)_", "A02"),
        ("p1_A02_f3", r"(p\d)_(A\d+)", "p1_A02"),
        ("other", r"movie\d+", "other"),
        ("plain", "", "plain"),
    ],
)
def test_groups(name, pattern, group):
    assert group_of(name, pattern) == group


def test_a_bad_pattern_says_what_to_type():
    with pytest.raises(ConfigError, match=r"group_by = '\(movie'.*movie\\d\+"):
        group_of("movie1", "(movie")

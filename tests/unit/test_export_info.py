"""Names and sizes of a package."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcdl_common.export import check
from zcdl_common.export.info import clean_name, clean_nickname, identifiers, smallest_size


@given(st.text(max_size=200))
def test_any_text_becomes_a_name_that_the_zoo_allows(text):
    name = clean_name(text)
    assert 5 <= len(name) <= 128
    assert re.fullmatch(r"[A-Za-z0-9_+\- ()]+", name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", clean_nickname(text))


def test_names_keep_what_can_be_kept():
    assert clean_name("Zellkerne größer, 3. Versuch") == "Zellkerne grosser 3 Versuch"
    assert clean_name("unet_2026-11-20") == "unet_2026-11-20"
    assert clean_nickname("U-Net Nuclei_1") == "u-net-nuclei-1"


@pytest.mark.parametrize("name", ["cyc", "run", "a1", "ecoli"])
def test_a_package_bears_the_name_of_its_run_however_short(name):
    assert clean_nickname(name) == name


def test_a_name_of_signs_alone_gets_a_word():
    assert clean_nickname("--:--") == "model" == clean_nickname("??")


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_channel_names_become_identifiers_each_once(texts):
    names = identifiers(texts)
    assert len(names) == len(texts)
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_good_channel_names_stay():
    assert identifiers(["DAPI", "GFP 488", "488", "class"]) == [
        "DAPI",
        "GFP_488",
        "channel_488",
        "channel_class",
    ]


@given(st.integers(1, 64), st.integers(0, 300))
def test_the_smallest_size_is_the_first_multiple_that_outgrows_the_halo(step, halo):
    (size,) = smallest_size((step,), (halo,))
    assert size % step == 0
    assert size > 2 * halo >= size - step


def test_how_far_formats_may_differ_is_said_in_words():
    from bioimageio.spec.model.v0_5 import ReproducibilityTolerance

    stated = ReproducibilityTolerance(relative_tolerance=1e-3, absolute_tolerance=6.7)
    config = SimpleNamespace(bioimageio=SimpleNamespace(reproducibility_tolerance=[stated]))
    said = check._tolerance(SimpleNamespace(config=config), "onnx")
    assert said == "0.1 % of an output value, plus 6.7 in its units"

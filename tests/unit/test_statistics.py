import json
import math

import numpy as np
import pytest
from scipy import stats

from zcdl_common.metrics.statistics import Interval, bootstrap, compare, disagreement, sentence


def test_interval_of_many_images_equals_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2, 1, 400)
    ours = bootstrap(values, n=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.mean == values.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_interval_of_eight_images_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = sum(i.low <= 0 <= i.high for i in (bootstrap(rng.normal(size=8), n=1000) for _ in range(400)))
    assert 0.91 <= hits / 400 <= 0.98


def test_too_few_images_give_no_interval():
    assert bootstrap([0.5] * 5) == Interval(0.5)
    assert bootstrap([0.5] * 5 + [np.nan]) == Interval(0.5)
    assert bootstrap([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).low is not None
    assert math.isnan(bootstrap([np.nan]).mean)


def test_images_of_one_group_do_not_count_as_independent():
    values, groups = np.linspace(0, 1, 12), ["a", "b"] * 6
    assert bootstrap(values, groups=groups) == Interval(pytest.approx(0.5))
    rng = np.random.default_rng(2)
    effect = np.repeat(rng.normal(size=8), 10)
    noisy = effect + rng.normal(0, 0.01, 80)
    alone, grouped = bootstrap(noisy), bootstrap(noisy, groups=[str(i) for i in np.repeat(np.arange(8), 10)])
    assert grouped.mean == alone.mean
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_bootstrap_repeats_for_a_seed():
    values = np.random.default_rng(3).random(9)
    assert bootstrap(values, seed=4) == bootstrap(values, seed=4) != bootstrap(values, seed=5)


def test_record_is_json_without_nan():
    assert json.dumps(bootstrap([]).record(), allow_nan=False) == '{"mean": null, "ci95": null}'
    assert bootstrap([np.inf, *range(6)]).record() == {"mean": None, "ci95": None}
    record = bootstrap(np.arange(6.0)).record()
    assert record["mean"] == 2.5 and record["ci95"][0] < 2.5 < record["ci95"][1]


BASE = np.array([0.2, 0.5, 0.9, 0.6, 0.4, 0.7, 0.3])
JITTER = np.array([0.01, -0.01, 0.02, 0.0, -0.02, 0.01, -0.01])


@pytest.mark.parametrize(
    ("gap", "higher", "verdict"),
    [(0.1, True, "better"), (-0.1, True, "worse"), (0.1, False, "worse"), (-0.1, False, "better")],
)
def test_a_steady_difference_is_found_although_images_vary_more(gap, higher, verdict):
    result = compare(BASE + gap + JITTER, BASE, margin=0.01, higher_is_better=higher)
    assert result.verdict == verdict
    assert result.difference.mean == pytest.approx(gap)
    assert bootstrap(BASE + gap + JITTER).low < BASE.mean() < bootstrap(BASE + gap + JITTER).high


def test_a_difference_inside_the_margin_is_the_same_even_where_it_is_certain():
    assert compare(BASE + 0.005, BASE, margin=0.01).verdict == "same"
    assert compare(BASE + 0.005, BASE, margin=0.001).verdict == "better"
    assert compare(BASE + JITTER, BASE, margin=0.03).verdict == "same"


def test_an_interval_across_zero_and_margin_is_unclear():
    assert compare(BASE + 5 * JITTER, BASE, margin=0.01).verdict == "unclear"


def test_few_or_related_images_are_unclear_whatever_the_difference():
    assert compare(BASE[:5] + 0.3, BASE[:5], margin=0.01).verdict == "unclear"
    related = compare(BASE + 0.3, BASE, margin=0.01, groups=["one field"] * 7)
    assert (related.verdict, related.n, related.independent) == ("unclear", 7, 1)
    gaps = np.where(np.arange(7) < 2, np.nan, BASE)
    assert compare(gaps + 0.3, BASE, margin=0.01).n == 5


def test_sentences_say_numbers_verdict_and_what_follows():
    better = sentence(compare(BASE + 0.1 + JITTER, BASE, margin=0.01), "IoU", "Otsu threshold")
    assert better.startswith(
        "On 7 test images the network's IoU is 0.614, the classical method's (Otsu threshold) 0.514; "
        "the network is better by 0.100 (95 % interval 0.0"
    )
    lower = sentence(compare(BASE - 0.1, BASE, margin=0.01, higher_is_better=False), "NRMSE", "median")
    assert "better by 0.100 (95 % interval 0.100 to 0.100)" in lower
    assert "does as well" in sentence(compare(BASE, BASE, margin=0.01), "IoU", "Otsu")
    unclear = sentence(compare(BASE + 5 * JITTER, BASE, margin=0.01), "IoU", "Otsu")
    assert "may be chance" in unclear and "interval −0.0" in unclear
    few = sentence(compare(BASE[:1] + 0.3, BASE[:1], margin=0.01), "IoU", "Otsu")
    assert "On 1 test image " in few and "too few to tell" in few
    strips = sentence(compare(BASE + JITTER, BASE, margin=0.01, groups=["a"] * 7), "IoU", "Otsu")
    assert "all from 1 movie, stack or field:" in strips and "too few to tell" in strips
    assert "No test image" in sentence(compare([np.nan], [1.0], margin=0.01), "IoU", "Otsu")
    decibel = sentence(compare(BASE + 27, BASE + 25, margin=0.1), "PSNR", "Gaussian")
    assert "is 27.51, " in decibel and "better by 2.00 " in decibel


@pytest.mark.parametrize(
    ("gap", "higher", "who"),
    [(0.1, True, "network"), (-0.1, True, "classical method"), (0.1, False, "classical method")],
)
def test_of_few_images_it_is_said_who_was_better_on_every_one(gap, higher, who):
    few = compare([*(BASE[:3] + gap), np.nan], BASE[:4], margin=0.01, higher_is_better=higher)
    said = sentence(few, "IoU", "Otsu")
    assert f"the {who} is better on all 3, too few to be sure. At least 6" in said
    assert few.verdict == "unclear"
    mixed = compare(BASE[:3] + np.array([0.1, 0.1, -0.1]), BASE[:3], margin=0.01, higher_is_better=higher)
    assert "better on all" not in sentence(mixed, "IoU", "Otsu")


def test_a_second_score_that_judges_otherwise_is_named():
    psnr = compare([28.0 + 0.1 * i for i in range(7)], [26.5 + 0.1 * i for i in range(7)], margin=0.2)
    low, high = [0.870 + 0.001 * i for i in range(7)], [0.897 + 0.001 * i for i in range(7)]
    other = compare(low, high, margin=0.005)
    said = disagreement(psnr, other, "SSIM")
    assert said == "By SSIM the network is worse: 0.873 against 0.900; look at the images."
    agrees = compare(high, low, margin=0.005)
    same = compare(low, low, margin=0.005)
    assert disagreement(psnr, agrees, "SSIM") == disagreement(psnr, same, "SSIM") == ""
    few = compare([28.0], [26.0], margin=0.2)
    assert disagreement(few, other, "SSIM") == ""


def test_images_that_were_learned_from_are_not_called_test_images():
    compared = compare([28.0, 27.0], [26.0, 25.0], margin=0.2)
    said = sentence(compared, "PSNR", "wavelets", "image")
    assert said.startswith("On 2 images the network's PSNR")

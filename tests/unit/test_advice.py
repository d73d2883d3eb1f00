from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from zcdl_common.advice import next_steps
from zcdl_common.network import Best


def advise(
    val,
    loss=None,
    scores=(0.8, 0.8, 0.8, 0.8, 0.8, 0.8),
    verdict="better",
    rate=1e-3,
    limit=None,
    drawn=True,
    needs_target=True,
    paired=True,
    higher_is_better=True,
    part="quality_control",
    best=None,
    curves="",
    score=None,
    **columns,
):
    loss = loss or val
    history = [{"loss": a, "val_loss": b, "learning_rate": rate} for a, b in zip(loss, val, strict=True)]
    if score:
        history = [{**row, "val_pearson_r": r} for row, r in zip(history, score, strict=True)]
    run = SimpleNamespace(
        folder=Path("run"),
        quality_control=Path("run") / part,
        history=lambda: history,
        facts=SimpleNamespace(counts={"train": 9}),
        network=SimpleNamespace(
            primary="iou",
            higher_is_better=higher_is_better,
            best=best or Best(),
            curves=curves,
            task=SimpleNamespace(
                drawn=drawn,
                needs_target=needs_target,
                input_is_prediction=not needs_target,
                paired=paired,
                decoding={"prob_thresh": 0.5},
            ),
        ),
        config=SimpleNamespace(epochs=100 if limit else len(val), time_budget_minutes=limit),
    )
    table = pd.DataFrame({"image": [f"im{i}" for i in range(len(scores))], "iou": scores, **columns})
    summary = {"n_images": len(scores), "verdict": verdict, "classical": "Otsu", "primary": "iou"}
    return next_steps(run, table, summary)


FLAT = [0.3] * 20
RISING = [0.5] * 10 + [0.6 + 0.05 * i for i in range(10)]


def test_a_training_that_the_clock_cut_short_asks_for_time():
    falling = [1 - 0.02 * i for i in range(20)]
    (said,) = advise(falling, limit=1.0)
    assert "20 of 100 epochs" in said and "time_budget_minutes" in said
    assert advise(FLAT, limit=1.0) == []
    (said,) = advise(FLAT, limit=1.0, needs_target=False)
    assert "20 of 100 epochs" in said and "if noise is left" in said
    (said,) = advise(FLAT, limit=1.0, paired=False)
    assert "20 of 100 epochs" in said and "look real" in said and "noise" not in said


def test_a_loss_that_knows_the_way_back_alone_says_nothing_of_quality():
    falling, loss = [1 / (i + 1) for i in range(20)], [1 / (i + 1) for i in range(20)]
    assert advise(falling, paired=False) == [] != advise(falling)
    assert advise(RISING, loss, paired=False) == [] != advise(RISING, loss)
    assert advise([0.3] * 3, paired=False) == ["Train longer: a few epochs say little."]


def test_where_a_score_picks_the_epoch_it_says_whether_to_go_on():
    by_score = {"best": Best("val_pearson_r", "max"), "curves": "other quantities"}
    falling, rising = [1 / (i + 1) for i in range(20)], [0.5 + 0.02 * i for i in range(20)]
    level = [0.9 + 0.001 * (i % 2) for i in range(20)]
    assert (
        advise(falling, score=level, **by_score) == [] == advise(falling, score=level, limit=1.0, **by_score)
    )
    (said,) = advise(FLAT, score=rising, **by_score)
    assert said.startswith("The validation Pearson r was still rising after 20 epochs: train longer")
    (said,) = advise(FLAT, score=rising, limit=1.0, **by_score)
    assert "20 of 100 epochs while the validation Pearson r was still rising: " in said
    assert advise(RISING, falling, score=level, **by_score) == [], "no loss is held against another"
    (said,) = advise(falling, best=Best(""))
    assert said.startswith("The validation loss was still falling")


def test_epochs_without_a_number_are_no_evidence():
    unknown = [float("nan")] * 20
    assert advise(unknown, [1 / (i + 1) for i in range(20)]) == []
    assert advise(unknown, limit=1.0) == []


def test_of_distances_the_largest_stand_out():
    scores = (1.0, 1.1, 0.9, 3.0, 0.2, 1.0)
    (said,) = advise(FLAT, scores=scores, higher_is_better=False)
    assert "Look at im3: " in said and "far above the others" in said
    (said,) = advise(FLAT, scores=scores)
    assert "Look at im4: " in said and "far below the others" in said


def test_nothing_is_said_without_evidence():
    assert advise(FLAT) == []
    assert advise(FLAT, scores=(0.0,) * 6) == [], "none is far below the others where all failed"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (advise([1 / (i + 1) for i in range(20)]), ("still falling", "train longer")),
        (advise(RISING, [1 / (i + 1) for i in range(20)]), ("by heart", "9")),
        (advise(FLAT, scores=(0.8, 0.8, 0.8, 0.1, 0.8, 0.8)), ("im3", "IoU is far below")),
        (advise(FLAT, verdict="same"), ("Otsu", "classical")),
        (advise(FLAT, verdict="worse"), ("Otsu", "classical")),
        (advise(FLAT, scores=(0.8, 0.9), verdict="unclear"), ("Annotate", "2 are too few", "6 or more")),
        (advise([0.3] * 3), ("Train longer",)),
    ],
)  # fmt: skip
def test_evidence_becomes_a_sentence(found, words):
    assert len(found) == 1
    assert all(word in found[0] for word in words)


def test_a_network_that_finds_nothing_is_told_so_and_nothing_else():
    nothing = {"n_true": [5.0, 0.0, 3.0], "n_found": [0.0] * 3}
    (said,) = advise([1.0, 0.9, 0.8], scores=(0.0, float("nan"), 0.0), verdict="unclear", **nothing)
    assert "found no object in any test image: train longer (3 epochs so far)" in said
    assert "threshold (prob_thresh)" in said
    (said,) = advise([1.0], scores=(0.0,) * 3, verdict="unclear", recall=[0.0] * 3)
    assert "1 epoch so far" in said and "no object" not in said
    empty = {"n_true": [0.0] * 3, "n_found": [0.0] * 3}
    assert not any("found no" in step for step in advise(FLAT, scores=(0.0,) * 3, **empty))


def test_images_stand_out_only_by_a_clear_gap_and_are_named():
    assert advise(FLAT, scores=(0.727, 0.719, 0.607, 0.75, 0.7, 0.72)) == []
    assert advise(FLAT, scores=(0.0,) * 6) == [], "none of them is below the others"
    (said,) = advise(FLAT, scores=(0.8, 0.8, 0.8, 0.1, 0.8, 0.8))
    assert "IoU is far below" in said, "the score is called as in tables"


def test_structure_that_the_input_does_not_support_is_named_with_its_map():
    assert advise(FLAT, unsupported_percent=[0.0, 0.1, 0.2, 0.3, 0.0, 0.4]) == []
    (one,) = advise(FLAT, unsupported_percent=[0.0, 0.1, 4.2, 0.3, 0.0, 0.0])
    assert "im2 shows" in one and "4.2 %" in one and "quality_control/maps/im2_unsupported.tif" in one
    (one,) = advise(FLAT, part="quality_control/back", unsupported_percent=[9.0] + [0.0] * 5)
    assert "quality_control/back/maps/im0_unsupported.tif" in one
    (two,) = advise(FLAT, unsupported_percent=[0.0, 1.0, 4.2, 0.3, 0.0, float("nan")])
    assert "im2 (the strongest case of 2 images)" in two


def test_an_answer_that_turns_with_the_image_is_not_to_be_trusted():
    assert advise(FLAT, disagreement=[0.0, 0.1, 0.5, 0.3, 0.2, float("nan")]) == []
    assert advise(FLAT, disagreement=[float("nan")] * 6) == []
    assert len(advise(FLAT, disagreement=[0.0, 0.1, 0.52, 0.3, 0.2, 0.0])) == 1
    nan = float("nan")
    for changes, whom in (
        ([0.0, 0.3, 0.1, 0.75, 0.2, 0.1], "im3: turn the image, "),
        ([0.0, 0.6, 0.1, 0.75, 0.2, 0.7], "3 of 6 images: "),
        ([0.0, 0.6, nan, 0.75, 0.2, nan], "2 of 4 images: "),
        ([0.7, 0.6, nan, 0.75, 0.6, nan], "any of the predictions: "),
    ):
        (said,) = advise(FLAT, disagreement=changes)
        assert f"Do not trust {whom}" in said and "75%" in said and "maps/im3_disagreement.tif" in said


def test_a_brightness_that_the_scores_do_not_see_is_told():
    for gains in ([1.0, 0.9, 9.0, 1.2, 1.1, 0.8], [0.6] * 6, [1.9] * 6, [0.0] * 6, [float("nan")] * 6):
        assert advise(FLAT, gain=gains) == []
    (said,) = advise(FLAT, gain=[6.0, 9.0, 8.0, 8.0, 1.0, float("nan")])
    assert "too dim" in said and "factor of 8 " in said and "do not see" in said
    (said,) = advise(FLAT, gain=[0.2] * 6)
    assert "too bright" in said and "factor of 0.2 " in said


def test_three_sentences_at_most():
    found = advise([1 / (i + 1) for i in range(20)], scores=(0.9, 0.9, 0.1), verdict="unclear")
    assert len(found) <= 3


def test_images_that_nobody_annotates_are_taken():
    scores = (0.8, 0.8, 0.8, 0.1)
    for drawn, verb in ((True, "Annotate"), (False, "Take")):
        said = advise(FLAT, scores=scores, verdict="unclear", drawn=drawn)
        assert said[0].startswith(f"{verb} more test images") and f"{verb} more images like these" in said[1]

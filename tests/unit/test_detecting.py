import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import detecting, detections
from zcdl_common.boxes import Boxes, iou
from zcdl_common.boxes.annotations import open_boxes
from zcdl_common.boxes.coco import read_coco
from zcdl_common.boxes.regions import read_roi_boxes
from zcdl_common.boxes.suppress import suppress
from zcdl_common.boxes.table import read_csv, write_csv
from zcdl_common.boxes.yolo import read_yolo
from zcdl_common.compare import compare
from zcdl_common.errors import DataError
from zcdl_common.images import find_images
from zcdl_common.metrics.statistics import Interval
from zcdl_common.task import Facts, Prediction

NAMES = ("a", "b", "01")
STEPS = (4, 8, 16)
SETTINGS = {"confidence": 0.5, "nms_iou": 0.5}


def facts_for(names=NAMES):
    return Facts(2, ("c",), ((64, 64),), "uint8", extra={"class_names": names})


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 5)


def said(main, scores=None, faint=None):
    """A prediction as `decode` returns it."""
    main = boxes(*main)
    sure = np.full(len(main), 0.9, np.float32) if scores is None else np.array(scores, np.float32)
    low = boxes(*(faint or ()))
    return Prediction(
        main, {"scores": sure, "faint": low, "faint_scores": np.full(len(low), 0.1, np.float32)}
    )


def random_boxes(rng, n, side=100.0, classes=3):
    corner = rng.uniform(0, side, (n, 2))
    sides = rng.uniform(3, 25, (n, 2))
    return np.column_stack([corner, corner + sides, rng.integers(0, classes, n)]).astype(np.float32)


def source_and_boxes(found, size=(64, 80), name="s"):
    """A sample whose boxes have names, as annotations have them."""
    target = SimpleNamespace(read=lambda: found, path=SimpleNamespace(name=f"{name}.xml"))
    return SimpleNamespace(target=target, size=size, name=name, source=None)


def maps_of(truth, shape, classes=3):
    """Maps of three grids on which the point nearest to the middle of each box speaks of it."""
    maps = [np.zeros((-(-shape[0] // s), -(-shape[1] // s), 5 + classes), np.float32) for s in STEPS]
    for i, (y0, x0, y1, x1, kind) in enumerate(truth):
        grid = i % len(STEPS)
        step = STEPS[grid]
        cell = int((y0 + y1) / 2 // step), int((x0 + x1) / 2 // step)
        y, x = (np.array(cell) + 0.5) * step
        maps[grid][cell][:5] = y - y0, x - x0, y1 - y, x1 - x, 0.81
        maps[grid][cell][5 + int(kind)] = 1.0
    return tuple(maps)


# -- suppression and decoding ----------------------------------------------------------------------


def plainly(found, scores, most):
    kept = []
    for i in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
        if all(
            found[i][4] != found[j][4] or iou(found[i : i + 1], found[j : j + 1])[0, 0] <= most for j in kept
        ):
            kept.append(i)
    return kept


@pytest.mark.parametrize("most", [0.1, 0.5, 0.9])
def test_suppression_is_that_of_the_plain_loop(most):
    rng = np.random.default_rng(0)
    for n in (0, 1, 150):
        found = random_boxes(rng, n)
        scores = rng.integers(0, 20, n) / 20  # many are equal
        assert suppress(found, scores, most).tolist() == plainly(found, scores, most)
    assert len(plainly(found, scores, 0.1)) < 140


def test_suppression_of_a_crowded_image_takes_no_minutes():
    import time

    found = random_boxes(np.random.default_rng(0), 20_000, side=4000)
    begin = time.perf_counter()
    kept = suppress(found, np.linspace(1, 0, len(found)), 0.5)
    assert len(kept) > 10_000 and time.perf_counter() - begin < 20


def test_one_huge_box_does_not_slow_the_suppression_of_all_others():
    import time

    rng = np.random.default_rng(0)
    found = random_boxes(rng, 20_000, side=4000)
    took = []
    for more in ([], [(0, 0, 4000, 30, 0)]):
        every = np.concatenate([found, boxes(*more)])
        begin = time.process_time()
        kept = suppress(every, np.linspace(1, 0, len(every)), 0.5)
        took.append(time.process_time() - begin)
    assert len(found) in kept and took[1] < 3 * took[0]


def test_boxes_that_were_written_into_maps_come_back():
    truth = boxes(
        (1.5, 2.25, 20, 30, 0), (30, 30, 47.5, 60, 1), (0, 60, 21, 80, 2), (40, 2, 64, 18, 1),
        (22, 33, 28, 40, 0),
    )  # fmt: skip
    found = detecting.decode(maps_of(truth, (64, 80)), STEPS, {**SETTINGS, "shape": (64, 80)})
    order = np.lexsort(truth.T), np.lexsort(found.main.T)
    np.testing.assert_allclose(found.main[order[1]], truth[order[0]], atol=1e-4)
    np.testing.assert_allclose(found.extra["scores"], 0.9, atol=1e-5)
    assert found.main.dtype == np.float32 and not len(found.extra["faint"])


def test_boxes_end_at_the_border_of_the_image():
    truth = boxes((-5, 3, 9, 12, 0), (50, 70, 70, 90, 1))
    maps = maps_of(truth, (64, 96))
    inside = detecting.decode(maps, STEPS, {**SETTINGS, "shape": (61, 77)})
    assert sorted(map(tuple, inside.main.tolist())) == [(0, 3, 9, 12, 0), (50, 70, 61, 77, 1)]
    beyond = detecting.decode(maps, STEPS, {**SETTINGS, "shape": (61, 70)})
    assert beyond.main.tolist() == [[0, 3, 9, 12, 0]], "what lies outside is no object"
    assert detecting.decode(maps, STEPS, SETTINGS).main[:, :4].max() == 90


def test_faint_boxes_are_kept_apart_for_average_precision():
    maps = maps_of(boxes((4, 4, 20, 20, 0), (30, 30, 50, 50, 1), (4, 50, 20, 70, 2)), (64, 80))
    maps[1][..., 4] *= 0.2 / 0.81
    maps[2][..., 4] *= 0.00005 / 0.81
    found = detecting.decode(maps, STEPS, SETTINGS)
    assert found.main[:, 4].tolist() == [0] and found.extra["faint"][:, 4].tolist() == [1]
    assert found.extra["faint_scores"] == pytest.approx(np.sqrt(0.2), abs=1e-5)
    least = detecting.decode(maps, STEPS, {**SETTINGS, "confidence": 0.005})
    assert len(least.main) == 3 and not len(least.extra["faint"])


def test_one_object_seen_from_two_grids_is_found_once_unless_it_has_two_kinds():
    one, two = (maps_of(boxes((8, 8, 40, 40, 0)), (64, 64)) for _ in range(2))
    other = maps_of(boxes((50, 50, 51, 51, 0), (8, 8, 40, 41, 0)), (64, 64))
    two[1][:] = other[1]
    assert (
        len(detecting.decode(one, STEPS, SETTINGS).main)
        == len(detecting.decode(two, STEPS, SETTINGS).main)
        == 1
    )
    two[1][..., [5, 6]] = two[1][..., [6, 5]]
    assert len(detecting.decode(two, STEPS, SETTINGS).main) == 2


def test_a_thousand_objects_in_one_image_are_all_found():
    truth = boxes(*[(y, x, y + 9, x + 9, 0) for y in range(0, 640, 16) for x in range(0, 640, 16)])
    shape = (640, 640)
    maps = maps_of(truth, shape)
    noise = np.random.default_rng(0)
    for one in maps:  # and as many points that are nearly as sure
        quiet = one[..., 4] == 0
        one[quiet] = [5, 5, 5, 5, *noise.uniform(0.3, 0.4, 1), 1, 0, 0]
    found = detecting.decode(maps, STEPS, {**SETTINGS, "confidence": 0.8})
    assert len(found.main) == len(truth) == 1600


# -- facts and targets -----------------------------------------------------------------------------


def test_facts_are_those_of_the_boxes_with_area():
    shown = Boxes(("b", "a", "a"), np.array([(0, 0, 10, 20), (5, 5, 35, 15), (9, 9, 9, 12)], float))
    empty = Boxes((), np.zeros((0, 4)))
    found = detecting.box_facts([source_and_boxes(shown), source_and_boxes(empty, (100, 90))], None)["extra"]
    assert found["class_names"] == ("a", "b") and found["class_counts"] == {"a": 1, "b": 1}
    assert (found["objects"], found["empty_images"]) == (2, 1)
    assert found["small_side"] == 10 and found["usual_size"] == (82, 85)
    assert found["large_extents"] == pytest.approx((29, 19.5))
    assert json.loads(json.dumps(found))["objects"] == 2


def test_without_any_box_there_is_nothing_to_learn():
    empty = source_and_boxes(Boxes((), np.zeros((0, 4))))
    flat = source_and_boxes(Boxes(("a",), np.array([(1, 1, 1, 9)], float)))
    with pytest.raises(DataError, match="None of the 2 images has a box"):
        detecting.box_facts([empty, flat], None)


def test_targets_are_cut_at_the_border_and_numbered():
    shown = Boxes(
        ("b", "a", "01", "a"), np.array([(-4, 2, 10, 99), (5, 5, 5, 9), (1, 2, 3, 4), (70, 0, 90, 9)], float)
    )
    found = detecting.boxes_of(source_and_boxes(shown), facts_for())
    assert found.tolist() == [[0, 2, 10, 80, 1], [1, 2, 3, 4, 2]] and found.dtype == np.float32
    nothing = detecting.boxes_of(source_and_boxes(Boxes((), np.zeros((0, 4)))), facts_for())
    assert nothing.shape == (0, 5) and nothing.dtype == np.float32


def test_a_class_that_only_the_test_knows_is_named():
    odd = source_and_boxes(Boxes(("a", "zebra"), np.ones((2, 4))), name="field_7")
    with pytest.raises(DataError, match=r"field_7\.xml holds boxes of zebra.*know a, b, 01") as caught:
        detecting.boxes_of(odd, facts_for())
    assert "spelling" in str(caught.value)


# -- scores ----------------------------------------------------------------------------------------


def test_scores_of_an_image_are_counted_at_the_confidence():
    truth = boxes((0, 0, 10, 10, 0), (20, 20, 30, 30, 1), (40, 40, 50, 50, 1))
    found = said([(0, 0, 10, 11, 0), (20, 20, 30, 30, 0)], faint=[(40, 40, 50, 50, 1)])
    made = detecting.scores(truth, found, facts_for(), None)
    assert (made["n_true"], made["n_found"]) == (3, 2)
    assert (made["n_true_b"], made["n_found_b"], made["n_found_a"], made["n_true_01"]) == (2, 0, 2, 0)
    assert (made["precision"], made["recall"], made["f1_50"]) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert made["map50"] == pytest.approx((1 + 51 / 101) / 2)


def test_images_without_boxes_have_no_score_but_false_ones_count():
    nothing = detecting.scores(boxes(), said([]), facts_for(), None)
    assert all(np.isnan(nothing[key]) for key in ("map50", "precision", "recall", "f1_50"))
    false = detecting.scores(boxes(), said([(0, 0, 9, 9, 1)]), facts_for(), None)
    assert (
        false["n_found"] == 1
        and false["precision"] == 0
        and np.isnan(false["recall"])
        and false["f1_50"] == 0
    )
    assert detecting.map50([boxes()], [said([])], facts_for()) == 0


def test_more_than_a_hundred_objects_in_an_image_count():
    truth = boxes(*[(y, x, y + 8, x + 8, 0) for y in range(0, 160, 10) for x in range(0, 160, 10)])
    perfect = said(truth)
    assert detecting.map50([truth], [perfect], facts_for()) == 1
    assert detecting.scores(truth, perfect, facts_for(), None)["map50"] == 1
    assert detecting.set_scores([truth], [perfect], facts_for())["map50"].mean == 1
    none = [said([])]
    assert detecting.set_comparison([truth], [perfect], none, facts_for(), margin=0.02).network.mean == 1


def scored_set(n=8):
    rng = np.random.default_rng(0)
    truths = [random_boxes(rng, 6, classes=2) for _ in range(n)]
    good = [said(t + np.array([*rng.normal(0, 0.2, 4), 0])) for t in truths]
    bad = [said(t[::2] + np.array([40, 40, 40, 40, 0])) for t in truths]
    return truths, good, bad


def test_scores_of_a_set_have_intervals_and_say_how_far_counts_are_off():
    truths, _, bad = scored_set()
    made = detecting.set_scores(truths, bad, facts_for(), groups=[str(i) for i in range(8)], reference=None)
    assert all(isinstance(value, Interval) for value in made.values())
    assert {"map50", "map50_95", "ap50_a", "ap_b", "count_off_a", "count_off_b"} <= set(made)
    found, true = (sum(int((m[:, 4] == 0).sum()) for m in part) for part in ([b.main for b in bad], truths))
    assert (
        made["count_off_a"].mean == pytest.approx((found - true) / 8) and made["count_off_a"].low is not None
    )
    assert np.isnan(made["ap50_01"].mean), "nobody knows how well a class is found that does not occur"
    single = detecting.set_scores([t * [1, 1, 1, 1, 0] for t in truths], [said([])] * 8, facts_for(("a",)))
    assert set(single) == {"map50", "map50_95", "count_off_a"}


def test_network_and_classical_method_are_compared_by_the_score_of_the_set():
    truths, good, bad = scored_set()
    made = detecting.set_comparison(truths, good, bad, facts_for(), margin=0.02, groups=None, seed=0)
    assert made.verdict == "better" and made.network.mean > 0.9 > made.classical.mean
    assert detecting.set_comparison(truths, bad, good, facts_for(), margin=0.02).verdict == "worse"
    assert detecting.set_comparison(truths, good, good, facts_for(), margin=0.02).verdict == "same"


def test_settings_are_chosen_on_boxes_within_the_image():
    truth = boxes((50, 10, 61, 30, 0), (5, 40, 30, 77, 1))
    past = truth + np.array([0, 0, 30, 0, 0], np.float32) * (truth[:, 2:3] == 61)
    asked = []

    def decode(maps, settings):
        asked.append(settings["shape"])
        return detecting.decode(maps, STEPS, settings)

    maps = maps_of(past, (96, 80))
    for one in maps:  # a false one that is less sure
        one[0, 0] = [0, 0, 9, 9, 0.25, 1, 0, 0]
    found = detecting.choose_settings(decode, [(maps, truth, (61, 77))], facts_for())
    assert set(asked) == {(61, 77)} and max(found["curve"]) == 1
    assert 0.5 < found["confidence"] <= 0.9 and found["nms_iou"] == 0.5
    assert len(found["thresholds"]) == len(found["curve"]) and found["curve_of"]


# -- files -----------------------------------------------------------------------------------------


def written(folder, found, pixel_size=(0.5, 0.25), size=(64, 80), frames=1, stem="field_1", names=NAMES):
    images = [np.random.default_rng(0).integers(0, 60000, (*size, 1)).astype(np.uint16)] * frames
    return detections.files([found] * frames, iter(images), facts_for(names), pixel_size, folder, stem)


FOUND = [(1.5, 2.25, 20, 30.5, 0), (30, 30, 47.5, 60, 1), (5, 60, 21, 80, 2)]


def test_boxes_in_files_are_read_again(tmp_path):
    found = said(FOUND, [0.9, 0.8, 0.7])
    paths, note = written(tmp_path, found)
    assert {p.name for p in paths} == {
        "field_1_boxes.csv", "classes.txt", "field_1.txt", "field_1_RoiSet.zip", "field_1_boxes.png",
    }  # fmt: skip
    assert not note and all(p.exists() for p in paths)
    merged = detections.gather(tmp_path, facts_for(), {})
    read = {
        "csv": read_csv(tmp_path / "field_1_boxes.csv", "field_1", (64, 80)),
        "yolo": read_yolo(tmp_path / "field_1.txt", (64, 80)),
        "rois": read_roi_boxes(tmp_path / "field_1_RoiSet.zip", None),
        "coco": read_coco(merged, "field_1", (64, 80)),
    }
    for kind, one in read.items():
        assert one.classes == NAMES, kind
        np.testing.assert_allclose(one.yxyx, found.main[:, :4], atol=1e-3, err_msg=kind)
    for kind in ("csv", "coco"):
        np.testing.assert_allclose(read[kind].scores, [0.9, 0.8, 0.7], atol=1e-4)


def test_tables_hold_micrometres_where_pixels_have_a_size(tmp_path):
    written(tmp_path, said(FOUND))
    table = pd.read_csv(tmp_path / "field_1_boxes.csv")
    row = table.iloc[1]
    assert (row["centre_y"], row["centre_x"]) == (38.75, 45)
    assert (row["centre_y_um"], row["centre_x_um"]) == (38.75 / 2, 45 / 4)
    assert (row["box_height_um"], row["box_width_um"]) == (17.5 / 2, 30 / 4)
    written(tmp_path, said(FOUND), None, stem="other")
    assert not [c for c in pd.read_csv(tmp_path / "other_boxes.csv") if "um" in c]


def test_an_image_without_objects_has_files_that_say_so(tmp_path):
    paths, _ = written(tmp_path, said([]))
    assert "field_1_RoiSet.zip" not in {p.name for p in paths}
    assert len(read_csv(tmp_path / "field_1_boxes.csv", "field_1", (64, 80))) == 0
    assert len(read_yolo(tmp_path / "field_1.txt", (64, 80))) == 0
    written(tmp_path, said(FOUND), stem="field_2")
    merged = detections.gather(tmp_path, facts_for(), {"field_2": "field_2.png"})
    assert [len(read_coco(merged, name, (64, 80))) for name in ("field_1", "field_2.png")] == [0, 3]
    assert detections.gather(tmp_path / "nowhere", facts_for(), {}) is None


@pytest.mark.parametrize("main", [FOUND, []])
def test_a_movie_becomes_one_table_by_frame(tmp_path, main):
    paths, note = written(tmp_path, said(main), frames=3)
    assert [p.name for p in paths] == ["field_1_boxes.csv"] and "movie" in note
    table = pd.read_csv(paths[0])
    assert sorted(set(table["frame"])) in ([0, 1, 2], [1, 2, 3]) and len(table) == 3 * max(1, len(main))
    assert detections.gather(tmp_path, facts_for(), {}) is None


def test_the_table_of_a_movie_annotates_its_frames(tmp_path):
    frames = [said(FOUND), said([]), said(FOUND[:1])]
    pixels = np.zeros((3, 64, 80), np.uint8)
    tifffile.imwrite(tmp_path / "field_1.tif", pixels, imagej=True, metadata={"axes": "TYX"})
    images = [plane[..., np.newaxis] for plane in pixels]
    (path,), _ = detections.files(frames, images, facts_for(), None, tmp_path, "field_1")
    pairing, targets = open_boxes(find_images(str(tmp_path), "source"), str(path), "target", {})
    assert not pairing.without_target and len(targets) == 3
    for target, frame in zip(targets, frames, strict=True):
        back, main = target.read(), frame.main
        assert back.classes == tuple(NAMES[int(c)] for c in main[:, 4])
        np.testing.assert_allclose(back.yxyx, main[:, :4], rtol=1e-6)


def test_too_many_boxes_leave_out_regions_and_huge_images_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(detections, "MOST_REGIONS", 2)
    paths, note = written(tmp_path, said(FOUND))
    assert "no ROIs" in note and len(paths) == 3
    monkeypatch.undo()
    lazy = SimpleNamespace(shape=(64, 80, 1))
    paths, note = detections.files([said(FOUND)], [lazy], facts_for(), None, tmp_path, "huge")
    assert "too large to be drawn" in note and (tmp_path / "huge_RoiSet.zip") in paths


def test_figures_are_drawn_of_images_with_and_without_boxes():
    import matplotlib.pyplot as plt

    truths, good, _ = scored_set(3)
    for true, found in ((truths, good), ([*truths, boxes()], [*good, said([])]), (truths, [said([])] * 3)):
        made = detections.figures(true, found, facts_for(), SETTINGS)
        assert set(made) == {"precision_recall", "confusion", "counts"}
        plt.close("all")


# -- results of other programs ---------------------------------------------------------------------


@pytest.fixture
def both(tmp_path):
    """Folders of true and of found boxes, the true ones beside their images."""
    rng = np.random.default_rng(0)
    truth, found = tmp_path / "truth", tmp_path / "found"
    for folder in (truth, found):
        folder.mkdir()
    images = {}
    for i in range(3):
        image = ndimage.gaussian_filter(rng.uniform(0, 255, (64, 80)), 1).astype(np.uint8)
        tifffile.imwrite(truth / f"m_{i}.tif", image)
        images[f"m_{i}.tif"] = Boxes(("a", "b"), np.array([(2, 3, 20, 30), (30, 40, 60, 70)], float) + i)
    write_csv(truth / "boxes.csv", images)
    return truth, found, images


def test_boxes_from_anywhere_are_compared(both):
    truth, found, images = both
    write_csv(found / "mine.csv", images)
    rows = compare(str(found), str(truth), "detect")
    assert [row["image"] for row in rows] == ["m_0", "m_1", "m_2", "mean"]
    assert rows[-1]["map50"] == 1 and rows[-1]["count_off_a"] == 0
    half = {name: b.at(np.array([0])) for name, b in images.items()}
    write_csv(found / "mine.csv", half)
    rows = compare(str(found), str(truth), "yolo")
    assert rows[-1]["map50"] == 0.5 and rows[-1]["count_off_b"] == -1


def test_kinds_that_the_truth_does_not_have_are_named(both):
    truth, found, images = both
    write_csv(found / "mine.csv", {k: Boxes(("b", "c"), v.yxyx) for k, v in images.items()})
    with pytest.raises(DataError, match="boxes of c"):
        compare(str(found), str(truth), "detect")


def test_results_of_section_7_are_compared_by_their_tables(both):
    truth, found, images = both
    for name, b in images.items():
        main = np.column_stack([b.yxyx, [0, 1]])
        written(found, said(main), stem=name[:-4], names=("a", "b"))
    detections.gather(found, facts_for(("a", "b")), {name[:-4]: name for name in images})
    assert compare(str(found), str(truth), "detect")[-1]["map50"] == 1


def test_without_images_the_way_out_is_named(both, tmp_path):
    _, found, images = both
    write_csv(found / "mine.csv", images)
    (tmp_path / "alone").mkdir()
    write_csv(tmp_path / "alone" / "boxes.csv", images)
    with pytest.raises(DataError, match="holds images"):
        compare(str(found), str(tmp_path / "alone"), "detect")

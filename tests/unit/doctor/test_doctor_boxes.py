"""Boxes that would spoil a training are found, and mended in a copy."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ROI_TYPE, ImagejRoi

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.annotations import open_boxes
from zcdl_common.boxes.coco import write_coco
from zcdl_common.boxes.table import write_csv
from zcdl_common.doctor import box_classes, boxes, check, repair
from zcdl_common.images import find_images
from zcdl_common.networks.tasks import SEGMENT
from zcdl_common.task import Sample

DETECT = replace(SEGMENT, name="detect", target_label="annotations")
GOOD = [[10.0, 10, 40, 40], [50, 50, 90, 80]]


def drawn(rows, *names):
    rows = np.array(rows, float).reshape(-1, 4)
    return Boxes(names or ("RBC",) * len(rows), rows)


def codes(found):
    return [(f.code, f.severity, f.repair) for f in found]


def checked(rows, *names, shape=(100, 200)):
    return codes(boxes.check_boxes(drawn(rows, *names), shape, "f"))


# -- one file -----------------------------------------------------------------------------------------


def test_boxes_outside_over_the_border_flat_or_missing_are_told_apart():
    assert checked([[0, 0, 100, 200], [10, 150, 20, 200.9]]) == []
    over = ("boxes-beyond-border", "warning", "cut boxes at the border of the image")
    assert checked([[10, 150, 20, 230]]) == [over]
    assert checked([[10, 150, 20, 260]]) == [("boxes-outside-image", "error", None)]
    flat = ("boxes-without-area", "error", "remove boxes without area")
    assert checked([[10, 50, 10, 60], [10, 60, 20, 50]]) == [flat]
    assert checked([]) == [("image-without-objects", "note", None)]


def test_boxes_there_twice_are_found_within_their_class_alone():
    twice = ("boxes-twice", "warning", "remove repeated boxes")
    near = ("boxes-on-one-object", "warning", None)
    assert checked([GOOD[0], GOOD[0]]) == [twice]
    assert checked([GOOD[0], GOOD[0]], "RBC", "WBC") == []
    moved = [10, 10.5, 40, 40.5]
    assert checked([GOOD[0], moved]) == [near]
    assert checked([GOOD[0], moved], "RBC", "WBC") == []
    assert checked([GOOD[0], [10, 13, 40, 43]]) == []  # IoU 0.82


def test_many_boxes_are_compared_in_blocks():
    grid = [[y, x, y + 10, x + 10] for y in range(0, 400, 12) for x in range(0, 400, 12)]
    many = drawn([*grid, [396.2, 396, 406, 406]])
    (finding,) = boxes.check_boxes(many, (410, 410), "f")
    assert finding.code == "boxes-on-one-object" and finding.reason.startswith("1 of 1157")


def test_mending_removes_and_cuts_what_it_is_asked_to():
    rows = [[5, 5, 5, 9], GOOD[0], GOOD[0], [90, -20, 108, 40], [300, 300, 320, 320]]
    flat, _, twice = boxes.STEPS
    assert boxes.mend(drawn(rows), (100, 100), [flat]).yxyx.tolist() == rows[1:]
    kept = [rows[0], GOOD[0], *rows[3:]]
    assert boxes.mend(drawn(rows), (100, 100), [twice]).yxyx.tolist() == kept
    # 300, 300 has its centre outside: a person must look at it
    mended = boxes.mend(drawn(rows), (100, 100), boxes.STEPS)
    assert mended.yxyx.tolist() == [GOOD[0], [90, 0, 100, 40], rows[4]]
    assert boxes.mend(drawn([]), (100, 100), boxes.STEPS).yxyx.shape == (0, 4)
    assert codes(boxes.check_boxes(mended, (100, 100), "f")) == [("boxes-outside-image", "error", None)]


# -- classes and sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ("RBC", "rbc", True),
        ("white cell", "White_Cell", True),
        ("T-cell", "T cell", True),
        ("Platelets", "platelet", True),
        ("neutrophil", "neutrophill", True),
        ("RBC", "WBC", False),
        ("stage 1", "stage 2", False),
        ("G1", "G2", False),
        ("CD4+", "CD4-", False),
        ("typical", "atypical", False),
        ("infected", "uninfected", False),
    ],
)
def test_names_that_may_be_one(one, other, answer):
    assert box_classes.alike(one, other) is box_classes.alike(other, one) is answer


def test_misspelt_unknown_and_rare_classes_are_named_with_their_files():
    many = drawn(np.tile(GOOD[0], (200, 1)))
    train = [("a.xml", many), ("b.xml", drawn(np.tile(GOOD[0], (13, 1)), *["rbc"] * 12, "WBC"))]
    test = [("t.xml", drawn(GOOD, "RBC", "Mast"))]
    found = {(f.code, f.files): f.reason for f in box_classes.check_classes(train, test)}
    assert set(found) == {
        ("similar-class-names", ("b.xml",)),
        ("unknown-class", ("t.xml",)),
        ("rare-class", ("b.xml",)),
    }
    assert "'rbc' (12 boxes) and 'RBC' (201 boxes)" in found["similar-class-names", ("b.xml",)]
    assert "'WBC' has 1 of 213 boxes (0.5%)" in found["rare-class", ("b.xml",)]
    even = [("a", drawn(np.tile(GOOD[0], (20, 1)), *["x"] * 10, *["y"] * 10))]
    assert list(box_classes.check_classes(even, even)) == []
    assert list(box_classes.check_classes([], [])) == []


def test_ten_boxes_and_one_in_twenty_are_enough_for_a_class():
    def rare(few, of):
        rows = np.tile(GOOD[0], (of, 1))
        found = box_classes.check_classes([("a", drawn(rows, *["x"] * few, *["y"] * (of - few)))], [])
        return [f.code for f in found]

    assert rare(10, 200) == [] and rare(9, 100) == ["rare-class"] and rare(10, 201) == ["rare-class"]


def test_classes_that_are_numbers_are_noted():
    train = [("a", drawn(np.tile(GOOD[0], (20, 1)), *["0"] * 10, *["1"] * 10))]
    assert codes(box_classes.check_classes(train, [])) == [("classes-without-names", "note", None)]


def test_tiny_boxes_and_sizes_far_apart_are_found():
    normal = drawn(np.tile(GOOD[0], (30, 1)))
    one = drawn([[5, 5, 8.9, 40]])
    (finding,) = boxes.check_sizes([("a", normal), ("b", one)])
    assert (finding.code, finding.severity, finding.files) == ("tiny-boxes", "note", ("b",))
    (finding,) = boxes.check_sizes([("a", normal.at(np.arange(9))), ("b", one)])
    assert finding.severity == "warning"
    large = drawn(np.tile([0.0, 0, 400, 400], (5, 1)))
    small = drawn(np.tile([0.0, 0, 10, 10], (5, 1)))
    (finding,) = boxes.check_sizes([("a", large), ("b", small)])
    assert finding.code == "sizes-far-apart" and "from about 10 to about 400" in finding.reason
    assert not list(boxes.check_sizes([("a", normal)])) and not list(boxes.check_sizes([("a", drawn([]))]))


# -- a whole set --------------------------------------------------------------------------------------


def sampled(folder, goal, mended=None):
    """Samples of a folder of images with their annotations, and how they were paired."""
    refs = find_images(str(folder / "images"), "source")
    pairing, targets = open_boxes(refs, str(goal), "target", mended or {})
    pairs = zip(pairing.pairs, targets, strict=True)
    return [Sample(ref.name, ref.group, ref, target) for (ref, _), target in pairs], pairing


def copies(folder):
    with (folder / "repaired.csv").open(encoding="utf-8", newline="") as stream:
        return {Path(row["file"]).resolve(): folder / row["copy"] for row in csv.DictReader(stream)}


BAD = [*GOOD, GOOD[0], [60, 60, 60, 70], [80, 20, 110, 40]]
MENDED = [*GOOD, [80, 20, 96, 40]]


def write_all(kind, goal, tables):
    if kind == "one csv an image":
        for name, found in tables.items():
            write_csv(goal / f"{Path(name).stem}.csv", {name: found})
    elif kind == "coco":
        write_coco(goal / "all.json", tables, dict.fromkeys(tables, (96, 96)), ["RBC"])
    else:
        write_csv(goal / "all.csv", tables)


@pytest.mark.parametrize("kind", ["one csv an image", "one csv", "coco"])
def test_wrong_boxes_are_mended_in_a_copy_that_takes_their_place(tmp_path, folder, kind):
    goal = tmp_path / "boxes"
    tables = {f"cell_{i}.tif": drawn(BAD if i == 2 else GOOD * (i > 0)) for i in range(5)}
    write_all(kind, goal, tables)
    before = {path: path.read_bytes() for path in goal.iterdir()}
    samples, pairing = sampled(folder.path, goal)
    report = check(samples, task=DETECT, unmatched=pairing)
    found = {f.code: f.files for f in report.findings}
    assert set(found) == {
        "boxes-without-area",
        "boxes-beyond-border",
        "boxes-twice",
        "image-without-objects",
        "images-without-annotation",
        "few-images",
    }
    assert [row["objects"] for row in report.table] == [0, 2, 5, 2, 2]
    assert found["images-without-annotation"] == (str(tmp_path / "images" / "cell_5.tif"),)
    run = tmp_path / "repaired"
    (line,) = repair(samples, report, run)
    assert "remove boxes without area; cut boxes at the border" in line and line.endswith(".csv")
    assert {path: path.read_bytes() for path in goal.iterdir()} == before
    again, _ = sampled(folder.path, goal, copies(run))
    assert [s.target.read().yxyx.tolist() for s in again] == [[], GOOD, MENDED, GOOD, GOOD]
    assert not check(again, task=DETECT).repairable


def test_files_that_cannot_be_read_are_named_and_hide_no_others(tmp_path, folder):
    goal = tmp_path / "boxes"
    goal.mkdir()
    (goal / "cell_0.txt").write_text("0 0.5 0.5 0.1 0.1 0.9")
    (goal / "cell_1.txt").write_text("0 0.5 0.5 0 0.1")
    samples, _ = sampled(folder.path, goal)
    report = check(samples, task=DETECT)
    unreadable, flat = report.errors
    assert unreadable.files == (str(goal / "cell_0.txt"),) and "6 columns" in unreadable.reason
    assert "Fiji" not in unreadable.remedy
    assert (flat.code, flat.files) == ("boxes-without-area", (str(goal / "cell_1.txt"),))


def test_boxes_are_checked_of_all_images_where_pixels_are_read_of_some(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("zcdl_common.doctor.examine.MOST_READ", 2)
    write_csv(tmp_path / "all.csv", {f"cell_{i}.tif": drawn(BAD if i == 1 else GOOD) for i in range(6)})
    samples, _ = sampled(folder.path, tmp_path / "all.csv")
    report = check(samples, task=DETECT)
    assert len(report.table) == 2
    assert report.errors[0].files == (f"{tmp_path / 'all.csv'} (cell_1)",)


def test_boxes_in_the_image_file_itself_are_not_mended(tmp_path):
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, name="cell", left=5, top=5, right=200, bottom=20)
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.zeros((240, 150), np.uint8), imagej=True, metadata={"Overlays": roi.tobytes()})
    samples, _ = sampled(tmp_path, path.parent)
    report = check(samples, task=DETECT)
    assert [f.code for f in report.repairable] == ["boxes-beyond-border"]
    (line,) = repair(samples, report, tmp_path / "repaired")
    assert "could not be repaired" in line and "as a zip" in line


def test_a_table_of_the_frames_of_a_movie_is_not_mended_but_its_faults_are_said(tmp_path):
    path = tmp_path / "images" / "m.tif"
    path.parent.mkdir()
    movie = np.zeros((2, 100, 100), np.uint8)
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": "TYX"})
    table = tmp_path / "m.csv"
    table.write_text("frame,image,class,y0,x0,y1,x1\n0,m,cell,5,5,40,40\n1,m,cell,5,5,40,104\n")
    before = table.read_text()
    samples, _ = sampled(tmp_path, table)
    report = check(samples, task=DETECT)
    assert report.repairable
    (line,) = repair(samples, report, tmp_path / "repaired")
    assert "single frames of a movie" in line and table.read_text() == before


def test_real_voc_files_are_those_of_yolo_after_the_repair(real_data, tmp_path):
    bccd = real_data / "yolo" / "bccd"
    samples, refs = [], []
    for part in ("train", "val"):
        found = find_images(str(bccd / "images" / part), "source")
        found = [ref for ref in found if part == "train" and ref.name < "BloodImage_00040"] + [
            ref for ref in found if ref.name in ("BloodImage_00343", "BloodImage_00338")
        ]
        targets = open_boxes(found, str(bccd / "annotations_voc" / part), "target", {})[1]
        samples += [Sample(t.image.name, t.image.group, t.image, t) for t in targets]
        refs += [(ref, part) for ref in found]
    report = check(samples, task=DETECT)
    assert {Path(f.files[0]).name for f in report.errors} == {"BloodImage_00343.xml", "BloodImage_00338.xml"}
    assert len(repair(samples, report, tmp_path)) == 2
    mended = copies(tmp_path)
    for ref, part in refs:
        voc, yolo = (
            open_boxes([ref], str(bccd / kind / part), "target", mended)[1][0].read()
            for kind in ("annotations_voc", "labels_yolo")
        )
        assert voc.classes == yolo.classes
        np.testing.assert_allclose(voc.yxyx, yolo.yxyx, atol=5e-4)

"""Boxes are read from every kind of file as they were drawn, and come back as written."""

import json
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from zcdl_common.boxes import Boxes
from zcdl_common.boxes.annotations import open_boxes, read_label_boxes
from zcdl_common.boxes.coco import coco_images, read_coco, write_coco
from zcdl_common.boxes.regions import read_roi_boxes, write_roi_boxes
from zcdl_common.boxes.table import csv_images, read_csv, write_csv
from zcdl_common.boxes.voc import read_voc
from zcdl_common.boxes.yolo import class_names, read_yolo, write_yolo
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef, find_images

SHAPE = (48, 64)
CORNERS = np.array([[2.5, 4, 20.25, 30], [0, 0, 48, 64]])
FOUND = Boxes(("WBC", "CD4+ T cell"), CORNERS, np.array([0.9, 0.25]))
NONE = Boxes((), np.zeros((0, 4)))


def voc(*objects, size=(48, 64), start=""):
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
        f"<ymax>{y1}</ymax></bndbox></object>"
        for name, y0, x0, y1, x1 in objects
    )
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"{start}<annotation><filename>old.jpg</filename>{sides}{items}</annotation>"


def coco(**changes):
    document = {
        "images": [
            {"id": 7, "file_name": "train/a.png", "width": 64, "height": 48},
            {"id": 9, "file_name": "b.png", "width": 64, "height": 48},
        ],
        "categories": [{"id": 3, "name": "WBC"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [4, 2.5, 26, 17.75]}],
    }
    return json.dumps(document | changes)


def images(folder, *names, shape=SHAPE):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros(shape, np.uint8)).save(folder / name)
    return find_images(str(folder), "source")


def same(one, other, atol=1e-9):
    assert one.classes == other.classes
    np.testing.assert_allclose(one.yxyx, other.yxyx, atol=atol, rtol=0)


# -- readers ------------------------------------------------------------------------------------------


def test_voc_and_yolo_of_the_same_boxes_are_equal(tmp_path):
    (tmp_path / "a.xml").write_text(voc(("WBC", 2, 4, 20, 30), ("RBC", 0, 0, 48, 64)))
    (tmp_path / "a.txt").write_text("1 0.265625 0.229166667 0.40625 0.375\n\n0 0.5 0.5 1 1\n")
    (tmp_path / "classes.txt").write_text("RBC\nWBC\n\n")
    same(read_voc(tmp_path / "a.xml", SHAPE), read_yolo(tmp_path / "a.txt", SHAPE), atol=1e-6)
    assert read_yolo(tmp_path / "a.txt", SHAPE).yxyx[0] == pytest.approx([2, 4, 20, 30], abs=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_names_are_read_in_any_encoding(tmp_path, encoding):
    start = '<?xml version="1.0" encoding="ISO-8859-1"?>' if encoding == "latin-1" else ""
    (tmp_path / "a.xml").write_text(voc(("Zelle größer", 1, 1, 9, 9), start=start), encoding=encoding)
    (tmp_path / "classes.txt").write_text("Zelle größer", encoding=encoding)
    assert read_voc(tmp_path / "a.xml").classes == class_names(tmp_path) == ("Zelle größer",)


def test_boxes_without_area_are_read_and_empty_files_hold_none(tmp_path):
    (tmp_path / "flat.xml").write_text(voc(("RBC", 9, 5, 9, 5), ("RBC", 9, 5, 3, 8)))
    assert read_voc(tmp_path / "flat.xml").yxyx.tolist() == [[9, 5, 9, 5], [9, 5, 3, 8]]
    (tmp_path / "none.xml").write_text(voc(size=(0, 0)))
    (tmp_path / "none.txt").write_text("")
    (tmp_path / "none.csv").write_text("image,class,y0,x0,y1,x1\n")
    assert len(read_voc(tmp_path / "none.xml", SHAPE)) == len(read_yolo(tmp_path / "none.txt", SHAPE)) == 0
    assert read_csv(tmp_path / "none.csv").yxyx.shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "a\nb\n"),
        ("obj.names", "a\r\nb"),
        ("data.yaml", "nc: 2\nnames: [a, b]\n"),
        ("dataset.yaml", "path: ..\nnames:\n  0: a\n  1: b\n"),
    ],
)
@pytest.mark.parametrize("folder", ["", "train", "labels/train"])
def test_names_of_classes_are_found_in_the_folder_or_above(tmp_path, name, text, folder):
    (tmp_path / name).write_text(text)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "i.txt").write_text("1 0.5 0.5 1 1")
    assert read_yolo(tmp_path / folder / "i.txt", SHAPE).classes == ("b",)


def test_classes_without_names_are_numbers_and_a_far_list_is_not_theirs(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "classes.txt").write_text("x\ny\n")
    (deep / "data.yaml").write_text("train: images\n")
    (deep / "i.txt").write_text("1 0.5 0.5 1 1")
    assert class_names(deep) is None and read_yolo(deep / "i.txt", SHAPE).classes == ("1",)


def test_coco_gives_each_image_its_boxes(tmp_path):
    path = tmp_path / "all.json"
    path.write_text(coco())
    assert coco_images(path) == ("train/a.png", "b.png")
    same(read_coco(path, "train/a.png", SHAPE), Boxes(("WBC",), CORNERS[:1]))
    assert len(read_coco(path, "b.png", SHAPE)) == 0
    path.write_text(coco(annotations=[]))  # a changed file is read again
    assert len(read_coco(path, "train/a.png")) == 0


@pytest.mark.parametrize(
    "text",
    [
        "image,class,y0,x0,y1,x1\na.png,WBC,2.5,4,20.25,30\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,64,48,WBC,4,2.5,30,20.25\n",
        "Image;Label;X;Y;W;H\na.png;WBC;4;2,5;26;17,75\n",
        "image\tclass\tx\ty\twidth\theight\na.png\tWBC\t4\t2.5\t26\t17.75\n",
        "\ufeffimage,class,x1,y1,x2,y2,note\n\na.png,WBC,4,2.5,30,20.25\n",
        "x,y,bx,by,width,height,class\n17,11,4,2.5,26,17.75,WBC\n",
    ],
)
def test_tables_of_usual_columns_are_read(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    same(read_csv(tmp_path / "a.csv", shape=SHAPE), Boxes(("WBC",), CORNERS[:1]))


def test_regions_are_boxed_by_their_outlines_with_class_from_name_or_group(tmp_path):
    def region(kind, name, group=0, points=((4, 2), (30, 5), (10, 20))):
        roi = ImagejRoi.frompoints(np.array(points), name=name)
        roi.roitype, roi.group = kind, group
        return roi

    kind = ROI_TYPE.POLYGON
    names = [
        ("0012-0034", 0),
        ("WBC_001", 0),
        ("RBC", 3),
        ("0012-0034", 2),
        ("object_00004", 5),
        ("CD4 #2", 0),
    ]
    rois = [region(kind, name, group) for name, group in names] + [region(ROI_TYPE.POINT, "a point")]
    roiwrite(tmp_path / "a_RoiSet.zip", rois, name=[f"{i}" for i in range(len(rois))])
    boxes = read_roi_boxes(tmp_path / "a_RoiSet.zip")
    assert boxes.classes == ("object", "WBC", "RBC", "group 2", "group 5", "CD4")
    np.testing.assert_array_equal(boxes.yxyx, np.tile([2, 4, 20, 30], (6, 1)))
    feature = {
        "geometry": {"type": "Polygon", "coordinates": [[[4, 2], [30, 5], [10, 20], [4, 2]]]},
        "properties": {"classification": {"name": "Tumor"}, "name": "cell 3"},
    }
    (tmp_path / "q.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    same(read_roi_boxes(tmp_path / "q.geojson"), Boxes(("Tumor",), np.array([[2.0, 4, 20, 30]])))


def test_objects_of_label_images_are_boxed_and_photographs_refused(tmp_path):
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:20, 4:30], labels[30:31, 60:64] = 7, 3
    tifffile.imwrite(tmp_path / "a.tif", labels)
    (image,) = images(tmp_path / "images", "a.png")
    boxes = read_label_boxes(tmp_path / "a.tif", image)
    same(boxes, Boxes(("object", "object"), np.array([[30.0, 60, 31, 64], [2, 4, 20, 30]])))
    tifffile.imwrite(tmp_path / "b.tif", labels[:40])
    with pytest.raises(DataError, match=r"40 x 64 pixels, its image 48 x 64"):
        read_label_boxes(tmp_path / "b.tif", image)
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)
    tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb")
    with pytest.raises(DataError, match="colour picture"):
        read_label_boxes(tmp_path / "c.tif", image)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_real_voc_and_yolo_files_hold_the_same_boxes(real_data, part):
    folder = real_data / "yolo" / "bccd"
    flat = 0
    for path in sorted((folder / "annotations_voc" / part).glob("*.xml")):
        drawn = read_voc(path, (480, 640))
        kept = drawn.at((drawn.yxyx[:, 2:] > drawn.yxyx[:, :2]).all(axis=1))
        flat += len(drawn) - len(kept)
        # six decimals of a centre and of half a side, of 640 pixels
        same(read_yolo(folder / "labels_yolo" / part / f"{path.stem}.txt", (480, 640)), kept, atol=4.9e-4)
    assert flat == {"train": 1, "val": 1, "test": 0}[part]


# -- writers ------------------------------------------------------------------------------------------


def test_tables_come_back_with_images_that_show_nothing(tmp_path):
    path = write_csv(tmp_path / "found.csv", {"a.png": FOUND, "b.png": NONE})
    assert path.read_text().splitlines()[:2] == [
        "image,class,y0,x0,y1,x1,score",
        "a.png,WBC,2.5,4,20.25,30,0.9",
    ]
    assert csv_images(path) == ("a.png", "b.png")
    back = read_csv(path, "a.png")
    same(back, FOUND)
    np.testing.assert_allclose(back.scores, FOUND.scores)
    assert len(read_csv(path, "b.png")) == 0
    write_csv(path, {"b.png": NONE})
    assert csv_images(path) == ("b.png",) and len(read_csv(path)) == 0


def test_coco_comes_back(tmp_path):
    sizes = {"a.png": SHAPE, "b.png": (10, 10)}
    path = write_coco(tmp_path / "f.json", {"a.png": FOUND, "b.png": NONE}, sizes, sorted(FOUND.classes))
    back = read_coco(path, "a.png", SHAPE)
    same(back, FOUND)
    np.testing.assert_allclose(back.scores, FOUND.scores)
    assert len(read_coco(path, "b.png", (10, 10))) == 0
    document = json.loads(path.read_text())
    assert document["annotations"][0]["bbox"] == [4, 2.5, 26, 17.75]
    assert [c["id"] for c in document["categories"]] == [1, 2]


def test_yolo_comes_back(tmp_path):
    classes = ["WBC", "unseen", "CD4+ T cell"]
    write_yolo(tmp_path / "out", {"a": FOUND, "b": NONE}, {"a": SHAPE, "b": SHAPE}, classes)
    same(read_yolo(tmp_path / "out" / "a.txt", SHAPE), FOUND, atol=1e-6)
    assert (tmp_path / "out" / "a.txt").read_text().split()[0] == "0"
    assert (tmp_path / "out" / "b.txt").read_text() == ""
    assert class_names(tmp_path / "out") == tuple(classes)


@pytest.mark.parametrize("name", ["RBC", "stage 1", "0", "object", "group 2", "CD4+", "T_cell", "x.y-3"])
def test_regions_come_back_whatever_their_class_is_called(tmp_path, name):
    boxes = Boxes((name, name), CORNERS)
    same(read_roi_boxes(write_roi_boxes(tmp_path / "a", boxes)), boxes, atol=1e-6)


def test_regions_come_back(tmp_path):
    path = write_roi_boxes(tmp_path / "a_RoiSet", FOUND, ["CD4+ T cell", "WBC"])
    same(read_roi_boxes(path), FOUND, atol=1e-6)
    with zipfile.ZipFile(path) as archive:
        first = ImagejRoi.frombytes(archive.read(archive.namelist()[0]))
    assert (first.roitype, first.group, first.name) == (ROI_TYPE.RECT, 2, "WBC_00001")


# -- pairs --------------------------------------------------------------------------------------------


def opened(refs, text, mended=None):
    pairing, targets = open_boxes(refs, str(text), "target", mended or {})
    assert [path for _, path in pairing.pairs] == [t.path for t in targets] or mended
    return pairing, {target.image.name: target for target in targets}


def test_files_are_paired_by_name_beside_lists_and_other_files(tmp_path):
    refs = images(tmp_path / "i", "a.png", "b.png", "c.png")
    goal = tmp_path / "t"
    goal.mkdir()
    (goal / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (goal / "B_boxes.txt").write_text("")
    (goal / "classes.txt").write_text("RBC\n")
    (goal / "notes.json").write_text("{}")
    (goal / "zzz.txt").write_text("0 0.5 0.5 0.5 0.5")
    pairing, targets = opened(refs, goal)
    assert set(targets) == {"a", "b"} and [ref.name for ref in pairing.without_target] == ["c"]
    assert {path.name for path in pairing.without_source} == {"zzz.txt", "notes.json"}
    same(targets["a"].read(), Boxes(("RBC",), np.array([[12.0, 16, 36, 48]])))
    assert len(targets["b"].read()) == 0


def test_of_several_kinds_the_one_with_most_images_is_taken_and_others_fill_gaps(tmp_path):
    refs = images(tmp_path, "a.png", "b.png", "c.png")
    for name in "ab":
        (tmp_path / f"{name}.xml").write_text(voc(("voc", 1, 1, 9, 9)))
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    write_csv(tmp_path / "c.csv", {"c.png": Boxes(("table",), CORNERS[:1])})
    pairing, targets = opened(refs, tmp_path)  # the images themselves lie there, and are no label images
    assert {name: target.path.name for name, target in targets.items()} == {
        "a": "a.xml",
        "b": "b.xml",
        "c": "c.csv",
    }
    assert pairing.without_source == ()
    assert targets["c"].read().classes == ("table",)


def test_one_table_or_coco_file_serves_all_images_that_it_names(tmp_path):
    refs = images(tmp_path / "i", "a.png", "b.png", "c.png")
    (tmp_path / "all.json").write_text(coco())
    table = write_csv(tmp_path / "all.csv", {"x\\y\\a.tif": FOUND, "x\\y\\b.tif": NONE, "z.tif": NONE})
    for text in (tmp_path / "all.json", table):
        pairing, targets = opened(refs, text)
        assert {name: len(t.read()) for name, t in targets.items()} == {"a": 1 + (text == table), "b": 0}
        assert [ref.name for ref in pairing.without_target] == ["c"] and not pairing.without_source
    (tmp_path / "both").mkdir()
    for name in ("one.json", "two.json"):
        (tmp_path / "both" / name).write_text(coco())
    with pytest.raises(DataError, match=r"one\.json and .*two\.json hold boxes of a"):
        opened(refs, tmp_path / "both")
    write_csv(table, {"x/a.tif": FOUND, "y/a.tif": NONE, "b.tif": NONE})  # which a? neither
    assert set(opened(refs, table)[1]) == {"b"}


@pytest.mark.parametrize(
    ("head", "first"), [("image,class,x,y,w,h,Frame", 0), ("Image,Class,BX,BY,Width,Height,Frame", 1)]
)
def test_frames_of_a_movie_get_the_boxes_of_their_number(tmp_path, head, first):
    movie = np.zeros((3, *SHAPE), np.uint8)
    (tmp_path / "i").mkdir()
    tifffile.imwrite(tmp_path / "i" / "m.tif", movie, imagej=True, metadata={"axes": "TYX"})
    refs = find_images(str(tmp_path / "i"), "source")
    rows = [("m", "A", 1, 2, 3, 4, 0), ("m", "B", 5, 6, 7, 8, 2), ("m", "C", 9, 9, 9, 9, 0)]
    lines = [",".join(map(str, (*row[:-1], row[-1] + first))) for row in rows]
    table = tmp_path / "all.csv"
    table.write_text("\n".join([head, *lines]) + "\n")
    found = {name: target.read() for name, target in opened(refs, table)[1].items()}
    assert {name: boxes.classes for name, boxes in found.items()} == {
        "m_t000": ("A", "C"), "m_t001": (), "m_t002": ("B",)
    }  # fmt: skip
    assert found["m_t002"].yxyx.tolist() == [[6, 5, 14, 12]]
    with pytest.raises(DataError, match="several frames of m"):
        read_csv(table, "m", SHAPE)
    table.write_text("\n".join([head, *lines, f"m,A,1,2,3,4,{3 + first}"]) + "\n")
    with pytest.raises(DataError, match="time frame 3 of m, counted from 0, but the movie has 3 frames"):
        opened(refs, table)[1]["m_t000"].read()
    without = [line.rpartition(",")[0] for line in (head, *lines)]
    table.write_text("\n".join(without) + "\n")
    assert [len(target.read()) for target in opened(refs, table)[1].values()] == [3, 3, 3]


def test_a_table_of_one_image_belongs_to_the_image_of_its_name(tmp_path):
    refs = images(tmp_path / "i", "a.png", "b.png")
    write_csv(tmp_path / "t" / "a.csv", {"renamed.png": FOUND})
    write_csv(tmp_path / "t" / "found.csv", {"b.png": FOUND})
    targets = opened(refs, tmp_path / "t")[1]
    assert {name: target.entry for name, target in targets.items()} == {"a": "", "b": "b.png"}
    same(targets["a"].read(), FOUND)


def test_zips_overlays_and_label_images_are_annotations(tmp_path):
    refs = images(tmp_path / "i", "a.png", "b.png", "c.png")
    write_roi_boxes(tmp_path / "t" / "a_RoiSet", FOUND)
    (tmp_path / "labels").mkdir()
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 5:8] = 1
    tifffile.imwrite(tmp_path / "labels" / "b_mask.tif", labels)
    tifffile.imwrite(tmp_path / "t" / "b.tif", labels)  # beside regions it may be the photograph
    roi = ImagejRoi.frompoints(np.array([[4, 2], [30, 2], [30, 20], [4, 20]]), name="cell-1")
    roi.roitype = ROI_TYPE.POLYGON
    tifffile.imwrite(tmp_path / "t" / "c.tif", labels, imagej=True, metadata={"Overlays": roi.tobytes()})
    targets = opened(refs, tmp_path / "t")[1]
    assert {name: t.read().classes for name, t in targets.items()} == {
        "a": FOUND.classes,
        "c": ("cell",),
    }
    alone = opened(refs, tmp_path / "labels")[1]
    assert [(name, t.read().yxyx.tolist()) for name, t in alone.items()] == [("b", [[3, 5, 9, 8]])]


def test_a_mended_copy_takes_the_place_of_a_file(tmp_path):
    refs = images(tmp_path / "i", "a.png")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.xml").write_text(voc())
    copy = write_csv(tmp_path / "copy.csv", {"a.png": FOUND})
    _, targets = opened(refs, tmp_path / "t", {(tmp_path / "t" / "a.xml").resolve(): copy})
    same(targets["a"].read(), FOUND)


def test_a_region_holds_the_boxes_centred_in_it(tmp_path):
    (ref,) = images(tmp_path / "i", "a.png")
    write_csv(
        tmp_path / "a.csv",
        {"a.png": Boxes(("l", "m", "r"), np.array([[0.0, 0, 9, 19], [5, 8, 30, 30], [9, 40, 30, 50]]))},
    )
    target = opened([ref], tmp_path / "a.csv")[1]["a"]
    same(
        target.crop(((4, 48), (10, 64))).read(),
        Boxes(("m", "r"), np.array([[1.0, 0, 26, 20], [5, 30, 26, 40]])),
    )
    assert target.crop(((4, 48), (10, 64))).crop(((0, 20), (25, 54))).read().classes == ("r",)


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0.5 0.5 0.1 0.1 0.93", "6 columns.*Take that number out"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "7 columns.*outlines"),
        ("0 320 240 100 80", "above 1.*pixels"),
        ("0 0.5 0.5 -0.1 0.2", "below 0"),
        ("RBC 0.5 0.5 0.1 0.1", "no box: the first number must be that of a class"),
        ("0 0.5 0.5 nan 0.1", "no box"),
        ("2 0.5 0.5 0.1 0.1", "class 2, but the list of classes ends with number 1: RBC, WBC.*classes.txt"),
    ],
)
def test_wrong_lines_of_yolo_files_are_quoted(tmp_path, text, said):
    (tmp_path / "classes.txt").write_text("RBC\nWBC\n")
    (tmp_path / "i.txt").write_text(f"0 0.5 0.5 1 1\n{text}\n")
    with pytest.raises(DataError, match=f"i.txt, line 2.*{said}"):
        read_yolo(tmp_path / "i.txt", SHAPE)


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (voc(("RBC", 1, 1, 9, 9))[:-30], "no complete XML file"),
        ("", "no complete XML file"),
        (voc(start=BOMB), "document type"),
        (voc(start='<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "document type"),
        ("<html></html>", "no Pascal VOC file: it starts with <html>"),
        (voc(size=(64, 48)), r"64 x 48 pixels .*but the image measures 48 x 64"),
        (voc(("RBC", 1, "one", 9, 9)), "object 1 has no bndbox"),
        (voc(("RBC", 1, 1, 9, 9), ("", 1, 1, 9, 9)), "object 2 has no name"),
    ],
)
def test_wrong_voc_files_are_explained(tmp_path, text, said):
    (tmp_path / "i.xml").write_text(text)
    with pytest.raises(DataError, match=rf"i\.xml.*{said}"):
        read_voc(tmp_path / "i.xml", SHAPE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (coco()[:-9], "no complete JSON"),
        ("[]", "results without their images"),
        ('{"shapes": []}', "no COCO file"),
        (coco(categories=[]), "category 3"),
        (coco(images=[]), "belongs to image 7"),
        (coco(images=[{"id": i, "file_name": "a.png"} for i in (7, 8)]), r"a\.png 2 times"),
        (
            coco(annotations=[{"image_id": 7, "category_id": 3, "segmentation": []}]),
            "annotation 1 has no bbox",
        ),
        (coco(categories=[{"name": "WBC"}]), "something lacks or misuses 'id'"),
        (
            coco(images=[{"id": 7, "file_name": "a.png", "width": 9, "height": 9}]),
            "made for an image of 9 x 9",
        ),
    ],
)
def test_wrong_coco_files_are_explained(tmp_path, text, said):
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(DataError, match=rf"i\.json.*{said}"):
        read_coco(tmp_path / "i.json", shape=SHAPE)
    if said.startswith(("no ", "results")):  # and nothing is hidden where it is the only file
        with pytest.raises(DataError, match=said):
            opened(images(tmp_path / "i", "a.png"), tmp_path / "i.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"columns \(none\)"),
        ("a,b\n1,2\n", "columns a, b.*xmin"),
        ("class,x,y,w,h\nA,1,2,three,4\n", "line 2: y, x, h, w are '2', '1', '4', 'three'"),
        ("class,x,y,w,h\n,1,2,3,4\n", "line 2: the class is empty"),
        ("image,x,y,w,h\n,1,2,3,4\n", "line 2: the image is not named"),
        ("image,x,y,w,h\na,1,2,3,4\nb,1,2,3,4\n", "boxes of 2 images"),
        ("frame,x,y,w,h\n0.5,1,2,3,4\n", "line 2: frame is '0.5', .* 0 for the first"),
        ("Frame,BX,BY,Width,Height\n0,1,2,3,4\n", "line 2: frame is '0', .* 1 for the first"),
        ("filename,width,height,xmin,ymin,xmax,ymax\na,48,64,1,2,3,4\n", "64 x 48 pixels"),
    ],
)
def test_wrong_tables_are_explained(tmp_path, text, said):
    (tmp_path / "i.csv").write_text(text)
    with pytest.raises(DataError, match=rf"i\.csv.*{said}"):
        read_csv(tmp_path / "i.csv", shape=SHAPE)


def test_a_folder_without_annotations_says_which_there_may_be(tmp_path):
    refs = images(tmp_path / "i", "a.png")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "notes.docx").write_text("")
    with pytest.raises(DataError, match=r"no file that can be read.*\.xml, \.txt, \.json, \.csv; found: 1 x"):
        opened(refs, tmp_path / "t")
    assert isinstance(refs[0], ImageRef)

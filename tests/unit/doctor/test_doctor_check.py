"""The whole check on files, and the report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from zcdl_common.boxes import Boxes
from zcdl_common.doctor import Finding, Report, check
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef
from zcdl_common.masks import Mask
from zcdl_common.networks.tasks import INSTANCES, RESTORE, SEGMENT
from zcdl_common.pairs import Pairing
from zcdl_common.rois import write_rois
from zcdl_common.task import Sample


def codes(report):
    return {f.code for f in report.findings}


def of(report, code):
    return next(f for f in report.findings if f.code == code)


def test_a_good_set_gives_no_finding(folder):
    report = check(folder.samples, task=SEGMENT, patch_size=(64, 64))
    assert report.findings == () and "6 images read: nothing to complain about" in report.text()
    assert report.table[0]["size"] == "96 x 96" and report.table[0]["target"] == "binary"


def test_good_labels_give_no_finding(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path, n=0)
    for i in range(6):
        folder.add(f"{i}.tif", *cells(i, (256, 256)))
    assert check(folder.samples, task=INSTANCES).findings == ()


def test_strips_of_an_image_cut_objects_as_they_like(tmp_path, new_folder, cells):
    whole = new_folder(tmp_path, n=0).add("a.tif", *cells(0, (256, 256)))
    spans = [(a, a + 16) for a in range(0, 256, 16)]
    cut = [((a, b), (0, 256)) for a, b in spans]
    strips = [Sample(f"a_{i}", "a", whole.source.crop(r), whole.target.crop(r)) for i, r in enumerate(cut)]
    assert "objects-cut-by-border" not in codes(check(strips, task=INSTANCES))
    apart = new_folder(tmp_path / "apart", n=0)
    for i, (a, b) in enumerate(spans):
        apart.add(f"{i}.tif", *(pixels[a:b] for pixels in cells(0, (256, 256))))
    assert "objects-cut-by-border" in codes(check(apart.samples, task=INSTANCES))


def test_what_became_of_regions_is_said(tmp_path, new_folder, cells):
    def square(left, top, side=12):
        corners = [(0, 0), (side, 0), (side, side), (0, side)]
        roi = ImagejRoi.frompoints(np.add(corners, (left, top)))
        roi.roitype = ROI_TYPE.POLYGON
        return roi

    folder = new_folder(tmp_path, n=0)
    empty, point = square(5, 5, side=0), ImagejRoi.frompoints(np.array([[5, 5]]))
    point.roitype = ROI_TYPE.POINT
    good, beside = square(20, 20), square(50, 50)
    for name, rois in (
        ("good", [good, beside]),
        ("overlap", [good, square(28, 20)]),
        ("lost", [good, beside, square(300, 20), empty, point]),
        ("nowhere", [square(300, 20)]),
    ):
        image = folder.add(f"{name}.tif", cells(0)[0]).source
        roiwrite(tmp_path / f"{name}.zip", rois, name=[f"{i}" for i in range(len(rois))])
        folder.samples[-1] = Sample(name, name, image, Mask(tmp_path / f"{name}.zip", image))
    found = check(folder.samples, task=INSTANCES)
    said = [f for f in found.findings if f.code == "regions-of-interest"]
    by_file = {Path(f.files[0]).stem: [g for g in said if g.files == f.files] for f in said}
    assert set(by_file) == {"overlap", "lost", "nowhere"}
    assert [f.severity for f in by_file["overlap"]] == ["note"]
    assert "overlap in 48 pixels" in by_file["overlap"][0].reason
    assert {f.severity for f in by_file["lost"]} == {"warning"}
    reasons = " ".join(f.reason for f in by_file["lost"])
    assert "no pixel of the image: 1" in reasons and "empty region (1), point (1)" in reasons
    assert of(found, "empty-mask").files[0].endswith("nowhere.zip")


def test_regions_in_parts_are_objects_and_many_parts_of_one_are_a_warning_without_a_repair(
    tmp_path, new_folder, cells
):
    folder = new_folder(tmp_path, n=0)
    image, labels = cells(0)
    for name, drawn in (("numbered", labels), ("one", (labels > 0).astype(np.uint8))):
        source = folder.add(f"{name}.tif", image).source
        path = write_rois(tmp_path / name, drawn)
        folder.samples[-1] = Sample(name, name, source, Mask(path, source))
    report = check(folder.samples, task=INSTANCES)
    assert not report.errors and not report.repairable
    assert Path(of(report, "regions-in-parts").files[0]).stem == "one"


def test_a_corrupt_file_is_named_and_the_others_are_still_checked(folder):
    folder.add("broken.tif", b"II*\x00not a tiff at all", np.zeros((8, 8), np.uint8))
    folder.add("black.tif", np.zeros((96, 96), np.uint16), np.ones((96, 96), np.uint8))
    report = check(folder.samples, task=SEGMENT)
    (finding,) = [f for f in report.errors if f.code == "unreadable"]
    assert finding.files[0].endswith("broken.tif")
    assert of(report, "constant-image").files[0].endswith("black.tif")
    assert len(report.table) == 7


def test_a_truncated_tiff_and_a_corrupt_mask_are_found(folder, cells):
    whole = (folder.path / "images" / "cell_0.tif").read_bytes()
    folder.add("cut.tif", whole[: len(whole) // 2], np.zeros((96, 96), np.uint8))
    folder.add("mask.tif", cells(9)[0], b"nothing")
    report = check(folder.samples, task=SEGMENT)
    assert {Path(f.files[0]).name for f in report.errors if f.code == "unreadable"} == {"cut.tif", "mask.tif"}


def test_files_that_could_not_be_opened_before_are_reported(folder):
    report = check(folder.samples, task=SEGMENT, problems=[DataError("x.tif is damaged.")])
    assert of(report, "unreadable").reason == "x.tif is damaged."


def test_missing_partners_come_from_the_pairing_and_from_bare_samples(folder, cells):
    lonely = folder.add("lonely.tif", cells(9)[0])
    left = Pairing((), (ImageRef((Path("/d/a.tif"),)),), (Path("/d/b.tif"),))
    report = check(folder.samples, task=SEGMENT, unmatched=left)
    assert set(of(report, "missing-partner").files) == {"/d/a.tif", str(lonely.source.path)}
    assert of(report, "missing-image").files == ("/d/b.tif",)
    assert codes(check(folder.samples[:6], task=SEGMENT, unmatched=[left, left])) >= {"missing-partner"}


def test_networks_without_targets_miss_none(folder):
    bare = [Sample(s.name, s.group, s.source) for s in folder.samples]
    left = Pairing((), tuple(s.source for s in bare), ())
    assert check(bare, task=RESTORE, unmatched=left).findings == ()
    assert codes(check(bare, task=SEGMENT)) == {"missing-partner"}


def test_sizes_dimensions_and_channels_are_compared(folder, cells):
    image, labels = cells(20)
    folder.add("small.tif", image, (labels > 0)[:90].astype(np.uint8) * 255)
    folder.add(
        "stack.tif", np.stack([image, image + 1]), np.stack([labels > 0] * 2).astype(np.uint8), axes="ZYX"
    )
    rng = np.random.default_rng(0)
    folder.add(
        "rgb.tif", rng.integers(0, 200, (96, 96, 3)).astype(np.uint8), (labels > 0).astype(np.uint8) * 255
    )
    report = check(folder.samples, task=SEGMENT)
    assert of(report, "different-sizes").files[0].endswith("small.tif")
    assert of(report, "2d-among-3d").files[0].endswith("stack.tif")
    assert of(report, "different-channels").files[0].endswith("rgb.tif")
    assert {f.code for f in report.errors} >= {"different-sizes", "2d-among-3d", "different-channels"}


def test_nan_in_image_or_clean_image_is_found(folder, cells):
    image = cells(9)[0].astype(np.float32)
    bad = image.copy()
    bad[3, 3] = np.nan
    folder.samples.clear()
    folder.add("a.tif", bad, image)
    folder.add("b.tif", image[::-1], bad[::-1])
    files = {f.files for f in check(folder.samples, task=RESTORE).errors if f.code == "missing-values"}
    assert {Path(f[0]).parent.name for f in files} == {"images", "masks"}


def test_shifted_masks_are_found_among_good_ones(folder, cells):
    image, labels = cells(9)
    folder.add("moved.tif", image, np.roll(labels > 0, (6, -4), (0, 1)).astype(np.uint8) * 255)
    report = check(folder.samples, task=SEGMENT)
    assert [Path(f.files[0]).name for f in report.warnings if f.code == "shifted"] == ["moved.tif"]
    assert "6 px up and 4 px to the right" in of(report, "shifted").reason


def test_shifted_clean_images_are_found(folder, cells):
    samples = []
    for i in range(3):
        image = cells(i)[0]
        samples.append(folder.add(f"pair_{i}.tif", image, np.roll(image, 5 * (i == 1), 1)))
    report = check(samples, task=RESTORE)
    assert [Path(f.files[0]).name for f in report.findings if f.code == "shifted"] == ["pair_1.tif"]


def test_the_same_image_in_training_and_test_stops_training(tmp_path, new_folder):
    train, test = new_folder(tmp_path / "train"), new_folder(tmp_path / "test", n=2, first=5)
    report = check(train.samples, test=test.samples, task=SEGMENT)
    assert [f.code for f in report.errors] == ["test-image-in-training"]
    assert {Path(f).name for f in report.errors[0].files} == {"cell_5.tif"}


def test_a_mask_on_instances_is_an_error_and_a_label_image_on_segment_a_note(tmp_path, new_folder):
    binary, labels = new_folder(tmp_path / "a"), new_folder(tmp_path / "b", kind="labels")
    assert {f.code for f in check(binary.samples, task=INSTANCES).errors} == {"objects-not-numbered"}
    report = check(labels.samples, task=SEGMENT)
    assert not report.errors and {f.code for f in report.notes} == {"objects-are-numbered"}


def test_the_patch_size_is_that_of_the_config_unless_given(folder):
    class Config:
        network = "unet"
        patch_size = (128, 128)

    assert "patch-larger-than-image" in codes(check(folder.samples, task=SEGMENT, config=Config()))
    assert not codes(check(folder.samples, task=SEGMENT, config=Config(), patch_size=(64, 64)))


def test_frames_of_one_movie_are_named_apart(tmp_path, cells):
    movie = np.stack([cells(i)[0] for i in range(5)] + [cells(0)[0]])
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": "TYX"})
    frames = [ImageRef((path,), frame=i) for i in range(6)]
    report = check([Sample(f.name, f.group, f) for f in frames], task=RESTORE)
    assert of(report, "same-image-twice").files == (f"{path} (movie_t000)", f"{path} (movie_t005)")


def test_boxes_and_points_are_checked(folder):
    class Read:
        path = Path("a.xml")

        def __init__(self, content):
            self.content = content

        def read(self):
            return self.content

    sample = folder.samples[0]
    outside = Sample("a", "a", sample.source, Read(Boxes(("cell",), np.array([[0.0, 0, 10, 300]]))))
    assert "boxes-outside-image" in codes(check([outside], task=replace(SEGMENT, name="detect")))


def test_a_table_of_positions_that_cannot_be_used_is_a_finding(folder):
    class Table:
        path = Path("a.csv")

        def read(self):
            raise DataError("99% of the positions in a.csv lie outside the image")

    points = Sample("a", "a", folder.samples[0].source, Table())
    (found,) = check([points], task=replace(SEGMENT, name="localise")).errors
    assert found.code == "unreadable" and "outside the image" in found.reason
    assert "leave target empty" in found.remedy


def test_large_sets_are_sampled_and_the_number_is_said(folder, monkeypatch, cells):
    monkeypatch.setattr("zcdl_common.doctor.examine.MOST_READ", 3)
    image, labels = cells(30)
    folder.add("small.tif", image, (labels > 0)[:90].astype(np.uint8) * 255)  # not read, its header is
    report = check(folder.samples, task=SEGMENT)
    assert len(report.table) == 3 and "3 of 7 images" in report.summary()
    assert "3 of the 7 images were read whole" in of(report, "sampled").reason
    assert [f.code for f in report.errors] == ["different-sizes"]


def test_each_file_is_read_once(folder, monkeypatch):
    read, seen = ImageRef.read, []
    monkeypatch.setattr(ImageRef, "read", lambda self: seen.append(self.path) or read(self))
    check(folder.samples, task=SEGMENT)
    assert len(seen) == len(set(seen)) == 12


def finding(n, reason="it is dark.", code="dark-image", severity="warning", repair=None):
    return Finding(severity, code, (f"/data/set/img{n}.tif",), reason, "Turn on the light.", repair)


def test_the_same_finding_on_many_files_is_one_paragraph():
    report = Report(tuple(finding(n) for n in range(40)), ({},) * 40, 40)
    text = report.text()
    assert text.count("it is dark") == 1 and text.count("Turn on the light") == 1
    assert "Dark image (40 files)" in text and "img0.tif, img1.tif, img2.tif and 37 more" in text
    assert "/data/set" not in text and "1 warning." in text
    assert len(report.rows()) == 1 and report.rows()[0]["finding"] == "Dark image"


def test_errors_come_first_and_differing_reasons_are_told_apart():
    findings = [finding(n, f"reason {n}.") for n in range(5)]
    report = Report((*findings, finding(9, code="gone", severity="error", repair="two values")), ({},) * 9, 9)
    text = report.text()
    assert text.index("Gone") < text.index("Dark image")
    assert "img2.tif: reason 2." in text and "reason 3." not in text and "2 more files" in text
    assert [r["severity"] for r in report.rows()] == ["error", "warning"]
    assert report.repairable == report.errors and "nb.repair()" in text


def test_twins_stay_together_in_the_text():
    pairs = tuple(Finding("note", "twins", (f"/d/a{i}", f"/e/b{i}"), "alike.", "x") for i in range(5))
    assert "d/a0 and e/b0; d/a1 and e/b1; d/a2 and e/b2; 2 more such pairs: alike." in Report(pairs).text()


def test_folders_of_noisy_and_clean_images_that_are_exchanged_are_asked_about(tmp_path, new_folder, cells):
    rng = np.random.default_rng(0)
    right, swapped = new_folder(tmp_path / "right", n=0), new_folder(tmp_path / "swapped", n=0)
    for i in range(6):
        clean, _ = cells(i, (256, 256))
        noisy = (clean + rng.normal(0, 150, clean.shape)).clip(0).astype(np.uint16)
        right.add(f"{i}.tif", noisy, clean)
        swapped.add(f"{i}.tif", clean, noisy)
    assert check(right.samples, task=RESTORE).findings == ()
    assert "are the folders swapped?" in of(check(swapped.samples, task=RESTORE), "noisier-targets").reason


def test_a_strip_without_objects_cannot_judge(tmp_path, new_folder, cells):
    image, labels = cells(0, (256, 256))
    labels[:, 200:] = 0
    whole = new_folder(tmp_path, n=0).add("a.tif", image, labels)
    spans = {"train": (0, 120), "validation": (210, 230), "test": (235, 256)}
    regions = {role: ((0, 256), span) for role, span in spans.items()}
    parts = [Sample(f"a_{r}", "a", whole.source.crop(c), whole.target.crop(c)) for r, c in regions.items()]
    found = [f for f in check(parts, task=INSTANCES).errors if f.code == "strip-without-objects"]
    assert len(found) == 2 and "kept for validation holds no object" in found[0].reason


def test_a_finding_that_asks_nothing_is_not_made(tmp_path, new_folder, cells):
    folder = new_folder(tmp_path, n=0)
    for i in range(6):
        image, labels = cells(i)
        folder.add(f"{i}.tif", image.astype(np.float32), (labels > 0).astype(np.uint8) * 255)
    assert check(folder.samples, task=SEGMENT).findings == ()

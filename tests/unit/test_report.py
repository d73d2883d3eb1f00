"""The report, on a run folder as the notebook leaves it behind."""

import csv
import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from skimage.data import binary_blobs
from skimage.filters import gaussian

from zcdl_common import plots
from zcdl_common.errors import RunError
from zcdl_common.network import Best
from zcdl_common.networks.cyclegan import CYCLEGAN
from zcdl_common.networks.pix2pix import PIX2PIX
from zcdl_common.networks.stardist import STARDIST
from zcdl_common.networks.unet import UNET, UNetConfig
from zcdl_common.report import words, write_report
from zcdl_common.report.blocks import Listing, Note, Table, Text
from zcdl_common.report.contents import contents
from zcdl_common.report.html import html
from zcdl_common.report.judgement import judgement
from zcdl_common.report.methods import methods, references
from zcdl_common.report.overview import overview
from zcdl_common.report.record import how_many, read_record
from zcdl_common.report.terms import DEFINITIONS
from zcdl_common.report.training import best_row

PLANNED = {
    "epochs": 60,
    "batch_size": 8,
    "patch_size": (128, 128),
    "learning_rate": 1e-3,
    "depth": 3,
    "filters": 16,
    "class_weights": (0.7, 1.3),
    "patches_per_image": 16,
}
NAME = "Färbung <b>α & β</b>_{:03d}.tif"


def field_of_view(seed, side=256):
    """Blobs under noise, and their mask."""
    rng = np.random.default_rng(seed)
    mask = binary_blobs(side, blob_size_fraction=0.12, volume_fraction=0.25, rng=seed)
    image = gaussian(mask.astype(float), 1.5) * 900 + 120 + rng.normal(0, 60, mask.shape)
    return np.clip(image, 0, 4095).astype(np.uint16)[..., None], mask.astype(np.int32)


def example(seed, name):
    source, truth = field_of_view(seed)
    rng = np.random.default_rng(seed + 1000)
    wobble = gaussian(rng.normal(size=truth.shape), 4) * 1.2
    network = (gaussian(truth.astype(float), 1.5) + wobble > 0.5).astype(np.int32)
    classical = (source[..., 0] > 520 - 60 * (seed % 3)).astype(np.int32)
    return plots.Example(name, source, network, truth, classical, iou(truth, network), iou(truth, classical))


def iou(truth, prediction):
    return float((truth * prediction).sum() / np.maximum(truth, prediction).sum())


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write_plan(folder, n_images=24):
    folder.mkdir(parents=True, exist_ok=True)
    UNetConfig.parse(PLANNED).write(folder / "config.yaml")
    facts = {
        "ndim": 2,
        "channels": ["DAPI"],
        "shapes": [[512, 512]] * n_images,
        "dtype": "uint16",
        "pixel_size": [0.325, 0.325],
        "classes": [0, 255],
        "extra": {"arithmetic": "float32"},
        "counts": {"train": n_images},
    }
    reasons = {
        "patch_size": "several objects and their surroundings",
        "epochs": "enough for most data on a CPU",
    }
    split = "Images were divided by file, 70 % for training, 15 % for validation and 15 % for the test."
    text = yaml.safe_dump(
        {"facts": facts, "reasons": reasons, "split": split, "example": ""}, allow_unicode=True
    )
    (folder / "plan.yaml").write_text(text, encoding="utf-8")
    (folder / "environment.txt").write_text(
        "date: 2025-03-04 10:20\npython: 3.11.9\nsystem: Linux x86_64\ncores: 8\ndevice: cpu\n"
        "zcdl-common: 0.1.0\nnumpy: 2.2.1\nscipy: 1.15.2\nscikit-image: 0.25.2\ntorch: 2.6.0\n"
    )
    roles = ["test"] * (n_images // 3) + ["validation"] * (n_images // 6)
    roles += ["train"] * (n_images - len(roles))
    write_table(
        folder / "data.csv",
        [
            {
                "name": NAME.format(i),
                "file": f"/data/images/{NAME.format(i)}",
                "target": f"/data/masks/{NAME.format(i)}",
                "sha256": f"{i:064x}"[::-1],
                "role": role,
                "shape": "512 x 512 x 1",
                "dtype": "uint16",
                "pixel_size": "0.325 x 0.325",
            }
            for i, role in enumerate(roles)
        ],
    )


def write_losses(folder, epochs=60):
    rng = np.random.default_rng(0)
    e = np.arange(1, epochs + 1)
    loss = 1.1 * np.exp(-e / 9) + 0.08 + rng.normal(0, 0.006, epochs)
    validation = 1.1 * np.exp(-e / 10) + 0.12 + 0.0008 * e + rng.normal(0, 0.012, epochs)
    rate = 0.5e-3 * (1 + np.cos(np.pi * e / epochs))
    write_table(
        folder / "losses.csv",
        [
            {
                "epoch": int(e[i]),
                "loss": loss[i],
                "val_loss": validation[i],
                "learning_rate": rate[i],
                "seconds": 7.4,
                "val_iou": 0.93 - 0.5 * np.exp(-e[i] / 8),
            }
            for i in range(epochs)
        ],
    )


def write_quality_control(folder, n_images=8, pictures=True):
    control = folder / "quality_control"
    (control / "figures").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    base = rng.uniform(0.62, 0.9, n_images)
    rows = []
    for i, hard in enumerate(base):
        network, classical = min(0.97, hard + 0.07 + 0.02 * rng.random()), hard + 0.03 * rng.normal()
        row = {"image": NAME.format(i)}
        for prefix, value in (("", network), ("classical_", classical)):
            row[f"{prefix}iou"], row[f"{prefix}dice"] = value, 2 * value / (1 + value)
            row[f"{prefix}precision"], row[f"{prefix}recall"] = value + 0.03, value + 0.01
        rows.append(row)
    write_table(control / "metrics.csv", rows)

    def stats(column):
        values = np.array([row[column] for row in rows])
        half = 1.96 * values.std() / np.sqrt(n_images)
        return {
            "mean": float(values.mean()),
            "ci95": [float(values.mean() - half), float(values.mean() + half)],
        }

    keys = ("iou", "dice", "precision", "recall")
    summary = {
        "network": "unet",
        "task": "segment",
        "n_images": n_images,
        "primary": "iou",
        "verdict": "better",
        "metrics": {
            k: {"network": stats(k), "classical": stats(f"classical_{k}"), "input": None} for k in keys
        },
        "classical": "Otsu threshold",
        "threshold": 0.46,
        "sentence": "On your 8 test images the network is better than the classical method (Otsu threshold): "
        "it gains 0.08 in IoU (95 % interval 0.06 to 0.10).",
        "next": [
            "The validation loss has levelled off: more epochs will hardly help.",
            "The worst images are dimmer than the others: annotate three such images and train again.",
        ],
    }
    (control / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    if pictures:
        seen = [example(seed, NAME.format(seed)) for seed in range(n_images)]
        thresholds = np.linspace(0.05, 0.95, 19)
        figures = {
            "pairs": plots.pairs(
                [s.source for s in seen],
                [s.truth for s in seen],
                [s.name for s in seen],
                pixel_size=(0.325, 0.325),
            ),
            "examples": plots.examples(seen[:4], classical="Otsu threshold", pixel_size=(0.325, 0.325)),
            "worst": plots.worst(seen, pixel_size=(0.325, 0.325)),
            "threshold_curve": plots.threshold_curve(thresholds, 0.9 - (thresholds - 0.46) ** 2, 0.46),
        }
        for name, figure in figures.items():
            plots.save(figure, control / "figures" / f"{name}.png")


def write_outcome(folder):
    for name in (
        "predictions/new images/well_A1.tif",
        "predictions/new images/well_A2.tif",
        "export/nuclei.zip",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with everything, reported; nothing else is written into it."""
    folder = tmp_path_factory.mktemp("runs") / "Zellkerne_1 <über & unter>"
    write_plan(folder)
    write_losses(folder)
    write_quality_control(folder)
    write_outcome(folder)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(finished):
    return Page((finished / "report.html").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a reader of the page sees, and what it fetches."""

    def __init__(self, text):
        super().__init__()
        self.text, self.images, self.links, self.tags = [], [], [], []
        self.feed(text)
        self.seen = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        if tag == "img":
            self.images.append(attrs)
        if tag == "a":
            self.links.append(attrs["href"])

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.text.append(data)


def page_of(folder):
    """The page alone, without the time that the PDF takes."""
    return Page(html("report", contents(read_record(folder))))


def pdf_text(folder):
    document = str(folder / "report.pdf")
    result = subprocess.run(["pdftotext", "-layout", document, "-"], capture_output=True, text=True)
    return " ".join(result.stdout.split())


def test_report_says_everything_a_reviewer_asks_for(page):
    for fact in (
        "zcdl-common 0.1.0",
        "PyTorch 2.6.0",
        "Python 3.11.9",
        "128 × 128",
        "batch size of 8",
        "60 epochs",
        "Adam",
        "cosine",
        "sum of cross-entropy and Dice loss",
        "0.001",
        "rotations (quarter turns)",
        "float32",
        "the CPU",
        "7 min",
        "0.46",
        "12 images for training, 4 for validation and 8 for testing",
        "percentiles 1 and 99.8",
        "Otsu threshold",
        "0.325 × 0.325 µm",
        "random seed was 0",
        "10.1007/978-3-319-24574-4_28",
        "10.1038/s41467-021-22518-0",
    ):
        assert fact in page.seen, fact


def test_the_verdict_stands_before_every_section(page):
    assert page.seen.index("it gains 0.08 in IoU") < page.seen.index("What was done")


def test_page_is_one_file_without_scripts_and_describes_its_pictures(page):
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.images) == 6
    assert all(image["src"].startswith("data:image/") and len(image["alt"]) > 10 for image in page.images)
    assert all(link.startswith(("#", "https://doi.org/")) for link in page.links)


def test_markup_in_names_is_shown_and_not_obeyed(page):
    assert "Zellkerne_1 <über & unter>" in page.seen
    assert "Färbung <b>α & β</b>_000.tif" in page.seen


def test_report_is_small_enough_to_be_mailed(finished):
    assert all(0 < (finished / f"report.{kind}").stat().st_size < 3_000_000 for kind in ("html", "pdf"))


@pytest.mark.skipif(
    not any((Path(p) / "pdftotext").exists() for p in os.get_exec_path()), reason="no pdftotext"
)
def test_pdf_holds_the_same_words_as_the_page(finished):
    text = pdf_text(finished)
    for words_ in (
        "it gains 0.08 in IoU",
        "Färbung <b>α & β</b>_000.tif",
        "60 epochs",
        "Ronneberger O",
        "page 1",
    ):
        assert words_ in text, words_


def test_numbers_in_brackets_point_at_the_right_citation(finished):
    record = read_record(finished)
    cited = references(record)
    assert cited[:2] == list(UNET.cite)
    assert f"ZeroCostDL4Mic [{cited.index('10.1038/s41467-021-22518-0') + 1}]" in methods(record)[0]


def test_predictions_are_counted_by_image_with_what_belongs_to_each(finished):
    names = [
        "a.tif",
        "a_RoiSet.zip",
        "a_objects.csv",
        "cell_2.ome.tif",
        "big.ome.zarr/0/0",
        "big.ome.zarr/0/1",
    ]
    record = replace(read_record(finished), predictions=tuple(f"predictions/new/{name}" for name in names))
    listed = [item for block in contents(record) if isinstance(block, Listing) for item in block.items]
    assert "a.tif, a_RoiSet.zip, a_objects.csv" in listed and "big.ome.zarr" in listed
    said = [block.text for block in contents(record) if isinstance(block, Text)]
    assert any(text.startswith("3 images in predictions/new, ") for text in said)


def test_counts_are_written_without_decimals():
    written = [words.count(value) for value in (27.0, 27.25, 143.9, 100.0, 1593.8, 0.0)]
    assert written == ["27", "27.2", "144", "100", "1594", "0"]


def test_definitions_in_the_methods_are_whole_sentences(finished):
    record = replace(
        read_record(finished),
        summary={
            "n_images": 2,
            "primary": "ssim",
            "metrics": {k: {} for k in ("ssim", "ap50", "ap70", "pq")},
        },
    )
    text = " ".join(methods(record))
    assert "SSIM: structural similarity of small windows (Wang et al. 2004); " in text
    assert text.count("intersection over union") == 1
    assert text.lower().count("panoptic quality") == 1


def test_methods_say_that_brightness_and_contrast_are_fitted_first(finished):
    def said(*keys):
        summary = {"n_images": 2, "primary": keys[0], "metrics": {key: {} for key in keys}}
        return " ".join(methods(replace(read_record(finished), summary=summary)))

    fit = "a fit of the result's brightness and contrast (a gain of at least 0, and an offset) to the truth"
    assert f"PSNR, SSIM and NRMSE were taken after {fit}." in said("psnr", "ssim", "nrmse", "pearson_r")
    assert f"SSIM was taken after {fit}." in said("ssim", "pearson_r")
    assert "taken after" not in said("iou", "dice")
    assert all(fit in DEFINITIONS[key] for key in ("psnr", "ssim", "nrmse"))


def test_a_gain_is_better_the_nearer_to_one(tmp_path):
    write_quality_control(tmp_path, pictures=False)
    path = tmp_path / "quality_control/summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["metrics"]["gain"] = {"network": {"mean": 7.5, "ci95": None}}
    path.write_text(json.dumps(summary), encoding="utf-8")
    assert "gain nearer 1 7.50" in page_of(tmp_path).seen


def words_of(blocks):
    listed = [item for block in blocks if isinstance(block, Listing) for item in block.items]
    return " ".join(listed + [getattr(b, "caption", "") + getattr(b, "text", "") for b in blocks])


@pytest.mark.parametrize(
    ("network", "metrics", "truth", "error"),
    [
        (UNET, ["iou"], "The annotations are taken", True),
        (PIX2PIX, ["pearson_r", "psnr"], "target images are taken for the truth, with their noise", True),
        (CYCLEGAN, ["feature_distance"], "There is no truth to compare with: no score", False),
        (CYCLEGAN, ["feature_distance", "psnr"], "target images are taken for the truth", True),
    ],
    ids=["drawn", "taken", "none", "some"],
)
def test_the_report_says_what_is_taken_for_the_truth(finished, tmp_path, network, metrics, truth, error):
    record = read_record(finished)
    figures = {name: tmp_path / f"{name}.png" for name in ("examples", "disagreement")}
    for path in figures.values():
        shutil.copy(record.figures["threshold_curve"], path)
    summary = {"n_images": 8, "primary": metrics[0], "metrics": {key: {} for key in metrics}}
    said = words_of(judgement(replace(record, network=network, summary=summary, figures=figures)))
    assert truth in said
    assert ("annotations" in said) == network.task.drawn
    assert ("where the network errs" in said, "how far it is off" in said) == (error, error)


@pytest.mark.parametrize("network", [UNET, PIX2PIX, CYCLEGAN], ids=lambda network: network.name)
def test_losses_of_unequal_quantities_are_not_held_against_each_other(finished, network):
    record = read_record(finished)
    weights = {"l1_weight": 100.0, "cycle_weight": 10.0, "identity_weight": 0.5}
    said = words_of(overview(replace(record, network=network, config={**record.config, **weights})))
    same = network is UNET
    assert ("Both curves should fall" in said, "overfitting" in said) == (same, same)
    assert ("neither can be held against the other" in said) == (not same)
    assert ("Pearson r of the validation images, which picks" in said) == (network is PIX2PIX)


def test_images_of_two_kinds_are_counted_apart():
    rows = [{"domain": "source"}] * 31 + [{"domain": "target"}] * 30
    assert how_many(rows) == "31 + 30" and how_many(rows[:31]) == "31" and how_many([{}] * 4) == "4"


def test_a_direction_that_was_not_judged_is_named(tmp_path):
    write_quality_control(tmp_path, pictures=False)
    record = replace(read_record(tmp_path), network=CYCLEGAN)
    said = words_of(judgement(record))
    assert "direction = target to source" in said and "quality_control/back" in said
    backwards = replace(record, control="quality_control/back")
    assert "other direction" not in words_of(judgement(backwards))
    assert "other direction" not in words_of(judgement(replace(record, network=PIX2PIX)))
    (tmp_path / "quality_control/back").mkdir()
    (tmp_path / "quality_control/back/summary.json").write_text("{}")
    assert "other direction" not in words_of(judgement(record))


def test_methods_of_stardist_hold_rays_grid_and_overlap(finished):
    record = read_record(finished)
    record = replace(
        record,
        network=STARDIST,
        config={**record.config, "n_rays": 32, "grid": (2, 2)},
        settings={"prob_thresh": 0.47, "nms_thresh": 0.3},
        summary={**record.summary, "threshold": 0.47},
    )
    text = " ".join(methods(record))
    for part in ("32 rays", "grid of 2 × 2 pixels", "at least 0.47", "more than 0.3 of the smaller"):
        assert part in text


def test_an_empty_folder_gives_a_report_that_says_where_to_begin(tmp_path):
    page = page_of(tmp_path)
    for section in range(2, 9):
        if section != 4:
            assert f"run section {section}" in page.seen.lower()


def test_an_untrained_run_claims_no_training(tmp_path):
    write_plan(tmp_path)
    page = page_of(tmp_path)
    assert "was trained" not in page.seen
    assert "Not trained yet" in page.seen
    assert "○ Training still missing: run section 5" in page.seen
    assert "✓ Your images 12 train, 4 validation, 8 test images" in page.seen


def test_a_trained_run_asks_for_quality_control(tmp_path):
    write_plan(tmp_path)
    write_losses(tmp_path, epochs=12)
    page = page_of(tmp_path)
    assert "Not judged yet" in page.seen
    assert "12 of 60 epochs" in page.seen
    assert "(of 60 planned)" in page.seen
    assert "Mean scores" not in page.seen


TABLES = (
    "plan.yaml",
    "config.yaml",
    "data.csv",
    "losses.csv",
    "environment.txt",
    "quality_control/metrics.csv",
    "quality_control/summary.json",
)


@pytest.mark.parametrize("name", TABLES)
def test_a_torn_file_costs_only_its_own_part(tmp_path, name):
    write_plan(tmp_path)
    write_losses(tmp_path, epochs=3)
    write_quality_control(tmp_path, pictures=False)
    (tmp_path / name).write_bytes(b"\xff\xfe{{{:\x00\n- ]")
    page = page_of(tmp_path)
    assert "What was done" in page.seen and "Citations" in page.seen
    assert f"{name} (" in page.seen


def test_empty_files_count_as_missing(tmp_path):
    write_plan(tmp_path)
    write_quality_control(tmp_path, pictures=False)
    for name in TABLES:
        (tmp_path / name).write_bytes(b"")
    assert "Not trained yet" in page_of(tmp_path).seen


def test_a_torn_figure_becomes_a_note(tmp_path):
    write_quality_control(tmp_path, pictures=False)
    (tmp_path / "quality_control/figures/examples.png").write_bytes(b"\x89PNG torn")
    assert "examples.png could not be read" in page_of(tmp_path).seen


def test_many_images_are_cut_short_with_a_pointer_to_the_table(tmp_path):
    write_plan(tmp_path, n_images=200)
    write_losses(tmp_path)
    write_quality_control(tmp_path, n_images=200, pictures=False)
    page = page_of(tmp_path)
    assert "175 more are listed in data.csv" in page.seen
    assert "175 others are listed in quality_control/metrics.csv" in page.seen
    assert page.tags.count("tr") < 130


def test_the_worst_images_come_first(tmp_path):
    write_plan(tmp_path)
    write_quality_control(tmp_path, pictures=False)
    with (tmp_path / "quality_control/metrics.csv").open(encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: float(row["iou"]))
    seen = page_of(tmp_path).seen
    table = seen[seen.index("Image by image") :]
    places = [table.index(row["image"]) for row in rows]
    assert places == sorted(places)


def test_names_without_a_space_are_broken_and_not_cut(tmp_path):
    folder = tmp_path / ("sehr_langer_name_" * 8)
    write_plan(folder)
    with (folder / "data.csv").open("a", encoding="utf-8") as stream:
        stream.write(f"{'x' * 220}.tif,f,t,00,test,4 x 4,uint8,\n")
    page, document = write_report(folder)
    assert "x" * 220 in page.read_text(encoding="utf-8")
    assert document.stat().st_size > 1000


def test_a_missing_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        write_report(tmp_path / "nowhere")


def test_a_second_report_replaces_the_first_quickly_and_leaves_nothing_else(finished):
    before = sorted(path.name for path in finished.iterdir())
    begin = time.process_time()
    written = write_report(finished)
    assert time.process_time() - begin < 3
    assert sorted(path.name for path in finished.iterdir()) == before
    assert written == (finished / "report.html", finished / "report.pdf")


def test_best_epoch_follows_the_rule_of_the_network_and_skips_broken_rows(tmp_path):
    write_plan(tmp_path)
    rows = [(1, 0.5), (2, 0.2), (3, "nan"), (4, ""), (5, 0.3)]
    write_table(
        tmp_path / "losses.csv", [{"epoch": e, "loss": 1, "val_loss": v, "seconds": 1} for e, v in rows]
    )
    record = read_record(tmp_path)
    assert best_row(record)[1]["epoch"] == "2"
    by_score = replace(record.network, best=Best("loss", "max"))  # the same in all: the loss decides
    assert best_row(replace(record, network=by_score))[1]["epoch"] == "2"
    assert "weights of epoch 2" in " ".join(methods(read_record(tmp_path)))


def test_weights_of_the_last_epoch_are_named_where_they_are_used(tmp_path):
    write_plan(tmp_path)
    write_losses(tmp_path, epochs=3)
    UNetConfig.parse({**PLANNED, "weights": "last"}).write(tmp_path / "config.yaml")
    assert "weights of the last epoch" in " ".join(methods(read_record(tmp_path)))


def test_strips_of_one_image_are_not_called_images(tmp_path):
    write_plan(tmp_path, n_images=6)
    write_losses(tmp_path, epochs=3)
    write_quality_control(tmp_path, n_images=2, pictures=False)
    plan = yaml.safe_load((tmp_path / "plan.yaml").read_text(encoding="utf-8"))
    note = "There is one image. It was divided into strips along Y."
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**plan, "split": note}), encoding="utf-8")
    rows = [{"name": f"a_{r}", "file": "a.tif", "role": r} for r in ("train", "validation", "test")]
    write_table(tmp_path / "data.csv", rows)
    seen = page_of(tmp_path).seen
    assert "1 strip for training, 1 for validation and 1 for testing" in seen
    assert "tested on 2 strips" in seen and "come from one field of view" in seen
    rows[2]["file"] = "another.tif"
    write_table(tmp_path / "data.csv", rows)
    seen = page_of(tmp_path).seen
    assert "tested on 2 images" in seen and "come from one field of view" not in seen


def test_scores_of_the_only_foreground_class_are_not_listed_twice(tmp_path):
    write_quality_control(tmp_path, pictures=False)
    path = tmp_path / "quality_control/summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["metrics"] |= {"iou_255": summary["metrics"]["iou"], "iou_0": summary["metrics"]["dice"]}
    path.write_text(json.dumps(summary), encoding="utf-8")
    seen = page_of(tmp_path).seen
    assert "IoU, background" in seen and "class 255" not in seen


def test_blocks_are_escaped_and_addresses_become_links():
    text = html(
        "a & b",
        [
            Text("see https://doi.org/10.1/x<y>."),
            Note("1 < 2", "todo", "A & B"),
            Listing(("<i>",)),
            Table(("<th>",), (("\x07<td>",),), "a < b"),
        ],
    )
    page = Page(text)
    assert "i" not in page.tags and page.links == ["https://doi.org/10.1/x"]
    for shown in ("a & b", "1 < 2", "A & B", "<i>", "<th>", "<td>", "a < b"):
        assert shown in page.seen
    assert "\x07" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.94213, "0.942"),
        (1.0, "1.00"),
        (23.18, "23.2"),
        (1234.5, "1234"),
        (0, "0.00"),
        (7.05e-10, "0.00"),
        (0.00031, "0.000310"),
        ("", "–"),
        (float("nan"), "–"),
        (-0.5, "-0.500"),
    ],
)
def test_scores_have_three_digits(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (440, "7 min"), (12_000, "3 h 20 min")])
def test_durations_are_rounded_as_people_do(seconds, text):
    assert words.duration(seconds) == text


def test_plurals_and_enumerations():
    assert [words.many(2, noun) for noun in ("epoch", "patch", "image")] == [
        "2 epochs",
        "2 patches",
        "2 images",
    ]
    assert words.many(1, "patch") == "1 patch"
    assert [words.enumerate_words(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert words.sizes([[512, 512], [512, 512]]) == "512 × 512"
    assert words.sizes([[512, 512], [64, 128]]) == "64 × 128 to 512 × 512"

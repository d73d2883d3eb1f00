"""Boxes that were found, as files: tables, YOLO, COCO, ROIs for Fiji, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from zcdl_common import tables
from zcdl_common.boxes import Boxes
from zcdl_common.boxes.coco import write_coco
from zcdl_common.boxes.regions import write_roi_boxes
from zcdl_common.boxes.table import COLUMNS
from zcdl_common.boxes.yolo import write_yolo
from zcdl_common.detecting import ALL, matched
from zcdl_common.rois import MOST_REGIONS
from zcdl_common.task import Array, Facts, Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "_boxes.csv"
"""How the names of tables end."""


def files(
    predictions: Sequence[Prediction],
    sources: Iterable[Array],
    facts: Facts,
    pixel_size: Sequence[float] | None,
    folder: Path,
    stem: str,
) -> tuple[list[Path], str]:
    """Write the boxes of one input, a frame each, in the formats that other programs read.

    Parameters
    ----------
    predictions, sources
        One a frame; sources are images YXC, or files that are read in slices.
    pixel_size
        YX in micrometres.
    folder, stem
        Where the files go, and how their names begin.

    Returns
    -------
    paths : list of Path
        ``<stem>_boxes.csv``; of a single image also ``<stem>.txt`` (YOLO) beside ``classes.txt``,
        ``<stem>_RoiSet.zip`` where it shows an object, and ``<stem>_boxes.png``.
    note : str
        What was not written and why.
    """
    from zcdl_common import plots

    names = facts.extra["class_names"]
    images = list(sources)
    found = [named(prediction, names) for prediction in predictions]
    movie = len(found) > 1
    measured = [measure(b, stem, i.shape[:2], pixel_size) for b, i in zip(found, images, strict=True)]
    table = tables.frames(measured) if movie else measured[0]
    written = [tables.write_table(folder / f"{stem}{TABLE}", table)]
    if movie:
        return written, "a movie: its boxes are in one table, by frame"
    boxes, image = found[0], images[0]
    written += write_yolo(folder, {stem: boxes}, {stem: image.shape[:2]}, names)
    if len(boxes) > MOST_REGIONS:
        return written, f"no ROIs: {len(boxes)} boxes are more than {MOST_REGIONS}, use the table"
    if len(boxes):
        written.append(write_roi_boxes(folder / f"{stem}_RoiSet.zip", boxes, names))
    if not isinstance(image, np.ndarray):
        return written, "no picture: the image is too large to be drawn"
    drawn = plots.drawn_boxes(image, predictions[0].main, names)
    plots.save(drawn, folder / f"{stem}_boxes.png")
    return [*written, folder / f"{stem}_boxes.png"], ""


def figures(
    truths: Sequence[Array],
    predictions: Sequence[Prediction],
    facts: Facts,
    settings: Mapping[str, Any],
    *,
    classical: Sequence[Prediction] = (),
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Precision over recall, confused classes, and counts, of all test images together."""
    from zcdl_common import plots
    from zcdl_common.metrics import detection_confidence as confidence
    from zcdl_common.metrics.detection_intervals import intervals

    names = facts.extra["class_names"]
    pairs = list(zip(truths, predictions, strict=True))
    everything = [matched(truth, said, facts) for truth, said in pairs]
    sure = [matched(truth, said, facts, faint=False) for truth, said in pairs]
    curves = {name: confidence.precision_recall(everything, c) for c, name in enumerate(names)}
    scored = intervals(everything, names, groups=groups, seed=seed, most=ALL)
    confused = np.sum([confidence.confusion(truth, said.main, len(names)) for truth, said in pairs], axis=0)
    numbers = confidence.counts(sure, 0.0)
    off = confidence.count_errors(*numbers, groups=groups, seed=seed)
    return {
        "precision_recall": plots.precision_recall_curves(
            curves, settings["confidence"], {name: scored[f"ap50_{name}"] for name in names}
        ),
        "confusion": plots.confusion_matrix(confused, names),
        "counts": plots.counts(*numbers, names, off),
    }


def named(prediction: Prediction, names: Sequence[str]) -> Boxes:
    """Boxes of a prediction with the names of their classes."""
    main = prediction.main
    kinds = tuple(names[int(c)] for c in main[:, 4])
    return Boxes(kinds, main[:, :4], prediction.extra["scores"])


def measure(
    boxes: Boxes, image: str, size: Sequence[int], pixel_size: Sequence[float] | None
) -> pd.DataFrame:
    """A row a box: its class, corners, centre and score; an empty one where there is none.

    ``height`` and ``width`` are those of the image, in pixels.
    """
    assert boxes.scores is not None
    rows = boxes.yxyx if len(boxes) else np.full((1, 4), np.nan)
    table = pd.DataFrame({COLUMNS[0]: [image] * len(rows), COLUMNS[1]: boxes.classes or [""]})
    table[list(COLUMNS[2:])] = rows
    table["score"] = boxes.scores if len(boxes) else [np.nan]
    centres = (rows[:, :2] + rows[:, 2:]) / 2
    table["centre_y"], table["centre_x"] = centres.T
    if pixel_size:
        table["centre_y_um"], table["centre_x_um"] = (centres * pixel_size[-2:]).T
        sides = (rows[:, 2:] - rows[:, :2]) * pixel_size[-2:]
        table["box_height_um"], table["box_width_um"] = sides.T
    table["height"], table["width"] = size
    return table


def gather(folder: Path, facts: Facts, names: Mapping[str, str]) -> Path | None:
    """Join the tables of all images of a folder into ``boxes_coco.json``; None where there is none.

    `names` gives images their file names with endings, as COCO wants them; others, predicted earlier, keep
    the name of their table.
    """
    found, sizes = {}, {}
    for path in sorted(folder.glob(f"*{TABLE}")):
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"class": str})
        if "frame" in table:  # of a movie: its frames are no images
            continue
        stem = path.name.removesuffix(TABLE)
        image = names.get(stem, stem)
        sizes[image] = table[["height", "width"]].iloc[0].tolist()
        rows = table.dropna(subset=list(COLUMNS[2:]))
        corners = rows[list(COLUMNS[2:])].to_numpy(np.float32)
        found[image] = Boxes(tuple(rows["class"]), corners, rows["score"].to_numpy(np.float32))
    if not found:
        return None
    return write_coco(folder / "boxes_coco.json", found, sizes, facts.extra["class_names"])

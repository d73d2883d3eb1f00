"""Figures: every function returns a matplotlib Figure, built without pyplot and without a display."""

from zcdl_common.plots.comparison import scores
from zcdl_common.plots.curves import best_epoch, kept, live, losses, threshold_curve
from zcdl_common.plots.detection_scores import confusion_matrix, counts, precision_recall_curves
from zcdl_common.plots.detections import draw_box_errors, draw_boxes, drawn_boxes
from zcdl_common.plots.galleries import Example, examples, pairs, patches, worst
from zcdl_common.plots.instances import draw_instance_errors, draw_instances
from zcdl_common.plots.labels import metric_label
from zcdl_common.plots.residuals import removed
from zcdl_common.plots.restoration import draw_difference, draw_restoration, planes, uncertainties
from zcdl_common.plots.segmentation import draw_errors, draw_segmentation
from zcdl_common.plots.smlm import simulated_and_real
from zcdl_common.plots.style import png, save

__all__ = [
    "Example",
    "best_epoch",
    "confusion_matrix",
    "counts",
    "draw_box_errors",
    "draw_boxes",
    "draw_difference",
    "draw_errors",
    "draw_instance_errors",
    "draw_instances",
    "draw_restoration",
    "draw_segmentation",
    "drawn_boxes",
    "examples",
    "kept",
    "live",
    "losses",
    "metric_label",
    "pairs",
    "patches",
    "planes",
    "png",
    "precision_recall_curves",
    "removed",
    "save",
    "scores",
    "simulated_and_real",
    "threshold_curve",
    "uncertainties",
    "worst",
]

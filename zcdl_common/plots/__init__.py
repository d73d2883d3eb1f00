"""Figures: every function returns a matplotlib Figure, built without pyplot and without a display."""

from zcdl_common.plots.comparison import scores
from zcdl_common.plots.curves import best_epoch, kept, live, losses, threshold_curve
from zcdl_common.plots.detection_scores import confusion_matrix, counts, precision_recall_curves
from zcdl_common.plots.detections import draw_box_errors, draw_boxes, drawn_boxes
from zcdl_common.plots.galleries import Example, examples, pairs, patches, worst
from zcdl_common.plots.instances import draw_instance_errors, draw_instances
from zcdl_common.plots.labels import metric_label
from zcdl_common.plots.localisation import (
    density_curves,
    position_errors,
    radius_curves,
    superresolved,
)
from zcdl_common.plots.localisation import errors as errors_of_rendering
from zcdl_common.plots.positions import draw_position_errors, draw_positions, drawn_positions
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
    "density_curves",
    "draw_box_errors",
    "draw_boxes",
    "draw_difference",
    "draw_errors",
    "draw_instance_errors",
    "draw_instances",
    "draw_position_errors",
    "draw_positions",
    "draw_restoration",
    "draw_segmentation",
    "drawn_boxes",
    "drawn_positions",
    "errors_of_rendering",
    "examples",
    "kept",
    "live",
    "losses",
    "metric_label",
    "pairs",
    "patches",
    "planes",
    "png",
    "position_errors",
    "precision_recall_curves",
    "radius_curves",
    "removed",
    "save",
    "scores",
    "simulated_and_real",
    "superresolved",
    "threshold_curve",
    "uncertainties",
    "worst",
]

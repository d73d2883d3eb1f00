"""Names of scores as they stand in figures, tables and sentences."""

from __future__ import annotations

METRIC_LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "nrmse": "NRMSE",
    "pearson_r": "Pearson r",
    "gain": "gain",
    "pearson_r_limit": "Pearson r that noise allows",
    "disagreement": "change when turned (sd)",
    "resolution_px": "resolution (pixels)",
    "resolution_nm": "resolution (nm)",
    "unsupported_percent": "unsupported pixels (%)",
    "residual_mean": "residual: mean (sd)",
    "residual_structure": "residual: likeness to the image",
    "residual_correlation": "residual: likeness of neighbours",
    "residual_white": "residual: white share",
    "residual_coarse": "residual: variance when smoothed",
    "iou": "IoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    **{f"ap{percent}": f"AP at IoU {percent / 100:g} (further)" for percent in range(55, 95, 5)},
    "ap50": "AP at IoU 0.5",
    "ap70": "AP at IoU 0.7",
    "ap": "AP at IoU 0.5–0.95",
    "f1_50": "F1 at IoU 0.5",
    "pq": "panoptic quality",
    "mean_iou": "IoU of matched objects",
    "n_true": "objects in the truth",
    "n_found": "objects found",
    "count_off": "objects found beyond the true ones",
    "size_true": "size in the truth (pixels)",
    "size_found": "size found (pixels)",
    "map50": "mAP at IoU 0.5",
    "map50_95": "mAP at IoU 0.5–0.95",
    "jaccard": "Jaccard index (250 nm)",
    "jaccard_100": "Jaccard index (100 nm)",
    "jaccard_50": "Jaccard index (50 nm)",
    "shift_y_nm": "shift along Y (nm)",
    "shift_x_nm": "shift along X (nm)",
    "rmse_nm": "RMSE (nm)",
    "frc_nm": "FRC resolution (nm)",
    "cycle_error": "cycle error",
    "feature_distance": "distance from real images",
    "set_distance": "distance of the sets",
    "intensity_distance": "distance of the intensities",
    "count_bias": "bias of the count",
    "size_bias": "bias of the size",
}

LESS_IS_BETTER = frozenset(
    {
        "nrmse",
        "resolution_px",
        "resolution_nm",
        "unsupported_percent",
        "residual_mean",
        "residual_structure",
        "residual_correlation",
        "residual_coarse",
        "disagreement",
        "rmse_nm",
        "frc_nm",
        "cycle_error",
        "feature_distance",
        "set_distance",
        "intensity_distance",
    }
)

NEARER_ZERO = frozenset({"count_bias", "size_bias", "count_off", "shift_y_nm", "shift_x_nm"})
NEARER_ONE = frozenset({"gain"})
NO_MERIT = frozenset({"pearson_r_limit", "n_true", "n_found", "size_true", "size_found"})
"""Counts and sizes: to be compared with each other, not to be made large or small."""


def number(value: float, digits: int = 3) -> str:
    """A score with so many significant digits, large ones whole; what is as good as nothing is 0."""
    value = 0.0 if abs(value) < NOTHING else value
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


NOTHING = 1e-6
"""Scores below it come from rounding."""


def better(key: str) -> str:
    """Which values of a score are better: "higher", "lower", "nearer 0", "nearer 1", or "" where none are."""
    family = _family(key) or key
    if family in NO_MERIT:
        return ""
    if family in NEARER_ONE:
        return "nearer 1"
    return "lower" if family in LESS_IS_BETTER else "nearer 0" if family in NEARER_ZERO else "higher"


def _family(key: str) -> str:
    """The score that ``iou_class_2`` and others are one of; "" where none is known."""
    if key in METRIC_LABELS:
        return key
    return next((known for known in METRIC_LABELS if key.startswith(f"{known}_")), "")


def metric_label(key: str) -> str:
    """Return the name of a score; of ``iou_class_2`` and others of a known family too."""
    if key in METRIC_LABELS:
        return METRIC_LABELS[key]
    family = _family(key)
    rest = key[len(family) :].strip("_").replace("_", " ")
    if rest.isdigit():
        rest = "background" if int(rest) == 0 else f"class {rest}"
    return f"{METRIC_LABELS[family]}, {rest}" if family else key.replace("_", " ")

"""What scores mean and what they miss, for readers who meet them for the first time."""

from __future__ import annotations

DEFINITIONS = {
    "iou": (
        "pixels marked by both network and annotation, divided by pixels marked by either "
        "(intersection over union), averaged over the foreground classes. 1 is perfect. It does not "
        "tell whether touching objects are kept apart."
    ),
    "dice": (
        "twice the shared pixels, divided by the sum of both areas. It ranks an image as IoU does, "
        "and is never the lower number."
    ),
    "precision": (
        "share of what the network marked (pixels, or objects matched at an IoU of 0.5) that is right. A low "
        "one means that it marks too much."
    ),
    "recall": (
        "share of what is annotated (pixels, or objects matched at an IoU of 0.5) that the network found. A "
        "low one means that it misses structures."
    ),
    "psnr": (
        "peak signal-to-noise ratio, 10 log10(range² / mean squared error), in dB. It hardly notices blur."
    ),
    "ssim": "structural similarity of small windows (Wang et al. 2004). 1 is perfect.",
    "nrmse": "root of the mean squared error, divided by the range of the truth. 0 is perfect.",
    "pearson_r": "Pearson correlation of the pixels. It is blind to offset and gain.",
    "ap50": (
        "matched objects divided by matched, missed and invented ones; a match has an IoU of at least 0.5."
    ),
    "ap70": (
        "matched objects divided by matched, missed and invented ones; a match has an IoU of at least 0.7."
    ),
    "f1_50": "harmonic mean of precision and recall of objects; a match has an IoU of at least 0.5.",
    "pq": "panoptic quality, the mean IoU of matched objects times their F1.",
    "mean_iou": "mean IoU of matched objects with their partners. It does not see missed or invented ones.",
    "count_bias": (
        "number of objects found, divided by the true number, minus 1: 0.1 is a tenth too many. Missed and "
        "invented objects cancel in it."
    ),
    "size_bias": (
        "mean size of the objects found, divided by the true mean size, minus 1: 0.1 is a tenth too large."
    ),
    "map50": "mean over classes of the average precision of boxes; a match has an IoU of at least 0.5.",
    "map50_95": "mean over classes of the average precision of boxes, averaged over IoU from 0.5 to 0.95.",
    "jaccard": "matched localisations divided by matched, missed and invented ones.",
    "rmse_nm": "root mean squared distance of matched localisations, in nanometres.",
    "frc_nm": "resolution at which the Fourier ring correlation falls to 1/7, in nanometres.",
    "cycle_error": "mean absolute difference between an image and its translation there and back.",
    "feature_distance": "distance between the distributions of image features of translated and real images.",
}
"""Key of summary.json -> definition."""

LOSSES = {
    "cross-entropy": "the cross-entropy",
    "dice": "the Dice loss",
    "cross-entropy + dice": "the sum of cross-entropy and Dice loss",
    "focal": "the focal loss",
}
OPTIMISERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "stochastic gradient descent", "rmsprop": "RMSprop"}
SCHEDULES = {
    "cosine": "falling along a cosine to zero",
    "plateau": "halved when the validation loss stopped falling",
    "linear": "falling linearly",
    "constant": "constant",
}
TASKS = {
    "segment": "semantic segmentation",
    "instances": "instance segmentation",
    "restore": "image restoration",
    "detect": "object detection",
    "localise": "single-molecule localisation",
    "translate": "image-to-image translation",
}
BACKENDS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "tensorflow-cpu": "TensorFlow"}

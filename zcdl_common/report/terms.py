"""What scores mean and what they miss, for readers who meet them for the first time."""

from __future__ import annotations

_RESOLUTION = (
    "size of the finest detail that stands out from the noise (decorrelation analysis), in {}. It needs no "
    "truth and so cannot tell true detail from invented; sharpening lowers it, and noise that is alike in "
    "neighbouring pixels counts as detail."
)

FIT = "a fit of the result's brightness and contrast (a gain of at least 0, and an offset) to the truth"
"""What comes before the scores in `FITTED`; see `metrics.images`."""
FITTED = frozenset({"psnr", "ssim", "nrmse"})
_AFTER = f"It is taken after {FIT}."
_RANGE = "range of the truth from its percentile 0.1 to 99.9"

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
        "share of what the network marked (pixels, objects matched at an IoU of 0.5, or positions matched "
        "within 250 nm) that is right. A low one means that it marks too much."
    ),
    "recall": (
        "share of what is annotated (pixels, objects matched at an IoU of 0.5, or positions matched within "
        "250 nm) that the network found. A low one means that it misses structures."
    ),
    "psnr": (
        f"peak signal-to-noise ratio, 10 log10(range² / mean squared error), in dB, with the {_RANGE}. "
        f"{_AFTER} It hardly notices blur."
    ),
    "ssim": f"structural similarity of small windows (Wang et al. 2004). {_AFTER} 1 is perfect.",
    "nrmse": f"root of the mean squared error, divided by the range of the truth. {_AFTER} 0 is perfect.",
    "pearson_r": "Pearson correlation of the pixels. It is blind to offset and gain of the whole image.",
    "gain": (
        "factor by which the brightness of the result (above its offset) must be multiplied to fit the truth "
        "best, at least 0. 1 is right; larger ones mean a result too dim, smaller ones a result too bright "
        "or with much that is not in the truth."
    ),
    "pearson_r_limit": (
        "Pearson correlation that a perfect prediction would reach, for the noise in the target image: the "
        "square root of the share of its variance that is alike in neighbouring pixels."
    ),
    "disagreement": (
        "how much the predicted image changes as its source is turned and mirrored (root mean square), in "
        "standard deviations of the predicted image. 0 is steady; a steady answer can still be wrong."
    ),
    "resolution_px": _RESOLUTION.format("pixels"),
    "resolution_nm": _RESOLUTION.format("nanometres"),
    "unsupported_percent": (
        "share of the pixels in which the restored image shows structure that the noisy image does not "
        "support, or lacks structure that it holds. It needs no truth, and it misses detail that was "
        "invented below the noise."
    ),
    "residual_mean": (
        "mean of what was removed (noisy minus denoised image), in parts of its standard deviation. Not 0 "
        "where the brightness was changed."
    ),
    "residual_structure": (
        "covariance of what was removed with the denoised image, both smoothed by 1, 2 or 4 pixels, "
        "whichever shows most, beyond what noise alone would have; 1 is structure as strong as the noise "
        "that the smoothing leaves. Not 0 where structure was removed along with the noise."
    ),
    "residual_correlation": (
        "largest positive correlation of what was removed with itself, moved by up to 5 pixels (2 in "
        "volumes). Not 0 where structure was removed, or where neighbours share the noise itself."
    ),
    "residual_coarse": (
        "variance of what was removed after smoothing by 1, 2 or 4 pixels, in parts of what white noise "
        "would keep. Above 1.5 where many neighbours are alike, each pair ever so little; below 1 after most "
        "denoisers, which take the finest noise first."
    ),
    "residual_white": (
        "share of these displacements at which the correlation is no larger than that of white noise would "
        "be: 0.95 for white noise. Every denoiser follows the noise of neighbours a little, which makes them "
        "slightly unlike, and large images show the slightest correlation."
    ),
    "ap50": (
        "matched objects divided by matched, missed and invented ones; a match has an IoU (intersection over "
        "union: pixels that both objects share, divided by the pixels of either) of at least 0.5."
    ),
    "ap70": (
        "matched objects divided by matched, missed and invented ones; a match has an IoU of at least 0.7."
    ),
    "f1_50": "harmonic mean of precision and recall of objects; a match has an IoU of at least 0.5.",
    "pq": "mean IoU of matched objects times the F1 at an IoU of 0.5.",
    "mean_iou": "mean IoU of matched objects with their partners. It does not see missed or invented ones.",
    "count_bias": (
        "number of objects found, divided by the true number, minus 1: 0.1 is a tenth too many. Missed and "
        "invented objects cancel in it."
    ),
    "count_off": (
        "boxes found minus true ones, mean over images, at the threshold in use. Missed and invented objects "
        "cancel in it."
    ),
    "size_bias": (
        "mean size of the objects found, divided by the true mean size, minus 1: 0.1 is a tenth too large."
    ),
    "map50": (
        "mean over classes of the average precision of boxes: the area under the curve of precision over "
        "recall, from the surest box to the least sure; a match has an IoU of at least 0.5. It belongs to "
        "all images together, and does not say how many boxes are wrong at the threshold in use."
    ),
    "map50_95": (
        "mean over classes of the average precision of boxes, averaged over ten least IoUs of a match from "
        "0.5 to 0.95: it asks for tight boxes."
    ),
    "jaccard": (
        "matched localisations divided by matched, missed and invented ones; a match lies within 250 nm. "
        "Where molecules are dense many match by chance: at 6 a square micrometre random points alone reach "
        "more than 0.3."
    ),
    "jaccard_100": "Jaccard index of localisations matched within 100 nm, of which few are chance.",
    "jaccard_50": "Jaccard index of localisations matched within 50 nm, of which hardly any is chance.",
    "rmse_nm": (
        "root mean squared distance of localisations matched within 250 nm, in nanometres. It does not see "
        "missed or invented ones."
    ),
    "shift_y_nm": (
        "mean of found minus true position along Y, of matches within 250 nm. Half a camera pixel is a table "
        "that counts pixels otherwise."
    ),
    "shift_x_nm": "mean of found minus true position along X, of matches within 250 nm.",
    "frc_nm": "resolution at which the Fourier ring correlation falls to 1/7, in nanometres.",
    "cycle_error": (
        "root mean squared difference between an image and its translation there and back, in parts of the "
        "brightness range of such images. 0 is nothing lost; a network can hide in its result what the way "
        "back needs."
    ),
    "feature_distance": (
        "how unlike the real images of the other kind a translated image looks (texture and brightness at "
        "several scales), in distances of real images among each other: 1 is like a real one. It does not "
        "see whether the image shows what its source shows."
    ),
    "set_distance": (
        "how unlike the translated and the real images are as two sets (energy distance of their features): "
        "0 alike, 1 nothing in common. It sees what single images do not: results that are all the same."
    ),
    "intensity_distance": (
        "how far the brightness of the pixels would have to move to be distributed as in the real images "
        "(Wasserstein distance), in their standard deviations."
    ),
}
"""Key of summary.json -> definition."""

LOSSES = {
    "cross-entropy": "the cross-entropy",
    "dice": "the Dice loss",
    "cross-entropy + dice": "the sum of cross-entropy and Dice loss",
    "focal": "the focal loss",
    "mae": "the mean absolute error",
    "mse": "the mean squared error",
    "laplace": "the negative log-likelihood of a Laplace distribution at each pixel",
}
OPTIMISERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "stochastic gradient descent", "rmsprop": "RMSprop"}
SCHEDULES = {
    "cosine": "falling along a cosine to a hundredth of it",
    "plateau": "halved when the validation loss stopped falling",
    "linear": "constant, then falling linearly to zero in the second half",
    "constant": "constant",
}
TASKS = {
    "segment": "semantic segmentation",
    "instances": "instance segmentation",
    "restore": "image restoration",
    "denoise": "denoising without clean images",
    "detect": "object detection",
    "localise": "single-molecule localisation",
    "translate": "image-to-image translation",
    "unpaired": "image-to-image translation without pairs",
}
BACKENDS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "tensorflow-cpu": "TensorFlow"}

"""The one condition that all scores share."""

from zcdl_common.errors import DataError
from zcdl_common.task import Array


def same_shape(truth: Array, prediction: Array) -> None:
    """Raise a `DataError` where `truth` and `prediction` cannot be of one image."""
    if truth.shape != prediction.shape:
        raise DataError(
            f"The truth has shape {truth.shape}, the prediction {prediction.shape}. Both must be of the same "
            "image: compare files of equal size and channels."
        )

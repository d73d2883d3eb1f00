"""Images that are there twice, inside the set or on both sides of the test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.doctor.findings import Finding, counted
from zcdl_common.task import Array

_SIDE = 32
ALIKE = 0.8
"""Correlation of two thumbnails from which images count as nearly the same.

Frames of a movie reach 0.9; neighbouring sections of tissue 0.6; other fields of one slide stay below 0.5.
"""


@dataclass(frozen=True)
class Print:
    """Fingerprints of one image."""

    file: str
    group: str
    test: bool
    digest: str
    """SHA-256 of the pixels, of their shape and type; file names and compression do not matter."""
    thumbnail: Array | None
    """(32, 32) float32 of mean 0 and length 1; None for images without structure."""


def digest(image: Array) -> str:
    """SHA-256 of shape, type and pixels."""
    kind = f"{image.shape} {image.dtype.str}".encode()
    return hashlib.sha256(kind + np.ascontiguousarray(image).tobytes()).hexdigest()


def thumbnail(image: Array) -> Array | None:
    """Fine structure of an image (Z)YXC in 32 x 32 numbers of mean 0 and length 1.

    The smooth part is taken out, since uneven illumination makes all images of one microscope
    alike; a root tames single bright spots. None where nothing is left.
    """
    from scipy import ndimage

    grey = np.nan_to_num(image.astype(np.float32)).mean(axis=-1)
    grey = grey.mean(axis=0) if grey.ndim == 3 else grey
    if min(grey.shape) < _SIDE:
        return None
    rows, columns = (np.linspace(0, n, _SIDE + 1).astype(int)[:-1] for n in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    area = np.outer(np.diff([*rows, grey.shape[0]]), np.diff([*columns, grey.shape[1]]))
    small = sums / area
    fine = small - ndimage.gaussian_filter(small, 4, mode="reflect")
    fine = np.sign(fine) * np.sqrt(np.abs(fine))
    fine -= fine.mean()
    length = float(np.linalg.norm(fine))
    spread = float(np.ptp(grey))
    if spread == 0 or length < 1e-6 * spread:
        return None
    return np.asarray(fine / length, dtype=np.float32)


def near_pairs(thumbnails: Array) -> dict[tuple[int, int], str]:
    """Pairs (i, j), i < j, of thumbnails (N, 32, 32) that agree, and how one has to be turned.

    Each is compared with the eight turned and mirrored forms of every other.
    """
    flat = thumbnails.reshape(len(thumbnails), -1)
    found: dict[tuple[int, int], str] = {}
    for turns in range(4):
        for mirrored in (False, True):
            turned = np.rot90(thumbnails[..., ::-1] if mirrored else thumbnails, turns, axes=(1, 2))
            alike = np.argwhere(np.triu(flat @ turned.reshape(len(flat), -1).T > ALIKE, 1))
            how = " ".join(filter(None, ("mirrored" * mirrored, f"turned by {90 * turns}°" * bool(turns))))
            for i, j in alike:
                found.setdefault((int(i), int(j)), how)
    return found


def check_duplicates(prints: Sequence[Print], *, separate_test: bool) -> Iterator[Finding]:
    """Equal and nearly equal images.

    Parameters
    ----------
    prints : sequence of Print
        Of training and test images. Images of one group (movie, stack) may resemble each other:
        groups are never divided.
    separate_test : bool
        Whether the user named a test folder. If not, test images are drawn from the same ones,
        and twins can end on both sides.
    """
    copies = _copies(prints)
    if same := sum(_one_file(one, other) for one, other in copies):
        yield _test_is_training(same)
    for one, other in copies:
        if not _one_file(one, other):
            yield _equal(one, other, separate_test)
    known = {frozenset((a.file, b.file)) for a, b in copies}
    usable = [p for p in prints if p.thumbnail is not None]
    if len(usable) < 2:
        return
    for (i, j), how in near_pairs(np.stack([p.thumbnail for p in usable if p.thumbnail is not None])).items():
        one, other = usable[i], usable[j]
        if frozenset((one.file, other.file)) in known or one.digest == other.digest:
            continue
        if one.test != other.test or (one.group != other.group and not one.test):
            yield _near(one, other, how, separate_test)


def _copies(prints: Sequence[Print]) -> list[tuple[Print, Print]]:
    """Each image with the first one of equal pixels; a training image is first before a test image."""
    first: dict[str, Print] = {}
    pairs = []
    for one in sorted(prints, key=lambda p: p.test):
        if one.digest in first:
            pairs.append((first[one.digest], one))
        else:
            first[one.digest] = one
    return pairs


def _one_file(one: Print, other: Print) -> bool:
    return one.test != other.test and os.path.realpath(one.file) == os.path.realpath(other.file)


def _test_is_training(number: int) -> Finding:
    return Finding(
        "error",
        "test-images-are-training-images",
        (),
        f"test_source is the training folder, or holds {counted(number, 'file')} of it: the test would "
        "praise the network for what it has learnt by heart.",
        "Name a folder of other images under test_source, or leave it empty so that some images are set "
        "aside for the test.",
    )


def _equal(one: Print, other: Print, separate_test: bool) -> Finding:
    files = (one.file, other.file)
    if one.test != other.test:
        return Finding(
            "error",
            "test-image-in-training",
            files,
            "a training image and a test image have the same pixels: the test would praise the network "
            "for what it has learnt by heart.",
            "Take the copy out of the test folder, which must hold images that are nowhere else.",
        )
    return Finding(
        "warning",
        "same-image-twice",
        files,
        "two files have the same pixels"
        + ("." if separate_test or one.test else ": one may be trained on and the other tested on."),
        "Take one of them out of the folder.",
    )


def _near(one: Print, other: Print, how: str, separate_test: bool) -> Finding:
    across = one.test != other.test
    alike = f"the second is almost the first {how}" if how else "the two look almost the same"
    harm = (
        "one is a test image, so the scores will flatter."
        if across
        else "if one is tested or validated on and the other trained on, the scores flatter."
    )
    return Finding(
        "warning" if across or not separate_test else "note",
        "almost-the-same-image",
        (one.file, other.file),
        f"{alike} (neighbouring frames, planes or overlapping fields?): {harm}",
        "Delete augmented copies (this notebook makes its own). Keep on one side what was recorded together: "
        "set group_by to what the names of one recording share, or move files between your folders.",
    )

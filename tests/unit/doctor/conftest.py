"""Pairs of images and masks on disk."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common.images import ImageRef
from zcdl_common.task import Sample


def draw_cells(seed, shape=(96, 96)):
    """Image uint16 and labels uint16 (Y, X)."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(shape), 5)
    labels = ndimage.label(smooth > np.percentile(smooth, 80))[0].astype(np.uint16)
    image = 200 + 800 * ndimage.gaussian_filter((labels > 0).astype(float), 1) + rng.normal(0, 20, shape)
    return image.astype(np.uint16), labels


class Pairs:
    """Pairs on disk, and the samples they make."""

    def __init__(self, path: Path, n=6, kind="binary", first=0):
        self.path, self.samples = path, []
        for i in range(first, first + n):
            image, labels = draw_cells(i)
            self.add(
                f"cell_{i}.tif", image, labels if kind == "labels" else (labels > 0).astype(np.uint8) * 255
            )

    def add(self, name, image, target=None, axes=""):
        refs = []
        for side, pixels in (("images", image), ("masks", target)):
            path = self.path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(pixels, bytes):
                path.write_bytes(pixels)
            elif pixels is not None:
                extra = (
                    {"photometric": "rgb"} if pixels.shape[-1] == 3 else {"metadata": {"axes": axes or "YX"}}
                )
                tifffile.imwrite(path, pixels, **extra)
            refs.append(ImageRef((path,)) if pixels is not None else None)
        self.samples.append(Sample(Path(name).stem, Path(name).stem, *refs))
        return self.samples[-1]


@pytest.fixture
def cells():
    return draw_cells


@pytest.fixture
def new_folder():
    return Pairs


@pytest.fixture
def folder(tmp_path):
    return Pairs(tmp_path)

"""Tiny simulated data sets, and trainings of a second that several tests share."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import networks, session
from zcdl_common.data import open_data

os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = {
    "depth": 1, "filters": 4, "epochs": 2, "patches_per_image": 2, "batch_size": 4,
    "learning_rate": 0.01, "loss": "cross-entropy",
}  # fmt: skip


def blobs(shape, seed, classes=1):
    """Noisy image uint16 and its mask uint8 with the values 0 and 255, or 0, 1, 2 ..."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    levels = np.quantile(smooth, np.linspace(0.6, 0.9, classes))
    mask = np.digitize(smooth, levels)
    image = 200 + 300 * mask + rng.normal(0, 40, shape)
    return image.clip(0).astype(np.uint16), (mask if classes > 1 else 255 * mask).astype(np.uint8)


def write_pairs(folder, n=6, shape=(48, 40), classes=1, pixel_size=None, first=0):
    """Write n images and masks below `folder`; returns the two folders."""
    source, target = folder / "images", folder / "masks"
    for part in (source, target):
        part.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        image, mask = blobs(shape, i, classes)
        write(source / f"cell_{i}.tif", image, pixel_size=pixel_size)
        write(target / f"cell_{i}.tif", mask)
    return source, target


def write(path, array, axes="", pixel_size=None):
    """Write an ImageJ TIFF with its axes."""
    axes = axes or "ZYX"[-array.ndim :]
    extra = {}
    if pixel_size:
        extra["resolution"] = (1 / pixel_size[-1], 1 / pixel_size[-2])
    spacing = {"spacing": pixel_size[0], "unit": "micron"} if pixel_size and len(pixel_size) == 3 else {}
    unit = {"unit": "micron"} if pixel_size else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes, **unit, **spacing}, **extra)
    return path


def begin(folder, results=None, **params):
    """From folders to a run that is not trained yet."""
    network = networks.get("unet")
    named = {"source": str(folder / "images"), "target": str(folder / "masks"), "name": "run"}
    config = network.Config.parse({**named, "results": str(results or folder / "runs"), **TINY, **params})
    data = open_data(config, network)
    return session.begin(session.prepare(network, config, data)), data


def train(folder, results=None, **params):
    """From folders to a trained run."""
    run, data = begin(folder, results, **params)
    session.train(run, data)
    return run, data


@pytest.fixture(scope="session")
def make():
    """The helpers of this file, since test files do not import each other."""
    return SimpleNamespace(
        blobs=blobs, pairs=write_pairs, write=write, begin=begin, train=train, tiny=dict(TINY)
    )


@pytest.fixture(scope="session")
def images_2d(tmp_path_factory):
    """Folder with images/ and masks/: six 2D images with one class. Read only."""
    folder = tmp_path_factory.mktemp("images_2d")
    write_pairs(folder)
    return folder


@pytest.fixture(scope="session")
def finished(images_2d, tmp_path_factory):
    """A trained run on `images_2d`. Read only; `trained` gives a copy."""
    run, _ = train(images_2d, tmp_path_factory.mktemp("finished"))
    return run


@pytest.fixture
def trained(finished, tmp_path):
    """A trained run of one's own, to judge, predict and change."""
    from zcdl_common.run import open_run

    shutil.copytree(finished.folder, tmp_path / "runs" / "run")
    return open_run(tmp_path / "runs" / "run").using(results=str(tmp_path / "runs"))


@pytest.fixture(scope="session")
def finished_3d(tmp_path_factory):
    """A trained run on anisotropic volumes (8, 32, 32) of 1 x 0.25 x 0.25 µm."""
    folder = tmp_path_factory.mktemp("images_3d")
    write_pairs(folder, 4, (8, 32, 32), pixel_size=(1.0, 0.25, 0.25))
    run, _ = train(folder, depth=2, patch_size="8, 16, 16")
    return run


@pytest.fixture(scope="session")
def samples_2d(images_2d):
    """Prepared training samples of `images_2d` with the facts: what a model learns from."""
    network = networks.get("unet")
    config = network.Config.parse(
        {"source": str(images_2d / "images"), "target": str(images_2d / "masks"), **TINY}
    )
    return session.prepare(network, config, open_data(config, network))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(tmp_path)

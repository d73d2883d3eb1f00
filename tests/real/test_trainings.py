"""Trainings on real images: short ones in every test run, long ones with a table by ``make real``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.samples.translate import WAVELENGTH, brightfield

MEMBRANES = "unet2d/isbi2012_membranes"
NUCLEI = "unet2d/dsb2018_nuclei_binary"
EMBRYOS = "unet3d/bbbc050_nuclei"
CELLS = "care2d/hagen2021_bpae"
BACTERIA = "pix2pix/ecoli_bf_to_fluo"
STAINS = "pix2pix/hagen2021_actin_to_mito"
TISSUE = "cyclegan/dsb2018_histology_fluorescence"
NEURONS = "fnet/isl_phase_to_fluo"
BLOOD = "yolo/bccd"
TUBES = "deepstorm/bundled_tubes_hd_sim"
EMITTERS = "deepstorm/random_emitters_sim"


def pairs(folder):
    """Parameters of a folder with train/ and test/, each with source/ and, where it has one, target/."""
    found = {
        "source": folder / "train" / "source",
        "target": folder / "train" / "target",
        "test_source": folder / "test" / "source",
        "test_target": folder / "test" / "target",
    }
    return {name: str(path) for name, path in found.items() if path.is_dir()}


def spoiled(folder, made, kind, spoil, axes):
    """A copy of a data set whose `kind` (source or target) is clean; `spoil` makes the poor ones."""
    for role in ("train", "test"):
        for name in ("source", "target"):
            (made / role / name).mkdir(parents=True)
        for i, path in enumerate(sorted((folder / role / kind).glob("*.tif"))):
            clean = tifffile.imread(path).astype(np.float32)
            poor = spoil(np.random.default_rng([i, role == "test"]), clean).astype(np.float32)
            for name, image in (("source", poor), ("target", clean)):
                tifffile.imwrite(made / role / name / path.name, image, imagej=True, metadata={"axes": axes})
    return pairs(made)


def dim(rng, image):
    """Few photons: 10 where the image is bright, and a camera that adds noise of one photon."""
    photons = 10 * np.clip(image - image.min(), 0, None) / (np.percentile(image, 99.8) - image.min())
    return rng.poisson(photons) + rng.normal(0, 1, image.shape) + 100


def transmitted(rng, image):
    """Bright field computed from a real stack of stained nuclei: what is bright delays the light."""
    dense = ndimage.gaussian_filter(image, (0.5, 1.0, 1.0))
    dense = np.clip((dense - np.median(dense)) / np.percentile(dense - np.median(dense), 99.5), 0, 1.5)
    phase = 2 * np.pi / WAVELENGTH * 0.006 * dense * VOXEL[0]
    plane = np.arange(len(image)) * VOXEL[0]
    light = brightfield(phase, plane[:, None] - plane, VOXEL[1:])
    return rng.poisson(10_000 * light.clip(0, 3)).astype(np.float32)


def noisy(rng, image):
    """White Gaussian noise of a tenth of the range of 8 bit."""
    return image + rng.normal(0, 25, image.shape)


def train(name, images, results, **params):
    """Train, judge and return the summary of a run on the folders `images`."""
    network = networks.get(name)
    config = network.Config.parse({**images, "results": str(results), "name": name, **params})
    data = open_data(config, network)
    run = session.begin(session.prepare(network, config, data))
    session.train(run, data)
    summary = session.judge(run, say=lambda text: None)
    session.report(run)
    return run, summary


def mean(summary, metric, method="network"):
    return (summary["metrics"][metric][method] or {"mean": float("nan")})["mean"]


@pytest.mark.real
def test_half_a_minute_of_unet_finds_real_nuclei(real_data, tmp_path):
    run, summary = train("unet", pairs(real_data / NUCLEI), tmp_path, time_budget_minutes=0.5)
    assert mean(summary, "iou") > 0.88, run.history()[-1]
    assert json.loads((run.quality_control / "summary.json").read_text())["n_images"] == 6


METHODS = ("network", "classical")
TRANSLATED = ("pearson_r", "psnr", "ssim", "nrmse")
VOXEL = (0.8, 0.4, 0.4)
"""Assumed size (Z, Y, X) in micrometres where light is computed."""
JACCARD = ("jaccard", "jaccard_100", "jaccard_50")
RESIDUAL = ("residual_white", "residual_structure", "residual_correlation", "residual_coarse")


def beats(summary, *metrics, rivals=("classical",)):
    """Whether the network is better than its rivals in the mean of all these scores."""
    return all(mean(summary, m) > mean(summary, m, rival) for m in metrics for rival in rivals)


class Case(NamedTuple):
    """A training of minutes: what it learns from, and what its summary must show."""

    network: str
    title: str
    images: Callable[[Path, Path], dict[str, str]]
    """``(real images, empty folder) -> parameters``."""
    minutes: float
    shows: Callable[[dict], bool]
    shown: tuple[str, ...]
    """Scores that go into the table."""
    axes: str = ""


def at(folder):
    return lambda real, made: pairs(real / folder)


def dim_embryos(real, made):
    return spoiled(real / EMBRYOS, made, "source", dim, "ZYX")


def noisy_cells(real, made):
    return spoiled(real / CELLS, made, "target", noisy, "YX")


def embryos_in_light(real, made):
    return spoiled(real / EMBRYOS, made, "source", transmitted, "ZYX")


def three_stains(real, made):
    """A focus stack of phase contrast, whose planes are channels, and the plane of three stains."""
    folder = real / NEURONS
    stains = ("target_dapi", "target_map2", "target_nfh")
    named = {"source": str(folder / "train" / "source"), "test_source": str(folder / "test" / "source")}
    for role, name in (("train", "target"), ("test", "test_target")):
        named[name] = ";".join(str(folder / role / stain) for stain in stains)
    return named


def blood(annotations):
    """Blood cells in colour, with the boxes in one of the two formats; training and validation together."""

    def images(real, made):
        made.mkdir(parents=True)
        named = {}
        for role, parts in (("", ("train", "val")), ("test_", ("test",))):
            for name, part in (("source", "images"), ("target", annotations)):
                folder = made / f"{role}{name}"
                folder.mkdir()
                for path in (path for p in parts for path in (real / BLOOD / part / p).iterdir()):
                    (folder / path.name).symlink_to(path)
                if annotations == "labels_yolo" and name == "target":
                    (folder / "classes.txt").symlink_to(real / BLOOD / "classes.txt")
                named[f"{role}{name}"] = str(folder)
        return named

    return images


def molecules(folder):
    """Crowded frames of an EMCCD, with its offset and gain, and the true positions."""

    def movies(real, made):
        named = {"source": "frames.tif", "target": "ground_truth.csv"}
        camera = {"camera": "emccd", "camera_offset": 98, "camera_gain": 48.5, "pixel_size": 0.1}
        return {**{k: str(real / folder / name) for k, name in named.items()}, **camera}

    return movies


def noisy_as_they_are(folder):
    """Images without a truth."""
    return lambda real, made: {"source": str(real / folder)}


def removes_noise_alone(summary):
    """What was removed is judged to be noise; a filter may pass, too, since one that removes little does."""
    return "What the network removed looks like noise" in summary["sentence"]


def restores(summary):
    """Nearer to the truth than the classical method and than the image as it was."""
    return beats(summary, "psnr", "ssim", rivals=("classical", "input"))


def looks_real(summary):
    """Far nearer to real images than the untouched ones, one by one and as a set; the way back is found."""
    far, near = (mean(summary, "feature_distance", who) for who in ("input", "network"))
    sets = [mean(summary, "set_distance", who) for who in ("network", "input")]
    return near < far / 4 and sets[0] < sets[1] / 2 and mean(summary, "cycle_error") < 0.2


LONG = [
    Case("unet", MEMBRANES, at(MEMBRANES), 8, lambda s: mean(s, "iou") >= 0.908 and beats(s, "iou"),
         ("iou", "iou_0"), "YX"),
    # 0.942 in three digits
    Case("unet", NUCLEI, at(NUCLEI), 6, lambda s: mean(s, "iou") >= 0.9415, ("iou",), "YX"),
    Case("unet", EMBRYOS, at(EMBRYOS), 8, lambda s: mean(s, "iou") >= 0.72 and beats(s, "iou"),
         ("iou",), "ZYX"),
    Case("care", CELLS, at(CELLS), 9, restores, ("psnr", "ssim", "unsupported_percent"), "YX"),
    Case("care", "embryos, few photons", dim_embryos, 6, restores, ("psnr", "ssim")),
    Case("noise2void", "cells, known noise", noisy_cells, 6, lambda s: beats(s, "psnr"), ("psnr", "ssim")),
    Case("noise2void", "n2v2d/convallaria_noisy", noisy_as_they_are("n2v2d/convallaria_noisy"), 4,
         removes_noise_alone, RESIDUAL, "YX"),
    Case("noise2void", "n2v2d/fa_livecell_noisy", noisy_as_they_are("n2v2d/fa_livecell_noisy/train/source"),
         4, removes_noise_alone, RESIDUAL, "YX"),
    Case("noise2void", EMBRYOS, noisy_as_they_are(f"{EMBRYOS}/train/source"), 5,
         removes_noise_alone, RESIDUAL, "ZYX"),
    Case("stardist", "stardist2d/dsb2018_256", at("stardist2d/dsb2018_256"), 10,
         lambda s: beats(s, "ap50", "ap70"), ("ap50", "ap70", "f1_50", "pq"), "YX"),
    Case("stardist", "stardist3d/bbbc050_nuclei", at("stardist3d/bbbc050_nuclei"), 10,
         lambda s: beats(s, "ap50"), ("ap50", "ap70"), "ZYX"),
    Case("fnet", BACTERIA, at(BACTERIA), 9, lambda s: beats(s, "pearson_r"), TRANSLATED, "YX"),
    Case("fnet", NEURONS, three_stains, 6, lambda s: beats(s, "pearson_r"), TRANSLATED, "CYX"),
    Case("fnet", "embryos, computed bright field", embryos_in_light, 8, lambda s: beats(s, "pearson_r"),
         TRANSLATED, "ZYX"),
    Case("pix2pix", BACTERIA, at(BACTERIA), 8, lambda s: beats(s, "pearson_r"), TRANSLATED, "YX"),
    # a made image looks real and so is further from the truth than a mean of all that is possible
    Case("pix2pix", STAINS, at(STAINS), 8, lambda s: mean(s, "pearson_r") > 0.55, TRANSLATED, "YX"),
    Case("yolo", BLOOD, blood("labels_yolo"), 12, lambda s: mean(s, "map50") >= 0.75 and beats(s, "map50"),
         ("map50", "map50_95", "ap50_RBC", "ap50_WBC", "ap50_Platelets")),
    Case("yolo", "boxes of stardist2d/dsb2018_256", at("stardist2d/dsb2018_256"), 8,
         lambda s: beats(s, "map50"), ("map50", "map50_95", "f1_50"), "YX"),
    *(Case("deepstorm", name, molecules(name), 9, lambda s: beats(s, *JACCARD), (*JACCARD, "rmse_nm"), "TYX")
      for name in (TUBES, EMITTERS)),
    Case("cyclegan", TISSUE, at(TISSUE), 10, looks_real,
         ("feature_distance", "set_distance", "intensity_distance", "cycle_error"), "YX"),
]  # fmt: skip


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", LONG, ids=[f"{c.network}: {c.title}" for c in LONG])
def test_minutes_of_training_on_real_images(case, real_data, tmp_path, table):
    images = case.images(real_data, tmp_path / "images")
    run, summary = train(case.network, images, tmp_path, time_budget_minutes=case.minutes, axes=case.axes)
    seconds = sum(row["seconds"] for row in run.history())
    for metric in case.shown:
        name, scores = f"{case.network}: {case.title}", [mean(summary, metric, m) for m in METHODS]
        table.append(
            (name, metric, *scores, summary["classical"], summary["verdict"], len(run.history()), seconds)
        )
    assert case.shows(summary)

"""StarDist with weights, on the stardist package."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common import stardistances
from zcdl_common.augment import augment
from zcdl_common.models import _keras, _keras_export
from zcdl_common.network import Geometry, Map, Packed, WeightsFiles
from zcdl_common.networks.stardist import RESIDUAL_BLOCKS, StarDistConfig, field_of_view, multiple
from zcdl_common.patches import centre, cut
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample
from zcdl_common.thresholds import CANDIDATES, lowest_threshold

TRIES = 30
"""Places that are drawn for a patch that is to show an object."""


class StarDistModel(_keras.KerasModel):
    """See `zcdl_common.network.Model`.

    Two maps, on the grid: the probability of an object (B, (Z)YX, 1), and the distances from there to its
    border along the rays (B, (Z)YX, rays), in pixels.

    References
    ----------
    Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30; Weigert et al. 2020,
    doi:10.1109/WACV45572.2020.9093435.
    """

    targets = ("probability", "distances")

    def __init__(self, config: StarDistConfig, facts: Facts):
        self.config, self.facts = config, facts
        _keras.seed(config.seed)
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of thresholds that are not used
            self.library = build(config, facts)
        layers = self.library.keras_model.layers
        _keras.freeze(
            {
                "nothing": [],
                "encoder": [x for x in layers if x.name.startswith(("conv", "down_level", "middle"))],
                "all but the last layer": [x for x in layers if x.name not in ("prob", "dist")],
            }[config.freeze]
        )
        self.library.prepare_for_training()
        super().__init__(self.library.keras_model, config.batch_size)
        self.grid = tuple(config.grid)
        self.rays = rays_of(self.library) if facts.ndim == 3 else None
        self.changes = config.augmentation()
        self.geometry = Geometry(multiple(self.grid, config.depth), field_of_view(self.grid, config.depth))
        self.maps = (
            Map("probability", ("probability",), "how sure it is that an object is here", (0.0, 1.0)),
            Map("distances", _rays(config.n_rays), "pixels to the border of that object, along each ray"),
        )
        # on a CPU the network itself needs all cores
        self.threads = 1 if facts.device == "cpu" else min(config.batch_size, os.cpu_count() or 1)

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random augmented patches float32 (B, (Z)YXC), with what is learned of them on the grid.

        ``probability`` is (B, (Z)YX, 1); ``distances`` (B, (Z)YX, rays + 1), the last channel being the
        weight of each point, which is the probability.
        """
        chosen = [samples[rng.integers(len(samples))] for _ in range(self.config.batch_size)]
        jobs = (chosen, rng.spawn(len(chosen)))  # a stream each: threads cannot mix them up
        if self.threads > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                made = list(pool.map(self.learned, *jobs))
        else:
            made = list(map(self.learned, *jobs))
        source, probability, distances = (np.stack(part) for part in zip(*made, strict=True))
        return {"source": source, "probability": probability, "distances": distances}

    def learned(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """A patch, and what is learned of it."""
        source, labels = self.patch(sample, rng)
        return source, *self.answers(labels)

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch of one image and its labels, augmented where that is asked for."""
        shown = rng.random() < self.config.foreground_patches
        source, labels = cut(
            sample.source.read(),
            sample.target.read(),
            self.config.patch_size,
            rng,
            wanted=(lambda part: bool((part > 0).any())) if shown else None,
            tries=TRIES,
        )
        return augment(source, labels, rng, self.changes) if self.config.augment else (source, labels)

    def answers(self, labels: Array) -> tuple[Array, Array]:
        """What the network should say of labels int32 (Z)YX: probability, and distances with their weight."""
        labels = _numbered(labels)
        points = tuple(slice(None, None, g) for g in self.grid)
        if labels.ndim == 2:  # stardist measures the depth on the grid in 2D, and on all voxels in 3D
            probability = stardistances.object_probability(labels[points])
            rays = stardistances.rays_2d(self.config.n_rays, labels.shape)
        else:
            probability = stardistances.object_probability(labels, self.config.anisotropy)[points]
            rays = stardistances.rays_3d(self.rays.vertices, labels.shape)
        distances = stardistances.star_distances(labels, rays, self.grid)
        return probability[..., None], np.concatenate([distances, probability[..., None]], axis=-1)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss over the middle of each validation image."""
        from zcdl_common.tiles import predict_whole

        size = _keras.VALIDATE_AT_MOST[self.facts.ndim]
        losses = []
        for sample in samples:
            source, labels = centre(sample.source.read(), size), centre(sample.target.read(), size)
            found = predict_whole(self.forward, source, self.geometry)
            true = self.answers(labels)
            losses.append(self.loss(*([array[None] for array in arrays] for arrays in (true, found))))
        return {"val_loss": float(np.mean(losses))}

    # -- prediction -------------------------------------------------------------------------------

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Maps of an image -> label image int32 (Z)YX, with a row for each object in its extras.

        ``settings`` holds ``prob_thresh`` and ``nms_thresh``, and under ``shape`` the size (Z)YX of the
        image, where it is no multiple of the grid; ``preview`` bounds the time that it may take. Object
        ``n`` is the row ``n - 1`` of ``points`` float32 (N, (Z)YX) in pixels, ``scores`` float32 (N,) and
        ``distances`` float32 (N, rays); objects that others cover wholly are left out.
        """
        from zcdl_common.models import _polygons

        probability, distances = maps[0][..., 0], np.maximum(maps[1], LEAST_DISTANCE)
        whole = tuple(n * g for n, g in zip(probability.shape, self.grid, strict=True))
        shape = tuple(settings.get("shape") or whole)
        least = settings["prob_thresh"]
        if settings.get("preview"):  # in the beginning the network is half sure of an object everywhere
            least = max(least, lowest_threshold(probability, CANDIDATES[self.facts.ndim] // 3))
        return _polygons.objects(
            probability, distances, self.grid, shape, least, settings["nms_thresh"], self.rays
        )

    # -- weights ----------------------------------------------------------------------------------

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """HDF5, SavedModel and ONNX with one output of the size of the image, as StarDist's readers want."""
        return _keras_export.convert(joined(self.net, self.grid), folder, ("raw", "output"))

    def packed(self, folder: Path, settings: Mapping[str, Any]) -> Packed:
        """The package's one output, and what Fiji and the stardist package need to go on from it."""
        whole = joined(self.net, self.grid)
        weights = folder / "stardist_weights.h5"
        self.net.save_weights(weights)
        thresholds = {"prob": settings["prob_thresh"], "nms": settings["nms_thresh"]}
        config = {k: v for k, v in vars(self.library.config).items() if not k.startswith("_")}
        record = {
            "python_version": _version(),
            "thresholds": thresholds,
            "weights": weights.name,
            "config": json.loads(json.dumps(config)),
        }
        files = {"stardist_config.json": record["config"], "stardist_thresholds.json": thresholds}
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        meaning = (
            "probability of an object, not 0 on the grid alone, and the distances to its border in pixels"
        )
        return Packed(
            maps=(Map("output", ("probability", *_rays(self.config.n_rays)), meaning),),
            forward=lambda tiles: (np.asarray(whole(tiles, training=False)),),
            config={"stardist": record},
            attachments=(weights, *(folder / name for name in files)),
        )


LEAST_DISTANCE = 1e-3
"""As in stardist: outlines of no size at all have no inside to draw."""


def _rays(n: int) -> tuple[str, ...]:
    return tuple(f"distance_{i}" for i in range(n))


def _numbered(labels: Array) -> Array:
    """Labels as int32; renumbered where their numbers are larger than there can be objects in a patch."""
    if labels.size and labels.max() >= 2**16:
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + (labels.min() > 0)
    return np.ascontiguousarray(labels, np.int32)


def _version() -> str:
    from importlib.metadata import version

    return version("stardist")


def rays_of(library: Any) -> Any:
    """Rays of a 3D model."""
    from stardist import rays_from_json

    return rays_from_json(library.config.rays_json)


def build(config: StarDistConfig, facts: Facts) -> Any:
    """The untrained model of the stardist package."""
    from stardist import Rays_GoldenSpiral
    from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D

    kind = "unet" if config.depth else "resnet"
    common = {
        "n_channel_in": len(facts.channels),
        "grid": tuple(config.grid),
        f"{kind}_n_filter_base": config.filters,
        f"net_conv_after_{kind}": 4 * config.filters,  # 128 after 32, as in the publications
        **({"unet_n_depth": config.depth} if config.depth else {"resnet_n_blocks": RESIDUAL_BLOCKS}),
        "train_patch_size": tuple(config.patch_size),
        "train_batch_size": config.batch_size,
        "train_learning_rate": config.learning_rate,
        "train_foreground_only": config.foreground_patches,
        "train_dist_loss": config.distance_loss,
        "train_loss_weights": (1.0, config.distance_weight),
        "train_reduce_lr": None,
    }
    if facts.ndim == 2:
        return StarDist2D(Config2D("YX", n_rays=config.n_rays, **common), basedir=None)
    flatness = tuple(config.anisotropy)
    rays = Rays_GoldenSpiral(config.n_rays, anisotropy=flatness)
    return StarDist3D(Config3D("ZYX", rays=rays, anisotropy=flatness, backbone=kind, **common), basedir=None)


def joined(net: Any, grid: tuple[int, ...]) -> Any:
    """The network with one output of the size of its input: probability, then distances.

    Between the points of the grid the probability is 0, so that no reader takes a point twice.
    """
    layers = _keras.tf.keras.layers
    ndim = len(grid)
    probability, distances = net.outputs
    if max(grid) > 1:
        spread, repeat = (
            (layers.Conv2DTranspose, layers.UpSampling2D)
            if ndim == 2
            else (layers.Conv3DTranspose, layers.UpSampling3D)
        )
        probability = spread(
            1, (1,) * ndim, grid, padding="same", kernel_initializer="ones", use_bias=False, name="grid"
        )(probability)
        distances = repeat(grid)(distances)
    return _keras.tf.keras.Model(net.inputs[0], layers.Concatenate()([probability, distances]))

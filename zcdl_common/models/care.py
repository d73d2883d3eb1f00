"""CARE with weights, on csbdeep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common import restoring
from zcdl_common.augment import augment
from zcdl_common.models import _keras, _keras_export
from zcdl_common.network import Geometry, Map, WeightsFiles
from zcdl_common.networks.care import CareConfig
from zcdl_common.patches import centre, cut
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample

ANYWHERE = 0.1
"""Share of the patches that may show nothing."""


class CareModel(_keras.KerasModel):
    """See `zcdl_common.network.Model`. One map (B, (Z)YXK): the restored channels, then their uncertainties.

    References
    ----------
    Weigert et al. 2018, doi:10.1038/s41592-018-0216-7. The uncertainty is the scale of a Laplace
    distribution at each pixel: the mean absolute error that the network expects there.
    """

    def __init__(self, config: CareConfig, facts: Facts):
        from csbdeep.models import CARE, Config

        self.config, self.facts = config, facts
        names = tuple(facts.extra["target_channels"])
        _keras.seed(config.seed)
        library = CARE(
            Config(
                "ZYX"[-facts.ndim :],
                n_channel_in=len(facts.channels),
                n_channel_out=len(names),
                probabilistic=config.loss == "laplace",
                unet_residual=config.residual,
                unet_n_depth=config.depth,
                unet_kern_size=config.kernel,
                unet_n_first=config.filters,
                train_loss=config.loss,
                train_learning_rate=config.learning_rate,
                train_reduce_lr=None,
            ),
            basedir=None,
        )
        layers = library.keras_model.layers
        _keras.freeze(
            {
                "nothing": [],
                "encoder": [x for x in layers if x.name.startswith(("down_level", "middle"))],
                "all but the last layer": [x for x in layers if "level" in x.name or "middle" in x.name],
            }[config.freeze]
        )
        library.prepare_for_training()
        super().__init__(library.keras_model, config.batch_size)
        self.changes = config.augmentation()
        self.geometry = Geometry(
            (2**config.depth,) * facts.ndim, (field_of_view(config.depth, config.kernel),) * facts.ndim
        )
        if config.loss == "laplace":
            names += tuple(f"uncertainty of {name}" for name in names)
        self.maps = (Map("restored", names, "restored image, in the units of the clean images"),)

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random augmented patches: source and target float32 (B, (Z)YXC)."""
        patches = [
            self.patch(samples[rng.integers(len(samples))], rng) for _ in range(self.config.batch_size)
        ]
        source, target = (np.stack(part) for part in zip(*patches, strict=True))
        return {"source": source, "target": target}

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch of one pair, augmented where that is asked for."""
        least = self.config.min_signal
        choosy = least > 0 and rng.random() >= ANYWHERE
        source, target = cut(
            sample.source.read(),
            sample.target.read(),
            self.config.patch_size,
            rng,
            wanted=(lambda clean: clean.max() >= least) if choosy else None,
        )
        return augment(source, target, rng, self.changes) if self.config.augment else (source, target)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss over the middle of each validation image."""
        from zcdl_common.tiles import predict_whole

        size = _keras.VALIDATE_AT_MOST[self.facts.ndim]
        losses = []
        for sample in samples:
            source, target = centre(sample.source.read(), size), centre(sample.target.read(), size)
            (found,) = predict_whole(self.forward, source, self.geometry)
            losses.append(self.loss(target[None], found[None]))
        return {"val_loss": float(np.mean(losses))}

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Map ((Z)YXK) -> image float32 ((Z)YXC) in the units of the clean images, and its uncertainty."""
        return restoring.decode(maps[0], self.facts)

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """HDF5, SavedModel and ONNX whose output has the units of the clean images."""
        scale = restoring.output_scale(self.facts)
        gain, offset = np.asarray(scale.limits().span), np.asarray(scale.limits().offset)
        last = self.net.output
        if self.config.loss == "laplace":
            # csbdeep adds its least uncertainty in a layer of Python code, which nobody else would run
            mean, added = self.net.layers[-1].input
            uncertain = self.net.get_layer(added.node.layer.name).input
            last = _keras.tf.keras.layers.Concatenate()([mean, uncertain])
            gain, offset = np.tile(gain, 2), np.concatenate([offset, gain * LEAST_UNCERTAINTY])
        exported = _keras_export.with_units(self.net.input, last, gain, offset)
        return _keras_export.convert(exported, folder, ("raw", self.maps[0].name))


LEAST_UNCERTAINTY = 1e-3
"""What csbdeep adds to the scale of its Laplace distributions (``eps_scale``)."""


def field_of_view(depth: int, kernel: int) -> int:
    """How many pixels around an output pixel can change it, rounded up to whole pools of 2."""
    radius, deepest = kernel // 2, 2**depth
    # two convolutions a level on the way down and up, two at the bottom; pooled pixels join their neighbours
    reach = 4 * radius * (deepest - 1) + 2 * radius * deepest + deepest - 1
    return -(-reach // deepest) * deepest

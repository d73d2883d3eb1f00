"""Noise2Void with weights, on n2v."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common import restoring
from zcdl_common.augment.geometry import flip_and_turn
from zcdl_common.blindspot import Line, blind
from zcdl_common.models import _keras, _keras_export
from zcdl_common.models.care import field_of_view
from zcdl_common.network import Geometry, Map, Packed, WeightsFiles
from zcdl_common.networks.noise2void import Noise2VoidConfig
from zcdl_common.patches import centre, cut
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample
from zcdl_common.tiles import predict_whole

if not hasattr(np, "product"):
    np.product = np.prod  # n2v calls it by the name that NumPy 2 took away


class Noise2VoidModel(_keras.KerasModel):
    """See `zcdl_common.network.Model`. One map (B, (Z)YXC): the denoised channels.

    References
    ----------
    Krull, Buchholz, Jug 2019, doi:10.1109/CVPR.2019.00223; for N2V2 Höck et al. 2022,
    doi:10.1007/978-3-031-25069-9_33.
    """

    def __init__(self, config: Noise2VoidConfig, facts: Facts):
        self.config, self.facts = config, facts
        _keras.seed(config.seed)
        library = build(config, facts)
        layers = library.keras_model.layers
        first_up = next(i for i, layer in enumerate(layers) if "up_level" in layer.name)
        _keras.freeze(
            {
                "nothing": [],
                "encoder": layers[:first_up],
                "all but the last layer": [x for x in layers if not x.name.startswith("conv")],
            }[config.freeze]
        )
        library.prepare_for_training()
        super().__init__(library.keras_model, config.batch_size)
        shrinks = 2**config.depth
        # blurred pools look two pixels further to one side, at every level
        halo = field_of_view(config.depth, config.kernel) + (2 * shrinks if config.n2v2 else 0)
        self.geometry = Geometry((shrinks,) * facts.ndim, (halo,) * facts.ndim)
        self.maps = (Map("denoised", tuple(facts.channels), "denoised image, in the units of the input"),)
        self.line = line(config, facts.ndim)

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random patches with blind spots, and what stood there: see `zcdl_common.blindspot.blind`."""
        patches = [
            self.patch(samples[rng.integers(len(samples))], rng)[0] for _ in range(self.config.batch_size)
        ]
        source, target = self.blind(np.stack(patches), rng)
        return {"source": source, "target": target}

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, None]:
        """One patch, mirrored and turned where that is asked for; never interpolated, which smooths noise."""
        config = self.config
        source, _ = cut(sample.source.read(), None, config.patch_size, rng)
        if config.augment:
            turns = config.rotations != "none" and config.structured_noise in ("none", "z")
            source, _ = flip_and_turn(source, None, rng, config.flips, turns)
        return source, None

    def blind(self, patches: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Hide pixels (B, (Z)YXC) in the way that the parameters say."""
        config = self.config
        return blind(
            patches, config.masked_share, rng, radius=config.radius, median=config.n2v2, line=self.line
        )

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss at hidden pixels of the middle of each validation image.

        The same pixels are hidden in every epoch. The loss is then the error of the prediction plus one
        and the same noise, so that epochs can be compared (on simulated images it follows the true error
        closely); how small it is says nothing.
        """
        losses = []
        for number, sample in enumerate(samples):
            image = centre(sample.source.read(), _keras.VALIDATE_AT_MOST[self.facts.ndim])
            source, target = self.blind(image[None], np.random.default_rng([self.config.seed, number]))
            (found,) = predict_whole(self.forward, source[0], self.geometry)
            losses.append(self.loss(target, found[None]))
        return {"val_loss": float(np.mean(losses))}

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Map ((Z)YXC) -> image float32 ((Z)YXC) in the units of the noisy images."""
        return restoring.decode(maps[0], self.facts)

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """HDF5, SavedModel and ONNX whose output has the units of the noisy images."""
        limits = restoring.output_scale(self.facts).limits()
        exported = _keras_export.with_units(self.net.input, self.net.output, limits.span, limits.offset)
        return _keras_export.convert(exported, folder, ("raw", self.maps[0].name))

    def packed(self, folder: Path, settings: Mapping[str, Any]) -> Packed:
        """The model itself, and for Fiji's CSBDeep plugin one that takes and gives the units of the images.

        The plugin scales an image by percentiles or not at all; this model learned it in another way.
        """
        limits, names = restoring.output_scale(self.facts).limits(), ("raw", self.maps[0].name)
        units = _keras_export.with_units(self.net.input, self.net.output, limits.span, limits.offset)
        graph = _keras_export.frozen_graph(_keras_export.of_raw(units, limits), names)
        path = folder / "csbdeep_raw.zip"
        _keras_export.write_saved_model(graph, names, path)
        return Packed(self.maps, self.forward, {"csbdeep": {"weights": path.name}}, (path,))


def line(config: Noise2VoidConfig, ndim: int) -> Line | None:
    """What is hidden beside each blind spot."""
    if config.structured_noise == "none":
        return None
    return Line("zyx"[-ndim:].index(config.structured_noise), config.structured_length)


def build(config: Noise2VoidConfig, facts: Facts) -> Any:
    """n2v's model, untrained, of layers that every engine knows."""
    from n2v.models import N2V, N2VConfig

    class InMemory(N2V):
        def _set_logdir(self) -> None:
            """Leave out the folder that n2v would make and write to."""

    channels, scale = len(facts.channels), restoring.output_scale(facts)
    apart = config.channels_apart and channels > 1
    library = InMemory(
        N2VConfig(
            np.zeros((1,) * (facts.ndim + 1) + (channels,), np.float32),
            means=[str(m) for m in scale.mean],
            stds=[str(s) for s in scale.std],
            unet_n_depth=config.depth,
            unet_kern_size=config.kernel,
            unet_n_first=config.filters,
            batch_norm=config.batch_norm,
            train_loss=config.loss,
            train_learning_rate=config.learning_rate,
            train_batch_size=config.batch_size,
            train_reduce_lr=None,
            n2v_patch_shape=config.patch_size,
            n2v_perc_pix=100 * config.masked_share,
            n2v_manipulator="median" if config.n2v2 else "uniform_withCP",
            n2v_neighborhood_radius=config.radius,
            single_net_per_channel=apart,
            blurpool=config.n2v2,
            skip_skipone=config.n2v2,
        ),
        name="noise2void",
        basedir=None,
    )
    if apart or config.n2v2:
        library.keras_model = of_plain_layers(library.keras_model)
    return library


def of_plain_layers(net: Any) -> Any:
    """The same network, untrained, of layers of Keras alone: n2v's own are code that no other program has."""
    source = _keras.tf.keras.Input(net.input.shape[1:], name=net.input_names[0])
    made = {id(net.input): source}
    for layer in net.layers[1:]:  # in an order in which every layer follows those it takes from
        given = layer.input
        parts = [made[id(tensor)] for tensor in given] if isinstance(given, list) else made[id(given)]
        made[id(layer.output)] = plain(layer, parts)
    return _keras.tf.keras.Model(source, made[id(net.output)])


def plain(layer: Any, given: Any) -> Any:
    """What a layer of n2v makes of a tensor.

    The binomial filter of its blurred pool is two means of neighbours, one after the other. The choice of a
    channel is a function in n2v that remembers its loop variable, and so takes the last channel in every
    branch once training calls it; here each branch gets the channel that its name says.
    """
    layers = _keras.tf.keras.layers
    if type(layer).__name__ == "MaxBlurPool2D":
        largest = layers.MaxPooling2D(2, strides=1, padding="same")(given)
        padded = layers.ZeroPadding2D(((0, 1), (0, 1)))(largest)
        return layers.AveragePooling2D(2, name=layer.name)(layers.AveragePooling2D(2, strides=1)(padded))
    if isinstance(layer, layers.Lambda):
        channels, ndim = given.shape[-1], len(given.shape) - 2
        branch = layer.outbound_nodes[0].outbound_layer.name  # channel_0down_level_0_no_0
        chosen = branch.partition("down")[0]
        kind = layers.Conv2D if ndim == 2 else layers.Conv3D
        only = kind(1, 1, use_bias=False, trainable=False, name=f"only_{chosen}")
        found = only(given)
        kernel = np.eye(channels)[:, [int(chosen.removeprefix("channel_"))]]
        only.set_weights([kernel.reshape((1,) * ndim + (channels, 1))])
        return found
    return layer.__class__.from_config(layer.get_config())(given)

"""What the TensorFlow models share: device, one step, state, and weights in files."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# csbdeep, stardist and n2v train and export with Keras 2; read when tf.keras is first used
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from zcdl_common.errors import RunError
from zcdl_common.files import replacing
from zcdl_common.network import Which
from zcdl_common.task import Array, Batch


@contextmanager
def _without_chatter() -> Iterator[None]:
    """TensorFlow talks while it is loaded, past Python, of nothing that a user could mend."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


with _without_chatter():
    import csbdeep.utils.tf  # noqa: F401 - warns of Keras 2, which we choose
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")
tf.autograph.set_verbosity(0)
if not tf.keras.Model.__module__.startswith("tf_keras"):
    raise RunError(
        "Keras 3 is loaded already, and these networks need Keras 2. Restart the kernel, and run section 1 "
        "before anything else that uses TensorFlow."
    )
for _gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(_gpu, True)  # else it takes all of it, also from torch


VALIDATE_AT_MOST = {2: (512, 512), 3: (32, 128, 128)}
"""Larger validation images are judged on their middle, so that an epoch is not mostly validation."""


class Device(NamedTuple):
    """Where TensorFlow computes."""

    type: str


def pick_device() -> Device:
    """A GPU where TensorFlow sees one, else the CPU."""
    return Device("cuda" if tf.config.list_physical_devices("GPU") else "cpu")


def device_name() -> str:
    """Name of the GPU, for the record."""
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "cpu"


def seed(number: int) -> None:
    """Start the random numbers that libraries draw their first weights from."""
    tf.keras.utils.set_random_seed(number)


def freeze(layers: Iterable[Any]) -> None:
    """Keep layers as they are; before the model is compiled."""
    for layer in layers:
        layer.trainable = False


class KerasModel:
    """The backend's half of `zcdl_common.network.Model`, around a compiled Keras model.

    A network adds ``batch``, ``validate``, ``decode``, ``weights``, ``geometry`` and ``maps``.
    """

    arithmetic = "float32"
    targets: tuple[str, ...] = ("target",)
    """Arrays of a batch that the network learns, in the order of its outputs."""

    def __init__(self, net: Any, part: int):
        self.net = net
        self.part = part
        channels = net.inputs[0].shape[-1]
        tiles = tf.TensorSpec([None] * (len(net.inputs[0].shape) - 1) + [channels], tf.float32)
        self._forward = tf.function(lambda x: net(x, training=False), input_signature=[tiles])
        self._step = tf.function(self._train)
        self._gradients = tf.function(self._differentiate)
        net.optimizer.build(net.trainable_variables)

    # -- training ---------------------------------------------------------------------------------

    def step(self, batch: Batch, learning_rate: float) -> dict[str, Any]:
        """One optimiser step, with the loss and optimiser that the library compiled the model with.

        Where memory is short the batch goes through in parts and their gradients add up.
        """
        self.net.optimizer.learning_rate.assign(learning_rate)
        x = batch["source"]
        if self.part >= len(x):
            return {"loss": self._step(x, self._learned(batch))}
        total, sums = 0.0, None
        for start in range(0, len(x), self.part):
            piece = slice(start, start + self.part)
            share = len(x[piece]) / len(x)
            loss, gradients = self._gradients(x[piece], self._learned(batch, piece))
            total += loss * share
            parts = [g * share for g in gradients]
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        self.net.optimizer.apply_gradients(zip(sums, self.net.trainable_variables, strict=True))
        return {"loss": total}

    def _learned(self, batch: Batch, piece: slice = slice(None)) -> Any:
        """What the compiled loss takes: an array, or a list where there are several outputs."""
        found = [batch[name][piece] for name in self.targets]
        return found if len(found) > 1 else found[0]

    def _differentiate(self, x: Any, y: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            loss = self.net.compute_loss(x, y, self.net(x, training=True), None)
        return loss, tape.gradient(loss, self.net.trainable_variables)

    def _train(self, x: Any, y: Any) -> Any:
        loss, gradients = self._differentiate(x, y)
        self.net.optimizer.apply_gradients(zip(gradients, self.net.trainable_variables, strict=True))
        return loss

    def loss(self, y: Any, found: Any) -> float:
        """The library's loss of an output, or of a list of them."""
        y, found = (tf.nest.map_structure(tf.constant, values) for values in (y, found))
        return float(self.net.compute_loss(None, y, found, None))

    def fit_memory(self, batch: Batch) -> int:
        """Try a step and halve the part of a batch until it fits; weights stay as they were.

        Raises
        ------
        RunError
            Not even a single patch fits.
        """
        self.part, before = len(batch["source"]), self.net.get_weights()
        while True:
            try:
                piece = slice(self.part)
                self._gradients(batch["source"][piece], self._learned(batch, piece))
                self.net.set_weights(before)  # batch normalisation remembers the trial
                return self.part
            except tf.errors.ResourceExhaustedError as error:
                if self.part == 1:
                    raise RunError(
                        "Memory does not hold a single patch of this network. Use a smaller patch_size, "
                        "or fewer filters."
                    ) from error
            self.part //= 2

    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled float32 (B, (Z)YXC) -> maps float32 (B, (Z)YXK)."""
        found = self._forward(np.ascontiguousarray(tiles, np.float32))
        return tuple(f.numpy() for f in (found if isinstance(found, list | tuple) else [found]))

    # -- weights ----------------------------------------------------------------------------------

    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return int(self.net.count_params())

    def state(self) -> dict[str, Array]:
        """Weights and optimiser; by position, since names of layers count up in a process."""
        state = {f"module/net/{i:03}": w for i, w in enumerate(self.net.get_weights())}
        return state | {f"optimiser/{i:03}": v.numpy() for i, v in enumerate(self.net.optimizer.variables)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `state` took."""
        weights = [state[key] for key in sorted(state) if key.startswith("module/")]
        self.net.set_weights(weights)
        for i, variable in enumerate(self.net.optimizer.variables):
            variable.assign(state[f"optimiser/{i:03}"])

    def start(self, state: Mapping[str, Array]) -> list[str]:
        """Take the weights that fit from another model's `state`; returns the names of those left out."""
        own = [f"module/net/{i:03}" for i in range(len(self.net.weights))]
        now = self.net.get_weights()
        found = [state[key] for key in sorted(state) if key.startswith("module/")]
        if len(now) < len(found) <= len(now) + 2:  # a package ends in a layer of its own: units, or the grid
            found = found[: len(now)]
        if len(found) != len(now):  # another depth: what stands at one place is another layer
            return [key.removeprefix("module/net/") for key in own]
        fits = [a.shape == b.shape for a, b in zip(found, now, strict=True)]
        self.net.set_weights([a if fit else b for a, b, fit in zip(found, now, fits, strict=True)])
        return [key.removeprefix("module/net/") for key, fit in zip(own, fits, strict=True) if not fit]

    def save(self, folder: Path, which: Which) -> None:
        """Write the weights as Keras writes them, for csbdeep, stardist and n2v to read."""
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "weights.h5"
            self.net.save_weights(path)
            data = path.read_bytes()
        with replacing(folder / f"{which}.h5") as target:
            target.write_bytes(data)

    def load(self, folder: Path, which: str) -> None:
        """Read what `save` wrote, or a package's model, which may end in layers of its own.

        Raises
        ------
        RunError
            The file is missing, or holds the weights of another network.
        """
        found, own = read_weights(folder / f"{which}.h5"), self.net.get_weights()
        if [a.shape for a in found[: len(own)]] != [a.shape for a in own]:
            raise RunError(f"{folder / which}.h5 holds the weights of another network than this run's.")
        self.net.set_weights(found[: len(own)])


def read_weights(path: Path) -> list[Array]:
    """Arrays of a Keras ``.h5`` file, of weights alone or of a whole model, in the order of its layers.

    Raises
    ------
    RunError
        The file is missing or no such file. No code inside it is ever run.
    """
    import h5py

    if not path.exists():
        raise RunError(f"There are no weights {path.name} in {path.parent}. Run section 5 (Train) first.")
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            return [
                np.asarray(group[layer][name])
                for layer in group.attrs["layer_names"]
                for name in group[layer].attrs["weight_names"]
            ]
    except (OSError, KeyError) as error:
        raise RunError(f"{path} cannot be read as Keras weights ({error}). Is the file whole?") from error


def read_arrays(path: Path) -> dict[str, Array]:
    """Weights of a file by their position."""
    return {f"{i:03}": array for i, array in enumerate(read_weights(path))}

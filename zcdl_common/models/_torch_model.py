"""The torch half of a model that trains one network with one loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zcdl_common.errors import RunError
from zcdl_common.models import _torch
from zcdl_common.network import Geometry, Map, Which
from zcdl_common.patches import centre
from zcdl_common.task import Array, Batch, Facts, Sample
from zcdl_common.tiles import predict_whole

VALIDATE_AT_MOST = {2: (1024, 1024), 3: (64, 256, 256)}
"""Larger validation images are judged on their middle, so that an epoch is not mostly validation."""


class TorchModel:
    """The backend's half of `zcdl_common.network.Model`, around a network with ``encoder`` and ``head``.

    A network adds ``patch``, ``loss``, ``learned``, ``validate``, ``decode``, ``weights`` and ``maps``.
    """

    geometry: Geometry
    maps: tuple[Map, ...]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Output of the network in training mode (B, K, (Z)YX) and what `learned` gives -> a number."""
    learned: Callable[[Array], torch.Tensor]
    """Targets of a batch, on the device, as the loss takes them."""
    patch: Callable[[Sample, np.random.Generator], tuple[Array, Array]]
    """One patch of one image and its target."""

    channels_last = True
    """Whether networks and images lie in memory as convolutions run fastest."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        config: Any,
        facts: Facts,
        optimiser: Callable[[Any], torch.optim.Optimizer],
    ):
        self.config, self.facts = config, facts
        self.device = _torch.pick_device()
        torch.manual_seed(config.seed)
        self.layout = _torch.memory_format(facts.ndim) if self.channels_last else torch.contiguous_format
        self.net: Any = make().to(self.device, memory_format=self.layout)
        self.networks: dict[str, nn.Module] = {"net": self.net}
        """All that is trained, by name; ``net`` is the one that predicts."""
        self.optimisers = {"net": optimiser(self.net.parameters())}
        known = facts.extra.get("arithmetic")  # a run keeps its own on whatever device it goes on
        self.arithmetic = known or _torch.arithmetic(config.precision, self.device)
        self.scaler = torch.amp.GradScaler() if self.arithmetic == "float16" else None
        self.changes = config.augmentation()
        self.part = config.batch_size
        """Patches that go through the network at once."""
        self.frozen = frozen_parts(self.net, config.freeze)
        self.calls: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
        """The networks as training calls them: compiled, where that is asked for."""

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random patches: source float32 (B, (Z)YXC), and their targets."""
        patches = [
            self.patch(samples[rng.integers(len(samples))], rng) for _ in range(self.config.batch_size)
        ]
        source, target = (np.stack(part) for part in zip(*patches, strict=True))
        return {"source": source, "target": target, "seed": rng.integers(2**62)}

    def step(self, batch: Batch, learning_rate: float) -> dict[str, torch.Tensor]:
        """One optimiser step over the batch.

        Where memory is short the batch goes through in parts and their gradients add up. That is the
        gradient of the whole batch for a loss that is a mean over pixels; class weights, Dice and batch
        normalisation see one part at a time.
        """
        self.begin_step(batch, learning_rate)
        loss = self._backward(batch, self.part)
        self.end_step("net")
        return {"loss": loss}

    def begin_step(self, batch: Batch, learning_rate: float) -> None:
        """Chance, learning rate and mode of a step; gradients are gone."""
        torch.manual_seed(int(batch["seed"]))
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate
        for name, network in self.networks.items():
            network.train()
            if name not in self.calls:
                self.calls[name] = _torch.compiled(network) if self.config.compile else network
        for module in self.frozen:
            module.eval()  # batch statistics of frozen layers stay as they were learned

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """A loss as it goes backwards: made larger where small gradients would vanish in float16."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def end_step(self, *names: str) -> None:
        """Let optimisers change the weights."""
        for name in names:
            if self.scaler is None:
                self.optimisers[name].step()
            else:
                self.scaler.step(self.optimisers[name])
        if self.scaler is not None:
            self.scaler.update()

    def _backward(self, batch: Batch, part: int) -> torch.Tensor:
        total: torch.Tensor | float = 0.0
        size = len(batch["source"])
        for start in range(0, size, part):
            piece = slice(start, start + part)
            x = _torch.to_device(batch["source"][piece], self.device)
            y = self.learned(batch["target"][piece])
            with _torch.autocast(self.arithmetic, self.device):
                output = self.calls["net"](x)
            loss = self.loss(output.float(), y) * (len(x) / size)
            self.scaled(loss).backward()
            total = total + loss.detach()
        return total

    def fit_memory(self, batch: Batch) -> int:
        """Try a step and halve the part of a batch until it fits; weights stay as they were."""
        before, rate = self.state(), self.config.learning_rate

        def attempt(part: int) -> None:
            self.part = part
            self.step({**batch, **{k: batch[k][:part] for k in ("source", "target")}}, rate)

        try:
            return _torch.largest_part(self.config.batch_size, attempt)
        finally:
            self.restore(before)

    def whole(self, sample: Sample) -> tuple[Array, Array]:
        """Output and target of the middle of a validation image, both (Z)YX[K]."""
        size = VALIDATE_AT_MOST[self.facts.ndim]
        source, target = centre(sample.source.read(), size), centre(sample.target.read(), size)
        return predict_whole(self.forward, source, self.geometry)[0], target

    # -- prediction -------------------------------------------------------------------------------

    @torch.inference_mode()
    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled float32 (B, (Z)YXC) -> float32 (B, (Z)YXK)."""
        self.net.eval()
        with _torch.autocast(self.arithmetic, self.device):
            return (_torch.to_numpy(self.net(_torch.to_device(tiles, self.device))),)

    # -- weights ----------------------------------------------------------------------------------

    def parameters(self) -> int:
        """How many numbers the network that predicts has learned."""
        return sum(math.prod(p.shape) for p in self.net.parameters())

    def state(self) -> dict[str, Array]:
        return _torch.pack(self.networks, self.optimisers, self.scaler)

    def restore(self, state: Mapping[str, Array]) -> None:
        _torch.unpack(state, self.networks, self.optimisers, self.scaler)

    def start(self, state: Mapping[str, Array]) -> list[str]:
        """Take the weights that fit from another model's `state`; returns the names of those left out.

        Those of another network than the one that predicts begin with its name: ``judge/layers.0.weight``.

        Raises
        ------
        RunError
            Weights that are to stay as they are do not fit.
        """
        left_out, still = [], []
        for name, net in self.networks.items():
            frozen = {key for key, weight in net.named_parameters() if not weight.requires_grad}
            for key in _torch.start(net, name, state):
                left_out.append(key if name == "net" else f"{name}/{key}")
                still += left_out[-1:] * (key in frozen)
        if still:
            raise RunError(
                f"freeze = {self.config.freeze} keeps weights as they are, but {len(still)} of these are not "
                f"in start_from or do not fit ({still[0]}): they would stay random. Name a run that has all "
                "of them (a package holds the one network that predicts), or set freeze = nothing."
            )
        return left_out

    def save(self, folder: Path, which: Which) -> None:
        for name, network in self.networks.items():
            _torch.save_weights(network, self.file(folder, which, name))

    def load(self, folder: Path, which: str) -> None:
        for name, network in self.networks.items():
            path = self.file(folder, which, name)
            if name == "net" or path.exists():  # a package holds only the one that predicts
                network.load_state_dict(_torch.read_weights(path))

    def file(self, folder: Path, which: str, name: str) -> Path:
        """Where the weights of a network lie: ``best.pt``, ``best_judge.pt``."""
        return folder / (f"{which}.pt" if name == "net" else f"{which}_{name}.pt")


def frozen_parts(net: Any, freeze: str) -> list[nn.Module]:
    """Parts of a network with ``encoder`` and ``head`` that stay as they are; from now on they do."""
    frozen: list[nn.Module] = {
        "nothing": [],
        "encoder": [net.encoder],
        "all but the last layer": [module for name, module in net.named_children() if name != "head"],
    }[freeze]
    for module in frozen:
        module.requires_grad_(False)
    return frozen

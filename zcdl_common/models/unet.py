"""U-Net with weights, in torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from zcdl_common import segmenting
from zcdl_common.augment import augment
from zcdl_common.models import _torch
from zcdl_common.models.nets import unet as nets
from zcdl_common.network import Geometry, Map, WeightsFiles, Which
from zcdl_common.networks.plans import multiples
from zcdl_common.networks.unet import UNetConfig, downscaling, levels
from zcdl_common.patches import centre, cut
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample

VALIDATE_AT_MOST = {2: (1024, 1024), 3: (64, 256, 256)}
"""Larger validation images are judged on their middle, so that an epoch is not mostly validation."""


class UNetModel:
    """See `zcdl_common.network.Model`. Maps are probabilities (B, (Z)YXK)."""

    def __init__(self, config: UNetConfig, facts: Facts):
        self.config, self.facts = config, facts
        pools, shrink = levels(config, facts), downscaling(config, facts.ndim)
        classes = len(facts.classes)
        self.kwargs: dict[str, Any] = {
            "channels_in": len(facts.channels),
            "channels_out": 1 if classes == 2 else classes,
            "base": config.filters,
            "pools": [list(p) for p in pools],
            "dropout": config.dropout,
            "shrink": list(shrink) if max(shrink) > 1 else [],
        }
        self.geometry = Geometry(
            multiples((*pools, shrink)), nets.field_of_view(pools, self.kwargs["shrink"])
        )
        names = ("foreground",) if classes == 2 else tuple(f"class_{c}" for c in facts.classes)
        self.maps = (Map("probability", names, "probability of each class", (0.0, 1.0)),)
        self.device = _torch.pick_device()
        torch.manual_seed(config.seed)
        self.net = nets.UNet(**self.kwargs).to(self.device, memory_format=_torch.memory_format(facts.ndim))
        self.class_weights = torch.tensor(config.class_weights, device=self.device)
        self.optimiser = _torch.make_optimiser(
            config.optimiser, self.net.parameters(), config.learning_rate, config.weight_decay
        )
        known = facts.extra.get("arithmetic")  # a run keeps its own on whatever device it goes on
        self.arithmetic = known or _torch.arithmetic(config.precision, self.device)
        self.scaler = torch.amp.GradScaler() if self.arithmetic == "float16" else None
        self.part = config.batch_size
        """Patches that go through the network at once."""
        self.changes = config.augmentation()
        self.frozen = {
            "nothing": [],
            "encoder": [self.net.encoder],
            "all but the last layer": [m for n, m in self.net.named_children() if n != "head"],
        }[config.freeze]
        for module in self.frozen:
            module.requires_grad_(False)

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random augmented patches: source float32 (B, (Z)YXC), target int64 (B, (Z)YX)."""
        patches = [
            self.patch(samples[rng.integers(len(samples))], rng) for _ in range(self.config.batch_size)
        ]
        source, target = (np.stack(part) for part in zip(*patches, strict=True))
        return {"source": source, "target": target.astype(np.int64), "seed": rng.integers(2**62)}

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch of one image, augmented where that is asked for."""
        least = self.config.min_foreground
        source, target = cut(
            sample.source.read(),
            sample.target.read(),
            self.config.patch_size,
            rng,
            wanted=(lambda mask: (mask > 0).mean() >= least) if least > 0 else None,
        )
        return augment(source, target, rng, self.changes) if self.config.augment else (source, target)

    def step(self, batch: Batch, learning_rate: float) -> dict[str, torch.Tensor]:
        """One optimiser step over the batch.

        Where memory is short the batch goes through in parts and their gradients add up. That is the
        gradient of the whole batch for focal loss and cross-entropy without weights; weights, Dice and
        batch normalisation see one part at a time.
        """
        torch.manual_seed(int(batch["seed"]))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._backward(batch, self.part)
        if self.scaler is None:
            self.optimiser.step()
        else:
            self.scaler.step(self.optimiser)
            self.scaler.update()
        return {"loss": loss}

    def _backward(self, batch: Batch, part: int) -> torch.Tensor:
        self.net.train()
        for module in self.frozen:
            module.eval()  # batch statistics of frozen layers stay as they were learned
        total: torch.Tensor | float = 0.0
        size = len(batch["source"])
        for start in range(0, size, part):
            piece = slice(start, start + part)
            x = _torch.to_device(batch["source"][piece], self.device)
            y = _torch.send(batch["target"][piece], self.device)
            with _torch.autocast(self.arithmetic, self.device):
                logits = self.net(x)
            loss = self.loss(logits.float(), y) * (len(x) / size)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            total = total + loss.detach()
        return total

    def fit_memory(self, batch: Batch) -> int:
        """Try a step and halve the part of a batch until it fits; weights stay as they were."""
        before = self.state()

        def attempt(part: int) -> None:
            self.optimiser.zero_grad(set_to_none=True)
            self._backward(
                {**batch, "source": batch["source"][:part], "target": batch["target"][:part]}, part
            )

        self.part = _torch.largest_part(self.config.batch_size, attempt)
        self.optimiser.zero_grad(set_to_none=True)
        self.restore(before)
        return self.part

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of logits (B, K, (Z)YX) against class indices (B, (Z)YX).

        References
        ----------
        Dice: Milletari et al. 2016, doi:10.1109/3DV.2016.79. Focal: Lin et al. 2017,
        doi:10.1109/ICCV.2017.324, with gamma 2.
        """
        if logits.shape[1] == 1:  # the background's logit is zero by definition
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        weights = self.class_weights.to(logits.device)  # already there in training; validation is on the CPU
        kind = self.config.loss
        if kind == "focal":
            cross = F.cross_entropy(logits, target, weights, reduction="none")
            return ((1 - torch.exp(-F.cross_entropy(logits, target, reduction="none"))) ** 2 * cross).mean()
        parts = []
        if "cross-entropy" in kind:
            parts.append(F.cross_entropy(logits, target, weights))
        if "dice" in kind:
            probability = torch.softmax(logits, dim=1)
            truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
            axes = (0, *range(2, logits.ndim))
            overlap, size = (probability * truth).sum(axes), (probability + truth).sum(axes)
            parts.append(1 - ((2 * overlap + 1) / (size + 1))[1:].mean())
        return sum(parts)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss and foreground IoU over the middle of each validation image."""
        size = VALIDATE_AT_MOST[self.facts.ndim]
        losses, ious = [], []
        for sample in samples:
            source, target = centre(sample.source.read(), size), centre(sample.target.read(), size)
            probability = torch.from_numpy(self._whole(source)).movedim(-1, 0)[None].clamp(1e-6, 1 - 1e-6)
            logits = torch.logit(probability) if probability.shape[1] == 1 else torch.log(probability)
            losses.append(float(self.loss(logits, torch.from_numpy(target.astype(np.int64))[None])))
            found = segmenting.decode(probability[0].movedim(0, -1).numpy(), 0.5).main > 0
            union = np.count_nonzero(found | (target > 0))
            ious.append(np.count_nonzero(found & (target > 0)) / union if union else 1.0)
        return {"val_loss": float(np.mean(losses)), "val_iou": float(np.mean(ious))}

    def _whole(self, source: Array) -> Array:
        from zcdl_common.tiles import predict_whole

        return predict_whole(self.forward, source, self.geometry)[0]

    # -- prediction -------------------------------------------------------------------------------

    @torch.inference_mode()
    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled float32 (B, (Z)YXC) -> probabilities float32 (B, (Z)YXK)."""
        self.net.eval()
        with _torch.autocast(self.arithmetic, self.device):
            return (_torch.to_numpy(self.net(_torch.to_device(tiles, self.device))),)

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Probabilities ((Z)YXK) -> class image at ``settings["threshold"]``."""
        return segmenting.decode(maps[0], settings["threshold"])

    # -- weights ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        return _torch.pack({"net": self.net}, {"net": self.optimiser}, self.scaler)

    def restore(self, state: Mapping[str, Array]) -> None:
        _torch.unpack(state, {"net": self.net}, {"net": self.optimiser}, self.scaler)

    def start(self, state: Mapping[str, Array]) -> list[str]:
        """Take the weights that fit from another model's `state`; returns the names of those left out."""
        prefix = "module/net/"
        found = {k.removeprefix(prefix): torch.from_numpy(np.array(v)) for k, v in state.items()}
        return _torch.load_fitting(self.net, found)

    def save(self, folder: Path, which: Which) -> None:
        _torch.save_weights(self.net, folder / f"{which}.pt")

    def load(self, folder: Path, which: Which) -> None:
        self.net.load_state_dict(_torch.read_weights(folder / f"{which}.pt"))

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX; `test_input` is scaled (1, (Z)YXC)."""
        exported = nets.UNet(**self.kwargs)
        exported.load_state_dict(self.net.state_dict())
        return _torch.convert(
            exported, test_input, folder, ("raw", self.maps[0].name), Path(nets.__file__), self.kwargs
        )

    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return sum(math.prod(p.shape) for p in self.net.parameters())

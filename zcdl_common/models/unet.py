"""U-Net with weights, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from zcdl_common import segmenting
from zcdl_common.augment import augment
from zcdl_common.models import _torch
from zcdl_common.models._torch_model import TorchModel
from zcdl_common.models.nets import unet as nets
from zcdl_common.network import Geometry, Map, WeightsFiles
from zcdl_common.networks.plans import multiples
from zcdl_common.networks.unet import UNetConfig, downscaling, levels
from zcdl_common.patches import cut
from zcdl_common.task import Array, Facts, Prediction, Sample


class UNetModel(TorchModel):
    """See `zcdl_common.network.Model`. Maps are probabilities (B, (Z)YXK)."""

    def __init__(self, config: UNetConfig, facts: Facts):
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
        super().__init__(
            lambda: nets.UNet(**self.kwargs),
            config,
            facts,
            lambda parameters: _torch.make_optimiser(
                config.optimiser, parameters, config.learning_rate, config.weight_decay
            ),
        )
        self.class_weights = torch.tensor(config.class_weights, device=self.device)

    # -- training ---------------------------------------------------------------------------------

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
        if self.config.augment:
            source, target = augment(source, target, rng, self.changes)
        return source, target.astype(np.int64)

    def learned(self, target: Array) -> torch.Tensor:
        """Class indices (B, (Z)YX), int64."""
        return _torch.send(target, self.device)

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
        losses, ious = [], []
        for sample in samples:
            found, target = self.whole(sample)
            probability = torch.from_numpy(found).movedim(-1, 0)[None].clamp(1e-6, 1 - 1e-6)
            logits = torch.logit(probability) if probability.shape[1] == 1 else torch.log(probability)
            losses.append(float(self.loss(logits, torch.from_numpy(target.astype(np.int64))[None])))
            found = segmenting.decode(probability[0].movedim(0, -1).numpy(), 0.5).main > 0
            union = np.count_nonzero(found | (target > 0))
            ious.append(np.count_nonzero(found & (target > 0)) / union if union else 1.0)
        return {"val_loss": float(np.mean(losses)), "val_iou": float(np.mean(ious))}

    # -- prediction -------------------------------------------------------------------------------

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Probabilities ((Z)YXK) -> class image at ``settings["threshold"]``."""
        return segmenting.decode(maps[0], settings["threshold"])

    # -- weights ----------------------------------------------------------------------------------

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX; `test_input` is scaled (1, (Z)YXC)."""
        exported = nets.UNet(**self.kwargs)
        exported.load_state_dict(self.net.state_dict())
        return _torch.convert(
            exported, test_input, folder, ("raw", self.maps[0].name), Path(nets.__file__), self.kwargs
        )

"""pix2pix with weights, in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from zcdl_common.models._gan import JUDGE_LEVELS, GanModel, Terms
from zcdl_common.models.nets import patchgan
from zcdl_common.models.nets import pix2pix as nets
from zcdl_common.network import Geometry, Map
from zcdl_common.networks.pix2pix import Pix2PixConfig
from zcdl_common.task import Array, Facts


class Pix2PixModel(GanModel):
    """See `zcdl_common.network.Model`. One map (B, YXK): the translated channels.

    References
    ----------
    Isola et al. 2017, doi:10.1109/CVPR.2017.632. Batches are larger than one, so batch normalisation uses
    what it has learned when it predicts; a tile then equals the same part of the whole image.
    """

    def __init__(self, config: Pix2PixConfig, facts: Facts):
        names = tuple(facts.extra["target_channels"])
        self.kwargs: dict[str, Any] = {
            "channels_in": len(facts.channels),
            "channels_out": len(names),
            "base": config.filters,
            "depth": config.depth,
            "dropout": config.dropout,
        }
        self.geometry = Geometry((2**config.depth,) * 2, (nets.field_of_view(config.depth),) * 2)
        self.maps = (Map("translated", names, "translated image, in the units of the targets"),)
        pair = len(facts.channels) + len(names)
        super().__init__(
            {"net": lambda: nets.UNetGenerator(**self.kwargs)},
            {
                "judge": lambda: patchgan.PatchDiscriminator(
                    pair, config.filters, JUDGE_LEVELS, nn.BatchNorm2d
                )
            },
            config,
            facts,
        )

    def make(self, piece: dict[str, torch.Tensor]) -> tuple[Terms, dict[str, torch.Tensor]]:
        """Look real to the judge, and be near to the true image."""
        found = self.calls["net"](piece["source"])
        said = self.calls["judge"](torch.cat([piece["source"], found], dim=1)).float()
        terms = {
            "loss_real": F.binary_cross_entropy_with_logits(said, torch.ones_like(said)),
            "loss_difference": self.config.l1_weight * F.l1_loss(found.float(), piece["target"]),
        }
        return terms, {"judge": found}

    def judge(self, piece: dict[str, torch.Tensor], made: dict[str, torch.Tensor]) -> torch.Tensor:
        """Tell true pairs from made ones; half as fast as the generator learns."""
        judge, losses = self.calls["judge"], []
        for image, truth in ((piece["target"], 1.0), (made["judge"], 0.0)):
            said = judge(torch.cat([piece["source"], image.to(piece["source"].dtype)], dim=1)).float()
            losses.append(F.binary_cross_entropy_with_logits(said, torch.full_like(said, truth)))
        return sum(losses) / 2

    def distance(self, found: Array, true: Array) -> float:
        """Mean absolute difference."""
        return float(np.abs(found - true).mean())

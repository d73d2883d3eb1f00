"""fnet with weights, in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from zcdl_common.models import _torch
from zcdl_common.models._image_model import ImageModel
from zcdl_common.models.nets import fnet as nets
from zcdl_common.network import Geometry, Map
from zcdl_common.networks.fnet import FnetConfig, levels
from zcdl_common.networks.plans import multiples
from zcdl_common.task import Array, Facts


class FnetModel(ImageModel):
    """See `zcdl_common.network.Model`. One map (B, (Z)YXK): the predicted channels.

    References
    ----------
    Ounkomol et al. 2018, doi:10.1038/s41592-018-0111-2: the network, mean squared error, Adam with a first
    moment of 0.5, and every image at mean 0 and standard deviation 1. There each target was scaled by itself;
    here all are alike.
    """

    def __init__(self, config: FnetConfig, facts: Facts):
        pools, names = levels(config, facts), tuple(facts.extra["target_channels"])
        self.kwargs: dict[str, Any] = {
            "channels_in": len(facts.channels),
            "channels_out": len(names),
            "base": config.filters,
            "pools": [list(p) for p in pools],
        }
        self.geometry = Geometry(multiples(pools), nets.field_of_view(pools))
        self.maps = (Map("predicted", names, "predicted image, in the units of the targets"),)
        super().__init__(
            lambda: nets.FNet(**self.kwargs),
            config,
            facts,
            lambda parameters: _torch.adam(parameters, config.learning_rate),
        )

    def learned(self, target: Array) -> torch.Tensor:
        """Images (B, C, (Z)YX)."""
        return _torch.to_device(target, self.device)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean squared error."""
        return F.mse_loss(output, target)

    def distance(self, found: Array, true: Array) -> float:
        """Mean squared error."""
        return float(np.mean((found - true) ** 2))

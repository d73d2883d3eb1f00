"""fnet with weights, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from zcdl_common import restoring
from zcdl_common.augment import augment
from zcdl_common.metrics.images import mean_pearson_r
from zcdl_common.models import _torch
from zcdl_common.models._torch_model import TorchModel
from zcdl_common.models.nets import fnet as nets
from zcdl_common.network import Geometry, Map, WeightsFiles
from zcdl_common.networks.fnet import FnetConfig, levels
from zcdl_common.networks.plans import multiples
from zcdl_common.patches import busy, cut
from zcdl_common.task import Array, Facts, Prediction, Sample


class FnetModel(TorchModel):
    """See `zcdl_common.network.Model`. One map (B, (Z)YXK): the predicted channels.

    References
    ----------
    Ounkomol et al. 2018, doi:10.1038/s41592-018-0111-2: the network, mean squared error, Adam with a first
    moment of 0.5, and every image at mean 0 and standard deviation 1, targets as well.
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
            lambda parameters: torch.optim.Adam(parameters, config.learning_rate, betas=(0.5, 0.999)),
        )
        self.changes = config.augmentation()

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch of one pair, augmented where that is asked for."""
        target = sample.target.read()
        wanted = busy(target, self.config.busy_patches, rng)
        source, target = cut(sample.source.read(), target, self.config.patch_size, rng, wanted)
        return augment(source, target, rng, self.changes) if self.config.augment else (source, target)

    def learned(self, target: Array) -> torch.Tensor:
        """Images (B, C, (Z)YX)."""
        return _torch.to_device(target, self.device)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean squared error."""
        return F.mse_loss(output, target)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss and Pearson's r over the middle of each validation image."""
        pairs = [self.whole(sample) for sample in samples]
        return {
            "val_loss": float(np.mean([np.mean((found - true) ** 2) for found, true in pairs])),
            "val_pearson_r": float(np.mean([mean_pearson_r(true, found) for found, true in pairs])),
        }

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Map ((Z)YXK) -> image float32 ((Z)YXK) in the units of the targets."""
        return restoring.decode(maps[0], self.facts)

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX whose output has the units of the targets."""
        units = restoring.output_scale(self.facts).limits()
        kwargs = {**self.kwargs, "gain": units.span.tolist(), "offset": units.offset.tolist()}
        exported = nets.FNet(**kwargs)
        exported.load_state_dict(self.net.state_dict())
        names = ("raw", self.maps[0].name)
        return _torch.convert(exported, test_input, folder, names, Path(nets.__file__), kwargs)

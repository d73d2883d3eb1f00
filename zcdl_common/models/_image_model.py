"""The torch half of a model that turns an image into an image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zcdl_common import restoring
from zcdl_common.augment import augment
from zcdl_common.metrics.images import mean_pearson_r
from zcdl_common.models import _torch
from zcdl_common.models._torch_model import TorchModel
from zcdl_common.network import WeightsFiles
from zcdl_common.patches import busy, cut
from zcdl_common.task import Array, Prediction, Sample


class ImageModel(TorchModel):
    """What fnet, pix2pix and CycleGAN share: pairs of images in, an image in the units of the targets out.

    A network adds ``loss`` or what `GanModel` asks for, ``maps``, and `distance`.
    """

    kwargs: Mapping[str, Any]
    """What the architecture is built with; it also takes ``gain`` and ``offset``."""
    distance: Callable[[Array, Array], float]
    """How far an image is from the true one, scaled: the validation loss."""

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch of one pair, augmented where that is asked for."""
        target = sample.target.read()
        wanted = busy(target, self.config.busy_patches, rng)
        source, target = cut(sample.source.read(), target, self.config.patch_size, rng, wanted)
        return augment(source, target, rng, self.changes) if self.config.augment else (source, target)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss and Pearson's r over the middle of each validation image; an empty one has no r."""
        pairs = [self.whole(sample) for sample in samples]
        found = [mean_pearson_r(true, made) for made, true in pairs]
        known = [r for r in found if not np.isnan(r)] or [0.0]
        loss = np.mean([self.distance(made, true) for made, true in pairs])
        return {"val_loss": float(loss), "val_pearson_r": float(np.mean(known))}

    @torch.inference_mode()
    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled float32 (B, (Z)YXC) -> float32 (B, (Z)YXK); in float32 also where training mixes formats.

        Half precision knows about a hundred grey levels between black and white.
        """
        self.net.eval()
        return (_torch.to_numpy(self.net(_torch.to_device(tiles, self.device))),)

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Map ((Z)YXK) -> image float32 ((Z)YXK) in the units of the targets."""
        return restoring.decode(maps[0], self.facts)

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX whose output has the units of the targets."""
        units, architecture = restoring.output_scale(self.facts).limits(), type(self.net)
        kwargs = {**self.kwargs, "gain": units.span.tolist(), "offset": units.offset.tolist()}
        exported: nn.Module = architecture(**kwargs)
        exported.load_state_dict(self.net.state_dict())
        path = Path(str(sys.modules[architecture.__module__].__file__))
        return _torch.convert(exported, test_input, folder, ("raw", self.maps[0].name), path, kwargs)

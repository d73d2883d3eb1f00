"""CycleGAN with weights, in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from zcdl_common.augment import augment
from zcdl_common.errors import RunError
from zcdl_common.models import _torch
from zcdl_common.models._across import with_shared_norm
from zcdl_common.models._gan import JUDGE_LEVELS, GanModel, Terms
from zcdl_common.models._torch_model import VALIDATE_AT_MOST
from zcdl_common.models.nets import cyclegan as nets
from zcdl_common.models.nets import patchgan
from zcdl_common.network import BACK, DIRECTIONS, Geometry, Map
from zcdl_common.networks.cyclegan import STEP, CycleGanConfig
from zcdl_common.patches import busy, centre, cut
from zcdl_common.task import Array, Batch, Facts, Sample
from zcdl_common.tiles import predict_whole


class CycleGanModel(GanModel):
    """See `zcdl_common.network.Model`. One map (B, YXK): the translated channels.

    ``net`` translates in the direction of the config, ``back`` the other way; ``judge`` knows the images
    that ``net`` makes, ``judge_back`` those that ``back`` makes. Training goes from source to target.

    References
    ----------
    Zhu et al. 2017, doi:10.1109/ICCV.2017.244: least squares, the way back, leaving alone what is already of
    the other kind, and a pool of earlier images (Shrivastava et al. 2017, doi:10.1109/CVPR.2017.241).
    """

    # torch 2.13 on a CPU: instance normalisation of a single image gives wrong gradients where they come
    # back channels last. Nothing is lost, since it changes to the other layout inside anyway.
    channels_last = False

    def __init__(self, config: CycleGanConfig, facts: Facts):
        names, c_in = tuple(facts.extra["target_channels"]), len(facts.channels)
        c_out = len(names)
        self.kwargs: dict[str, Any] = {
            "channels_in": c_in,
            "channels_out": c_out,
            "base": config.filters,
            "blocks": config.blocks,
        }
        back = {**self.kwargs, "channels_in": c_out, "channels_out": c_in}
        self.geometry = Geometry((STEP,) * 2, (nets.field_of_view(config.blocks),) * 2)
        self.maps = (Map("translated", names, "translated image, in the units of the other domain"),)

        def judge(channels: int) -> Callable[[], nn.Module]:
            return lambda: patchgan.PatchDiscriminator(
                channels, config.filters, JUDGE_LEVELS, nn.InstanceNorm2d
            )

        super().__init__(
            {
                "net": lambda: nets.ResNetGenerator(**self.kwargs),
                BACK: lambda: nets.ResNetGenerator(**back),
            },
            {"judge": judge(c_out), "judge_back": judge(c_in)},
            config,
            facts,
        )
        self.pools = {name: Pool(config.pool_size) for name in self.sides["judge"]}
        self.backwards = facts.domain == "target"

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random patches of either domain, which have nothing to do with each other: float32 (B, YXC)."""
        found: dict[str, Any] = {}
        for domain in ("source", "target"):
            own = [sample for sample in samples if sample.domain == domain]
            patches = [self.patch(own[rng.integers(len(own))], rng)[0] for _ in range(self.config.batch_size)]
            found[domain] = np.stack(patches)
        return {**found, "seed": rng.integers(2**62)}

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, None]:
        """One patch of one image, augmented where that is asked for."""
        image = sample.source.read()
        patch, _ = cut(image, image, self.config.patch_size, rng, busy(image, self.config.busy_patches, rng))
        return (augment(patch, None, rng, self.changes)[0] if self.config.augment else patch), None

    def make(self, piece: dict[str, torch.Tensor]) -> tuple[Terms, dict[str, torch.Tensor]]:
        """Look real to the judges, find the way back, and leave alone what is already of the other kind.

        An image and one that is to be left alone go through a generator together: instance normalisation
        treats each by itself, so nothing changes but the number of calls.
        """
        source, target = piece["source"], piece["target"]
        net, back, size = self.calls["net"], self.calls[BACK], len(source)
        alone = self.config.identity_weight > 0 and source.shape[1] == target.shape[1]
        there = net(torch.cat([source, target]) if alone else source)
        here = back(torch.cat([target, source]) if alone else target)
        made, made_back = there[:size], here[:size]
        weight = self.config.cycle_weight
        cycle = F.l1_loss(back(made).float(), source) + F.l1_loss(net(made_back).float(), target)
        terms = {
            "loss_real": self._real("judge", made) + self._real("judge_back", made_back),
            "loss_cycle": weight * cycle,
        }
        if alone:
            kept = F.l1_loss(there[size:].float(), target) + F.l1_loss(here[size:].float(), source)
            terms["loss_identity"] = weight * self.config.identity_weight * kept
        return terms, {"judge": made, "judge_back": made_back}

    def _real(self, judge: str, image: torch.Tensor) -> torch.Tensor:
        said = self.calls[judge](image).float()
        return F.mse_loss(said, torch.ones_like(said))

    def judge(self, piece: dict[str, torch.Tensor], made: dict[str, torch.Tensor]) -> torch.Tensor:
        """Tell true images from made ones, of now and of earlier; half as fast as the generators learn."""
        losses = []
        for name, true in (("judge", piece["target"]), ("judge_back", piece["source"])):
            shown = self.pools[name].exchange(made[name].float())
            said, said_true = self.calls[name](shown).float(), self.calls[name](true).float()
            losses += [F.mse_loss(said, torch.zeros_like(said)), F.mse_loss(said_true, torch.ones_like(said))]
        return sum(losses) / 2

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean absolute difference between the middle of validation images and their way there and back."""
        losses = []
        there, back = self.forward, self._forward_back
        for sample in samples:
            image = centre(sample.source.read(), VALIDATE_AT_MOST[2])
            first, second = (there, back) if sample.domain == "source" else (back, there)
            (made,) = predict_whole(first, image, self.geometry)
            (again,) = predict_whole(second, made, self.geometry)
            losses.append(np.abs(again - image).mean())
        return {"val_loss": float(np.mean(losses))}

    @torch.inference_mode()
    def _forward_back(self, tiles: Array) -> tuple[Array, ...]:
        back = self.networks[BACK].eval()
        return (_torch.to_numpy(back(_torch.to_device(tiles, self.device))),)

    # -- prediction -------------------------------------------------------------------------------

    def across(self, windows: Iterable[Array]) -> Callable[[Array], tuple[Array, ...]]:
        """`forward` for the tiles of one image, normalised alike; `windows` (1, YXC) stand for the image."""
        shared = with_shared_norm(self.net, (_torch.to_device(one, self.device) for one in windows))

        @torch.inference_mode()
        def forward(tiles: Array) -> tuple[Array, ...]:
            return (_torch.to_numpy(shared(_torch.to_device(tiles, self.device))),)

        return forward

    # -- weights ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        return super().state() | {f"pool/{name}": pool.state() for name, pool in self.pools.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        super().restore(state)
        for name, pool in self.pools.items():
            pool.restore(state[f"pool/{name}"], self.device)

    def load(self, folder: Path, which: str) -> None:
        """Read the weights.

        Raises
        ------
        RunError
            There are none of this direction, as after the export of the other.
        """
        if not self.file(folder, which, "net").exists() and self.file(folder, which, BACK).exists():
            there, here = (DIRECTIONS["target"], DIRECTIONS["source"])[:: -1 if self.backwards else 1]
            raise RunError(
                f"{folder.parent} was unpacked from a package that works from {there} alone, and direction = "
                f"{here}. Set direction = {there}; or set model to the run folder that it was made of, which "
                "knows both."
            )
        super().load(folder, which)

    def keep(self, folder: Path, name: str) -> None:
        """Write both generators' weights for good; see `listeners.Kept`."""
        for network in self.sides["net"]:
            _torch.save_weights(self.networks[network], self.file(folder, name, network))

    def file(self, folder: Path, which: str, name: str) -> Path:
        """Files are named as in training: backwards, the two directions change places."""
        swapped = {"net": BACK, BACK: "net", "judge": "judge_back", "judge_back": "judge"}
        return super().file(folder, which, swapped[name] if self.backwards else name)


class Pool:
    """Images that were made earlier; half of what a judge is shown comes from here."""

    def __init__(self, size: int):
        self.size = size
        self.images: list[torch.Tensor] = []

    def exchange(self, images: torch.Tensor) -> torch.Tensor:
        """Put images (B, C, Y, X) in, and take as many out."""
        if self.size == 0:
            return images
        shown = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image.clone())
                shown.append(image)
            elif torch.rand(()).item() < 0.5:
                place = int(torch.randint(self.size, ()).item())
                shown.append(self.images[place])
                self.images[place] = image.clone()
            else:
                shown.append(image)
        return torch.stack(shown)

    def state(self) -> Array:
        """All images (N, C, Y, X), float32; empty where there are none yet."""
        return torch.stack(self.images).cpu().numpy() if self.images else np.empty(0, np.float32)

    def restore(self, images: Array, device: torch.device) -> None:
        """Put back what `state` took."""
        self.images = [torch.from_numpy(np.array(image)).to(device) for image in images]

"""What the adversarial torch models share: generators and judges that learn in turn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zcdl_common.models import _torch
from zcdl_common.models._image_model import ImageModel
from zcdl_common.models._torch_model import frozen_parts
from zcdl_common.task import Array, Batch, Facts

Terms = dict[str, torch.Tensor]
"""Parts of a loss by name."""
JUDGE_LEVELS = 3
"""Patches of 70 pixels are judged, as in both publications."""


class GanModel(ImageModel):
    """Generators and judges, each kind with an optimiser of its own.

    A network adds ``make``, ``judge`` and what `ImageModel` asks for. In a step the generators learn first,
    against the judges as they are; then the judges learn from the very images that the generators made. So a
    batch can go through in parts, whose gradients add up, without making any image twice.
    """

    def __init__(
        self,
        generators: dict[str, Callable[[], nn.Module]],
        judges: dict[str, Callable[[], nn.Module]],
        config: Any,
        facts: Facts,
    ):
        super().__init__(generators["net"], config, facts, lambda p: _torch.adam(p, config.learning_rate))
        for name, make in {**generators, **judges}.items():
            if name != "net":
                self.networks[name] = make().to(self.device, memory_format=self.layout)
        self.sides = {"net": list(generators), "judge": list(judges)}
        """Networks by the optimiser that trains them."""
        for name in self.sides["net"][1:]:  # what is frozen in one generator is in the other
            self.frozen += frozen_parts(self.networks[name], config.freeze)
        for side, names in self.sides.items():
            self.optimisers[side] = _torch.adam(self._weights(names), config.learning_rate)

    def _weights(self, names: list[str]) -> list[nn.Parameter]:
        return [p for name in names for p in self.networks[name].parameters() if p.requires_grad]

    @abstractmethod
    def make(self, piece: dict[str, torch.Tensor]) -> tuple[Terms, dict[str, torch.Tensor]]:
        """Generate from a part of a batch: terms of the generators' loss, and the images made, by judge."""

    @abstractmethod
    def judge(self, piece: dict[str, torch.Tensor], made: dict[str, torch.Tensor]) -> torch.Tensor:
        """Loss of the judges on true images and on those made before."""

    def step(self, batch: Batch, learning_rate: float) -> Terms:
        """One step of the generators, then one of the judges."""
        self.begin_step(batch, learning_rate)
        made, total = [], {}
        size = len(batch["source"])
        pieces, generators = list(self._pieces(batch)), self._weights(self.sides["net"])
        for piece in pieces:
            with _torch.autocast(self.arithmetic, self.device):
                terms, images = self.make(piece)
            share = len(piece["source"]) / size
            # gradients of the judges are not asked for here
            self.scaled(sum(terms.values()) * share).backward(inputs=generators)
            for name, term in terms.items():
                total[name] = total.get(name, 0.0) + term.detach() * share
            made.append({name: image.detach() for name, image in images.items()})
        judged: torch.Tensor | float = 0.0
        for piece, images in zip(pieces, made, strict=True):
            share = len(piece["source"]) / size
            with _torch.autocast(self.arithmetic, self.device):
                loss = self.judge(piece, images) * share
            self.scaled(loss).backward()
            judged = judged + loss.detach()
        self.end_step("net", "judge")
        return {"loss": sum(total.values()), **total, "loss_judge": judged}

    def keep(self, folder: Path, name: str) -> None:
        """Write the generator's weights for good; see `listeners.Kept`."""
        _torch.save_weights(self.net, folder / f"{name}.pt")

    def _pieces(self, batch: Batch) -> Iterator[dict[str, torch.Tensor]]:
        """The images of a batch on the device (B, C, (Z)YX), a part of it at a time."""
        images: dict[str, Array] = {name: array for name, array in batch.items() if name != "seed"}
        for start in range(0, len(batch["source"]), self.part):
            yield {
                name: _torch.to_device(array[start : start + self.part], self.device).clone(
                    memory_format=self.layout
                )
                for name, array in images.items()
            }

"""YOLO with weights, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zcdl_common import detecting
from zcdl_common.augment.boxes import augment_boxes, clip_boxes, cut_boxes
from zcdl_common.models import _boxes, _torch
from zcdl_common.models._torch_model import VALIDATE_AT_MOST, TorchModel
from zcdl_common.models.nets import yolo as nets
from zcdl_common.network import Geometry, Map, WeightsFiles
from zcdl_common.networks.tasks import DETECT
from zcdl_common.networks.yolo import BASES, DEPTHS, YoloConfig, multiple
from zcdl_common.patches import centre
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample, WithTargets
from zcdl_common.tiles import predict_whole

SIDES = ("top", "left", "bottom", "right")


class YoloModel(TorchModel):
    """See `zcdl_common.network.Model`. One map a grid; `nets.YOLO` says what its channels mean."""

    def __init__(self, config: YoloConfig, facts: Facts):
        classes = facts.extra["class_names"]
        self.kwargs: dict[str, Any] = {
            "channels_in": len(facts.channels),
            "classes": len(classes),
            "base": BASES[config.size],
            "depths": list(DEPTHS[config.size]),
            "finest": config.finest_grid,
            "shrink": config.downscaling_in_xy,
        }
        self.steps = nets.grid_steps(config.finest_grid, config.downscaling_in_xy)
        halo = nets.field_of_view(DEPTHS[config.size], config.finest_grid, config.downscaling_in_xy)
        self.geometry = Geometry((multiple(config),) * 2, (halo,) * 2)
        channels = (*SIDES, "overlap", *classes)
        self.maps = tuple(
            Map(f"grid_{step}", channels, f"box, its expected overlap and classes, every {step} pixels")
            for step in self.steps
        )
        super().__init__(
            lambda: nets.YOLO(**self.kwargs),
            config,
            facts,
            lambda parameters: _torch.make_optimiser(
                config.optimiser, parameters, config.learning_rate, config.weight_decay
            ),
        )
        shapes = [[side // step for side in config.patch_size] for step in self.steps]
        self.where = _boxes.grid(shapes, self.steps, self.device)

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Random augmented patches float32 (B, Y, X, C), and their boxes float32 (B, M, 5).

        Images with fewer boxes than the most are filled up with boxes of class -1.
        """
        made = [
            self.patch(samples[rng.integers(len(samples))], rng, samples)
            for _ in range(self.config.batch_size)
        ]
        most = max(1, *(len(boxes) for _, boxes in made))
        target = np.full((len(made), most, 5), -1.0, np.float32)
        for filled, (_, boxes) in zip(target, made, strict=True):
            filled[: len(boxes)] = boxes
        return {
            "source": np.stack([patch for patch, _ in made]),
            "target": target,
            "seed": rng.integers(2**62),
        }

    def patch(
        self, sample: Sample, rng: np.random.Generator, others: Sequence[Sample] = ()
    ) -> tuple[Array, Array]:
        """One patch of one image and its boxes, augmented where that is asked for.

        Parts of `others` may stand beside it, in a mosaic.
        """
        images, wanted = (
            WithTargets((sample, *others), lambda one: one.target.read()),
            self.config.mosaic if others else 0.0,
        )
        if not self.config.augment:
            return cut_boxes(*images[0], self.config.patch_size, rng)
        return augment_boxes(images, 0, self.config.patch_size, rng, self.changes, wanted)

    def learned(self, target: Array) -> torch.Tensor:
        """Boxes (B, M, 5) on the device."""
        return _torch.send(target, self.device)

    def loss(self, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """See `_boxes.loss`; `raw` is what the network says in training mode of a patch."""
        return _boxes.loss(raw, target, self.where)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss of validation images, and mean average precision at an IoU of 0.5 of all together."""
        losses, found, truths = [], [], []
        for sample in samples:
            image, truth = self.middle(sample)
            maps = predict_whole(self.forward, image, self.geometry)
            heads = zip(maps, self.steps, strict=True)
            said = torch.cat([_boxes.unread(torch.from_numpy(m), step) for m, step in heads], dim=1)
            where = _boxes.grid([m.shape[:2] for m in maps], self.steps, torch.device("cpu"))
            losses.append(float(_boxes.loss(said[None], torch.from_numpy(truth)[None], where)))
            asked = {**DETECT.decoding, "shape": image.shape[:2]}
            found.append(self.decode(maps, asked))
            truths.append(truth)
        return {"val_loss": float(np.mean(losses)), "val_map50": detecting.map50(truths, found, self.facts)}

    def middle(self, sample: Sample) -> tuple[Array, Array]:
        """A validation image and its boxes; of a large one the middle, for the sake of time and memory."""
        image, boxes = sample.source.read(), sample.target.read()
        shown = centre(image, [side * self.config.downscaling_in_xy for side in VALIDATE_AT_MOST[2]])
        start = [(n - m) // 2 for n, m in zip(image.shape[:2], shown.shape[:2], strict=True)]
        return shown, clip_boxes(boxes - np.array([*start, *start, 0], np.float32), shown.shape[:2])

    # -- prediction -------------------------------------------------------------------------------

    @torch.inference_mode()
    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled float32 (B, Y, X, C) -> a map a grid, float32 (B, Y, X, 5 + classes)."""
        self.net.eval()
        with _torch.autocast(self.arithmetic, self.device):
            made = self.net(_torch.to_device(tiles, self.device))
        return tuple(_torch.to_numpy(one) for one in made)

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Maps of an image -> boxes; see `detecting.decode`."""
        return detecting.decode(maps, self.steps, settings)

    # -- weights ----------------------------------------------------------------------------------

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX with one output a grid."""
        exported = nets.YOLO(**self.kwargs)
        exported.load_state_dict(self.net.state_dict())
        names = ("raw", *(m.name for m in self.maps))
        return _torch.convert(exported, test_input, folder, names, Path(nets.__file__), self.kwargs)

"""Deep-STORM with weights, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zcdl_common.augment.points import cut_points, flip_and_turn_points
from zcdl_common.baselines.hits import count_hits
from zcdl_common.models import _heat, _torch
from zcdl_common.models._torch_model import TorchModel
from zcdl_common.models.nets import deepstorm as nets
from zcdl_common.network import Geometry, Map, WeightsFiles
from zcdl_common.networks.deepstorm import DeepStormConfig, simulation_of, source_scale
from zcdl_common.patches import centre
from zcdl_common.smlm import simulate
from zcdl_common.task import Array, Batch, Facts, Prediction, Sample
from zcdl_common.tiles import predict_whole

FLOOR = 0.05
"""Least confidence of a candidate."""
THRESHOLDS = (0.15, 0.25, 0.35, 0.5, 0.7)
"""Tried in validation."""
VALIDATED, VALIDATE_AT_MOST = 64, (64, 64)
"""Frames that are looked at after each epoch, and pixels of their middle: movies have thousands."""
RADIUS = 0.25
"""Micrometres within which a position counts as found there."""
FILLER = -1.0
AT_ONCE = 2**22
"""Fine pixels that go through the network at once in prediction: about 2 GB with 32 filters."""


class DeepStormModel(TorchModel):
    """See `zcdl_common.network.Model`. One map, `upsampling` times as fine as the frames: the emitters.

    Learns from frames that are simulated on the way, none shown twice, or from frames with known positions.

    References
    ----------
    Nehme, Weiss, Michaeli, Shechtman 2018, Optica 5:458, doi:10.1364/OPTICA.5.000458: the network, its loss,
    and Adam. There positions were not read from the map, and frames were simulated once.
    """

    def __init__(self, config: DeepStormConfig, facts: Facts):
        self.kwargs: dict[str, Any] = {
            "channels_in": len(facts.channels),
            "upsampling": config.upsampling,
            "filters": config.filters,
        }
        halo = nets.field_of_view(config.upsampling) + _heat.reach(config.upsampling)
        self.geometry = Geometry((nets.multiple(config.upsampling),) * 2, (halo,) * 2)
        meaning = (
            f"emitters in each fine pixel, {_heat.HEIGHT:g} an emitter, {config.upsampling} a camera pixel"
        )
        self.maps = (Map("emitters", ("emitters",), meaning),)
        super().__init__(
            lambda: nets.DeepSTORM(**self.kwargs),
            config,
            facts,
            lambda parameters: _torch.make_optimiser("adam", parameters, config.learning_rate, 0.0),
        )
        self.room = AT_ONCE // config.upsampling**2
        """Camera pixels that `localise` takes at once."""
        self.together = 1 if self.device.type == "cpu" else self.room
        """Frames that go through the network together; a CPU is faster with those that its cache holds."""
        self.simulation = simulation_of(config, facts) if config.learn_from == "simulation" else None
        self.scale = source_scale(facts)

    # -- training ---------------------------------------------------------------------------------

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Patches float32 (B, Y, X, C), simulated or cut, and their emitters float32 (B, M, 2).

        Patches with fewer emitters than the most are filled up with positions outside the field.
        """
        size = self.config.batch_size
        if self.simulation is not None:
            made = self.simulated(size, rng)
        else:
            made = [self.cut(samples[rng.integers(len(samples))], rng) for _ in range(size)]
        most = max(1, *(len(yx) for _, yx in made))
        target = np.full((size, most, 2), FILLER, np.float32)
        for filled, (_, yx) in zip(target, made, strict=True):
            filled[: len(yx)] = yx
        source = np.stack([frame for frame, _ in made])
        return {"source": source, "target": target, "seed": rng.integers(2**62)}

    def patch(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """One patch, simulated or cut from the image, and its emitters."""
        return self.cut(sample, rng) if self.simulation is None else self.simulated(1, rng)[0]

    def simulated(self, count: int, rng: np.random.Generator) -> list[tuple[Array, Array]]:
        """New frames, scaled (Y, X, 1), and their emitters (N, 2)."""
        frames, emitters = simulate.frames(rng, self.simulation, count, self.config.patch_size)
        scaled = self.scale.apply(frames[..., None], self.scale.limits())
        ends = np.searchsorted(emitters.frame, np.arange(1, count))
        return list(zip(scaled, np.split(emitters.yx, ends), strict=True))

    def cut(self, sample: Sample, rng: np.random.Generator) -> tuple[Array, Array]:
        """A random window of an image, mirrored and turned where that is asked for, and its emitters."""
        image, yx = sample.source.read(), sample.target.read()
        size = self.config.patch_size
        patch, yx = cut_points(image, yx, rng.integers(0, np.array(image.shape[:2]) - size + 1), size)
        return flip_and_turn_points(patch, yx, rng) if self.config.augment else (patch, yx)

    def learned(self, target: Array) -> torch.Tensor:
        """Positions (B, M, 2) on the device."""
        return _torch.send(target, self.device)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """See `_heat.loss`."""
        config = self.config
        return _heat.loss(output, target, config.upsampling, config.heat_sigma, config.sparsity)

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Mean loss, and the Jaccard index of all together at 250 nm and the best of a few thresholds.

        Of many frames those that lie evenly among them are looked at, and of large ones the middle.
        """
        samples = samples[:: -(-len(samples) // VALIDATED)]
        losses, found, known = [], [], []
        for number, sample in enumerate(samples):
            image, true = self.middle(sample)
            maps = predict_whole(self.forward, image, self.geometry)
            output = _torch.to_device(maps[0][None], self.device)
            losses.append(float(self.loss(output, _torch.send(true[None], self.device))))
            (said,) = self.positions(output, {"threshold": 0.0})
            found.append(np.column_stack([np.full(len(said.main), number), said.main, said.extra["scores"]]))
            known.append(np.column_stack([np.full(len(true), number), true]))
        rows, truth = np.concatenate(found), np.concatenate(known)
        radius = RADIUS / self.facts.pixel_size[-1]
        kept = (rows[rows[:, 3] > threshold, :3] for threshold in THRESHOLDS)
        jaccard = max(count_hits(some, truth, len(samples), radius).jaccard for some in kept)
        return {"val_loss": float(np.mean(losses)), "val_jaccard": jaccard}

    def middle(self, sample: Sample) -> tuple[Array, Array]:
        """The middle of a validation image, and the emitters in it."""
        image, yx = sample.source.read(), sample.target.read()
        size = centre(image, VALIDATE_AT_MOST).shape[:2]
        return cut_points(image, yx, (np.array(image.shape[:2]) - size) // 2, size)

    # -- prediction -------------------------------------------------------------------------------

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Map of a frame (Y, X, 1) -> positions above a threshold; see `_heat.peaks`."""
        return self.positions(_torch.to_device(maps[0][None], self.device), settings)[0]

    @torch.inference_mode()
    def localise(self, tiles: Array, settings: Mapping[str, Any]) -> list[Prediction]:
        """Scaled frames float32 (B, Y, X, C) -> their positions, without the maps leaving the device."""
        self.net.eval()
        found = []
        for start in range(0, len(tiles), self.together):
            with _torch.autocast(self.arithmetic, self.device):
                maps = self.net(_torch.to_device(tiles[start : start + self.together], self.device))
            found += self.positions(maps.float(), settings)
        return found

    def positions(self, maps: torch.Tensor, settings: Mapping[str, Any]) -> list[Prediction]:
        """Maps (B, 1, Y, X) -> positions float32 (N, 2) of each in camera pixels, and how sure they are."""
        floor = max(FLOOR, settings["threshold"])
        found = _heat.peaks(maps, self.config.upsampling)
        frame, yx, sure = (one.cpu().numpy() for one in found)
        kept = sure > floor
        ends = np.searchsorted(frame[kept], np.arange(1, len(maps)))
        parts = zip(np.split(yx[kept], ends), np.split(sure[kept], ends), strict=True)
        made = [Prediction(places, {"scores": scores}) for places, scores in parts]
        if (error := settings.get("error_px")) is None:  # as it was on validation frames
            return made
        return [replace(p, extra=p.extra | {"error": np.full(len(p.main), error, np.float32)}) for p in made]

    # -- weights ----------------------------------------------------------------------------------

    def weights(self, folder: Path, test_input: Array) -> WeightsFiles:
        """State dict, TorchScript and ONNX, whose output is the map."""
        exported = nets.DeepSTORM(**self.kwargs)
        exported.load_state_dict(self.net.state_dict())
        names = ("raw", self.maps[0].name)
        return _torch.convert(exported, test_input, folder, names, Path(nets.__file__), self.kwargs)

"""The few types everything shares: samples, splits, facts, tasks, predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Domain = Literal["source", "target"]
Batch = Mapping[str, Array]
"""Named NumPy arrays of one training step; images are float32 (B, (Z)YXC)."""


def resolve(name: str) -> Any:
    """Import ``"package.module:attribute"`` on first use, so that naming it costs nothing."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


class Lazy(Protocol):
    """Something on disk that is read when asked for."""

    @property
    def path(self) -> Path: ...
    def read(self) -> Any: ...


@dataclass(frozen=True)
class Sample:
    """One image and what is known about it.

    ``source.read()`` gives (Z)YXC; what ``target.read()`` gives depends on the task. Samples of
    one ``group`` (movie, stack, well) never stand on both sides of a split.
    """

    name: str
    group: str
    source: Lazy
    target: Lazy | None = None
    domain: Domain = "source"
    """Kind of image: where nothing is paired, images of the kind that is to be made are samples, too."""

    @property
    def size(self) -> tuple[int, ...]:
        """Of the image, (Z)YX in pixels; from its header where it is on disk."""
        info = getattr(self.source, "info", None)
        return info().shape if info is not None else self.source.read().shape[:-1]  # type: ignore[no-any-return]


class WithTargets(Sequence[tuple[Array, Array]]):
    """Images (Z)YXC of samples with what `target` makes of each sample, read when they are asked for."""

    def __init__(self, samples: Sequence[Sample], target: Callable[[Sample], Array]):
        self.samples, self.target = samples, target

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        sample = self.samples[index]
        return sample.source.read(), self.target(sample)


@dataclass(frozen=True)
class Split:
    """Samples by role; where nothing is paired, of both domains."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...] = ()
    note: str = ""
    """How the images were divided, in a sentence for the report."""

    def of(self, domain: Domain) -> Split:
        """The samples of one domain alone."""
        train, validation, test = (
            tuple(s for s in role if s.domain == domain) for role in (self.train, self.validation, self.test)
        )
        return Split(train, validation, test, self.note)


@dataclass(frozen=True)
class Facts:
    """What a data set says about itself, measured once on the training images."""

    ndim: int
    """Spatial dimensions: 2 (YX) or 3 (ZYX)."""
    channels: tuple[str, ...]
    """Names of the input channels."""
    shapes: tuple[tuple[int, ...], ...]
    """Spatial size (Z)YX of every training image."""
    dtype: str
    pixel_size: tuple[float, ...] | None = None
    """(Z)YX in micrometres."""
    classes: tuple[int, ...] = ()
    """Values found in masks, background first; empty where the target is no mask."""
    device: str = "cpu"
    """"cpu" or "gpu": what training will run on, since it bounds what is reasonable."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Images by role: train, validation, test."""
    domain: Domain = "source"
    """The kind of image that the network takes; "target" where one that works in both directions is used
    backwards."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only one task measures (object sizes, foreground fraction, scales of the training set)."""


@dataclass(frozen=True)
class Prediction:
    """What a network says about one image.

    ``main`` is the task's own result (mask, labels, image, boxes, points); ``extra`` holds named
    companions (probability, uncertainty, support).
    """

    main: Array
    extra: Mapping[str, Array] = field(default_factory=dict)


class Output(NamedTuple):
    """An array as it is written to a file."""

    array: Array
    axes: str
    labels: bool = False
    """Whether the numbers are names of objects."""


class Baseline(NamedTuple):
    """A classical method, tuned on training images."""

    name: str
    description: str
    predict: Callable[[Array], Prediction]


@dataclass(frozen=True)
class Task:
    """What varies with the kind of target. Strings are import paths, resolved on first use."""

    name: Literal["restore", "denoise", "segment", "instances", "detect", "localise", "translate", "unpaired"]
    annotations: str
    """``(sources, folder text, parameter, repaired copies) -> (Pairing, a Lazy target a pair)``."""
    target: str
    """``(sample, facts) -> target array`` as the network learns it."""
    facts: str
    """``(samples, config) -> dict`` of the task's own fields of `Facts`."""
    scores: str
    """``(truth, Prediction, facts, source) -> dict`` of metric name to value, for one image (Z)YXC."""
    baseline: str
    """``(train samples, facts, seed) -> Baseline``: the classical method, tuned."""
    outputs: str
    """``(prediction, config, facts) -> {suffix: Output}``: the files that a prediction becomes."""
    stream: str
    """``(prediction of a block, facts) -> Output``: the one file that is written block by block where an
    image is larger than memory."""
    error_maps: str
    """``(truth, prediction, facts, source) -> {suffix: Output}``: where a prediction is wrong, as images."""
    picture: str
    """``(axes, source, target or prediction, pixel_size=None) -> None``: draws one image."""
    error_picture: str
    """``(axes, truth, prediction, pixel_size=None, source=None) -> caption or None``: draws where it is
    wrong, over the image where that helps."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `Model.decode` before any were chosen; a parameter of the same name comes first."""
    settings: str = ""
    """``(decode, iterable of (maps, truth, size (Z)YX) of validation images, facts) -> dict``: better
    settings; where the first was chosen from a ``curve`` of scores over ``thresholds``, those, and
    ``curve_of``, which scores it shows. Empty: nothing to choose."""
    files: str = ""
    """``(predictions, sources, facts, pixel_size, folder, stem) -> paths, note``: writes the files of one
    input that are no images, from a prediction and an image (Z)YXC a frame, and says what was left out; empty
    where there are none. Of an image larger than memory both are files to be sliced."""
    gathered: str = ""
    """``(folder, facts, {stem: name of the input}) -> path or None``: joins the files of all inputs into one
    more; empty: nothing to join."""
    owned: Literal["", "labels", "boxes", "points"] = ""
    """Where a prediction is objects: a label image, with ``points`` and ``scores`` in its extras, boxes, or
    points. Tile by tile, each object then comes from the tile whose core holds its point or its centre."""
    divide: str = ""
    """``(config, samples, test samples) -> Split, samples that simulated ones are like``: where images are
    not divided by file or group alone; empty: they are."""
    reference: str = ""
    """``(train samples, facts) -> what scores are taken against`` beside a truth, given to them as
    ``reference``; empty where a truth is all they need."""
    set_scores: str = ""
    """``(truths, predictions, facts, *, groups, seed, reference) -> {metric: Interval}``: scores of all
    images of a method together; empty: none."""
    set_comparison: str = ""
    """``(truths, network's predictions, those of the classical method, facts, *, groups, seed, margin) ->
    Comparison`` by the primary metric, where that is a score of all images together; empty: it is not."""
    figures: str = ""
    """``(truths, network's predictions, facts, settings, *, classical, groups, seed) ->
    {name: Figure}``: what more there is to see of all images together; `classical` is what that method
    predicts; empty: nothing."""
    plane_scores: str = ""
    """``(truth, prediction, facts) -> {metric: (Z,) array}``: scores of the planes of a volume; empty where
    planes are not scored apart."""
    zoo_name: str = ""
    """The BioImage Model Zoo's word for it."""
    source_label: str = "images"
    target_label: str = "targets"
    drawn: bool = True
    """Whether people draw the targets; else they are images from a microscope."""
    needs_target: bool = True
    paired: bool = True
    """Whether every image has a target of its own; else targets are images of another domain."""
    without_partners: str = ""
    """What to do with images that have no partners, in a sentence; empty: nothing comes to mind."""
    turned: bool = False
    """Whether the network is also asked about the turned image, to see where it contradicts itself."""
    stained: bool = False
    """Whether targets are fluorescence and images are not, so that exchanged folders can be told."""
    input_is_prediction: bool = False
    """Whether the untouched input is itself an attempt worth scoring (restoration)."""

    def drawing(self, facts: Facts) -> Callable[..., None]:
        """`picture`, with the names of the classes where the facts know them."""
        names = facts.extra.get("class_names")
        return partial(resolve(self.picture), names=names) if names else resolve(self.picture)

    @cached_property
    def read_target(self) -> Callable[[Sample, Facts], Array]:
        return resolve(self.target)  # type: ignore[no-any-return]


def as_float(image: Array) -> Array:
    """Any image as float32."""
    return np.asarray(image, dtype=np.float32)

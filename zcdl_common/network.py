"""What a network is: its facts on paper (`Network`) and its weights at work (`Model`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from zcdl_common import citations
from zcdl_common import config as _config
from zcdl_common.config import Config
from zcdl_common.scales import Fixed, Scaling
from zcdl_common.task import Array, Batch, Domain, Facts, Prediction, Sample, Task, resolve

Which = Literal["best", "last"]
DIRECTIONS: Mapping[Domain, str] = {"source": "source to target", "target": "target to source"}
"""Where a network that works in both directions begins -> the parameter ``direction``."""
BACK = "back"
"""What the part that works from target to source is called, and its files of weights after that."""


@dataclass(frozen=True)
class Geometry:
    """What a network asks of an image, per spatial axis (Z)YX."""

    multiple: tuple[int, ...]
    """Sizes must be a multiple of this."""
    halo: tuple[int, ...]
    """How far an output pixel sees; tiles overlap by at least this."""


class Map(NamedTuple):
    """One dense output of a network. Its size beside the input's is what `Model.forward` returns."""

    name: str
    channels: tuple[str, ...]
    meaning: str
    range: tuple[float, float] | None = None
    """Smallest and largest value that can occur; None: not limited."""


class Plan(NamedTuple):
    """A config without gaps, and why each gap was filled as it was."""

    config: Config
    reasons: dict[str, str]


@dataclass(frozen=True)
class Best:
    """The rule that picks the best epoch from the losses table; ``key`` "" keeps the last."""

    key: str = "val_loss"
    mode: Literal["min", "max"] = "min"

    def better(self, row: Mapping[str, float], than: Mapping[str, float] | None) -> bool:
        """Whether an epoch is better than another, by their rows of the table; one without score never is.

        Of equal scores that with the smaller validation loss is better: a score stays at 0 while a network
        knows nothing yet, and at 1 once images are easy for it, and both say nothing about what it learns.
        """
        if not self.key:
            return True
        if np.isnan(row.get(self.key, np.nan)):
            return False
        return than is None or self._rank(row) > self._rank(than)

    def _rank(self, row: Mapping[str, float]) -> tuple[float, float]:
        sign = -1 if self.mode == "min" else 1
        score, loss = sign * row.get(self.key, np.nan), -row.get("val_loss", np.nan)
        return (-np.inf if np.isnan(score) else score, -np.inf if np.isnan(loss) else loss)


@dataclass(frozen=True)
class WeightsFiles:
    """What a BioImage Model Zoo package needs of a model."""

    files: Mapping[str, Path]
    """Weight format of the zoo -> file."""
    architecture: Path | None = None
    """Self-contained source file of the network (torch)."""
    callable: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    """Version of the backend that wrote the files."""


class Packed(NamedTuple):
    """What a package holds of a model where that differs from what the model is at work here.

    A model that needs it has a method ``packed(folder, settings) -> Packed``.
    """

    maps: tuple[Map, ...]
    """What the exported weights return, in this order."""
    forward: Callable[[Array], tuple[Array, ...]]
    """Scaled (B, (Z)YXC) -> these maps."""
    config: Mapping[str, Any] = {}
    """Further parts of the package's ``config``."""
    attachments: tuple[Path, ...] = ()
    """Further files, written into the folder given."""


class Model(Protocol):
    """A network with weights. NumPy in, NumPy out; no backend type crosses this line."""

    geometry: Geometry
    maps: tuple[Map, ...]
    """What `forward` returns, in this order."""
    part: int
    """Patches that go through the network at once, at most the batch size."""
    arithmetic: str
    """Number format of training: float32, bfloat16 or float16; taken from the facts where it stands there."""

    def parameters(self) -> int:
        """How many numbers the network has learned."""
        ...

    def batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """One training batch, a function of `samples` and `rng` alone.

        Made in another thread while the one before trains. A library that draws from ``np.random``
        may be seeded here from `rng`; then neither `step` nor a listener may draw from it.
        """
        ...

    def step(self, batch: Batch, learning_rate: float) -> Mapping[str, Any]:
        """One optimiser step; always the same keys, ``loss`` among them.

        Results stay on the device until turned into floats.
        """
        ...

    def validate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Losses and scores on whole validation images, keys starting with ``val_``."""
        ...

    def state(self) -> dict[str, Array]:
        """Everything a resumed run needs: weights, optimisers, image pools, loss scaler.

        Keys of weights start with ``module/``, as `start` expects them.
        """
        ...

    def restore(self, state: Mapping[str, Array]) -> None: ...

    def forward(self, tiles: Array) -> tuple[Array, ...]:
        """Scaled (B, (Z)YXC) -> dense maps (B, (Z)YXK)."""
        ...

    def decode(self, maps: tuple[Array, ...], settings: Mapping[str, Any]) -> Prediction:
        """Dense maps of one whole image, whose size (Z)YX is ``settings["shape"]`` -> its prediction."""
        ...

    def start(self, state: Mapping[str, Array]) -> list[str]:
        """Take the weights that fit from another model's `state`; returns what was left out."""
        ...

    def fit_memory(self, batch: Batch) -> int:
        """Patches that memory holds at once; the weights stay as they were."""
        ...

    def save(self, folder: Path, which: Which) -> None: ...
    def load(self, folder: Path, which: str) -> None: ...
    def weights(self, folder: Path, test_input: Array) -> WeightsFiles: ...


@runtime_checkable
class Keeping(Protocol):
    """What models do beside `Model` whose networks keep weights along the way (`Network.keeps`)."""

    def keep(self, folder: Path, name: str) -> None:
        """Write what predicts, in all directions, so that `Model.load` finds it under `name`."""
        ...


@runtime_checkable
class Across(Protocol):
    """What models do beside `Model` that would normalise each tile by what it shows itself."""

    def across(self, windows: Iterable[Array]) -> Callable[[Array], tuple[Array, ...]]:
        """`Model.forward` for the tiles of one image, all alike; scaled windows stand for the image."""
        ...


@dataclass(frozen=True)
class Network:
    """One published method."""

    name: str
    title: str
    task: Task
    backend: Literal["torch", "tensorflow"]
    Config: type[Config]
    model: str
    """Import path of the model class, resolved on first use."""
    cite: tuple[str, ...]
    """DOIs of the method."""
    plan: Callable[[Any, Facts], Plan]
    """Fills what is automatic from the data, with reasons."""
    primary: str
    """The metric that decides the verdict."""
    scale: Callable[[Facts], Scaling]
    """How images become network input; one rule in training, prediction and export."""
    target_scale: Callable[[Facts], Scaling] | None = None
    """How targets become what the network learns; None: as the task reads them."""
    output_scale: Callable[[Facts], Fixed] | None = None
    """Units that outputs are brought to, fixed by the training set, since a new image has no target; None: as
    the network returns them."""
    best: Best = Best()
    """Which epoch's weights are kept as the best."""
    progress: Best | None = None
    """What early stopping and the plateau schedule watch; None: what `best` looks at."""
    margin: float = 0.01
    """Difference of the primary metric below which two methods are called the same."""
    higher_is_better: bool = True
    """Direction of the primary metric."""
    goal: str = ""
    """What training makes small, where no parameter ``loss`` says it, with names of parameters in braces."""
    curves: str = ""
    """How to read the losses where those of training and validation are other quantities, so that one says
    nothing of the other; empty: both are the same."""
    facing: Callable[[Any, Facts], Facts] | None = None
    """Facts as they are in the direction that the config asks for; None: the network works in one alone."""
    whole: str = ""
    """Why other programs should be given whole images, no tiles, in a sentence; empty: they need not."""
    ready_made: Callable[[Facts], str] | None = None
    """The model that others have trained for such images, as `model_folders` names it, "" where there is
    none; what is at hand is judged before training. None: nothing is."""
    summary: str = ""
    """One line: what it is for."""
    limits: str = ""
    """One sentence: what it cannot do."""

    @property
    def short_title(self) -> str:
        """The method alone: "CARE"."""
        return self.title.split(":")[0]

    @property
    def keeps(self) -> bool:
        """Whether weights are kept along the way, as the parameter ``keep_every`` says; see `Keeping`."""
        return "keep_every" in self.Config.model_fields

    @property
    def citation(self) -> str:
        """Publications of the method, as they are cited."""
        return " ".join(citations.cite(doi) for doi in self.cite)

    def build(self, config: _config.Config, facts: Facts) -> Model:
        """Import the backend and build the model."""
        return resolve(self.model)(config, facts)  # type: ignore[no-any-return]

"""What a package says about its model, as plain values."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zcdl_common.config import Config
from zcdl_common.network import Geometry, Network

Processing = Mapping[str, Any]
"""One step as the zoo writes it: ``{"id": "scale_range", "kwargs": {...}}``."""


@dataclass(frozen=True)
class Output:
    """One tensor that the model returns."""

    name: str
    channels: tuple[str, ...]
    halo: tuple[int, ...]
    """Border (Z)YX in output pixels that lacks context."""
    scale: tuple[float, ...] = ()
    """Output size divided by input size, (Z)YX; empty: the same size."""
    postprocessing: tuple[Processing, ...] = ()
    range: tuple[float, float] | None = None
    """Smallest and largest value that can occur; None: not limited."""
    description: str = ""


@dataclass(frozen=True)
class PackageInfo:
    """What a package says about its model. Spatial tuples are (Z)YX."""

    name: str
    """5 to 128 letters, digits, spaces or ``_+-()``; `clean_name` makes one of any text."""
    nickname: str
    """Short name in lower case (`clean_nickname`); deepImageJ needs one."""
    description: str
    documentation: str
    """Markdown: training data, training, validation. Headings for use, citation and licence are added."""
    channels: tuple[str, ...]
    """Names of the input channels."""
    step: tuple[int, ...]
    """Input sizes must be a multiple of this (`Geometry.multiple`)."""
    outputs: tuple[Output, ...]
    preprocessing: tuple[Processing, ...] = ()
    min_size: tuple[int, ...] = ()
    """Smallest input size; empty: the smallest multiple of the step that outgrows the halo."""
    input_name: str = "raw"
    input_description: str = ""
    channel_axis: Literal["first", "last"] = "first"
    """Where the network has its channel axis: first in torch, last in Keras."""
    pixel_size: tuple[float, ...] | None = None
    """In micrometres."""
    authors: tuple[str, ...] = ()
    licence: str = "CC-BY-4.0"
    """SPDX name."""
    cite: tuple[tuple[str, str], ...] = ()
    """(text, DOI) of the method, the data and the software."""
    tags: tuple[str, ...] = ()
    version: str = "0.1.0"
    git_repo: str = ""
    parent: str = ""
    """Zoo identifier of the model that training started from."""
    training_data: Mapping[str, Any] | None = None
    """``{"id": ...}`` of a zoo data set, or a data set description in the zoo's terms."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the zoo's ``config.bioimageio``: architecture_type (at most 32 letters),
    architecture_description, model_parameter_count, task, modality, target_structure (list),
    inference_time, memory_requirements_training, funded_by, environmental_impact (hardware_type,
    hours_used), evaluations (list), bias_risks_limitations (known_biases, risks, limitations,
    recommendations) and training: training_preprocessing, training_epochs, training_batch_size,
    initial_learning_rate, learning_rate_schedule, loss_function, loss_function_kwargs, optimizer,
    optimizer_kwargs, regularization, training_duration (hours)."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further parts of ``config``: ``zcdl_common`` for the run, ``stardist``, ..."""
    covers: tuple[Path, ...] = ()
    """Pictures below 500 kB, 2:1 or 1:1; empty: one is made of the test image and its prediction."""
    attachments: tuple[Path, ...] = ()
    allow_tiling: bool = True
    tolerance: float = 1e-3
    """How far another program's output may differ: relative, and in parts of the largest output value."""

    @property
    def smallest(self) -> tuple[int, ...]:
        """Smallest input size (Z)YX that the package states."""
        return self.min_size or smallest_size(
            self.step,
            [
                max(math.ceil(o.halo[axis] / (o.scale[axis] if o.scale else 1)) for o in self.outputs)
                for axis in range(len(self.step))
            ],
        )

    @property
    def axis_names(self) -> str:
        """``zyx`` or ``yx``."""
        return "zyx"[-len(self.step) :]

    @property
    def output_keys(self) -> list[str]:
        """Stem of each output's files: ``output``, or its name where there are several."""
        return ["output"] if len(self.outputs) == 1 else [f"output_{o.name}" for o in self.outputs]


def evaluation(
    dataset: str,
    url: str,
    images: int,
    scores: Mapping[str, tuple[str, float]],
    summary: str = "",
) -> dict[str, Any]:
    """One entry of ``details["evaluations"]``, for a test on images that others can get too.

    Parameters
    ----------
    dataset, url
        Identifier (lower case, ``a-z 0-9 _ - / .``) and address of the public data set.
    images
        Number of test images.
    scores
        Short name of a metric (at most 16 letters) -> what it is, and its value.
    """
    return {
        "dataset_id": dataset,
        "dataset_source": url,
        "dataset_role": "test",
        "sample_count": images,
        "evaluation_factors": ["overall"],
        "evaluation_factors_long": ["all test images"],
        "metrics": list(scores),
        "metrics_long": [text for text, _ in scores.values()],
        "results": [[value] for _, value in scores.values()],
        "results_summary": summary,
    }


def asked(network: Network, config: Config, geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Halo and smallest input size (Z)YX that a package states.

    Where whole images are asked for nothing is cut off at the borders, and an image should be no smaller than
    the patches that the network learned from; else something must be left without the halo.
    """
    if network.whole and config.patch_size:
        return (0,) * len(geometry.multiple), tuple(config.patch_size)
    return geometry.halo, smallest_size(geometry.multiple, geometry.halo)


def smallest_size(step: Sequence[int], halo: Sequence[int]) -> tuple[int, ...]:
    """Smallest multiple of the step, per axis, of which something is left without the halo."""
    return tuple((2 * h // s + 1) * s for s, h in zip(step, halo, strict=True))


def clean_name(text: str) -> str:
    """`text` with what the zoo allows in a name: letters without accents, digits, spaces, ``_+-()``."""
    name = re.sub(r"\s+", " ", re.sub(r"[^A-Za-z0-9_+\- ()]", " ", _ascii(text))).strip()
    tells = len(name) >= 5 and any(letter.isalnum() for letter in name)
    return (name if tells else f"model {name}".strip())[:128]


def identifiers(texts: Sequence[str]) -> list[str]:
    """Channel names as older readers want them: Python identifiers, each once."""
    names: list[str] = []
    for position, text in enumerate(texts):
        name = re.sub(r"\W+", "_", _ascii(text)).strip("_")
        if not name or name[0].isdigit() or keyword.iskeyword(name):
            name = f"channel_{name or position}"
        names.append(name if name not in names else f"{name}_{position}")
    return names


def clean_nickname(text: str) -> str:
    """`text` in lower case, with hyphens between words; a short one stays short, unlike a name of the zoo."""
    return re.sub(r"[^a-z0-9]+", "-", _ascii(text).lower()).strip("-")[:128].strip("-") or "model"


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()

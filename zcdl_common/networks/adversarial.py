"""Parameters of the networks that learn from a judge of what looks real."""

from __future__ import annotations

from typing import Literal

from zcdl_common.config import Config
from zcdl_common.errors import ConfigError
from zcdl_common.networks.plans import size_text
from zcdl_common.networks.translation import TranslationConfig
from zcdl_common.parameter import setting

SMALLEST = 24
"""Side of a patch (pixels) from which the judges have something to say of it."""


class AdversarialConfig(TranslationConfig):
    """What pix2pix and CycleGAN share."""

    schedule: Literal["cosine", "plateau", "linear", "constant"] = setting(
        "linear", section="settings", label="learning rate schedule", more=True
    )
    """linear: falls in the second half, as in the publications; cosine: falls smoothly; plateau: halves when
    progress ends."""
    keep_every: int | None = setting(None, section="training", label="keep weights every (epochs)", ge=1)
    """Weights are kept at these intervals, to look at: section 6 scores each, and uses the best or the last.
    Each takes as much disk as the network; empty: ten times in a training."""


def check_judged(config: Config, multiple: int) -> None:
    """Refuse a patch of which nothing is left after the convolutions of the judges.

    Raises
    ------
    ConfigError
        A side is shorter than `SMALLEST`.
    """
    patch = config.patch_size or ()
    if min(patch) < SMALLEST:
        fitting = tuple(max(side, -(-SMALLEST // multiple) * multiple) for side in patch)
        raise ConfigError(
            f"patch_size = {size_text(patch)}: the judge of what looks real needs at least {SMALLEST} pixels "
            f"a side. Try {size_text(fitting)}; smaller images cannot be used."
        )

"""Parameters of the networks that learn from a judge of what looks real."""

from __future__ import annotations

from typing import Literal

from zcdl_common.networks.translation import TranslationConfig
from zcdl_common.parameter import setting


class AdversarialConfig(TranslationConfig):
    """What pix2pix and CycleGAN share."""

    schedule: Literal["cosine", "plateau", "linear", "constant"] = setting(
        "linear", section="settings", label="learning rate schedule", more=True
    )
    """linear: falls in the second half, as in the publications; cosine: falls smoothly; plateau: halves when
    progress ends."""
    keep_every: int | None = setting(None, section="training", label="keep weights every (epochs)", ge=1)
    """Weights are kept at these intervals, and section 6 judges each; empty: ten times in a training."""

"""What only PyTorch can do in training: mix number formats, and compile."""

from __future__ import annotations

from typing import Literal

from zcdl_common.config import Config
from zcdl_common.parameter import setting


class MixedConfig(Config):
    """Mixed precision and compiled networks."""

    precision: Literal["auto", "float32"] = setting("auto", section="training", label="precision", more=True)
    """auto: float32 on a CPU, mixed on a GPU that gains from it."""
    compile: bool = setting(False, section="training", label="compile the network", more=True)
    """Translates the network into faster code first, which takes minutes; for long trainings."""

"""The number format of training, for the networks whose backend can mix them."""

from __future__ import annotations

from typing import Literal

from zcdl_common.config import Config
from zcdl_common.parameter import setting


class MixedConfig(Config):
    """Mixed precision."""

    precision: Literal["auto", "float32"] = setting("auto", section="training", label="precision", more=True)
    """auto: float32 on a CPU, mixed on a GPU that gains from it."""

"""Parameters as people read and type them: in a field, and on a command line."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

from zcdl_common.config import Config


def command_line(config: type[Config], params: Mapping[str, Any]) -> str:
    """The ``zcdl run`` line that does the same as a notebook with `params`, quoted for the shell.

    Only what differs from the defaults is named.
    """
    chosen = config.parse(params)
    pairs = [
        f"{name}={_typed(getattr(chosen, name))}"
        for name, field in config.fields().items()
        if name in params and getattr(chosen, name) != field.default
    ]
    words = ["zcdl", "run", config.network, *(["--set", *pairs] if pairs else [])]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _typed(value: Any) -> str:
    """A value in full precision, as the parameters read it back."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)

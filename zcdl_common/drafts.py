"""What was typed into a form and trained before, offered again after a restart, never taken silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zcdl_common import places
from zcdl_common.config import FORMAT, Config, read_params
from zcdl_common.errors import UserError
from zcdl_common.files import write_text
from zcdl_common.run import newest_runs, open_run

LOOK_AT, OFFER = 20, 3
"""Newest runs looked at, and unfinished ones offered."""


@dataclass(frozen=True)
class Offer:
    """A button of the form."""

    text: str
    params: Mapping[str, Any]
    """All parameters, as they are when the offer is taken."""
    changes: tuple[str, ...] = ()
    """Names of those that change; empty for a run, which brings all of its own."""


def draft_file(results: str, network: str) -> Path:
    """Where edits are kept."""
    return places.results_folder(results) / f".zcdl_{network}.yaml"


def save(config: type[Config], params: Mapping[str, Any], results: str) -> None:
    """Keep the edits in the results folder that the notebook began with, and in the one chosen now.

    The latter alone would not be found again by a new kernel; it is not made for the sake of a
    draft, since a mistyped path would leave folders behind.
    """
    given = config.parse(params)
    plain = given.model_dump(mode="json", include=given.model_fields_set)
    text = yaml.safe_dump(
        {"format": FORMAT, "network": config.network, **plain}, sort_keys=False, allow_unicode=True
    )
    paths = [draft_file(results, config.network), draft_file(given.results, config.network)]
    for path in dict.fromkeys(paths):
        if path == paths[0] or path.parent.is_dir():
            write_text(path, text)


def offers(config: type[Config], params: Mapping[str, Any]) -> list[Offer]:
    """Unfinished runs that could go on, and the last settings where they differ from `params`."""
    results = str(params.get("results") or "")
    return [*_unfinished(config, results), *_last_settings(config, params, results)]


def _last_settings(config: type[Config], params: Mapping[str, Any], results: str) -> list[Offer]:
    last = _readable(lambda: _used(config, read_params(draft_file(results, config.network), config.network)))
    if last is None:
        return []
    now = _used(config, params)
    names = [name for name in config.model_fields if last.get(name) != now.get(name)]
    return [Offer("use last settings", last, tuple(names))] if names else []


def _unfinished(config: type[Config], results: str) -> list[Offer]:
    found = []
    for folder in newest_runs(places.results_folder(results), config.network)[:LOOK_AT]:
        run = _readable(lambda folder=folder: open_run(folder))  # type: ignore[misc]
        done = len(run.history()) if run else 0
        if run and 0 < done < (run.config.epochs or 0):
            # what was automatic stays so: the run itself remembers the values, and a form shows them
            own = {n: v for n, v in _used(config, run.config.model_dump()).items() if n not in run.reasons}
            values = {**own, "results": results, "name": run.name}
            text = f"continue {run.name} ({done} of {run.config.epochs} epochs)"
            found.append(Offer(text, values))
    return found[:OFFER]


def _used(config: type[Config], params: Mapping[str, Any]) -> dict[str, Any]:
    """Values that differ from the defaults, checked."""
    chosen = config.parse(params)
    return {
        name: getattr(chosen, name)
        for name, field in config.model_fields.items()
        if getattr(chosen, name) != field.default
    }


def _readable(read: Callable[[], Any]) -> Any:
    """What `read` gives; None where a file is missing, torn or from another version."""
    try:
        return read()
    except (UserError, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        return None

"""Weights to begin with: an earlier run, or a package of the BioImage Model Zoo."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from zcdl_common import model_folders, networks
from zcdl_common.config import Config
from zcdl_common.errors import RunError
from zcdl_common.network import BACK, DIRECTIONS, Model
from zcdl_common.task import Array, resolve

KINDS = {"torch": ("pytorch_state_dict", "_torch"), "tensorflow": ("keras_hdf5", "_keras")}
"""Weight format of the zoo that a backend trains on, and the module that reads it."""
PARTS = {BACK: "way back", f"judge_{BACK}": "judge of the way back"}
"""Parts of a network whose names do not say what they are."""
TURNED = (
    "This package works from target to source, and its weights begin the network from source to target: "
    "right where the folders have changed places since, else start from its run folder, which has both."
)
SHOWN = 3
"""Names of weights that a message holds."""


def start(model: Model, config: Config) -> list[str]:
    """Begin with the weights named by ``config.start_from``; returns the layers that were left out.

    Raises
    ------
    RunError
        Nothing in the source fits this network.
    """
    state, direction = _found(config)
    left_out = model.start(state)
    own = {k.removeprefix("module/").removeprefix("net/"): v for k, v in model.state().items() if _learned(k)}
    # vectors fit by chance; without a single kernel of what predicts nothing was taken over
    kernels = [key for key, value in own.items() if value.ndim > 1 and "/" not in key]
    there = model_folders.find(config.start_from)
    other = model_folders.unlike(there, config) if there is not None else ""
    if set(kernels) <= set(left_out):
        raise RunError(
            f"None of the weights of {config.start_from} fit this network: it has another architecture, "
            f"depth, number of filters or dimension. Set {other or 'depth and filters'} as it was there, or "
            "train from scratch with start_from empty."
        )
    if left_out:
        print(_told(list(own), left_out, other))
    if direction == DIRECTIONS["target"]:
        print(TURNED)
    return left_out


def about(config: Config) -> str:
    """What is to be said of weights on this computer before training: that they are of the way back."""
    if networks.get(config.network).facing is None or not Path(config.start_from).expanduser().exists():
        return ""
    return TURNED if _found(config)[1] == DIRECTIONS["target"] else ""


def _learned(key: str) -> bool:
    """Whether an entry of a state is a weight."""
    return key.startswith("module/")


def _told(own: list[str], left_out: list[str], other: str) -> str:
    """What was taken and what was not, in a few words: parts without any weights, then the other names."""

    def part(key: str) -> str:
        return key.rpartition("/")[0]

    taken = {part(key) for key in set(own) - set(left_out)}
    anew = list(dict.fromkeys(part(key) for key in own if part(key) not in taken))
    tried, rest = ([key for key in keys if part(key) not in anew] for keys in (own, left_out))
    said = "All weights of the network that predicts were taken."
    if rest:
        names = ", ".join(rest[:SHOWN]) + f" and {len(rest) - SHOWN} more" * (len(rest) > SHOWN)
        said = f"{len(tried) - len(rest)} of {len(tried)} weights were taken; not fitting: {names}."
        said += f" All may fit with {other}, as it was there." * bool(other)
    if anew:
        names = " and ".join(f"the {PARTS.get(name, name)}" for name in anew)
        said += f" There are no weights for {names}, which will learn anew."
    return said


def check(config: Config) -> None:
    """See that ``config.start_from`` names something that is there and, if a run, one of this network.

    Raises
    ------
    RunError
        There is nothing, or a run of another network.
    """
    start, folder = config.start_from, Path(config.start_from).expanduser()
    if not folder.exists() and "://" not in start and re.search(r"[/\\]|\.zip$", start):
        raise RunError(
            f"start_from = {start}: there is nothing at this path. Name the folder of an earlier run or of a "
            "model, the zip file of a package, or leave start_from empty to train from scratch."
        )
    if (folder / "config.yaml").exists():
        from zcdl_common.run import open_run

        there = open_run(folder).network
        if there.name != config.network:
            own = networks.get(config.network)
            raise RunError(
                f"start_from = {start}: that is a run of {there.short_title}, and this notebook trains "
                f"{own.short_title}, which has other layers. Name a run of {own.short_title}, or leave "
                "start_from empty to train from scratch."
            )


def read(config: Config) -> Mapping[str, Array]:
    """State of the model that ``config.start_from`` names: a run folder or a zoo package.

    Raises
    ------
    UserError
        There is nothing, it is of another network, or it cannot be read.
    """
    return _found(config)[0]


def _found(config: Config) -> tuple[Mapping[str, Array], str]:
    """State to begin with, and the direction that a package of a network with two works in; see `read`."""
    check(config)
    folder = Path(config.start_from).expanduser()
    if (folder / "config.yaml").exists():
        from zcdl_common.run import open_run

        run = open_run(folder)
        if (folder / "data.csv").exists():
            if run.network.facing:  # whichever direction it was used in last, that of training is meant
                run = run.using(direction=DIRECTIONS["source"])
            return run.load(config.weights).state(), ""
        # unpacked from a package, which holds what predicts alone: all else was drawn at random just now
        state = run.load(config.weights).state()
        own = {key: value for key, value in state.items() if key.startswith("module/net/")}
        return own, DIRECTIONS[run.facts.domain] if run.network.facing else ""
    there = model_folders.find(config.start_from)
    if there is not None:
        return _arrays(there.weights, "_keras"), ""
    from zcdl_common.export.read import open_package

    package = open_package(config.start_from, allow_code=config.allow_code)
    backend = networks.get(config.network).backend
    wanted, module = KINDS[backend]
    if wanted not in package.files:
        raise RunError(
            f"The package {config.start_from} holds {', '.join(package.files)} and no {wanted}, so it cannot "
            f"be trained further here. Choose a package with weights for {backend}, or train from scratch."
        )
    said = package.config.get("zcdl_common") or {}
    return _arrays(package.files[wanted], module), str(said.get("direction", ""))


def _arrays(path: Path, module: str) -> dict[str, Array]:
    """Weights of a file under the names that `Model.state` gives them."""
    arrays = resolve(f"zcdl_common.models.{module}:read_arrays")(path)
    return {f"module/net/{key}": value for key, value in arrays.items()}

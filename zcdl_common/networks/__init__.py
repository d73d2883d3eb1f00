"""The registry: every network by its one name. Importing it loads no backend."""

from __future__ import annotations

import difflib

from zcdl_common.errors import ConfigError
from zcdl_common.network import Network
from zcdl_common.networks.care import CARE
from zcdl_common.networks.cyclegan import CYCLEGAN
from zcdl_common.networks.deepstorm import DEEPSTORM
from zcdl_common.networks.fnet import FNET
from zcdl_common.networks.noise2void import NOISE2VOID
from zcdl_common.networks.pix2pix import PIX2PIX
from zcdl_common.networks.stardist import STARDIST
from zcdl_common.networks.unet import UNET
from zcdl_common.networks.yolo import YOLO

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (UNET, CARE, NOISE2VOID, STARDIST, DEEPSTORM, FNET, PIX2PIX, CYCLEGAN, YOLO)
}


def tasks() -> list[str]:
    """Names of the tasks that there is a network for."""
    return sorted({network.task.name for network in NETWORKS.values()})


def get(name: str) -> Network:
    """The network called `name`.

    Raises
    ------
    ConfigError
        There is none; lists those there are.
    """
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ConfigError(f"There is no network '{name}'.{hint} There are: {', '.join(NETWORKS)}.")
    return NETWORKS[name]

"""What is to be simulated, as parameters say it and real frames complete it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zcdl_common.smlm.camera import PRESETS, Camera
from zcdl_common.smlm.propose import propose
from zcdl_common.smlm.simulate import Simulation
from zcdl_common.task import Array

RANGES = ("density", "photons", "background", "sigma_nm")
"""Parameters (low, high) that real frames can tell."""


def camera_of(config: Any) -> Camera:
    """The camera that is named, with what is known better of it.

    Raises
    ------
    ConfigError
        A value cannot be.
    """
    given = {
        "offset": config.camera_offset,
        "gain": config.camera_gain,
        "em_gain": config.em_gain,
        "read_noise": config.read_noise,
        "quantum_efficiency": config.quantum_efficiency,
    }
    return replace(PRESETS[config.camera], **{k: v for k, v in given.items() if v is not None})


def simulation_of(config: Any, pixel_nm: float, otherwise: Simulation | None = None) -> Simulation:
    """The simulation that is asked for; `otherwise` fills its gaps.

    Raises
    ------
    ConfigError
        A value cannot be.
    """
    base = otherwise or Simulation()
    given = {name: getattr(config, name) for name in (*RANGES, "brightness")}
    asked = {name: value for name, value in given.items() if value is not None}
    return replace(base, camera=camera_of(config), pixel_nm=pixel_nm, **asked)


def completed(config: Any, pixel_nm: float, stack: Array) -> Simulation:
    """The simulation that is asked for, its gaps filled with what real frames TYX tell."""
    if all(getattr(config, name) is not None for name in RANGES):
        return simulation_of(config, pixel_nm)
    return simulation_of(config, pixel_nm, propose(stack, simulation_of(config, pixel_nm)))

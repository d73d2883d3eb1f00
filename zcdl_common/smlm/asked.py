"""What is to be simulated, as parameters say it and real frames complete it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from zcdl_common.errors import ConfigError
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
    usual = PRESETS[config.camera]
    if config.em_gain and usual.em_gain == 1 and config.em_gain > 1:
        raise ConfigError(
            f"em_gain = {config.em_gain:g}, but camera = {config.camera} does not multiply electrons. Set "
            "camera to emccd or another EMCCD, or leave em_gain empty."
        )
    given = {
        "offset": config.camera_offset,
        "gain": config.camera_gain,
        "em_gain": config.em_gain,
        "read_noise": config.read_noise,
        "quantum_efficiency": config.quantum_efficiency,
    }
    return replace(usual, **{k: v for k, v in given.items() if v is not None})


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
    """The simulation that is asked for, its gaps filled with what real frames TYX, in counts, tell.

    Raises
    ------
    ConfigError
        A value cannot be; or the offset of the camera lies above most of the pixels.
    DataError
        The frames are too few or too small to be measured.
    """
    dark, usual = camera_of(config).offset, float(np.median(stack))
    if usual < dark:
        raise ConfigError(
            f"camera_offset = {dark:g} is what the camera gives without any light, but half of the pixels "
            f"are darker ({usual:g}). Set camera_offset to the grey value of a frame taken in the dark; if "
            "the background was subtracted from this movie, take the raw one."
        )
    if all(getattr(config, name) is not None for name in RANGES):
        return simulation_of(config, pixel_nm)
    return simulation_of(config, pixel_nm, propose(stack, simulation_of(config, pixel_nm)))

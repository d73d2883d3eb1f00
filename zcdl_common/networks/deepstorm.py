"""Deep-STORM: single molecules, also where their spots overlap."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from zcdl_common.augment import OFF, Augmentation
from zcdl_common.network import Best, Network, Plan
from zcdl_common.networks.mixed import MixedConfig
from zcdl_common.networks.plans import check_patch, fill, flat, plan_patch, size_text
from zcdl_common.networks.tasks import LOCALISE
from zcdl_common.parameter import FolderText, setting, split_list
from zcdl_common.scales import Fixed
from zcdl_common.smlm import asked
from zcdl_common.smlm.simulate import Simulation
from zcdl_common.task import Facts

Span = Annotated[tuple[float, float], BeforeValidator(split_list)]
STEPS = 100
"""Steps of an epoch."""


class DeepStormConfig(MixedConfig):
    """Parameters of the Deep-STORM notebook."""

    network: ClassVar[str] = "deepstorm"

    source: FolderText = setting("", section="images", label="movies")
    """Folder of the raw movies (TIFF stacks of frames) whose molecules are to be found."""
    target: FolderText = setting("", section="images", label="known positions")
    """Folder of tables (ThunderSTORM, SMAP, Picasso) with the positions in these movies, if known."""
    learn_from: Literal["simulation", "table"] = setting("simulation", section="images", label="learn from")
    """simulation: frames simulated to be like your movies; table: your movies and the positions above."""
    camera: Literal["scmos", "emccd", "iXon Ultra 897", "ORCA-Flash4.0 V3", "Prime 95B"] = setting(
        "scmos", section="images", label="camera"
    )
    """Its noise is simulated: the model, or the kind with the values below from its test sheet."""
    camera_offset: float | None = setting(None, section="images", label="offset (counts)", ge=0.0)
    """Grey value without any light, as a dark frame shows it; empty: what is usual for the camera."""
    camera_gain: float | None = setting(None, section="images", label="electrons a count", more=True, gt=0.0)
    """From the camera's test sheet, of an EMCCD after multiplication; empty: what is usual."""
    em_gain: float | None = setting(None, section="images", label="EM gain", more=True, ge=1.0)
    """Multiplication that the EMCCD was set to; empty: what is usual, 1 without multiplication."""
    read_noise: float | None = setting(
        None, section="images", label="read noise (electrons)", more=True, ge=0.0
    )
    """From the camera's test sheet; empty: what is usual."""
    quantum_efficiency: float | None = setting(
        None, section="images", label="quantum efficiency", more=True, gt=0.0, le=1.0
    )
    """Electrons a photon, 0 to 1; empty: what is usual."""

    density: Span | None = setting(None, section="settings", label="molecules per µm² and frame")
    """Least and most that are on at once in simulated frames."""
    photons: Span | None = setting(None, section="settings", label="photons of a molecule")
    """In a frame: what 5 % and 95 % of the molecules stay below (lognormal), or least and most."""
    background: Span | None = setting(None, section="settings", label="background (photons a pixel)")
    """Least and most in simulated frames."""
    sigma_nm: Span | None = setting(None, section="settings", label="width of a spot (nm)")
    """Standard deviation of the spot of a molecule, least and most."""
    brightness: Literal["lognormal", "exponential", "uniform"] | None = setting(
        None, section="settings", label="how photons differ", more=True
    )
    """Distribution of the photons over the molecules; of exponential, the range is least and mean."""
    upsampling: Literal[4, 8, 16] | None = setting(None, section="settings", label="upsampling")
    """Pixels of the network's map along each side of a camera pixel: finer is slower."""
    heat_sigma: float = setting(
        1.0, section="settings", label="spread of a position (fine pixels)", more=True, gt=0.0, le=5.0
    )
    """Standard deviation of the blur under which map and truth are compared."""
    sparsity: float = setting(
        1.0, section="settings", label="weight of sparsity", more=True, ge=0.0, le=100.0
    )
    """How much light in the map costs wherever it is, which keeps empty places empty."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=64)
    """Features of the first layer; the others have up to sixteen times as many."""

    augment: bool = setting(True, section="augmentation", label="mirror and turn")
    """Mirror and turn frames where the network learns from a table; simulated ones need none."""

    threshold: float | None = setting(None, section="use", label="threshold", use=True, gt=0.0)
    """Confidence from which a molecule counts; empty: chosen on the validation frames."""

    def augmentation(self) -> Augmentation:
        """The changes as `zcdl_common.augment` takes them."""
        return OFF


def simulation_of(config: DeepStormConfig, facts: Facts) -> Simulation:
    """What the network learns from, of a config without gaps."""
    assert facts.pixel_size is not None
    return asked.simulation_of(config, round(1000 * facts.pixel_size[-1], 3))


def multiple(upsampling: int) -> int:
    """What sides of a frame must be a multiple of: the map is halved three times."""
    return max(1, 8 // upsampling)


def plan(config: DeepStormConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the frames.

    Raises
    ------
    ConfigError
        The frames are stacks, or the patch does not fit the network.
    """
    flat(facts)
    gpu = facts.device == "gpu"
    device = "a GPU" if gpu else "a CPU"
    upsampling = config.upsampling or (8 if gpu else 4)
    assert facts.pixel_size is not None
    fine = 1000 * facts.pixel_size[-1] / upsampling
    step = (multiple(upsampling),) * 2
    patch = plan_patch(config, facts, (26, 26), step)
    batch = config.batch_size or (32 if gpu else 16)
    ranges: dict[str, tuple[object, str]] = {
        name: (tuple(span), "measured in the real frames: those that are simulated alike look the same")
        for name, span in facts.extra.get("simulation", {}).items()
    }
    if ranges:
        ranges["brightness"] = ("lognormal", "usual for dyes, and what was measured fits it")
    frames = max(1, facts.counts.get("train", 1))
    made = fill(
        config,
        {
            **ranges,
            "upsampling": (upsampling, f"a map with pixels of {fine:.3g} nm, which {device} does in time"),
            "filters": (32, "as published")
            if gpu
            else (16, f"half of the published, so that {device} learns in time"),
            "patch_size": (patch, "as published, many times as wide as a spot"),
            "batch_size": (batch, f"{size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": (-(-STEPS * batch // frames), f"{STEPS} steps an epoch"),
            "epochs": (100 if gpu else 25, "further ones gain little"),
            "learning_rate": (1e-3, "as published")
            if gpu
            else (3e-3, "learned more in few steps, in trials"),
        },
    )
    check_patch(made.config, facts, step)
    return made


def source_scale(facts: Facts) -> Fixed:
    """Mean and standard deviation of the frames that are learned from become 0 and 1."""
    return Fixed(tuple(facts.extra["source_mean"]), tuple(facts.extra["source_sd"]))


DEEPSTORM = Network(
    name="deepstorm",
    title="Deep-STORM: single-molecule localisation",
    task=LOCALISE,
    backend="torch",
    Config=DeepStormConfig,
    model="zcdl_common.models.deepstorm:DeepStormModel",
    cite=("10.1364/OPTICA.5.000458",),
    plan=plan,
    primary="jaccard",
    scale=source_scale,
    best=Best("val_jaccard", "max"),
    margin=0.02,
    goal="the difference of map and true positions, both blurred, and the light in the map",
    summary="finds single molecules in crowded frames, and draws a super-resolved image from them",
    limits="It knows spots like those it learned from: another microscope, camera or laser power needs a "
    "training of its own. Positions in Z, and brightness, are not measured.",
)

"""The images, and what was made of them, in the methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zcdl_common.report import words
from zcdl_common.report.record import Record, how_many

BRIGHTNESS = {
    "lognormal": "5th to 95th percentile of a log-normal distribution",
    "exponential": "least and mean of an exponential distribution",
    "uniform": "uniformly distributed",
}


def material(record: Record) -> list[str]:
    """Sentences on the images: how many, of what kind, how divided, scaled, cut and augmented."""
    facts, config = record.facts, record.config
    roles = {role: record.role(role) for role in ("train", "validation", "test")}
    if not any(roles.values()):
        return []
    counts = {role: how_many(rows) for role, rows in roles.items()}
    unit = "voxels" if facts.get("ndim") == 3 else "pixels"
    shared = _images(facts, unit)
    about = f" ({shared})" if shared else ""
    if record.network and not record.network.task.paired:
        about = _kinds(facts, unit)
    unit_s = words.many(len(roles["train"]), record.unit).partition(" ")[2]
    trained = f"{counts['train']} {unit_s} for training, {counts['validation']} for validation"
    tested = f" and {counts['test']} for testing" if roles["test"] else "; none was kept apart for a test"
    sentences = [f"The data set{about} was divided into {trained}{tested}."]
    if movies := record.role("imitated"):
        sentences = _simulated(record, movies, counts)
    sentences.append(words.sentence(str(record.plan.get("split") or "")))
    if record.network and facts:
        sentences.append(_scaling(record))
    if config.get("patch_size"):
        sentences.append(_patches(config, unit, not record.network or record.network.task.paired))
    sentences.append(_augmentation(record))
    return sentences


def _simulated(record: Record, movies: list[Any], counts: Mapping[str, Any]) -> list[str]:
    """What was simulated, to be like which movies, for networks that learn from that."""
    config, camera = record.config, (record.facts.get("extra") or {}).get("camera") or {}
    names = ("density", "photons", "background", "sigma_nm")
    density, photons, background, width = (" to ".join(f"{v:g}" for v in config[name]) for name in names)
    spread = BRIGHTNESS[config.get("brightness") or "lognormal"]
    noise = [f"an offset of {camera['offset']:g} counts", f"{camera['gain']:.3g} counts a photoelectron"]
    noise += [f"a read noise of {camera['read_noise']:.3g} photoelectrons"]
    noise += [f"a quantum efficiency of {camera['efficiency']:g}"] * (camera["efficiency"] < 1)
    noise += ["the excess noise of electron multiplication"] * (camera["excess"] > 1)
    side = config["upsampling"]
    return [
        f"Training frames were simulated anew for every step, to be like {words.many(len(movies), 'movie')}: "
        f"Gaussian spots, integrated over the pixels, of {density} molecules per µm² and frame with "
        f"{photons} photons each ({spread}) and a standard deviation of {width} nm, over {background} "
        "background photons a pixel.",
        f"The camera ({config['camera']}) was simulated with {words.enumerate_words(noise)}.",
        f"The map of the network had {side} x {side} pixels a camera pixel.",
        f"{counts['train']} simulated frames fixed the brightness scale and tuned the classical method.",
    ]


def _images(facts: Mapping[str, Any], unit: str, prefix: str = "") -> str:
    """Size, type, channels and pixel size of images, from the facts whose names begin with `prefix`."""
    known = {name: facts.get(prefix + name) for name in ("shapes", "dtype", "channels", "pixel_size")}
    shapes = words.sizes(known["shapes"] or [])
    parts = [f"{shapes} {unit}"] if shapes else []
    parts += [str(known["dtype"])] if known["dtype"] else []
    parts += [words.many(len(known["channels"]), "channel")] if known["channels"] else []
    if known["pixel_size"]:
        parts.append(f"{unit[:-1]} size {words.size(map(float, known['pixel_size']))} µm")
    return ", ".join(parts)


def _kinds(facts: Mapping[str, Any], unit: str) -> str:
    """Either kind of image, where nothing is paired, under its name in training."""
    kinds = ("source", "target")[:: -1 if facts.get("domain") == "target" else 1]
    said = [_images(facts.get("extra") or {}, unit, f"{kind}_") for kind in kinds]
    named = zip(("source images", "target images"), said, strict=True)
    return " of " + " and ".join(f"{name} ({text})" if text else name for name, text in named)


def _patches(config: Mapping[str, Any], unit: str, paired: bool) -> str:
    often, least, bright = (config.get(k) for k in ("patches_per_image", "min_foreground", "min_signal"))
    parts = [f"Patches of {words.size(config['patch_size'])} {unit} were cut at random positions"]
    parts += [f"{words.many(often, 'patch')} per image and epoch"] if often else []
    parts += [f"with at least {100 * least:g} % of foreground where such were found"] if least else []
    if config.get("busy_patches"):
        where = ", in the target," * paired
        parts.append(f"{100 * config['busy_patches']:g} % of them holding more{where} than their image does")
    if bright:
        parts.append(
            f"nine in ten of them reaching at least {100 * bright:g} % of the clean images' range where such "
            "were found"
        )
    return ", ".join(parts) + "."


def _scaling(record: Record) -> str:
    """How images become network input, in the network's own words."""
    from zcdl_common.task import Facts

    known = {k: v for k, v in record.facts.items() if k in Facts.__dataclass_fields__}
    try:
        facts = Facts(**known)
        said = [f"Intensities were {record.network.scale(facts).describe()}."] if record.network else []
        if record.network and record.network.target_scale and record.network.task.needs_target:
            said.append(f"Targets were {record.network.target_scale(facts).describe()}.")
        return " ".join(said)
    except (KeyError, TypeError, ValueError):  # facts of an older version, or of a network that changed
        return ""


def _augmentation(record: Record) -> str:
    if "augment" not in record.config:
        return ""
    if not record.config["augment"]:
        return "No augmentation was used."
    used = []
    for name, label in section_labels(record, "augmentation").items():
        value = record.config.get(name)
        if name == "augment" or not value or value == "none":
            continue
        up_to = "" if isinstance(value, str) or label.startswith("share") else "up to "
        shown = value if isinstance(value, str) else f"{value:g}"
        detail = "" if value is True else f" ({up_to}{shown})"
        used.append(label.replace(" (pixels)", "") + detail)
    return f"Training patches were augmented at random by {words.enumerate_words(used)}." if used else ""


def section_labels(record: Record, section: Any) -> dict[str, str]:
    """Parameters of one section of the form, with their labels."""
    from zcdl_common.parameter import facts_of

    fields = record.network.Config.fields(section) if record.network else {}
    return {name: str(facts_of(field)["label"]) for name, field in fields.items()}

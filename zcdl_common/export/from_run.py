"""A finished run as a package of the BioImage Model Zoo, and back."""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from zcdl_common import citations
from zcdl_common.data import Data
from zcdl_common.errors import ExportError
from zcdl_common.export.guide import where_it_opens
from zcdl_common.export.info import Output, PackageInfo, asked, clean_name, clean_nickname, evaluation
from zcdl_common.export.package import Package, build
from zcdl_common.export.words import describe, documentation, training_details
from zcdl_common.files import replacing
from zcdl_common.network import BACK, DIRECTIONS, Model, Packed
from zcdl_common.run import Run
from zcdl_common.scales import in_units
from zcdl_common.task import Array

CARRIED = {"config.yaml": "zcdl_config.yaml", "plan.yaml": "zcdl_plan.yaml"}
"""Files of a run that travel inside its package, so that the package opens as a run again."""
PATHS = """
    source target test_source test_target repaired results predict_source model start_from
""".split()  # noqa: SIM905
SETTINGS = "zcdl_settings.json"
TRAINED = {"torch": "weights.pt", "tensorflow": "weights.h5"}
"""File of a package that a backend trains on."""
LARGEST_TEST = {2: 512, 3: 128}
"""Side of the test image (pixels): enough to be real, small enough to be tested in seconds."""


@dataclass(frozen=True)
class Exported:
    """A package that passed its tests."""

    path: Path
    tests: list[dict[str, Any]]
    """A row a weight format."""
    opens: list[dict[str, str]]
    """A row a program that can open it."""
    completeness: float


def export_run(run: Run, data: Data, say: Callable[[str], None] = print) -> Exported:
    """Write ``export/<name>.zip`` and test it in a process of its own.

    Raises
    ------
    ExportError
        The package would not open elsewhere; no package is left behind.
    RunError
        There are no weights yet.
    """
    model = run.load()
    split = data.split if run.network.task.paired else data.split.of(run.facts.domain)
    sample = (split.test or split.validation)[0]
    _, smallest = asked(run.network, run.config, model.geometry)
    raw = test_image(sample.source.read(), model.geometry.multiple, smallest)
    scaled = run.scaling(raw).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        say("converting the weights ...")
        weights = model.weights(folder, scaled[None])
        packed = packed_of(run, model, folder)
        outputs = list(packed.forward(scaled[None]))
        if run.network.output_scale is not None:
            outputs = [in_units(output, run.network.output_scale(run.facts)) for output in outputs]
        info = package_info(run, model, folder, packed)
        scales = [
            tuple(n / m for n, m in zip(o.shape[1:-1], scaled.shape[:-1], strict=True)) for o in outputs
        ]
        info = replace(info, outputs=tuple(map(_scaled, info.outputs, scales)))
        say("writing and testing the package ...")
        target = run.folder / "export" / f"{info.nickname}.zip"
        place = 1 if info.channel_axis == "first" else -1
        test_input, *outputs = (np.moveaxis(array, -1, place) for array in (raw[None], *outputs))
        made: Package = build(info, weights, test_input.astype(np.float32), outputs, target)
    rows = [
        {"format": c.format, "passed": c.passed, "may differ by": c.tolerance, "seconds": round(c.seconds, 1)}
        for c in made.checks
    ]
    opens = [row._asdict() for row in where_it_opens(info, tuple(weights.files), target.name)]
    return Exported(made.path, rows, opens, made.completeness)


def _scaled(output: Output, scale: tuple[float, ...]) -> Output:
    """An output whose pixels are others than those of the image, and its halo in its own."""
    halo = tuple(math.ceil(h * s) for h, s in zip(output.halo, scale, strict=True))
    return replace(output, scale=scale, halo=halo)


def test_image(image: Array, step: tuple[int, ...], smallest: tuple[int, ...]) -> Array:
    """The middle of a real image, of a size that the network takes: (Z)YXC in the file's own values."""
    from zcdl_common.patches import centre

    sides = [
        max(least, min(n, LARGEST_TEST[len(step)]) // s * s)
        for n, s, least in zip(image.shape, step, smallest, strict=False)
    ]
    short = [(0, max(0, side - n)) for side, n in zip(sides, image.shape, strict=False)]
    return centre(np.pad(image, [*short, (0, 0)], mode="symmetric"), sides)


def packed_of(run: Run, model: Model, folder: Path) -> Packed:
    """What the package holds of the model: what the model itself says, else its own maps."""
    own = getattr(model, "packed", None)
    return Packed(model.maps, model.forward) if own is None else own(folder, run.settings())


def package_info(run: Run, model: Model, folder: Path, packed: Packed | None = None) -> PackageInfo:
    """What the package says about the run; carried files are copied into `folder`."""
    facts, network = run.facts, run.network
    packed = packed or packed_of(run, model, folder)
    attachments = [folder / name for name in CARRIED.values()]
    # where the images lie on somebody's computer is nobody else's business
    run.config.changed(**dict.fromkeys(PATHS, "")).write(attachments[0])
    shutil.copyfile(run.folder / "plan.yaml", attachments[1])
    settings = run.quality_control / "settings.json"
    if settings.exists():
        attachments.append(Path(shutil.copyfile(settings, folder / SETTINGS)))
    metrics = run.quality_control / "metrics.csv"
    if metrics.exists():
        attachments.append(Path(shutil.copyfile(metrics, folder / "quality_control.csv")))
    halo, smallest = asked(network, run.config, model.geometry)
    outputs = tuple(
        Output(m.name, m.channels, halo, range=m.range, description=m.meaning) for m in packed.maps
    )
    attachments += packed.attachments
    name = f"{run.name} {BACK}" if facts.domain == "target" else run.name
    dois = (*network.cite, citations.ZEROCOST)
    return PackageInfo(
        name=clean_name(f"{network.title} {name}"),
        nickname=clean_nickname(name),
        description=describe(run),
        documentation=documentation(run),
        channels=facts.channels,
        channel_axis="first" if network.backend == "torch" else "last",
        step=model.geometry.multiple,
        outputs=outputs,
        min_size=smallest,
        preprocessing=tuple(run.scaling.zoo(facts.ndim)),
        pixel_size=facts.pixel_size,
        authors=run.config.authors or (),
        licence=run.config.model_licence,
        cite=tuple((citations.CITATIONS[doi], doi) for doi in dois),
        tags=(
            network.name,
            network.task.name,
            f"{facts.ndim}d",
            "pytorch" if network.backend == "torch" else network.backend,
            "zcdl",
        ),
        details=training_details(run, model),
        extra={"zcdl_common": _own(run), **packed.config},
        attachments=tuple(attachments),
        allow_tiling=not network.whole,
    )


def _own(run: Run) -> dict[str, Any]:
    """What these notebooks want to know of a package."""
    direction = {"direction": DIRECTIONS[run.facts.domain]} if run.network.facing else {}
    return {"network": run.network.name, **direction, "decoding": _decoding(run)}


def _decoding(run: Run) -> dict[str, Any]:
    chosen = run.settings()
    return {name: chosen[name] for name in run.network.task.decoding}


def as_run(package: Path, results: Path) -> Path:
    """Unpack a package that `export_run` wrote as a run folder below `results`; returns that folder.

    Raises
    ------
    ExportError
        There is no such package, or it was made elsewhere and does not say how to use it here.
    """
    if not zipfile.is_zipfile(package):
        what = "is no zip, or a damaged one" if package.exists() else "does not exist"
        raise ExportError(
            f"model = {package}: this package {what}. Name a run folder, or the zip that section 8 wrote."
        )
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
        trained = next((name for name in TRAINED.values() if name in names), "")
        if not set(CARRIED.values()) <= names or not trained:
            raise ExportError(
                f"{package.name} was not exported by these notebooks, so section 7 cannot use it. Open it "
                "in Fiji (deepImageJ) or with bioimageio.core, or train from it: name it under 'start from' "
                "in section 4."
            )
        weights, ending = archive.read(trained), Path(trained).suffix
        config = yaml.safe_load(archive.read(CARRIED["config.yaml"]))
        if config.get("direction") == DIRECTIONS["target"]:
            ending = f"_{BACK}{ending}"
        for folder in (results / f"{package.stem}{end}" for end in ("", *(f"_{n}" for n in range(2, 1000)))):
            there = folder / "weights" / f"best{ending}"
            if there.exists() and there.read_bytes() == weights:
                return folder
            if not folder.exists():
                break
        # the package holds one set of weights, whichever of the two was exported
        wanted = [
            ("zcdl_plan.yaml", "plan.yaml"),
            *((trained, f"weights/{w}{ending}") for w in ("last", "best")),
        ]
        wanted += [(SETTINGS, "quality_control/settings.json")] if SETTINGS in names else []
        for name, place in [*wanted, ("zcdl_config.yaml", "config.yaml")]:
            with replacing(folder / place) as temporary:
                temporary.write_bytes(archive.read(name))
    return folder


def evaluations(run: Run, summary: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Scores on test images that others can get too, as the zoo records them."""
    if not run.example:
        return ()
    from zcdl_common import datasets

    entry = datasets.entries()[run.example]
    scores = {
        name: (f"mean {name} of the test images", float(values["network"]["mean"]))
        for name, values in summary["metrics"].items()
        if name in ("iou", "dice", "precision", "recall") and values["network"]["mean"] is not None
    }
    address = entry.files[0].url if entry.files else f"https://doi.org/{entry.doi}"
    return (evaluation(run.example, address, summary["n_images"], scores, summary["sentence"]),)

"""Parameters: one field of one class is the default, the limits, the help, the form and the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from zcdl_common.errors import ConfigError
from zcdl_common.files import write_text
from zcdl_common.parameter import (
    FolderText,
    IntTuple,
    Lengths,
    Names,
    NameText,
    Section,
    explain,
    facts_of,
    setting,
)

FORMAT = 1
"""Version of the layout of config.yaml; older ones always open (`_upgrade`)."""


class Config(BaseModel):
    """The parameters that all networks share; a network adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: ClassVar[str] = ""

    dataset: str = setting("", section="images", label="example data set")
    """Images to try this with, by name (`zcdl list` shows all); your own folders take its place."""
    source: FolderText = setting("", section="images", label="images")
    """Folder of the images to learn from. Several folders separated by ; become channels."""
    target: FolderText = setting("", section="images", label="targets")
    """Folder of what the network should produce, with the same file names."""
    test_source: FolderText = setting("", section="images", label="test images", more=True)
    """Folder of images kept for quality control; empty: some of the images are held out."""
    test_target: FolderText = setting("", section="images", label="test targets", more=True)
    """Folder of the targets that belong to the test images."""
    results: FolderText = setting("", section="images", label="results folder", use=True)
    """Where runs are kept; empty: ./zcdl_runs, on Colab a folder on your Drive."""
    name: NameText = setting("", section="images", label="name of this run", use=True)
    """Folder of this run inside the results folder; empty: network and date."""
    axes: str = setting("", section="images", label="axes", more=True)
    """Order of the axes where the files do not say, for example ZYX, TYX, YXC; empty: from the files."""
    channels: Names | None = setting(None, section="images", label="channels", more=True)
    """Numbers (from 0) or names of the channels to use, separated by commas; empty: all."""
    pixel_size: Lengths | None = setting(None, section="images", label="pixel size (µm)", more=True)
    """Size of a pixel in micrometres, Z, Y, X; empty: from the files."""
    test_fraction: float = setting(
        0.15, section="images", label="share held out for the test", more=True, ge=0.0, le=0.5
    )
    """Share of the images kept for quality control where no test folder is given."""
    validation_fraction: float = setting(
        0.15, section="images", label="share held out for validation", more=True, gt=0.0, le=0.5
    )
    """Share of the training images that picks the best epoch and the threshold."""
    group_by: str = setting("", section="images", label="files that belong together", more=True)
    """Text pattern; its match in the file name is the group (movie, stack, well), which is never divided."""

    repaired: FolderText = setting("", section="images", label="repaired copies", more=True)
    """Folder of mended copies that section 2 wrote; they take the place of their originals."""

    epochs: int | None = setting(None, section="settings", label="epochs", ge=1, le=100_000)
    """Passes over the training patches. May be raised later to train on."""
    time_budget_minutes: float | None = setting(
        None, section="settings", label="time limit (minutes)", use=True, gt=0.0
    )
    """Training ends cleanly after so many minutes, with a usable model; empty: no limit."""
    batch_size: int | None = setting(None, section="settings", label="batch size", ge=1, le=1024)
    """Patches a step; halved by itself where memory is short."""
    patch_size: IntTuple | None = setting(None, section="settings", label="patch size (pixels)")
    """Size of the patches that the network learns from, (Z) Y, X."""
    learning_rate: float | None = setting(None, section="settings", label="learning rate", gt=0.0, le=1.0)
    """Size of the optimiser's first steps."""
    schedule: Literal["cosine", "plateau", "linear", "constant"] = setting(
        "cosine", section="settings", label="learning rate schedule", more=True
    )
    """cosine: falls smoothly; plateau: halves when progress ends; linear: falls in the second half."""
    patches_per_image: int | None = setting(
        None, section="settings", label="patches per image and epoch", more=True, ge=1, le=10_000
    )
    """How many patches are cut from an image in an epoch."""
    augment: bool = setting(True, section="augmentation", label="augmentation")
    """Show the network flipped, turned and otherwise changed copies of the patches."""
    early_stop_epochs: int | None = setting(
        None, section="training", label="early stop (epochs)", more=True, use=True, ge=1
    )
    """Training ends when the validation score has not improved for so many epochs; empty: it does not."""
    seed: int = setting(0, section="training", label="seed", more=True, ge=0, le=2**31 - 1)
    """Random numbers start here; the same seed repeats a run."""
    start_from: FolderText = setting("", section="weights", label="start from")
    """Weights to begin with: a run folder, a zoo package (file, URL or nickname) or a model folder of
    csbdeep, n2v or stardist; empty: from scratch."""
    freeze: Literal["nothing", "encoder", "all but the last layer"] = setting(
        "nothing", section="weights", label="keep unchanged", more=True
    )
    """Which part of the starting weights stays as it is."""

    predict_source: FolderText = setting("", section="use", label="new images", use=True)
    """Folder or file to use the finished model on."""
    model: FolderText = setting("", section="use", label="model", use=True)
    """Run folder or package to use in sections 6 to 8; empty: this run."""
    weights: Literal["best", "last"] = setting("best", section="use", label="weights", use=True)
    """The epoch with the best validation score, or the last one."""
    output_format: Literal["imagej", "ome-tiff", "ome-zarr"] = setting(
        "imagej", section="use", label="file format", use=True, more=True
    )
    """imagej opens in Fiji by drag and drop; ome-tiff is taken above 4 GB; ome-zarr suits the largest."""
    allow_code: bool = setting(False, section="use", label="run code inside a package", use=True, more=True)
    """A zoo package can carry Python code; it runs only where you say yes here."""

    authors: Names | None = setting(None, section="export", label="authors", use=True)
    """Who made this model, separated by commas; stands in the package."""
    model_licence: str = setting("CC-BY-4.0", section="export", label="licence of the model", use=True)
    """SPDX name of the licence under which others may use the model."""

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> Self:
        """Check `params`.

        Raises
        ------
        ConfigError
            Lists every parameter that cannot be used, what was found, and what would do.
        """
        # an unknown name is an error, also an empty one
        filled = {k: v for k, v in params.items() if k not in cls.model_fields or v not in (None, "")}
        try:
            return cls.model_validate(filled)
        except ValidationError as error:
            raise ConfigError(explain(cls, error)) from None

    def changed(self, **values: Any) -> Self:
        """A checked copy with other values."""
        return self.parse({**self.model_dump(), **values})

    def write(self, path: Path) -> None:
        """Write the parameters as YAML that `read` and ``ZCDL_PARAMS`` take."""
        record = {"format": FORMAT, "network": self.network, **self.model_dump(mode="json")}
        write_text(path, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote, now or in an older version."""
        return cls.parse(read_params(path, cls.network))

    @classmethod
    def fields(cls, section: Section | None = None) -> dict[str, FieldInfo]:
        """Parameters in the order of their definition, own ones of the network after the shared.

        One that belongs ``after`` another follows that.
        """
        defined = list(cls.model_fields)
        placed = sorted(
            cls.model_fields.items(), key=lambda item: defined.index(facts_of(item[1])["after"] or item[0])
        )
        return {
            name: field for name, field in placed if section is None or facts_of(field)["section"] == section
        }

    @classmethod
    def is_use(cls, name: str) -> bool:
        """Whether a parameter may change after training without making it another run."""
        return bool(facts_of(cls.model_fields[name])["use"])

    def channels_of(self, domain: Literal["source", "target"]) -> tuple[Names | None, str]:
        """Channels to use of images of one kind, and what to call the parameter that chose them."""
        return self.channels, "channels"

    def given(self) -> dict[str, Any]:
        """Parameters that were set to something, as the user gave them."""
        return {n: getattr(self, n) for n in self.model_fields_set if getattr(self, n) not in (None, "")}

    def same_run(self, other: Config) -> list[str]:
        """Names of the training parameters in which `self` asks for something else than `other`.

        None asks for nothing in particular; ``epochs`` may be raised to go on.
        """
        return [
            name
            for name, field in self.fields().items()
            if not facts_of(field)["use"]
            and name != "epochs"
            and getattr(self, name) is not None
            and getattr(self, name) != getattr(other, name)
        ]


def read_params(path: Path, network: str = "") -> dict[str, Any]:
    """Parameters from a YAML file, a config.yaml of any format version included.

    Raises
    ------
    ConfigError
        The file is missing, no YAML mapping, or was written for another network.
    """
    try:
        record = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no parameter file {path}. Check the path.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {error}. Write one 'name: value' a line.") from None
    if not isinstance(record, dict):
        raise ConfigError(f"{path} holds no parameters. Write one 'name: value' a line.")
    record = _upgrade(record, path)
    written_for = record.pop("network", network) or network
    if network and written_for != network:
        raise ConfigError(
            f"{path} was written for the network '{written_for}', this is '{network}'. "
            f"Open the {written_for} notebook instead."
        )
    return record


def _upgrade(record: dict[str, Any], path: Path) -> dict[str, Any]:
    version = record.pop("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise ConfigError(
            f"{path} has format {version}; this version of zcdl_common knows up to {FORMAT}. "
            "Update it with: pip install --upgrade zcdl-common"
        )
    return record

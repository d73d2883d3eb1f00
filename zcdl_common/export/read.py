"""Packages made elsewhere, as a start for training or for prediction."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from zcdl_common.errors import DataError, UserError

NETS = Path(__file__).parent.parent / "models" / "nets"
"""Architectures of this package: a copy of one of these is no foreign code."""


@dataclass(frozen=True)
class PackageModel:
    """A package whose files lie in `folder`."""

    folder: Path
    description: Any
    """`bioimageio.spec` model description of format 0.5, whatever the package was written in."""
    files: Mapping[str, Path]
    """Weight format -> file. Load a ``pytorch_state_dict`` with ``weights_only=True`` and of a
    ``keras_hdf5`` the weights alone: its layers could carry code too."""
    architecture: Path | None
    """Source file of the network, allowed to run; None where the package has no state dict."""
    callable: str
    kwargs: Mapping[str, Any]
    import_from: str
    """Installed module that holds `callable`, for packages without an architecture file."""
    own: bool
    """The architecture is one of this package."""
    preprocessing: tuple[Mapping[str, Any], ...]
    """Steps of the first input, ``{"id", "kwargs"}``; ``ensure_dtype`` stands around them."""
    config: Mapping[str, Any]
    """The description's ``config``."""
    _keep: Any = field(default=None, repr=False, compare=False)


def open_package(source: str | Path, allow_code: bool, folder: Path | None = None) -> PackageModel:
    """Unpack the weights of a package.

    Parameters
    ----------
    source
        Zip file, URL of a zip or rdf.yaml, or nickname in the BioImage Model Zoo.
    allow_code
        Whether Python code inside the package may be run by whoever uses the result.
    folder
        Where the files go; None: a temporary folder that lives as long as the result.

    Raises
    ------
    DataError
        The package is missing, damaged, or tries to write outside its folder.
    UserError
        It carries code and `allow_code` is false.
    """
    keep = None
    if folder is None:
        keep = tempfile.TemporaryDirectory(prefix="zcdl_package_")
        folder = Path(keep.name)
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(source) if Path(source).exists() else _fetch(str(source), folder)
    names = _safe_names(path)
    model = _describe(path)
    digests: dict[str, str] = {}
    files = {}
    for kind, entry in model.weights.available_formats.items():
        files[kind] = _extract(path, names, entry, folder, digests)
    state_dict = model.weights.pytorch_state_dict
    architecture = state_dict.architecture if state_dict else None
    import_from = str(getattr(architecture, "import_from", ""))
    file = None
    if architecture is not None and not import_from:
        file = _extract(path, names, architecture, folder, digests)
    own = file is not None and is_own(file)
    foreign = import_from or (file.name if file and not own else "")
    if foreign and not allow_code:
        raise UserError(
            f"{path.name} carries code of its own ({foreign}), which could do anything on this computer. "
            "If you trust the people who made it, set allow_code = true."
        )
    config = model.config.model_dump(mode="json")
    return PackageModel(
        folder=folder,
        description=model,
        files=files,
        architecture=file,
        callable=str(architecture.callable) if architecture else "",
        kwargs=dict(architecture.kwargs) if architecture else {},
        import_from=import_from,
        own=own,
        preprocessing=tuple(step.model_dump(mode="json") for step in model.inputs[0].preprocessing),
        config=config,
        _keep=keep,
    )


def is_own(architecture: Path) -> bool:
    """Whether a source file equals one in ``zcdl_common/models/nets``, byte for byte."""
    code = architecture.read_bytes()
    return any(code == net.read_bytes() for net in NETS.glob("*.py") if net.name != "__init__.py")


def _describe(path: Path) -> Any:
    from bioimageio.spec import InvalidDescr, load_description

    try:
        # without look-ups of URLs and GitHub names, which fail where there is no internet
        model: Any = load_description(path, format_version="latest", perform_io_checks=False)
    except Exception as error:
        raise DataError(f"{path} is no BioImage Model Zoo package: {error}") from None
    if isinstance(model, InvalidDescr) or model.type != "model":
        errors = [e for detail in model.validation_summary.details for e in detail.errors]
        reason = f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}" if errors else f"type {model.type}"
        raise DataError(f"{path} is no usable model package ({reason}). Ask for a newer export of it.")
    return model


def _fetch(source: str, folder: Path) -> Path:
    """Download by URL or nickname, as one zip."""
    if "://" not in source and re.search(r"[/\\]|\.zip$", source):
        raise DataError(f"There is no package {source}. Check the path.")
    from bioimageio.spec import InvalidDescr, load_description, save_bioimageio_package

    target = folder / "package.zip"
    try:
        model = load_description(source)
        if isinstance(model, InvalidDescr):
            raise ValueError("its description is not valid")
        save_bioimageio_package(model, output_path=target)
    except Exception as error:
        raise DataError(
            f"'{source}' is no file here and could not be fetched as nickname or address: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. "
            "Without internet, download the package from https://bioimage.io elsewhere and give the path of "
            "the zip file."
        ) from None
    return target


def _safe_names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        raise DataError(
            f"{path} is no zip file, or a damaged one. Give the zip of a package as it was downloaded."
        ) from None
    for name in names:
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
            raise DataError(
                f"{path} holds the file name '{name}', which points outside its folder. Do not use it."
            )
    return set(names)


def _extract(path: Path, names: set[str], entry: Any, folder: Path, digests: dict[str, str]) -> Path:
    """Write one file of the package under its bare name, after comparing its hash."""
    name = PurePosixPath(str(entry.source).replace("\\", "/"))
    member = next((n for n in names if PurePosixPath(n) == name), None)
    if member is None:
        member = next((n for n in names if PurePosixPath(n).name == name.name), None)
    if member is None:
        raise DataError(f"{path} lacks the file {name} that its description names. Download it again.")
    with zipfile.ZipFile(path) as archive:
        data = archive.read(member)
    digest = hashlib.sha256(data).hexdigest()
    if entry.sha256 and str(entry.sha256) != digest:
        raise DataError(f"{name} in {path} is not what its description says (hash). Download it again.")
    target = folder / name.name
    if digests.setdefault(name.name, digest) != digest:
        raise DataError(f"{path} holds two different files named {name.name}. Ask for another export of it.")
    target.write_bytes(data)
    return target

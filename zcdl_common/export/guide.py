"""Which program opens which file of a package, and what to type there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zcdl_common.export.info import PackageInfo


class Row(NamedTuple):
    """One program."""

    program: str
    file: str
    menu: str
    values: str


def where_it_opens(info: PackageInfo, formats: Sequence[str], file: str = "") -> list[Row]:
    """One row for each program that can open the package.

    Parameters
    ----------
    formats
        Weight formats in the package (`WeightsFiles.files`).
    file
        Name of the zip as the user finds it; empty: the nickname.
    """
    file = file or f"{info.nickname}.zip"
    single = len(info.outputs) == 1
    values = "; ".join(filter(None, [_channels(info), _tile(info), _pixel_size(info), _raw(info)]))
    rows = []
    if "stardist" in info.extra and len(info.step) == 2:
        rows.append(
            Row(
                "Fiji with the StarDist plugin",
                f"tf_saved_model.zip inside {file}",
                "Plugins > StarDist > StarDist 2D; Neural Network: Model (.zip) from File",
                f"objects; {_stardist(info)}",
            )
        )
    if {"torchscript", "onnx", "tensorflow_saved_model_bundle"} & set(formats):
        mac = "" if {"torchscript", "onnx"} & set(formats) else "; not on Apple Silicon"
        rows.append(
            Row(
                "Fiji with deepImageJ 3.1",
                file,
                "Plugins > DeepImageJ > Install model manually; then DeepImageJ Run",
                values + mac,
            )
        )
    if plugin := _csbdeep(info, formats):
        rows.append(
            Row(
                "Fiji with the CSBDeep plugin",
                f"{plugin[0]} inside {file}",
                "Plugins > CSBDeep > Run your network; Import model (.zip)",
                plugin[1],
            )
        )
    if single and {"pytorch_state_dict", "torchscript", "onnx"} & set(formats):
        rows.append(
            Row(
                "ilastik",
                file,
                "New Project > Neural Network Classification (Local) > NN Prediction; drop the zip on the "
                "model field, Live Predict",
                "; ".join(filter(None, [_channels(info), _whole(info), _pixel_size(info), _raw(info)]))
                or "-",
            )
        )
    if not qupath_stops(len(info.step), len(info.outputs), formats):
        rows.append(
            Row(
                "QuPath with the Bioimage Model Zoo extension",
                f"{file}, unzipped",
                "Extensions > Bioimage Model Zoo > Create pixel classifier; choose rdf.yaml",
                values,
            )
        )
    rows.append(
        Row(
            "Python, also in napari's console",
            file,
            _python(info),
            "; ".join(filter(None, [f"dims: {_order(info)}", _blocks(info), _raw(info)])),
        )
    )
    rows.append(
        Row(
            "BioImage Model Zoo",
            file,
            "https://bioimage.io/#/upload",
            f"licence {info.licence}; reviewers publish it",
        )
    )
    return rows


def qupath_stops(space: int, outputs: int, formats: Sequence[str]) -> str:
    """Why QuPath's extension cannot run a model; empty where it can.

    Parameters
    ----------
    space
        Number of spatial axes: 2 or 3.
    outputs
        Number of tensors that the model returns.
    """
    reasons = [
        "QuPath's extension takes 2D images, no volumes" if space != 2 else "",
        "QuPath's extension takes one output" if outputs != 1 else "",
        "QuPath's extension runs TorchScript alone" if "torchscript" not in formats else "",
    ]
    return "; ".join(filter(None, reasons))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| program | file | where | values |", "|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _stardist(info: PackageInfo) -> str:
    """What to type into Fiji's own plugin."""
    scaling, cuts = info.preprocessing[0]["kwargs"], info.extra["stardist"]["thresholds"]
    values = (
        f"Percentile low {scaling['min_percentile']:g}, high {scaling['max_percentile']:g}",
        f"Probability/Score Threshold {cuts['prob']:.2f}",
        f"Overlap Threshold {cuts['nms']:.2f}",
        _pixel_size(info),
    )
    return "; ".join(filter(None, values))


def _csbdeep(info: PackageInfo, formats: Sequence[str]) -> tuple[str, str] | None:
    """File for Fiji's plugin for restoration and what to type there; None where it cannot scale as we do.

    It takes one scale for all channels of an image, by percentiles, and raises what is darker to the lower.
    """
    step = max(info.step)
    overlap = -(-max(max(output.halo) for output in info.outputs) // step) * step
    tiles = f"Tile size has to be multiple of {step}, Overlap between tiles {overlap}"
    if "csbdeep" in info.extra:
        return info.extra["csbdeep"]["weights"], f"Normalize Input off; {tiles}"
    by_percentiles = [p["id"] for p in info.preprocessing] == ["scale_range"] and len(info.channels) == 1
    if "tensorflow_saved_model_bundle" not in formats or "stardist" in info.extra or not by_percentiles:
        return None
    low, high = (info.preprocessing[0]["kwargs"][f"{end}_percentile"] for end in ("min", "max"))
    return "tf_saved_model.zip", (
        f"Normalize Input on, Percentile Bottom {low:g}, Percentile Top {high:g}, Clip normalization off; "
        f"{tiles}; the darkest {low:g} % of the pixels are made equal there, so results differ slightly"
    )


def _channels(info: PackageInfo) -> str:
    if len(info.channels) == 1:
        return ""
    return f"channels in this order: {', '.join(info.channels)}"


def _raw(info: PackageInfo) -> str:
    """What programs show that do not know star-convex shapes."""
    if "stardist" not in info.extra:
        return ""
    rays = len(info.outputs[0].channels) - 1
    maps = f"raw maps only (probability and {rays} distances), no objects"
    where = "the StarDist plugin" if len(info.step) == 2 else "zcdl predict"
    return f"{maps}: for objects use {where}"


def _tile(info: PackageInfo) -> str:
    if not info.allow_tiling:
        rules = [_sizes(least, step) for least, step in zip(info.smallest, info.step, strict=True)]
        sides = zip(info.axis_names.upper(), rules, strict=True)
        return "whole images, no tiles: " + ", ".join(f"{axis} {rule}" for axis, rule in sides)
    usual = (512, 512) if len(info.step) == 2 else (64, 128, 128)
    axes = list(zip(info.axis_names.upper(), usual, info.smallest, info.step, strict=True))
    good = {axis: least + max(0, round((size - least) / step)) * step for axis, size, least, step in axes}
    rules = [_sizes(least, step) for _, _, least, step in axes]
    if len(set(rules)) == 1:
        return f"tile {' '.join(f'{axis} {size}' for axis, size in good.items())} (or {rules[0]})"
    return "tile " + ", ".join(
        f"{a} {n} (or {rule})" for (a, n), rule in zip(good.items(), rules, strict=True)
    )


def _sizes(least: int, step: int) -> str:
    """Which lengths of an axis are allowed."""
    if least % step == 0:
        return f"any multiple of {step} from {least}" if step > 1 else f"any from {least}"
    return f"{least}, {least + step}, {least + 2 * step} ..."


def _python(info: PackageInfo) -> str:
    # blocks: images of every size, scaled by their own values; a whole image is padded first, then scaled
    inputs = "inputs=Tensor.from_numpy(image, dims=...)" + ", blocksize_parameter=n" * info.allow_tiling
    return f"from bioimageio.core import Tensor, predict; predict(model=..., {inputs})"


def _blocks(info: PackageInfo) -> str:
    return f"{_tile(info)}, not larger than the image" if info.allow_tiling else _tile(info)


def _whole(info: PackageInfo) -> str:
    """For programs that cut images as they like."""
    return "" if info.allow_tiling else _tile(info)


def _pixel_size(info: PackageInfo) -> str:
    if not info.pixel_size:
        return ""
    return f"pixel size {' x '.join(f'{p:g}' for p in info.pixel_size)} µm ({info.axis_names.upper()})"


def _order(info: PackageInfo) -> str:
    space = ", ".join(info.axis_names)
    return f"batch, channel, {space}" if info.channel_axis == "first" else f"batch, {space}, channel"

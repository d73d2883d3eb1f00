"""Packages of real networks, opened as other programs open them."""

import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from zcdl_common.errors import ExportError
from zcdl_common.export import check, rules
from zcdl_common.export.guide import where_it_opens
from zcdl_common.export.info import Output, PackageInfo, evaluation
from zcdl_common.export.package import build
from zcdl_common.network import WeightsFiles
from zcdl_common.scales import Percentile

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")

NETS = Path(__file__).parents[2] / "zcdl_common" / "models" / "nets"


def torch_weights(module, example, folder, names, *, architecture, callable, kwargs):
    """Write a torch module in the three weight formats of the zoo."""
    folder.mkdir(parents=True, exist_ok=True)
    module = module.to("cpu").float().eval()
    files = {
        "pytorch_state_dict": folder / "weights.pt",
        "torchscript": folder / "weights-torchscript.pt",
        "onnx": folder / "weights.onnx",
    }
    tensor = torch.from_numpy(np.ascontiguousarray(example, np.float32))
    dynamic = {0: "batch"} | {axis: "zyx"[axis - tensor.ndim] for axis in range(2, tensor.ndim)}
    torch.save(module.state_dict(), files["pytorch_state_dict"])
    with torch.no_grad():
        torch.jit.trace(module, tensor).save(str(files["torchscript"]))
        torch.onnx.export(
            module,
            (tensor,),
            str(files["onnx"]),
            input_names=[names[0]],
            output_names=list(names[1:]),
            dynamic_axes=dict.fromkeys(names, dynamic),
            opset_version=17,
            dynamo=False,
        )
    return WeightsFiles(files, architecture, callable, kwargs, torch.__version__.split("+")[0])


def blobs(rng, shape):
    """uint16 (C, (Z), Y, X): bright discs on a noisy background."""
    channels, *space = shape
    grid = np.indices(space)
    image = rng.normal(200, 20, shape)
    for _ in range(12):
        centre = [rng.uniform(0, n) for n in space]
        inside = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < rng.uniform(3, 8) ** 2
        image[rng.integers(channels)] += 900 * inside
    return image.clip(0, 65535).astype(np.uint16)


def make(folder, pools, shape, classes):
    """Info, weights, test input and output of a small, untrained U-Net."""
    sys.path.insert(0, str(NETS))
    from unet import UNet, field_of_view

    sys.path.pop(0)
    torch.manual_seed(1)
    ndim = len(pools[0])
    kwargs = {"channels_in": shape[0], "channels_out": len(classes), "base": 4, "pools": pools}
    network = UNet(**kwargs).eval()
    raw = blobs(np.random.default_rng(3), shape).astype(np.float32)[None]
    scaled = Percentile()(np.moveaxis(raw[0], 0, -1))
    scaled = np.moveaxis(scaled, -1, 0)[None]
    with torch.no_grad():
        output = network(torch.from_numpy(np.ascontiguousarray(scaled))).numpy()
    weights = torch_weights(
        network,
        scaled,
        folder,
        ("raw", "probability"),
        architecture=NETS / "unet.py",
        callable="UNet",
        kwargs=kwargs,
    )
    halo = field_of_view(pools)
    info = PackageInfo(
        name="U-Net small nuclei",
        nickname="unet-small-nuclei",
        description="Finds blobs.",
        documentation="## Training data\n\nSimulated blobs.\n",
        channels=("DAPI 405", "GFP")[: shape[0]],
        step=tuple(int(np.prod([p[axis] for p in pools])) for axis in range(ndim)),
        outputs=(Output("probability", classes, halo, range=(0.0, 1.0)),),
        preprocessing=tuple(Percentile().zoo(ndim)),
        pixel_size=(0.5, 0.2, 0.2)[-ndim:],
        authors=("Ada Lovelace",),
        cite=(("Ronneberger et al. 2015", "10.1007/978-3-319-24574-4_28"),),
        tags=("unet", "semantic-segmentation", "nuclei", "pytorch", "fiji", "other", f"{ndim}d"),
        git_repo="https://example.org/notebooks",
        parent="affable-shark",
        training_data={"id": "zero/dataset_u-net_2d_multilabel_deepbacs"},
        details={
            "task": "semantic segmentation",
            "modality": "fluorescence microscopy",
            "target_structure": ["nuclei"],
            "architecture_type": f"{ndim}D U-Net",
            "architecture_description": "one level, four filters",
            "model_parameter_count": sum(p.numel() for p in network.parameters()),
            "inference_time": "0.1 s for 64 x 48 pixels on one CPU core",
            "memory_requirements_inference": "0.1 GB for 64 x 48 pixels",
            "memory_requirements_training": "0.2 GB for 4 patches of 64 x 48 pixels",
            "evaluations": [
                evaluation("blobs", "https://example.org/blobs", 3, {"iou": ("intersection over union", 0.7)})
            ],
            "environmental_impact": {"hardware_type": "CPU", "hours_used": 0.1},
            "training": {
                "training_preprocessing": Percentile().describe(),
                "training_epochs": 3,
                "training_batch_size": np.int64(4),
                "initial_learning_rate": 1e-3,
                "learning_rate_schedule": "cosine",
                "loss_function": "cross-entropy",
                "loss_function_kwargs": {"weight": (1.0, 2.0)},
                "optimizer": "AdamW",
                "optimizer_kwargs": {"weight_decay": 1e-4},
                "regularization": "weight decay",
                "training_duration": 0.1,
            },
        },
        extra={
            "zcdl_common": {
                "network": "unet",
                "run": "nuclei_1",
                "version": "0.1.0",
                "weights": "best",
                "seed": 0,
                "threshold": 0.5,
                "training_images": 12,
                "patch_size": [64, 48],
            }
        },
    )
    return info, weights, raw, output


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """2D, one channel in, one out."""
    folder = tmp_path_factory.mktemp("two")
    parts = make(folder / "weights", [[2, 2]], (1, 64, 48), ("foreground",))
    return parts, build(*parts, folder / "export" / "model.zip")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """3D with flat pooling, two channels in, three classes out."""
    folder = tmp_path_factory.mktemp("three")
    parts = make(folder / "weights", [[1, 2, 2]], (2, 16, 32, 48), ("background", "rim", "inside"))
    return parts, build(*parts, folder / "model.zip")


def rdf(path):
    """The description inside a package."""
    with zipfile.ZipFile(path) as archive:
        return yaml.safe_load(archive.read("rdf.yaml"))


@pytest.mark.parametrize("which", ["two", "three"])
def test_every_weight_format_passes_in_another_process(which, request):
    (_, weights, _, _), package = request.getfixturevalue(which)
    assert [row.format for row in package.checks] == list(weights.files)
    assert all(
        row.passed and row.tolerance.startswith("0.1 % of an output value, plus ") for row in package.checks
    )
    assert sorted(path.name for path in package.path.parent.iterdir() if path.is_file()) == ["model.zip"]


@pytest.mark.parametrize("which", ["two", "three"])
def test_a_package_is_written_in_the_words_of_older_readers(which, request):
    (info, _, _, _), package = request.getfixturevalue(which)
    record = rdf(package.path)
    assert record["format_version"] == "0.5.4"
    assert record["documentation"] == "README.md"
    assert record["covers"] == ["cover.png"]
    assert record["config"]["bioimageio"]["nickname"] == info.nickname
    assert "id" not in record
    axes = [axis for tensor in record["inputs"] + record["outputs"] for axis in tensor["axes"]]
    assert all(axis["id"] for axis in axes)
    # the pixel size must not stand in `scale`, which deepImageJ multiplies sizes by
    assert not any("scale" in axis for axis in axes)
    assert record["config"]["zcdl_common"]["pixel_size_micrometer"]["x"] == 0.2
    assert rules.check(package.path)[0] == []


def test_what_the_newest_library_writes_is_found_to_break_older_readers(two, tmp_path):
    from bioimageio.spec import load_model_description, save_bioimageio_package

    raw = save_bioimageio_package(load_model_description(two[1].path), output_path=tmp_path / "raw.zip")
    errors, _ = rules.check(Path(raw))
    assert any("documentation" in error for error in errors)
    assert any("covers" in error for error in errors)


def test_filled_metadata_reach_the_share_that_the_zoo_likes(two, three):
    assert two[1].completeness >= 0.8
    assert three[1].completeness >= 0.8


def test_channels_keep_their_order_and_names_become_identifiers(three):
    record = rdf(three[1].path)
    channel = record["inputs"][0]["axes"][1]
    assert channel["channel_names"] == ["DAPI_405", "GFP"]
    assert channel["description"] == "DAPI 405, GFP"
    assert record["outputs"][0]["axes"][1]["channel_names"] == ["background", "rim", "inside"]


def test_axis_wise_sizes_follow_the_anisotropic_network(three):
    space = {axis["id"]: axis["size"] for axis in rdf(three[1].path)["inputs"][0]["axes"][2:]}
    assert space["z"]["step"] == 1
    assert space["y"]["step"] == 2
    halo = {axis["id"]: axis["halo"] for axis in rdf(three[1].path)["outputs"][0]["axes"][2:]}
    assert all(space[a]["min"] > 2 * halo[a] and space[a]["min"] % space[a]["step"] == 0 for a in "zyx")


def test_tensors_and_samples_hold_the_raw_image(three):
    (_, _, raw, output), package = three
    with zipfile.ZipFile(package.path) as archive:
        stored = np.load(io.BytesIO(archive.read("test_input.npy")))
        with tifffile.TiffFile(io.BytesIO(archive.read("sample_input.tif"))) as file:
            sample, axes = file.asarray(), file.series[0].axes
            spacing, unit = file.imagej_metadata["spacing"], file.imagej_metadata["unit"]
            x = file.pages[0].tags["XResolution"].value
        prediction = tifffile.imread(io.BytesIO(archive.read("sample_output.tif")))
    np.testing.assert_array_equal(stored, raw)
    assert stored.max() > 500
    assert axes == "ZCYX"
    np.testing.assert_array_equal(sample, np.moveaxis(raw[0], 0, 1))
    np.testing.assert_array_equal(prediction, np.moveaxis(output[0], 0, 1))
    assert (spacing, unit) == (0.5, "um")
    assert x[0] / x[1] == pytest.approx(5)


def test_cover_and_readme_suit_the_zoo(two):
    from PIL import Image

    with zipfile.ZipFile(two[1].path) as archive:
        cover, text = archive.read("cover.png"), archive.read("README.md").decode()
    assert len(cover) < 500_000
    assert Image.open(io.BytesIO(cover)).size == (800, 400)
    for part in (
        "# U-Net small nuclei",
        "## Training data",
        "## Validation",
        "0.2 x 0.2 micrometer",
        "CC-BY-4.0",
    ):
        assert part in text


def test_the_guides_python_line_takes_an_image_of_any_size(two):
    (info, weights, _, _), package = two
    row = next(r for r in where_it_opens(info, tuple(weights.files)) if r.program.startswith("Python"))
    image = blobs(np.random.default_rng(4), (1, 75, 93))
    names = {"path": package.path, "image": image[None], "n": 3}
    names["dims"] = tuple(row.values.split(";")[0].removeprefix("dims: ").split(", "))
    load, call = row.menu.replace("model=...", "model=path").replace("dims=...", "dims=dims").split("; ")
    exec(load, names)
    found = np.asarray(eval(call, names).members["probability"].data)

    scaled = np.moveaxis(Percentile()(np.moveaxis(image, 0, -1)), -1, 0)[None, :, :74, :92]
    with torch.no_grad():
        module = torch.jit.load(str(weights.files["torchscript"]))
        expected = module(torch.from_numpy(np.ascontiguousarray(scaled))).numpy()
    assert found.shape == (1, 1, 75, 93)
    h, w = info.outputs[0].halo
    inside = (..., slice(h, 74 - h), slice(w, 92 - w))
    assert expected[inside].size > 1000
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


def test_weights_that_compute_something_else_leave_no_package(two, tmp_path):
    (info, weights, raw, output), package = two
    other = make(tmp_path / "other", [[2, 2]], (1, 64, 48), ("foreground",))[1]
    torch.jit.save(_doubled(other.files["torchscript"]), str(tmp_path / "broken.pt"))
    broken = WeightsFiles({"torchscript": tmp_path / "broken.pt"}, version=weights.version)
    target = tmp_path / "export" / "model.zip"
    target.parent.mkdir()
    earlier = package.path.read_bytes()
    target.write_bytes(earlier)
    with pytest.raises(ExportError, match=r"torchscript \(tolerance .*\): Output .* disagree"):
        build(info, broken, raw, output, target)
    assert [path.name for path in target.parent.iterdir()] == ["model.zip"]
    assert target.read_bytes() == earlier


def _doubled(path):
    module = torch.jit.load(str(path))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    return module


def test_a_field_that_the_zoo_refuses_is_named(two, tmp_path):
    (info, weights, raw, output), _ = two
    onnx = WeightsFiles({"onnx": weights.files["onnx"]}, version=weights.version)
    with pytest.raises(ExportError, match="license"):
        build(replace(info, licence="my licence"), onnx, raw, output, tmp_path / "model.zip")
    assert not list(tmp_path.iterdir())


def test_the_test_process_sees_no_legacy_keras(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    environment = check._environment("cache")
    assert "TF_USE_LEGACY_KERAS" not in environment
    assert environment["CI"] == "1"
    assert environment["BIOIMAGEIO_CACHE_PATH"] == "cache"


def test_a_file_that_is_no_package_breaks_off_with_a_reason(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"model\.zip"):
        check.verify(path)

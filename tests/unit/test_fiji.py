"""The zips for Fiji's CSBDeep plugin, opened as TensorFlow 1 opens them and fed as the plugin feeds them."""

import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from zcdl_common import networks
from zcdl_common.export.from_run import package_info, packed_of
from zcdl_common.export.guide import where_it_opens
from zcdl_common.export.weight_rules import READERS
from zcdl_common.predict import predict
from zcdl_common.run import Run
from zcdl_common.task import Facts

PLUGIN = """
import sys, zipfile
from pathlib import Path
import numpy as np, tensorflow as tf
old = tf.compat.v1
for case in sorted(Path(sys.argv[1]).iterdir()):
    zipfile.ZipFile(case / "model.zip").extractall(case / "model")
    with tf.Graph().as_default(), old.Session() as session:
        meta = old.saved_model.loader.load(session, ["serve"], str(case / "model"))
        call = meta.signature_def["serving_default"]
        (source,), (output,) = call.inputs.values(), call.outputs.values()
        sizes = [[d.size for d in t.tensor_shape.dim] for t in (source, output)]
        np.save(case / "sizes.npy", sizes)
        for image in case.glob("input_*.npy"):
            found = session.run(output.name, {source.name: np.load(image)[None]})
            np.save(case / image.name.replace("input", "output"), found[0])
assert "zcdl_common" not in sys.modules
"""
TINY = {"depth": 1, "filters": 4, "learning_rate": 1e-2, "batch_size": 4}
FORMATS = ("keras_hdf5", "tensorflow_saved_model_bundle", "onnx")
CASES = {
    "care_2d": ("care", 2, 1, {"loss": "laplace", "residual": True}),
    "care_3d": ("care", 3, 1, {"residual": True}),
    "noise2void_2d": ("noise2void", 2, 2, {"n2v2": True, "batch_norm": True}),
    "noise2void_3d": ("noise2void", 3, 1, {"batch_norm": True}),
}


def image_of(ndim, channels):
    rng = np.random.default_rng(0)
    image = 500 + 200 * np.sin(np.indices((24,) * ndim).sum(0) / 3)[..., None]
    return rng.poisson(image * np.ones(channels)).astype(np.uint16)


def plugin_scaling(image, low, high):
    """As the plugin scales: percentiles are pixels themselves, what is darker than the lower is cut off."""
    values = np.sort(image.ravel())
    bottom, top = (float(values[round((len(values) - 1) * p / 100)]) for p in (low, high))
    return np.maximum(0, (image - bottom) / (top - bottom)).astype(np.float32)


def run_of(case, folder):
    name, ndim, channels, params = CASES[case]
    network = networks.get(name)
    names = tuple(f"c{i}" for i in range(channels))
    extra = {"target_channels": names, "target_offset": (300.0, 480.0)[:channels]}
    extra["target_span"] = (400.0, 150.0)[:channels]
    facts = Facts(ndim, names, ((24,) * ndim,), "uint16", counts={"train": 2}, extra=extra)
    config = network.Config.parse({**TINY, "patch_size": (8,) * ndim, "model_licence": "CC0-1.0", **params})
    run = Run(folder, network, config, facts, {})
    model = network.build(config, facts)
    rng = np.random.default_rng(1)
    for _ in range(3):  # running means and weights of a network that was trained
        shape = (4, *(8,) * ndim)
        target = rng.random((*shape, channels * (2 if name == "noise2void" else 1)), np.float32)
        model.step({"source": rng.random((*shape, channels), np.float32), "target": target}, 1e-2)
    return run, model


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Case -> (network's prediction here, folder with what the plugin's engine made)."""
    folder, kept = tmp_path_factory.mktemp("fiji"), {}
    for case, (_, ndim, channels, _) in CASES.items():
        place, made = folder / case, tmp_path_factory.mktemp(case)
        place.mkdir()
        (made / "plan.yaml").write_text("")
        run, model = run_of(case, made)
        raw = image_of(ndim, channels)
        if case.startswith("care"):
            model.weights(made, raw)
        info = package_info(run, model, made, packed_of(run, model, made))
        (row,) = [r for r in where_it_opens(info, FORMATS, "p.zip") if "CSBDeep" in r.program]
        zipped = made / row.file.removesuffix(" inside p.zip")
        (place / "model.zip").write_bytes(zipped.read_bytes())
        inputs = {"exact": raw.astype(np.float32)}
        if "Normalize Input on" in row.values:
            low, high = np.percentile(raw, (1, 99.8))
            inputs = {"exact": (raw - low) / (high - low), "plugin": plugin_scaling(raw, 1, 99.8)}
        for name, array in inputs.items():
            np.save(place / f"input_{name}.npy", array.astype(np.float32))
        found = predict(run, model, raw)
        kept[case] = row, np.concatenate([found.main, *found.extra.values()], -1), place
    env = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", PLUGIN, str(folder)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return kept


@pytest.mark.parametrize("case", CASES)
def test_the_plugins_engine_gives_what_section_7_gives(case, opened):
    _, expected, place = opened[case]
    assert expected.std() > 1
    np.testing.assert_allclose(np.load(place / "output_exact.npy"), expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("case", ["care_2d", "care_3d"])
def test_the_plugins_own_scaling_changes_little(case, opened):
    _, expected, place = opened[case]
    off = np.abs(np.load(place / "output_plugin.npy") - expected)[..., 0]
    assert 0 < off.mean() < 0.01 * np.ptp(expected[..., 0])


@pytest.mark.parametrize("case", CASES)
def test_the_zip_holds_what_the_plugin_looks_for(case, opened):
    _, expected, place = opened[case]
    assert zipfile.ZipFile(place / "model.zip").namelist() == ["saved_model.pb", "variables/"]
    source, output = np.load(place / "sizes.npy").tolist()
    ndim, channels = CASES[case][1:3]
    assert source == [-1] * (ndim + 1) + [channels] and output == [-1] * (ndim + 1) + [expected.shape[-1]]
    entry = {"tensorflow_version": "1.15.0"}
    found = READERS["tensorflow_saved_model_bundle"](entry, (place / "model.zip").read_bytes())
    assert [text for _, text in found] == [
        "TensorFlow weights: deepImageJ does not offer them on Apple Silicon."
    ]


def test_the_guide_says_what_to_type(opened):
    care, noise = (opened[case][0] for case in ("care_2d", "noise2void_3d"))
    assert care.menu == noise.menu == "Plugins > CSBDeep > Run your network; Import model (.zip)"
    assert care.file == "tf_saved_model.zip inside p.zip"
    assert (
        "Normalize Input on, Percentile Bottom 1, Percentile Top 99.8, Clip normalization off" in care.values
    )
    assert noise.file == "csbdeep_raw.zip inside p.zip" and noise.values.startswith("Normalize Input off")
    assert all("multiple of 2, Overlap between tiles 10" in row.values for row in (care, noise))


def test_where_the_plugin_cannot_scale_as_we_do_it_is_not_named(tmp_path):
    run, model = run_of("care_2d", tmp_path)
    (tmp_path / "plan.yaml").write_text("")
    one = package_info(run, model, tmp_path)
    two = replace(one, channels=("c0", "c1"))  # the plugin has one scale for both
    stardist = replace(
        one, extra={"stardist": {"thresholds": {"prob": 0.5, "nms": 0.4}}}
    )  # has its own plugin
    for info, named in ((one, True), (two, False), (stardist, False)):
        programs = {row.program for row in where_it_opens(info, FORMATS)}
        assert ("Fiji with the CSBDeep plugin" in programs) == named

"""Keras models in the formats that other programs open."""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from zcdl_common.models._keras import tf
from zcdl_common.network import WeightsFiles
from zcdl_common.scales import Limits
from zcdl_common.task import Array


def with_units(source: Any, last: Any, gain: Array, offset: Array) -> Any:
    """A model that ends in ``output * gain + offset``, each (C,), as a convolution: every engine has it."""
    layers = tf.keras.layers
    kind = layers.Conv2D if len(last.shape) == 4 else layers.Conv3D
    scaled = kind(len(gain), 1, name="units")
    model = tf.keras.Model(source, scaled(last))
    kernel = np.diag(gain).reshape((1,) * (len(last.shape) - 2) + (len(gain),) * 2)
    scaled.set_weights([kernel.astype(np.float32), offset.astype(np.float32)])
    return model


def of_raw(net: Any, scale: Limits) -> Any:
    """The same model for images that are not scaled yet: it begins with ``(image - offset) / span``."""
    raw = tf.keras.Input(net.inputs[0].shape[1:])
    scaled = with_units(raw, raw, 1 / scale.span, -scale.offset / scale.span)
    return tf.keras.Model(raw, net(scaled(raw)))


def frozen_graph(net: Any, names: tuple[str, str]) -> Any:
    """The network as a graph of operations that old engines know, its weights as constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = tf.TensorSpec([None, *net.inputs[0].shape[1:]], tf.float32, name=names[0])
    call = tf.function(lambda x: tf.identity(net(x, training=False), name=names[1]))
    fused = [layer for layer in net.submodules if getattr(layer, "fused", False)]
    for layer in fused:  # TensorFlow 1.12 knows no FusedBatchNormV3, and 1.15 none for volumes
        layer.fused = False
    try:
        traced = call.get_concrete_function(signature)
    finally:
        for layer in fused:
            layer.fused = True
    graph = convert_variables_to_constants_v2(traced).graph.as_graph_def()
    for node in graph.node:  # for whole factors the result is the same, and TensorFlow 1.13 does not know it
        if node.op == "ResizeNearestNeighbor":
            node.attr["half_pixel_centers"].b = False
    return graph


def write_saved_model(graph: Any, names: tuple[str, str], target: Path) -> None:
    """Zip a frozen graph as Fiji's plugins take it: tag ``serve``, signature ``serving_default``."""
    with tempfile.TemporaryDirectory() as temporary:
        saved = Path(temporary) / "model"
        old = tf.compat.v1
        with tf.Graph().as_default() as empty, old.Session(graph=empty) as session:
            tf.import_graph_def(graph, name="")
            ends = [{name: empty.get_tensor_by_name(f"{name}:0")} for name in names]
            signature = old.saved_model.signature_def_utils.predict_signature_def(*ends)
            builder = old.saved_model.builder.SavedModelBuilder(str(saved))
            tags, signatures = [old.saved_model.tag_constants.SERVING], {"serving_default": signature}
            builder.add_meta_graph_and_variables(session, tags, signatures, strip_default_attrs=True)
            builder.save()
        (saved / "variables").mkdir(exist_ok=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(saved.rglob("*")):
                archive.write(path, path.relative_to(saved))


def _forget_groups(path: Path) -> None:
    """Drop ``groups`` of transposed convolutions from a saved model: Keras 3 does not know the word."""
    import h5py

    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        for layer in model["config"]["layers"]:
            if layer["class_name"].endswith("Transpose"):
                layer["config"].pop("groups", None)
        file.attrs["model_config"] = json.dumps(model)


def convert(net: Any, folder: Path, names: tuple[str, str]) -> WeightsFiles:
    """HDF5, frozen TensorFlow SavedModel and ONNX of a Keras model with one input and one output.

    The SavedModel opens in the TensorFlow 1 engines of Fiji; ONNX has opset 15 and IR 8, which the
    engines of deepImageJ read.
    """
    import tf2onnx

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "keras_hdf5": folder / "weights.h5",
        "tensorflow_saved_model_bundle": folder / "tf_saved_model.zip",
        "onnx": folder / "weights.onnx",
    }
    with warnings.catch_warnings():  # Keras would rather write its own new format, which nobody else reads
        warnings.simplefilter("ignore")
        net.save(files["keras_hdf5"], include_optimizer=False, save_format="h5")
    _forget_groups(files["keras_hdf5"])
    graph = frozen_graph(net, names)
    write_saved_model(graph, names, files["tensorflow_saved_model_bundle"])
    model, _ = tf2onnx.convert.from_graph_def(
        graph, input_names=[f"{names[0]}:0"], output_names=[f"{names[1]}:0"], opset=15
    )
    files["onnx"].write_bytes(model.SerializeToString())
    return WeightsFiles(files, version=tf.__version__)

"""What the torch models share: device, precision, state, and NumPy in and out."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zcdl_common.errors import RunError
from zcdl_common.files import replacing
from zcdl_common.network import WeightsFiles
from zcdl_common.task import Array


def pick_device() -> torch.device:
    """A CUDA GPU where there is one, then Apple's, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def device_name() -> str:
    """Name of the GPU, for the record."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else pick_device().type


def arithmetic(precision: str, device: torch.device) -> str:
    """Number format that training computes in: "float32", "bfloat16" or "float16".

    bfloat16 needs no loss scaling and is native from Ampere (8.0) on; older cards gain from float16.
    """
    if device.type != "cuda" or precision == "float32":
        return "float32"
    major, _ = torch.cuda.get_device_capability(device)
    return "bfloat16" if major >= 8 else "float16"


def autocast(name: str, device: torch.device) -> torch.autocast:
    """Context in which convolutions compute in that format, on a GPU; a CPU computes in float32."""
    half = name != "float32" and device.type == "cuda"
    return torch.autocast(device.type, getattr(torch, name) if half else None, enabled=half)


def memory_format(ndim: int) -> torch.memory_format:
    """Channels-last layout, which convolutions run fastest in."""
    return torch.channels_last if ndim == 2 else torch.channels_last_3d


def to_device(array: Array, device: torch.device) -> torch.Tensor:
    """(B, (Z)YXC) float32 -> (B, C, (Z)YX) on the device.

    The moved axis keeps its place in memory, so this is channels-last without a copy.
    """
    return send(np.ascontiguousarray(array, np.float32), device).movedim(-1, 1)


def send(array: Array, device: torch.device) -> torch.Tensor:
    """An array on the device; to a GPU through pinned memory, so that the host does not wait for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def to_numpy(tensor: torch.Tensor) -> Array:
    """(B, C, (Z)YX) -> float32 (B, (Z)YXC)."""
    return tensor.detach().movedim(1, -1).float().cpu().numpy()


def pack(
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    scaler: torch.amp.GradScaler | None = None,
) -> dict[str, Array]:
    """Weights and optimiser states as one flat dict of arrays."""
    state: dict[str, Array] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            state[f"module/{name}/{key}"] = _copy(value)
    for name, optimiser in optimisers.items():
        for index, slots in optimiser.state_dict()["state"].items():
            for key, value in slots.items():
                if value is not None:
                    state[f"optimiser/{name}/{index}/{key}"] = _copy(torch.as_tensor(value))
    if scaler is not None:
        for key, value in scaler.state_dict().items():
            state[f"scaler/{key}"] = np.asarray(value)
    return state


def _copy(value: torch.Tensor) -> Array:
    return value.detach().cpu().contiguous().numpy().copy()


def unpack(
    state: Mapping[str, Array],
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Put back what `pack` took."""
    for name, module in modules.items():
        prefix = f"module/{name}/"
        module.load_state_dict(
            {
                k.removeprefix(prefix): torch.from_numpy(v.copy())
                for k, v in state.items()
                if k.startswith(prefix)
            }
        )
    for name, optimiser in optimisers.items():
        slots: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            if key.startswith(f"optimiser/{name}/"):
                _, _, index, slot = key.split("/", 3)
                slots.setdefault(int(index), {})[slot] = torch.from_numpy(value.copy())
        full = optimiser.state_dict()
        optimiser.load_state_dict({"state": slots, "param_groups": full["param_groups"]})
    if scaler is not None:
        kept = {k.removeprefix("scaler/"): v.item() for k, v in state.items() if k.startswith("scaler/")}
        if kept:
            scaler.load_state_dict(kept)


def make_optimiser(
    kind: str, parameters: Any, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Optimiser by name."""
    if kind == "sgd":
        return torch.optim.SGD(
            parameters, learning_rate, momentum=0.9, nesterov=True, weight_decay=weight_decay
        )
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[kind]
    return make(parameters, learning_rate, weight_decay=weight_decay)


def adam(parameters: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Adam with a first moment of 0.5, as fnet, pix2pix and CycleGAN were published.

    In one kernel on CUDA: the step then reads on the device whether a scaled gradient is finite, where it
    would otherwise make the host wait.
    """
    fused = pick_device().type == "cuda"
    return torch.optim.Adam(parameters, learning_rate, betas=(0.5, 0.999), fused=fused)


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a state dict that ``torch.load(weights_only=True)`` reads."""
    stream = io.BytesIO()  # torch's own writer hides a full disk behind an error of its own
    torch.save({k: v.detach().cpu() for k, v in module.state_dict().items()}, stream)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getbuffer())


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict; code inside the file is never run.

    Raises
    ------
    RunError
        The file is missing or no state dict.
    """
    if not path.exists():
        raise RunError(f"There are no weights {path.name} in {path.parent}. Run section 5 (Train) first.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"{path} cannot be read as torch weights ({error}). Is the file whole?") from error


def read_arrays(path: Path) -> dict[str, Array]:
    """Read a state dict as arrays."""
    return {key: value.numpy() for key, value in read_weights(path).items()}


def load_fitting(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Load what has the same name and shape; returns the names of what was left as it was."""
    own = module.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    module.load_state_dict({**own, **fitting})
    return sorted(set(own) - set(fitting))


def start(module: nn.Module, name: str, state: Mapping[str, Array]) -> list[str]:
    """Take the weights that fit from the network `name` in a packed state; returns those left out."""
    prefix = f"module/{name}/"
    found = {
        k.removeprefix(prefix): torch.from_numpy(np.array(v))
        for k, v in state.items()
        if k.startswith(prefix)
    }
    return load_fitting(module, found)


def compiled(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same network as faster code, made at its first call.

    Raises
    ------
    RunError
        When called: there is no compiler for this device.
    """
    fast = torch.compile(module)

    def call(x: torch.Tensor) -> torch.Tensor:
        try:
            return fast(x)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RunError(
                "compile = true: this computer cannot compile the network (a GPU needs Triton, a CPU a C++ "
                f"compiler): {str(error).splitlines()[0]} Set compile = false under a new name."
            ) from error

    return call


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch gave up for want of memory, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def largest_part(batch_size: int, attempt: Callable[[int], None]) -> int:
    """The largest part of a batch, halved from all of it, for which ``attempt(size)`` fits memory.

    Raises
    ------
    RunError
        Not even a single patch fits.
    """
    part = batch_size
    while True:
        try:
            attempt(part)
            return part
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if part == 1:
                raise RunError(
                    "Memory does not hold a single patch of this network. Use a smaller patch_size, "
                    "or fewer filters."
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        part = max(1, part // 2)


def convert(
    module: nn.Module,
    example: Array,
    folder: Path,
    names: Sequence[str],
    architecture: Path,
    kwargs: dict[str, Any],
) -> WeightsFiles:
    """State dict, TorchScript and ONNX of `module`, traced on `example` (1, (Z)YXC) float32.

    `names` are those of the input and of the outputs, in their order.
    ONNX is written by the exporter that yields opset 17 and IR 8, which the engines of Fiji read.
    """
    import warnings

    folder.mkdir(parents=True, exist_ok=True)
    module = module.to("cpu", memory_format=torch.contiguous_format).eval()
    x = to_device(example, torch.device("cpu")).contiguous()
    files = {
        "pytorch_state_dict": folder / "weights.pt",
        "torchscript": folder / "weights-torchscript.pt",
        "onnx": folder / "weights.onnx",
    }
    axes = {0: "b", **{2 + i: a for i, a in enumerate("zyx"[-(x.ndim - 2) :])}}
    torch.save(module.state_dict(), files["pytorch_state_dict"])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, x).save(str(files["torchscript"]))
        torch.onnx.export(
            module,
            (x,),
            str(files["onnx"]),
            input_names=[names[0]],
            output_names=list(names[1:]),
            opset_version=17,
            dynamic_axes=dict.fromkeys(names, axes),
            dynamo=False,
        )
    return WeightsFiles(files, architecture, type(module).__name__, kwargs, torch.__version__.split("+")[0])

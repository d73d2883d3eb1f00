"""Time tiled prediction and augmentation against their peers: ``python benchmarks/tiles.py [SIDE ...]``.

Tiling: the same U-Net, windows and image. The result is compared with the prediction in one piece; memory
is how far a process of its own rises above the loaded network and one forward pass. Whatever the way, the
network gets its input in one memory layout: torch chooses its kernels by the layout, and that choice changes
times several-fold and results by 1e-6. Augmentation: samples a second, with the same transforms.

Times are those of one thread's processor, not of the clock, in one process; medians of runs taken in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np

from zcdl_common.augment import Augmentation, augment
from zcdl_common.network import Geometry
from zcdl_common.tiles import predict_tiled, predict_whole, read, tiles

POOLS = ((2, 2),) * 3
CORE = (256, 256)
PATCH = 256
REPEATS = 5


def network():
    """Build a small U-Net with random weights: its forward pass on NumPy arrays, its geometry, itself."""
    import torch

    from zcdl_common.models.nets.unet import UNet, field_of_view

    torch.manual_seed(0)
    torch.set_num_threads(1)
    unet = UNet(1, 2, 8, POOLS).eval().to(memory_format=torch.channels_last)

    def net(x):
        # copied into a new tensor: with one channel, torch takes any strides for either layout
        same = torch.empty(x.shape, memory_format=torch.channels_last)
        return unet(same.copy_(x))

    def forward(block: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            return (np.moveaxis(net(torch.from_numpy(np.moveaxis(block, -1, 1))).numpy(), 1, -1),)

    return forward, Geometry((8, 8), field_of_view(POOLS)), net


def scale(block: np.ndarray) -> np.ndarray:
    return block.astype(np.float32) / 4096


def ours(source: Path, target: Path, forward, geometry, net) -> None:
    image = np.load(source, mmap_mode="r")
    predict_tiled(
        forward,
        image,
        geometry,
        tile=CORE,
        scale=scale,
        out=lambda shape, dtype: np.lib.format.open_memmap(target, "w+", dtype, shape),
    )


def whole(source: Path, target: Path, forward, geometry, net) -> None:
    np.save(target, predict_whole(forward, np.load(source), geometry, scale=scale)[0])


def all_blocks(source: Path, target: Path, forward, geometry, net) -> None:
    """List all blocks, keep all predictions, then assemble: the order of bioimageio.core."""
    image = scale(np.load(source))
    cut = tiles(image.shape[:-1], geometry, CORE)
    blocks = [read(image, piece.window) for piece in cut]
    outputs = [forward(block[None])[0][0] for block in blocks]
    result = np.empty((*image.shape[:-1], outputs[0].shape[-1]), np.float32)
    for piece, output in zip(cut, outputs, strict=True):
        result[piece.core] = piece.crop(output)
    np.save(target, result)


def monai(source: Path, target: Path, forward, geometry, net) -> None:
    """Sliding windows of the same size and the same step, averaged where they overlap."""
    import torch
    from monai.inferers import sliding_window_inference

    image = torch.from_numpy(np.moveaxis(scale(np.load(source)), -1, 0)[None])
    window = [c + 2 * h for c, h in zip(CORE, geometry.halo, strict=True)]
    overlap = [2 * h / w for h, w in zip(geometry.halo, window, strict=True)]
    with torch.inference_mode():
        result = sliding_window_inference(image, window, 1, net, overlap=overlap, mode="constant")
    np.save(target, np.moveaxis(result[0].numpy(), 0, -1))


WAYS = {
    "predict_tiled": ours,
    "all blocks in memory": all_blocks,
    "MONAI sliding window": monai,
    "in one piece": whole,
}


def peak_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def memory_of(way: str, source: str, target: str) -> None:
    """Run one way in this process and print how far its memory rose."""
    forward, geometry, net = network()
    if "MONAI" in way:
        import monai.inferers  # noqa: F401  (its memory is not that of the prediction)
    forward(np.zeros((1, *(c + 2 * h for c, h in zip(CORE, geometry.halo, strict=True)), 1), np.float32))
    before = peak_mib()
    WAYS[way](Path(source), Path(target), forward, geometry, net)
    print(peak_mib() - before)


def compare_tiling(side: int) -> None:
    model = network()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "image.npy"
        np.save(source, np.random.default_rng(0).integers(0, 4096, (side, side, 1), dtype=np.uint16))
        targets = {way: Path(folder) / f"{way}.npy" for way in WAYS}
        memory = {}
        for way in WAYS:
            command = [sys.executable, __file__, way, str(source), str(targets[way])]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            memory[way] = float(done.stdout.splitlines()[-1])
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for way in list(WAYS) * REPEATS:
            start = time.process_time()
            WAYS[way](source, targets[way], *model)
            seconds[way].append(time.process_time() - start)
        results = {way: np.load(target, mmap_mode="r") for way, target in targets.items()}
        error = {way: np.abs(result - results["in one piece"]).max() for way, result in results.items()}
    first = np.median(seconds["predict_tiled"])
    print(f"U-Net, {side} x {side} pixels, cores of {CORE[0]} x {CORE[1]}")
    for way in WAYS:
        median = np.median(seconds[way])
        print(
            f"  {way:22} {median:7.2f} s  {median / first:5.2f} times as long  "
            f"memory +{memory[way]:6.0f} MiB  largest difference {error[way]:.1e}"
        )


def compare_augmentation() -> None:
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    mirror = cv2.BORDER_REFLECT_101
    turns = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.RandomRotate90(p=0.75)]
    moves = [
        A.Affine((0.8, 1.25), rotate=(-180, 180), keep_ratio=True, border_mode=mirror, p=0.5),
        A.ElasticTransform(alpha=70, sigma=10, noise_distribution="uniform", border_mode=mirror, p=0.5),
    ]
    light = [
        A.RandomBrightnessContrast(0.2, 0.2, p=1),
        A.RandomGamma((80, 120), p=1),
        A.GaussianBlur(sigma_limit=(0.1, 1.0), p=0.5),
        A.GaussNoise((0, 0.1), p=0.5),
    ]
    bent = {"rotations": "any angle", "scale": 0.25, "elastic": 2.0}
    cases = {
        "flips, quarter turns": (Augmentation(intensity=0, noise=0), turns),
        "all geometry": (Augmentation(**bent, intensity=0, noise=0), [*turns, *moves]),
        "everything": (Augmentation(**bent, intensity=0.2, noise=0.1, blur=1.0), [*turns, *moves, *light]),
    }
    rng = np.random.default_rng(0)
    source = rng.random((PATCH, PATCH, 1), np.float32)
    labels = rng.integers(0, 100, (PATCH, PATCH)).astype(np.int32)
    print(f"Augmentation of an image and its labels, {PATCH} x {PATCH}, samples a second")
    for name, (settings, steps) in cases.items():
        compose = A.Compose(steps, seed=0)

        def plain(compose=compose) -> None:
            compose(image=source, mask=labels)

        def mine(settings=settings) -> None:
            # contiguous copies, as a batch makes of the views
            for array in augment(source, labels, rng, settings):
                np.ascontiguousarray(array)

        rates: dict[str, list[float]] = {"mine": [], "plain": []}
        for _ in range(5):  # in turn, so that a busy machine slows both alike
            for way, call in (("mine", mine), ("plain", plain)):
                call()
                start = time.process_time()
                for _ in range(400):
                    call()
                rates[way].append(400 / (time.process_time() - start))
        a, b = (float(np.median(rates[way])) for way in ("mine", "plain"))
        print(f"  {name:22} augment {a:8.0f}   albumentations {b:8.0f}   {a / b:5.2f} times as many")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] in WAYS:
        memory_of(*sys.argv[1:])
    else:
        for side in [int(s) for s in sys.argv[1:]] or [1024, 2048]:
            compare_tiling(side)
        compare_augmentation()

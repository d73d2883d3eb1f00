"""Training patches per second: ours, MONAI's cached data set, and a loop that reads files with scikit-image.

The same images, patch size, flips and quarter turns, in one run, in turns, one thread each.
Usage: python benchmarks/loader.py [ROUNDS]
"""

import sys
import time
from statistics import median

import numpy as np

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.training import ready

PATCHES = 64
SIZE = (128, 128)


def ours(data, prepared):
    run = Run(None, prepared.network, prepared.planned, prepared.facts, {})
    model = run.build()
    samples = ready(run, data.split.train, Memory(2**31))
    steps = PATCHES // prepared.planned.batch_size

    def one_pass(number):
        for step in range(steps):
            model.batch(samples, np.random.default_rng([0, number, step]))

    return one_pass


def with_monai(data):
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import (
        Compose,
        RandFlipd,
        RandRotate90d,
        RandSpatialCropd,
        ScaleIntensityRangePercentilesd,
    )

    keys = ["image", "mask"]
    items = [
        {
            "image": np.moveaxis(s.source.read(), -1, 0).astype(np.float32),
            "mask": np.asarray(s.target.read())[None].astype(np.int32),
        }
        for s in data.split.train
    ]
    items *= -(-PATCHES // len(items))
    made = CacheDataset(
        items[:PATCHES],
        Compose(
            [
                ScaleIntensityRangePercentilesd("image", 1, 99.8, 0, 1),
                RandSpatialCropd(keys, SIZE, random_size=False),
                RandFlipd(keys, 0.5, 0),
                RandFlipd(keys, 0.5, 1),
                RandRotate90d(keys, 0.75),
            ]
        ),
        progress=False,
    )
    loader = DataLoader(made, batch_size=8, shuffle=True)

    def one_pass(number):
        for _ in loader:
            pass

    return one_pass


def with_skimage(data):
    from skimage.io import imread

    files = [(s.source.path, s.target.path) for s in data.split.train]
    rng = np.random.default_rng(0)

    def one_pass(number):
        for i in range(PATCHES):
            image, mask = (imread(path) for path in files[i % len(files)])
            low, high = np.percentile(image, (1, 99.8))
            image = ((image - low) / (high - low)).astype(np.float32)
            y, x = (rng.integers(0, n - s + 1) for n, s in zip(image.shape, SIZE, strict=True))
            place = (slice(y, y + SIZE[0]), slice(x, x + SIZE[1]))
            image, mask = image[place], mask[place]
            for axis in (0, 1):
                if rng.random() < 0.5:
                    image, mask = np.flip(image, axis), np.flip(mask, axis)
            turns = rng.integers(4)
            image, mask = np.rot90(image, turns).copy(), np.rot90(mask, turns).copy()

    return one_pass


def main(rounds):
    network = networks.get("unet")
    config = network.Config.parse(
        {
            "dataset": "sim_instances_2d",
            "patch_size": SIZE,
            "batch_size": 8,
            "scale": 0,
            "intensity": 0,
            "noise": 0,
        }
    )
    data = open_data(config, network)
    prepared = session.prepare(network, config, data)
    contenders = {
        "zcdl_common": ours(data, prepared),
        "MONAI CacheDataset": with_monai(data),
        "scikit-image, a file at a time": with_skimage(data),
    }
    times = {key: [] for key in contenders}
    for number in range(rounds + 1):
        for key in list(contenders)[:: 1 if number % 2 else -1]:
            begin = time.perf_counter()
            contenders[key](number)
            if number:  # the first round fills caches
                times[key].append(time.perf_counter() - begin)
    fastest = median(times["zcdl_common"])
    for key, values in times.items():
        m = median(values)
        print(f"  {key:<32} {PATCHES / m:8.0f} patches/s   ours is {m / fastest:6.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)

"""Training samples per second: ours, a plain torch loop over the same network, MONAI's U-Net.

All three see the same images, patch and batch size, loss and optimiser, in one process and one run, in
turns, so that a busy machine is unfair to none. With and without augmentation; for the plain loop and
MONAI that is what their users write: albumentations' Compose in a Dataset, and a DataLoader.

Usage: python benchmarks/training.py [ROUNDS]
"""

import sys
import time
from statistics import median

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.fit import batches
from zcdl_common.models.nets.unet import UNet
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.training import ready

STEPS = 12
CASES = {
    "2D": {"dataset": "sim_segment_2d", "patch_size": (128, 128), "batch_size": 4},
    "3D": {"dataset": "sim_segment_3d", "patch_size": (16, 64, 64), "batch_size": 2},
}


class Crops(Dataset):
    """Random patches, as a user would write it."""

    def __init__(self, images, masks, size, count, augment):
        import albumentations as A

        self.images, self.masks, self.size, self.count = images, masks, size, count
        parts = [A.HorizontalFlip(), A.VerticalFlip(), A.RandomRotate90(), A.Affine(scale=(0.9, 1.1), p=1)]
        parts += [A.RandomBrightnessContrast(), A.GaussNoise(std_range=(0, 0.05))]
        self.transform = A.Compose(parts) if augment else None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image, mask = self.images[index % len(self.images)], self.masks[index % len(self.masks)]
        starts = [np.random.randint(0, n - s + 1) for n, s in zip(mask.shape, self.size, strict=True)]
        place = tuple(slice(a, a + s) for a, s in zip(starts, self.size, strict=True))
        image, mask = image[place].clip(0, 1), mask[place]
        if self.transform and mask.ndim == 2:
            made = self.transform(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
            image, mask = made["image"], made["mask"]
        elif self.transform:
            made = self.transform.transforms[0](volume=image, mask3d=mask)
            image, mask = made["volume"], made["mask3d"]
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))), torch.from_numpy(
            mask.copy()
        ).long()


def plain_loop(net, loader):
    """The loop of every tutorial; returns seconds for one pass."""
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    net.train()
    begin = time.perf_counter()
    for x, y in loader:
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        loss.item()
    return time.perf_counter() - begin


def our_loop(model, samples, epoch):
    """What `fit` does in an epoch, less validation."""
    begin = time.perf_counter()
    losses = [model.step(batch, 1e-3) for batch in batches(model, samples, 0, epoch, STEPS)]
    [float(row["loss"]) for row in losses]
    return time.perf_counter() - begin


def compare(name, params, augment, rounds):
    from monai.networks.nets import BasicUNet

    network = networks.get("unet")
    config = network.Config.parse(
        {
            **params,
            "augment": augment,
            "loss": "cross-entropy",
            "depth": 4,
            "filters": 16,
            "min_foreground": 0,
        }
    )
    data = open_data(config, network)
    prepared = session.prepare(network, config, data)
    run = Run(None, network, prepared.planned.changed(class_weights=None), prepared.facts, {})
    model = network.build(prepared.planned, prepared.facts)
    samples = ready(run, data.split.train, Memory(2**31))
    images, masks = [s.source.read() for s in samples], [s.target.read() for s in samples]
    size, batch = config.patch_size, config.batch_size
    torch.manual_seed(0)
    same = UNet(**model.kwargs)
    monai = BasicUNet(
        spatial_dims=len(size), in_channels=1, out_channels=3, features=(16, 32, 64, 128, 256, 16),
        norm="batch", act="relu",
    )  # fmt: skip
    loader = DataLoader(Crops(images, masks, size, STEPS * batch, augment), batch, shuffle=True)
    contenders = {
        "zcdl_common": lambda r: our_loop(model, samples, r),
        "plain loop, same network": lambda r: plain_loop(same, loader),
        "MONAI BasicUNet, plain loop": lambda r: plain_loop(monai, loader),
    }
    times = {key: [] for key in contenders}
    for r in range(rounds + 1):
        order = list(contenders)[:: 1 if r % 2 else -1]
        for key in order:
            seconds = contenders[key](r)
            if r:  # the first round warms up
                times[key].append(seconds)
    ours = median(times["zcdl_common"])
    print(f"{name}, {'with' if augment else 'without'} augmentation, patch {size}, batch {batch}")
    sizes = {
        "zcdl_common": model.parameters(),
        "plain loop, same network": sum(p.numel() for p in same.parameters()),
        "MONAI BasicUNet, plain loop": sum(p.numel() for p in monai.parameters()),
    }
    for key, values in times.items():
        m = median(values)
        print(
            f"  {key:<28} {STEPS * batch / m:8.1f} samples/s   ours is {m / ours:4.2f} x   "
            f"{sizes[key] / 1e6:.2f} M parameters"
        )


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for augment in (False, True):
        for name, params in CASES.items():
            compare(name, params, augment, int(sys.argv[1]) if len(sys.argv) > 1 else 5)

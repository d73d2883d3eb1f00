"""Steps per second and memory of fnet, pix2pix and CycleGAN: ours, and a plain loop over the same networks.

The plain loops are written as those of tutorials and of well-known implementations: a Dataset that cuts and
turns patches, a DataLoader, one call of a generator for each image, gradients of the judges switched off and
on, losses read after every step. Both see the same images, patches and batches, in turns in one run. Memory
is the peak of a process of its own that does 8 steps of one of them.

Usage: python benchmarks/translation.py [ROUNDS]
"""

import resource
import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.fit import batches
from zcdl_common.models.nets.cyclegan import ResNetGenerator
from zcdl_common.models.nets.fnet import FNet
from zcdl_common.models.nets.patchgan import PatchDiscriminator
from zcdl_common.models.nets.pix2pix import UNetGenerator
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.training import ready

STEPS = 8
CASES = {
    "fnet": {"dataset": "sim_translate_2d", "patch_size": (128, 128), "batch_size": 8},
    "fnet 3D": {"dataset": "sim_translate_3d", "patch_size": (16, 64, 64), "batch_size": 2},
    "pix2pix": {"dataset": "sim_translate_2d", "patch_size": (128, 128), "batch_size": 4, "depth": 6},
    "cyclegan": {"dataset": "sim_unpaired", "patch_size": (96, 96), "batch_size": 1},
}


class Crops(Dataset):
    """Random patches of two kinds, flipped and turned, as a user would write it."""

    def __init__(self, sources, targets, size, count, paired):
        self.sources, self.targets, self.size = sources, targets, size
        self.count, self.paired = count, paired

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        first = index % len(self.sources)
        second = first if self.paired else np.random.randint(len(self.targets))
        starts = [
            np.random.randint(0, n - s + 1) for n, s in zip(self.sources[0].shape, self.size, strict=False)
        ]
        place = tuple(slice(a, a + s) for a, s in zip(starts, self.size, strict=True))
        source, target = self.sources[first][place], self.targets[second][place]
        if np.random.rand() < 0.5:
            source, target = np.flip(source, -2), np.flip(target, -2)
        turns = np.random.randint(4)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.rot90(x, turns, (-3, -2)), -1, 0)))
            for x in (source, target)
        )


def frozen(module, still):
    for parameter in module.parameters():
        parameter.requires_grad_(not still)


def plain_fnet(model):
    net = FNet(**model.kwargs)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999))

    def step(x, y):
        optimiser.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def plain_pix2pix(model):
    net = UNetGenerator(**model.kwargs)
    judge = PatchDiscriminator(
        model.kwargs["channels_in"] + model.kwargs["channels_out"], model.kwargs["base"], 3, nn.BatchNorm2d
    )
    of_net, of_judge = (torch.optim.Adam(m.parameters(), 2e-4, betas=(0.5, 0.999)) for m in (net, judge))
    log = F.binary_cross_entropy_with_logits

    def step(x, y):
        made = net(x)
        frozen(judge, False)
        of_judge.zero_grad()
        false, true = judge(torch.cat([x, made.detach()], 1)), judge(torch.cat([x, y], 1))
        judged = (log(false, torch.zeros_like(false)) + log(true, torch.ones_like(true))) / 2
        judged.backward()
        of_judge.step()
        frozen(judge, True)
        of_net.zero_grad()
        said = judge(torch.cat([x, made], 1))
        real, difference = log(said, torch.ones_like(said)), 100 * F.l1_loss(made, y)
        (real + difference).backward()
        of_net.step()
        judged.item(), real.item(), difference.item()

    return step


def plain_cyclegan(model):
    back = {
        **model.kwargs,
        "channels_in": model.kwargs["channels_out"],
        "channels_out": model.kwargs["channels_in"],
    }
    there, here = ResNetGenerator(**model.kwargs), ResNetGenerator(**back)
    judges = [
        PatchDiscriminator(model.kwargs[name], model.kwargs["base"], 3, nn.InstanceNorm2d)
        for name in ("channels_out", "channels_in")
    ]
    of_nets = torch.optim.Adam([*there.parameters(), *here.parameters()], 2e-4, betas=(0.5, 0.999))
    of_judges = torch.optim.Adam([p for j in judges for p in j.parameters()], 2e-4, betas=(0.5, 0.999))

    def against(said, truth):
        return F.mse_loss(said, torch.full_like(said, truth))

    def step(x, y):
        made, made_back = there(x), here(y)
        for judge in judges:
            frozen(judge, True)
        of_nets.zero_grad()
        terms = [
            against(judges[0](made), 1.0),
            against(judges[1](made_back), 1.0),
            10 * F.l1_loss(here(made), x),
            10 * F.l1_loss(there(made_back), y),
            5 * F.l1_loss(there(y), y),
            5 * F.l1_loss(here(x), x),
        ]
        sum(terms).backward()
        of_nets.step()
        for judge in judges:
            frozen(judge, False)
        of_judges.zero_grad()
        judged = []
        for judge, true, false in zip(judges, (y, x), (made, made_back), strict=True):
            loss = (against(judge(true), 1.0) + against(judge(false.detach()), 0.0)) / 2
            loss.backward()
            judged.append(loss)
        of_judges.step()
        [term.item() for term in (*terms, *judged)]

    return step


PLAIN = {"fnet": plain_fnet, "pix2pix": plain_pix2pix, "cyclegan": plain_cyclegan}


def contenders(case):
    """Name -> a function of a round that trains `STEPS` steps."""
    params = CASES[case]
    network = networks.get(case.split()[0])
    config = network.Config.parse({**params, "busy_patches": 0.0})
    data = open_data(config, network)
    prepared = session.prepare(network, config, data)
    run = Run(None, network, prepared.planned, prepared.facts, {})
    model = network.build(prepared.planned, prepared.facts)
    samples = ready(run, data.split.train, Memory(2**31))
    own = [s for s in samples if s.domain == "source"]
    targets = [s.target.read() for s in own] if network.task.paired else [
        s.source.read() for s in samples if s.domain == "target"
    ]  # fmt: skip
    crops = Crops([s.source.read() for s in own], targets, config.patch_size, STEPS * config.batch_size,
                  network.task.paired)  # fmt: skip
    step = PLAIN[network.name](model)

    def ours(epoch):
        rows = [model.step(batch, 2e-4) for batch in batches(model, samples, 0, epoch, STEPS)]
        [float(value) for row in rows for value in row.values()]

    def plain(_):
        for x, y in DataLoader(crops, config.batch_size, shuffle=True):
            step(x, y)

    return {"zcdl_common": ours, "plain loop": plain}


def memory(case, who):
    """Peak of a process of its own, in MiB."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", case, who], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main(rounds):
    print(f"{'':12}{'steps/s ours':>14}{'plain':>8}{'ratio':>8}{'MiB ours':>10}{'plain':>8}")
    for case in CASES:
        functions, times = contenders(case), {}
        for r in range(rounds + 1):
            for name, train in functions.items():
                begin = time.perf_counter()
                train(r + 1)
                if r:  # the first round warms up
                    times.setdefault(name, []).append(time.perf_counter() - begin)
        speed = {name: STEPS / median(values) for name, values in times.items()}
        peak = {name: memory(case, name) for name in functions}
        ours, plain = "zcdl_common", "plain loop"
        print(
            f"{case:12}{speed[ours]:14.2f}{speed[plain]:8.2f}{speed[ours] / speed[plain]:8.2f}"
            f"{peak[ours]:10.0f}{peak[plain]:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        contenders(sys.argv[2])[sys.argv[3]](1)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

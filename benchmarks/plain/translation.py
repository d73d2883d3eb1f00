"""fnet, pix2pix and CycleGAN as plain loops train them, for the benchmark of that name.

They are written as those of tutorials and of well-known implementations: a Dataset that cuts and turns
patches, one call of a generator for each image, gradients of the judges switched off and on, losses read
after every step, float32. ``PLAIN`` names, for each network, a function that builds it from its own keywords
on a device and returns what does a step.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from zcdl_common.models.nets.cyclegan import ResNetGenerator
from zcdl_common.models.nets.fnet import FNet
from zcdl_common.models.nets.patchgan import PatchDiscriminator
from zcdl_common.models.nets.pix2pix import UNetGenerator


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


def plain_fnet(kwargs, device):
    net = FNet(**kwargs).to(device)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999))

    def step(x, y):
        optimiser.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def plain_pix2pix(kwargs, device):
    net = UNetGenerator(**kwargs).to(device)
    both = kwargs["channels_in"] + kwargs["channels_out"]
    judge = PatchDiscriminator(both, kwargs["base"], 3, nn.BatchNorm2d).to(device)
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


def plain_cyclegan(kwargs, device):
    back = {**kwargs, "channels_in": kwargs["channels_out"], "channels_out": kwargs["channels_in"]}
    there, here = ResNetGenerator(**kwargs).to(device), ResNetGenerator(**back).to(device)
    judges = [
        PatchDiscriminator(kwargs[name], kwargs["base"], 3, nn.InstanceNorm2d).to(device)
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

"""Deep-STORM as plain loops train and use it, for the benchmark of that name.

Written as the published code and notebooks after it do: some frames are simulated beforehand with each spot
on the whole frame, many patches are cut from them, enlarged on the host and stored beside dense heat maps;
the loss is read after every step; in use, maps come back to the host, where a loop goes through the maxima.
"""

from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import correlate, maximum_filter
from smlm_simulator import plain as light
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from zcdl_common.smlm import simulate
from zcdl_common.smlm.camera import expose

HEIGHT, REACH, LEAST, SIDE = 100.0, 3, 5.0, 3
FIELD, FRAMES, EACH = 64, 20, 250
"""Pixels of a simulated frame, how many there are, and patches cut from each."""


def network(channels, filters):
    """The layers one after the other, for frames that are enlarged already."""
    down = [channels, filters, 2 * filters, 4 * filters, 16 * filters]
    layers = []
    for level, (c, f) in enumerate(pairwise(down)):
        layers += [nn.MaxPool2d(2)] * (level > 0) + block(c, f)
    for c, f in pairwise([16 * filters, 4 * filters, 2 * filters, filters]):
        layers += [nn.Upsample(scale_factor=2), *block(c, f)]
    return nn.Sequential(*layers, nn.Conv2d(filters, 1, 1, bias=False))


def block(c, f):
    return [nn.Conv2d(c, f, 3, padding=1, bias=False), nn.BatchNorm2d(f), nn.ReLU()]


def gauss(sigma):
    line = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * sigma**2))
    return (np.outer(line, line) / line.sum() ** 2).astype(np.float32)


def heat(yx, shape, upsampling, sigma):
    """Dense blurred map of positions."""
    spikes = np.zeros([n * upsampling for n in shape], np.float32)
    for y, x in np.floor(np.asarray(yx) * upsampling).astype(int):
        spikes[y, x] += HEIGHT
    return correlate(spikes, gauss(sigma), mode="constant")


def enlarged(frame, upsampling):
    return np.kron(frame, np.ones((upsampling, upsampling), np.float32)).astype(np.float32)


def simulated(rng, plan, count, shape):
    """Frames YX and the positions in them; emitters and camera are ours, light is made spot by spot."""
    on = simulate._emitters(rng, plan, count, shape, None)
    clean = light(on, (count, *shape)) + rng.uniform(*plan.background, count)[:, None, None]
    for t, frame in enumerate(expose(clean, rng, plan.camera)):
        yx = on.yx[on.frame == t]
        yield frame, yx[((yx >= 0) & (yx < shape)).all(1)]


class Patches(Dataset):
    """Enlarged patches and heat maps, all in memory."""

    def __init__(self, plan, scaled, size, upsampling, sigma):
        rng = np.random.default_rng(0)
        self.x, self.y = [], []
        for frame, yx in simulated(rng, plan, FRAMES, (FIELD, FIELD)):
            for start in rng.integers(0, FIELD - np.array(size) + 1, (EACH, 2)):
                y, x = start
                inside = yx[((yx >= start) & (yx < start + size)).all(1)] - start
                self.x.append(enlarged(scaled(frame[y : y + size[0], x : x + size[1]]), upsampling)[None])
                self.y.append(heat(inside, size, upsampling, sigma)[None])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


class New(Dataset):
    """The same, simulated anew for each step as ours are."""

    def __init__(self, plan, scaled, size, upsampling, sigma, count):
        self.args, self.count = (plan, scaled, size, upsampling, sigma), count
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        plan, scaled, size, upsampling, sigma = self.args
        ((frame, yx),) = simulated(self.rng, plan, 1, tuple(size))
        return enlarged(scaled(frame), upsampling)[None], heat(yx, size, upsampling, sigma)[None]


def loss(made, wanted, sigma):
    kernel = torch.from_numpy(gauss(sigma)).to(made.device)[None, None]
    return F.mse_loss(F.conv2d(made, kernel, padding=REACH), wanted) + made.abs().mean()


def training(net, rate, sigma):
    """A function that does a step."""
    optimiser = torch.optim.Adam(net.parameters(), rate)

    def step(x, y):
        net.train()
        optimiser.zero_grad()
        error = loss(net(x), y, sigma)
        error.backward()
        optimiser.step()
        error.item()

    return step


def localise(net, frame, upsampling, device):
    """Positions of one scaled frame YX and how high the map is there; bytes sent and fetched."""
    net.eval()
    x = enlarged(frame, upsampling)
    with torch.no_grad():
        heights = net(torch.from_numpy(x)[None, None].to(device))[0, 0].cpu().numpy()
    top = (heights == maximum_filter(heights, SIDE, mode="constant")) & (heights > LEAST)
    found = []
    for y, x_ in np.argwhere(top):
        rows, columns = (slice(max(i - SIDE // 2, 0), i + SIDE // 2 + 1) for i in (y, x_))
        part = heights[rows, columns].clip(0)
        at = np.mgrid[rows.start : rows.start + part.shape[0], columns.start : columns.start + part.shape[1]]
        found.append([*((at + 0.5) * part).sum((1, 2)) / part.sum() / upsampling, heights[y, x_]])
    return found, x.nbytes, heights.nbytes

"""Anchor-free detector of the YOLO family; imports torch alone, since this file travels inside packages."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

STEPS = 5
"""How often the image is halved: the coarsest outputs stand for 32 x 32 pixels of the shrunken image."""
LARGEST = 9.0
"""Logarithm of the largest distance to a side of a box, in steps of the grid."""


class Conv(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, c: int, f: int, kernel: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv2d(c, f, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(f),
            nn.SiLU(inplace=True),
        )


class Bottleneck(nn.Sequential):
    """Two convolutions, 1 x 1 and 3 x 3, beside which the features pass as they are."""

    def __init__(self, f: int):
        super().__init__(Conv(f, f, 1), Conv(f, f, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the size of `x`."""
        return x + super().forward(x)


class Block(nn.Module):
    """Bottlenecks one after the other whose results are all joined, so that gradients have a short way."""

    def __init__(self, c: int, f: int, depth: int):
        super().__init__()
        self.enter = Conv(c, f, 1)
        self.deeper = nn.ModuleList(Bottleneck(f // 2) for _ in range(depth))
        self.join = Conv(f + depth * (f // 2), f, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, f, Y, X)."""
        made = list(self.enter(x).chunk(2, dim=1))
        for block in self.deeper:
            made.append(block(made[-1]))
        return self.join(torch.cat(made, dim=1))


class Head(nn.Module):
    """What is said of each point of one grid, by two branches: where the box is, and what it holds."""

    def __init__(self, c: int, width: int, classes: int):
        super().__init__()
        self.where = nn.Sequential(Conv(c, width), Conv(width, width), nn.Conv2d(width, 5, 1))
        self.what = nn.Sequential(Conv(c, width), Conv(width, width), nn.Conv2d(width, classes, 1))
        nn.init.constant_(self.where[-1].bias, 0.7)  # boxes of four steps of the grid
        nn.init.constant_(self.what[-1].bias, -4.6)  # at first 1 in 100: the many empty points are quiet

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 5 + classes, Y, X), before any activation."""
        return torch.cat([self.where(x), self.what(x)], dim=1)


class YOLO(nn.Module):
    """Detector whose outputs lie on several grids, fine ones for small and coarse ones for large objects.

    Parameters
    ----------
    channels_in
        Channels of the image.
    classes
        Kinds of objects.
    base
        Features of the first layer; they double at every halving.
    depths
        Bottlenecks of the blocks at a 4th, 8th, 16th and 32nd of the size.
    finest
        Steps of the finest grid, 4 or 8, in pixels of the shrunken image; the coarsest has 32.
    shrink
        Factor by which the image is averaged down first.

    Notes
    -----
    The input is (B, C, Y, X), its sides multiples of ``32 * shrink``. In evaluation mode the output is one
    map a grid (B, 5 + classes, Y, X): distances from the point to the upper, left, lower and right side of
    the box in pixels of the input; the overlap (IoU) that this box is expected to have with the true one;
    and the probability of each class. The point of cell ``i`` of a grid lies at ``(i + 0.5) * step``. In
    training mode it is all points of all grids (B, 5 + classes, N), before any activation.

    References
    ----------
    Redmon et al. 2016, doi:10.1109/CVPR.2016.91. Distances to the sides: Tian et al. 2019,
    doi:10.1109/ICCV.2019.00972. Two branches: Ge et al. 2021, arXiv:2107.08430. Blocks: Wang et al. 2020,
    doi:10.1109/CVPRW50498.2020.00203, and 2023, doi:10.1109/CVPR52729.2023.00721. Fine and coarse features
    brought together: Liu et al. 2018, doi:10.1109/CVPR.2018.00913.
    """

    def __init__(
        self,
        channels_in: int,
        classes: int,
        base: int,
        depths: Sequence[int],
        finest: int = 8,
        shrink: int = 1,
    ):
        super().__init__()
        self.shrink = shrink
        self.steps = grid_steps(finest, shrink)
        filters = [base * 2**level for level in range(STEPS)]
        self.encoder = nn.ModuleList([Conv(channels_in, filters[0], stride=2)])
        for c, f, depth in zip(filters, filters[1:], depths, strict=False):
            self.encoder.append(nn.Sequential(Conv(c, f, stride=2), Block(f, f, depth)))
        used = filters[-len(self.steps) :]
        self.up, self.down = nn.ModuleList(), nn.ModuleList()
        for f, coarse in itertools.pairwise(used):  # from fine to coarse
            self.up.append(nn.ModuleList([Conv(coarse, f, 1), Block(2 * f, f, 1)]))
            self.down.append(nn.ModuleList([Conv(f, coarse, stride=2), Block(2 * coarse, coarse, 1)]))
        self.head = nn.ModuleList(Head(f, max(4 * base, 32), classes) for f in used)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...] | torch.Tensor:
        """Maps of all grids; see the class."""
        if self.shrink > 1:
            x = F.avg_pool2d(x, self.shrink)
        seen = []
        for level in self.encoder:
            x = level(x)
            seen.append(x)
        seen = seen[-len(self.steps) :]
        for i in range(len(self.up) - 1, -1, -1):
            narrow, block = self.up[i]
            above = F.interpolate(narrow(seen[i + 1]), scale_factor=2.0, mode="nearest")
            seen[i] = block(torch.cat([seen[i], above], dim=1))
        for i, (shorten, block) in enumerate(self.down):
            seen[i + 1] = block(torch.cat([shorten(seen[i]), seen[i + 1]], dim=1))
        made = [head(features) for head, features in zip(self.head, seen, strict=True)]
        if self.training:
            return torch.cat([m.flatten(2) for m in made], dim=2)
        return tuple(readable(m, step) for m, step in zip(made, self.steps, strict=True))


def readable(raw: torch.Tensor, step: int) -> torch.Tensor:
    """Distances in pixels, expected overlap and probabilities from what a head says (B, 5 + classes, ...)."""
    raw = raw.float()  # half precision would make many scores equal
    return torch.cat([distances(raw[:, :4]) * step, raw[:, 4:].sigmoid()], dim=1)


def distances(raw: torch.Tensor) -> torch.Tensor:
    """Distances to the sides in steps of the grid, from what a head says."""
    return raw.clamp(max=LARGEST).exp()


def grid_steps(finest: int, shrink: int) -> list[int]:
    """Pixels of the input from one point of each grid to the next, fine grids first."""
    return [shrink * step for step in (4, 8, 16, 32) if step >= finest]


def field_of_view(depths: Sequence[int], finest: int, shrink: int) -> int:
    """How many pixels around a point of any grid can change what is said of it; no less, at most a bit more.

    Filters of 3 pixels reach one pixel of their input; a doubled pixel stands for its neighbour too.
    """
    reach = sum(2**level for level in range(STEPS))  # those that halve
    reach += sum(depth * 4 * 2**level for level, depth in enumerate(depths))
    steps = grid_steps(finest, 1)
    reach += sum(2 * step for step in steps[:-1])  # up: a block of one filter, and the doubling
    reach += sum(step + 2 * step for step in steps[:-1])  # down: halving, and a block of one filter
    reach += 2 * steps[-1]  # the head
    reach += steps[-1]  # the cell itself, whose point is in its middle
    return -(-reach // 32) * 32 * shrink

"""Maps of emitters on a fine grid, in torch: the loss of Deep-STORM, and positions from a map.

Positions are y, x in camera pixels from the corner: pixel i covers [i, i + 1), and so does fine pixel i of
the map, in fine pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import torch
from torch.nn import functional as F

Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
HEIGHT = 100.0
"""What an emitter adds to the map, so that the error of its shape outweighs the sparsity term."""
REACH = 3
"""Fine pixels from the middle of the blur to its border: 7 x 7."""
ROUNDS = 4
"""As many emitters can be found in one place."""


class Peaks(NamedTuple):
    """Emitters found in maps, in the order of frames; in each, those that stand out come first."""

    frame: torch.Tensor
    """int64 (N,), index in the batch."""
    yx: torch.Tensor
    """float32 (N, 2) in camera pixels."""
    confidence: torch.Tensor
    """float32 (N,), about 1 for an emitter that stands alone."""


def impulses(positions: torch.Tensor, shape: tuple[int, int], upsampling: int) -> torch.Tensor:
    """Number of emitters in each fine pixel.

    Parameters
    ----------
    positions : torch.Tensor
        float32 (B, M, 2) y, x in camera pixels; rows outside the field, -1 say, and NaN are fillers.
    shape : tuple of int
        Size YX of the map in fine pixels.
    upsampling : int
        Fine pixels a side of a camera pixel.

    Returns
    -------
    torch.Tensor
        float32 (B, 1, Y, X) on the device of the positions.
    """
    height, width = shape
    y, x = torch.floor(positions * upsampling).unbind(-1)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    place = torch.where(inside, y * width + x, 0.0).long()
    counts = positions.new_zeros(len(positions), height * width)
    return counts.scatter_add_(1, place, inside.to(counts.dtype)).view(-1, 1, height, width)


def blur(maps: torch.Tensor, sigma: float) -> torch.Tensor:
    """Maps (B, 1, Y, X) under a 7 x 7 Gaussian of sum 1 and a standard deviation in fine pixels.

    Beyond the border there is nothing.
    """
    down, across = (_band(n, sigma, maps) for n in maps.shape[-2:])
    return down @ maps @ across


def _band(side: int, sigma: float, like: torch.Tensor) -> torch.Tensor:
    """Matrix (side, side) that blurs a line: many times as fast as a convolution of a single channel."""
    at = torch.arange(side, device=like.device, dtype=like.dtype)
    apart = (at[:, None] - at).abs()
    gauss = torch.exp(-(apart**2) / (2 * sigma**2)) * (apart <= REACH)
    return gauss / sum(math.exp(-(i**2) / (2 * sigma**2)) for i in range(-REACH, REACH + 1))


def loss(
    maps: torch.Tensor, positions: torch.Tensor, upsampling: int, sigma: float = 1.0, sparsity: float = 1.0
) -> torch.Tensor:
    r"""How far a map is from the points it should show.

    .. math:: \operatorname{mean}\left[(g * (\hat x - 100 x))^2\right]
              + \lambda \operatorname{mean} |\hat x|

    with the map :math:`\hat x`, the number of emitters in each fine pixel :math:`x`, and the blur :math:`g`.

    Parameters
    ----------
    maps : torch.Tensor
        float32 (B, 1, Y, X).
    positions : torch.Tensor
        float32 (B, M, 2), as `impulses` takes them.
    upsampling : int
        Fine pixels a side of a camera pixel.
    sigma : float
        Standard deviation of the blur in fine pixels.
    sparsity : float
        Weight of the second term.

    References
    ----------
    Nehme, Weiss, Michaeli, Shechtman 2018, Optica 5:458, doi:10.1364/OPTICA.5.000458: squared differences of
    blurred images, and the sum of absolute values, each as a mean over the pixels as in the authors' code.
    """
    wanted = HEIGHT * impulses(positions, (maps.shape[-2], maps.shape[-1]), upsampling)
    return blur(maps - wanted, sigma).square().mean() + sparsity * maps.abs().mean()


def peaks(
    maps: torch.Tensor, upsampling: int, neighbourhood: int | None = None, floor: float = 0.05
) -> Peaks:
    """Emitters of maps, at sub-pixel positions.

    A map learned with a mean squared error says how many emitters are to be expected where, `HEIGHT` an
    emitter: two that lie too close to be parted stand there as one maximum of twice the sum. Maps are
    therefore searched in rounds. In each, every maximum gives a position, and the light of one emitter is
    taken away from its neighbourhood; what remains of it is searched again.

    Parameters
    ----------
    maps : torch.Tensor
        float32 (B, 1, Y, X); what is below 0 counts as 0.
    upsampling : int
        Fine pixels a side of a camera pixel.
    neighbourhood : int, optional
        Side of the square of fine pixels, odd, in which a maximum is the largest, over which its position is
        the mean weighted by the map, and over which an emitter is spread; None: a camera pixel and one more.
        Maxima are those of sums over 3 x 3 pixels, so that one between two pixels is one; of equal ones the
        first counts.
    floor : float
        Least confidence.

    Returns
    -------
    Peaks
        Confidence is the sum over the neighbourhood in units of an emitter, before any is taken away.
    """
    side = (neighbourhood or upsampling + 1) // 2
    step = torch.arange(2 * side + 1, device=maps.device)
    left = maps.clamp(min=0) / HEIGHT
    rounds = []
    for _ in range(ROUNDS):
        height, total = _over(torch.add, left, 1), _over(torch.add, left, side)
        largest = (height == _over(torch.maximum, height, side)) & (total > floor)
        place = largest.nonzero(as_tuple=True)
        earlier = _around(largest, place, side).flatten(1)[:, : len(step) ** 2 // 2]
        place = tuple(axis[~earlier.any(dim=1)] for axis in place)
        around = _around(left, place, side)
        weight = around.sum((1, 2))
        shift = torch.stack([(around.sum(2) * step).sum(1), (around.sum(1) * step).sum(1)], dim=1)
        yx = torch.stack(place[2:], dim=1) + shift / weight[:, None] - side + 0.5
        rounds.append((place[0], yx / upsampling, weight))
        taken = torch.zeros_like(left)
        taken[place] = (1 / weight).clamp(max=1)
        left = left * (1 - _over(torch.maximum, taken, side))
    frame, yx, weight = (torch.cat(parts) for parts in zip(*rounds, strict=True))
    order = torch.argsort(frame, stable=True)
    return Peaks(frame[order], yx[order], weight[order])


def reach(upsampling: int) -> int:
    """How many camera pixels around a position decide whether `peaks` finds it there.

    In each round what is taken away reaches one side of a square, what makes a maximum two and one pixel.
    """
    return math.ceil(ROUNDS * (3 * (upsampling // 2) + 1) / upsampling)


def _over(join: Join, maps: torch.Tensor, side: int) -> torch.Tensor:
    """Sum or largest of the squares that reach `side` pixels from each pixel, of maps of 0 or more.

    Along one axis, then the other, by whole shifted maps: several times as fast on a CPU as pooling.
    """
    for axis, border in ((-2, (0, 0, side, side)), (-1, (side, side))):
        padded = F.pad(maps, border)
        maps = reduce(join, (padded.narrow(axis, i, maps.shape[axis]) for i in range(2 * side + 1)))
    return maps


def _around(maps: torch.Tensor, place: tuple[torch.Tensor, ...], side: int) -> torch.Tensor:
    """Such squares around some pixels (N, 2 * side + 1, 2 * side + 1); beyond the border there is nothing."""
    frame, _, y, x = (axis[:, None, None] for axis in place)
    step = torch.arange(2 * side + 1, device=maps.device)
    return F.pad(maps, (side,) * 4)[frame, 0, y + step[:, None], x + step]

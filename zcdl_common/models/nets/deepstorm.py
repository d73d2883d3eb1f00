"""Deep-STORM; imports torch alone, since this file travels inside exported packages."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 3
"""How often the fine grid is halved."""


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class DeepSTORM(nn.Module):
    """Convolutional encoder and decoder that draws every emitter as a point on a fine grid.

    Parameters
    ----------
    channels_in
        Channels of the frames.
    upsampling
        Fine pixels a side of a camera pixel: 4, 8 or 16.
    filters
        Features of the finest level, 32 in the publication; 2, 4 and 16 times as many deeper down.

    Notes
    -----
    Frames are (B, C, Y, X), with sides that are multiples of `multiple`; the map is (B, 1, Y * upsampling,
    X * upsampling), not limited, about 0 where there is no emitter.

    References
    ----------
    Nehme, Weiss, Michaeli, Shechtman 2018, Optica 5:458, doi:10.1364/OPTICA.5.000458.
    """

    def __init__(self, channels_in: int, upsampling: int = 8, filters: int = 32):
        super().__init__()
        self.upsampling = upsampling
        down = [channels_in, filters, 2 * filters, 4 * filters, 16 * filters]
        up = [16 * filters, 4 * filters, 2 * filters, filters]
        self.encoder = nn.ModuleList(_block(c, f) for c, f in pairwise(down))
        self.decoder = nn.ModuleList(_block(c, f) for c, f in pairwise(up))
        self.head = nn.Conv2d(filters, 1, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.orthogonal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map of the emitters."""
        x = F.interpolate(x, scale_factor=float(self.upsampling), mode="nearest")
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
        for conv, *rest in self.decoder:
            x = doubled(x, conv.weight)
            for layer in rest:
                x = layer(x)
        return self.head(x)


def doubled(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """3 x 3 convolution `weight` (K, C, 3, 3) of the image (B, C, Y, X) with every pixel doubled.

    A doubled pixel meets the same weights twice, so that they can be added up first: a transposed convolution
    of 4 x 4 weights, of which 4 meet each output pixel where 9 would. Exact, also at the borders. Exported
    weights take the plain way, which every reader knows.
    """
    if torch.jit.is_tracing():
        return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    sums = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    return F.conv_transpose2d(x, torch.einsum("ay,kcyx,bx->ckab", sums, weight, sums), stride=2, padding=1)


def multiple(upsampling: int) -> int:
    """Sides of frames must be multiples of this: 2 where a camera pixel is 4 fine ones, else 1."""
    return max(1, 2**LEVELS // upsampling)


def field_of_view(upsampling: int) -> int:
    """How many camera pixels around the one that a fine pixel lies in can change it; exact."""
    reach = 0
    for pixel in range(max(upsampling, 2**LEVELS)):
        low = high = pixel
        for _ in range(LEVELS):  # a filter over doubled pixels
            low, high = (low - 1) // 2, (high + 1) // 2
        low, high = low - 1, high + 1
        for _ in range(LEVELS):  # the largest of two by two, each of them from a filter
            low, high = 2 * low - 1, 2 * high + 2
        own = pixel // upsampling
        reach = max(reach, own - low // upsampling, high // upsampling - own)
    return reach

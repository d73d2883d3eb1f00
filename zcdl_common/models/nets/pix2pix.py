"""Generator of pix2pix; imports torch alone, since this file travels inside exported packages."""

from collections.abc import Sequence

import torch
from torch import nn

MOST = 8
"""Features of the deepest levels, in those of the first."""


class UNetGenerator(nn.Module):
    """U-Net of 4 x 4 convolutions that halve and double the image, 2D.

    Parameters
    ----------
    channels_in, channels_out
        Channels of image and output.
    base
        Features of the first level; they double at every further level, up to 8 times as many.
    depth
        Levels; the sides of an image must be multiples of 2 to this power.
    dropout
        Share of the features of the three deepest levels on the way up that is dropped in training.
    gain, offset
        Bring the output to the units of an image, channel by channel. Empty: it stays as it was learned.

    Notes
    -----
    Input and output are (B, C, Y, X). The publication ends in a hyperbolic tangent, which cannot give what is
    brighter than the brightest training image; here the last layer is linear.

    References
    ----------
    Isola et al. 2017, doi:10.1109/CVPR.2017.632.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        base: int,
        depth: int,
        dropout: float = 0.0,
        gain: Sequence[float] = (),
        offset: Sequence[float] = (),
    ):
        super().__init__()
        self.units = (tuple(gain), tuple(offset))
        filters = [base * min(2**level, MOST) for level in range(depth)]
        self.encoder = nn.ModuleList()
        for level, (c, f) in enumerate(zip([channels_in, *filters], filters, strict=False)):
            normalised = 0 < level < depth - 1  # the deepest level may be a single pixel
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            layers += [nn.Conv2d(c, f, 4, 2, 1, bias=not normalised)]
            self.encoder.append(nn.Sequential(*layers, *([nn.BatchNorm2d(f)] if normalised else [])))
        self.decoder = nn.ModuleList()
        for level in range(depth - 1, 0, -1):
            c = filters[level] * (1 if level == depth - 1 else 2)
            f = filters[level - 1]
            layers = [nn.ReLU(), nn.ConvTranspose2d(c, f, 4, 2, 1, bias=False), nn.BatchNorm2d(f)]
            if dropout and level >= depth - 3:
                layers.append(nn.Dropout(dropout))
            self.decoder.append(nn.Sequential(*layers))
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * base, channels_out, 4, 2, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translated image (B, C, Y, X)."""
        features = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        features.pop()
        for level in self.decoder:
            x = torch.cat([level(x), features.pop()], dim=1)
        x = self.head(x)
        gain, offset = self.units
        if gain:
            x = x * torch.tensor(gain).view(1, -1, 1, 1).to(x) + torch.tensor(offset).view(1, -1, 1, 1).to(x)
        return x


def field_of_view(depth: int) -> int:
    """How many pixels around an output pixel can change it, rounded up to a multiple of 2 ** depth."""
    reach = 0
    for pixel in range(2**depth):
        low = high = pixel
        for _ in range(depth):  # a transposed convolution gathers from these coarse pixels
            low, high = -(-(low - 2) // 2), (high + 1) // 2
        for _ in range(depth):  # and each of them was made of these finer ones
            low, high = 2 * low - 1, 2 * high + 2
        reach = max(reach, pixel - low, high - pixel)
    return -(-reach // 2**depth) * 2**depth

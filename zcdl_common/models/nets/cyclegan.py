"""Generator of CycleGAN; imports torch alone, since this file travels inside exported packages."""

from collections.abc import Sequence

import torch
from torch import nn


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same size (B, C, Y, X)."""
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """Convolutions that halve the image twice, residual blocks, and convolutions that double it twice, 2D.

    Parameters
    ----------
    channels_in, channels_out
        Channels of image and output.
    base
        Features of the first level; four times as many in the residual blocks.
    blocks
        Residual blocks: 6 in the publication for images of 128 pixels, 9 from 256 pixels.
    gain, offset
        Bring the output to the units of an image, channel by channel. Empty: it stays as it was learned.

    Notes
    -----
    Input and output are (B, C, Y, X), sides multiples of 4. Instance normalisation looks at the whole input:
    a tile is not translated as it would be inside its image.

    Two things differ from the publication. The last layer is linear and no hyperbolic tangent, so that
    nothing is clipped. Features are repeated and convolved where it has transposed convolutions, which
    print a grid of their stride on the images (Odena et al. 2016, doi:10.23915/distill.00003).

    References
    ----------
    Zhu et al. 2017, doi:10.1109/ICCV.2017.244; Johnson et al. 2016, doi:10.1007/978-3-319-46475-6_43.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        base: int,
        blocks: int,
        gain: Sequence[float] = (),
        offset: Sequence[float] = (),
    ):
        super().__init__()
        self.units = (tuple(gain), tuple(offset))

        def layer(convolution: nn.Module, channels: int) -> list[nn.Module]:
            return [convolution, nn.InstanceNorm2d(channels), nn.ReLU()]

        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            *layer(nn.Conv2d(channels_in, base, 7, bias=False), base),
            *layer(nn.Conv2d(base, 2 * base, 3, 2, 1, bias=False), 2 * base),
            *layer(nn.Conv2d(2 * base, 4 * base, 3, 2, 1, bias=False), 4 * base),
        )
        self.blocks = nn.Sequential(*(Residual(4 * base) for _ in range(blocks)))
        self.decoder = nn.Sequential()
        for features in (2 * base, base):
            self.decoder.extend([nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1)])
            self.decoder.extend(layer(nn.Conv2d(2 * features, features, 3, bias=False), features))
        self.decoder.append(nn.ReflectionPad2d(3))
        self.head = nn.Conv2d(base, channels_out, 7)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translated image (B, C, Y, X)."""
        x = self.head(self.decoder(self.blocks(self.encoder(x))))
        gain, offset = self.units
        if gain:
            x = x * torch.tensor(gain).view(1, -1, 1, 1).to(x) + torch.tensor(offset).view(1, -1, 1, 1).to(x)
        return x


def field_of_view(blocks: int) -> int:
    """How many pixels around an output pixel reach it through convolutions, rounded up to a multiple of 4."""
    first, down, up, last = 3, 1 + 2, 4 + 2, 3
    return -(-(first + down + 8 * blocks + up + last) // 4) * 4

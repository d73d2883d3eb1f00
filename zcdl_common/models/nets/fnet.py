"""fnet in two or three dimensions; imports torch alone, since this file travels inside exported packages."""

from collections.abc import Sequence

import torch
from torch import nn


def _layer(convolution: nn.Module, channels: int, ndim: int) -> nn.Sequential:
    norm = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
    return nn.Sequential(convolution, norm(channels), nn.ReLU(inplace=True))


def _pair(ndim: int, channels_in: int, channels_out: int, kernel: tuple[int, ...]) -> nn.Sequential:
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    padding = tuple(k // 2 for k in kernel)
    convolutions = [
        conv(c, channels_out, kernel, padding=padding, bias=False) for c in (channels_in, channels_out)
    ]
    return nn.Sequential(*(_layer(convolution, channels_out, ndim) for convolution in convolutions))


class FNet(nn.Module):
    """U-Net whose features are halved in size by strided convolutions, for images from transmitted light.

    Parameters
    ----------
    channels_in, channels_out
        Channels of image and output.
    base
        Features of the first level; they double at every further level.
    pools
        Downsampling factor (Z)YX of each level, for example ``((2, 2), (2, 2))``.
    gain, offset
        Bring the output to the units of an image, channel by channel. Empty: it stays as it was learned.

    Notes
    -----
    Input and output are (B, C, (Z), Y, X). There is no activation behind the last layer.

    References
    ----------
    Ounkomol et al. 2018, doi:10.1038/s41592-018-0111-2.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        base: int,
        pools: Sequence[Sequence[int]],
        gain: Sequence[float] = (),
        offset: Sequence[float] = (),
    ):
        super().__init__()
        ndim = len(pools[0])
        pools = [tuple(p) for p in pools]
        conv, up = (nn.Conv2d, nn.ConvTranspose2d) if ndim == 2 else (nn.Conv3d, nn.ConvTranspose3d)
        # where an axis is not halved its pixels are still coarse: a flat kernel sees equal distances
        kernels = [tuple(1 if f == 1 else 3 for f in p) for p in pools] + [(3,) * ndim]
        filters = [base * 2**level for level in range(len(pools) + 1)]
        self.units = (tuple(gain), tuple(offset))
        self.encoder = nn.ModuleList([_pair(ndim, channels_in, base, kernels[0])])
        for level, factor in enumerate(pools):
            here, deeper = filters[level : level + 2]
            self.encoder.append(
                nn.Sequential(
                    _layer(conv(here, here, factor, factor, bias=False), here, ndim),
                    _pair(ndim, here, deeper, kernels[level + 1]),
                )
            )
        self.up = nn.ModuleList(
            _layer(up(deeper, here, factor, factor, bias=False), here, ndim)
            for here, deeper, factor in zip(filters, filters[1:], pools, strict=False)
        )
        self.decoder = nn.ModuleList(
            _pair(ndim, 2 * here, here, kernel) for here, kernel in zip(filters, kernels[:-1], strict=False)
        )
        self.head = conv(base, channels_out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predicted image (B, C, (Z)YX)."""
        features = []
        for level in self.encoder:
            x = level(x)
            features.append(x)
        for level in reversed(range(len(self.up))):
            x = self.decoder[level](torch.cat([features[level], self.up[level](x)], dim=1))
        x = self.head(x)
        gain, offset = self.units
        if gain:
            shape = (1, -1) + (1,) * (x.ndim - 2)
            x = x * torch.tensor(gain).view(shape).to(x) + torch.tensor(offset).view(shape).to(x)
        return x


def field_of_view(pools: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """How many pixels (Z)YX around an output pixel can change it, rounded up to whole downsamplings."""
    reach = []
    for axis in range(len(pools[0])):
        stride, total = 1, 1  # the last layer
        for factors in pools:
            radius = 0 if factors[axis] == 1 else 1
            total += 4 * radius * stride  # two convolutions on the way down, two on the way up
            total += (factors[axis] - 1) * stride  # a coarse pixel joins its neighbours
            stride *= factors[axis]
        total += 2 * stride
        reach.append(-(-total // stride) * stride)
    return tuple(reach)

"""U-Net in two or three dimensions; imports torch alone, since this file travels inside exported packages."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def _block(ndim: int, channels_in: int, channels_out: int, kernel: tuple[int, ...]) -> nn.Sequential:
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
    padding = tuple(k // 2 for k in kernel)
    layers: list[nn.Module] = []
    for c in (channels_in, channels_out):
        layers += [conv(c, channels_out, kernel, padding=padding, bias=False), norm(channels_out)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net with batch normalisation and padded convolutions.

    Parameters
    ----------
    channels_in, channels_out
        Channels of image and output. One output channel is a probability (sigmoid), several are
        probabilities that sum to one (softmax).
    base
        Filters of the first level; they double at every further level.
    pools
        Downsampling factor (Z)YX of each level, for example ``((2, 2), (2, 2))``. An axis that is
        coarser than the others is spared at the upper levels: ``((1, 2, 2), (2, 2, 2))``.
    dropout
        Share of the deepest features that is dropped in training.
    shrink
        Factor (Z)YX by which the image is averaged down before the first level; the scores are
        interpolated back to the size of the image. Empty: not at all.

    Notes
    -----
    Input and output are (B, C, (Z), Y, X). In training mode the output is logits, in evaluation
    mode probabilities.

    References
    ----------
    Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; Cicek et al. 2016 (3D),
    doi:10.1007/978-3-319-46723-8_49.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        base: int,
        pools: Sequence[Sequence[int]],
        dropout: float = 0.0,
        shrink: Sequence[int] = (),
    ):
        super().__init__()
        self.shrink = tuple(shrink)
        pools = [tuple(p) for p in pools]
        ndim = len(pools[0])
        # where an axis is not pooled its pixels are still coarse: a flat kernel sees equal distances
        kernels = [tuple(1 if f == 1 else 3 for f in p) for p in pools] + [(3,) * ndim]
        filters = [base * 2**level for level in range(len(pools) + 1)]
        up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        last = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.encoder = nn.ModuleList(
            _block(ndim, c, f, k) for c, f, k in zip([channels_in, *filters], filters, kernels, strict=False)
        )
        self.pool = nn.ModuleList(pool(p, p) for p in pools)
        self.up = nn.ModuleList(
            up(c, f, p, p) for c, f, p in zip(filters[1:], filters[:-1], pools, strict=True)
        )
        self.decoder = nn.ModuleList(
            _block(ndim, 2 * f, f, k) for f, k in zip(filters[:-1], kernels[:-1], strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = last(base, channels_out, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        # without this the first steps are spent on taming large logits
        nn.init.xavier_uniform_(self.head.weight)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Scores before the activation."""
        if self.shrink:
            mean = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
            x = mean(x, self.shrink)
        skips = []
        for block, pool in zip(self.encoder, self.pool, strict=False):
            x = block(x)
            skips.append(x)
            x = pool(x)
        x = self.dropout(self.encoder[-1](x))
        for level in reversed(range(len(skips))):
            x = self.decoder[level](torch.cat([skips[level], self.up[level](x)], dim=1))
        x = self.head(x)
        if self.shrink:
            mode = "bilinear" if x.ndim == 4 else "trilinear"
            x = F.interpolate(x, scale_factor=tuple(map(float, self.shrink)), mode=mode)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits in training mode, probabilities in evaluation mode."""
        x = self.logits(x)
        if self.training:
            return x
        return torch.sigmoid(x) if x.shape[1] == 1 else torch.softmax(x, dim=1)


def field_of_view(pools: Sequence[Sequence[int]], shrink: Sequence[int] = ()) -> tuple[int, ...]:
    """How many pixels (Z)YX around an output pixel can change it, rounded up to whole pools."""
    reach = []
    for axis in range(len(pools[0])):
        stride, down, up = 1, 0, 0
        for factors in pools:
            radius = 0 if factors[axis] == 1 else 1
            down += 2 * radius * stride
            up += 2 * radius * stride
            # a pooled pixel joins its neighbours, and an upsampled one may sit at either side
            down += (factors[axis] - 1) * stride
            stride *= factors[axis]
        total = down + up + 2 * stride
        factor = shrink[axis] if shrink else 1
        total += factor > 1  # interpolation joins neighbours
        reach.append(-(-total // stride) * stride * factor)
    return tuple(reach)

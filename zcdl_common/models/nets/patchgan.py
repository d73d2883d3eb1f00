"""The discriminator that pix2pix and CycleGAN share: it judges overlapping patches of an image."""

import torch
from torch import nn


class PatchDiscriminator(nn.Module):
    """Convolutional judge of patches of 70 x 70 pixels (with three levels), 2D.

    Parameters
    ----------
    channels
        Of the images judged; a conditional judge sees source and target as channels of one.
    base
        Features of the first level; they double at each further one, up to 8 times as many.
    levels
        How often the image is halved: 3 judge patches of 70 pixels, 2 of 34, 1 of 16.
    norm
        Layer between the convolutions: ``nn.BatchNorm2d`` or ``nn.InstanceNorm2d``.

    Notes
    -----
    Input (B, C, Y, X), output (B, 1, Y', X'): a logit a patch, above 0 for real.

    References
    ----------
    Isola et al. 2017, doi:10.1109/CVPR.2017.632.
    """

    def __init__(self, channels: int, base: int, levels: int, norm: type[nn.Module]):
        super().__init__()
        filters = [base * min(2**level, 8) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, base, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(1, levels + 1):
            stride = 2 if level < levels else 1
            layers += [nn.Conv2d(filters[level - 1], filters[level], 4, stride, 1), norm(filters[level])]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(filters[-1], 1, 4, 1, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, one a patch."""
        return self.layers(x)

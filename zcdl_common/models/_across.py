"""Instance normalisation for images that are cut into tiles."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def with_shared_norm(net: nn.Module, windows: Iterable[torch.Tensor]) -> nn.Module:
    """A copy of a network that normalises every tile of an image alike.

    Instance normalisation takes mean and variance of the features from its own input, so that tiles would
    differ in brightness and contrast, and show their seams. Here they are taken from windows all over the
    image and then fixed: tiles with a halo fit together without a seam, and differ from the whole image
    only by how well the windows stand for it.

    Parameters
    ----------
    windows
        (1, C, Y, X) each, of one size, on the device of the network. They go through it at once: only
        together do they have the mean and variance of an image that is not everywhere alike. Averaged
        window by window, the variance would lack the differences between them.
    """
    shared = copy.deepcopy(net).eval()
    norms = [module for module in shared.modules() if isinstance(module, nn.InstanceNorm2d)]

    def measure(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        norm.running_var, norm.running_mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)

    for norm in norms:
        norm.track_running_stats = True
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    shared(torch.cat(list(windows)))
    for hook in hooks:
        hook.remove()
    return shared

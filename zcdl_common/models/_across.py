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
        (1, C, Y, X) each, on the device of the network.
    """
    shared = copy.deepcopy(net).train()
    norms = [module for module in shared.modules() if isinstance(module, nn.InstanceNorm2d)]
    for norm in norms:
        norm.track_running_stats = True
        for name in ("running_mean", "running_var"):
            norm.register_buffer(name, torch.zeros(norm.num_features, device=next(net.parameters()).device))
    for seen, window in enumerate(windows, 1):
        for norm in norms:
            norm.momentum = 1 / seen  # the mean of all windows so far
        shared(window)
    return shared.eval()

"""What a detector learns from boxes: which points answer for which box, and how wrong they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from zcdl_common.models.nets.yolo import distances

CANDIDATES = 13
"""Points at most that answer for a box (Feng et al. 2021)."""
CLASS_POWER, OVERLAP_POWER = 1.0, 6.0
"""How much the class and the overlap count in their alignment (the same)."""
BOX_WEIGHT, QUALITY_WEIGHT = 2.0, 0.5
"""Weights of the overlap and of its expectation beside the class, which counts 1."""
LEAST = 0.05
"""Strength that the best point of a box has at least, so that one which none covers yet is learned too."""
TINY = 1e-9


class Grid(NamedTuple):
    """The points of all grids of an image."""

    points: torch.Tensor
    """(N, 2) y x in pixels."""
    steps: torch.Tensor
    """(N,) pixels from a point of its grid to the next."""


class Assigned(NamedTuple):
    """What the points of a batch are to say."""

    of: torch.Tensor
    """(B, N) index of the box that a point answers for."""
    strength: torch.Tensor
    """(B, N) how well it is placed for that, 0 to 1; 0 where it answers for none."""


def grid(shapes: Sequence[Sequence[int]], steps: Sequence[int], device: torch.device) -> Grid:
    """The points of grids of so many rows and columns, in the order of the network's output."""
    points, strides = [], []
    for shape, step in zip(shapes, steps, strict=True):
        y, x = ((torch.arange(n, device=device) + 0.5) * step for n in shape)
        points.append(torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1))
        strides.append(torch.full((len(points[-1]),), float(step), device=device))
    return Grid(torch.cat(points), torch.cat(strides))


def unread(said: torch.Tensor, step: int) -> torch.Tensor:
    """What a head said before any activation (5 + K, N), from a readable map (Y, X, 5 + K)."""
    flat = said.flatten(0, 1).movedim(-1, 0)
    sides, sure = flat[:4].clamp(min=TINY) / step, flat[4:].clamp(1e-6, 1 - 1e-6)
    return torch.cat([sides.log(), sure.logit()])


def overlaps(one: torch.Tensor, other: torch.Tensor, generalised: bool = False) -> torch.Tensor:
    """Overlap (IoU) of boxes (..., 4) y0 x0 y1 x1 that broadcast, 0 to 1.

    Generalised, it falls below 0, down to -1, as boxes without any overlap move apart (Rezatofighi et al.
    2019, doi:10.1109/CVPR.2019.00075).
    """
    # an axis at a time: of all boxes and all points each such tensor takes hundreds of megabytes
    height, width = (
        torch.minimum(one[..., end], other[..., end]) - torch.maximum(one[..., start], other[..., start])
        for start, end in ((0, 2), (1, 3))
    )
    inside = height.clamp(0) * width.clamp(0)
    either = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - inside
    iou = inside / either.clamp(min=TINY)
    if not generalised:
        return iou
    around = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    hull = around.prod(-1).clamp(min=TINY)
    return iou - (hull - either) / hull


def boxes_of(raw: torch.Tensor, where: Grid) -> torch.Tensor:
    """Boxes (B, N, 4) y0 x0 y1 x1 in pixels from what the heads say (B, 5 + K, N)."""
    sides = distances(raw[:, :4]).movedim(1, 2) * where.steps[:, None]
    return torch.cat([where.points - sides[..., :2], where.points + sides[..., 2:]], dim=-1)


@torch.no_grad()
def assign(probability: torch.Tensor, boxes: torch.Tensor, truth: torch.Tensor, where: Grid) -> Assigned:
    """Choose the points that answer for each true box: those inside that do best in class and overlap.

    Parameters
    ----------
    probability
        (B, N, K) of each class.
    boxes
        (B, N, 4) found at the points.
    truth
        (B, M, 5) y0 x0 y1 x1 class; a class of -1 fills up images with fewer boxes.

    References
    ----------
    Feng et al. 2021, doi:10.1109/ICCV48922.2021.00349 (task-aligned assignment).
    """
    real = truth[..., 4] >= 0
    middle = (truth[..., :2] + truth[..., 2:4]) / 2
    # a box between the points of the finest grid still has one that answers for it
    half = ((truth[..., 2:4] - truth[..., :2]) / 2).clamp(min=0.501 * where.steps.min())
    inside = real[..., None]  # (B, M, N) once the axes are looked at
    for i in (0, 1):
        inside = inside & ((where.points[:, i] - middle[..., i, None]).abs() < half[..., i, None])
    overlap = overlaps(truth[:, :, None, :4], boxes[:, None]) * inside
    kinds = truth[..., 4].long().clamp(min=0)
    of_class = probability.movedim(1, 2).gather(1, kinds[..., None].expand(-1, -1, probability.shape[1]))
    alignment = (of_class**CLASS_POWER * overlap**OVERLAP_POWER + TINY) * inside
    best, index = alignment.topk(min(CANDIDATES, alignment.shape[-1]), dim=-1)
    chosen = torch.zeros_like(inside).scatter_(-1, index, best > 0)
    # a point inside several boxes answers for the one it covers best
    shared = (overlap + TINY) * chosen
    winner = shared.argmax(dim=1)
    chosen &= winner[:, None] == torch.arange(truth.shape[1], device=winner.device)[:, None]
    alignment, overlap = alignment * chosen, overlap * chosen
    top = alignment.amax(-1, keepdim=True).clamp(min=TINY)
    strength = (alignment / top * overlap.amax(-1, keepdim=True).clamp(min=LEAST)).amax(dim=1)
    return Assigned(winner, strength)


def loss(raw: torch.Tensor, truth: torch.Tensor, where: Grid) -> torch.Tensor:
    """How wrong heads (B, 5 + K, N) are about boxes (B, M, 5) y0 x0 y1 x1 class, -1 where there is none.

    The class is learned at all points, with the strength of the assignment as its probability; boxes by
    generalised IoU, and the IoU that a box will have, at those that answer for one. Each is a mean over these
    strengths.
    """
    boxes, logits = boxes_of(raw, where), raw[:, 5:].movedim(1, 2)
    if not truth.shape[1]:  # no image holds a box
        truth = truth.new_full((len(truth), 1, 5), -1.0)
    assigned = assign(logits.sigmoid(), boxes, truth, where)
    strength = assigned.strength
    total = strength.sum().clamp(min=1.0)
    own = truth.gather(1, assigned.of[..., None].expand(-1, -1, 5))
    kinds = F.one_hot(own[..., 4].long().clamp(min=0), logits.shape[-1])
    what = F.binary_cross_entropy_with_logits(logits, kinds * strength[..., None], reduction="sum")
    # at all points, most with no strength: picking the others out would make the host wait for a GPU
    where_loss = ((1 - overlaps(boxes, own[..., :4], generalised=True)) * strength).sum()
    real = overlaps(boxes, own[..., :4]).detach()
    expected = F.binary_cross_entropy_with_logits(raw[:, 4], real, reduction="none") * strength
    return (what + BOX_WEIGHT * where_loss + QUALITY_WEIGHT * expected.sum()) / total

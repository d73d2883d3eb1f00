"""A detector as plain loops train and use it, for the benchmark of that name.

Written as tutorials write it: a Dataset with an albumentations pipeline, a loss that goes through the images
of a batch one by one, the loss read after every step, and non-maximum suppression box by box.
"""

import os

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from zcdl_common.models import _boxes

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


class Crops(Dataset):
    """Crops with their boxes, flipped, turned, zoomed, brightened and made noisy by albumentations."""

    def __init__(self, images, boxes, size, count):
        import albumentations as A

        self.images, self.boxes, self.count = images, boxes, count
        self.change = A.Compose(
            [
                A.RandomScale(0.2, p=1),
                A.PadIfNeeded(*size),
                A.RandomCrop(*size),
                A.HorizontalFlip(),
                A.VerticalFlip(),
                A.RandomBrightnessContrast(0.2, 0.2, p=1),
                A.GaussNoise(std_range=(0.0, 0.05), p=1),
            ],
            bbox_params=A.BboxParams("pascal_voc", min_visibility=0.3, label_fields=["classes"]),
        )

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        i = index % len(self.images)
        boxes = self.boxes[i]
        made = self.change(
            image=self.images[i].clip(0, 1), bboxes=boxes[:, [1, 0, 3, 2]], classes=boxes[:, 4]
        )
        found = np.column_stack([np.reshape(made["bboxes"], (-1, 4)), made["classes"]])[:, [1, 0, 3, 2, 4]]
        return torch.from_numpy(made["image"]).movedim(-1, 0), torch.from_numpy(found.astype(np.float32))


def together(items):
    """Images as a batch, boxes as a list."""
    return torch.stack([image for image, _ in items]), [boxes for _, boxes in items]


def training(net, rate, decay):
    """A function that does a step on images (B, C, Y, X) and lists of boxes."""
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)

    def step(x, targets):
        net.train()
        optimiser.zero_grad()
        raw = net(x)
        shapes = [[side // s for side in x.shape[2:]] for s in net.steps]
        where = _boxes.grid(shapes, net.steps, x.device)
        parts = [
            _boxes.loss(one[None], boxes[None].to(x.device), where)
            for one, boxes in zip(raw, targets, strict=True)
        ]
        loss = sum(parts) / len(parts)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def detect(net, image, confidence, overlap):
    """Boxes of one image (C, Y, X), as a loop over points and boxes reads them."""
    net.eval()
    pad = [-n % (net.steps[-1]) for n in image.shape[1:]]
    with torch.no_grad():
        maps = net(F.pad(image[None], (0, pad[1], 0, pad[0]), mode="reflect"))
    found = []
    for values, step in zip(maps, net.steps, strict=True):
        values = values[0]
        score = (values[5:].max(0).values * values[4]).sqrt()
        for y, x in torch.nonzero(score >= confidence).tolist():
            top, left, bottom, right = values[:4, y, x].tolist()
            cy, cx = (y + 0.5) * step, (x + 0.5) * step
            kind = int(values[5:, y, x].argmax())
            found.append((float(score[y, x]), (cy - top, cx - left, cy + bottom, cx + right), kind))
    found.sort(key=lambda one: -one[0])
    kept = []
    for one in found:
        if all(one[2] != other[2] or shared(one[1], other[1]) <= overlap for other in kept):
            kept.append(one)
    return kept


def shared(a, b):
    """IoU of two boxes."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    both = height * width
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

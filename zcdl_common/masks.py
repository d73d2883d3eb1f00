"""Masks as annotations: mask images, or ImageJ and QuPath regions, paired with their images by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zcdl_common.folders import find_files
from zcdl_common.images import ImageRef
from zcdl_common.pairs import Pairing, pair
from zcdl_common.rois import ENDINGS, RoiLabels, is_roi_file, read_rois
from zcdl_common.task import Array


@dataclass(frozen=True)
class Mask:
    """Annotations of one image: a mask image of the same size, or regions."""

    path: Path
    image: ImageRef

    def read(self) -> Array:
        """Mask values (Z)YX, or (Z)YXC as the file has them."""
        drawn = self.regions()
        if drawn is None:
            axes = self.image.axes.replace("C", "").replace("S", "")
            return replace(self.image, paths=(self.path,), axes=axes, channels=None, pixel_size=None).read()
        region = self.image.region or tuple((0, n) for n in drawn.labels.shape)
        return drawn.labels[tuple(slice(a, b) for a, b in region)]

    def regions(self) -> RoiLabels | None:
        """Regions drawn on the whole image, with what is to be said of them; None for a mask image."""
        if not is_roi_file(self.path):
            return None
        whole = replace(self.image, region=None)
        return read_rois(self.path, whole.info().shape, whole.frame)

    def crop(self, region: tuple[tuple[int, int], ...]) -> Mask:
        """The part that belongs to the same region of the image."""
        return Mask(self.path, self.image.crop(region))


def open_masks(
    sources: Sequence[ImageRef], text: str, parameter: str, mended: Mapping[Path, Path]
) -> tuple[Pairing, tuple[Mask, ...]]:
    """Masks in the folder `text` by the names of their images; see `zcdl_common.task.Task.annotations`."""
    pairing = pair(sources, find_files(text, parameter, also=ENDINGS))
    return pairing, tuple(Mask(mended.get(path.resolve(), path), image) for image, path in pairing.pairs)

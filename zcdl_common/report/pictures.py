"""Figures small enough to stand in a page that is mailed around."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from zcdl_common.report.blocks import Note, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PIXELS = 1500
"""Width beyond which a figure is shrunk; twice what a page shows, for sharp prints."""

MOST_BYTES = 150_000
"""A PNG above this size is replaced by a JPEG, if that is smaller: photographs are, curves are not."""

CAPTIONS = {
    "examples": "Test images: input, truth, network, classical method, and where the network errs.",
    "likeness": "Real frames beside simulated ones, which the network learned from, in the same grey values.",
    "removed": "Input minus result: noise should look like noise, without outlines of the structures.",
    "uncertainty": "How far the network expects to be wrong, and how far it is.",
    "disagreement": "How much the prediction changes as the image is turned, and how far it is off.",
    "worst": "The test images that scored worse than the mean: the truth, and the errors of the network.",
    "precision_recall": "Precision over recall of each class, all test images together.",
    "confusion": "True classes of the boxes, and what the network took them for.",
    "counts": "Number of boxes found in each test image over the true number.",
    "by_density": "Scores over the density of the molecules around, matched within 250 nm.",
    "by_radius": "Jaccard index over the distance within which positions match; what matches by chance.",
    "position_errors": "Where found positions lie beside the true ones, and their mean.",
    "scores": "Scores of the test images, from the classical method to the network.",
    "scores_by_plane": "Scores of the planes of the test volumes, from the first to the last.",
    "threshold_curve": "Score of the validation images over the threshold on the probability.",
    "kept": "Score of the weights that were kept along the training; they are for looking at, not for use.",
    "pairs": "Training images with their targets.",
    "patches": "Training patches before and after augmentation.",
}
"""Figures by name, in the order in which section 6 shows them; others show their name."""


WITHOUT_TRUTH = {
    "examples": "Test images: input, network and classical method. There is no truth to compare with.",
    "disagreement": "How much the prediction changes as the image is turned.",
}
"""Captions of figures that show less where nobody knows the truth."""


def from_figure(figure: Figure, caption: str, alt: str) -> Picture:
    """Draw a figure into a block."""
    from zcdl_common.plots.style import png

    return shrink(png(figure), caption, alt)


def from_file(path: Path, caption: str = "") -> Picture | Note:
    """Read a figure that quality control has saved; a torn file becomes a note."""
    caption = caption or CAPTIONS.get(path.stem, path.stem.replace("_", " "))
    try:
        return shrink(path.read_bytes(), caption, f"{path.stem.replace('_', ' ')}: {caption}")
    except OSError:  # what Pillow raises for a file that is no image, too
        return Note(f"The figure {path.name} could not be read. Run section 6 again.", "warning", "Figure")


def shrink(data: bytes, caption: str, alt: str) -> Picture:
    """Make a picture block of the bytes of an image file, no wider and hardly larger than allowed.

    Raises
    ------
    OSError
        The bytes are no image.
    """
    from PIL import Image

    with Image.open(BytesIO(data)) as opened:
        image = opened.convert("RGBA")  # matplotlib's figures have an alpha channel, a JPEG cannot
        page = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if page.width > MOST_PIXELS:
        page = page.resize((MOST_PIXELS, max(1, round(page.height * MOST_PIXELS / page.width))))
        data = _encode(page, "PNG")
    if len(data) > MOST_BYTES:
        # 4:4:4: thin coloured outlines are the point of these pictures
        data = min(data, _encode(page, "JPEG", quality=85, subsampling=0), key=len)
    return Picture(data, caption, alt, page.size)


def _encode(image: object, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[attr-defined]
    return buffer.getvalue()

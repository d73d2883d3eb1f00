"""Make the README's pictures from a finished run: python tools/readme_figures.py zcdl_runs/demo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common import session
from zcdl_common.patches import centre
from zcdl_common.plots import metric_label, style
from zcdl_common.plots.images import aspect, draw_source
from zcdl_common.plots.segmentation import draw_errors, draw_segmentation
from zcdl_common.predict import predict
from zcdl_common.run import Run, open_run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
LARGEST = 200_000
"""Bytes; a README is read on slow connections too."""
STEPS = (
    *("Start", "Your images", "Settings", "Starting weights"),
    *("Train", "Quality control", "Use on new images", "Export"),
)
FILES = (
    "scores beside a classical method",
    "predictions as TIFF",
    "report (web page and PDF)",
    "package for Fiji, ilastik, QuPath",
)


def overview(run: Run, side: int = 160) -> Figure:
    """What goes in, the steps of a notebook, what comes out; pictures of the run itself.

    Parameters
    ----------
    run
        A finished 2D segmentation.
    side
        Size of the cut-outs, in pixels.
    """
    from matplotlib.patches import FancyArrowPatch

    split = session.data_of(run).split
    known, unseen = split.train[0], split.test[0]
    image, mask = (centre(a, (side, side)) for a in (known.source.read(), _truth(run, known)))
    whole = unseen.source.read()
    square = (min(side, *whole.shape[:2]),) * 2
    new, found = (centre(a, square) for a in (whole, predict(run, run.load(), whole).main))

    figure = style.new_figure(9.6, 3.5)
    figure.set_layout_engine(None)
    draw_source(_panel(figure, 0.005, "images"), image)
    draw_source(_panel(figure, 0.165, "masks"), (mask > 0)[..., None].astype(np.float32))
    draw_source(_panel(figure, 0.67, "new images"), new)
    draw_segmentation(_panel(figure, 0.83, "what is found"), new, found, fill=0.35)
    for x, text in ((0.005, "You bring"), (0.415, "One notebook"), (0.67, "You get")):
        figure.text(x, 0.94, text, fontsize=12, fontweight="bold", color=style.INK, va="center")
    for i, step in enumerate(STEPS):
        y = 0.835 - 0.089 * i
        figure.text(0.415, y, str(i + 1), fontsize=9, color=style.COLOURS["network"], va="center")
        figure.text(0.435, y, step, fontsize=10, color=style.INK, va="center")
    brought = "10 to 50 pairs; masks painted in Labkit\nor outlined as ROIs in Fiji"
    figure.text(0.005, 0.38, brought, fontsize=9, color=style.INK, va="top", linespacing=1.5)
    lines = "\n".join(f"• {line}" for line in FILES)
    figure.text(0.67, 0.38, lines, fontsize=9, color=style.INK, va="top", linespacing=1.5)
    for a, b in ((0.335, 0.395), (0.59, 0.65)):
        look: dict[str, Any] = {
            "arrowstyle": "-|>",
            "mutation_scale": 18,
            "linewidth": 2,
            "color": style.FAINT,
        }
        figure.add_artist(FancyArrowPatch((a, 0.53), (b, 0.53), transform=figure.transFigure, **look))
    return figure


def _truth(run: Run, sample: Any) -> Any:
    return run.network.task.read_target(sample, run.facts)


def _panel(figure: Figure, x: float, title: str) -> Axes:
    axes = figure.add_axes((x, 0.44, 0.155, 0.42))
    axes.set_anchor("S")
    axes.set_title(title, fontsize=9, color=style.INK, pad=3)
    return axes


def first_result(run: Run) -> Figure:
    """The test image that scored in the middle: image, truth, network, errors."""
    table = scores(run).sort_values(run.network.primary)
    row = table.iloc[len(table) // 2]
    sample = next(s for s in session.data_of(run).split.test if s.name == row["image"])
    image, truth = sample.source.read(), _truth(run, sample)
    found = predict(run, run.load(), image).main
    high = 9.4 / 2 * aspect(image) + 0.3
    figure = style.new_figure(9.4, 2 * high)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    draw_source(first, image)
    draw_segmentation(second, image, truth)
    draw_segmentation(third, image, found)
    draw_errors(fourth, truth, found)
    title = f"network, {metric_label(run.network.primary)} {row[run.network.primary]:.2f}"
    for axes, text in zip(
        (first, second, third, fourth),
        ("test image", "outlined by hand", title, "right (grey), too much (orange), missed (blue)"),
        strict=True,
    ):
        axes.set_title(text, fontsize=9, color=style.INK, pad=3, loc="left")
    return figure


def scores(run: Run) -> pd.DataFrame:
    """A row a test image, as quality control wrote it."""
    import pandas as pd

    return pd.read_csv(run.quality_control / "metrics.csv")


PICTURES: dict[str, Callable[[Run], Figure]] = {
    "overview.png": overview,
    "first_result.png": first_result,
}


def small(png: bytes, limit: int = LARGEST) -> bytes:
    """The same picture in at most `limit` bytes: with 256 colours where it needs to be."""
    from io import BytesIO

    from PIL import Image

    if len(png) <= limit:
        return png
    packed = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(256).save(packed, "PNG", optimize=True)
    if packed.tell() > limit:
        raise SystemExit(f"A picture of {packed.tell()} bytes is too large for the README ({limit}).")
    return packed.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Write docs/images/*.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run, for example zcdl_runs/demo")
    run = open_run(parser.parse_args(arguments).run)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        png = small(style.png(draw(run)))
        (IMAGES / name).write_bytes(png)
        print(f"{(IMAGES / name).relative_to(ROOT)}: {len(png) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

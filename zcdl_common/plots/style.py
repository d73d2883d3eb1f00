"""What every figure shares: colours, type, sizes, and how a figure becomes a file.

Figures are built through matplotlib's objects alone. Nothing global is touched, so that they can be
drawn in a thread, beside a user's own pyplot figures, and without a display.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
FAINT = "#6b6b6b"
GRID = "#dddddd"

COLOURS = {
    "network": "#0072b2",
    "classical": "#d55e00",
    "input": "#7f7f7f",
    "train": "#0072b2",
    "validation": "#d55e00",
    "rate": "#6b6b6b",
    "best": "#009e73",
}
"""Who is who, the same in every figure; from the palette of Okabe and Ito.

References
----------
M. Okabe and K. Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/
"""

LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Lines that have no role of their own; they differ in dashes too."""

CLASS_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
"""Outlines of class 1, 2, ...; they start again after the seventh."""

ERROR_COLOURS = {
    "right": "#e8e8e8",
    "too much": "#e69f00",
    "missed": "#56b4e9",
    "wrong class": "#cc79a7",
    "background": "#1a1a1a",
}
"""Error maps: lightness alone tells right from wrong, hue tells the two kinds of wrong apart."""

TITLE, LABEL, SMALL = 10.0, 9.0, 8.0
"""Type sizes in points, for figures that are shown at about their own size."""


def new_figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """Return an empty white figure of `width` x `height` inches that keeps its labels apart.

    "compressed" suits grids of images: it leaves no holes between panels of a fixed shape.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.04, h_pad=0.04, wspace=0.02, hspace=0.02)
    return figure


def headline(figure: Figure, text: str) -> None:
    """Put a title above all panels, left aligned as the panels are."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=TITLE, fontweight="bold", color=INK)


def note_above(figure: Figure, notes: Iterable[str]) -> None:
    """Say above the pictures how they are shown, each thing once, broken into lines that fit."""
    text = "; ".join(dict.fromkeys(note for note in notes if note))
    if text:
        lines = textwrap.fill(text, max(20, int(figure.get_figwidth() * 13)))
        figure.suptitle(lines, x=0.01, ha="left", fontsize=SMALL, color=FAINT)


def tidy(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Give a plot its labels and quiet its frame."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3, color=FAINT)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, fontsize=LABEL, color=INK)
    axes.set_ylabel(y, fontsize=LABEL, color=INK)
    axes.set_title(title, fontsize=LABEL, color=INK, loc="left")


def plain_ticks(axes: Axes) -> None:
    """Write 0.05 and not 5 x 10^-2 along a logarithmic axis, and not so often that it crowds."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        narrow = high < 5 * low  # where 1, 2, 5 would leave a single number
        axes.yaxis.set_major_locator(
            MaxNLocator(5) if narrow else LogLocator(subs=(1.0, 2.0, 5.0), numticks=12)
        )
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def whole_numbers(axes: Axes) -> None:
    """Mark only whole numbers along x: there is no epoch 2.5."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def say_nothing_to_show(figure: Figure, reason: str) -> Figure:
    """Return a figure that says why it is empty, instead of failing after an hour of training."""
    figure.text(0.5, 0.5, reason, ha="center", va="center", fontsize=LABEL, color=FAINT)
    return figure


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a long file name: its beginning and end tell files apart."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def literal(text: str) -> str:
    """Return text as matplotlib must be given it: a dollar sign in a file name starts no formula."""
    return text.replace("$", r"\$")


def columns(table: Any) -> dict[str, list[Any]]:
    """Columns of a table given as columns (a mapping, a pandas DataFrame) or as rows of mappings.

    A value that a row lacks becomes NaN.
    """
    if isinstance(table, Mapping) or hasattr(table, "columns"):
        return {str(name): list(table[name]) for name in table}
    rows: Sequence[Mapping[str, Any]] = list(table)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, float("nan")) for row in rows] for name in names}


def numbers(values: Sequence[Any]) -> list[float]:
    """Values as floats; what is no number, an empty cell say, becomes NaN."""
    return [_number(value) for value in values]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def save(figure: Figure, path: Path, dpi: int = 110) -> Path:
    """Write a figure as PNG, whole or not at all; the format follows no file name."""
    from zcdl_common.files import replacing

    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    return path


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    return buffer.getvalue()

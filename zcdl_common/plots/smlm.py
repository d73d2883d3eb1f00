"""Single-molecule frames: real beside simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zcdl_common.plots import style
from zcdl_common.smlm.gate import Gate
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 96
"""Pixels a side of the frames that are drawn: single spots must be seen."""
BINS = 80


def simulated_and_real(compared: Gate) -> Figure:
    """A real and a simulated frame at one brightness scale, their intensities, and what does not match.

    Parameters
    ----------
    compared
        Frames TYX and matches, from `smlm.gate.gate`.
    """
    figure = style.new_figure(9.0, 3.4)
    if not len(compared.simulated):
        return style.say_nothing_to_show(figure, compared.matches[0].message.split(":")[0] + ".")
    real, simulated = compared.real, compared.simulated
    low, high = (float(np.percentile(real, share)) for share in (0.5, 99.8))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    _frame(left, real, low, high, f"real, {low:.0f} to {high:.0f} counts")
    _frame(middle, simulated, low, high, "simulated there, at the same brightness")
    _histograms(right, real, simulated)
    apart = [match.quantity for match in compared.matches if not match.ok]
    names = ", ".join(name.removesuffix("_nm") for name in apart)
    style.headline(
        figure,
        f"Simulated frames differ in: {names}"
        if apart
        else "Simulated frames match real ones in all that was measured",
    )
    return figure


def _frame(axes: Axes, stack: Array, low: float, high: float, title: str) -> None:
    """The middle of the frame in the middle of the stack."""
    top, left = (max(0, (size - SIDE) // 2) for size in stack.shape[1:])
    picture = stack[len(stack) // 2, top : top + SIDE, left : left + SIDE]
    axes.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=style.LABEL, color=style.INK, loc="left")


def _histograms(axes: Axes, real: Array, simulated: Array) -> None:
    """Share of the pixels by counts; the tail, where the bright spots are, shows on a logarithmic scale."""
    both = min(real.min(), simulated.min()), max(real.max(), simulated.max())
    edges = np.linspace(float(both[0]), float(both[1]) + 1, min(BINS, int(both[1]) - int(both[0]) + 1) + 1)
    for stack, name, colour in ((real, "real", style.INK), (simulated, "simulated", style.LINE_COLOURS[1])):
        share = np.histogram(stack, edges)[0] / stack.size
        axes.stairs(share, edges, color=colour, lw=1.4, ls="-" if name == "real" else "--", label=name)
    axes.set_yscale("log")
    style.tidy(axes, "counts", "share of the pixels", "intensities")
    axes.legend(fontsize=style.SMALL, frameon=False)

"""How things are shown: boxes, tables, figures; as text where there is no notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcdl_common import places
from zcdl_common.errors import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"good": "#0072B2", "note": "#595959", "warning": "#B35900", "error": "#A3133C"}


def say() -> Callable[[str], None]:
    """A voice for progress: a line that replaces itself where someone looks, plain lines elsewhere."""
    if places.headless() or not places.in_kernel():
        return lambda text: print(text, flush=True)
    from IPython.display import display

    shown: list[Any] = []

    def tell(text: str) -> None:
        if shown:
            shown[0].update(_box(text, "note"))
        else:  # not before there is something to say
            shown.append(display(_box(text, "note"), display_id=True))

    return tell


def _box(text: str, kind: str) -> Any:
    from IPython.display import HTML

    return HTML(_box_html(text, kind))


def _box_html(text: str, kind: str) -> str:
    colour = COLOURS[kind]
    return (
        f'<div style="border-left:4px solid {colour};padding:6px 12px;margin:4px 0;max-width:60em">'
        + html.escape(text).replace("\n", "<br>")
        + "</div>"
    )


def message(text: str, kind: str = "note") -> None:
    """One paragraph that must be seen."""
    _display(_box_html(text, kind), text)


def line(text: str) -> None:
    """A plain sentence."""
    _display(f'<div style="max-width:60em">{html.escape(text)}</div>', text)


def table(rows: Sequence[dict[str, Any]]) -> None:
    """A small table."""
    import pandas as pd

    if not rows:
        return
    rows = [
        {k: {True: "yes", False: "no"}[v] if isinstance(v, bool) else v for k, v in r.items()} for r in rows
    ]
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    plain = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    text = pd.DataFrame(rows).to_html(index=False, border=0, justify="left", na_rep="", escape=True)
    rule = "text-align:left!important;white-space:normal!important;max-width:36em"
    style = f"<style>.zcdl td,.zcdl th{{{rule}}}</style>"
    _display(style + text.replace('class="dataframe"', 'class="dataframe zcdl"'), plain)


def _display(rich: str, plain: str) -> None:
    """HTML for a notebook, and the same as text for whoever reads along in a terminal."""
    if not places.in_kernel():
        print(plain, flush=True)
        return
    from IPython.display import display

    display({"text/html": rich, "text/plain": plain}, raw=True)


def figure(made: Figure) -> None:
    """A figure, where it can be seen."""
    if places.in_kernel():
        from IPython.display import Image, display

        from zcdl_common.plots import png

        display(Image(png(made), alt="figure", embed=True, width=int(made.get_figwidth() * 80)))


def picture(path: Path) -> None:
    """A figure from a file, as large as `figure` shows one."""
    from IPython.display import Image, display
    from PIL import Image as Picture

    with Picture.open(path) as opened:
        width = opened.width
    display(Image(filename=str(path), alt=path.stem, width=min(width * 80 // 110, 900)))


def explain_missing_cell() -> None:
    """Let a cell that needs ``params`` too early say which cell to run, instead of a stack trace."""
    if places.headless():
        return
    from IPython import get_ipython

    def explain(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: Any = None) -> None:
        if getattr(error, "name", "") == "params":
            missing = RunError("The parameters are not known yet. Run the cell above first (Parameters).")
            kind, error, trace = RunError, missing, None
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    get_ipython().set_custom_exc((NameError,), explain)

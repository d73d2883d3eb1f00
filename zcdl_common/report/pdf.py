"""Blocks as a PDF, for the folder of a project and for a printer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from zcdl_common.report.blocks import LINK, Block, Heading, Listing, Note, Picture, Table, Text

PADDING = 6
"""Points that reportlab keeps free at both sides of a page's frame."""

INK, FAINT, LINE, SHADE = "#222222", "#555555", "#d5dade", "#f6f7f8"
NOTES = {"verdict": ("#0072b2", "#eaf3f9"), "todo": ("#8a949c", "#f3f5f6"), "warning": ("#d55e00", "#fdf3ec")}
"""Bar and background of each kind of note."""


def write_pdf(path: Path, title: str, blocks: Sequence[Block]) -> None:
    """Write blocks as a PDF of A4 pages.

    Parameters
    ----------
    path
        File to write; it is not replaced atomically here.
    title
        Title of the document, repeated at the foot of every page.
    blocks
        The same blocks as for the web page.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    fonts()
    document = SimpleDocTemplate(
        str(path), pagesize=A4, title=title, subject="Training report", lang="en",
        leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm, bottomMargin=18 * mm,
    )  # fmt: skip
    width = document.width - 2 * PADDING

    def foot(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont("Report", 7.5)
        canvas.setFillColor(FAINT)
        canvas.drawString(document.leftMargin + PADDING, 10 * mm, _shorten(_clean(title), 90))
        canvas.drawRightString(document.leftMargin + PADDING + width, 10 * mm, f"page {document.page}")
        canvas.restoreState()

    flowables = [item for block in blocks for item in _block(block, width, document.height)]
    document.build(flowables, onFirstPage=foot, onLaterPages=foot)


@cache
def fonts() -> None:
    """Register DejaVu Sans, which comes with matplotlib: file names have umlauts, Greek and Cyrillic."""
    import matplotlib
    from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    registerFont(TTFont("Report", folder / "DejaVuSans.ttf"))
    registerFont(TTFont("Report-Bold", folder / "DejaVuSans-Bold.ttf"))
    registerFontFamily(
        "Report", normal="Report", bold="Report-Bold", italic="Report", boldItalic="Report-Bold"
    )


@cache
def _style(
    size: float,
    bold: bool = False,
    colour: str = INK,
    before: float = 0,
    after: float = 4,
    right: bool = False,
) -> Any:
    from reportlab.lib.styles import ParagraphStyle

    return ParagraphStyle(
        f"{size}{bold}{colour}{before}{after}{right}",
        fontName="Report-Bold" if bold else "Report",
        fontSize=size,
        leading=size * 1.4,
        textColor=colour,
        spaceBefore=before,
        spaceAfter=after,
        alignment=2 if right else 0,
        splitLongWords=1,
    )


def _block(block: Block, width: float, height: float) -> list[Any]:
    from reportlab.platypus import CondPageBreak, Paragraph

    match block:
        case Heading(text, level):
            style = {1: _style(19, True, after=2), 2: _style(13, True, before=14, after=5)}
            heading = Paragraph(_linked(text), style.get(level, _style(10.5, True, before=8, after=4)))
            # keepWithNext loses its grip where a kept-together picture follows: ask for room instead
            return [CondPageBreak(0.24 * height), heading]
        case Text(text, small):
            style = _style(7.8, colour=FAINT, after=5) if small else _style(9, after=5)
            return [Paragraph(_linked(text), style)]
        case Listing(items, numbered):
            return [_listing(items, numbered)]
        case Note():
            return [_note(block, width)]
        case Picture():
            return [_picture(block, width, height)]
        case Table():
            return _table(block, width)


def _listing(items: tuple[str, ...], numbered: bool) -> Any:
    from reportlab.platypus import ListFlowable, ListItem, Paragraph

    entries = [ListItem(Paragraph(_linked(item), _style(9, after=2)), leftIndent=16) for item in items]
    kind = {"bulletType": "1", "bulletFormat": "%s."} if numbered else {"bulletType": "bullet", "start": "•"}
    return ListFlowable(entries, leftIndent=16, bulletFontName="Report", bulletFontSize=8, **kind)


def _note(note: Note, width: float) -> Any:
    from reportlab.platypus import Paragraph, Spacer, TableStyle
    from reportlab.platypus import Table as Grid

    bar, background = NOTES[note.kind]
    big = note.kind == "verdict"
    text = Paragraph(_linked(note.text), _style(12.5 if big else 9, after=0))
    label = (
        [Paragraph(_linked(note.label), _style(8.5, True, bar if big else INK, after=1))]
        if note.label
        else []
    )
    grid = Grid([[[*label, text, Spacer(1, 2)]]], colWidths=[width], spaceBefore=5, spaceAfter=7)
    edges = [("BACKGROUND", (0, 0), (-1, -1), background), ("LINEBEFORE", (0, 0), (0, -1), 3, bar)]
    pads = [(f"{side}PADDING", (0, 0), (-1, -1), pad) for side, pad in _PADS.items()]
    grid.setStyle(TableStyle(edges + pads))
    return grid


_PADS = {"LEFT": 10, "RIGHT": 8, "TOP": 6, "BOTTOM": 6}


def _picture(picture: Picture, width: float, height: float) -> Any:
    from reportlab.platypus import Image, KeepTogether, Paragraph, Spacer

    across, down = picture.size
    shown = min(width, across * 0.6)  # in points: 120 pixels an inch, and never beyond the page
    scale = min(shown / across, 0.78 * height / down)
    image = Image(BytesIO(picture.data), across * scale, down * scale, hAlign="LEFT")
    caption = Paragraph(_linked(picture.caption), _style(7.8, colour=FAINT, after=8))
    return KeepTogether([Spacer(1, 4), image, Spacer(1, 3), caption])


def _table(table: Table, width: float) -> list[Any]:
    from reportlab.platypus import Paragraph, Spacer, TableStyle
    from reportlab.platypus import Table as Grid

    count = len(table.columns)
    shares = table.widths or (1 / count,) * count
    right = [i in table.numeric for i in range(count)]
    head = [
        Paragraph(_linked(t), _style(7.8, True, after=0, right=r))
        for t, r in zip(table.columns, right, strict=True)
    ]
    body = [
        [Paragraph(_linked(cell), _style(7.8, after=0, right=r)) for cell, r in zip(row, right, strict=True)]
        for row in table.rows
    ]
    grid = Grid([head, *body], colWidths=[width * s / sum(shares) for s in shares], repeatRows=1)
    grid.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, 0), 1, FAINT),
                ("LINEBELOW", (0, 1), (-1, -1), 0.4, LINE),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), ["#ffffff", SHADE]),
                *[(f"{side}PADDING", (0, 0), (-1, -1), 3) for side in ("TOP", "BOTTOM")],
                *[(f"{side}PADDING", (0, 0), (-1, -1), 4) for side in ("LEFT", "RIGHT")],
            ]
        )
    )
    caption = [Paragraph(_linked(table.caption), _style(7.8, colour=FAINT, after=6))] if table.caption else []
    return [grid, Spacer(1, 3), *caption]


def _linked(text: str) -> str:
    """Escape for reportlab's markup and turn web addresses into links."""
    text, parts, at = _clean(text), [], 0
    for match in LINK.finditer(text):
        address = escape(match.group(), {'"': "&quot;"})
        parts.append(escape(text[at : match.start()]))
        parts.append(f'<a href="{address}" color="#005a8c">{address}</a>')
        at = match.end()
    return "".join(parts) + escape(text[at:])


def _clean(text: str) -> str:
    """Control characters break the markup; no font shows them anyway."""
    return "".join(c if c.isprintable() else " " for c in text)


def _shorten(text: str, length: int) -> str:
    from zcdl_common.plots.style import shorten

    return shorten(text, length)

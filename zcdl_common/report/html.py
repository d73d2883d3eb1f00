"""Blocks as one self-contained web page: no scripts, no files beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from zcdl_common.report.blocks import LINK, Block, Heading, Listing, Note, Picture, Table, Text

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 60rem; background: #fff; color: #222;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .7rem; padding-bottom: .25rem; border-bottom: 2px solid #e3e7ea; }
h3 { font-size: 1.08rem; margin: 1.8rem 0 .5rem; }
p { margin: .6rem 0; max-width: 48rem; }
a { color: #005a8c; }
li { margin: .25rem 0; max-width: 48rem; }
.small, figcaption, caption { color: #555; font-size: .88rem; }
nav { margin: 1rem 0; font-size: .92rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
.note { margin: 1rem 0; padding: .7rem 1rem; border-left: 5px solid #8a949c; background: #f3f5f6; }
.note b { display: block; }
.note.warning { border-color: #d55e00; background: #fdf3ec; }
.note.verdict { border-color: #0072b2; background: #eaf3f9; font-size: 1.3rem; line-height: 1.4;
  padding: 1rem 1.25rem; }
.note.verdict b { font-size: .95rem; text-transform: none; color: #004d78; margin-bottom: .2rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; line-height: 1.4; }
.wide table { min-width: 40rem; }
caption { text-align: left; caption-side: bottom; padding-top: .5rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #e3e7ea; }
thead th { border-bottom: 2px solid #b9c2c8; vertical-align: bottom; }
tbody tr:nth-child(even) { background: #f8f9fa; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.4rem 0; }
img { max-width: 100%; height: auto; display: block; }
figcaption { margin-top: .5rem; max-width: 48rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, tr, .note { break-inside: avoid; }
  thead { display: table-header-group; }
  .wide table { min-width: 0; font-size: 7.5pt; }
  .wide th, .wide td { padding: .2rem .3rem; }
  .note, tbody tr:nth-child(even) { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  @page { margin: 18mm 16mm; }
}
"""


def html(title: str, blocks: Sequence[Block]) -> str:
    """Write blocks as a web page.

    Parameters
    ----------
    title
        Title of the browser's tab.
    blocks
        What stands in the report; all text is escaped here and nowhere else.
    """
    entries = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    links = "\n".join(f'<a href="#{_anchor(text)}">{_escape(text)}</a>' for text in entries)
    navigation = f'<nav aria-label="Sections">\n{links}\n</nav>' if entries else ""
    first = next((i for i, b in enumerate(blocks) if isinstance(b, Heading) and b.level == 2), len(blocks))
    head, rest = ("\n".join(map(_block, part)) for part in (blocks[:first], blocks[first:]))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{head}\n{navigation}\n{rest}\n</main>\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="{_anchor(text)}">{_escape(text)}</h{level}>'
        case Text(text, small):
            kind = ' class="small"' if small else ""
            return f"<p{kind}>{_linked(text)}</p>"
        case Listing(items, numbered):
            tag = "ol" if numbered else "ul"
            return f"<{tag}>\n" + "\n".join(f"<li>{_linked(item)}</li>" for item in items) + f"\n</{tag}>"
        case Note(text, kind, label):
            front = f"<b>{_escape(label)}</b> " if label else ""
            return f'<div class="note {kind}" role="note">{front}{_linked(text)}</div>'
        case Picture():
            return _picture(block)
        case Table():
            return _table(block)


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    width, height = picture.size
    return (
        f'<figure>\n<img src="data:{picture.mime};base64,{data}" alt="{_escape(picture.alt)}" '
        f'width="{width}" height="{height}">\n<figcaption>{_escape(picture.caption)}</figcaption>\n</figure>'
    )


def _table(table: Table) -> str:
    numeric = [' class="n"' if i in table.numeric else "" for i in range(len(table.columns))]
    widths = "".join(f'<col style="width:{100 * share:.0f}%">' for share in table.widths)
    head = "".join(
        f'<th scope="col"{c}>{_escape(t)}</th>' for t, c in zip(table.columns, numeric, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{c}>{_linked(cell)}</td>" for cell, c in zip(row, numeric, strict=True))
        + "</tr>"
        for row in table.rows
    )
    scroll = "scroll wide" if len(table.columns) > 3 else "scroll"
    caption = f"<caption>{_escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="{scroll}"><table>{caption}<colgroup>{widths}</colgroup>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _escape(text: str) -> str:
    """Escape for HTML; control characters, which no browser shows, fall away."""
    return escape("".join(c for c in text if c.isprintable() or c in "\n\t"), quote=True)


def _linked(text: str) -> str:
    """Escape text and turn the web addresses in it into links."""
    parts, at = [], 0
    for match in LINK.finditer(text):
        parts.append(_escape(text[at : match.start()]))
        parts.append(f'<a href="{_escape(match.group())}">{_escape(match.group())}</a>')
        at = match.end()
    return "".join(parts) + _escape(text[at:])


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"

"""What a report is made of. The same list becomes a web page and a PDF."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

LINK = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;)]")
"""Addresses in a text, without the full stop behind them."""


MOST_ROWS = 25
"""Rows of a table of images that a report shows; the csv file beside it has all."""


@dataclass(frozen=True)
class Heading:
    """A title (level 1), section (2) or subsection (3)."""

    text: str
    level: Literal[1, 2, 3] = 2


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text; web addresses in it become links."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Listing:
    """A list of paragraphs, numbered where they are referred to by number."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """A table of plain text; `widths` are shares of the page, `numeric` columns stand right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    widths: tuple[float, ...] = ()
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file as bytes, with words for those who cannot see it."""

    data: bytes
    caption: str
    alt: str
    size: tuple[int, int]
    """Width and height in pixels."""

    @property
    def mime(self) -> str:
        return "image/png" if self.data.startswith(b"\x89PNG") else "image/jpeg"


@dataclass(frozen=True)
class Note:
    """A sentence that must not be overlooked.

    "verdict" is the answer the reader came for, "todo" says what to run next, "warning" what to mind.
    """

    text: str
    kind: Literal["verdict", "todo", "warning"] = "todo"
    label: str = ""
    """A word or two in front; the meaning never rests on a colour alone."""


Block = Heading | Text | Listing | Table | Picture | Note

"""Choose a folder by clicking through folders, with core widgets alone."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from zcdl_common.folders import natural
from zcdl_common.formats import is_image
from zcdl_common.parameter import clean_path

AT_MOST = 500
"""Entries looked at in a folder: counting images must not take long on a network drive."""


def subfolders(folder: Path) -> list[tuple[str, Path]]:
    """Folders in `folder` as ``("masks (12 images)", path)``, in natural order, hidden ones left out."""
    try:
        entries = sorted(folder.iterdir(), key=natural)[:AT_MOST]
    except OSError:
        return []
    return [
        (f"{entry.name} ({images_text(entry)})", entry)
        for entry in entries
        if entry.is_dir() and not entry.name.startswith((".", "__")) and not is_image(entry)
    ]


def images_text(folder: Path) -> str:
    """``12 images``, ``no images``: those directly in `folder`."""
    try:
        names = [entry for entry, _ in zip(folder.iterdir(), range(AT_MOST), strict=False)]
    except OSError:
        return "cannot be opened"
    count = sum(not entry.name.startswith(".") and is_image(entry) for entry in names)
    more = "more than " if count and len(names) == AT_MOST else ""
    return f"{more}{count} image{'' if count == 1 else 's'}" if count else "no images"


def nearest(text: str) -> Path:
    """The folder that `text` names, or the nearest one above it that exists."""
    path = Path(clean_path(text.split(";")[-1]) or ".").expanduser().absolute()
    return next(p for p in (path, *path.parents) if p.is_dir())


class Browser:
    """A button, and the panel it opens.

    Parameters
    ----------
    current
        Gives the path to begin at.
    choose
        Is told the chosen folder.
    """

    def __init__(self, current: Callable[[], str], choose: Callable[[str], None]):
        self.current, self.choose = current, choose
        self.folder = Path()
        self.button = widgets.Button(description="Browse", layout=widgets.Layout(width="70px"))
        self.button.on_click(self._open)
        self.title = widgets.HTML()
        self.list = widgets.Select(
            options=[], rows=8, description="folders", layout=widgets.Layout(width="98%"),
            style={"description_width": "60px"},
        )  # fmt: skip
        self.up = widgets.Button(description="Up", icon="arrow-up")
        self.enter = widgets.Button(description="Open", icon="folder-open")
        self.take = widgets.Button(icon="check", button_style="primary")
        self.close = widgets.Button(description="Cancel")
        for button in (self.up, self.enter, self.take, self.close):
            button.layout.width = "auto"
        self.list.observe(lambda _: self._name(), "value")
        self.up.on_click(lambda _: self.show(self.folder.parent))
        self.enter.on_click(lambda _: self.show(self.list.value))
        self.take.on_click(self._take)
        self.close.on_click(lambda _: self._hide())
        buttons = widgets.HBox([self.up, self.enter, self.take, self.close])
        self.panel = widgets.VBox(
            [self.title, self.list, buttons],
            layout=widgets.Layout(display="none", margin="2px 0 8px 60px", max_width="680px"),
        )

    def show(self, folder: Path | None) -> None:
        """Show what lies in `folder`; None stays where it is."""
        self.folder = folder or self.folder
        where = html.escape(str(self.folder))
        self.title.value = f"<b>{where}</b> ({images_text(self.folder)} here)"
        self.list.options = subfolders(self.folder)
        self.list.index = None
        self.up.disabled = self.folder.parent == self.folder
        self.panel.layout.display = "flex"
        self._name()

    @property
    def pointed_at(self) -> Path:
        """The folder marked in the list, else the one that is shown."""
        return self.list.value or self.folder

    def _name(self) -> None:
        self.enter.disabled = self.list.value is None
        self.take.description = f"Use {self.pointed_at.name or self.pointed_at}"

    def _open(self, _: Any) -> None:
        if self.panel.layout.display == "none":
            self.show(nearest(self.current()))
        else:
            self._hide()

    def _take(self, _: Any) -> None:
        self._hide()
        self.choose(str(self.pointed_at))

    def _hide(self) -> None:
        self.panel.layout.display = "none"

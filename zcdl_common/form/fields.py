"""One parameter as a row of the form: its label, its field, and what there is to say about it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from pydantic.fields import FieldInfo

from zcdl_common.config import Config
from zcdl_common.errors import ConfigError
from zcdl_common.form.browser import Browser
from zcdl_common.parameter import choices_of, clean_path, value_text

LABEL_WIDTH, WIDTH, PATH_WIDTH, WIDE = "225px", "475px", "560px", "640px"

Planned = Mapping[str, tuple[Any, str]]
"""Automatic value of a parameter, and its reason."""


def is_folder(field: FieldInfo) -> bool:
    """Whether a parameter names a folder or file."""
    return any(getattr(mark, "func", None) is clean_path for mark in field.metadata)


class Field:
    """A row of the form that keeps one entry of `params` right.

    Parameters
    ----------
    params
        Changed in place; a value that cannot be used never gets there.
    label
        What stands before the field.
    planned
        Automatic value and its reason, where they are known.
    options
        ``(text, value)`` pairs where the values are few and known.
    changed
        Called after an edit that was taken.
    """

    def __init__(
        self,
        config: type[Config],
        name: str,
        params: dict[str, Any],
        label: str,
        planned: tuple[Any, str] | None,
        options: list[tuple[str, Any]],
        changed: Callable[[], None],
    ):
        self.config, self.name, self.params, self.planned = config, name, params, planned
        self.field = config.model_fields[name]
        self.changed = changed
        # takes the rest of the row, and the next line where that is too narrow to read
        self.note = widgets.HTML(layout=widgets.Layout(flex="1 1 210px", min_width="0", margin="2px 8px"))
        self.input = self._input(label, options or [(str(c), c) for c in choices_of(self.field)])
        # ipywidgets 7 knows the one, 8 the other
        setattr(
            self.input, "tooltip" if self.input.has_trait("tooltip") else "description_tooltip", self.help
        )
        self.refresh()
        self.input.observe(self._edited, "value")
        self.widget = self._row()

    @property
    def help(self) -> str:
        """What the parameter does."""
        return " ".join((self.field.description or "").split())

    @property
    def is_changed(self) -> bool:
        """Whether the value is another than the default."""
        return bool(self._value() != self.field.default)

    def refresh(self) -> None:
        """Show what `params` holds, after it was changed from elsewhere."""
        self._quiet = True
        value = self._value()
        options = getattr(self.input, "options", None)
        if options is not None and value not in [v for _, v in options]:
            self.input.options = (*options, (str(value), value))
        is_text = isinstance(self.input, widgets.Text)
        self.input.value = value_text(value) if is_text else value
        self._quiet = False
        self._say()

    def _value(self) -> Any:
        return getattr(self.config.parse({k: v for k, v in self.params.items() if k == self.name}), self.name)

    def _input(self, label: str, options: list[tuple[str, Any]]) -> Any:
        shape: dict[str, Any] = {
            "style": {"description_width": LABEL_WIDTH},
            "layout": widgets.Layout(width=PATH_WIDTH if is_folder(self.field) else WIDTH),
        }
        if options:
            longest = max(len(text) for text, _ in options)
            shape["layout"].width = WIDE if longest > 40 else WIDTH
            return widgets.Dropdown(description=label, options=options, value=options[0][1], **shape)
        if self.field.annotation is bool:
            return widgets.Checkbox(description=label, **shape)
        return widgets.Text(description=label, placeholder=self._empty(), continuous_update=False, **shape)

    def _empty(self) -> str:
        """What an empty field means; help texts end with "empty: no limit." where that needs saying."""
        if self.planned is not None:
            return f"automatic: {value_text(self.planned[0])}"
        if self.field.default not in (None, ""):
            return value_text(self.field.default)
        meaning = re.search(r"empty: (.+?)\.?$", self.help)
        return meaning[1] if meaning else ""

    def _row(self) -> Any:
        parts = [self.input, self.note]
        below = []
        if is_folder(self.field):
            browser = Browser(lambda: self.input.value, self._chosen)
            parts, below = [self.input, browser.button, self.note], [browser.panel]
        row = widgets.HBox(parts, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        return widgets.VBox([row, *below])

    def _chosen(self, path: str) -> None:
        self.input.value = path

    def _edited(self, change: Any) -> None:
        if self._quiet:
            return
        value = change["new"]
        empty = isinstance(value, str) and not value.strip()
        rest = {k: v for k, v in self.params.items() if k != self.name}
        try:
            config = self.config.parse(rest if empty else {**rest, self.name: value})
        except ConfigError as error:
            self._say(str(error).partition("\n")[2].strip().removeprefix("- "))
            return
        self.params.pop(self.name, None)
        if not empty:
            self.params[self.name] = getattr(config, self.name)
        self.refresh()
        self.changed()

    def _say(self, problem: str = "") -> None:
        """Beside the field: what is wrong, else the automatic value and its reason, else the help."""
        # opacity rather than a grey of its own: right in light and dark themes
        text, style = self.help, "opacity:.75"
        if problem:
            kept = value_text(self._value())
            text = f"{problem}. Still used: {kept or self._empty() or 'nothing'}."
            style = "color:var(--jp-error-color1,#b3261e);font-weight:bold"
        elif self.planned is not None and self._value() is None:
            text = f"automatic: {value_text(self.planned[0])}, {self.planned[1]}"
        sign, role = ("&#9888; ", ' role="alert"') if problem else ("", "")
        self.note.value = f'<div{role} style="line-height:1.35;{style}">{sign}{html.escape(text)}</div>'

"""The fields of some sections, the settings of before, and the same as a command."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from zcdl_common import datasets, drafts, networks
from zcdl_common.config import Config
from zcdl_common.form.fields import Field, Planned
from zcdl_common.form.words import command_line
from zcdl_common.parameter import Section, facts_of, value_text

AT_MOST = 8
"""Fields of a section that are not folded away."""

HEADINGS: dict[Section, str] = {
    "images": "Your images",
    "settings": "Training",
    "augmentation": "Augmentation",
    "weights": "Starting weights",
    "training": "End and repetition",
    "use": "New images",
    "export": "Package",
}


class Form:
    """Parameters as fields; `params` always holds values that can be used.

    Parameters
    ----------
    config
        The network's parameters.
    params
        Changed in place as fields are edited.
    sections
        Sections of parameters to show.
    planned
        Automatic value and its reason, by name.
    """

    def __init__(
        self, config: type[Config], params: dict[str, Any], sections: tuple[Section, ...], planned: Planned
    ):
        self.config, self.params = config, params
        self.results = str(params.get("results") or "")
        self.message = widgets.HTML()
        self.command = widgets.HTML()
        self.fields: dict[str, Field] = {}
        self.folded: list[str] = []
        visible: list[Any] = []
        folded: list[Any] = []
        for section in sections:
            names = list(config.fields(section))
            shown = [n for n in names if not facts_of(config.model_fields[n])["more"]][:AT_MOST]
            for name in names:
                self.fields[name] = Field(
                    config, name, params, _label(config, name), planned.get(name), _options(config, name),
                    self._edited,
                )  # fmt: skip
            rest = [n for n in names if n not in shown]
            visible += self._block(HEADINGS[section], shown)
            folded += self._block(HEADINGS[section] if len(sections) > 1 else "", rest)
            self.folded += rest
        self.more = widgets.Accordion(children=[widgets.VBox(folded)])
        self.more.selected_index = None
        self.widget = widgets.VBox(
            [
                *(self._offers() if "images" in sections else []),
                self.message,
                *visible,
                *([self.more] if self.folded else []),
                self.command,
            ]
        )
        self._update()

    def show(self) -> None:
        """Display the form in the running cell."""
        from IPython.display import display

        display(self.widget)

    def _block(self, heading: str, names: list[str]) -> list[Any]:
        if not names:
            return []
        title = widgets.HTML(f'<b style="font-size:110%">{html.escape(heading)}</b>')
        return [*([title] if heading else []), *(self.fields[name].widget for name in names)]

    def _offers(self) -> list[Any]:
        rows = []
        for offer in drafts.offers(self.config, self.params):
            button = widgets.Button(
                description=offer.text[0].upper() + offer.text[1:], icon="history",
                layout=widgets.Layout(width="auto"),
            )  # fmt: skip
            button.on_click(lambda _, offer=offer: self._take(offer))
            note = widgets.HTML(f'<span style="opacity:.75">{html.escape(_about(self.config, offer))}</span>')
            rows.append(
                widgets.HBox(
                    [button, note], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
                )
            )
        return rows

    def _take(self, offer: drafts.Offer) -> None:
        self.params.clear()
        self.params.update(offer.params)
        for field in self.fields.values():
            field.refresh()
        self.message.value = (
            f"<b>&#10003; {html.escape(offer.text)}</b>: done. Now run the cells below, "
            "also those that were run before."
        )
        self._edited()

    def _edited(self) -> None:
        try:
            drafts.save(self.config, self.params, self.results)
        except OSError as error:  # the edit itself counts; only the copy for the next session is missing
            self.message.value = html.escape(
                f"What you type is used, but could not be kept for the next time: {error}."
            )
        self._update()

    def _update(self) -> None:
        changed = sum(self.fields[name].is_changed for name in self.folded)
        self.more.set_title(0, f"More settings ({changed} changed)" if changed else "More settings")
        line = html.escape(command_line(self.config, self.params))
        self.command.value = (
            '<div style="margin-top:6px;line-height:1.4;max-width:60em">'
            '<span style="opacity:.75">The same without a notebook, in a terminal:</span><br>'
            f'<code style="overflow-wrap:anywhere;white-space:pre-wrap">{line}</code></div>'
        )


def _about(config: type[Config], offer: drafts.Offer) -> str:
    """What an offer brings."""
    if not offer.changes:
        return "its images and settings; training goes on where it stopped"
    shown = [
        f"{_label(config, name)} = {value_text(offer.params.get(name)) or 'empty'}"
        for name in offer.changes[:4]
    ]
    more = len(offer.changes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _label(config: type[Config], name: str) -> str:
    """The label of a parameter, in the words of the task where it names its images."""
    task = networks.get(config.network).task
    own = {
        "source": task.source_label,
        "target": task.target_label,
        "test_source": f"{task.source_label} for the test",
        "test_target": f"{task.target_label} for the test",
    }
    return str(own.get(name) or facts_of(config.model_fields[name])["label"])


def _options(config: type[Config], name: str) -> list[tuple[str, Any]]:
    """Example data sets of this network; other parameters are typed or have choices of their own."""
    if name != "dataset":
        return []
    rows = [row for row in datasets.table() if config.network in row["networks"].split(", ")]
    return [("none: my own images", ""), *((row["title"], row["name"]) for row in rows)]

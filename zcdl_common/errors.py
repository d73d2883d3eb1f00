"""Errors that a user can act on."""

import re


class UserError(Exception):
    """What was found, why it cannot work, and what to do instead.

    A notebook shows the message alone: a stack trace helps nobody who has named the wrong folder.
    IPython asks an exception for ``_render_traceback_`` before it formats one itself.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"\n{type(self).__name__}: {self}\n"]


class ConfigError(UserError):
    """A parameter is unknown, mistyped or impossible."""


class DataError(UserError):
    """Images or annotations cannot be used as they are."""


class RunError(UserError):
    """A run folder lacks what is asked of it, or is in use for something else."""


class ExportError(UserError):
    """A package would not open elsewhere."""


def as_options(text: str) -> str:
    """Advice to set parameters, as it is typed on the command line: ``--set axes=TYX``."""
    text = re.sub(r"\bset (\w+) = ([^\s,;]+?)(?=[.,;)]?(\s(?![\dx])|$))", r"add --set \1=\2", text)
    asked = re.search(r"Set the parameter (\w+) to:(\n  - .*)+", text)
    if not asked:
        return text
    lines = asked.group().split("\n  - ")
    listed = "\n  - ".join(
        ["Add to the command one of:", *(f"--set {asked[1]}={line}" for line in lines[1:])]
    )
    return text.replace(asked.group(), listed)

"""Errors that a user can act on."""


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

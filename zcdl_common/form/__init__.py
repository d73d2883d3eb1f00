"""The form of a notebook: parameters as fields that check what is typed."""

from zcdl_common.form.form import Form

__all__ = ["Form"]

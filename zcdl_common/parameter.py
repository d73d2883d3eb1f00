"""A parameter of a config: its declaration, the texts that people type, and what is said of wrong ones."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo

Section = Literal["images", "settings", "augmentation", "weights", "training", "use", "export"]


def setting(
    default: Any,
    *,
    section: Section,
    label: str,
    use: bool = False,
    more: bool = False,
    after: str = "",
    **limits: Any,
) -> Any:
    """Declare a parameter.

    ``use`` marks parameters that do not identify a training run (they may change afterwards);
    ``more`` folds the field under "More settings"; ``after`` names the parameter that it stands beside,
    where it is not to stand last. A default of None means automatic: the plan
    fills it from the data and says why.
    """
    extra: dict[str, Any] = {"section": section, "label": label, "use": use, "more": more, "after": after}
    return Field(default, json_schema_extra=extra, **limits)


def clean_path(value: Any) -> Any:
    """A path as people paste it: quotes, spaces around it and ``file://`` fall away."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        return value
    value = value.strip().removeprefix("file://")
    while len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    return value


def split_list(value: Any) -> Any:
    """``"256, 256"``, ``"256 x 256"`` and ``[256, 256]`` are one thing; "" means automatic."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        parts = [p for p in re.split(r"[\s,;x×()\[\]]+", value.strip()) if p]
        return tuple(parts) or None
    return value


def split_names(value: Any) -> Any:
    """Comma-separated names or numbers; names may hold spaces."""
    if isinstance(value, str):
        return tuple(p.strip() for p in value.split(",") if p.strip()) or None
    if isinstance(value, list | tuple):
        return tuple(str(v) for v in value) or None
    return (str(value),) if isinstance(value, int) else value


FolderText = Annotated[str, BeforeValidator(clean_path)]


def plain_name(value: str) -> str:
    """Refuse a name that would be a folder elsewhere, or that a system cannot write."""
    if value in (".", "..") or re.search(r'[/\\:*?"<>|]', value):
        raise ValueError("use letters, numbers, spaces, - and _, since a folder gets this name")
    return value


NameText = Annotated[str, AfterValidator(plain_name)]
Size = Annotated[int, Field(ge=1)]
IntTuple = Annotated[tuple[Size, ...], BeforeValidator(split_list)]
FloatTuple = Annotated[tuple[float, ...], BeforeValidator(split_list)]
Lengths = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(split_list)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]


def facts_of(field: FieldInfo) -> dict[str, Any]:
    """Section, label and marks of a parameter, as `setting` recorded them."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return extra


def value_text(value: Any) -> str:
    """A value as it stands in a field: ``128 x 128``, ``0.001``, ``dapi, actin``; None is empty."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        whole = all(isinstance(v, int) for v in value)
        return (" x " if whole else ", ").join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


_MESSAGES = {
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "int_type": "a whole number is needed",
    "float_parsing": "a number is needed, with a decimal point: 0.001",
    "float_type": "a number is needed",
    "bool_parsing": "true or false is needed",
    "bool_type": "true or false is needed",
    "string_type": "text is needed",
    "tuple_type": "a list of numbers such as 256, 256 is needed",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
}


def explain(cls: type[BaseModel], error: ValidationError) -> str:
    """Every wrong parameter in a line: what was found, and what would do."""
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        found = item.get("input")
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.6)
            hint = f"did you mean '{close[0]}'?" if close else "see the list in section 3"
            lines.append(f"{name}: no such parameter; {hint}")
            continue
        if item["type"] == "literal_error":
            choices = ", ".join(map(repr, choices_of(cls.model_fields[name])))
            reason = f"choose one of {choices}"
        elif item["type"] == "value_error":
            reason = str(item["ctx"]["error"])
        elif name == "patch_size":
            reason = (
                "two whole numbers above 0 are needed, for example 128, 128 (three for stacks: 16, 64, 64)"
            )
        else:
            reason = _MESSAGES.get(item["type"], item["msg"]).format(**item.get("ctx", {}))
        lines.append(f"{name} = {found!r}: {reason}" if name else reason)
    lines = list(dict.fromkeys(lines))
    noun = "parameter" if len(lines) == 1 else "parameters"
    return f"{len(lines)} {noun} cannot be used:\n" + "\n".join(f"  - {line}" for line in lines)


def choices_of(field: FieldInfo) -> tuple[Any, ...]:
    """What a ``Literal`` parameter may be; empty for others."""
    return get_args(field.annotation) if "Literal" in str(field.annotation) else ()

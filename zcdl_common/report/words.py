"""Numbers, sizes and enumerations as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from zcdl_common.plots import labels


def number(value: Any, digits: int = 3) -> str:
    """Return a score with three significant digits, an empty cell as a dash, mere rounding as 0."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return "–"
    return labels.number(value, digits) if math.isfinite(value) else "–"


def count(value: Any) -> str:
    """A number or size as people count: 27, not 27.0."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(stats: Any, write: Callable[[Any], str] = number) -> str:
    """``0.942 (0.921–0.957)`` from ``{"mean", "ci95"}``; a dash where there is nothing."""
    if not isinstance(stats, Mapping) or stats.get("mean") is None:
        return "–"
    low_high = stats.get("ci95")
    return write(stats["mean"]) + (f" ({'–'.join(map(write, low_high))})" if low_high else "")


def size(values: Iterable[Any]) -> str:
    """``(512, 512)`` as ``512 × 512``."""
    return " × ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def sizes(shapes: Sequence[Sequence[int]]) -> str:
    """Sizes of several images: the one they share, or the smallest and the largest."""
    different = sorted({tuple(shape) for shape in shapes}, key=lambda s: (math.prod(s), s))
    if len(different) < 2:
        return "".join(map(size, different))
    return f"{size(different[0])} to {size(different[-1])}"


def many(count: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 patches``."""
    return f"{count} {noun}" + ("" if count == 1 else "es" if noun.endswith("tch") else "s")


def enumerate_words(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def first_sentence(text: str) -> str:
    """Text up to the first full stop, without it; that of "et al." ends nothing."""
    return re.split(r"(?<!et al)\. ", text)[0].rstrip(".")


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``7 min`` or ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def value(item: Any) -> str:
    """Return a parameter's value: a size, yes or no, a number, a text; a dash where it is empty."""
    if item is None or item == "" or item == []:
        return "–"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, list | tuple):
        whole = all(isinstance(v, int) for v in item)
        return size(item) if whole else ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in item)
    return f"{item:g}" if isinstance(item, float) else str(item)


def sentence(text: str) -> str:
    """A note as a sentence: capital in front, full stop behind."""
    text = text.strip()
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""

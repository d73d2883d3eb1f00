"""README.md of a package."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zcdl_common.export.guide import table, where_it_opens
from zcdl_common.export.info import PackageInfo

VALIDATION = """Take some images that the model has not seen, annotate or measure them as in training, and
compare: the scores that were reported hold for images like the training images only."""


def write(info: PackageInfo, formats: Sequence[str]) -> str:
    """Title, what the user or report wrote, and what every package has to say.

    The zoo asks for a heading with the word "Validation"; one is added where it is missing.
    """
    parts = [f"# {info.name}", info.description, info.documentation.strip()]
    if not re.search(r"^#.*validation", info.documentation, re.IGNORECASE | re.MULTILINE):
        parts += ["## Validation", VALIDATION]
    parts += ["## Where it opens", table(where_it_opens(info, formats))]
    if info.pixel_size:
        sizes = " x ".join(f"{p:g}" for p in info.pixel_size)
        parts += [
            "## Pixel size",
            f"{sizes} micrometer ({', '.join(info.axis_names)}) in the training images; "
            "bring other images to this size first.",
        ]
    if info.cite:
        parts += ["## How to cite", "\n".join(f"- {text.rstrip('.')}, doi:{doi}" for text, doi in info.cite)]
    parts += ["## Licence", info.licence]
    return "\n\n".join(part for part in parts if part) + "\n"

"""Checks of the classes of boxes: misspelt, unknown, rare, without names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations

from zcdl_common.boxes import Boxes
from zcdl_common.doctor.findings import Finding

_RARE_SHARE, _RARE_COUNT = 0.05, 10

_Drawn = Sequence[tuple[str, Boxes]]
"""Files, and the boxes in them."""


def check_classes(train: _Drawn, test: _Drawn) -> Iterator[Finding]:
    """Classes of training and test images that are misspelt, unknown, rare, or have no names."""
    counts = Counter(name for _, boxes in train for name in boxes.classes)
    tested = Counter(name for _, boxes in test for name in boxes.classes)
    everything = counts + tested
    for one, other in combinations(sorted(everything, key=lambda name: -everything[name]), 2):
        if alike(one, other):
            yield Finding(
                "warning",
                "similar-class-names",
                _of_class([*train, *test], other),
                f"'{other}' ({everything[other]} boxes) and '{one}' ({everything[one]} boxes) count as two "
                "classes: is it one, written in two ways?",
                "If it is one class, replace the name in these files (in a text editor, or in the annotation "
                "program).",
            )
    for name in [name for name in tested if counts and name not in counts]:
        yield Finding(
            "warning",
            "unknown-class",
            _of_class(test, name),
            f"the test images show '{name}' ({tested[name]} boxes), the training images never; they know "
            f"{', '.join(map(repr, counts))}. The network cannot find what it has not seen.",
            "Correct the name, add training images that show this class, or take these boxes out.",
        )
    if everything and all(name.isdecimal() for name in everything):
        yield Finding(
            "note",
            "classes-without-names",
            (),
            f"the classes have numbers ({', '.join(sorted(everything, key=int)[:8])}) and no names.",
            "Write their names into a file classes.txt beside the annotations, a line each, class 0 first.",
        )
    yield from _rare(train, counts)


def _rare(train: _Drawn, counts: Counter[str]) -> Iterator[Finding]:
    total = sum(counts.values())
    for name, number in counts.items():
        if number >= _RARE_COUNT and number >= _RARE_SHARE * total:
            continue
        yield Finding(
            "warning",
            "rare-class",
            _of_class(train, name),
            f"'{name}' has {number} of {total} boxes ({number / total:.1%}): too few to learn it well, and "
            "its score will say little.",
            "Add images that show this class, or give it and a similar one the same name.",
        )


def alike(one: str, other: str) -> bool:
    """Whether two names may be one: but for capitals and blanks, or but for one letter inside.

    Numbers (stage 1, stage 2) and what stands first (typical, atypical) tell classes apart.
    """
    a, b = (re.sub(r"[\s_]+|(?<=\w)-(?=\w)", "", name.casefold()) for name in (one, other))
    if a == b:
        return True
    if min(len(a), len(b)) < 4 or a[0] != b[0]:
        return False
    changes = [c for c in SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if c[0] != "equal"]
    if len(changes) > 1:
        return False
    _, i, j, k, m = changes[0]
    return max(j - i, m - k) == 1 and (a[i:j] + b[k:m]).isalpha()


def _of_class(drawn: _Drawn, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file for file, boxes in drawn if name in boxes.classes))

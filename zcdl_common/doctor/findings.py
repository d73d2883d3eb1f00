"""What the doctor says: one finding, and the report of a whole data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Repair = Literal[
    "grey from equal channels",
    "numbers from colours",
    "number the objects",
    "number the larger pieces and remove the specks",
    "two values",
    "fill missing values",
    "enlarge to the size of its partner",
    "remove boxes without area",
    "cut boxes at the border of the image",
    "remove repeated boxes",
]
"""What `repair` can do to a copy of a file."""

ORDER: tuple[Severity, ...] = ("error", "warning", "note")
_HEADINGS = {"error": "MUST BE SOLVED BEFORE TRAINING", "warning": "PLEASE LOOK AT", "note": "GOOD TO KNOW"}
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing about some files that a user should know."""

    severity: Severity
    code: str
    """Short name in words joined by hyphens; doubles as the heading: "different-sizes"."""
    files: tuple[str, ...]
    """Full paths; empty where the finding is about the set as a whole."""
    reason: str
    """What was found and why it matters."""
    remedy: str
    """What to do."""
    repair: Repair | None = None
    """What `repair` would do about it."""

    @property
    def title(self) -> str:
        return self.code.replace("-", " ").capitalize()


@dataclass(frozen=True)
class Report:
    """Findings of a data set and one row of facts an image."""

    findings: tuple[Finding, ...] = ()
    table: tuple[Mapping[str, Any], ...] = ()
    """A row for each image that was read: name, role, size, channels, type, range, target."""
    total: int = 0
    """Images in the data set; more than rows in the table where only some were read."""
    folders: tuple[str, ...] = ()
    """Where equal names lie in several folders (`namesakes`); findings then tell the folder with the name."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings with which training cannot start."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        return self._of("note")

    @property
    def repairable(self) -> tuple[Finding, ...]:
        """Findings that `repair` can mend in a copy."""
        return tuple(f for f in self.findings if f.repair)

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == severity)

    def _common_folder(self) -> str:
        files = [f for finding in self.findings for f in finding.files]
        return common_folder([*files, *(os.path.join(folder, "") for folder in self.folders)])

    def groups(self) -> list[list[Finding]]:
        """Findings of one kind together, the gravest first."""
        ordered = sorted(self.findings, key=_kind)
        return [list(group) for _, group in groupby(ordered, _kind)]

    def rows(self) -> list[dict[str, str]]:
        """One row for each kind of finding, for display as a table."""
        folder = self._common_folder()
        return [
            {
                "severity": group[0].severity,
                "finding": group[0].title,
                "files": some(_files(group), folder),
                "reason": group[0].reason,
                "what to do": group[0].remedy,
                "repair": group[0].repair or "",
            }
            for group in self.groups()
        ]

    def text(self) -> str:
        """The report in words, the gravest findings first."""
        folder = self._common_folder()
        lines = [self.summary()]
        for severity, groups in groupby(self.groups(), lambda g: g[0].severity):
            lines += ["", _HEADINGS[severity]]
            for group in groups:
                lines += _paragraph(group, folder)
        if self.repairable:
            lines += [
                "",
                "nb.repair() in a new cell of the notebook writes mended copies into the results folder; "
                "your own files stay as they are.",
            ]
        return "\n".join(lines)

    def summary(self) -> str:
        """How many images were read and what was found, in one line."""
        read = len(self.table)
        images = counted(read, "image") if read >= self.total else f"{read} of {self.total} images"
        if not self.findings:
            return f"{images} read: nothing to complain about."
        nouns = {"error": "problem", "warning": "warning", "note": "note"}
        counts = [
            counted(sum(g[0].severity == s for g in self.groups()), nouns[s]) for s in ORDER if self._of(s)
        ]
        return f"{images} read: {', '.join(counts)}."


def counted(number: int, noun: str) -> str:
    """``counted(2, "image")`` is "2 images"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size_text(shape: Sequence[int]) -> str:
    """``(51, 128, 128)`` is "51 x 128 x 128"."""
    return " x ".join(str(int(n)) for n in shape)


def common_folder(files: Iterable[str]) -> str:
    """The folder that all `files` share; "" where they share none."""
    parents = {os.path.dirname(f) for f in files}
    try:
        return os.path.commonpath(parents) if parents else ""
    except ValueError:  # several drives of Windows, or absolute among relative paths
        return ""


def namesakes(files: Iterable[str]) -> tuple[str, ...]:
    """The folders of `files` where a name alone does not tell which file is meant; else none."""
    paths = {os.path.split(f) for f in files}
    ambiguous = len({name for _, name in paths}) < len(paths)
    return tuple(sorted({folder for folder, _ in paths})) if ambiguous else ()


def short(file: str, folder: str) -> str:
    """`file` as seen from `folder`."""
    return os.path.relpath(file, folder) if folder else file


def some(files: Sequence[str], folder: str = "") -> str:
    """The first names and how many more there are."""
    names = ", ".join(short(f, folder) for f in files[:_SHOWN])
    return names + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")


def _names(findings: Sequence[Finding], folder: str) -> str:
    """First names; two files of one finding belong together and stay so."""
    if all(len(f.files) == 2 for f in findings):
        pairs = [" and ".join(short(file, folder) for file in f.files) for f in findings]
        rest = f"; {len(pairs) - _SHOWN} more such pairs" if len(pairs) > _SHOWN else ""
        return "; ".join(pairs[:_SHOWN]) + rest
    return some(_files(findings), folder)


def _kind(finding: Finding) -> tuple[int, str, str]:
    return ORDER.index(finding.severity), finding.code, finding.remedy


def _files(group: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(f for finding in group for f in finding.files))


def _paragraph(group: Sequence[Finding], folder: str) -> list[str]:
    by_reason: dict[str, list[Finding]] = {}
    for finding in group:
        by_reason.setdefault(finding.reason, []).append(finding)
    files = _files(group)
    count = f" ({counted(len(files), 'file')})" if files else ""
    lines = [f"- {group[0].title}{count}"]
    for reason, findings in list(by_reason.items())[:_SHOWN]:
        names = _names(findings, folder)
        lines.append(f"    {names}: {reason}" if names else f"    {reason}")
    if len(by_reason) > _SHOWN:
        rest = [f for findings in list(by_reason.values())[_SHOWN:] for f in findings]
        lines.append(f"    and {counted(len(_files(rest)), 'more file')} of this kind")
    lines.append(f"    What to do: {group[0].remedy}")
    if group[0].repair:
        lines.append(f"    nb.repair() in the notebook can do this: {group[0].repair}.")
    return lines

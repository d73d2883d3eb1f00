"""The last sections: predictions, exported packages, versions, citations."""

from __future__ import annotations

from pathlib import PurePosixPath

from zcdl_common.citations import cite
from zcdl_common.report import words
from zcdl_common.report.blocks import Block, Heading, Listing, Note, Table, Text
from zcdl_common.report.methods import references
from zcdl_common.report.record import Record

MOST_FILES = 10


def outcome(record: Record) -> list[Block]:
    """What came out of the run, and with which software."""
    return [*_predictions(record), *_export(record), *_versions(record), *_citations(record)]


def _predictions(record: Record) -> list[Block]:
    blocks: list[Block] = [Heading("Predictions")]
    if not record.predictions:
        text = "The network has not been used on new images yet. Run section 7 (Use on new images)."
        return [*blocks, Note(text, "todo", "Still missing")]
    images = record.predicted
    folders = sorted({str(PurePosixPath(name).parent) for name in images})
    where = words.enumerate_words(folders[:3]) + (" and others" if len(folders) > 3 else "")
    blocks.append(
        Text(f"{words.many(len(images), 'image')} in {where}, each with the files that belong to it:")
    )
    blocks.append(Listing(tuple(", ".join(files) for files in list(images.values())[:MOST_FILES])))
    more = f"{len(images) - MOST_FILES} more are in the folder."
    return blocks + ([Text(more, small=True)] if len(images) > MOST_FILES else [])


def _export(record: Record) -> list[Block]:
    blocks: list[Block] = [Heading("Export")]
    if not record.exports:
        text = (
            "The model has not been exported for Fiji, ilastik or the BioImage Model Zoo yet. "
            "Run section 8 (Export)."
        )
        return [*blocks, Note(text, "todo", "Still missing")]
    licence = record.config.get("model_licence")
    authors = record.config.get("authors")
    about = [
        f"Licence of the model: {licence}." if licence else "",
        f"Authors: {', '.join(authors)}." if authors else "",
    ]
    package = f"BioImage Model Zoo package: {words.enumerate_words(record.exports)}."
    return [*blocks, Text(" ".join(filter(None, (package, *about))))]


def _versions(record: Record) -> list[Block]:
    if not record.environment:
        return []
    pairs = list(record.environment.items())
    half = -(-len(pairs) // 2)  # two columns of pairs: half as long
    right = [*pairs[half:], *[("", "")] * (2 * half - len(pairs))]
    rows = tuple((*left, *other) for left, other in zip(pairs[:half], right, strict=True))
    return [
        Heading("Versions"),
        Table(("Name", "Value", "Name", "Value"), rows, "", (0.22, 0.28, 0.22, 0.28)),
    ]


def _citations(record: Record) -> list[Block]:
    return [Heading("Citations"), Listing(tuple(map(cite, references(record))), numbered=True)]

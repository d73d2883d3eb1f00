"""The first sections: the answer, what was done, methods, data, settings, training."""

from __future__ import annotations

from collections.abc import Mapping

from zcdl_common.plots.labels import metric_label
from zcdl_common.report import words
from zcdl_common.report.blocks import MOST_ROWS, Block, Heading, Note, Table, Text
from zcdl_common.report.material import section_labels
from zcdl_common.report.methods import methods, references
from zcdl_common.report.pictures import from_figure, from_file
from zcdl_common.report.record import Record, how_many
from zcdl_common.report.training import best_row

VERDICTS = {
    "better": "Better than the classical method",
    "worse": "Worse than the classical method",
    "same": "As good as the classical method",
    "unclear": "Too few images to tell",
}

STEPS = {
    "images": ("Your images", "section 2"),
    "settings": ("Settings", "section 3"),
    "training": ("Training", "section 5"),
    "judged": ("Quality control", "section 6"),
    "used": ("Use on new images", "section 7"),
    "exported": ("Export", "section 8"),
}


def overview(record: Record) -> list[Block]:
    """Everything up to the training curves."""
    sections = (_head, _done, _methods, _data, _settings, _training)
    return [block for section in sections for block in section(record)]


def _head(record: Record) -> list[Block]:
    summary = record.summary
    subtitle = f"{record.title} · {record.environment.get('date', 'date not recorded')}"
    blocks: list[Block] = [Heading(record.folder.name, 1), Text(subtitle, small=True)]
    if record.plan.get("example"):
        what = str(record.plan["example"])
        blocks.append(
            Note(
                f"This run was trained on example data ({what}), not on your images.",
                "warning",
                "Example data",
            )
        )
    if summary.get("sentence"):
        unknown = "Not compared" if summary.get("primary") else "Looked at without a truth"
        label = VERDICTS.get(str(summary.get("verdict")), unknown)
        label = "Nothing found" if summary.get("found_nothing") else label
        blocks.append(Note(str(summary["sentence"]), "verdict", label))
        if summary.get("epochs", len(record.losses)) != len(record.losses):
            text = (
                f"These scores are of the network after {summary['epochs']} epochs; it was trained on since. "
                "Run section 6 (Quality control) again."
            )
            blocks.append(Note(text, "warning", "Outdated"))
    elif record.losses:
        text = (
            "The network is trained, but nobody knows yet whether it is any good. "
            "Run section 6 (Quality control)."
        )
        blocks.append(Note(text, "verdict", "Not judged yet"))
    else:
        blocks.append(
            Note("The network has not been trained yet. Run section 5 (Train).", "verdict", "Not trained yet")
        )
    if record.unreadable:
        files = ", ".join(record.unreadable)
        text = f"These files could not be read and are left out: {files}. The report shows everything else."
        blocks.append(Note(text, "warning", "Unreadable"))
    return blocks


def _done(record: Record) -> list[Block]:
    states = {
        "images": _counts(record),
        "settings": _chosen(record),
        "training": _trained(record),
        "judged": _judged(record),
        "used": words.many(len(record.predicted), "image") + " predicted" if record.predicted else "",
        "exported": ", ".join(name.removeprefix("export/") for name in record.exports),
    }
    rows = tuple(
        (f"{'✓' if states[step] else '○'} {title}", states[step] or f"still missing: run {section}")
        for step, (title, section) in STEPS.items()
    )
    return [Heading("What was done"), Table(("Step", "Result"), rows, widths=(0.3, 0.7))]


def _counts(record: Record) -> str:
    roles = [(role, record.role(role)) for role in ("train", "validation", "test")]
    return ", ".join(f"{how_many(rows)} {role}" for role, rows in roles if rows) + (
        f" {record.unit}s" if record.data else ""
    )


def _chosen(record: Record) -> str:
    if not record.plan and not record.config:
        return ""
    reasons = len(record.plan.get("reasons") or {})
    return f"{words.many(reasons, 'value')} chosen from your images" if reasons else "chosen"


def _trained(record: Record) -> str:
    planned, count = record.config.get("epochs"), len(record.losses)
    if not count:
        return ""
    if planned and count < planned:
        return f"{count} of {planned} epochs"
    return words.many(count, "epoch")


def _judged(record: Record) -> str:
    if not record.summary:
        return ""
    key = str(record.summary.get("primary") or "")
    stats = (record.summary.get("metrics") or {}).get(key) or {}
    count = record.tested
    return f"{count}, {metric_label(key)} {words.with_interval(stats.get('network'))}" if stats else count


def _methods(record: Record) -> list[Block]:
    if not record.losses:
        text = "This text is written once the network is trained. Run section 5 (Train)."
        return [Heading("Methods, ready to paste"), Note(text, "todo", "Still missing")]
    known = f"Numbers in brackets refer to the citations at the end (1 to {len(references(record))})."
    drawn = record.network is None or record.network.task.drawn
    add = (
        "This text knows only the computer's part. Add what it cannot know: sample, staining, microscope, "
        f"objective, exposure{', and who annotated how' if drawn else ''}. {known}"
    )
    return [Heading("Methods, ready to paste"), *map(Text, methods(record)), Text(add, small=True)]


def _data(record: Record) -> list[Block]:
    blocks: list[Block] = [Heading("Data")]
    if not record.data:
        return [
            *blocks,
            Note("No images have been chosen yet. Run section 2 (Your images).", "todo", "Still missing"),
        ]
    split = str(record.plan.get("split") or "")
    if split:
        blocks.append(Text(split))
    rows = tuple(
        (
            row.get("name", ""),
            row.get("role", ""),
            row.get("shape", "").replace("x", "×"),
            row.get("dtype", ""),
            row.get("pixel_size", "").replace("x", "×") or "–",
            row.get("sha256", "")[:10] or "–",
        )
        for row in record.data[:MOST_ROWS]
    )
    caption = _caption(
        "Images and their roles; the last column begins the SHA-256 of the file.", record.data, "data.csv"
    )
    columns = ("Image", "Role", "Shape", "Type", "Pixel size (µm)", "SHA-256")
    blocks.append(Table(columns, rows, caption, (0.36, 0.12, 0.17, 0.09, 0.14, 0.12)))
    blocks += [from_file(record.figures[name]) for name in ("pairs",) if name in record.figures]
    return blocks


def _caption(text: str, rows: list[dict[str, str]], file: str) -> str:
    hidden = len(rows) - MOST_ROWS
    return f"{text} {hidden} more are listed in {file}." if hidden > 0 else text


def _settings(record: Record) -> list[Block]:
    reasons: Mapping[str, str] = record.plan.get("reasons") or {}
    rows = []
    for section in ("settings", "augmentation", "weights", "training"):
        for name, label in section_labels(record, section).items():
            if name in record.config and (record.config[name] not in (None, "") or name in reasons):
                rows.append((label, words.value(record.config[name]), str(reasons.get(name, ""))))
    blocks: list[Block] = [Heading("Settings")]
    if not rows:
        return [*blocks, Note("Nothing has been set yet. Run section 3 (Settings).", "todo", "Still missing")]
    caption = "A reason stands where the value was chosen from the data. All parameters are in config.yaml."
    blocks.append(Table(("Setting", "Value", "Why"), tuple(rows), caption, (0.3, 0.25, 0.45)))
    blocks += [from_file(record.figures[name]) for name in ("patches",) if name in record.figures]
    return blocks


def _training(record: Record) -> list[Block]:
    from zcdl_common.plots.curves import losses

    blocks: list[Block] = [Heading("Training")]
    if not record.losses:
        return [
            *blocks,
            Note("The network has not been trained yet. Run section 5 (Train).", "todo", "Still missing"),
        ]
    found = best_row(record)
    best = int(float(found[1]["epoch"])) if found else None
    count, last = words.many(len(record.losses), "epoch"), record.losses[-1]
    kept = f"best epoch: {best}" if best else "the last epoch is kept"
    alt = (
        f"Training and validation loss over {count}; at the end {words.number(last.get('loss'))} and "
        f"{words.number(last.get('val_loss'))}; {kept}."
    )
    caption = (
        "Both curves should fall and then level off together. A validation curve that rises while the "
        "training curve falls shows overfitting: more images or stronger augmentation help."
    )
    if record.network and record.network.curves:
        caption = record.network.curves
    picked = record.network is None or bool(record.network.best.key)
    return [*blocks, from_figure(losses(record.losses, best, picked=picked), caption, alt)]

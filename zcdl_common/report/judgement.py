"""The section on quality control: scores, pictures, worst images, and what they do not show."""

from __future__ import annotations

from typing import Any

from zcdl_common.network import BACK, DIRECTIONS
from zcdl_common.plots.comparison import METHODS
from zcdl_common.plots.labels import LESS_IS_BETTER, NO_MERIT, better, metric_label
from zcdl_common.report import words
from zcdl_common.report.blocks import MOST_ROWS, Block, Heading, Listing, Note, Table, Text
from zcdl_common.report.pictures import CAPTIONS, WITHOUT_TRUTH, from_figure, from_file
from zcdl_common.report.record import Record
from zcdl_common.report.terms import DEFINITIONS

DRAWN_HERE = frozenset({"scores", "losses", "live", "pairs", "patches"})
"""Figures that are drawn from the tables, or stand in another section."""


def judgement(record: Record) -> list[Block]:
    """Quality control, limits, and what to do next."""
    blocks: list[Block] = [Heading("Quality control")]
    if not record.summary and not record.metrics:
        text = "The network has not been tested yet. Run section 6 (Quality control)."
        return [*blocks, Note(text, "todo", "Still missing")]
    blocks += _other_way(record)
    blocks += _means(record)
    blocks += _scores(record)
    order = {name: i for i, name in enumerate(("threshold_curve", "examples", "worst"))}
    names = sorted(set(record.figures) - DRAWN_HERE, key=lambda name: (order.get(name, len(order)), name))
    blocks += [from_file(record.figures[name], _caption(name, record)) for name in names]
    blocks += _images(record)
    blocks += [Heading("Limits"), Listing(tuple(_limits(record)))]
    advice = tuple(str(sentence) for sentence in record.summary.get("next") or ())
    return blocks + ([Heading("What next?"), Listing(advice)] if advice else [])


def _other_way(record: Record) -> list[Block]:
    """Say where one of two directions has not been judged."""
    if not record.network or not record.network.facing:
        return []
    back = record.control.endswith(f"/{BACK}")
    other = "quality_control" if back else f"quality_control/{BACK}"
    if (record.folder / other / "summary.json").is_file():
        return []
    direction = DIRECTIONS["source" if back else "target"]
    text = (
        f"The other direction has not been judged. Set direction = {direction} and judge it in section 6; "
        f"its results go to {other}."
    )
    return [Note(text, "todo", "Still missing")]


def _means(record: Record) -> list[Block]:
    metrics, primary = record.summary.get("metrics") or {}, record.summary.get("primary")
    keys = sorted((key for key in metrics if not _repeats(key, metrics)), key=lambda key: key != primary)
    if not keys:
        return []
    shown = [
        who for who in ("network", "classical", "input") if any((metrics[key] or {}).get(who) for key in keys)
    ]
    classical = str(record.summary.get("classical") or "classical method")
    titles = {
        "network": "Network",
        "classical": classical[:1].upper() + classical[1:],
        "input": "Untouched input",
    }
    rows = tuple(
        (
            metric_label(key) + (" (decides)" if key == primary else ""),
            better(key),
            *(words.with_interval((metrics[key] or {}).get(who), write) for who in shown),
        )
        for key in keys
        for write in [words.count if key in NO_MERIT else words.number]
    )
    caption = f"Means over {record.tested}"
    if any("(" in cell for row in rows for cell in row[2:]):
        caption += "; in brackets the 95 % interval (bootstrap over images)"
    columns = ("Score", "Better is", *(titles[who] for who in shown))
    widths = (0.27, 0.13, *[0.6 / max(1, len(shown))] * len(shown))
    table = Table(columns, rows, f"{caption}.", widths, tuple(range(2, 2 + len(shown))))
    how = str(record.summary.get("classical_description") or "")
    about = [Text(f"Classical method: {how}")] if how else []
    meanings = tuple(f"{metric_label(key)}: {DEFINITIONS[key]}" for key in keys if key in DEFINITIONS)
    return [table, *about, *([Listing(meanings)] if meanings else [])]


def _caption(name: str, record: Record) -> str:
    """Of a figure; "" where the usual one holds."""
    if name == "examples" and record.summary and not record.summary.get("primary"):
        return "Images as they are, and what the network and the classical method made of them."
    if name in WITHOUT_TRUTH and record.summary and not record.truth_known:
        return WITHOUT_TRUTH[name]
    if record.learned_from and name in CAPTIONS:
        return CAPTIONS[name].replace("Test images", "Images").replace("test images", "images")
    return ""


def _repeats(key: str, metrics: dict[str, Any]) -> bool:
    """Whether a score of one class says no more than the mean: there is but one foreground class."""
    family, _, value = key.rpartition("_")
    return value.isdigit() and family in metrics and metrics[family] == metrics[key]


def _scores(record: Record) -> list[Block]:
    from zcdl_common.plots.comparison import scores

    if not record.metrics:
        return []
    alt = "One dot an image and method; the means are in the table above."
    caption = (
        "Lines that rise towards the network (fall, where lower is better) are images on which it gained."
    )
    return [from_figure(scores(record.metrics, record.summary), caption, alt)]


def _images(record: Record) -> list[Block]:
    primary = str(record.summary.get("primary") or "")
    known = [key for key in record.metrics[0] if key != "image"] if record.metrics else []
    if not known:
        return []
    main = [prefix + primary for prefix in reversed(METHODS.values()) if prefix + primary in known]
    others = [key for key in known if key not in main and not key.startswith(("classical_", "input_"))]
    columns = (main + [key for key in others if not key.rpartition("_")[2].isdigit()])[:6]
    rows = sorted(record.metrics, key=lambda row: _badness(row, primary))
    titles = tuple(_title(key) for key in columns)
    cells = tuple(
        (row.get("image", ""), *(words.number(row.get(key)) for key in columns)) for row in rows[:MOST_ROWS]
    )
    hidden = len(rows) - MOST_ROWS
    more = f" The {hidden} others are listed in {record.control}/metrics.csv." if hidden > 0 else ""
    what = "Images" if record.learned_from else "Test images"
    caption = f"{what}{', the worst first' if primary else ''}.{more}"
    widths = (0.34, *[0.66 / len(columns)] * len(columns))
    return [
        Heading("Image by image", 3),
        Table(("Image", *titles), cells, caption, widths, tuple(range(1, len(columns) + 1))),
    ]


def _badness(row: dict[str, str], primary: str) -> float:
    """Sort key, the worst first, images without a score last."""
    try:
        score = float(row.get(primary, ""))
    except ValueError:
        return float("inf")
    if score != score:
        return float("inf")
    return -score if primary in LESS_IS_BETTER else score


def _title(key: str) -> str:
    for who, prefix in METHODS.items():
        if prefix and key.startswith(prefix):
            return f"{metric_label(key.removeprefix(prefix))}, {who}"
    return metric_label(key)


def _truth(record: Record) -> str:
    """What the scores take for the truth."""
    if not record.truth_known:
        return (
            "There is no truth to compare with: no score says whether a result shows what is in the sample."
        )
    if record.network is None or record.network.task.drawn:
        return "The annotations are taken for the truth; their mistakes count as mistakes of the network."
    return (
        "The target images are taken for the truth, with their noise; that, and any shift between the two "
        "images of a pair, counts as a mistake of the network."
    )


def _limits(record: Record) -> list[str]:
    summary, found = record.summary, []
    count = record.n_tested
    compared = summary.get("primary") or not summary
    if summary.get("verdict") == "unclear" or (compared and count < 6):
        found.append(f"{record.tested}: too few for a firm answer. At least six independent ones are needed.")
    if record.tested_unit == "strip":
        found.append(
            "All strips come from one field of view: they share its cells, its staining and its focus."
        )
    images = "images" if record.learned_from else "test images"
    found.append(
        f"The scores hold for images like these {images}: the same sample, staining, microscope and "
        "magnification. Score some images again after any change."
    )
    found.append(_truth(record))
    if not summary.get("classical"):
        found.append("The network was not compared with a classical method.")
    return found

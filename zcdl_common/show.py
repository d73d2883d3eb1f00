"""What a notebook shows: tables, figures and plain sentences; as text where there is no notebook."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common import places
from zcdl_common.boxes import Boxes
from zcdl_common.data import Data
from zcdl_common.display import figure, line, message, picture, table
from zcdl_common.fit import Listener
from zcdl_common.listeners import Lines, best_epoch, epochs_text
from zcdl_common.network import Network
from zcdl_common.parameter import value_text
from zcdl_common.report.pictures import CAPTIONS
from zcdl_common.run import Run
from zcdl_common.smlm.localisations import Localisations
from zcdl_common.task import Sample, resolve

if TYPE_CHECKING:
    from zcdl_common.doctor import Report
    from zcdl_common.predict import Written
    from zcdl_common.ready_made import Judged
    from zcdl_common.session import Prepared


def start(network: Network) -> None:
    """Title, device and memory; says so when a GPU lies idle."""
    import psutil

    from zcdl_common import __version__
    from zcdl_common.session import device_of

    memory = psutil.virtual_memory()
    text = f"{network.title}, zcdl_common {__version__}. Memory: {memory.available / 2**30:.0f} GB free."
    if device_of(network) == "gpu":
        message(text + f" A GPU is used ({network.backend}).", "good")
        return
    remedy = (
        "Choose Runtime > Change runtime type > T4 GPU, then run this cell again."
        if places.on_colab()
        else "If this computer has an NVIDIA GPU, install the GPU version of "
        + ("torch from pytorch.org." if network.backend == "torch" else "tensorflow: tensorflow[and-cuda].")
    )
    message(
        f"{text} No GPU is used: training runs on the CPU, often 10 to 50 times slower. {remedy}", "warning"
    )


def data(network: Network, found: Data) -> None:
    """Which image belongs to which target, and its role."""
    if found.example:
        message(f"Example data ({found.example}), not your images.", "warning")
    if found.imitated:
        table(_movies(network, found.imitated))
        line(found.split.note)
        return
    split = found.split
    rows: dict[str, list[dict[str, Any]]] = {"source": [], "target": []}
    labels = (network.task.source_label, network.task.target_label)
    for role in ("train", "validation", "test"):
        for sample in getattr(split, role):
            info = sample.source.info()
            target = sample.target.path.name if sample.target else ""
            names = [_named(sample.source), target]
            size = " x ".join(map(str, info.shape))
            rows[sample.domain].append(
                {
                    **dict(zip(labels, names if sample.domain == "source" else names[::-1], strict=True)),
                    "used for": role,
                    "size": size,
                    "axes": info.axes.replace("S", "C"),  # colours of one pixel are channels too
                    "channels": info.channels,
                    "pixel size (µm)": value_text(info.pixel_size) or "unknown",
                    "type": info.dtype,
                }
            )
    kinds = [kind for kind in rows.values() if kind]
    shown = [row for kind in kinds for row in kind[: 12 // len(kinds)]]
    if not any(row[network.task.target_label] for row in shown):
        shown = [{k: v for k, v in row.items() if k != network.task.target_label} for row in shown]
    table(shown)
    if rest := sum(map(len, kinds)) - len(shown):
        line(f"... and {rest} more")
    line(split.note)


def _movies(network: Network, frames: Sequence[Sample]) -> list[dict[str, Any]]:
    """A row a movie."""
    rows = []
    for _, group in groupby(frames, key=lambda sample: sample.source.path):
        movie = list(group)
        info, target = movie[0].source.info(), movie[0].target  # type: ignore[attr-defined]
        row: dict[str, Any] = {network.task.source_label: movie[0].source.path.name}
        row |= {network.task.target_label: target.path.name} if target else {}
        row |= {"frames": len(movie), "size": " x ".join(map(str, info.shape)), "channels": info.channels}
        rows.append(row | {"pixel size (µm)": value_text(info.pixel_size), "type": info.dtype})
    return rows


def _named(source: Any) -> str:
    """A file, and which frame of it."""
    frame = getattr(source, "frame", None)
    return source.path.name if frame is None else f"{source.path.name}, frame {frame}"


def findings(report: Report) -> None:
    """What the doctor found."""
    kind = "error" if report.errors else "warning" if report.warnings else "good"
    message(report.text(), kind)


def pairs(network: Network, found: Data) -> None:
    """Images with their targets drawn over them."""
    from zcdl_common import plots

    chosen, others = found.split.of("source").train[:4], found.split.of("target").train[:4]
    if not network.task.paired:  # either kind may have fewer
        chosen = chosen[: len(others)]
    info = chosen[0].source.info()  # type: ignore[attr-defined]
    sources = [sample.source.read() for sample in chosen]
    shown = [sample.target for sample in chosen] if network.task.paired else [s.source for s in others]
    targets = [target.read() if target else None for target in shown]
    targets = [one.yx if isinstance(one, Localisations) else one for one in targets]
    names = [sample.name for sample in chosen]
    draw = resolve(network.task.picture)
    boxes = [target for target in targets if isinstance(target, Boxes)]
    if boxes:  # by one list of names, so that colours mean the same everywhere
        draw = partial(draw, names=sorted({name for one in boxes for name in one.classes}))
    label = network.task.target_label if network.task.input_is_prediction else "with its target"
    figure(plots.pairs(sources, targets, names, draw=draw, pixel_size=info.pixel_size, label=label))


def measured(prepared: Prepared) -> None:
    """What the masks hold, and a voxel size that is not known: both decide how the network learns."""
    facts = prepared.facts
    if facts.classes:
        shares = facts.extra.get("class_shares", {})
        values = [f"{c} ({100 * shares[c]:.3g} % of the pixels)" for c in facts.classes if c in shares]
        numbered = facts.extra.get("masks_are") == "objects"
        line(
            f"Classes in the masks, background first: {', '.join(values)}."
            + (" Each number in a mask was taken for one object, all of one class (1)." * numbered)
            + " If that is not what the numbers mean, set masks_are in section 2."
        )
    if facts.ndim == 3 and facts.pixel_size is None:
        message(
            "The size of a voxel is not known, or differs from stack to stack: Z is treated like Y and X. If "
            "the planes lie further apart than the pixels, set pixel_size (Z, Y, X) in section 2.",
            "warning",
        )


def plan(prepared: Prepared) -> None:
    """Values that were filled in, with the reason beside each."""
    rows = [
        {"parameter": k, "value": value_text(getattr(prepared.planned, k)), "because": why}
        for k, why in prepared.reasons.items()
    ]
    table(rows)


def ready_made(judged: Judged) -> None:
    """Scores of the models at hand, and what follows from them."""
    table(judged.rows)
    if judged.sentences:
        message("\n".join(judged.sentences))


def training_begins(run: Run, found: Data) -> None:
    """Where the run is kept and how long an epoch is."""
    if found.example:
        message(f"Training on example data ({found.example}), not on your images.", "warning")
    done = len(run.history())
    line(f"run folder: {run.folder}" + (f" ({epochs_text(done)} done before)" if done else ""))


def listeners(run: Run, found: Data) -> list[Listener]:
    """Progress: live curves and a live prediction for eyes, plain lines for a log."""
    if places.headless():
        return [Lines(run.config.time_budget_minutes)]
    from zcdl_common.live import LiveView

    return [LiveView(run, found)]


def trained(run: Run) -> None:
    """Curves of the finished training."""
    from zcdl_common import plots

    history = run.history()
    if not history:
        return
    best = best_epoch(history, run.network.best)
    picked = bool(run.network.best.key)
    figure(plots.losses(history, best + 1, picked=picked))
    line(f"{'best' if picked else 'last'} epoch: {best + 1} of {len(history)}; weights in {run.weights}")


def judged(run: Run, summary: dict[str, Any]) -> None:
    """Scores, verdict, pictures and advice."""
    from zcdl_common import plots
    from zcdl_common.plots.labels import NO_MERIT

    kind = {"better": "good", "worse": "error"}.get(summary["verdict"], "warning")
    message(summary["sentence"], kind)
    titles = {"network": "network", "classical": summary["classical"], "input": "input"}
    known = [m for m in titles if any(methods.get(m) for methods in summary["metrics"].values())]
    rows = []
    for name, methods in summary["metrics"].items():
        if len(run.facts.classes) == 2 and name.endswith(f"_{run.facts.classes[1]}"):
            continue  # with one class of structure its scores are the means
        form = ".4g" if name in NO_MERIT else ".3f"
        scored = {titles[m]: _interval(methods[m], form) if methods.get(m) else "" for m in known}
        rows.append({"score": plots.metric_label(name), **scored})
    table(rows)
    for name in CAPTIONS:  # in this order
        path = run.quality_control / "figures" / f"{name}.png"
        only = name == "worst" and summary["n_images"] == 1  # the example already shows it
        if path.exists() and places.in_kernel() and not only:
            picture(path)
    if summary["next"]:
        message("What next?\n" + "\n".join(f"- {step}" for step in summary["next"]))


def _interval(record: dict[str, Any], form: str) -> str:
    if record["mean"] is None:
        return ""
    ci = record.get("ci95")
    return f"{record['mean']:{form}}" + (f" ({ci[0]:{form}} to {ci[1]:{form}})" if ci else "")


def predicted(run: Run, written: Sequence[Written]) -> None:
    """Files written, pictures of the first ones, and files that could not be used."""
    good = [w for w in written if not w.problem]
    if good:
        line(f"{len(good)} image{'' if len(good) == 1 else 's'} predicted, in {good[0].outputs[0].parent}")
    for w in good:
        if w.note:
            line(f"{w.file}: {w.note}")
    for drawn in [path for w in good[:3] for path in w.outputs if path.suffix == ".png"]:
        if places.in_kernel():
            picture(drawn)
    _predictions(run, [w for w in good if w.source and w.source.frame is None and not w.note][:3])
    bad = [w for w in written if w.problem]
    if bad:
        message(
            f"{len(bad)} could not be predicted:\n" + "\n".join(f"{w.file}: {w.problem}" for w in bad),
            "error",
        )


def _predictions(run: Run, written: Sequence[Written]) -> None:
    """The first results drawn over their images; only what was written as the task's main result."""
    from zcdl_common import plots
    from zcdl_common.images import ImageRef

    pairs = [
        (w, w.outputs[0]) for w in written if w.source and w.outputs[0].name.startswith(w.source.group + ".")
    ]
    if not places.in_kernel():
        return
    if not pairs:
        return
    axes = "ZYX"[-run.facts.ndim :]
    sources = [w.source.read() for w, _ in pairs if w.source]
    results = [ImageRef((path,), axes).read() for _, path in pairs]
    if len(run.facts.classes) == 2:  # one class is drawn in the colour that its annotations have
        results = [(result > 0).astype(np.int32) for result in results]
    draw = run.network.task.drawing(run.facts)
    names = [w.file for w, _ in pairs]
    label = "prediction" if run.network.task.input_is_prediction else "with the prediction"
    figure(plots.pairs(sources, results, names, draw=draw, pixel_size=run.facts.pixel_size, label=label))


def exported(package: Any) -> None:
    """The package, the formats tested, and where they open."""
    message(f"The package {package.path} is tested and ready.", "good")
    table(package.tests)
    table(package.opens)


def finished(run: Run) -> None:
    """Where everything lies."""
    line(f"report: {run.folder / 'report.html'}")

"""The methods paragraph, from what the run folder records and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zcdl_common.citations import MODEL_ZOO, ZEROCOST
from zcdl_common.plots.labels import metric_label
from zcdl_common.report import terms, words
from zcdl_common.report.material import material
from zcdl_common.report.record import Record


def references(record: Record) -> list[str]:
    """DOIs in the order in which the text refers to them."""
    network = list(record.network.cite) if record.network else []
    return [*network, ZEROCOST, *([MODEL_ZOO] if record.exports else [])]


def methods(record: Record) -> list[str]:
    """Paragraphs of a methods section; what is not recorded is left out, not guessed.

    Numbers in square brackets refer to `references`, counted from 1.
    """
    parts: list[Callable[[Record], list[str]]] = [_network, material, _training, _evaluation]
    paragraphs = (" ".join(filter(None, part(record))) for part in parts)
    return [paragraph for paragraph in paragraphs if paragraph]


def _network(record: Record) -> list[str]:
    cited = references(record)
    own = [str(cited.index(doi) + 1) for doi in (record.network.cite if record.network else ())]
    task = terms.TASKS.get(record.network.task.name, "") if record.network else ""
    dimensions = f" in {record.facts['ndim']}D" if record.facts.get("ndim") else ""
    purpose = f" for {task}{dimensions}" if task else ""
    cite = f" [{', '.join(own)}]" if own else ""
    with_package = _versions(record)
    return [
        f"{_article(record.title)} {record.title}{cite} was trained{purpose}{with_package}, in a notebook "
        f"that follows the approach of ZeroCostDL4Mic [{cited.index(ZEROCOST) + 1}].",
        _architecture(record.config),
    ]


def _article(noun: str) -> str:
    """Before a name that is read out: a U-Net, an fnet."""
    return "An" if noun[:1].lower() in "aeio" or noun.startswith(("fnet", "F")) else "A"


def _versions(record: Record) -> str:
    known = record.environment
    parts = [f"zcdl-common {known['zcdl-common']}"] if "zcdl-common" in known else []
    backend = record.network.backend if record.network else "torch"
    parts += [
        f"{name} {known[key]}"
        for key, name in terms.BACKENDS.items()
        if key.startswith(backend) and key in known
    ]
    parts += [f"Python {known['python']}"] if "python" in known else []
    return f" with {words.enumerate_words(parts)}" if parts else ""


def _architecture(config: Mapping[str, Any]) -> str:
    parts = []
    if config.get("downscaling_in_xy", 1) > 1:
        factor = config["downscaling_in_xy"]
        parts.append(f"an averaging of its input by a factor of {factor} in XY, undone at its output")
    if config.get("depth"):
        parts.append(f"{words.many(config['depth'], 'downsampling step')}")
    elif config.get("depth") == 0:
        parts.append("residual blocks")
    if config.get("blocks"):
        parts.append(f"{words.many(config['blocks'], 'residual block')}")
    if config.get("n_rays"):
        parts.append(f"{config['n_rays']} rays per object")
    if config.get("grid"):
        parts.append(f"an output grid of {words.size(config['grid'])} pixels")
    if config.get("filters"):
        parts.append(f"{config['filters']} filters at the first level, doubled at each further one")
    if config.get("kernel"):
        parts.append(f"filters of {config['kernel']} pixels")
    if config.get("residual"):
        parts.append("its input added to its output (residual learning)")
    if config.get("dropout"):
        parts.append(f"a dropout of {config['dropout']:g} where it is deepest")
    return f"It had {words.enumerate_words(parts)}." if parts else ""


def _training(record: Record) -> list[str]:
    config = record.config
    if not record.losses:
        return []
    loss = str(config.get("loss") or "")
    minimised = terms.LOSSES.get(loss, f"the loss “{loss}”") if loss else ""
    if record.network and record.network.goal:
        minimised = record.network.goal.format(**config)
    goal = f"Training minimised {minimised}" if minimised else "The network was trained"
    weights = config.get("class_weights")
    if weights and len(set(weights)) > 1:
        goal += f" (class weights {words.value(list(map(float, weights)))})"
    optimiser = str(config.get("optimiser", "adam"))  # where there is no choice, the library's
    parts = [f"with the {terms.OPTIMISERS.get(optimiser, optimiser)} optimiser"] if optimiser else []
    if config.get("learning_rate"):
        schedule = terms.SCHEDULES.get(str(config.get("schedule")), "")
        parts.append(
            f"an initial learning rate of {config['learning_rate']:g}{f' ({schedule})' if schedule else ''}"
        )
    if config.get("weight_decay"):
        parts.append(f"weight decay {config['weight_decay']:g}")
    if config.get("batch_size"):
        parts.append(f"a batch size of {config['batch_size']}")
    first = goal + (f" {words.enumerate_words(parts)}" if parts else "") + "."
    return [first, _course(record), _start(config), _kept(record)]


def _course(record: Record) -> str:
    trained, planned = len(record.losses), record.config.get("epochs")
    epochs = words.many(trained, "epoch") + (
        f" (of {planned} planned)" if planned and planned > trained else ""
    )
    seconds = sum(float(row.get("seconds") or 0) for row in record.losses)
    took = f" and took {words.duration(seconds)}" if seconds else ""
    return (
        f"It ran for {epochs}{took}{_hardware(record)}; the random seed was {record.config.get('seed', 0)}."
    )


def _hardware(record: Record) -> str:
    known = record.environment
    device = known.get("device", "")
    named = {"cpu": "the CPU", "gpu": "a GPU"}.get(device, device)
    more = [known[key] for key in ("gpu", "system") if key in known]
    more += [f"{known['cores']} cores"] if "cores" in known else []
    exact = record.facts.get("extra", {}).get("arithmetic", "")
    more += [exact if exact in ("", "float32") else f"mixed precision, {exact}"] if exact else []
    return (f" on {named}" + (f" ({', '.join(more)})" if more else "")) if named else ""


def _start(config: Mapping[str, Any]) -> str:
    start = str(config.get("start_from") or "")
    if not start:
        return "Weights were initialised at random."
    kept = str(config.get("freeze") or "nothing")
    frozen = f"; kept unchanged: {kept}" if kept != "nothing" else ""
    return f"Training started from the weights of {start.rstrip('/').rpartition('/')[2]}{frozen}."


def _kept(record: Record) -> str:
    from zcdl_common.report.training import best_row

    best = best_row(record)
    if best is None or record.config.get("weights") == "last":
        return "The weights of the last epoch were used." if record.network else ""
    key, row = best
    what = "validation loss" if key == "val_loss" else f"validation {metric_label(key.removeprefix('val_'))}"
    return f"The weights of epoch {int(float(row['epoch']))}, which had the best {what}, were kept."


def _evaluation(record: Record) -> list[str]:
    summary = record.summary
    metrics = {key: stats for key, stats in (summary.get("metrics") or {}).items() if isinstance(stats, dict)}
    if not metrics:
        return []
    name = str(summary.get("classical") or "")
    against = (
        f" and compared image by image with a classical method ({name}) tuned on training images"
        if name
        else ""
    )
    count = words.many(record.n_tested, record.tested_unit)
    keys = sorted(metrics, key=lambda key: key != summary.get("primary"))[:4]
    scores = "; ".join(filter(None, (_score(key, metrics[key]) for key in keys)))
    seen = summary.get("learned_from")
    origin = (
        "from which it had learned, without a target"
        if seen
        else "that took no part in training or in any choice"
    )
    order = f", of the network against {name}" if name else ""
    intervals = any((metrics[key].get("network") or {}).get("ci95") for key in keys)
    meanings = {metric_label(key): terms.DEFINITIONS[key] for key in keys if key in terms.DEFINITIONS}
    defined = "; ".join(f"{label}: {words.first_sentence(text)}" for label, text in meanings.items())
    return [
        _threshold(record),
        f"The network was tested on {count} {origin}{against}.",
        f"Mean scores{order}: {scores}." if scores else "",
        "In brackets: 95 % confidence intervals by bootstrap over images." if intervals else "",
        f"Definitions: {defined}." if defined else "",
        _fitted(keys),
    ]


def _fitted(keys: Sequence[str]) -> str:
    """Say what comes before some of the scores."""
    names = [metric_label(key).partition(" (")[0] for key in keys if key in terms.FITTED]
    verb = "were" if len(names) > 1 else "was"
    return f"{words.enumerate_words(names)} {verb} taken after {terms.FIT}." if names else ""


def _threshold(record: Record) -> str:
    threshold = record.summary.get("threshold", record.settings.get("threshold"))
    if not isinstance(threshold, int | float):
        return ""
    task = record.network.task.name if record.network else ""
    by_hand = any(record.config.get(name) is not None for name in ("threshold", "prob_thresh", "confidence"))
    chosen = "chosen on the validation images"
    rules = {"detect": "by the best F1", "localise": "by the best Jaccard index"}
    rule = rules.get(task, "within one standard error of the best score")
    origin = "set by hand" if by_hand else f"{chosen}, {rule}"
    if task == "detect":
        least, overlap = f"{threshold:.2g}", record.settings.get("nms_iou")
        apart = f"; of two of a class with an IoU above {overlap:g}, the surer" if overlap else ""
        return f"Boxes with a score of at least {least}, {origin}, were kept{apart}."
    if task == "localise":
        return f"Positions with a confidence of at least {threshold:.2g}, {origin}, were kept."
    what = "Objects" if task == "instances" else "Pixels"
    verb = "were kept" if what == "Objects" else "were taken for foreground"
    overlap = record.settings.get("nms_thresh")
    apart = f"; of two that shared more than {overlap:g} of the smaller one, the likelier" if overlap else ""
    return f"{what} with a probability of at least {threshold:.2g}, {origin}, {verb}{apart}."


def _score(key: str, stats: Mapping[str, Any]) -> str:
    network = words.with_interval(stats.get("network"))
    if network == "–":
        return ""
    classical, untouched = (words.with_interval(stats.get(who)) for who in ("classical", "input"))
    against = f" against {classical}" if classical != "–" else ""
    return f"{metric_label(key)} {network}{against}" + (f" (input {untouched})" if untouched != "–" else "")

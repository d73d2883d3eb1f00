"""The steps from parameters to a report, as notebook and command line both call them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from zcdl_common import places, qc, ready_made, training, weights
from zcdl_common.config import Config
from zcdl_common.data import Data, folders_of, open_data, with_test
from zcdl_common.errors import DataError, RunError
from zcdl_common.files import digest, write_text
from zcdl_common.fit import Listener
from zcdl_common.folders import split_folders, stem
from zcdl_common.measure import measure
from zcdl_common.network import DIRECTIONS, Network
from zcdl_common.predict import Written, predict_folder
from zcdl_common.run import Run, changed_files, create, open_run, place
from zcdl_common.task import Facts, resolve

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Images found, measured and checked, and the parameters that follow from them."""

    network: Network
    config: Config
    """As the user gave it."""
    planned: Config
    """Without gaps."""
    reasons: Mapping[str, str]
    data: Data
    facts: Facts


def device_of(network: Network) -> str:
    """What this network's backend would train on: "gpu" or "cpu"."""
    kind = resolve(
        f"zcdl_common.models._{'torch' if network.backend == 'torch' else 'keras'}:pick_device"
    )().type
    return "cpu" if kind == "cpu" else "gpu"


def prepare(network: Network, config: Config, data: Data) -> Prepared:
    """Measure the images, and plan what is automatic.

    Raises
    ------
    DataError, ConfigError
        The images cannot be used, or a parameter does not fit them.
    """
    facts = measure(data, config, network, device_of(network))
    planned = network.plan(config, facts)
    return Prepared(network, config, planned.config, planned.reasons, data, facts)


def judge_ready_made(prepared: Prepared, say: Say = print) -> ready_made.Judged:
    """How far the models at hand come without any training; see `ready_made.judge`."""
    return ready_made.judge(prepared.network, prepared.config, prepared.facts, prepared.data.split, say)


def begin(prepared: Prepared) -> Run:
    """The run folder of these parameters and images: a new one, or the one that is there, to go on.

    Raises
    ------
    RunError
        The name is in use for another training.
    DataError
        A target cannot be read.
    UserError
        The starting weights are not there, of another network, or cannot be read.
    """
    config = prepared.config
    results = places.results_folder(config.results)
    folder, there = place(results, config.name, prepared.network, config, prepared.data)
    if prepared.network.facing:  # whatever it is used for later, training goes from source to target
        config = config.changed(direction=DIRECTIONS["source"])
    if there is None:
        _read_held_out(prepared)
        if config.start_from:  # a start that fails takes no name
            weights.read(prepared.planned)
        fast = places.fast_copy(folder / "checkpoint")
        if fast != folder / "checkpoint":  # left by a run of this name whose folder on Drive is gone
            shutil.rmtree(fast, ignore_errors=True)
        return create(
            folder, prepared.network, prepared.planned, prepared.facts, prepared.reasons, prepared.data
        )
    # all of them, also those left empty: a limit that was taken away no longer holds
    may_change = {n: getattr(config, n) for n in type(config).model_fields if config.is_use(n)}
    done = len(there.history())
    if config.epochs is not None and config.epochs < min(done, there.config.epochs or 0):
        raise RunError(
            f"{there.name} has {done} epochs done, more than epochs = {config.epochs}. Nothing there was "
            "changed. Use another name, or leave epochs empty."
        )
    if config.epochs is not None:
        may_change["epochs"] = config.epochs
    run = there.using(**may_change)
    run.config.write(run.folder / "config.yaml")
    return run


def _read_held_out(prepared: Prepared) -> None:
    """Read the targets that nothing has read yet: a bad one is told now, not after an hour of training."""
    for sample in prepared.data.split.validation + prepared.data.split.test:
        if sample.target is not None and sample.domain == prepared.facts.domain:
            prepared.network.task.read_target(sample, prepared.facts)


def train(run: Run, data: Data, show: Sequence[Listener] = (), say: Say = print) -> str:
    """Train or go on, see `training.train`; then choose the settings of decoding, if there are any."""
    fast = places.fast_copy(run.folder / "checkpoint")
    ended = training.train(run, data, show=show, local=fast)
    if run.network.task.settings and run.history():
        qc.choose_settings(run, run.load(), data, say)
    return ended


def data_of(run: Run, test: bool = True) -> Data:
    """The images of a run, divided as they were; without `test` the test images may be gone.

    Raises
    ------
    DataError
        Images are gone or others have come.
    RunError
        The run came as a package, without images.
    """
    config, gap = run.config, run.facts.extra.get("gap")
    compared = ("train", "validation", "test") if test else ("train", "validation")
    roles = {row["name"]: row["role"] for row in run.files() if row["role"] in compared}
    # without pairs, a kind that has no test folder holds out images of its own: they stay held out
    named = config.test_source and (run.network.task.paired or config.test_target)
    if not test and gap is None and named:
        config = config.changed(test_source="", test_target="", test_fraction=0.0)
    data = open_data(config, run.network, gap)
    now = {sample.name: role for role in compared for sample in getattr(data.split, role)}
    if roles != now:
        gone = sorted(set(roles) - set(now))[:3]
        raise DataError(
            f"The images of the run {run.name} are not the ones it was trained on"
            + (f" ({', '.join(gone)} missing)" if gone else "")
            + ". Put the same files back, or give test_source and test_target to judge it on others."
        )
    changed = changed_files(run, data)
    if changed:
        raise DataError(
            f"{', '.join(changed[:3])} changed since the run {run.name} was trained. Put the old files back, "
            "or train anew under another name."
        )
    return data


def judge(run: Run, say: Say = print, asked: Config | None = None) -> dict[str, Any]:
    """Quality control of a finished run, on its own test images or on the test folders that `asked` names.

    Raises
    ------
    DataError
        An image of the test folders was learned from.
    """
    named = "test_source" if run.network.task.paired else f"test_{run.facts.domain}"
    if asked is None or getattr(asked, named) in ("", getattr(run.config, named)):
        return qc.judge(run, data_of(run), say)
    config = run.config.changed(test_source=asked.test_source, test_target=asked.test_target)
    data = with_test(data_of(run, test=False), config, run.network)
    learned = {row["sha256"]: row["name"] for row in run.files() if row["sha256"] and row["role"] != "test"}
    for sample in data.split.test:
        if run.network.task.needs_target and digest(sample.source) in learned:
            raise DataError(
                f"{sample.source.path} in test_source is an image that this network was trained with: a test "
                "on it would praise what was learned by heart. Name other images."
            )
    say(data.split.note)
    return qc.judge(replace(run, split_note=data.split.note), data, say)


READING = ("axes", "channels", "target_channels", "pixel_size")
"""How files are read: new images may need another choice than the training images."""


def with_use(run: Run, config: Config) -> Run:
    """The run with those parameters of `config` that may change after training."""
    known = type(run.config).model_fields
    use = {n: v for n, v in config.given().items() if n in known and (n in READING or config.is_use(n))}
    return run.using(**use)


def finished(model: str | Path, results: str = "") -> Run:
    """A finished run: its folder, or a package that was exported here, unpacked below `results`."""
    path = Path(model).expanduser()
    if path.suffix == ".zip":
        from zcdl_common.export.from_run import as_run

        path = as_run(path, places.results_folder(results))
    return open_run(path)


def chosen_model(config: Config) -> Run:
    """The finished run that ``config.model`` names."""
    return with_use(finished(config.model, config.results), config)


def predictions_folder(run: Run, source: str) -> Path:
    """Where the predictions of `source` go: a second folder of the same name gets one of its own."""
    parts = split_folders(source)
    name, whole = stem(Path(parts[0].rstrip("/\\"))) or "images", _whole(source)
    folders = (run.folder / "predictions" / (name if n == 1 else f"{name}_{n}") for n in itertools.count(1))
    known = _predicted(run)
    return next(f for f in folders if known.get(f.name, whole) == whole or _is_empty(f))


def apply(run: Run, source: str, say: Say = print) -> list[Written]:
    """Predict the images in `source` into the run folder; one bad file never loses the others."""
    model = run.load()
    target = predictions_folder(run, source)

    def progress(done: int, of: int, name: str) -> None:
        if name:
            say(f"predicting {name} ({done + 1} of {of})")

    before = _predicted(run)
    _record(run, {**before, target.name: _whole(source)})  # first: a killed prediction holds its folder too
    try:
        return predict_folder(run, model, places.staged(source), target, progress=progress)
    finally:
        if _is_empty(target):
            _record(run, {name: of for name, of in before.items() if name != target.name})


def _whole(source: str) -> str:
    return ";".join(str(Path(part).expanduser().absolute()) for part in split_folders(source))


def _predicted(run: Run) -> dict[str, str]:
    """Folder of predictions -> what was predicted into it."""
    table = run.folder / "predictions.yaml"
    return dict(yaml.safe_load(table.read_text(encoding="utf-8")) or {}) if table.exists() else {}


def _record(run: Run, predicted: dict[str, str]) -> None:
    if predicted != _predicted(run):
        write_text(run.folder / "predictions.yaml", yaml.safe_dump(predicted, allow_unicode=True))


def _is_empty(folder: Path) -> bool:
    return not folder.exists() or not any(folder.iterdir())


def report(run: Run) -> tuple[Path, Path]:
    """Write report.html and report.pdf."""
    from zcdl_common.report import write_report

    return write_report(run.folder, judged=run.quality_control)


def test_folder(run: Run) -> str:
    """Folder of the test images, else the first of them, for a first prediction."""
    if run.config.test_source and run.facts.domain == "source":
        return run.config.test_source
    found = data_of(run)
    split = found.split
    if found.imitated:  # the movies that it was trained for
        named = folders_of(run.config)
        return named.test_source or named.source
    if not run.network.task.paired:
        split = split.of(run.facts.domain)
    paths = [getattr(s.source, "paths", (s.source.path,)) for s in split.test or split.train]
    folders = {p[0].parent for p in paths}
    learned = {s.source.path.parent for s in split.train + split.validation}
    if len(folders) == 1 and not folders & learned:
        return str(folders.pop())
    return ";".join(map(str, paths[0]))  # several files are channels of one image


def export(run: Run, say: Say = print) -> Any:
    """Write and test a BioImage Model Zoo package of a run."""
    from zcdl_common.export.from_run import export_run

    return export_run(run, data_of(run), say)

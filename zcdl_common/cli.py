"""The command line: the same functions as the cells of a notebook."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcdl_common import networks
from zcdl_common.config import read_params
from zcdl_common.errors import ConfigError, UserError, as_options

if TYPE_CHECKING:
    from zcdl_common.run import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args, rest = _parser().parse_known_args(argv)
    try:
        _refuse(args, rest)
        return int(args.command(args) or 0)
    except BrokenPipeError:  # `zcdl list | head`
        return 0
    except UserError as error:
        print(f"\n{type(error).__name__}: {as_options(str(error))}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zcdl", description="Train and judge networks for microscopy.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        return command

    run = add("run", _run, "execute a notebook from its first to its last cell")
    run.add_argument("network", help="one of: " + ", ".join(networks.NETWORKS))
    run.add_argument("--params", type=Path, help="YAML file with parameters, for example an old config.yaml")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    run.add_argument("--set", help="single parameters", **several)
    run.add_argument("--out", help="folder for the results")
    add("demo", _demo, "train on the bundled image, in about three minutes")
    add("list", _list, "networks and example data sets")
    data = add("data", _data, "fetch or make an example data set")
    data.add_argument("name")
    check = add("check", _check, "examine images before training")
    check.add_argument("source", help="folder of images")
    check.add_argument("target", nargs="?", default="", help="folder of what belongs to them, if anything")
    known = ", ".join(networks.NETWORKS)
    check.add_argument("--network", default="unet", help=f"what the images are for: {known}; default: unet")
    check.add_argument("--set", help="single parameters", **several)
    predict = add("predict", _predict, "use a finished run on new images")
    predict.add_argument("run", type=Path)
    predict.add_argument("folder")
    predict.add_argument("--set", **several)
    export = add("export", _export, "write a tested package for the BioImage Model Zoo")
    export.add_argument("run", type=Path)
    export.add_argument("--set", **several)
    compare = add("compare", _compare, "score predictions made anywhere against truth")
    compare.add_argument("predictions")
    compare.add_argument("truth")
    known = ", ".join(networks.tasks())
    compare.add_argument(
        "--task",
        default="",
        help=f"what the masks are for: {known}, or the name of a network; where nothing is said, that of the "
        "run whose predictions they are, else segment",
    )
    compare.add_argument("--axes", default="", help="order of the axes where files do not say, e.g. ZYX")
    bundle = add("bundle", _bundle, "make a folder for teaching without internet: notebooks, wheels, data")
    bundle.add_argument(
        "--out", type=Path, required=True, help="where the bundle goes; an earlier one is renewed"
    )
    bundle.add_argument("--platforms", default="windows,macos,linux", help="default: %(default)s")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    bundle.add_argument(
        "--python", default=here, help="versions of Python, e.g. 3.11,3.12; default: %(default)s"
    )
    bundle.add_argument("--notebooks", default="", help="names, e.g. unet,stardist; default: all")
    bundle.add_argument(
        "--data", default="", help="data sets to download, beside those that need no download"
    )
    bundle.add_argument(
        "--runs", type=Path, nargs="+", default=[], help="finished runs for those who come late"
    )
    text = (
        "package index for torch, e.g. a CUDA one; default: CPU builds for Linux, the usual index elsewhere"
    )
    bundle.add_argument("--torch-index", help=text)
    gather = add("gather", _gather, "make a progress sheet of the runs of a class")
    gather.add_argument("folders", type=Path, nargs="+", help="each holds a folder a participant")
    gather.add_argument("--out", type=Path, default=Path("progress.csv"), help="default: %(default)s")
    lab = add("lab", _lab, "open JupyterLab on a working copy of the notebooks")
    lab.add_argument("--folder", type=Path, default=Path("zcdl_notebooks"))
    lab.add_argument("--no-open", action="store_true", help="copy the notebooks only")
    return parser


def _refuse(args: argparse.Namespace, rest: list[str]) -> None:
    """End where there are words that no command knows; parameters among them only lack their --set."""
    if not rest:
        return
    pairs = [word for word in rest if "=" in word and not word.startswith("-")]
    if "set" in args and pairs == rest:
        hint = f" Did you mean --set {' '.join(pairs)}?"
    else:
        hint = " zcdl COMMAND --help shows what can be said."
    raise ConfigError(f"Not understood: {' '.join(rest)}.{hint}")


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """``["epochs=3"]`` -> ``{"epochs": "3"}``: the config reads numbers, and no path is mistaken for one.

    Raises
    ------
    ConfigError
        A pair has no ``=``.
    """
    values: dict[str, Any] = {}
    for before, pair in zip(("", *pairs), pairs, strict=False):
        name, equals, value = pair.partition("=")
        if not equals:
            quoted = f" A value with spaces stands in quotes: --set '{before} {pair}'." if before else ""
            raise ConfigError(
                f"'{pair}' is no parameter. Write name=value, for example --set epochs=50.{quoted}"
            )
        values[name.strip()] = value.strip() or None
    return values


def _run(args: argparse.Namespace) -> int:
    network = networks.get(args.network)
    params = read_params(args.params, network.name) if args.params else {}
    params |= settings(args.set)
    if args.out:
        params["results"] = args.out
    network.Config.parse(params)  # a mistyped name is told before a kernel starts
    from zcdl_common.headless import execute

    return execute(network, params)


def _demo(args: argparse.Namespace) -> int:
    from zcdl_common.headless import execute

    params = {"dataset": "nuclei_2d", "name": "demo", "time_budget_minutes": 2.0, "output": "all"}
    return execute(networks.get("unet"), params)


def _list(args: argparse.Namespace) -> None:
    from zcdl_common import datasets

    print("networks")
    for network in networks.NETWORKS.values():
        print(f"  {network.name:<12} {network.summary}")
    rows = datasets.table()
    wide = max(len(row["networks"]) for row in rows)
    print("\nexample data sets (zcdl data NAME)")
    for row in rows:
        print(f"  {row['name']:<28} {row['kind']:<10} {row['networks']:<{wide}} {row['title']}")


def _data(args: argparse.Namespace) -> None:
    from zcdl_common import datasets

    ready = datasets.prepare(args.name)
    for name in ("source", "target", "test_source", "test_target"):
        if getattr(ready, name):
            print(f"{name}: {getattr(ready, name)}")
    print(f"licence: {ready.licence}\n{ready.citation}\n{ready.note}".rstrip())


def _check(args: argparse.Namespace) -> int:
    from zcdl_common import checkup, session, show
    from zcdl_common.data import open_data

    network = networks.get(args.network)
    config = network.Config.parse({"source": args.source, "target": args.target, **settings(args.set)})
    data = open_data(config, network)
    show.data(network, data)
    report = checkup.examine(data, network, config)
    show.findings(report)
    if report.errors:
        return 1
    session.prepare(network, config, data)  # parameters that do not fit the images are told as `run` would
    return 0


def _predict(args: argparse.Namespace) -> int:
    from zcdl_common import session, show

    run = _finished(args)
    written = session.apply(run, args.folder)
    show.predicted(run, [replace(w, problem=as_options(w.problem)) for w in written])
    return int(any(w.problem for w in written))


def _export(args: argparse.Namespace) -> None:
    from zcdl_common import session, show

    show.exported(session.export(_finished(args)))


def _finished(args: argparse.Namespace) -> Run:
    """The run that was named, with parameters that a finished run can still take."""
    from zcdl_common import session

    run, values = session.finished(args.run), settings(args.set)
    fixed = [n for n in values if n in type(run.config).model_fields and n not in session.READING]
    fixed = [n for n in fixed if not run.config.is_use(n)]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot be changed: {run.name} is trained. Train a new run with: "
            f"zcdl run {run.network.name} --params {run.folder / 'config.yaml'} --set name=... {fixed[0]}=..."
        )
    return run.using(**values)


def _compare(args: argparse.Namespace) -> None:
    from zcdl_common import display
    from zcdl_common.compare import compare, network_for

    print(f"scored as {network_for(args.task, args.predictions).task.name}")
    rows = compare(args.predictions, args.truth, args.task, args.axes)
    display.table([{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows])


def _bundle(args: argparse.Namespace) -> int:
    from zcdl_common import bundle
    from zcdl_common.download import megabytes

    platforms, pythons, notebooks, data = (
        [word.strip() for word in text.split(",") if word.strip()]
        for text in (args.platforms, args.python, args.notebooks, args.data)
    )
    made = bundle.make(args.out, platforms, pythons, notebooks, data, args.runs, args.torch_index)
    print()
    for part in (*made.parts, bundle.whole(made)):
        print(f"{part.name:<16} {part.files:>5} files {megabytes(part.bytes):>10}")
    print(flush=True)
    if bundle.check(args.out):
        print(f"\nThe teacher reads: {args.out.resolve() / 'START_HERE.txt'}")
        return 0
    if made.missing:
        print(
            f"\nThe package index has no wheel of {len(made.missing)} packages, without which the notebooks "
            "cannot be installed there:\n  "
            + "\n  ".join(made.missing)
            + "\nLeave that platform or version of "
            "Python out, or ask your system's administrator for the package index of Python (pypi.org).",
            file=sys.stderr,
        )
    return 1


def _gather(args: argparse.Namespace) -> None:
    from zcdl_common import display
    from zcdl_common.gather import gather, write

    rows = gather(args.folders)
    display.table(rows)
    write(rows, args.out)
    print(f"\n{len({row['who'] for row in rows})} participants, {len(rows)} runs: {args.out.resolve()}")


def _lab(args: argparse.Namespace) -> int:
    from zcdl_common.resources import resource

    args.folder.mkdir(parents=True, exist_ok=True)
    for notebook in sorted(resource("notebooks").glob("*.ipynb")):
        if not (args.folder / notebook.name).exists():  # what a user has changed is never overwritten
            shutil.copyfile(notebook, args.folder / notebook.name)
    print(f"notebooks: {args.folder.resolve()}")
    if args.no_open:
        return 0
    environment = {k: v for k, v in os.environ.items() if k not in ("ZCDL_PARAMS", "ZCDL_HEADLESS")}
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(args.folder)], env=environment)


if __name__ == "__main__":
    sys.exit(main())

"""Execute a shipped notebook from its first to its last cell, without anyone to click."""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import sys
from pathlib import Path
from typing import Any

from zcdl_common import places
from zcdl_common.errors import as_options
from zcdl_common.network import Network
from zcdl_common.resources import resource


def execute(network: Network, params: dict[str, Any]) -> int:
    """Run the notebook of `network` with `params`; returns the exit status.

    The executed copy is kept in the results folder, also when a cell fails.
    """
    os.environ.update(ZCDL_HEADLESS="1", PAPERMILL_DISABLE_PROGRESS_BAR="1")
    os.environ.pop("ZCDL_PARAMS", None)  # the parameters come in through the notebook's own cell
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    results = places.results_folder(params.get("results", "")).resolve()
    results.mkdir(parents=True, exist_ok=True)
    name = params.get("name") or f"{network.name}_{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    params = {**params, "name": name, "results": str(results)}
    notebook = resource("notebooks") / f"{network.name}.ipynb"
    executed = _free(results / f"{name}.ipynb")
    _speak()
    print(f"running {notebook.name} as {params['name']}", flush=True)
    try:
        execute_notebook(
            notebook,
            executed,
            parameters={"params": _absolute(params)},
            kernel_name=_kernel(),
            cwd=str(results),
            log_output=True,
            progress_bar=False,
            # ipykernel warns of its local connection, which frightens and helps nobody here
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
    except DeadKernelError:
        print(
            "\nThe kernel died, most often for want of memory. Close other programs or use a smaller "
            "patch_size; the same command then goes on from the last whole epoch.",
            file=sys.stderr,
        )
        return 1
    except PapermillExecutionError as error:
        print(
            f"\n{error.ename}: {as_options(error.evalue)}\n\nThe notebook stopped there: {executed}",
            file=sys.stderr,
        )
        return 1
    run = results / str(params["name"])
    print(f"\nnotebook:    {executed}")
    print(f"report:      {run / 'report.html'}")
    print(f"predictions: {run / 'predictions'}")
    for package in (run / "export").glob("*.zip"):
        print(f"package:     {package}")
    nbformat.validate(nbformat.read(executed, as_version=4))
    return 0


def _speak() -> None:
    """Print what the cells say, as text and while they run; figures are in the executed copy."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.terminator = ""

    def worth_reading(record: logging.LogRecord) -> bool:
        text = record.getMessage().rstrip()
        record.msg, record.args = text + "\n", ()
        return record.funcName == "log_output_message" and not text.startswith("<IPython")

    handler.addFilter(worth_reading)
    log = logging.getLogger("papermill")
    log.setLevel(logging.INFO)
    log.handlers, log.propagate = [handler], False


def _absolute(params: dict[str, Any]) -> dict[str, Any]:
    """Folders as absolute paths, since the kernel works in the results folder."""
    fixed = dict(params)
    for name in ("source", "target", "test_source", "test_target", "repaired", "predict_source", "model",
                 "start_from"):  # fmt: skip
        parts = [part.strip() for part in str(fixed.get(name) or "").split(";") if part.strip()]
        whole = [str(Path(p).expanduser().resolve()) if Path(p).expanduser().exists() else p for p in parts]
        if whole:
            fixed[name] = ";".join(whole)
    return fixed


def _free(path: Path) -> Path:
    """`path`, or the first name after it that is not taken: earlier executions stay as they are."""
    others = (path.with_stem(f"{path.stem}_{n}") for n in itertools.count(2))
    return next(p for p in itertools.chain([path], others) if not p.exists())


def _kernel() -> str:
    """Name of a kernel that runs this very Python, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    if Path(spec.argv[0]).name != "python" and Path(spec.argv[0]).resolve() != Path(sys.executable).resolve():
        from ipykernel.kernelspec import install

        install(prefix=sys.prefix)
    return "python3"

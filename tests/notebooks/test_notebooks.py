"""Every shipped notebook, executed once from its first to its last cell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from zcdl_common import networks
from zcdl_common.run import open_run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FLOOR = {"stardist": 0.6, "care": 18.0, "noise2void": 18.0, "unet": 0.6, "fnet": 0.6, "pix2pix": 0.3, "cyclegan": 8.0, "yolo": 0.7, "deepstorm": 0.5}
"""Score (primary metric of the network) that the few epochs of NETWORK.yaml reach at least, or at most where
less is better."""


def execute(name, params, folder, marker="--nbval-lax"):
    """Run the shipped notebook under nbval, with `params` taking the place of its own."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump({**params, "results": str(folder / "results")}))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", marker, "-p", "no:cacheprovider",
         "--nbval-cell-timeout=300", "--nbval-current-env", str(ROOT / "notebooks" / f"{name}.ipynb")],
        env={**os.environ, "ZCDL_PARAMS": str(path)},
        cwd=folder,
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.fixture(scope="module", params=sorted(networks.NETWORKS))
def executed(request, tmp_path_factory):
    """(name, run folder) of a notebook that ran through."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    params = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    done = execute(name, params, folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return name, folder / "results" / params["name"]


def test_the_loss_falls_and_the_score_exceeds_the_floor(executed):
    name, folder = executed
    run = open_run(folder)
    history = run.history()
    assert history[-1]["loss"] < history[0]["loss"]
    summary = json.loads((folder / "quality_control" / "summary.json").read_text())
    score = summary["metrics"][summary["primary"]]["network"]["mean"]
    beyond = score - FLOOR[name] if run.network.higher_is_better else FLOOR[name] - score
    assert beyond > 0, f"{score} after {len(history)} epochs"
    assert summary["verdict"] in ("better", "worse", "same", "unclear")
    assert summary["metrics"][summary["primary"]]["classical"]["mean"] is not None
    if not run.network.task.paired:  # images without content may look real enough: the test has partners
        scores = {metric: of["network"]["mean"] for metric, of in summary["metrics"].items()}
        untouched = {metric: of["input"]["mean"] for metric, of in summary["metrics"].items() if of["input"]}
        assert score < untouched[summary["primary"]]
        assert scores["pearson_r"] > untouched["pearson_r"]
        assert scores["cycle_error"] < 0.25, "little is lost of the brightness range"


def test_report_predictions_and_package_are_there(executed):
    _, folder = executed
    run = open_run(folder)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "run section" not in report.lower(), "a finished run misses nothing"
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert list((folder / "predictions").rglob("*.csv" if run.network.task.owned == "boxes" else "*.tif"))
    assert list((folder / "export").glob("*.zip"))
    for name in ("config.yaml", "plan.yaml", "data.csv", "environment.txt", "losses.csv"):
        assert (folder / name).stat().st_size > 0


def test_a_fresh_kernel_runs_sections_1_and_7_alone(executed, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    name, folder = executed
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    section, kept = "", []
    for cell in notebook.cells:
        headings = [line for line in cell.source.splitlines() if line.startswith("## ")]
        section = headings[0] if headings else section
        if section.startswith(("## 1 ", "## 7 ")):
            kept.append(cell)
    notebook.cells = kept
    source = next(row["file"] for row in open_run(folder).files() if row["role"] == "test")
    params = tmp_path / "use.yaml"
    params.write_text(yaml.safe_dump({"model": str(folder), "predict_source": source}))
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute(env={**os.environ, "ZCDL_PARAMS": str(params)})
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    text = "".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs)
    assert "1 image predicted" in text
    assert list((folder / "predictions").rglob(f"{Path(source).stem}*"))

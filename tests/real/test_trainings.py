"""Trainings on real images: short ones in every test run, long ones with a table by ``make real``."""

import json

import pytest

from zcdl_common import networks, session
from zcdl_common.data import open_data

MEMBRANES = "unet2d/isbi2012_membranes"
NUCLEI = "unet2d/dsb2018_nuclei_binary"
EMBRYOS = "unet3d/bbbc050_nuclei"


def train(name, folder, results, **params):
    """Train, judge and return the summary of a run on a folder with train/ and test/."""
    network = networks.get(name)
    config = network.Config.parse(
        {
            "source": str(folder / "train" / "source"),
            "target": str(folder / "train" / "target"),
            "test_source": str(folder / "test" / "source"),
            "test_target": str(folder / "test" / "target"),
            "results": str(results),
            "name": folder.name,
            **params,
        }
    )
    data = open_data(config, network)
    run = session.begin(session.prepare(network, config, data))
    session.train(run, data)
    summary = session.judge(run, say=lambda text: None)
    session.report(run)
    return run, summary


def mean(summary, metric, method="network"):
    return summary["metrics"][metric][method]["mean"]


@pytest.mark.real
def test_half_a_minute_of_unet_finds_real_nuclei(real_data, tmp_path):
    run, summary = train("unet", real_data / NUCLEI, tmp_path, time_budget_minutes=0.5)
    assert mean(summary, "iou") > 0.88, run.history()[-1]
    assert json.loads((run.quality_control / "summary.json").read_text())["n_images"] == 6


LONG = [
    # folder, parameters, least mean test IoU, and whether the network must beat the classical method
    (MEMBRANES, {"time_budget_minutes": 8.0, "axes": "YX"}, 0.908, True),
    (NUCLEI, {"time_budget_minutes": 6.0, "axes": "YX"}, 0.9415, False),  # 0.942 in three digits
    (EMBRYOS, {"time_budget_minutes": 8.0, "axes": "ZYX"}, 0.72, True),
]


@pytest.mark.real
@pytest.mark.long
@pytest.mark.parametrize(("folder", "params", "least", "beats"), LONG)
def test_unet_on_real_images(folder, params, least, beats, real_data, tmp_path, table):
    run, summary = train("unet", real_data / folder, tmp_path, **params)
    seconds = sum(row["seconds"] for row in run.history())
    for metric in summary["metrics"]:
        if metric.startswith("iou"):
            table.append(
                (folder, metric, mean(summary, metric), mean(summary, metric, "classical"),
                 summary["classical"], summary["verdict"], len(run.history()), seconds)
            )  # fmt: skip
    assert mean(summary, "iou") >= least
    if beats:
        assert mean(summary, "iou") > mean(summary, "iou", "classical")

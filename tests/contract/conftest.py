import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.run import open_run

CHILD = Path(__file__).with_name("child.py")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train a case in this process, once for all tests that look at it: ``trained(network, case)``."""
    kept = {}

    def train(name, case):
        key = (name, str(sorted(case.items())))
        if key not in kept:
            network = networks.get(name)
            config = network.Config.parse(
                {**case, "epochs": 2, "name": "run", "results": str(tmp_path_factory.mktemp(name))}
            )
            data = open_data(config, network)
            run = session.begin(session.prepare(network, config, data))
            session.train(run, data)
            kept[key] = open_run(run.folder), data
        return kept[key]

    return train


@pytest.fixture
def child(tmp_path):
    """Start a training in a process of its own: ``child(network, params, name)``."""
    started = []

    def start(network, params, name):
        params = {**params, "name": name, "results": str(tmp_path / "results")}
        path, progress = tmp_path / f"{name}.yaml", tmp_path / f"{name}.txt"
        path.write_text(
            yaml.safe_dump({k: list(v) if isinstance(v, tuple) else v for k, v in params.items()})
        )
        progress.write_text("")
        # as many threads as the other process has: sums in another order differ in the last bit
        process = subprocess.Popen(
            [sys.executable, str(CHILD), network, str(path), str(progress)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process, progress, tmp_path / "results" / name

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def wait_for():
    """Wait until a training says that it has reached an epoch and step."""

    def wait(process, progress, epoch, step, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if f"{epoch} {step}" in progress.read_text().splitlines():
                return
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        raise AssertionError(f"epoch {epoch}, step {step} was not reached in {seconds} s")

    return wait

"""Prediction of images larger than memory: the same peak for 4 and for 64 megapixels."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile

from zcdl_common import networks, session
from zcdl_common.data import open_data

CHILD = """
import sys
from pathlib import Path
from zcdl_common.predict import predict_folder
from zcdl_common.run import open_run
run = open_run(Path(sys.argv[1]))
(done,) = predict_folder(run, run.load(), sys.argv[2], Path(sys.argv[3]), stream_above=0)
assert not done.problem, done.problem
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_peak_memory_is_flat_from_4_to_64_megapixels(tmp_path):
    network = networks.get("unet")
    config = network.Config.parse(
        {
            "dataset": "sim_instances_2d",
            "results": str(tmp_path),
            "name": "run",
            "epochs": 1,
            "depth": 3,
            "filters": 16,
        }
    )
    data = open_data(config, network)
    run = session.begin(session.prepare(network, config, data))
    session.train(run, data)
    tile = data.split.test[0].source.read()[..., 0]
    peaks = {}
    for side in (2048, 8192):
        folder = tmp_path / str(side)
        folder.mkdir()
        repeats = -(-side // min(tile.shape))
        image = np.tile(tile, (repeats, repeats))[:side, :side]
        tifffile.imwrite(folder / "big.tif", image, metadata={"axes": "YX"})
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(run.folder), str(folder), str(folder / "out")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        peaks[side] = int(done.stdout.split()[-1])
        (written,) = (folder / "out").glob("*.tif")
        assert tifffile.TiffFile(written).series[0].shape == (side, side)
    print(f"peak memory: {peaks[2048] / 1024:.0f} MB at 4 megapixels, {peaks[8192] / 1024:.0f} MB at 64")
    assert peaks[8192] <= 1.1 * peaks[2048]

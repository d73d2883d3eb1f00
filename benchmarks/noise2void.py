"""Noise2Void's batches and training steps: ours, and n2v's own, on the same network, patches and batches.

First the making of batches alone, by the share of hidden pixels; then whole training. n2v's generator takes a
square root for a cube root and hides fewer voxels than stated in 3D: there it does less work for the same
parameter. One process, in turns; medians. Usage: python benchmarks/noise2void.py [STEPS]
"""

import contextlib
import io
import sys
import time
from statistics import median

import numpy as np

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.fit import batches
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.training import ready

ROUNDS = 5
CASES = {
    "2D, as planned for a CPU": {"dataset": "sim_noise2void_2d"},
    "2D, 0.2 % hidden, as in ZeroCostDL4Mic": {"dataset": "sim_noise2void_2d", "masked_share": 0.00198},
    "2D, 1.5 % hidden, as n2v proposes": {"dataset": "sim_noise2void_2d", "masked_share": 0.015},
    "2D, N2V2": {"dataset": "sim_noise2void_2d", "n2v2": True},
    "3D, as planned for a CPU": {"dataset": "sim_noise2void_3d"},
}


def library(run, samples):
    """n2v's generator over the same images."""
    from n2v.internals.N2V_DataWrapper import N2V_DataWrapper
    from n2v.utils.n2v_utils import pm_median, pm_uniform_withCP

    config = run.config
    x = np.stack([sample.source.read() for sample in samples])
    y = np.concatenate([x, np.zeros_like(x)], axis=-1)
    values = (pm_median if config.n2v2 else pm_uniform_withCP)(config.radius)
    with contextlib.redirect_stdout(io.StringIO()):
        return N2V_DataWrapper(
            np.resize(x, (max(len(x), config.batch_size), *x.shape[1:])),
            np.resize(y, (max(len(y), config.batch_size), *y.shape[1:])),
            config.batch_size,
            10**6,
            perc_pix=100 * config.masked_share,
            shape=config.patch_size,
            value_manipulation=values,
        )


def contenders(run, samples, steps):
    """Passes over `steps` batches: made only, and trained on."""
    ours, theirs = run.build(), run.build()
    wrapper = library(run, samples)

    def make_ours(number):
        for step in range(steps):
            ours.batch(samples, np.random.default_rng([number, step]))

    def make_theirs(number):
        for step in range(steps):
            wrapper[step]

    def train_ours(number):
        for batch in batches(ours, samples, 0, number, steps):
            loss = ours.step(batch, run.config.learning_rate)["loss"]
        float(loss)

    def train_theirs(number):
        theirs.net.fit(iter(wrapper), steps_per_epoch=steps, epochs=1, verbose=0)

    return {"batches": (make_ours, make_theirs), "training": (train_ours, train_theirs)}


def main(steps):
    network = networks.get("noise2void")
    for title, params in CASES.items():
        config = network.Config.parse(params)
        data = open_data(config, network)
        prepared = session.prepare(network, config, data)
        run = Run(None, network, prepared.planned, prepared.facts, {})
        samples = ready(run, data.split.train, Memory(2**31))
        size = " x ".join(map(str, prepared.planned.patch_size))
        print(f"{title}: patches of {size}, batch {prepared.planned.batch_size}")
        for what, both in contenders(run, samples, steps).items():
            times = ([], [])
            for number in range(ROUNDS + 1):
                for who in (0, 1) if number % 2 else (1, 0):
                    begin = time.perf_counter()
                    both[who](number)
                    if number:  # the first round compiles
                        times[who].append(time.perf_counter() - begin)
            ours, theirs = (steps * prepared.planned.batch_size / median(t) for t in times)
            print(f"  {what:9} ours {ours:8.0f}  n2v {theirs:8.0f} samples/s   {ours / theirs:6.2f} x n2v")


if __name__ == "__main__":
    np.random.seed(0)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)

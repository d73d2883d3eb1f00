"""Training samples per second: ours, and csbdeep's own example, on the same network, patches and batches.

csbdeep cuts its patches beforehand, keeps them in memory and does not augment; ours are cut and augmented
while the network trains. One process, in turns; medians. Usage: python benchmarks/care.py [STEPS]
"""

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
    "2D, as planned for a CPU": {"dataset": "sim_restore_2d"},
    "2D, with uncertainty": {"dataset": "sim_restore_2d", "loss": "laplace"},
    "3D, as planned for a CPU": {"dataset": "sim_restore_3d"},
}


def ours(run, samples, steps):
    model = run.build()

    def one_pass(number):
        for batch in batches(model, samples, 0, number, steps):
            loss = model.step(batch, run.config.learning_rate)["loss"]
        return float(loss)

    return one_pass


def theirs(run, samples, steps):
    from csbdeep.data import RawData, create_patches, no_background_patches
    from csbdeep.internals.train import DataWrapper
    from csbdeep.models import CARE, Config

    config, facts = run.config, run.facts
    axes = "ZYX"[-facts.ndim :]
    raw = RawData(
        lambda: ((s.source.read()[..., 0], s.target.read()[..., 0], axes, None) for s in samples),
        len(samples),
        "",
    )
    x, y, _ = create_patches(
        raw,
        config.patch_size,
        config.patches_per_image,
        patch_filter=no_background_patches(0.4),
        verbose=False,
    )
    x, y = x[:, 0, ..., None], y[:, 0, ..., None]
    model = CARE(
        Config(
            axes,
            unet_n_depth=config.depth,
            unet_n_first=config.filters,
            unet_kern_size=config.kernel,
            probabilistic=config.loss == "laplace",
            train_loss=config.loss,
            train_reduce_lr=None,
        ),
        basedir=None,
    )
    model.prepare_for_training()

    def one_pass(number):
        data = DataWrapper(x, y, config.batch_size, length=steps)
        log = model.keras_model.fit(iter(data), steps_per_epoch=steps, epochs=1, verbose=0).history
        return log["loss"][-1]

    return one_pass


def main(steps):
    network = networks.get("care")
    for title, params in CASES.items():
        config = network.Config.parse(params)
        data = open_data(config, network)
        prepared = session.prepare(network, config, data)
        run = Run(None, network, prepared.planned, prepared.facts, {})
        samples = ready(run, data.split.train, Memory(2**31))
        contenders = {"zcdl_common": ours(run, samples, steps), "csbdeep": theirs(run, samples, steps)}
        times = {key: [] for key in contenders}
        for number in range(ROUNDS + 1):
            for key in list(contenders)[:: 1 if number % 2 else -1]:
                begin = time.perf_counter()
                contenders[key](number)
                if number:  # the first round compiles
                    times[key].append(time.perf_counter() - begin)
        rates = {key: steps * prepared.planned.batch_size / median(t) for key, t in times.items()}
        size = " x ".join(map(str, prepared.planned.patch_size))
        print(f"{title}: patches of {size}, batch {prepared.planned.batch_size}")
        for key, rate in rates.items():
            print(f"  {key:12} {rate:8.0f} samples/s   {rate / rates['csbdeep']:5.2f} x csbdeep")


if __name__ == "__main__":
    np.random.seed(0)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

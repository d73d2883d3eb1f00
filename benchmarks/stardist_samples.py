"""StarDist: samples per second, ours and the stardist package's own, from the same images at equal sizes.

First the data generators alone (patches, distances, probabilities; both without augmentation, then ours
with it), then whole training steps: the package's generator through its ``fit``, ours through our loop. One
process, in turns; medians. Usage: python benchmarks/stardist_samples.py [STEPS]
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
    "2D, as planned": {"dataset": "sim_instances_2d"},
    "2D, patches of 192 on every pixel": {
        "dataset": "sim_instances_2d",
        "patch_size": (192, 192),
        "grid": (1, 1),
    },
    "3D, as planned": {"dataset": "sim_instances_3d"},
    "3D, 96 rays": {"dataset": "sim_instances_3d", "n_rays": 96, "patch_size": (16, 96, 96)},
}


def ours(model, samples, augment):
    model.config = model.config.changed(augment=augment)

    def one_pass(number, steps):
        for step in range(steps):
            model.batch(samples, np.random.default_rng([0, number, step]))

    return one_pass


def generator(model, samples, batch_size):
    """The package's generator, as its ``train`` builds it."""
    from stardist import rays_from_json
    from stardist.models import StarDistData2D, StarDistData3D

    config = model.library.config
    kwargs = {
        "patch_size": config.train_patch_size,
        "grid": config.grid,
        "foreground_prob": config.train_foreground_only,
        "batch_size": batch_size,
        "length": 10**6,
    }
    pair = ([s.source.read()[..., 0] for s in samples], [s.target.read() for s in samples])
    if config.n_dim == 2:
        return StarDistData2D(*pair, n_rays=config.n_rays, **kwargs)
    rays = rays_from_json(config.rays_json)
    return StarDistData3D(*pair, rays=rays, anisotropy=config.anisotropy, **kwargs)


def theirs(data):
    def one_pass(number, steps):
        for step in range(steps):
            data[number * steps + step]

    return one_pass


def our_training(model, samples, rate):
    def one_pass(number, steps):
        for batch in batches(model, samples, 0, number, steps):
            loss = model.step(batch, rate)["loss"]
        return float(loss)

    return one_pass


def their_training(model, data):
    def one_pass(number, steps):
        model.library.keras_model.fit(iter(data), steps_per_epoch=steps, epochs=1, verbose=0)

    return one_pass


def compare(contenders, steps, batch_size):
    """Print samples per second of each, and their ratio to the last one, which is the package."""
    times = {key: [] for key in contenders}
    for number in range(ROUNDS + 1):
        for key in list(contenders)[:: 1 if number % 2 else -1]:
            begin = time.perf_counter()
            contenders[key](number, steps)
            if number:  # the first round compiles and fills caches
                times[key].append(time.perf_counter() - begin)
    rates = {key: steps * batch_size / median(t) for key, t in times.items()}
    reference = list(rates.values())[-1]
    for key, rate in rates.items():
        print(f"  {key:34} {rate:8.1f} samples/s   {rate / reference:5.2f} x stardist")


def main(steps):
    network = networks.get("stardist")
    for title, params in CASES.items():
        config = network.Config.parse(params)
        data = open_data(config, network)
        prepared = session.prepare(network, config, data)
        run = Run(None, network, prepared.planned, prepared.facts, {})
        samples = ready(run, data.split.train, Memory(2**31))
        planned = prepared.planned
        plain, full, learner, reference = (run.build() for _ in range(4))
        size, grid = (" x ".join(map(str, value)) for value in (planned.patch_size, planned.grid))
        print(f"{title}: patches of {size}, grid {grid}, {planned.n_rays} rays, batch {planned.batch_size}")
        made = generator(reference, samples, planned.batch_size)
        compare(
            {
                "generator, with augmentation": ours(full, samples, True),
                "generator": ours(plain, samples, False),
                "generator of stardist": theirs(made),
            },
            steps,
            planned.batch_size,
        )
        compare(
            {
                "training, with augmentation": our_training(learner, samples, planned.learning_rate),
                "training of stardist": their_training(reference, made),
            },
            steps,
            planned.batch_size,
        )


if __name__ == "__main__":
    np.random.seed(0)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)

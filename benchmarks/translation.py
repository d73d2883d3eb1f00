"""Steps per second and memory of fnet, pix2pix and CycleGAN: ours, and a plain loop over the same networks.

Both see the same images, patches and batches, in turns in one run; so does ours with one of its levers
switched. Memory is what 8 steps need at most, in a process of its own that builds one of them: what is
allocated on the GPU where there is one, else what the process holds more than before (Linux).

Usage: python benchmarks/translation.py [ROUNDS [CASE ...]]
"""

import ast
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from plain.translation import PLAIN, Crops
from torch.utils.data import DataLoader

from zcdl_common import networks, session
from zcdl_common.data import open_data
from zcdl_common.fit import batches
from zcdl_common.models._torch import pick_device
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.task import resolve
from zcdl_common.training import ready

OURS = "zcdl_common"
STEPS = 8
DEVICE = pick_device()
CASES = {
    "fnet": {"dataset": "sim_translate_2d", "patch_size": (128, 128), "batch_size": 8},
    "fnet 3D": {"dataset": "sim_translate_3d", "patch_size": (16, 64, 64), "batch_size": 2},
    "pix2pix": {"dataset": "sim_translate_2d", "patch_size": (128, 128), "batch_size": 4, "depth": 6},
    "cyclegan": {"dataset": "sim_unpaired", "patch_size": (96, 96), "batch_size": 1},
}


class Case:
    """What all contenders share: settings, and images as `fit` gets them."""

    def __init__(self, name):
        network = networks.get(name.split()[0])
        config = network.Config.parse({**CASES[name], "busy_patches": 0.0})
        data = open_data(config, network)
        prepared = session.prepare(network, config, data)
        self.network, self.config, self.facts = network, prepared.planned, prepared.facts
        self.samples = ready(Run(None, network, self.config, self.facts, {}), data.split.train, Memory(2**31))

    def contenders(self, kwargs):
        """Name -> a function that builds it; `kwargs` are those of the plain network."""
        levers = {
            "batches made in turn": {"threaded": False},
            "no augmentation": {"augment": False},
            "other layout in memory": {"other_layout": True},
        }
        if self.network.name == "cyclegan":
            levers["identity passes apart"] = {"apart": True}
        if DEVICE.type == "cuda":
            levers["float32"] = {"precision": "float32"}
        changed = {f"ours, {name}": partial(self.ours, **lever) for name, lever in levers.items()}
        return {OURS: self.ours, "plain loop": partial(self.plain, kwargs), **changed}

    def model(self, other_layout=False, **settings):
        """Ours; by itself CycleGAN is contiguous and the others are channels-last."""
        kind = resolve(self.network.model)
        if other_layout:
            kind = type(kind.__name__, (kind,), {"channels_last": not kind.channels_last})
        return kind(self.config.changed(**settings), self.facts)

    def ours(self, threaded=True, apart=False, other_layout=False, **settings):
        """What `fit` does in an epoch, less validation."""
        model, size = self.model(other_layout, **settings), self.config.batch_size
        if apart:  # what is translated and what is left alone are joined in one batch: take it apart again
            for name in model.sides["net"]:
                net = model.networks[name]
                model.calls[name] = lambda x, net=net: torch.cat([net(part) for part in x.split(size)])
        elif other_layout and self.network.name == "fnet":  # its batches come channels-last
            model.calls["net"] = lambda x: model.net(x.contiguous())

        def in_turn(epoch):
            for step in range(STEPS):
                yield model.batch(self.samples, np.random.default_rng([0, epoch, step]))

        def train(epoch):
            made = batches(model, self.samples, 0, epoch, STEPS) if threaded else in_turn(epoch)
            rows = [model.step(batch, 2e-4) for batch in made]
            [float(value) for row in rows for value in row.values()]

        return train

    def plain(self, kwargs):
        """An epoch of a plain loop."""
        own = [s for s in self.samples if s.domain == "source"]
        paired = self.network.task.paired
        other = own if paired else [s for s in self.samples if s.domain == "target"]
        targets = [s.target.read() if paired else s.source.read() for s in other]
        size, batch = self.config.patch_size, self.config.batch_size
        crops = Crops([s.source.read() for s in own], targets, size, STEPS * batch, paired)
        step = PLAIN[self.network.name](kwargs, DEVICE)

        def train(_):
            for x, y in DataLoader(crops, batch, shuffle=True):
                step(x.to(DEVICE), y.to(DEVICE))

        return train


def seconds(train, epoch):
    """Wall time of an epoch, until the device has done all of it."""
    begin = time.perf_counter()
    train(epoch)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def memory(name, who, kwargs):
    """What a contender needs at most, in a process of its own, in MiB."""
    line = [sys.executable, __file__, "--memory", name, who, repr(kwargs)]
    return float(subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak(name, who, kwargs):
    """What `memory` starts."""
    build = Case(name).contenders(ast.literal_eval(kwargs))[who]
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far: preparing images holds more
    before = held("VmRSS")
    build()(1)
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return held("VmHWM") - before


def held(what):
    """Memory of this process, in MiB: at present (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def main(rounds, names):
    print(f"torch {torch.__version__}, {DEVICE.type}, {torch.get_num_threads()} threads")
    for name in names:
        case = Case(name)
        kwargs = case.model().kwargs
        trained = {who: build() for who, build in case.contenders(kwargs).items()}
        times = {who: [] for who in trained}
        for r in range(rounds + 1):
            for who in list(trained)[:: 1 if r % 2 else -1]:
                taken = seconds(trained[who], r + 1)
                if r:  # the first round warms up
                    times[who].append(taken)
        speed = {who: STEPS / median(taken) for who, taken in times.items()}
        print(f"\n{name:32}{'steps/s':>8}{'ours is':>10}{'MiB':>8}")
        for who in trained:
            faster = f"{speed[OURS] / speed[who]:.2f} x"
            print(f"  {who:30}{speed[who]:8.2f}{faster:>10}{memory(name, who, kwargs):8.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(peak(*sys.argv[2:]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or list(CASES))

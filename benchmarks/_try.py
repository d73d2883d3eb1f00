"""Steps and frames per second of Deep-STORM, and memory: ours, and plain loops over the same network.

All have the same weights (checked: the same map and loss), simulation, patches and batches, and take turns in
one run; so does ours with one of its levers switched. A plain loop learns from patches that are made
beforehand, in the seconds of the last column, or from new ones for every step as ours does. Memory is what a
contender needs at most in a process of its own: what is allocated on the GPU where there is one, else what
the process holds more than before (Linux). With ZCDL_REAL_DATA naming the folder of real images the movie is
one of Deep-STORM's sets, else simulated.

Usage: python benchmarks/localisation.py [ROUNDS]
"""

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import tifffile
import torch
from plain import localisation as plain
from torch.nn import functional as F
from torch.utils.data import DataLoader
from translation import held, seconds

from zcdl_common import networks
from zcdl_common.fit import batches
from zcdl_common.models import _heat, _torch
from zcdl_common.models.nets import deepstorm as nets
from zcdl_common.networks.deepstorm import STEPS as EPOCH
from zcdl_common.points import localise
from zcdl_common.run import Run
from zcdl_common.smlm.asked import simulation_of
from zcdl_common.smlm.simulate import frames
from zcdl_common.task import Facts

OURS, PLAIN, NEW = "zcdl_common", "plain loop", "plain loop, new frames"
STEPS, LEARNED, MOVIE, SIDE = 3, 24, 64, 64
"""Steps of a round, and before use, so that there is something to find; frames of the movie, and pixels."""
SETTINGS = {"upsampling": 4, "filters": 16, "patch_size": (26, 26), "batch_size": 16}
SIMULATED = {"density": (0.5, 5), "photons": (500, 5000), "background": (5, 30), "sigma_nm": (105, 140)}
ASKED = {"threshold": 0.25}


def doubled(x, weight):
    """`nets.doubled` as it is read."""
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)


def blur(maps, sigma):
    """`_heat.blur` as it is read."""
    return F.conv2d(maps, torch.from_numpy(plain.gauss(sigma)).to(maps)[None, None], padding=plain.REACH)


class Case:
    """What all contenders share: a movie TYX, settings, and weights."""

    def __init__(self, weights=None):
        network, folder = networks.get("deepstorm"), os.environ.get("ZCDL_REAL_DATA")
        asked = network.Config.parse({**SETTINGS, **SIMULATED})
        simulation = simulation_of(asked, 100.0)
        if folder:
            self.movie = tifffile.imread(Path(folder) / "deepstorm/bundled_tubes_hd_sim/frames.tif")[:MOVIE]
        else:
            self.movie, _ = frames(np.random.default_rng(0), simulation, MOVIE, (SIDE, SIDE))
        self.mean, self.sd = float(self.movie.mean()), float(self.movie.std())
        extra = {"source_mean": (self.mean,), "source_sd": (self.sd,)}
        facts = Facts(2, ("light",), ((SIDE, SIDE),), "uint16", pixel_size=(0.1, 0.1), extra=extra)
        self.config = network.plan(asked, facts).config
        self.run = Run(None, network, self.config, facts, {})
        self.model = self.run.build()
        if weights:
            self.model.net.load_state_dict(torch.load(weights))
        self.net = plain.network(1, self.config.filters).to(self.model.device)
        values = self.model.net.state_dict().values()
        self.net.load_state_dict(dict(zip(self.net.state_dict(), values, strict=True)))
        self.size, self.up, self.spread = (
            getattr(self.config, name) for name in ("patch_size", "upsampling", "heat_sigma")
        )
        self.args = simulation, self.scaled, self.size, self.up, self.spread

    def scaled(self, frame):
        return (frame.astype(np.float32) - self.mean) / self.sd

    def check(self):
        """Both make the same map of a frame, and see the same loss of a batch."""
        frame = self.scaled(self.movie[0])
        (ours,) = self.model.forward(frame[None, ..., None])
        with torch.no_grad():
            x = torch.from_numpy(plain.enlarged(frame, self.up)).to(self.model.device)
            theirs = self.net.eval()(x[None, None]).cpu().numpy()
        np.testing.assert_allclose(ours[0, ..., 0], theirs[0, 0], atol=1e-5 * np.ptp(theirs))
        target = self.model.batch((), np.random.default_rng(0))["target"]
        heats = np.stack([plain.heat(yx[yx[:, 0] >= 0], self.size, self.up, self.spread) for yx in target])
        maps = 50 * torch.randn(len(target), 1, *heats.shape[1:])
        same = _heat.loss(maps, torch.from_numpy(target), self.up, self.spread)
        torch.testing.assert_close(plain.loss(maps, torch.from_numpy(heats[:, None]), self.spread), same)

    def making(self):
        """Name -> a function that builds what makes the batches of a round."""
        new = plain.New(*self.args, STEPS * self.config.batch_size)
        loader = DataLoader(new, self.config.batch_size)
        return {OURS: lambda: lambda epoch: list(self.in_turn(epoch)), NEW: lambda: lambda _: list(loader)}

    def training(self):
        """What does the steps of a round."""
        before = list(self.in_turn(0))
        return {
            OURS: self.ours,
            PLAIN: lambda: self.plain(plain.Patches(*self.args)),
            NEW: lambda: self.plain(plain.New(*self.args, STEPS * self.config.batch_size)),
            "ours, batches made in turn": lambda: self.ours(self.in_turn),
            "ours, batches made beforehand": lambda: self.ours(lambda _: before),
            "ours, plain doubling": lambda: self.ours(change=(nets, "doubled", doubled)),
            "ours, blur by a convolution": lambda: self.ours(change=(_heat, "blur", blur)),
        }

    def in_turn(self, epoch):
        return (self.model.batch((), np.random.default_rng([0, epoch, step])) for step in range(STEPS))

    def ours(self, feed=None, change=None):
        feed = feed or (lambda epoch: batches(self.model, (), 0, epoch, STEPS))

        def train(epoch):
            with patch.object(*change) if change else nullcontext():
                losses = [self.model.step(made, self.config.learning_rate)["loss"] for made in feed(epoch)]
            [float(loss) for loss in losses]

        return train

    def plain(self, patches):
        step = plain.training(self.net, self.config.learning_rate, self.spread)

        def train(_):
            loader = DataLoader(patches, self.config.batch_size, shuffle=True)
            for _, made in zip(range(STEPS), loader, strict=False):
                step(*(part.to(self.model.device) for part in made))

        return train

    def use(self):
        """What finds the molecules of the movie, and says how many there are in each frame."""
        return {
            OURS: lambda: self.find,
            PLAIN: lambda: self.find_plain,
            **{f"ours, {n} at once": partial(partial, self.find, together=n) for n in (1, 8, 64)},
            "ours, plain doubling": lambda: patch.object(nets, "doubled", doubled)(self.find),
        }

    def find(self, _, together=None):
        with patch.object(self.model, "together", together or self.model.together):
            return [len(one.main) for one in localise(self.run, self.model, self.movie[..., None], ASKED)]

    def find_plain(self, _):
        return [len(self.of_frame(frame)[0]) for frame in self.movie]

    def of_frame(self, frame):
        return plain.localise(self.net, self.scaled(frame), self.up, self.model.device)

    def moved(self):
        """Bytes that go to the device and come back for a frame, of both."""
        fetched, send, peaks = [], _torch.send, _heat.peaks

        def find(*args):
            fetched.extend(found := peaks(*args))
            return found

        with patch.object(_torch, "send", wraps=send) as sent, patch.object(_heat, "peaks", find):
            self.find(0)
        ours = [call.args[0] for call in sent.call_args_list], fetched
        ours = [sum(part.nbytes for part in parts) / len(self.movie) for parts in ours]
        return {OURS: ours, PLAIN: self.of_frame(self.movie[0])[1:]}


def memory(*which):
    """What a contender needs at most, in a process of its own, in MiB."""
    line = [sys.executable, __file__, "--memory", *map(str, which)]
    return float(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def peak(weights, what, who):
    """What `memory` starts."""
    build = getattr(Case(weights), what)()[who]
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = held("VmRSS")
    build()(1)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return held("VmHWM") - before


def compare(weights, what, unit, rounds):
    case = Case(weights)
    case.check()
    built, before = {}, {}
    for who, build in getattr(case, what)().items():
        before[who] = seconds(lambda who, build=build: built.update({who: build()}), who)
    times = {who: [] for who in built}
    for r in range(rounds + 1):
        for who in list(built)[:: 1 if r % 2 else -1]:
            taken = seconds(built[who], r + 1)
            if r:  # the first round warms up
                times[who].append(taken)
    count = len(case.movie) if what == "use" else STEPS
    speed = {who: count / median(taken) for who, taken in times.items()}
    print(f"\n{what:32}{unit + '/s':>10}{'ours is':>10}{'MiB':>8}{'before':>8}")
    for who, value in speed.items():
        faster = f"{speed[OURS] / value:.2f} x"
        row = f"  {who:30}{value:10.2f}{faster:>10}{memory(weights, what, who):8.0f}{before[who]:8.1f}"
        print(row, flush=True)
    if what == "training":
        steps = EPOCH * case.config.epochs
        spread = steps / (steps / speed[PLAIN] + before[PLAIN])
        print(
            f"  {PLAIN}, with what is made before, over the {steps} steps of the plan: {spread:.2f} steps/s"
        )
    return case


def main(rounds):
    case = Case()
    print(f"torch {torch.__version__}, {case.model.device.type}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        for epoch in range(LEARNED // STEPS):
            case.ours()(epoch)
        torch.save(case.model.net.state_dict(), weights)
        compare(weights, "making", "batches", rounds)
        compare(weights, "training", "steps", rounds)
        case = compare(weights, "use", "frames", rounds)
    for who, (sent, fetched) in case.moved().items():
        found = np.mean(case.use()[who]()(0))
        print(f"  {who}: bytes a frame: {sent:.0f} sent, {fetched:.0f} fetched; {found:.1f} molecules found")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(peak(*sys.argv[2:]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

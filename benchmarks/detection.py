"""Images per second of the detector: training and use, ours and a plain loop over the same network.

Both see the same images, sizes and settings, in turns in one run. Ours also makes mosaics of four images; it
is timed with and without.

Usage: python benchmarks/detection.py [ROUNDS]
"""

import sys
import time
from statistics import median

import numpy as np
import torch
from plain import detection as plain
from torch.utils.data import DataLoader

from zcdl_common import detecting, networks, session
from zcdl_common.data import open_data
from zcdl_common.fit import batches
from zcdl_common.models.nets.yolo import YOLO
from zcdl_common.patches import Memory
from zcdl_common.run import Run
from zcdl_common.tiles import predict_whole
from zcdl_common.training import ready

STEPS = 6
SETTINGS = {"dataset": "sim_detect", "patch_size": (192, 192), "batch_size": 8, "downscaling_in_xy": 1}
ASKED = {"confidence": 0.05, "nms_iou": 0.5}


def main(rounds):
    network = networks.get("yolo")
    config = network.Config.parse(SETTINGS)
    data = open_data(config, network)
    prepared = session.prepare(network, config, data)
    run = Run(None, network, prepared.planned, prepared.facts, {})
    samples = ready(run, data.split.train, Memory(2**31))
    ours = run.build()
    without = network.build(run.config.changed(mosaic=0.0), run.facts)
    torch.manual_seed(0)
    net = YOLO(**ours.kwargs).to(ours.device)
    net.load_state_dict(ours.net.state_dict())
    images, boxes = ([getattr(s, part).read() for s in samples] for part in ("source", "target"))
    size, batch = run.config.patch_size, run.config.batch_size
    loader = DataLoader(
        plain.Crops(images, boxes, size, STEPS * batch), batch, shuffle=True, collate_fn=plain.together
    )
    step = plain.training(net, run.config.learning_rate, run.config.weight_decay)

    def train(model):
        def epoch(number):
            losses = [model.step(b, 1e-3)["loss"] for b in batches(model, samples, 0, number, STEPS)]
            [float(loss) for loss in losses]

        return epoch

    def train_plain(_):
        for x, targets in loader:
            step(x.to(ours.device), targets)

    def use(_):
        for image in images:
            maps = predict_whole(ours.forward, image, ours.geometry)
            detecting.decode(maps, ours.steps, {**ASKED, "shape": image.shape[:2]})

    def use_plain(_):
        for image in images:
            tensor = torch.from_numpy(np.moveaxis(image, -1, 0).copy()).to(ours.device)
            plain.detect(net, tensor, ASKED["confidence"], ASKED["nms_iou"])

    trained = {
        "zcdl_common": (train(ours), STEPS * batch),
        "zcdl_common, no mosaics": (train(without), STEPS * batch),
        "plain loop": (train_plain, STEPS * batch),
    }
    used = {"zcdl_common": (use, len(images)), "plain loop": (use_plain, len(images))}
    print(f"torch {torch.__version__}, {ours.device.type}, {torch.get_num_threads()} threads")
    for what, contenders in (("training", trained), ("use", used)):
        times = {who: [] for who in contenders}
        for r in range(rounds + 1):
            for who in list(contenders)[:: 1 if r % 2 else -1]:
                begin = time.perf_counter()
                contenders[who][0](r + 1)
                if r:  # the first round warms up
                    times[who].append(time.perf_counter() - begin)
        speed = {who: contenders[who][1] / median(taken) for who, taken in times.items()}
        print(f"\n{what:32}{'images/s':>9}{'ours is':>10}")
        for who, value in speed.items():
            print(f"  {who:30}{value:9.1f}{speed['zcdl_common'] / value:>8.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

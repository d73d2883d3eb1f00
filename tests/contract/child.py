"""Train in a process of its own, which a test may kill. Usage: child.py NETWORK PARAMS.yaml PROGRESS"""

import sys
import time
from pathlib import Path

from zcdl_common import networks, session
from zcdl_common.config import read_params
from zcdl_common.data import open_data
from zcdl_common.listeners import Quiet


class Tell(Quiet):
    """Says where training stands, slowly enough to be shot at."""

    def __init__(self, path):
        self.path = path

    def step(self, moment):
        with self.path.open("a") as stream:
            stream.write(f"{moment.epoch} {moment.step}\n")
        time.sleep(0.03)


def main(name, params, progress):
    network = networks.get(name)
    config = network.Config.parse(read_params(Path(params), name))
    data = open_data(config, network)
    run = session.begin(session.prepare(network, config, data))
    print(session.train(run, data, [Tell(Path(progress))]))


if __name__ == "__main__":
    main(*sys.argv[1:])

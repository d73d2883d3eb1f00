"""Scores on test images against the minutes of training, beside the classical method on the same images.

A training of its own for each time limit, since the learning rate falls along the limit.
Usage: python benchmarks/over_time.py [NETWORK [MINUTES,MINUTES,... [parameter=value ...]]]
"""

import sys
import tempfile

import yaml

from zcdl_common import networks, session
from zcdl_common.data import open_data


def main(name="stardist", minutes="0.5,1,2", *params):
    network = networks.get(name)
    given = {key: yaml.safe_load(value) for key, value in (param.split("=", 1) for param in params)}
    given = given or {"dataset": "sim_instances_2d"}
    with tempfile.TemporaryDirectory() as results:
        for limit in map(float, minutes.split(",")):
            own = {"results": results, "name": f"{limit:g}_min", "time_budget_minutes": limit}
            config = network.Config.parse({**given, **own})
            data = open_data(config, network)
            run = session.begin(session.prepare(network, config, data))
            session.train(run, data)
            summary = session.judge(run, say=lambda text: None)
            history = run.history()
            spent = sum(row["seconds"] for row in history) / 60
            print(f"{spent:.1f} minutes, {len(history)} epochs, beside {summary['classical']}", flush=True)
            for metric, scores in summary["metrics"].items():
                if scores["classical"]:
                    both = (scores[who]["mean"] for who in ("network", "classical"))
                    print(f"  {metric:12}" + "".join(f"{score:9.3f}" for score in both), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

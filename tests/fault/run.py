#!/usr/bin/env python3
"""Random faults against a daemon at work, and an oracle after each of them.

    run.py --seed 7 --steps 1000

kills manager, guardian, both and workers, between and during commands and upgrades, while clients
send requests, and ends with 1 when anything was lost, doubled, refused or left behind. The seed
decides what is done; how the processes are scheduled meanwhile does not repeat, so that a rare
fault may take several runs with its seed.

A new kind of fault goes into faults.py, of step into steps.py, of app into workload.py; what must
hold stands in oracle.py and model.py.
"""

import argparse
import os
import pathlib
import random
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE / "workers"), str(HERE.parent / "integration")]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--home", type=pathlib.Path,
                        help="a new folder for everything; default: a temporary one")
    parser.add_argument("--bin", help="the folder of clusterctl and clusterd; default $CLUSTER_BIN")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="KIND,...",
                        help="of the kinds of steps in steps.py")
    parser.add_argument("--keep", action="store_true", help="the folder, also when all is well")
    parser.add_argument("--verbose", action="store_true", help="print each step")
    return parser.parse_args()


def main():
    options = parse_options()
    print(f"seed {options.seed}", flush=True)
    if options.bin:
        os.environ["CLUSTER_BIN"] = options.bin
    from runner import Runner  # it looks at that variable
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runner = Runner(options)
    well = False
    try:
        well = runner.run()
    finally:
        runner.clean_up(options.keep or not well)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

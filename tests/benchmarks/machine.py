"""What all benchmarks share: how many threads they take, and who is busy beside them."""

import argparse
import atexit
import subprocess
import sys

from lecture_utils.distributed import use_threads


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line with `--threads` and `--busy`, and do what they say."""
    parser.add_argument("--threads", type=int, default=1, help="of every rival (1)")
    parser.add_argument("--busy", action="store_true", help="keep another core busy meanwhile")
    options = parser.parse_args()
    use_threads(options.threads)
    if options.busy:
        beside = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        atexit.register(beside.kill)
    return options

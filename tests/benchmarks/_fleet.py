"""What a fleet of devices that come and go costs, as JSON: `python -m tests.benchmarks._fleet 1000000`."""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import pairwise
from statistics import median

from edgesim.server.server import Server
from tests.benchmarks import _timing as timing

ROUNDS = 25


def main(devices: int) -> dict[str, float]:
    """CPU seconds until the first dispatch and per round, and the peak of resident memory."""
    begins_s: dict[int, float] = {}

    def note(time_s: float, server: Server) -> None:  # noqa: ARG001
        begins_s.setdefault(server.view.rounds, time.process_time())

    fleet = f"{{profile: pixel-6, count: {devices}, availability: {{name: markov, on: 1 h, off: 2 h}}}}"
    rounds = "{name: synchronous, clients_per_round: 1000}"
    timing.run(timing.federation(fleet, rounds, f"{{rounds: {ROUNDS}}}"), note)
    at_s = list(begins_s.values())
    return {
        "start_s": at_s[0],
        "round_s": median(later - sooner for sooner, later in pairwise(at_s[1:])),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))

"""1,000 uploads at a time on the server's downlink: at least 5,000 visits per second."""

from tests.benchmarks import _timing as timing
from tests.benchmarks._result import Result

VISITS, CONCURRENCY = 10_000, 1_000


def measure() -> list[Result]:
    parts = timing.federation(
        "{profile: pixel-6, count: 2000, compute: {seconds_per_step: 1 ms}}",
        f"{{name: asynchronous, concurrency: {CONCURRENCY}}}",
        f"{{dispatches: {VISITS}}}",
        server="{downlink: 10 Mbit/s}",
    )
    (edgesim_s,) = timing.fastest_s(lambda: timing.run(parts))
    return [
        Result(f"{CONCURRENCY} flows on one link, {VISITS} visits", VISITS / 5_000, edgesim_s, target=1.0)
    ]

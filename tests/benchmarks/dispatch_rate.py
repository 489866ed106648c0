"""CPU seconds per visit against a bare SimPy program: at most twice for rounds, five times one by one."""

from collections.abc import Iterator
from functools import partial

from tests.benchmarks import _timing as timing
from tests.benchmarks._result import Result

VISITS, CONCURRENCY, PER_ROUND = 10_000, 100, 1_000
FLEET = "{profile: pixel-6, count: 10000}"
POLICIES = {
    "FedBuff": f"{{name: buffered, buffer: 10, concurrency: {CONCURRENCY}}}",
    "FedAsync": f"{{name: asynchronous, concurrency: {CONCURRENCY}}}",
}


def measure() -> Iterator[Result]:
    rounds = f"{{name: synchronous, clients_per_round: {PER_ROUND}}}"
    yield _result("synchronous", rounds, partial(timing.bare_rounds, VISITS, PER_ROUND), target=2.0)
    for name, policy in POLICIES.items():
        yield _result(name, policy, partial(timing.bare_stream, VISITS, CONCURRENCY), target=5.0)


def _result(name, policy, bare, target):
    parts = timing.federation(FLEET, policy, f"{{dispatches: {VISITS}}}")
    unused = iter([timing.unused(parts) for _ in range(timing.REPEATS)])
    bare_s, edgesim_s = timing.fastest_s(bare, lambda: timing.run(next(unused)))
    return Result(f"{VISITS} visits, {name}, and bare SimPy", bare_s, edgesim_s, target)

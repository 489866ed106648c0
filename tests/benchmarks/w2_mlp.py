"""W2 of design section 7: an MLP 784-64-10, 500 of 10,000 clients of 20 samples, stacked by 50, 2 threads."""

from tests.benchmarks._result import Result
from tests.benchmarks._side_by_side import compare, scenario


def measure() -> list[Result]:
    model = "{name: mlp, hidden: [64]}"
    parts = scenario(model, [784], clients=10_000, samples=20, per_round=500, cores=2)
    options = parts.scenario.execution
    return [compare(parts, f"W2 MLP, {options.mode} by {options.cohort}", target=0.25, rounds=15)]

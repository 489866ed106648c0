"""W1 of design section 7: the FedAvg CNN on CIFAR-10 shapes, 10 of 100 clients of 50 samples, 1 thread."""

from tests.benchmarks._result import Result
from tests.benchmarks._side_by_side import compare, scenario


def measure() -> list[Result]:
    parts = scenario("fedavg_cnn", [3, 32, 32], clients=100, samples=50, per_round=10, cores=1)
    options = parts.scenario.execution
    return [compare(parts, f"W1 CNN, {options.mode}, {options.memory_format}", target=0.9, rounds=9)]

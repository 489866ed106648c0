"""Runs every benchmark, or those named, each in a process of its own, and exits 1 if a target is missed."""

import multiprocessing
import pkgutil
import sys
from concurrent.futures import ProcessPoolExecutor

from tests import benchmarks
from tests.benchmarks._result import results_of


def main(chosen: list[str]) -> int:
    print(f"{'benchmark':44}{'against':>14}{'edgesim':>14}{'':6}{'ratio':>8}{'target':>8}")
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    wanted = [name for name in names if not name.startswith("_") and (not chosen or name in chosen)]
    passed = True
    # What one leaves in memory would weigh on the next.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as alone:
        for results in alone.map(results_of, wanted):
            for found in results:
                passed &= found.met
                print(
                    f"{found.title:44}{found.plain:14.6g}{found.edgesim:14.6g} {found.unit:5}"
                    f"{found.ratio:8.2f}{found.target:8.2f}  {'pass' if found.met else 'MISSED'}",
                    flush=True,
                )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

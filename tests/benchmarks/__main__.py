"""Runs every benchmark and exits 1 if a target is missed."""

import importlib
import pkgutil
import sys

from tests import benchmarks


def main() -> int:
    print(f"{'benchmark':36}{'against s':>10}{'edgesim s':>11}{'ratio':>8}{'target':>8}")
    passed = True
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            found = importlib.import_module(f"tests.benchmarks.{module.name}").measure()
            met = found.ratio <= found.target
            passed &= met
            print(
                f"{found.title:36}{found.plain_s:10.3f}{found.edgesim_s:11.3f}"
                f"{found.ratio:8.2f}{found.target:8.2f}  {'pass' if met else 'MISSED'}"
            )
    return 0 if passed else 1


sys.exit(main())

"""Runs every benchmark, or those named, and exits 1 if a target is missed."""

import importlib
import pkgutil
import sys

from tests import benchmarks


def main(chosen: list[str]) -> int:
    print(f"{'benchmark':44}{'against':>14}{'edgesim':>14}{'':6}{'ratio':>8}{'target':>8}")
    passed = True
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_") or (chosen and module.name not in chosen):
            continue
        for found in importlib.import_module(f"tests.benchmarks.{module.name}").measure():
            passed &= found.met
            print(
                f"{found.title:44}{found.plain:14.6g}{found.edgesim:14.6g} {found.unit:5}"
                f"{found.ratio:8.2f}{found.target:8.2f}  {'pass' if found.met else 'MISSED'}",
                flush=True,
            )
    return 0 if passed else 1


sys.exit(main(sys.argv[1:]))

"""How far one replaced training sample drives two models apart: python apart.py runs/masking-stability."""

import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgesim.document import open_document
from edgesim.parts import prepare
from edgesim.results.run import read
from edgesim.scenario import resolve

SCENARIO = Path(__file__).with_name("stability.yaml")
REPLACED = "-replaced"


def apart(runs: Path, variant: str, seed: int) -> tuple[float, float]:
    """Distance |w - w'| of the final weights of a pair, and its share of the way |w - w0| of training.

    Args:
        runs: folder of the runs of `stability.yaml`.
        variant: the one of the pair without a replacement.
        seed: of both runs.
    """
    final, other = (_vector(runs / f"{name}-seed{seed}") for name in (variant, variant + REPLACED))
    network = prepare(resolve(open_document(str(SCENARIO)), variant, (), seed)).network
    start = _joined({name: tensor.detach().numpy() for name, tensor in network.named_parameters()})
    distance = float(np.linalg.norm(final - other))
    return distance, distance / float(np.linalg.norm(final - start))


def _vector(run: Path) -> NDArray[np.float64]:
    weights = read(run).weights
    assert weights is not None
    return _joined(weights)


def _joined(tensors: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)


def main(runs: Path) -> None:
    """Print a table: medians over seeds, in brackets their range."""
    print("| variant | distance | of the way of training |\n|---|---|---|")
    for variant in open_document(str(SCENARIO)).variants:
        seeds = [int(run.name.rpartition("seed")[2]) for run in runs.glob(f"{variant}-seed*")]
        if seeds and not variant.endswith(REPLACED):
            distances, shares = zip(*(apart(runs, variant, seed) for seed in seeds), strict=True)
            print(f"| {variant} | {_spread(distances, 'g')} | {_spread(shares, '%')} |")


def _spread(values: tuple[float, ...], kind: str) -> str:
    low, middle, high = (f"{value:.3{kind}}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

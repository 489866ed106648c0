"""Cutting ResNet-18 at a new index set, against one local epoch on 50 CIFAR-shaped images: at most 5 %."""

import time
from statistics import median

import numpy as np
import torch

from edgesim.models._slicing import make_slicer
from tests.benchmarks._result import Result
from tests.benchmarks._side_by_side import epoch_s, scenario

REPEATS = 5


def measure() -> list[Result]:
    parts = scenario("resnet18", [3, 32, 32], clients=1, samples=50, per_round=1, cores=1)
    state = parts.network.state_dict()
    layout = parts.structure.units
    draw = np.random.default_rng(0)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        kept = [np.sort(draw.choice(group.size, group.size // 2, replace=False)) for group in layout.groups]
        slicer = make_slicer(layout, kept)
        with torch.inference_mode():
            for name, tensor in state.items():
                slicer.take(name, tensor)
        seconds.append(time.perf_counter() - started)
    return [Result("cutting ResNet-18", epoch_s(parts), median(seconds), target=0.05)]

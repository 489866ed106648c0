"""Uniform draws of a few devices from a very large fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgesim.rng import Streams


def draw_distinct(
    streams: Streams,
    key: tuple[int, ...],
    k: int,
    devices: int,
    accepted: Callable[[list[int]], Sequence[int]],
) -> list[int]:
    """Up to `k` distinct accepted devices, uniform among all that are accepted.

    Walks a random permutation of the fleet (Fisher and Yates), of which only the touched places are kept, and
    skips whom `accepted` leaves out. Step i depends on (`key`, i) alone. Steps grow with k over
    the share that is accepted, not with the fleet. Uniform to within devices / 2^64.

    Args:
        streams: where the steps come from, under the purpose "selection".
        key: names the draw.
        k: how many are wanted; all accepted devices are returned where there are fewer.
        devices: size of the fleet.
        accepted: of some devices those that may be drawn, in the same order.
    """
    moved: dict[int, int] = {}
    drawn: list[int] = []
    step, block = 0, k + k // 4 + 8
    while len(drawn) < k and step < devices:
        walked = []
        for target in _targets(streams, key, step, min(step + block, devices), devices):
            walked.append(moved.get(target, target))
            moved[target] = moved.pop(step, step)
            step += 1
        drawn.extend(accepted(walked))
        block *= 2
    return drawn[:k]


def _targets(streams: Streams, key: tuple[int, ...], start: int, stop: int, devices: int) -> list[int]:
    """For steps `start` to `stop`: the place, from the step's own to the last, that the step swaps with."""
    steps = np.arange(start, stop, dtype=np.uint64)
    targets: list[int] = (
        steps + streams.bits("selection", *key, steps) % (np.uint64(devices) - steps)
    ).tolist()
    return targets

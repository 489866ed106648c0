"""Draws of a few devices from a very large fleet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesim.rng import Streams

_FEW = 8  # hashed one by one, below the price of arrays


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
    step, block = 0, k + k // 4
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
    if stop - start <= _FEW:
        return [
            step + streams.bits_of("selection", *key, step) % (devices - step) for step in range(start, stop)
        ]
    steps = np.arange(start, stop, dtype=np.uint64)
    targets: list[int] = (
        steps + streams.bits("selection", *key, steps) % (np.uint64(devices) - steps)
    ).tolist()
    return targets


def draw_in_proportion(
    streams: Streams,
    key: tuple[int, ...],
    k: int,
    weights: NDArray[np.int64],
    weights_up_to: NDArray[np.int64],
    accepted: Callable[[list[int] | None], Sequence[int]],
) -> list[int]:
    """Up to `k` distinct accepted devices, each in turn in proportion to its weight among those left.

    Draws with replacement and passes over whom it has already, which is the same law; so tries grow with k
    over the share that is accepted, not with the fleet. Where as many tries as there are devices do not do,
    the rest is drawn by a race of all that are accepted: device i arrives at -ln(u_i) / w_i.

    Args:
        streams: where the draws come from.
        key: names the draw.
        k: how many are wanted; all accepted devices are returned where there are fewer.
        weights: of each device, [n].
        weights_up_to: their running sum, [n].
        accepted: of some devices, or of all, those that may be drawn, in the same order.
    """
    drawn: dict[int, None] = {}
    tried, block = 0, k + k // 4 + 8
    while len(drawn) < k and tried < len(weights):
        uniform = streams.uniform("selection-by-weight", *key, np.arange(tried, tried + block))
        places = np.searchsorted(weights_up_to, uniform * weights_up_to[-1], side="right")
        drawn.update(dict.fromkeys(accepted(list(dict.fromkeys(places.tolist())))))
        tried, block = tried + block, 2 * block
    if len(drawn) < k:
        left = np.array([device for device in accepted(None) if device not in drawn], dtype=np.int64)
        uniform = streams.uniform("selection-by-race", *key, left)
        drawn.update(dict.fromkeys(left[first_of_race(weights[left], uniform)].tolist()))
    return list(drawn)[:k]


def first_of_race(
    weights: NDArray[np.float64] | NDArray[np.int64], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Places in the order of arrival at -ln(u_i) / w_i; those of weight 0 come last.

    The first k are a draw of k without replacement, each in turn in proportion to its weight among those left
    (Efraimidis and Spirakis 2006).
    """
    arrival = np.full(len(weights), np.inf)
    np.divide(-np.log(uniform), weights, out=arrival, where=weights > 0)
    return np.argsort(arrival, kind="stable")

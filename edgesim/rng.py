"""Named random streams: whoever draws says what for, for which device and for which visit.

A draw depends on (seed, purpose, key) alone, never on how many draws came before. So another device, another
coordination policy or another order of events leaves every other draw as it was, and two variants with the
same seed meet the same data order, jitter and slowdowns (common random numbers).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_WORD = 2**64 - 1
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014, figure 16): a bijection on 64-bit words."""
    state = state + np.uint64(_GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX_1)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX_2)
    return state ^ (state >> np.uint64(31))


@lru_cache(maxsize=1024)
def _root(seed: int, purpose: str) -> int:
    digest = hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, slots=True)
class Streams:
    """All random streams of one seed."""

    seed: int

    def bits(self, purpose: str, *key: ArrayLike) -> NDArray[np.uint64]:
        """64 random bits for each element of the broadcast integer keys, by counter-based hashing.

        Raises:
            TypeError: a key is not made of integers.
        """
        parts = [np.asarray(part) for part in key]
        for numbers, part in zip(parts, key, strict=True):
            if numbers.dtype.kind not in "iu":
                raise TypeError(f"a key is made of integers, got {part!r}")
        if all(numbers.size == 1 for numbers in parts):
            axes = max((numbers.ndim for numbers in parts), default=0)
            single = self.bits_of(purpose, *(int(numbers.item()) for numbers in parts))
            return np.full((1,) * axes, single, dtype=np.uint64)
        with np.errstate(over="ignore"):
            state = np.asarray(_root(self.seed, purpose), dtype=np.uint64)
            for numbers in parts:
                state = _mix(state ^ numbers.astype(np.uint64))
            return _mix(state)

    def uniform(self, purpose: str, *key: ArrayLike) -> NDArray[np.float64]:
        """Numbers strictly between 0 and 1 with 52 random bits; the same for a scalar and within an array.

        With 53 bits, adding the half that keeps zero out would round the largest one up to 1.
        """
        return ((self.bits(purpose, *key) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def bits_of(self, purpose: str, *key: int) -> int:
        """The 64 bits that `bits` gives for these numbers, ten times as fast as by an array of one."""
        state = _root(self.seed, purpose)
        for number in (*key, 0):  # `_mix` in numbers, written out: a call costs as much again
            state = ((state ^ number) + _GOLDEN) & _WORD
            state = ((state ^ (state >> 30)) * _MIX_1) & _WORD
            state = ((state ^ (state >> 27)) * _MIX_2) & _WORD
            state ^= state >> 31
        return state

    def uniform_of(self, purpose: str, *key: int) -> float:
        """The number that `uniform` gives for these numbers."""
        return ((self.bits_of(purpose, *key) >> 12) + 0.5) * 2.0**-52

    def generator(self, purpose: str, *key: int) -> np.random.Generator:
        """A NumPy generator of its own, for draws of more than a number per key, such as permutations."""
        text = "\0".join(str(part) for part in (self.seed, purpose, *key))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

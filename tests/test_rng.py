"""Named random streams: what a draw depends on, and what it does not."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.rng import Streams

MASK = 2**64 - 1

seeds = st.integers(0, 2**63 - 1)
purposes = st.text(max_size=20)
keys = st.lists(st.integers(0, 2**63 - 1), max_size=3)


def unmixed(word: int) -> int:
    """The inverse of SplitMix64's finaliser, so that a test can ask for the key of any draw."""

    def unshifted(value: int, shift: int) -> int:
        found = value
        for _ in range(64 // shift):
            found = value ^ (found >> shift)
        return found

    word = unshifted(word, 31) * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    word = unshifted(word, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return (unshifted(word, 30) - 0x9E3779B97F4A7C15) & MASK


def key_of(bits: int, streams: Streams, purpose: str) -> int:
    root = unmixed(int(streams.bits(purpose)))
    return root ^ unmixed(unmixed(bits))


@given(seeds, purposes, keys, st.integers(0, 10))
@settings(deadline=None)
def test_a_draw_depends_on_seed_purpose_and_key_alone(
    seed: int, purpose: str, key: list[int], others: int
) -> None:
    first = Streams(seed).uniform(purpose, *key)
    busy = Streams(seed)
    for other in range(others):
        busy.uniform(purpose, other)
        busy.generator(purpose, other).random()
    assert busy.uniform(purpose, *key) == first


@given(seeds, purposes, st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8), st.integers(0, 2**40))
@settings(deadline=None)
def test_a_scalar_draw_equals_the_one_within_an_array_bit_for_bit(
    seed: int, purpose: str, devices: list[int], visit: int
) -> None:
    streams = Streams(seed)
    together = streams.uniform(purpose, np.array(devices), visit)
    alone = [streams.uniform(purpose, device, visit) for device in devices]
    np.testing.assert_array_equal(together, np.array(alone))
    assert [streams.uniform_of(purpose, device, visit) for device in devices] == alone


def test_a_negative_number_is_a_key_too_and_the_same_one_alone_and_in_an_array() -> None:
    alone = [Streams(1).bits_of("cell", number) for number in (-3, -1, 0)]
    assert Streams(1).bits("cell", np.array([-3, -1, 0])).tolist() == alone
    assert Streams(1).bits_of("no key") == int(Streams(1).bits("no key"))


def test_keys_are_broadcast() -> None:
    grid = Streams(1).bits("grid", np.arange(3)[:, None], np.arange(4))
    assert grid.shape == (3, 4)
    assert grid[2, 3] == Streams(1).bits("grid", 2, 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_the_type_of_an_integer_key_does_not_matter(dtype: type) -> None:
    assert Streams(1).bits("x", dtype(7)) == Streams(1).bits("x", 7)


@pytest.mark.parametrize("key", [1.0, True, "1", None, [0.5]])
def test_a_key_that_is_no_integer_is_refused(key: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        Streams(1).bits("x", key)  # type: ignore[arg-type]


def test_uniforms_have_the_moments_of_the_uniform_distribution() -> None:
    n = 200_000
    u = Streams(3).uniform("moments", np.arange(n))
    assert abs(u.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    counts = np.bincount((u * 100).astype(int), minlength=100)
    assert ((counts - n / 100) ** 2).sum() / (n / 100) < 99 + 4 * np.sqrt(2 * 99)


@pytest.mark.parametrize(("bits", "nearest"), [(0, 0.0), (MASK, 1.0)])
def test_the_smallest_and_the_largest_uniform_lie_strictly_inside(bits: int, nearest: float) -> None:
    streams = Streams(5)
    key = np.uint64(key_of(bits, streams, "extreme"))
    assert int(streams.bits("extreme", key)) == bits
    u = float(streams.uniform("extreme", key))
    assert 0 < u < 1
    assert u == pytest.approx(nearest, abs=2**-52)


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1])


N = 20_000
INDEX = np.arange(N)
REFERENCE = Streams(1).uniform("a", INDEX)


@pytest.mark.parametrize(
    "other",
    [
        Streams(1).uniform("b", INDEX),
        Streams(2).uniform("a", INDEX),
        Streams(1).uniform("a", INDEX + 1),
        Streams(1).uniform("a", INDEX, 0),
        Streams(1).uniform("a", 0, INDEX),
        Streams(1).uniform("a ", INDEX),
    ],
    ids=["purpose", "seed", "neighbour", "longer key", "other place in the key", "similar purpose"],
)
def test_different_streams_are_uncorrelated(other: NDArray[np.float64]) -> None:
    assert abs(correlation(REFERENCE, other)) < 4 / np.sqrt(N)


def test_the_order_of_the_parts_of_a_key_matters() -> None:
    streams = Streams(1)
    assert streams.bits("x", 1, 2) != streams.bits("x", 2, 1)
    assert not np.array_equal(streams.generator("x", 1, 2).random(4), streams.generator("x", 2, 1).random(4))
    assert not np.array_equal(streams.generator("x", 12).random(4), streams.generator("x", 1, 2).random(4))


@given(seeds, purposes, keys)
@settings(deadline=None)
def test_a_generator_repeats(seed: int, purpose: str, key: list[int]) -> None:
    first, again = (Streams(seed).generator(purpose, *key) for _ in range(2))
    np.testing.assert_array_equal(first.permutation(20), again.permutation(20))


def test_generators_of_different_keys_differ() -> None:
    firsts = {Streams(1).generator("batches", device).random() for device in range(1000)}
    assert len(firsts) == 1000


def test_the_mixing_is_that_of_splitmix64() -> None:
    """0xE220A8397B1DCDAF is the first number of the published generator seeded with zero."""
    assert unmixed(0xE220A8397B1DCDAF) == 0
    streams = Streams(1)
    assert int(streams.bits("x", key_of(0xE220A8397B1DCDAF, streams, "x"))) == 0xE220A8397B1DCDAF


def test_draws_have_their_golden_values() -> None:
    """Whoever changes these changes every result that was ever published."""
    streams = Streams(7)
    assert int(streams.bits("jitter")) == 16002870669149750553
    assert streams.bits("jitter", np.arange(2), 5).tolist() == [9880810138571230005, 6781302930338664958]
    assert float(streams.uniform("jitter", 3, 1)) == 0.0025046654896724307
    assert streams.generator("batches", 3, 0).permutation(8).tolist() == [0, 3, 5, 4, 6, 2, 1, 7]


def test_draws_are_the_same_in_another_process() -> None:
    code = (
        "from edgesim.rng import Streams; s = Streams(7);"
        "print(s.bits('jitter', 1, 2), s.generator('batches', 4).integers(2**62))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        ).stdout.split()
        for hash_seed in ("1", "2")
    ]
    here = [Streams(7).bits("jitter", 1, 2), Streams(7).generator("batches", 4).integers(2**62)]
    assert printed == [[str(draw) for draw in here]] * 2

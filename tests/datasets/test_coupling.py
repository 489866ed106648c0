"""Which device holds which shard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.datasets._coupling import couple
from edgesim.datasets._partition import Dirichlet, deal
from edgesim.datasets._rule import Pool
from edgesim.errors import InputError
from edgesim.rng import Streams

COUPLINGS = ["independent", "slow_have_more", "slow_have_rare_classes"]


def shards_of_sizes(*sizes):
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def test_independent_looks_at_neither_speed_nor_shards():
    shards = shards_of_sizes(5, 1, 3)
    assert couple("independent", shards, np.zeros(9), np.array([3.0, 1, 2, 5, 4])).tolist() == [0, 1, 2, 0, 1]


def test_slow_devices_have_more():
    shards = shards_of_sizes(5, 1, 3)
    speed = np.array([20.0, 10, 30])  # the last is the fastest: it gets the shard of 1
    assert couple("slow_have_more", shards, np.zeros(9), speed).tolist() == [2, 0, 1]


def test_slow_devices_have_rare_classes():
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    shards = [np.array([7, 0]), np.array([1, 2, 3]), np.array([5, 6, 4])]
    # Surprisal: class 0 log(8/5) = 0.47, class 1 log(8/2) = 1.39, class 2 log(8/1) = 2.08.
    # Shards: (2.08 + 0.47) / 2 = 1.27; 0.47; (2 * 1.39 + 0.47) / 3 = 1.08.
    speed = np.array([1.0, 2, 3])
    assert couple("slow_have_rare_classes", shards, labels, speed).tolist() == [0, 2, 1]


def test_rare_classes_are_a_share_of_a_shard_and_not_a_number_of_samples():
    labels = np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    shards = [np.array([0]), np.arange(1, 10)]  # one sample, all rare; nine samples, two rare
    assert couple("slow_have_rare_classes", shards, labels, np.array([2.0, 1])).tolist() == [1, 0]


def test_where_no_class_is_rare_there_is_nothing_to_couple():
    with pytest.raises(InputError) as caught:
        couple("slow_have_rare_classes", shards_of_sizes(2, 4), np.array([0, 0, 1, 1, 2, 2]), np.ones(2))
    assert str(caught.value) == (
        "dataset.partition.coupling: slow_have_rare_classes needs classes that are rarer than others, but "
        "each has 2 of the 6 training samples; choose another coupling"
    )


def test_devices_that_share_shards_are_spread_evenly_in_the_order_of_speed():
    shards = shards_of_sizes(1, 2, 3)
    speed = np.array([8.0, 7, 6, 5, 4, 3, 2, 1])
    assert couple("slow_have_more", shards, np.zeros(6), speed).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_equals_stand_in_the_order_of_their_numbers():
    assert couple("slow_have_more", shards_of_sizes(2, 2, 1), np.zeros(5), np.ones(3)).tolist() == [2, 0, 1]


@given(
    st.sampled_from(COUPLINGS),
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.integers(0, 20),
    st.integers(0, 2**32 - 1),
)
def test_every_shard_is_held_and_by_numbers_of_devices_that_differ_by_one_at_most(
    coupling, sizes, more, seed
):
    draw = np.random.default_rng(seed)
    labels = np.append(draw.integers(0, 3, sum(sizes)), [4, 5, 5])
    speed = draw.exponential(size=len(sizes) + more)
    shard_of = couple(coupling, shards_of_sizes(*sizes), labels, speed)
    assert (shard_of.dtype, shard_of.shape) == (np.int64, speed.shape)
    assert np.ptp(np.bincount(shard_of, minlength=len(sizes))) <= 1


@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_along_the_order_of_speed_sizes_only_grow(clients, more, seed):
    speed = np.random.default_rng(seed).exponential(size=clients + more)
    rule = Dirichlet(alpha=0.3, clients=clients, coupling="slow_have_more")
    labels = np.repeat(np.arange(10), 60)
    dealt = deal(rule, Pool(labels), speed, Streams(seed).generator("partition"))
    sizes = [dealt.samples_of(device).size for device in np.argsort(-speed, kind="stable")]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_the_coupling_does_not_change_the_shards(coupling):
    labels = np.repeat([0, 1, 2], [50, 30, 10])
    rule = Dirichlet(alpha=0.5, coupling=coupling)
    dealt = deal(rule, Pool(labels), np.arange(6.0), Streams(1).generator("partition"))
    plain = deal(Dirichlet(alpha=0.5), Pool(labels), np.ones(6), Streams(1).generator("partition"))
    assert all(np.array_equal(one, other) for one, other in zip(dealt.shards, plain.shards, strict=True))

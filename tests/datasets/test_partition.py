"""How samples are dealt: the laws of each partition, on label lists that hypothesis makes up."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edgesim.datasets import _partition
from edgesim.datasets._partition import (
    Dirichlet,
    Iid,
    LabelsPerClient,
    Natural,
    Partition,
    Shards,
)
from edgesim.datasets._rule import Pool
from edgesim.errors import InputError
from edgesim.rng import Streams

LABELS = np.repeat(np.arange(10), 60)


def stream(seed=0):
    return Streams(seed).generator("partition")


def deal(rule, labels, devices, generator, clients=None):
    """Deal to devices that are all equally fast."""
    return _partition.deal(rule, Pool(labels, clients), np.ones(devices), generator)


def counts(dealt, labels=LABELS):
    """Samples of each class that each client holds, [clients, classes]."""
    classes = labels.max() + 1
    return np.array([np.bincount(labels[shard], minlength=classes) for shard in dealt.shards])


def assert_every_sample_has_one_owner(dealt, labels):
    assert sorted(np.concatenate(dealt.shards)) == list(range(labels.size))
    assert all(shard.size and shard.dtype == np.int64 for shard in dealt.shards)


@st.composite
def pools(draw):
    """Shuffled labels of up to six classes with at least 24 samples each, and up to twelve clients."""
    sizes = draw(st.lists(st.integers(24, 40), min_size=1, max_size=6))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).permutation(labels), draw(st.integers(1, 12)), seed


rules = st.one_of(
    st.just(Iid()),
    st.builds(Dirichlet, alpha=st.sampled_from([1e-300, 0.01, 0.3, 1.0, 100.0, 1e6])),
    st.builds(Shards, per_client=st.integers(1, 2)),
)


@given(pools(), rules)
def test_every_sample_has_one_owner_and_every_client_a_sample(pool, rule):
    labels, clients, seed = pool
    dealt = deal(rule, labels, clients, stream(seed))
    assert len(dealt.shards) == clients
    assert_every_sample_has_one_owner(dealt, labels)


@given(pools(), st.data())
def test_labels_per_client_gives_each_exactly_that_many_and_cuts_classes_evenly(pool, data):
    labels, clients, seed = pool
    classes = labels.max() + 1
    k = data.draw(st.integers(-(-classes // clients), classes))
    dealt = deal(LabelsPerClient(labels=k), labels, clients, stream(seed))
    assert_every_sample_has_one_owner(dealt, labels)
    held = counts(dealt, labels)
    assert ((held > 0).sum(axis=1) == k).all()
    for of_class in held.T:
        owners = (of_class > 0).sum()
        assert owners in (k * clients // classes, -(-k * clients // classes))
        assert np.ptp(of_class[of_class > 0]) <= 1


@given(pools(), st.integers(1, 2))
def test_shards_are_equal_and_span_at_most_two_labels_each(pool, per_client):
    labels, clients, seed = pool
    dealt = deal(Shards(per_client=per_client), labels, clients, stream(seed))
    sizes = [shard.size for shard in dealt.shards]
    assert max(sizes) - min(sizes) <= per_client
    if labels.size // (per_client * clients) <= 24:
        assert ((counts(dealt, labels) > 0).sum(axis=1) <= 2 * per_client).all()


@given(pools())
def test_iid_shares_differ_by_at_most_one_sample(pool):
    labels, clients, seed = pool
    sizes = [shard.size for shard in deal(Iid(), labels, clients, stream(seed)).shards]
    assert max(sizes) - min(sizes) <= 1


@given(pools(), rules)
def test_a_deal_depends_on_its_stream_alone(pool, rule):
    labels, clients, seed = pool
    first, second = (deal(rule, labels, clients, stream(seed)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first.shards, second.shards, strict=True))


def test_another_stream_deals_otherwise():
    for rule in (Iid(), Dirichlet(alpha=1.0), LabelsPerClient(labels=2), Shards()):
        first, second = (deal(rule, LABELS, 20, stream(seed)) for seed in (0, 1))
        assert any(not np.array_equal(a, b) for a, b in zip(first.shards, second.shards, strict=True)), rule


def test_dirichlet_with_a_large_alpha_gives_everybody_every_class_alike():
    held = counts(deal(Dirichlet(alpha=1e6), LABELS, 12, stream()))
    assert (abs(held - 5) <= 1).all()


def test_dirichlet_shares_of_a_class_have_the_variance_of_the_distribution():
    # A symmetric Dirichlet over N has the variance (N - 1) / (N^2 (N alpha + 1)) in each share.
    clients, alpha, samples, classes = 5, 0.5, 2_000, 200
    labels = np.repeat(np.arange(classes), samples)
    shares = counts(deal(Dirichlet(alpha=alpha), labels, clients, stream()), labels) / samples
    assert shares.mean(axis=1) == pytest.approx([1 / clients] * clients, abs=0.06)
    assert shares.var() == pytest.approx((clients - 1) / (clients**2 * (clients * alpha + 1)), rel=0.1)


def test_dirichlet_with_a_small_alpha_says_how_many_clients_it_had_to_help():
    dealt = deal(Dirichlet(alpha=1e-6), np.repeat([0, 1], 10), 5, stream())
    # Each class falls to one client, so three or four of the five came out empty.
    assert dealt.notes[0].startswith(("dirichlet left 3 of 5", "dirichlet left 4 of 5"))
    assert_every_sample_has_one_owner(dealt, np.repeat([0, 1], 10))


def test_rounding_favours_no_client_where_clients_outnumber_the_samples_of_a_class():
    # Each of 10 classes gives 60 of 300 clients a sample. If always to the same, 240 would stay empty;
    # if it picks at random, 300 (1 - 1/5)^10 = 32 do, with a standard deviation below 5.4.
    dealt = deal(Dirichlet(alpha=1e6), LABELS, 300, stream())
    assert int(dealt.notes[0].split()[2]) == pytest.approx(32, abs=3 * 5.4)


def test_labels_are_combined_freely():
    held = counts(deal(LabelsPerClient(labels=2), LABELS, 100, stream())) > 0
    assert len({tuple(np.flatnonzero(row)) for row in held}) > 25  # of 45 pairs


def test_more_clients_than_samples_draw_with_replacement_under_iid_and_it_is_said():
    dealt = deal(Iid(), np.array([0, 1, 2]), 1000, stream())
    assert all(shard.size == 1 for shard in dealt.shards)
    assert set(np.concatenate(dealt.shards)) == {0, 1, 2}
    assert dealt.notes == ("1000 clients share 3 samples: iid drew one for each, with replacement",)


def test_fewer_shards_than_devices_go_round():
    dealt = deal(Iid(clients=3), LABELS, 7, stream())
    assert len(dealt.shards) == 3
    assert dealt.shard_of.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert dealt.samples_of(4) is dealt.shards[1]


WRITERS = np.array([7, 2, 7, 9, 2, 7])  # of six samples


def test_each_natural_client_is_a_shard_with_its_samples_in_their_order():
    dealt = deal(Natural(), np.arange(6), 3, stream(), WRITERS)
    assert sorted(shard.tolist() for shard in dealt.shards) == [[0, 2, 5], [1, 4], [3]]
    assert dealt.notes == ()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.data())
def test_natural_shards_are_distinct_clients_drawn_from_the_stream(writers, data):
    writers = np.array(writers)
    clients = data.draw(st.integers(1, np.unique(writers).size))
    dealt = deal(Natural(), np.zeros_like(writers), clients, stream(), writers)
    owners = [set(writers[shard]) for shard in dealt.shards]
    assert all(len(owner) == 1 for owner in owners)
    assert len(set.union(*owners)) == clients
    assert all(shard.size == (writers == writers[shard[0]]).sum() for shard in dealt.shards)


def test_fewer_devices_than_natural_clients_take_the_first_of_a_drawn_order():
    def drawn(devices, seed):
        shards = deal(Natural(), np.zeros(50), devices, stream(seed), np.arange(50)).shards
        return [int(shard[0]) for shard in shards]

    assert drawn(10, seed=0) == drawn(50, seed=0)[:10] != drawn(10, seed=1)


def test_natural_clients_that_take_no_part_are_said():
    dealt = deal(Natural(), np.arange(6), 2, stream(), np.array([0, 0, 1, 1, 2, 2]))
    assert dealt.notes == ("natural: 2 of 3 clients take part, with 4 of 6 samples",)


def test_more_devices_than_natural_clients_may_share_them_if_that_is_asked_for():
    dealt = deal(Natural(clients=3), np.arange(6), 5, stream(), WRITERS)
    assert dealt.shard_of.tolist() == [0, 1, 2, 0, 1]
    with pytest.raises(
        InputError, match=r"natural has 3 clients, but 5 are wanted; use at most 3 devices, or set"
    ):
        deal(Natural(), np.arange(6), 5, stream(), WRITERS)


def test_natural_clients_may_be_grouped_so_that_all_take_part():
    # FedGMR's FEMNIST: 193 writers over 10 devices.
    writers = np.repeat(np.arange(193), 3)
    dealt = deal(Natural(grouped=True), np.zeros(579), 10, stream(), writers)
    assert_every_sample_has_one_owner(dealt, writers)
    groups = [set(writers[shard]) for shard in dealt.shards]
    assert sorted(map(len, groups)) == [19] * 7 + [20] * 3
    assert sum(map(len, groups)) == 193  # nobody is cut in two
    assert dealt.notes == ()


def test_as_many_natural_clients_as_devices_are_groups_of_one():
    alone, grouped = (
        deal(Natural(grouped=flag), np.arange(6), 3, stream(), WRITERS) for flag in (False, True)
    )
    assert [shard.tolist() for shard in alone.shards] == [shard.tolist() for shard in grouped.shards]


SEQUENCES = np.zeros((6, 4), np.int64)  # six samples with four labels each


@pytest.mark.parametrize("rule", [Iid(), Natural(), Natural(coupling="slow_have_more")])
def test_samples_with_a_sequence_of_labels_are_dealt_whole(rule):
    dealt = deal(rule, SEQUENCES, 3, stream(), WRITERS)
    assert_every_sample_has_one_owner(dealt, WRITERS)


@pytest.mark.parametrize("rule", [Dirichlet(alpha=1.0), LabelsPerClient(labels=1), Shards()])
def test_samples_with_a_sequence_of_labels_have_no_class_to_go_by(rule):
    with pytest.raises(InputError, match=r"^dataset\.partition: goes by the class .* use natural or iid$"):
        deal(rule, SEQUENCES, 2, stream())


def test_samples_with_a_sequence_of_labels_have_no_rare_classes():
    with pytest.raises(InputError, match=r"^dataset\.partition\.coupling: goes by .* slow_have_more$"):
        deal(Iid(coupling="slow_have_rare_classes"), SEQUENCES, 2, stream())


def test_natural_needs_to_know_whose_each_sample_is():
    with pytest.raises(
        InputError, match=r"dataset\.partition: natural goes by whose each sample is, and this data"
    ):
        deal(Natural(), LABELS, 5, stream())


@pytest.mark.parametrize(
    ("rule", "clients", "message"),
    [
        (Iid(clients=8), 7, "clients is 8, but there are 7 devices .* give at most 7"),
        (Dirichlet(alpha=1.0), 601, "601 clients need at least one sample each, but there are 600"),
        (LabelsPerClient(labels=11), 5, "labels is 11, but the training data has 10; ask for fewer"),
        (
            LabelsPerClient(labels=2),
            4,
            "4 clients with 2 labels each cannot hold all 10 classes; ask for more",
        ),
        (
            LabelsPerClient(labels=10),
            61,
            "61 clients cut a class of 60 samples into 61 pieces; ask for fewer",
        ),
        (
            Shards(per_client=6),
            101,
            "6 shards for each of 101 clients are more than the 600 training samples",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_the_remedy(rule, clients, message):
    with pytest.raises(InputError, match=f"dataset.partition: .*{message}"):
        deal(rule, LABELS, clients, stream())


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("iid", Iid()),
        ({"name": "iid", "clients": 5}, Iid(clients=5)),
        ({"name": "dirichlet", "alpha": 0.3}, Dirichlet(alpha=0.3)),
        ({"name": "labels_per_client", "labels": 2}, LabelsPerClient(labels=2)),
        ("shards", Shards(per_client=2)),
        ({"name": "natural", "coupling": "slow_have_more"}, Natural(coupling="slow_have_more")),
    ],
)
def test_partitions_have_the_names_of_scenario_files(written, rule):
    assert TypeAdapter(Partition).validate_json(json.dumps(written)) == rule


@pytest.mark.parametrize(
    "written",
    [
        "dirichlet",
        {"name": "dirichlet", "alpha": 0},
        {"name": "shards", "size": 2},
        {"name": "iid", "coupling": "x"},
    ],
)
def test_parameters_that_make_no_partition_are_refused(written):
    with pytest.raises(ValidationError):
        TypeAdapter(Partition).validate_json(json.dumps(written))

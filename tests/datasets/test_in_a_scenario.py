"""Data sets and partitions as a scenario names them: where files lie, whose samples a device gets."""

from pathlib import Path

import numpy as np
import pytest

from edgesim.document import open_document
from edgesim.errors import InputError
from edgesim.experiment import execute, federation
from edgesim.parts import prepare
from edgesim.scenario import resolve

# Three persons with 40, 20 and 10 windows of two channels; the devices are a fast, a slow and a middling one.
OWN = """\
# Who holds what?
name: own
model: har_cnn
dataset: {name: files, path: data/own.npz, client: who, partition: {name: natural, coupling: slow_have_more}}
fleet:
  - {profile: raspberry-pi-4, count: 1, network: {downlink: 9 MB/s, uplink: 9 MB/s},
     compute: {seconds_per_step: 0.1 s}}
  - {profile: raspberry-pi-4, count: 1, network: {downlink: 9 MB/s, uplink: 9 MB/s},
     compute: {seconds_per_step: 0.4 s}}
  - {profile: raspberry-pi-4, count: 1, network: {downlink: 9 MB/s, uplink: 9 MB/s},
     compute: {seconds_per_step: 0.2 s}}
coordination: {name: synchronous, clients_per_round: 3}
training: {epochs: 1, batch_size: 8}
stop: {rounds: 1}
"""
PERSONS = np.repeat([7, 3, 5], [40, 20, 10])


@pytest.fixture
def scenario(tmp_path):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(70, 2, 12)), np.arange(70) % 2
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data/own.npz", x=x, y=y, test_x=x[:9], test_y=y[:9], who=PERSONS)
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


def resolved(path: Path, *overrides):
    return resolve(open_document(str(path)), None, overrides)


def test_a_device_holds_what_the_coupling_gives_it_and_is_charged_for_that(scenario):
    parts = prepare(resolved(scenario))
    assert [set(PERSONS[parts.pool[shard]]) for shard in parts.shards] == [{5}, {7}, {3}]
    assert parts.ledger.samples.tolist() == [10, 40, 20]
    rows = execute(parts).tables["dispatches"]
    compute_s = dict(zip(rows["device"], rows["compute_s"], strict=True))
    assert compute_s == pytest.approx({0: 2 * 0.1, 1: 5 * 0.4, 2: 3 * 0.2})


def test_a_device_trains_what_it_holds(scenario):
    parts = prepare(resolved(scenario))
    learner = federation(parts)
    assert [learner.shards[device].size for device in range(3)] == parts.ledger.samples.tolist()


def test_slow_is_what_takes_long_with_its_link(scenario):
    uplink = "fleet[0].network={downlink: 1 Mbit/s, uplink: 10 kbit/s}"
    assert prepare(resolved(scenario, uplink)).ledger.samples.tolist() == [40, 20, 10]


def test_devices_that_share_a_client_hold_the_same_samples(scenario):
    parts = prepare(resolved(scenario, "fleet[0].count=4", "dataset.partition.clients=3"))
    # From fast to slow: devices 0 to 3, 5, 4. Two of them share each person.
    assert parts.ledger.samples.tolist() == [10, 10, 20, 20, 40, 40]
    assert parts.shards[0] is parts.shards[1]


def test_more_devices_than_clients_is_said_with_the_line(scenario):
    with pytest.raises(
        InputError, match=r"own\.yaml:4: dataset\.partition: natural has 3 clients, but 6 are wanted"
    ):
        prepare(resolved(scenario, "fleet[0].count=4"))


def test_validation_samples_are_taken_from_the_natural_clients(scenario):
    parts = prepare(resolved(scenario, "dataset.validation=0.2"))
    assert sum(shard.size for shard in parts.shards) == len(parts.pool) == 56
    assert [set(PERSONS[parts.pool[shard]]) for shard in parts.shards] == [{5}, {7}, {3}]


def test_the_resolved_scenario_finds_the_file_from_another_folder(scenario, tmp_path):
    elsewhere = tmp_path / "runs" / "scenario.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(resolved(scenario).scenario.to_yaml())
    first, again = (prepare(resolved(path)) for path in (scenario, elsewhere))
    assert np.array_equal(first.data.train_x, again.data.train_x)
    assert [a.tolist() for a in first.shards] == [b.tolist() for b in again.shards]


def test_a_file_that_is_not_there_is_said_with_the_line_of_the_scenario(scenario):
    with pytest.raises(InputError) as caught:
        prepare(resolved(scenario, "dataset.path=data/mine.npz"))
    path = scenario.parent / "data/mine.npz"
    assert str(caught.value) == f"--set dataset.path=data/mine.npz: dataset.path: there is no file {path}"

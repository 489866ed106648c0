"""Published numbers of FedAvg, HeteroFL, FedRolex and FedBuff (algorithms 6.3), by the shipped scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import edgesim
from tests.originals import ORIGINALS

pytestmark = pytest.mark.slow

Variants = dict[str, dict[str, Any]]
"""What `edgesim compare --json` says of each variant; numbers are medians over seeds."""


def compared(folder: Path, scenario: str, seeds: str, *more: str) -> Variants:
    done = edgesim(folder, "compare", f"papers/{scenario}", "--seeds", seeds, "--json", "--quiet", *more)
    assert done.returncode == 0, done.stderr
    return {variant["name"]: variant for variant in json.loads(done.stdout)["variants"]}


def on_mnist(folder: Path, scenario: str, seeds: str) -> Variants:
    if not (ORIGINALS / "mnist").is_dir():
        pytest.skip("MNIST is not there")
    return compared(folder, scenario, seeds, "--data-root", str(ORIGINALS))


def updates(variant: dict[str, Any]) -> int:
    """Client updates that were aggregated until the end of the runs, over all seeds."""
    return sum(part["aggregated"] for part in variant["participation"].values())


# ---------------------------------------------------------------------------------------------- FedAvg: R18


@pytest.fixture(scope="module")
def client_data(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    return on_mnist(tmp_path_factory.mktemp("client-data"), "fedavg/client-data", "1,2")


@pytest.mark.xfail(
    strict=True,
    reason="some 30 rounds: inputs are standardised here; a plain PyTorch loop takes 32 so, and 39 otherwise",
)
def test_alike_data_take_as_many_rounds_as_published(client_data: Variants) -> None:
    assert 60 <= client_data["alike"]["aggregations"] <= 130


def test_two_digits_per_client_take_more_than_four_times_the_rounds(client_data: Variants) -> None:
    assert client_data["alike"]["seconds_to_target"]["reached"] == 2
    assert client_data["two-digits"]["aggregations"] > 4 * client_data["alike"]["aggregations"]


# ---------------------------------------------------------------------------------------------- FedAvg: R19


@pytest.fixture(scope="module")
def local_epochs(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    return on_mnist(tmp_path_factory.mktemp("local-epochs"), "fedavg/local-epochs", "1")


def test_the_cnn_is_at_99_percent_after_as_many_rounds_as_published(local_epochs: Variants) -> None:
    assert local_epochs["fedavg"]["seconds_to_target"]["reached"] == 1
    assert 15 <= local_epochs["fedavg"]["aggregations"] <= 30


def test_one_gradient_step_per_round_takes_more_than_ten_times_the_rounds(local_epochs: Variants) -> None:
    assert local_epochs["fedsgd"]["aggregations"] > 10 * local_epochs["fedavg"]["aggregations"]


# -------------------------------------------------------------------------------------------- FedRolex: R22


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    return compared(tmp_path_factory.mktemp("window"), "fedrolex/window", "1,2,3,4,5")


@pytest.mark.xfail(strict=True, reason="it is behind by some points; reported as refuted here")
def test_a_rolling_window_is_ahead_by_ten_points_on_skewed_labels(window: Variants) -> None:
    assert window["fedrolex"]["final_accuracy"] >= window["heterofl"]["final_accuracy"] + 0.1


def test_on_alike_data_all_windows_come_to_the_same(window: Variants) -> None:
    methods = ("heterofl", "fedrolex", "feddrop")
    accuracies = [window[f"{method}-alike"]["final_accuracy"] for method in methods]
    assert max(accuracies) - min(accuracies) <= 0.04


# -------------------------------------------------------------------------------------------- HeteroFL: R27


def test_small_clients_share_a_model_that_they_could_not_train_alone(tmp_path: Path) -> None:
    variants = on_mnist(tmp_path, "heterofl/client-sizes", "1")
    accuracy = {name: variant["final_accuracy"] for name, variant in variants.items()}
    assert accuracy["a-e"] > (accuracy["a"] + accuracy["e"]) / 2
    assert accuracy["e"] < accuracy["a"] - 0.01


# --------------------------------------------------------------------------------------------- FedBuff: R28


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    return compared(tmp_path_factory.mktemp("trips"), "fedbuff/trips", "1,2,3")


def test_a_buffer_needs_fewer_client_updates_than_merging_each(trips: Variants) -> None:
    assert trips["fedbuff"]["seconds_to_target"]["reached"] == 3
    assert updates(trips["fedbuff"]) < updates(trips["fedasync"])


def test_a_buffer_is_there_sooner_than_rounds(trips: Variants) -> None:
    seconds = {name: variant["seconds_to_target"]["median"] for name, variant in trips.items()}
    assert seconds["fedbuff"] < seconds["synchronous"]

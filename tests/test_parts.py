"""What variants share on a shelf: the same data and networks once, and no trace of one run in the next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgesim.document import open_document
from edgesim.experiment import Outcome, execute
from edgesim.parts import Parts, Shelf, prepare
from edgesim.scenario import resolve
from tests.scenarios import SMALL_NORMS

SCENARIO = """\
name: shelf
model: small_norms:network
dataset: digits
fleet: [{profile: raspberry-pi-4, count: 3}]
coordination: {name: synchronous, clients_per_round: 3}
training: {batch_size: 50, momentum: 0.5}
stop: {rounds: 2}
execution: {threads: 1}
"""

METHODS = ("full", "heterofl", "fedpmt", "random_mask", "fiarse", "fedrolex")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shelf")
    (made / "small_norms.py").write_text(SMALL_NORMS)
    (made / "scenario.yaml").write_text(SCENARIO)
    return made


def prepared(folder: Path, shelf: Shelf | None, *overrides: str) -> Parts:
    document = open_document(str(folder / "scenario.yaml"))
    return prepare(resolve(document, None, overrides), shelf=shelf)


def test_variants_with_the_same_data_and_model_share_data_network_and_structure(folder: Path) -> None:
    shelf = Shelf()
    one, other = (prepared(folder, shelf, f"submodel={name}") for name in ("full", "fedpmt"))
    assert one.data is other.data
    assert one.network is other.network
    assert one.structure is other.structure


def test_another_seed_draws_another_network_and_leaves_the_data(folder: Path) -> None:
    shelf = Shelf()
    one, other = (prepared(folder, shelf, f"seed={seed}") for seed in (1, 2))
    assert one.data is other.data
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_methods_with_and_without_running_statistics_take_turns_on_two_networks(folder: Path) -> None:
    shelf = Shelf()
    names = ("full", "heterofl", "fedpmt", "fjord")
    full, heterofl, fedpmt, fjord = (prepared(folder, shelf, f"submodel={name}").network for name in names)
    assert full is fedpmt
    assert heterofl is fjord
    assert len(list(full.buffers())) == 3
    assert not list(heterofl.buffers())


@pytest.mark.parametrize("before", METHODS)
def test_a_run_after_another_on_the_same_shelf_is_what_it_is_alone(folder: Path, before: str) -> None:
    after = METHODS[METHODS.index(before) - 1]
    shelf = Shelf()
    execute(prepared(folder, shelf, f"submodel={before}"))
    second = execute(prepared(folder, shelf, f"submodel={after}"))
    assert_same_bits(second, execute(prepared(folder, None, f"submodel={after}")))


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    assert repr(one.tables) == repr(other.tables)
    assert one.weights is not None
    assert other.weights is not None
    assert {name: value.tobytes() for name, value in one.weights.items()} == {
        name: value.tobytes() for name, value in other.weights.items()
    }
